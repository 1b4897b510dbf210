"""The relations of one ``from``, joined from left to right."""

from typing import TYPE_CHECKING

from headrace.lineage.sql import tree
from headrace.lineage.sql.kinds import COMPUTED, JOINED, Deps, add
from headrace.lineage.sql.names import fold
from headrace.lineage.sql.relations import Relation, optional
from headrace.lineage.sql.scope import Bound, Scope

if TYPE_CHECKING:
    from headrace.lineage.sql.statement import Statement

_TOLD = frozenset({"fixed", "spread"})  # columns that are made from what is known

Ctes = dict[str, Relation]
"""Named queries, by folded name."""


class From:
    """Binds relations to the names that they have.

    Attributes:
        scope: where they stand.
        rows: what decides the rows of all of them together.
        order: what they are sorted by.
        keeps_first: a row of the first of them is in the result once at most.
    """

    def __init__(self, statement: "Statement", scope: Scope, ctes: Ctes) -> None:
        self.scope = scope
        self.rows: Deps = {}
        self.order: Deps = {}
        self.keeps_first = True
        self._statement = statement
        self._ctes = ctes

    def bind(self, sources: tuple[tree.Source, ...]) -> None:
        for source in sources:
            relation = self._statement.source(source, self.scope, self._ctes)
            add(self.order, relation.order)
            self._add(source, relation)

    def _add(self, source: tree.Source, relation: Relation) -> None:
        scope, join = self.scope, source.join
        parts = source.of.parts if type(source.of) is tree.Table and not source.alias else ()
        alias = source.alias or (parts[-1] if parts else "")
        function = type(source.of) is tree.Function
        using = self._natural(relation) if join.natural else join.using
        group = type(source.of) is tree.Group and not source.alias
        decides: Deps = {}
        for name in using:
            self._merge(name, relation, join.side, decides)
        inside = self._inside(source, relation) if group else []
        is_optional = not group and not join.natural and self._finds_one(alias, relation, join)
        if group or (scope.bound and not (is_optional or join.only_left)):
            self.keeps_first = False
        one = Bound(alias, parts, relation, frozenset(map(fold, using)), single=function)
        before = len(scope.bound)
        scope.bound.extend(inside or [one])
        if join.side == "positional":
            add(self.rows, self.order)
        if join.on:
            add(decides, self._statement.collect(join.on, scope, self._ctes))
        if is_optional and all(rest.kind in _TOLD for rest in relation.rest):
            one.relation = optional(relation, decides)
        else:
            add(self.rows, relation.rows)
            add(self.rows, decides)
        if join.only_left:
            del scope.bound[before:]

    def _finds_one(self, alias: str, relation: Relation, join: tree.Join) -> bool:
        """Whether a left join finds one row at most for each row on its left.

        So it is where the condition says of all columns of a key of the right side that they are
        equal to something on the left.
        """
        if join.side != "left" or not self.scope.bound:
            return False
        if join.nearest:
            return True
        fixed = set(join.using)
        for pair in join.equal:
            for ours, theirs in (pair, pair[::-1]):
                is_left = len(theirs) == 2 and any(
                    one.alias == theirs[0] for one in self.scope.bound
                )
                if len(ours) == 2 and ours[0] == alias != theirs[0] and is_left:
                    fixed.add(ours[1])
        return any(key <= fixed for key in relation.unique)

    def _inside(self, source: tree.Source, relation: Relation) -> list[Bound]:
        """Of joined relations in parentheses without an alias, each under its own name."""
        del relation
        assert type(source.of) is tree.Group
        inner = From(self._statement, Scope(self.scope.parent, self.scope.report), self._ctes)
        inner.bind(source.of.sources)
        for name, deps in inner.scope.merged.items():
            self.scope.merged.setdefault(name, deps)
        return inner.scope.bound

    def _merge(self, name: str, right: Relation, side: str, decides: Deps) -> None:
        """A column of ``using``: one column of both, which decides which rows meet."""
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
        add(decides, ours, JOINED)
        add(decides, theirs, JOINED)
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
