"""What a column is made from, and how: the ways as bits, so that a set of ways is one number."""

from functools import lru_cache

from headrace.catalog.model import EdgeKind

SAME = 1  # the value itself, under whatever name
COMPUTED = 2
AGGREGATED = 4
FILTERED = 8
JOINED = 16
GROUPED = 32
SORTED = 64
WINDOWED = 128

VALUE = SAME | COMPUTED | AGGREGATED
DECISION = FILTERED | JOINED | GROUPED | SORTED | WINDOWED

Key = tuple[str, str]
"""Id of an asset, and its column (empty: its rows)."""
Deps = dict[Key, int]
"""What something is made from, and how, as bits."""

_NAMES: dict[int, EdgeKind] = {
    COMPUTED: "computed",
    AGGREGATED: "aggregated",
    FILTERED: "filtered",
    JOINED: "joined",
    GROUPED: "grouped",
    SORTED: "sorted",
    WINDOWED: "windowed",
}


@lru_cache(maxsize=1 << 16)
def fold(name: str) -> str:
    """A name as it is looked up: upper and lower case alike."""
    return name.lower() if name.isascii() else name.casefold()


def strongest(ways: int) -> int:
    """The strongest way in which a value flows: aggregated, computed, the same, or 0."""
    return ways & AGGREGATED or ways & COMPUTED or ways & SAME


def through(role: int, ways: int) -> int:
    """How a column is read when something that reads it in ``ways`` is read as ``role``.

    A value that is computed from an aggregate is aggregated; a value that decides which rows stay
    no longer flows.
    """
    if role & DECISION:
        return role
    value = strongest(ways)
    return (ways & DECISION) | (max(role, value) if value else 0)


def add(target: Deps, found: Deps, role: int = SAME) -> None:
    """Add to ``target`` all of ``found``, read as ``role``."""
    get = target.get
    if role == SAME:
        for key, ways in found.items():
            target[key] = get(key, 0) | ways
        return
    for key, ways in found.items():
        target[key] = get(key, 0) | through(role, ways)


def names(ways: int, *, same_name: bool) -> list[EdgeKind]:
    """The kinds of the edges: the strongest of the direct ones, and all indirect ones."""
    found: list[EdgeKind] = []
    value = strongest(ways)
    if value == SAME:
        found.append("copied" if same_name else "renamed")
    elif value:
        found.append(_NAMES[value])
    if ways & DECISION:
        found.extend(name for bit, name in _NAMES.items() if bit & DECISION & ways)
    return found
