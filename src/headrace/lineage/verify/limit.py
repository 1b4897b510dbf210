"""A check of some places only."""

from collections.abc import Iterable, Mapping, Sequence

from headrace.catalog.model import Catalog
from headrace.errors import LineageError
from headrace.lineage.find import Place
from headrace.lineage.verify.parts import Model, Raw, downstream


def limited(
    catalog: Catalog, raws: Mapping[str, Raw], models: Sequence[Model], places: Sequence[Place]
) -> tuple[dict[str, Raw], list[Model]]:
    """Only what is upstream of the models, and downstream of the raws, that are named.

    What these need besides is built, but its raw columns are not perturbed.

    Raises:
        LineageError: a place is neither.
    """
    by_id = {model.id: model for model in models}
    wanted: set[str] = set()
    columns: dict[str, list[str] | None] = {}
    for place in places:
        if place.asset in by_id:
            for key in _upstream(by_id, [place.asset]):
                if key in by_id:
                    wanted.add(key)
                elif key in raws and raws[key].columns is None:
                    columns[key] = None
            continue
        tables = _raw_of(catalog, raws, place)
        if not tables:
            asset = catalog.assets[place.asset]
            raise LineageError(
                f"{asset.kind} {asset.name} is no part of the check: name a model, or a raw table "
                "or column that a model reads"
            )
        for key, column in tables:
            before = columns.get(key, [])
            columns[key] = None if column is None or before is None else [*before, column]
        wanted |= downstream(models, {key for key, _ in tables})
    needed = _upstream(by_id, wanted)
    kept = {
        key: Raw(key, raw.name, raw.columns if raw.columns is not None else _only(columns, key))
        for key, raw in raws.items()
        if key in needed
    }
    return kept, [model for model in models if model.id in needed]


def _only(columns: Mapping[str, list[str] | None], key: str) -> tuple[str, ...] | None:
    named = columns.get(key, [])
    return None if named is None else tuple(named)


def _raw_of(
    catalog: Catalog, raws: Mapping[str, Raw], place: Place
) -> list[tuple[str, str | None]]:
    """The raw tables and columns that a place stands for; a resource stands for what it loads."""
    if place.asset in raws:
        return [(place.asset, place.column)]
    if catalog.assets[place.asset].kind != "resource":
        return []
    if place.column is None:
        return [(key, None) for key in catalog.children[place.asset] if key in raws]
    return [
        (edge.child, edge.child_column)
        for edge in catalog.edges_by_parent.get(place.asset, ())
        if edge.parent_column == place.column and edge.child in raws
    ]


def _upstream(by_id: Mapping[str, Model], keys: Iterable[str]) -> set[str]:
    seen = set(keys)
    todo = list(seen)
    while todo:
        model = by_id.get(todo.pop())
        for parent in model.parents if model else ():
            if parent not in seen:
                seen.add(parent)
                todo.append(parent)
    return seen
