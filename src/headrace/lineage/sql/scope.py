"""Which column a name means, where it stands."""

from collections.abc import Callable
from dataclasses import dataclass, field

from headrace.lineage.sql.dependencies import COMPUTED, Deps
from headrace.lineage.sql.relations import Relation, RestKind
from headrace.lineage.sql.struct_values import packed, path, read_as, union
from headrace.lineage.sql.tree import Names

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
