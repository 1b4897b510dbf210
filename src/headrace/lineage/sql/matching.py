"""Patterns of columns' names."""

import re
from collections.abc import Callable
from functools import lru_cache

from headrace.lineage.sql.names import fold
from headrace.lineage.sql.tree import Match

Test = Callable[[str], bool]


def matcher(match: Match) -> Test | None:
    """Whether a column's name is one that a pattern means; None where that cannot be told."""
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
