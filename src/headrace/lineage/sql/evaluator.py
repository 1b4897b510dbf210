"""What expressions read, where they stand: from a summary's reads to dependencies."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from msgspec import structs

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import DECISION, SAME, SORTED, Deps, add, fold
from headrace.lineage.sql.relations import Relation
from headrace.lineage.sql.scope import Bound, Ctes, Scope
from headrace.lineage.sql.stars import expanded
from headrace.lineage.sql.struct_values import (
    element,
    length,
    listed,
    plus,
    read_as,
    value_of,
    with_whole,
)

Tables = Callable[[tree.Names], Relation | None]
"""What a table's name means outside of the statement; None: nothing that is known."""


class Evaluator(ABC):
    """Evaluates the expressions of one statement.

    Attributes:
        problems: what could not be determined, one sentence each, in the order found.
        tables: what a table's name means outside of the statement.
    """

    def __init__(self, tables: Tables) -> None:
        self.problems: dict[str, None] = {}
        self.tables = tables

    @abstractmethod
    def query(self, query: tree.Query, parent: Scope | None, ctes: Ctes) -> Relation:
        """What a query yields."""

    def report(self, message: str) -> None:
        """Note a problem."""
        self.problems[message] = None

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
            if type(only) is tree.ValuePart:
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
            elif type(one) is tree.ValuePart:
                add(found, self._part(one, scope, ctes))
            else:
                self._count(found, one.role, scope)
        return found

    def _part(self, one: tree.ValuePart, scope: Scope, ctes: Ctes) -> Deps:
        """A value whose parts are kept apart where they are known."""
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

    def _by_function(self, one: tree.ValuePart, scope: Scope, ctes: Ctes) -> Deps:
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
        self.report(f"which column `#{number}` is cannot be determined")
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


def _parenthesised(one: tree.ValuePart, scope: Scope) -> tree.Names | None:
    """``(t).a`` as the name that it is where no column is called ``t``."""
    reads = one.parts[0]
    if len(reads) != 1 or type(reads[0]) is not tree.Col or len(reads[0].parts) > 1:
        return None
    name = reads[0].parts
    if scope.has(name[0]) or scope.relation(name) is None:
        return None
    return (*name, *map(fold, one.names))
