"""From a statement's summary and its tables' columns to what each of its columns is made from."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from msgspec import structs

from headrace.lineage.sql import tree
from headrace.lineage.sql.joins import Ctes, From
from headrace.lineage.sql.kinds import (
    COMPUTED,
    DECISION,
    JOINED,
    SAME,
    SORTED,
    Deps,
    add,
)
from headrace.lineage.sql.names import fold
from headrace.lineage.sql.parse import UNFORESEEN, unforeseen
from headrace.lineage.sql.pivots import pivoted, unpivoted
from headrace.lineage.sql.relations import Relation, Rest, combined, distinct_names
from headrace.lineage.sql.scope import Bound, Scope
from headrace.lineage.sql.select import Select
from headrace.lineage.sql.stars import expanded
from headrace.lineage.sql.values import (
    element,
    length,
    listed,
    plus,
    read_as,
    value_of,
    with_whole,
)

_ONE_COLUMN = frozenset({"unnest", "range", "generate_series"})

_TURNS = 4
"""Of a recursive query, in which the parts of its values are still told apart."""

Tables = Callable[[tree.Names], Relation | None]
"""What a table's name means outside of the statement; None: nothing that is known."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a statement yields.

    Attributes:
        relation: its columns and rows.
        problems: what could not be told, one sentence each.
    """

    relation: Relation
    problems: tuple[str, ...]


def read(summary: tree.Summary, tables: Tables) -> Reading:
    """Work out what each column of a statement comes from.

    Args:
        summary: of the statement.
        tables: what the names of tables mean.
    """
    statement = Statement(tables)
    statement.problems.update(dict.fromkeys(summary.problems))
    relation = Relation([])
    if summary.query is not None:
        try:
            relation = statement.query(summary.query, None, {})
        except RecursionError:
            statement.report("it is nested too deeply to be read")
        except UNFORESEEN as error:
            statement.report(unforeseen(error))
    return Reading(relation, tuple(statement.problems))


class Statement:
    """Evaluates the queries of one statement."""

    def __init__(self, tables: Tables) -> None:
        self.problems: dict[str, None] = {}
        self._tables = tables

    def report(self, message: str) -> None:
        self.problems[message] = None

    def query(self, query: tree.Query, parent: Scope | None, ctes: Ctes) -> Relation:
        if query.ctes:
            ctes = dict(ctes)
            for cte in query.ctes:
                ctes[cte.name] = self._cte(cte, parent, ctes)
        if isinstance(query, tree.Select):
            return Select(self, query, parent, ctes).relation()
        if isinstance(query, tree.SetOperation):
            return self._set_operation(query, parent, ctes)
        if isinstance(query, tree.Rows):
            scope = Scope(parent, self.report)
            return Relation(
                [
                    (name, self.collect(reads, scope, ctes))
                    for name, reads in zip(query.names, query.columns, strict=True)
                ]
            )
        scope = Scope(parent, self.report)
        return self.source(query.source, scope, ctes)

    def _cte(self, cte: tree.Cte, parent: Scope | None, ctes: Ctes) -> Relation:
        outside = self._tables((cte.name,)) if cte.name.startswith("__dbt__cte__") else None
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
            if turn > _TURNS:  # a struct that holds itself would grow for ever
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

    def order(
        self, order: tree.Order, rows: Deps, scope: Scope, ctes: Ctes, result: Relation
    ) -> Deps:
        """What a query is sorted by; where rows are cut off, that decides which."""
        found: Deps = {}
        for term in order.terms:
            self.term(found, term, SORTED, scope, ctes, result, alias_first=True)
        if order.every:
            add(found, result.everything(), SORTED)
        if order.limited:
            add(rows, found)
            add(rows, self.collect(order.limit, scope, ctes))
        return found

    def term(
        self,
        target: Deps,
        term: tree.Term,
        role: int,
        scope: Scope,
        ctes: Ctes,
        result: Relation,
        *,
        alias_first: bool = False,
    ) -> None:
        """Add what a key reads: a column by its number, or an expression."""
        if 0 < term.ordinal <= len(result.columns):
            add(target, result.columns[term.ordinal - 1][1], role)
        add(target, self.collect(term.reads, scope, ctes, alias_first=alias_first))

    def collect(
        self, reads: tree.Reads, scope: Scope, ctes: Ctes, *, alias_first: bool = False
    ) -> Deps:
        """What expressions read, all together; not to be changed."""
        if len(reads) == 1:
            only = reads[0]
            if type(only) is tree.Col and only.role == SAME:
                return scope.find(only.parts, alias_first=alias_first)
            if type(only) is tree.Part:
                return self._part(only, scope, ctes)
        found: Deps = {}
        for one in reads:
            if type(one) is tree.Col:
                add(found, scope.find(one.parts, alias_first=alias_first), one.role)
            elif type(one) is tree.Nested:
                self._nested(found, one, scope, ctes)
            elif type(one) is tree.Every:
                for _, deps in self.star(one.star, scope, ctes).columns:
                    add(found, deps, one.role)
            elif type(one) is tree.Nth:
                add(found, self._nth(one.number, scope, ctes), one.role)
            elif type(one) is tree.Part:
                add(found, self._part(one, scope, ctes))
            else:
                self._count(found, one.role, scope)
        return found

    def _part(self, one: tree.Part, scope: Scope, ctes: Ctes) -> Deps:
        """A value of which the parts are told apart where they are known."""
        if one.way == "query":
            found = self._value_of(one.parts[0][0], scope, ctes)
        elif one.way in {"each", "kept"}:
            found = self._by_function(one, scope, ctes)
        elif one.way == "field" and (named := _parenthesised(one, scope)) is not None:
            found = scope.find(named)
        else:
            found = value_of(one, [self.collect(reads, scope, ctes) for reads in one.parts])
        if one.others:
            found = plus(found, self.collect(one.others, scope, ctes))
        return read_as(found, one.role)

    def _by_function(self, one: tree.Part, scope: Scope, ctes: Ctes) -> Deps:
        """Elements of a list, each changed by a function, or kept where it says so."""
        reads, body = one.parts
        of = self.collect(reads, scope, ctes)
        parameters = [(name, element(of) if not at else {}) for at, name in enumerate(one.names)]
        inner = Scope(scope, self.report, [Bound("", (), Relation(parameters))])
        found = self.collect(body, inner, ctes)
        return listed(found, length(of)) if one.way == "each" else plus(of, found)

    def _value_of(self, one: tree.Read, scope: Scope, ctes: Ctes) -> Deps:
        """The value of a query that yields one."""
        assert type(one) is tree.Nested
        inner = self.query(one.query, scope, ctes)
        found: Deps = {}
        self._add_nested(found, one, inner)
        decides: Deps = {}
        self._add_nested(decides, structs.replace(one, exists=True), inner)
        add(decides, inner.order)
        value = inner.columns[0][1] if len(inner.columns) == 1 and not inner.rest else {}
        return with_whole(found, plus(value, decides))

    def _nth(self, number: int, scope: Scope, ctes: Ctes) -> Deps:
        """``#2``: nothing, and a problem, where not all columns before it are known."""
        every = self.star(tree.Star(), scope, ctes)
        if number <= len(every.columns) and all(rest.kind == "partial" for rest in every.rest):
            return every.columns[number - 1][1]
        self.report(f"which column `#{number}` is cannot be told")
        return {}

    @staticmethod
    def _count(found: Deps, role: int, scope: Scope) -> None:
        """``count(*)``: the rows of what is read here, and all that decides them."""
        for one in scope.bound:
            for key in one.relation.rows:
                if not key[1]:
                    found[key] = found.get(key, 0) | role

    def _nested(self, found: Deps, one: tree.Nested, scope: Scope, ctes: Ctes) -> None:
        self._add_nested(found, one, self.query(one.query, scope, ctes))

    def _add_nested(self, found: Deps, one: tree.Nested, inner: Relation) -> None:
        told: set[str] = set()
        if not one.exists:
            told = {asset for _, deps in inner.columns for asset, _ in deps}
            for _, deps in inner.columns:
                add(found, deps, one.role)
            if inner.rest:
                self.unnamed(inner)
                for rest in inner.rest:
                    add(found, rest.deps, one.role)
            add(found, inner.order)
        for key, ways in inner.rows.items():
            if key[1]:
                role = one.role if one.role & DECISION else ways & DECISION or one.role
                found[key] = found.get(key, 0) | role
            elif key[0] not in told:  # the rows alone count: `exists`, `(select 1 from …)`
                found[key] = found.get(key, 0) | one.role

    def unnamed(self, relation: Relation) -> None:
        for rest in relation.rest:
            if rest.kind == "open":
                self.report(f"a `*` stands for the columns of {rest.label}, which are not known")

    def star(self, star: tree.Star, scope: Scope, ctes: Ctes) -> Relation:
        """The columns that a star stands for."""
        replaced = {
            fold(item.name): self.collect(item.reads, scope, ctes)
            for item in star.replace
            if item.name is not None
        }
        return expanded(star, scope, replaced)

    def source(self, source: tree.Source, scope: Scope, ctes: Ctes) -> Relation:
        """What a relation in ``from`` yields."""
        of = source.of
        if type(of) is tree.Table:
            found = self._table(of.parts, ctes)
        elif type(of) is tree.Derived:
            found = self.query(of.query, scope, ctes)
        elif type(of) is tree.Function:
            found = self._function(of, source.alias, scope, ctes)
        else:
            assert type(of) is tree.Group
            inner = From(self, Scope(scope, self.report), ctes)
            inner.bind(of.sources)
            star = expanded(tree.Star(), inner.scope, {})
            found = Relation(star.columns, inner.rows, star.rest)
        for step in source.pivots:
            at = Scope(scope, self.report, [Bound(source.alias, (), found)])

            def reads(one: tree.Reads, at: Scope = at) -> Deps:
                return self.collect(one, at, ctes)

            if isinstance(step, tree.PivotStep):
                found = pivoted(step.pivot, found, reads)
            else:
                found = unpivoted(step.unpivot, found, at)
        return found.renamed(source.columns)

    def _table(self, parts: tree.Names, ctes: Ctes) -> Relation:
        if len(parts) == 1 and parts[0] in ctes:
            return ctes[parts[0]]
        found = self._tables(parts)
        if found is not None:
            return found
        name = ".".join(parts)
        self.report(f'it reads "{name}", which is not in the catalog')
        return Relation([], rest=(Rest("external", f'"{name}"'),))

    def _function(self, of: tree.Function, alias: str, scope: Scope, ctes: Ctes) -> Relation:
        arguments = [self.collect(reads, scope, ctes) for reads in of.arguments]
        rows: Deps = {}
        for deps in arguments:
            add(rows, length(deps) if of.name == "unnest" else deps, JOINED)
        label = f"{of.name}(…)"
        if of.external and not any(arguments):
            return Relation([], rows, (Rest("external", label),))
        together: Deps = {}
        for deps in arguments:
            add(together, deps, COMPUTED)
        single = of.name in _ONE_COLUMN
        name = of.name if single else alias or of.name
        columns = [(name, element(deps)) for deps in arguments] if of.name == "unnest" else []
        columns = columns or [(name, together)]
        if of.ordinality:
            columns.append((of.ordinality, {}))
        # `json_each` and the like have more columns, which are made from the same
        rest = () if single else (Rest("fixed", label, deps=together),)
        return Relation(distinct_names(columns), rows, rest)


def _parenthesised(one: tree.Part, scope: Scope) -> tree.Names | None:
    """``(t).a`` as the name that it is where no column is called ``t``."""
    reads = one.parts[0]
    if len(reads) != 1 or type(reads[0]) is not tree.Col or len(reads[0].parts) > 1:
        return None
    name = reads[0].parts
    if scope.has(name[0]) or scope.relation(name) is None:
        return None
    return (*name, *map(fold, one.names))
