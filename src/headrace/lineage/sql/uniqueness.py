"""Which columns of a select's result tell its rows apart, as far as the select itself says it."""

from typing import TYPE_CHECKING

from headrace.lineage.sql import tree
from headrace.lineage.sql.kinds import SAME
from headrace.lineage.sql.names import fold
from headrace.lineage.sql.relations import Rest
from headrace.lineage.sql.scope import Bound, Scope

if TYPE_CHECKING:
    from headrace.lineage.sql.joins import From

Keys = tuple[frozenset[str], ...]


def unique(
    query: tree.Select, columns: list[str], rest: tuple[Rest, ...], scope: Scope, sources: "From"
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
        found.extend(_keys([_of_term(query, term, scope) for term in query.distinct_on]))
    if query.group_all and query.keyed:
        found.extend(_keys([_plain(item) for item in query.items if not item.aggregated]))
    elif query.group:
        if query.keyed:
            found.extend(_keys([_of_term(query, term, scope) for term in query.group]))
    elif any(item.aggregated for item in query.items):
        found.append(frozenset())
    elif sources.keeps_first and scope.bound:
        found.extend(_inherited(query, scope.bound[0]))
    return tuple(key for key in found if all(names.count(name) == 1 for name in key))


def _keys(names: list[str | None]) -> Keys:
    known = [name for name in names if name is not None]
    return (frozenset(known),) if len(known) == len(names) else ()


def _plain(item: tree.Item) -> str | None:
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


def _column(item: tree.Item) -> tree.Names | None:
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
        found.extend(_keys([_handed_on(query, first.alias, name) for name in sorted(key)]))
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
