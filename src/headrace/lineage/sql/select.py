"""What one ``select`` yields."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.lineage.sql import tree
from headrace.lineage.sql.joins import Ctes, From
from headrace.lineage.sql.kinds import GROUPED, JOINED, SAME, Deps, add
from headrace.lineage.sql.matching import regex
from headrace.lineage.sql.names import fold
from headrace.lineage.sql.relations import Relation, Rest, distinct_names
from headrace.lineage.sql.scope import Scope
from headrace.lineage.sql.uniqueness import unique
from headrace.lineage.sql.values import length, plus, unnested, with_whole

if TYPE_CHECKING:
    from headrace.lineage.sql.statement import Statement

_GROUP = re.compile(r"\\(\d)")


@dataclass(slots=True)
class _Done:
    """An item that was worked out.

    Attributes:
        columns: that it makes.
        rest: columns beside these.
        rows: what decides how many rows it makes of one; None: all that its columns are made from.
    """

    columns: list[tuple[str, Deps]]
    rest: tuple[Rest, ...] = ()
    rows: Deps | None = None


class Select:
    """Evaluates one ``select``."""

    def __init__(
        self, statement: "Statement", query: tree.Select, parent: Scope | None, ctes: Ctes
    ) -> None:
        self._statement = statement
        self._query = query
        self._ctes = ctes
        self._scope = Scope(parent, statement.report)
        self._sources = From(statement, self._scope, ctes)
        self._done: list[_Done | None] = [None] * len(query.items)
        self._busy: set[int] = set()
        self._by_name: dict[str, int] = {}
        for number, item in enumerate(query.items):
            if item.name is not None and item.star is None:
                self._by_name.setdefault(fold(item.name), number)

    def relation(self) -> Relation:
        """What it yields."""
        query, statement = self._query, self._statement
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
        add(rows, statement.collect(query.filters, self._scope, self._ctes))
        self._keys(result, rows)
        order = statement.order(query.order, rows, self._scope, self._ctes, result)
        if query.order.limited and not query.order.terms:
            add(rows, self._sources.order)
        if query.distinct_on:
            add(rows, order or self._sources.order)
        if not (query.group or query.group_all or query.distinct):
            order = order or self._sources.order
        result.order = order
        result.unique = unique(
            query, [name for name, _ in columns], rest, self._scope, self._sources
        )
        self._scope.aliases = None  # a circle less for Python to look for
        return result

    def _keys(self, result: Relation, rows: Deps) -> None:
        """What groups rows, or makes them distinct."""
        query, statement = self._query, self._statement
        for term in (*query.group, *query.distinct_on):
            statement.term(rows, term, GROUPED, self._scope, self._ctes, result)
        if query.group_all:
            for number, item in enumerate(query.items):
                if not item.aggregated:
                    for _, deps in self._item(number).columns:
                        add(rows, deps, GROUPED)
        if query.distinct:
            add(rows, result.everything(), GROUPED)
            statement.unnamed(result)

    def _alias(self, name: str) -> Deps | None:
        number = self._by_name.get(name)
        if number is None or number in self._busy:
            return None
        return self._item(number).columns[0][1]

    def _item(self, number: int) -> _Done:
        done = self._done[number]
        if done is None:
            self._busy.add(number)
            done = self._done[number] = self._worked_out(self._query.items[number])
            self._busy.discard(number)
        return done

    def _worked_out(self, item: tree.Item) -> _Done:
        deps = self._statement.collect(item.reads, self._scope, self._ctes)
        if item.star is None:
            value = deps
            if item.value:
                value = self._statement.collect(item.value, self._scope, self._ctes)
                value = value if item.spreads else with_whole(deps, value)
            order = self._sources.order if item.ordered else {}
            return self._one(item, plus(deps, order), plus(value, order))
        if item.ordered and self._sources.order:
            deps = plus(deps, self._sources.order)
        star = self._statement.star(item.star, self._scope, self._ctes)
        if item.role == SAME and not deps and item.name is None:
            return _Done(star.columns, star.rest)
        columns = []
        for name, found in star.columns:
            one = dict(deps)
            add(one, found, item.role)
            columns.append((_named(item, name), one))
        return _Done(columns, star.rest)

    @staticmethod
    def _one(item: tree.Item, deps: Deps, value: Deps) -> _Done:
        """An item that is no star: one column, or those that ``unnest`` makes.

        Args:
            item: as written.
            deps: what all of it is made from.
            value: the same with its parts apart; of ``unnest`` what it is done to.
        """
        name = item.name or ""
        if not item.spreads:
            return _Done([(name, value)])
        made = unnested(value, name, deep=item.spreads == "deep")
        if made is not None and item.spreads != "surely":
            columns, open_ones = made
            rest = tuple([Rest("spread", one, deps=found) for one, found in open_ones])
            return _Done(columns, rest, length(value))
        if item.spreads != "maybe":
            return _Done([], (Rest("fixed", "`unnest`", deps=deps),))
        return _Done([(name, deps)], (Rest("spread", name, deps=deps),))


def _named(item: tree.Item, column: str) -> str:
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
