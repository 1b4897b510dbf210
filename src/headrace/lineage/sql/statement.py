"""From a statement's summary to its columns: what each is made from, and what one select yields."""

import re
from dataclasses import dataclass
from itertools import count

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import (
    GROUPED,
    JOINED,
    SAME,
    Deps,
    add,
    fold,
    length,
    plus,
    unnested,
    with_whole,
)
from headrace.lineage.sql.evaluator import Evaluator, Tables, regex
from headrace.lineage.sql.from_clause import FromClause
from headrace.lineage.sql.parse import UNEXPECTED, unexpected
from headrace.lineage.sql.relations import (
    Bound,
    Ctes,
    Relation,
    Rest,
    Scope,
    combined,
    distinct_names,
)

Keys = tuple[frozenset[str], ...]

_GROUP = re.compile(r"\\(\d)")


@dataclass(slots=True)
class _ResolvedItem:
    """A select item with what its columns are made from.

    Attributes:
        columns: that it makes.
        rest: columns beside these.
        rows: what decides how many rows it makes of one; None: all that its columns are made from.
    """

    columns: list[tuple[str, Deps]]
    rest: tuple[Rest, ...] = ()
    rows: Deps | None = None


class SelectQuery:
    """Evaluates one ``select``."""

    def __init__(
        self, evaluator: Evaluator, query: tree.Select, parent: Scope | None, ctes: Ctes
    ) -> None:
        self._evaluator = evaluator
        self._query = query
        self._ctes = ctes
        self._scope = Scope(parent, evaluator.report)
        self._sources = FromClause(evaluator, self._scope, ctes)
        self._resolved: list[_ResolvedItem | None] = [None] * len(query.items)
        self._busy: set[int] = set()
        self._by_name: dict[str, int] = {}
        for number, item in enumerate(query.items):
            if item.name is not None and item.star is None:
                self._by_name.setdefault(fold(item.name), number)

    def relation(self) -> Relation:
        """What it yields."""
        query, evaluator = self._query, self._evaluator
        self._sources.bind(query.sources)
        rows = self._sources.rows
        self._scope.aliases = self._alias
        columns: list[tuple[str, Deps]] = []
        rest: tuple[Rest, ...] = ()
        for number in range(len(query.items)):
            done = self._item(number)
            columns.extend(done.columns)
            rest += done.rest
            if query.items[number].unnests:
                add(rows, Relation(done.columns, {}, done.rest).everything()
                    if done.rows is None else done.rows, JOINED)  # fmt: skip
        result = Relation(distinct_names(columns), rows, rest)
        add(rows, evaluator.collect(query.filters, self._scope, self._ctes))
        self._keys(result, rows)
        order = evaluator.order(query.order, rows, self._scope, self._ctes, result)
        if query.order.limited and not query.order.terms:
            add(rows, self._sources.order)
        if query.distinct_on:
            add(rows, order or self._sources.order)
        if not (query.group or query.group_all or query.distinct):
            order = order or self._sources.order
        result.order = order
        result.unique = _unique(
            query, [name for name, _ in columns], rest, self._scope, self._sources
        )
        self._scope.aliases = None  # one reference cycle less for the garbage collector
        return result

    def _keys(self, result: Relation, rows: Deps) -> None:
        """What groups rows, or makes them distinct."""
        query, evaluator = self._query, self._evaluator
        for term in (*query.group, *query.distinct_on):
            evaluator.term(rows, term, GROUPED, self._scope, self._ctes, result)
        if query.group_all:
            for number, item in enumerate(query.items):
                if not item.aggregated:
                    for _, deps in self._item(number).columns:
                        add(rows, deps, GROUPED)
        if query.distinct:
            add(rows, result.everything(), GROUPED)
            evaluator.unnamed(result)

    def _alias(self, name: str) -> Deps | None:
        number = self._by_name.get(name)
        if number is None or number in self._busy:
            return None
        return self._item(number).columns[0][1]

    def _item(self, number: int) -> _ResolvedItem:
        done = self._resolved[number]
        if done is None:
            self._busy.add(number)
            done = self._resolved[number] = self._resolve(self._query.items[number])
            self._busy.discard(number)
        return done

    def _resolve(self, item: tree.SelectExpression) -> _ResolvedItem:
        deps = self._evaluator.collect(item.reads, self._scope, self._ctes)
        if item.star is None:
            value = deps
            if item.value:
                value = self._evaluator.collect(item.value, self._scope, self._ctes)
                value = value if item.spreads else with_whole(deps, value)
            order = self._sources.order if item.ordered else {}
            return self._one(item, plus(deps, order), plus(value, order))
        if item.ordered and self._sources.order:
            deps = plus(deps, self._sources.order)
        star = self._evaluator.star(item.star, self._scope, self._ctes)
        if item.role == SAME and not deps and item.name is None:
            return _ResolvedItem(star.columns, star.rest)
        columns = []
        for name, found in star.columns:
            one = dict(deps)
            add(one, found, item.role)
            columns.append((_named(item, name), one))
        return _ResolvedItem(columns, star.rest)

    @staticmethod
    def _one(item: tree.SelectExpression, deps: Deps, value: Deps) -> _ResolvedItem:
        """An item that is no star: one column, or those that ``unnest`` makes.

        Args:
            item: as written.
            deps: what all of it is made from.
            value: the same with its parts apart; of ``unnest`` what it is done to.
        """
        name = item.name or ""
        if not item.spreads:
            return _ResolvedItem([(name, value)])
        made = unnested(value, name, deep=item.spreads == "deep")
        if made is not None and item.spreads != "always":
            columns, open_ones = made
            rest = tuple([Rest("spread", one, deps=found) for one, found in open_ones])
            return _ResolvedItem(columns, rest, length(value))
        if item.spreads != "maybe":
            return _ResolvedItem([], (Rest("fixed", "`unnest`", deps=deps),))
        return _ResolvedItem([(name, deps)], (Rest("spread", name, deps=deps),))


def _named(item: tree.SelectExpression, column: str) -> str:
    """What `columns(…)` calls one of its columns; its alias may quote parts of the name."""
    if item.name is None or item.star is None:
        return column
    pattern = item.star.pattern
    found = None
    if "\\" in item.name and pattern is not None and pattern.way == "regex":
        compiled = regex(pattern.arguments[0])
        found = compiled.search(column) if compiled is not None else None
    if found is None:
        return item.name
    groups = [found.group(), *(group or "" for group in found.groups())]
    return _GROUP.sub(lambda one: "".join(groups[int(one[1]) : int(one[1]) + 1]), item.name)


def _unique(
    query: tree.Select,
    columns: list[str],
    rest: tuple[Rest, ...],
    scope: Scope,
    sources: FromClause,
) -> Keys:
    """Sets of columns of which no two rows have the same values.

    By ``group by`` and ``distinct``, or because a relation has them whose rows come once at most.
    What tests and constraints say is not counted: it is so only as long as they hold.

    Args:
        query: the select.
        columns: their names, also where two have one.
        rest: columns that are not known by name.
        scope: its relations.
        sources: how they are joined.
    """
    if any(item.unnests for item in query.items) or rest:
        return ()
    names = [fold(name) for name in columns]
    found: list[frozenset[str]] = []
    if query.distinct:
        found.append(frozenset(names))
    if query.distinct_on:
        found.extend(_key_of([_of_term(query, term, scope) for term in query.distinct_on]))
    if query.group_all and query.keyed:
        found.extend(_key_of([_plain(item) for item in query.items if not item.aggregated]))
    elif query.group:
        if query.keyed:
            found.extend(_key_of([_of_term(query, term, scope) for term in query.group]))
    elif any(item.aggregated for item in query.items):
        found.append(frozenset())
    elif sources.keeps_first and scope.bound:
        found.extend(_inherited(query, scope.bound[0]))
    return tuple(key for key in found if all(names.count(name) == 1 for name in key))


def _key_of(names: list[str | None]) -> Keys:
    known = [name for name in names if name is not None]
    return (frozenset(known),) if len(known) == len(names) else ()


def _plain(item: tree.SelectExpression) -> str | None:
    return fold(item.name) if item.star is None and item.name is not None else None


def _of_term(query: tree.Select, term: tree.Term, scope: Scope) -> str | None:
    """The column that a key of ``group by`` is called in the result."""
    if term.ordinal:
        before = query.items[: term.ordinal]
        if len(before) < term.ordinal or any(item.star is not None for item in before):
            return None
        return _plain(before[-1])
    if len(term.reads) != 1 or type(term.reads[0]) is not tree.Col:
        return None
    parts = term.reads[0].parts
    for item in query.items:
        column = _column(item)
        if column is not None and _is_same(column, parts):
            return _plain(item)
    if len(parts) == 1 and not any(_has(one, parts[0]) for one in scope.bound):
        return next((parts[0] for item in query.items if _plain(item) == parts[0]), None)
    return None


def _column(item: tree.SelectExpression) -> tree.Names | None:
    """The column that an item is, if it is no more than that."""
    if item.star is None and len(item.reads) == 1:
        read = item.reads[0]
        if type(read) is tree.Col and read.role == SAME:
            return read.parts
    return None


def _is_same(one: tree.Names, other: tree.Names) -> bool:
    return one == other or (one[-1] == other[-1] and 1 in (len(one), len(other)))


def _has(bound: Bound, name: str) -> bool:
    return bool(bound.relation.rest) or name in bound.relation.index


def _inherited(query: tree.Select, first: Bound) -> Keys:
    """The keys of the first relation, under the names that they have in the result."""
    found: list[frozenset[str]] = []
    for key in first.relation.unique:
        found.extend(_key_of([_handed_on(query, first.alias, name) for name in sorted(key)]))
    return tuple(found)


def _handed_on(query: tree.Select, alias: str, name: str) -> str | None:
    for item in query.items:
        column = _column(item)
        if column is not None and column in ((name,), (alias, name)):
            return _plain(item)
        star = item.star
        if star is not None and item.name is None and star.table in ((), (alias,)):
            changed = {parts[-1] for parts in star.exclude} | {old for old, _ in star.rename}
            changed |= {fold(one.name) for one in star.replace if one.name is not None}
            if star.pattern is None and item.role == SAME and name not in changed:
                return name
    return None


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
