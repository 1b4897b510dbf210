"""Patterns of columns' names."""

import re
from collections.abc import Callable
from functools import lru_cache

from headrace.lineage.sql.names import fold
from headrace.lineage.sql.tree import Names


def matcher(way: str, arguments: Names) -> Callable[[str], bool] | None:
    """Whether a column's name is one that a pattern means; None where that cannot be told."""
    if way == "names":
        return lambda name: fold(name) in arguments
    argument = arguments[0]
    if way in {"like", "ilike"}:
        pattern = _like(argument, way == "ilike")
        return lambda name: pattern.fullmatch(name) is not None
    if way in {"regex", "regex_full"}:
        try:
            compiled = re.compile(argument)
        except re.error:
            return None
        search = compiled.search if way == "regex" else compiled.fullmatch
        return lambda name: search(name) is not None
    simple: dict[str, Callable[[str], bool]] = {
        "equal": lambda name: name == argument,
        "contains": lambda name: argument in name,
        "starts": lambda name: name.startswith(argument),
        "ends": lambda name: name.endswith(argument),
    }
    return simple.get(way)


@lru_cache(maxsize=256)
def _like(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    parts = [{"%": ".*", "_": "."}.get(one, re.escape(one)) for one in pattern]
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else 0))
