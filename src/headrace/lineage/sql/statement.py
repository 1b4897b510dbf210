"""From a statement's summary and its tables' columns to what each of its columns is made from."""

from dataclasses import dataclass
from itertools import count

from headrace.lineage.sql import tree
from headrace.lineage.sql.evaluator import Evaluator, Tables
from headrace.lineage.sql.from_clause import FromClause
from headrace.lineage.sql.parse import UNEXPECTED, unexpected
from headrace.lineage.sql.relations import Relation, combined
from headrace.lineage.sql.scope import Bound, Ctes, Scope
from headrace.lineage.sql.select import SelectQuery

_TURNS = 4
"""Of a recursive query, in which the parts of its values are still kept apart."""


@dataclass(frozen=True, slots=True)
class StatementLineage:
    """What a statement yields.

    Attributes:
        relation: its columns and rows.
        problems: what could not be determined, one sentence each.
    """

    relation: Relation
    problems: tuple[str, ...]


def read(summary: tree.Summary, tables: Tables) -> StatementLineage:
    """Work out what each column of a statement comes from.

    Args:
        summary: of the statement.
        tables: what the names of tables mean.
    """
    statement = _Statement(tables)
    statement.problems.update(dict.fromkeys(summary.problems))
    relation = Relation([])
    if summary.query is not None:
        try:
            relation = statement.query(summary.query, None, {})
        except RecursionError:
            statement.report("it is nested too deeply to be read")
        except UNEXPECTED as error:
            statement.report(unexpected(error))
    return StatementLineage(relation, tuple(statement.problems))


class _Statement(Evaluator):
    """Evaluates the queries of one statement."""

    def query(self, query: tree.Query, parent: Scope | None, ctes: Ctes) -> Relation:
        if query.ctes:
            ctes = dict(ctes)
            for cte in query.ctes:
                ctes[cte.name] = self._cte(cte, parent, ctes)
        if isinstance(query, tree.Select):
            return SelectQuery(self, query, parent, ctes).relation()
        if isinstance(query, tree.SetOperation):
            return self._set_operation(query, parent, ctes)
        if isinstance(query, tree.ValuesList):
            scope = Scope(parent, self.report)
            return Relation(
                [
                    (name, self.collect(reads, scope, ctes))
                    for name, reads in zip(query.names, query.columns, strict=True)
                ]
            )
        scope = Scope(parent, self.report)
        return FromClause(self, scope, ctes).source(query.source)

    def _cte(self, cte: tree.Cte, parent: Scope | None, ctes: Ctes) -> Relation:
        outside = self.tables((cte.name,)) if cte.name.startswith("__dbt__cte__") else None
        if outside is not None:
            return outside
        if not cte.recursive or not isinstance(cte.query, tree.SetOperation):
            return self.query(cte.query, parent, ctes).renamed(cte.columns)
        known = dict(ctes)
        found = self.query(cte.query.first, parent, self._with(cte.query.ctes, parent, known))
        found = Relation(found.columns, found.rows, found.rest).renamed(cte.columns)
        for turn in count():  # what a column is made from only grows
            known[cte.name] = found
            again = self.query(cte.query, parent, known).renamed(cte.columns)
            if turn > _TURNS:  # a struct that holds itself would grow forever
                again = again.flat()
            if again.columns == found.columns and again.rows == found.rows:
                return again
            found = again
        raise AssertionError

    def _with(self, inner: tuple[tree.Cte, ...], parent: Scope | None, ctes: Ctes) -> Ctes:
        if not inner:
            return ctes
        found = dict(ctes)
        for cte in inner:
            found[cte.name] = self._cte(cte, parent, found)
        return found

    def _set_operation(
        self, query: tree.SetOperation, parent: Scope | None, ctes: Ctes
    ) -> Relation:
        found = self.query(query.first, parent, ctes)
        for branch in query.branches:
            found = combined(found, self.query(branch.query, parent, ctes), branch)
        rows = dict(found.rows)
        scope = Scope(parent, self.report, [Bound("", (), found)])
        order = self.order(query.order, rows, scope, ctes, found)
        return Relation(found.columns, rows, found.rest, order or found.order)
