"""Relations as a statement sees them: their columns, and what these are made from."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from headrace.lineage.sql.dependencies import (
    DECISION,
    FILTERED,
    GROUPED,
    JOINED,
    SAME,
    Deps,
    add,
    fold,
)
from headrace.lineage.sql.struct_values import either, mapped, union
from headrace.lineage.sql.tree import Branch, Names

RestKind = Literal["open", "partial", "fixed", "external", "spread"]


@dataclass(frozen=True, slots=True)
class Rest:
    """Columns of a relation that are not known by name.

    Attributes:
        kind: ``open``: those of an asset of which no column is known; ``partial``: those of an
            asset besides the known ones, if any; ``fixed``: whatever they are called, they are made
            from ``deps``; ``external``: of something outside the catalog; ``spread``: of a struct
            that ``unnest`` may have made several columns of.
        label: what they belong to, in words; of ``spread`` the column that stands for them.
        asset: id, of ``open`` and ``partial``.
        deps: of ``fixed``.
        hidden: names that are not among them, folded.
    """

    kind: RestKind
    label: str
    asset: str = ""
    deps: Deps = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    def get(self, name: str) -> Deps | None:
        """What the column ``name`` (folded) is made from; None if it is hidden."""
        if name in self.hidden:
            return None
        return {(self.asset, name): SAME} if self.asset else self.deps

    def without(self, names: Iterable[str]) -> "Rest":
        """The same, with more names hidden."""
        return replace(self, hidden=self.hidden.union(names))


@dataclass(slots=True)
class Relation:
    """A table, or what a query yields.

    Attributes:
        columns: names, and what they are made from.
        rows: what decides its rows; the rows of an asset count as ``(asset, "")`` with no way.
        rest: columns beside these.
        order: what its rows are sorted by, where nothing has used it yet.
        unique: sets of columns, folded, of which no two rows have the same values, as its SQL says;
            an empty set: it has one row at most.
    """

    columns: list[tuple[str, Deps]]
    rows: Deps = field(default_factory=dict)
    rest: tuple[Rest, ...] = ()
    order: Deps = field(default_factory=dict)
    unique: tuple[frozenset[str], ...] = ()
    _index: dict[str, Deps] | None = None

    @property
    def index(self) -> dict[str, Deps]:
        """Its columns by folded name; of two with one name the first."""
        if self._index is None:
            found: dict[str, Deps] = {}
            for name, deps in self.columns:
                found.setdefault(fold(name), deps)
            self._index = found
        return self._index

    def guess(self, name: str, kind: RestKind) -> Deps | None:
        """What a column that is not known by name is made from, if it can be there."""
        for rest in self.rest:
            if rest.kind == kind:
                deps = rest.get(name)
                if deps is not None:
                    return deps
        return None

    def any(self, name: str) -> Deps | None:
        """What a column is made from, known by name or not."""
        found = self.index.get(name)
        if found is not None:
            return found
        for kind in ("open", "fixed", "partial", "external", "spread"):
            found = self.guess(name, kind)
            if found is not None:
                return found
        return None

    def everything(self) -> Deps:
        """What all its columns are made from."""
        found: Deps = {}
        for _, deps in self.columns:
            add(found, deps)
        for rest in self.rest:
            add(found, rest.deps)
        return found

    def flat(self) -> "Relation":
        """The same without the parts of its values."""
        return Relation([(name, dict(deps)) for name, deps in self.columns], self.rows, self.rest)

    def renamed(self, names: Names) -> "Relation":
        """The same with other names for its first columns."""
        if not names:
            return self
        columns = [
            (names[number] if number < len(names) else name, deps)
            for number, (name, deps) in enumerate(self.columns)
        ]
        if self.rest and all(rest.kind == "fixed" for rest in self.rest):
            more = self.everything()
            columns += [(name, more) for name in names[len(columns) :]]
        return Relation(columns, self.rows, self.rest, self.order)


def optional(relation: Relation, decides: Deps) -> Relation:
    """The right side of a left join that finds one row at most: it decides no row of the result.

    Whether a row is found decides the values of its columns instead.

    Args:
        relation: the right side.
        decides: what the condition reads.
    """
    found: Deps = dict(decides)
    whole: Deps = {}
    for key, ways in relation.rows.items():
        if key[1]:
            found[key] = found.get(key, 0) | (ways & DECISION or JOINED)
        else:
            whole[key] = JOINED

    def either_way(deps: Deps) -> Deps:
        both = union((deps, found))
        told = {asset for asset, _ in both}
        add(both, {key: role for key, role in whole.items() if key[0] not in told})
        return both

    columns = [(name, mapped(deps, either_way)) for name, deps in relation.columns]
    rest = []
    for one in relation.rest:
        both = dict(one.deps)
        add(both, found)
        rest.append(replace(one, deps=both))
    return Relation(columns, {}, tuple(rest), relation.order)


def asset_relation(asset: str, names: Iterable[str], rest: Rest | None) -> Relation:
    """An asset as a statement reads it."""
    return Relation(
        [(name, {(asset, name): SAME}) for name in names],
        {(asset, ""): 0},
        (rest,) if rest is not None else (),
    )


def distinct_names(columns: list[tuple[str, Deps]]) -> list[tuple[str, Deps]]:
    """Columns whose names DuckDB makes distinct: ``a``, ``a_1``, ``a_2``."""
    if len({fold(name) for name, _ in columns}) == len(columns):
        return columns
    seen: dict[str, int] = {}
    found: list[tuple[str, Deps]] = []
    for name, deps in columns:
        folded = fold(name)
        if folded in seen:
            new = name
            while fold(new) in seen:
                new = f"{name}_{seen[folded]}"
                seen[folded] += 1
            seen[fold(new)] = 1
            found.append((new, deps))
        else:
            seen[folded] = 1
            found.append((name, deps))
    return found


def combined(left: Relation, right: Relation, branch: Branch) -> Relation:
    """Two branches of a set operation."""
    rows = dict(left.rows)
    add(rows, right.rows)
    if branch.operation != "union":
        add(rows, left.everything(), FILTERED)
        add(rows, right.everything(), FILTERED)
        return Relation(left.columns, rows, left.rest)
    columns: list[tuple[str, Deps]] = []
    if branch.by_name:
        names = {fold(name) for name, _ in left.columns}
        for name, deps in left.columns:
            columns.append((name, either((deps, right.index.get(fold(name), {})))))
        columns.extend(pair for pair in right.columns if fold(pair[0]) not in names)
    else:
        for number, (name, deps) in enumerate(left.columns):
            other = right.columns[number][1] if number < len(right.columns) else {}
            columns.append((name, either((deps, other))))
    found = Relation(columns, rows, (*left.rest, *right.rest), dict(left.order))
    add(found.order, right.order)
    if branch.distinct:
        add(rows, found.everything(), GROUPED)
    return found
