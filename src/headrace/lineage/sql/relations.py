"""Relations as a statement sees them, and which of their columns a name means."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from headrace.lineage.sql.dependencies import (
    COMPUTED,
    DECISION,
    FILTERED,
    GROUPED,
    JOINED,
    SAME,
    Deps,
    add,
    either,
    fold,
    mapped,
    packed,
    path,
    read_as,
    union,
)
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


# Columns that a table has besides its own.
_PSEUDO = frozenset({"rowid", "filename", "file_row_number", "ctid", "oid", "level", "rownum"})


Ctes = dict[str, Relation]
"""Named queries, by folded name."""


@dataclass(slots=True)
class Bound:
    """A relation under the name that it has in a scope.

    Attributes:
        alias: folded; of a table without one, its last part.
        parts: a table's whole name, folded, where it has no alias.
        relation: its columns.
        hidden: columns that another relation's stand for, after ``using``.
        single: a function that gives one value: its name means that value.
    """

    alias: str
    parts: Names
    relation: Relation
    hidden: frozenset[str] = frozenset()
    single: bool = False


@dataclass(slots=True)
class Scope:
    """The relations, merged columns and aliases that a name can mean.

    Attributes:
        parent: the scope around it.
        bound: its relations, in order.
        merged: columns that ``using`` made one.
        aliases: what a name in the select list means; None while it is worked out, or where there
            is none.
        report: notes a problem.
    """

    parent: "Scope | None"
    report: Callable[[str], None]
    bound: list[Bound] = field(default_factory=list)
    merged: dict[str, Deps] = field(default_factory=dict)
    aliases: Callable[[str], Deps | None] | None = None

    def find(self, parts: Names, *, alias_first: bool = False) -> Deps:
        """What a name means; nothing, and a problem, where that is not known."""
        scope: Scope | None = self
        while scope is not None:
            found = scope._here(parts, alias_first=alias_first and scope is self)  # noqa: SLF001
            if found is not None:
                return found
            scope = scope.parent
        return self._unknown(parts)

    def _here(self, parts: Names, *, alias_first: bool) -> Deps | None:
        """What a name means in this scope, if it is known to mean something here."""
        name = parts[0]
        if len(parts) > 1:
            found = self._qualified(parts)
            if found is not None:
                return found
        if alias_first and self.aliases is not None and len(parts) == 1:
            found = self.aliases(name)
            if found is not None:
                return found
        found = self._known(name)
        return None if found is None else path(found, parts[1:])

    def _known(self, name: str) -> Deps | None:
        found = self.merged.get(name)
        if found is not None:
            return found
        known = [one.relation.index[name] for one in self.bound if name in one.relation.index]
        if known:
            return known[0] if len(known) == 1 else union(known)
        alias = self.aliases(name) if self.aliases is not None else None
        possible = self._possible(name, "open")
        if len(possible) == 1:
            return possible[0] if alias is None else union([possible[0], alias])
        if alias is not None:
            return alias
        if possible:
            self.report(
                f'column "{name}" can come from more than one relation whose columns are not known'
            )
            return {}
        whole = next((one for one in self.bound if one.alias == name), None)
        if whole is not None:
            return self._whole(whole)
        possible = self._possible(name, "fixed")
        return union(possible) if possible else None

    def _possible(self, name: str, kind: RestKind) -> list[Deps]:
        found = (one.relation.guess(name, kind) for one in self.bound if one.relation.rest)
        return [deps for deps in found if deps is not None]

    def _whole(self, bound: Bound) -> Deps:
        """A relation's name as a value: a struct of all its columns."""
        if bound.single and bound.relation.columns:
            return bound.relation.columns[0][1]
        for rest in bound.relation.rest:
            if rest.kind == "open":
                self.report(f"all columns of {rest.label} are read, and they are not known")
        relation = bound.relation
        if not relation.rest:
            return packed(relation.columns)
        return read_as(relation.everything(), COMPUTED)

    def relation(self, parts: Names) -> Bound | None:
        """The relation of that name in this scope."""
        for one in self.bound:
            if one.alias == parts[0] and len(parts) == 1:
                return one
            if len(parts) > 1 and one.parts[-len(parts) :] == parts:
                return one
        return None

    def _qualified(self, parts: Names) -> Deps | None:
        """``relation.column``, with the relation's name in one to three parts, and fields."""
        for length in range(min(3, len(parts) - 1), 0, -1):
            one = self.relation(parts[:length])
            if one is None:
                continue
            name = parts[length]
            found = one.relation.index.get(name)
            if found is None and self.has(parts[0]) and not _may_have(one.relation, name):
                return None  # a field of a column that is called like the relation
            if found is None:
                found = self._in(one, name)
            return path(found, parts[length + 1 :])
        return None

    def has(self, name: str) -> bool:
        """Whether a relation here is known to have a column of that name."""
        return name in self.merged or any(name in one.relation.index for one in self.bound)

    def _in(self, bound: Bound, name: str) -> Deps:
        for kind in ("open", "fixed"):
            found = bound.relation.guess(name, kind)
            if found is not None:
                return found
        if bound.single:
            return bound.relation.everything()
        found = bound.relation.guess(name, "spread")
        if found is not None:
            return found
        found = bound.relation.guess(name, "partial")
        if found is not None:
            self._undocumented(name, found)
            return found
        found = bound.relation.guess(name, "external")
        if found is None and name not in _PSEUDO:
            self.report(f'column "{name}" is not among the columns of "{bound.alias}"')
        return found or {}

    def _undocumented(self, name: str, deps: Deps) -> None:
        asset = next(iter(deps))[0] if deps else "?"
        self.report(f'column "{name}" is not among the columns of {asset} that are known')

    def _unknown(self, parts: Names) -> Deps:
        """The last resort: a column that a table may have beyond the known ones."""
        name = parts[0]
        chain: list[Scope] = []
        scope: Scope | None = self
        while scope is not None:
            chain.append(scope)
            scope = scope.parent
        for one in chain:
            spread = one._possible(name, "spread")  # noqa: SLF001
            if spread:
                return union(spread)
            possible = one._possible(name, "partial")  # noqa: SLF001
            external = one._possible(name, "external")  # noqa: SLF001
            if len(possible) == 1 and not external:
                self._undocumented(name, possible[0])
                return path(possible[0], parts[1:])
            if external:
                return {}
            if possible:
                self.report(
                    f'column "{name}" can come from more than one relation, '
                    "and none is known to have it"
                )
                return {}
        if name not in _PSEUDO:
            self.report(f'column "{".".join(parts)}" is in none of the relations that are read')
        return {}


def _may_have(relation: Relation, name: str) -> bool:
    """Whether it may well have a column that is not known by name."""
    kinds: tuple[RestKind, ...] = ("open", "fixed", "external")
    return any(relation.guess(name, kind) is not None for kind in kinds)
