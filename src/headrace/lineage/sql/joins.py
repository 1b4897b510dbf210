"""The relations of one ``from``, joined from left to right."""

from typing import TYPE_CHECKING

from headrace.lineage.sql import tree
from headrace.lineage.sql.kinds import COMPUTED, JOINED, Deps, add
from headrace.lineage.sql.names import fold
from headrace.lineage.sql.relations import Relation
from headrace.lineage.sql.scope import Bound, Scope

if TYPE_CHECKING:
    from headrace.lineage.sql.statement import Statement

Ctes = dict[str, Relation]
"""Named queries, by folded name."""


class From:
    """Binds relations to the names that they have.

    Attributes:
        scope: where they stand.
        rows: what decides the rows of all of them together.
        order: what they are sorted by.
    """

    def __init__(self, statement: "Statement", scope: Scope, ctes: Ctes) -> None:
        self.scope = scope
        self.rows: Deps = {}
        self.order: Deps = {}
        self._statement = statement
        self._ctes = ctes

    def bind(self, sources: tuple[tree.Source, ...]) -> None:
        for source in sources:
            relation = self._statement.source(source, self.scope, self._ctes)
            add(self.rows, relation.rows)
            add(self.order, relation.order)
            self._add(source, relation)

    def _add(self, source: tree.Source, relation: Relation) -> None:
        scope, join = self.scope, source.join
        parts = source.of.parts if type(source.of) is tree.Table and not source.alias else ()
        alias = source.alias or (parts[-1] if parts else "")
        function = type(source.of) is tree.Function
        using = self._natural(relation) if join.natural else join.using
        for name in using:
            self._merge(name, relation, join.side)
        group = type(source.of) is tree.Group and not source.alias
        inside = self._inside(source, relation) if group else []
        one = Bound(alias, parts, relation, frozenset(map(fold, using)), single=function)
        before = len(scope.bound)
        scope.bound.extend(inside or [one])
        if join.side == "positional":
            add(self.rows, self.order)
        if join.on:
            add(self.rows, self._statement.collect(join.on, scope, self._ctes))
        if join.only_left:
            del scope.bound[before:]

    def _inside(self, source: tree.Source, relation: Relation) -> list[Bound]:
        """Of joined relations in parentheses without an alias, each under its own name."""
        del relation
        assert type(source.of) is tree.Group
        inner = From(self._statement, Scope(self.scope.parent, self.scope.report), self._ctes)
        inner.bind(source.of.sources)
        for name, deps in inner.scope.merged.items():
            self.scope.merged.setdefault(name, deps)
        return inner.scope.bound

    def _merge(self, name: str, right: Relation, side: str) -> None:
        """A column of ``using``: one column of both."""
        ours: Deps = self.scope.merged.get(name) or {}
        if not ours:
            for one in self.scope.bound:
                found = one.relation.index.get(name)
                if found is None:
                    found = one.relation.guess(name, "open") or one.relation.guess(name, "fixed")
                if found is not None:
                    ours = found
                    break
            else:
                ours = self.scope.find((name,))
        theirs = right.any(name)
        if theirs is None:
            self._statement.report(f'column "{name}" of `using` is not on both sides of the join')
            theirs = {}
        add(self.rows, ours, JOINED)
        add(self.rows, theirs, JOINED)
        if side == "full":
            both: Deps = {}
            add(both, ours, COMPUTED)
            add(both, theirs, COMPUTED)
            self.scope.merged[name] = both
        else:
            self.scope.merged[name] = theirs if side == "right" else ours

    def _natural(self, right: Relation) -> tree.Names:
        for relation in (right, *(one.relation for one in self.scope.bound)):
            for rest in relation.rest:
                if rest.kind == "open":
                    self._statement.report(
                        f"a natural join is on columns of {rest.label} that are not known"
                    )
        ours = {name for one in self.scope.bound for name in one.relation.index}
        return tuple(name for name in right.index if name in ours)
