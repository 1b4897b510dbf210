"""The parts of a check: raw relations, models, and the order to build them in."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from headrace.errors import LineageError

Name = tuple[str, str, str]  # database, schema, identifier


@dataclass(frozen=True, slots=True)
class Raw:
    """A relation that no model makes.

    Attributes:
        id: of the asset; ``table.<schema>.<name>`` of one that the catalog does not know.
        name: where it stands.
        columns: to perturb; None for all of it, empty for none (a Python model's table).
    """

    id: str
    name: Name
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model or snapshot, which is built as a table.

    Attributes:
        id: of the asset.
        name: where it stands; None of an ephemeral model, which its readers hold in themselves.
        sql: its select.
        parents: ids of what it reads, models and raw tables.
        key: its primary key.
        reads_itself: whether its SQL reads its own table (incremental).
        compared: whether its SQL says all that its table holds, so that it can be verified.
    """

    id: str
    name: Name | None
    sql: str
    parents: frozenset[str]
    key: tuple[str, ...]
    reads_itself: bool = False
    compared: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a check.

    Attributes:
        raws: by id.
        models: parents before children.
        notes: what is not built as dbt would build it.
        made_elsewhere: ids of raw relations that no model and no dlt resource makes.
    """

    raws: Mapping[str, Raw]
    models: tuple[Model, ...]
    notes: tuple[str, ...] = ()
    made_elsewhere: frozenset[str] = frozenset()

    def without(self, raws: Mapping[str, Raw]) -> "Plan":
        """What is left where some raw relations are not there; a note says what is not checked."""
        if not raws:
            return self
        lost = downstream(self.models, raws.keys())
        tables = Counter(raw.name[1] for raw in raws.values())
        named = ", ".join(
            f"{schema} ({number} {'table' if number == 1 else 'tables'})"
            for schema, number in sorted(tables.items())
        )
        models = f"{len(lost):,} {'model that needs' if len(lost) == 1 else 'models that need'}"
        note = f"not in the warehouse: {named}; {models} them cannot be checked"
        return Plan(
            {key: raw for key, raw in self.raws.items() if key not in raws},
            tuple([model for model in self.models if model.id not in lost]),
            (*self.notes, note),
            self.made_elsewhere,
        )


def downstream(models: Sequence[Model], keys: Iterable[str]) -> set[str]:
    """The models that need any of some raw relations or models; without these."""
    first = set(keys)
    reached = set(first)
    for model in ordered(models):
        if model.parents & reached:
            reached.add(model.id)
    return reached - first


def ordered(models: Sequence[Model]) -> tuple[Model, ...]:
    """Parents before children.

    Raises:
        LineageError: they read each other in a circle.
    """
    left = {model.id: model for model in models}
    waiting = {key: {parent for parent in model.parents if parent in left}
               for key, model in left.items()}  # fmt: skip
    children: dict[str, list[str]] = {}
    for key, parents in waiting.items():
        for parent in parents:
            children.setdefault(parent, []).append(key)
    ready = sorted((key for key, parents in waiting.items() if not parents), reverse=True)
    found = []
    while ready:
        key = ready.pop()
        found.append(left[key])
        for child in sorted(children.get(key, ()), reverse=True):
            waiting[child].discard(key)
            if not waiting[child]:
                ready.append(child)
    if len(found) < len(left):
        names = sorted(set(left) - {model.id for model in found})
        raise LineageError(
            f"these models read each other in a circle and cannot be built: {', '.join(names[:5])}"
        )
    return tuple(found)
