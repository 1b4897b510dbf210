"""What expressions and stars read, where they stand: from a summary to dependencies."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache

from msgspec import structs

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import (
    COMPUTED,
    DECISION,
    SAME,
    SORTED,
    Deps,
    Parts,
    add,
    element,
    fold,
    length,
    listed,
    plus,
    read_as,
    value_of,
    with_whole,
)
from headrace.lineage.sql.relations import Bound, Ctes, Relation, Rest, Scope
from headrace.lineage.sql.tree import Match

Test = Callable[[str], bool]


def expanded(star: tree.Star, scope: Scope, replaced: dict[str, Deps]) -> Relation:
    """The columns that a star stands for; columns that are not known by name as ``rest``.

    Args:
        star: as written.
        scope: where it stands.
        replaced: what the expressions of ``replace`` read, by folded name.
    """
    bounds = _bounds(star, scope)
    if bounds is None:
        value = scope.find(star.table)
        if not (isinstance(value, Parts) and value.closed and value.fields):
            return _of_struct(star, value)
        bounds = [Bound("", (), Relation(list(value.fields.items())))]
    if len(bounds) == 1 and _is_plain(star, scope, bounds[0]):
        return bounds[0].relation
    excluded = {parts[-1] for parts in star.exclude if len(parts) == 1}
    qualified = {parts[-2:] for parts in star.exclude if len(parts) > 1}
    renamed = dict(star.rename)
    keep = _Kept(star, scope)
    columns: list[tuple[str, Deps]] = []
    rest: list[Rest] = []
    merged = dict(scope.merged) if not star.table else {}
    for one in bounds:
        for name, deps in one.relation.columns:
            folded = fold(name)
            if not star.table and folded in one.hidden:
                continue
            found = merged.pop(folded, deps)
            if folded in excluded or (one.alias, folded) in qualified or not keep(name):
                continue
            columns.append((renamed.get(folded, name), replaced.get(folded, found)))
        hidden = {*excluded, *renamed, *(one.hidden if not star.table else ())}
        rest.extend(left.without(hidden) for left in one.relation.rest if _counts(left, one))
    return Relation(columns, {}, tuple(rest))


def _is_plain(star: tree.Star, scope: Scope, bound: Bound) -> bool:
    """Whether it means all columns of its only relation as they are."""
    changes = star.exclude or star.replace or star.rename or star.pattern
    return not (changes or scope.merged or bound.hidden or bound.single)


def _counts(rest: Rest, bound: Bound) -> bool:
    """Whether a star means columns besides the named ones; those of a function are all named."""
    return not (bound.single and rest.kind == "fixed")


def _bounds(star: tree.Star, scope: Scope) -> list[Bound] | None:
    """The relations that it stands for; None: its qualifier is no relation."""
    if not star.table:
        return scope.bound
    at: Scope | None = scope
    while at is not None:
        found = at.relation(star.table)
        if found is not None:
            return [found]
        at = at.parent
    return None


def _of_struct(star: tree.Star, value: Deps) -> Relation:
    """``struct.*``: its fields' names are not known here."""
    deps = read_as(dict(value), COMPUTED)
    label = f'"{".".join(star.table)}"'
    excluded = {parts[-1] for parts in star.exclude}
    return Relation([], {}, (Rest("fixed", label, deps=deps).without(excluded),))


class _Kept:
    """Whether a column's name is one that the star means."""

    def __init__(self, star: tree.Star, scope: Scope) -> None:
        self._match = None
        if star.pattern is not None:
            self._match = matcher(star.pattern)
            if self._match is None:
                said = " or ".join(_not_known(star.pattern))
                scope.report(f"which columns `columns(…)` means cannot be determined: {said}")

    def __call__(self, name: str) -> bool:
        return self._match is None or self._match(name)


def _not_known(match: Match) -> list[str]:
    """The conditions that stand in the way."""
    if match.parts:
        return [said for part in match.parts for said in _not_known(part)]
    return [f"`{match.arguments[0]}`"] if matcher(match) is None else []


def matcher(match: Match) -> Test | None:
    """Whether a column's name is one that a pattern means; None where that cannot be determined."""
    if match.parts:
        parts = [matcher(part) for part in match.parts]
        known = [part for part in parts if part is not None]
        return _combined(match.way, known) if len(known) == len(parts) else None
    return _single(match)


def _combined(way: str, parts: list[Test]) -> Test:
    first = parts[0]
    combined: dict[str, Test] = {
        "and": lambda name: all(part(name) for part in parts),
        "or": lambda name: any(part(name) for part in parts),
        "not": lambda name: not first(name),
        "lower": lambda name: first(name.lower()),
        "upper": lambda name: first(name.upper()),
    }
    return combined[way]


def _single(match: Match) -> Test | None:
    way, arguments = match.way, match.arguments
    argument = arguments[0] if arguments else ""
    if way in {"like", "ilike"}:
        pattern = _like(argument, way == "ilike")
        return lambda name: pattern.fullmatch(name) is not None
    if way in {"regex", "regex_full"}:
        compiled = regex(argument)
        if compiled is None:
            return None
        search = compiled.search if way == "regex" else compiled.fullmatch
        return lambda name: search(name) is not None
    simple: dict[str, Test] = {
        "names": lambda name: fold(name) in arguments,
        "among": lambda name: name in arguments,
        "equal": lambda name: name == argument,
        "contains": lambda name: argument in name,
        "starts": lambda name: name.startswith(argument),
        "ends": lambda name: name.endswith(argument),
    }
    return simple.get(way)


@lru_cache(maxsize=256)
def regex(pattern: str) -> re.Pattern[str] | None:
    """A regular expression, or None where Python does not understand it."""
    try:
        return re.compile(pattern)
    except re.error:
        return None


@lru_cache(maxsize=256)
def _like(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    parts = [{"%": ".*", "_": "."}.get(one, re.escape(one)) for one in pattern]
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else 0))


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
