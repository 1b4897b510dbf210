"""Which columns a star stands for, and which names a pattern of ``columns(…)`` means."""

import re
from collections.abc import Callable
from functools import lru_cache

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import COMPUTED, Deps, fold
from headrace.lineage.sql.relations import Relation, Rest
from headrace.lineage.sql.scope import Bound, Scope
from headrace.lineage.sql.struct_values import Parts, read_as
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
