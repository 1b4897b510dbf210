"""What a column is made from, and how; and values whose parts are known apart.

A value with parts is an ordinary ``Deps`` of all that it holds, with the ``Deps`` of each part
beside it. What does not know of parts reads the whole, which claims more and misses nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from headrace.catalog.model import EdgeKind
from headrace.lineage.sql.tree import ValuePart

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


ELEMENT = "\0element"
"""The part of a list or map that stands for each of its elements."""
_LENGTH = "\0length"
"""The part of a list that says how many elements it has."""
_ROW = "element"
"""DuckDB's names of the fields of `row(…)`: `element1`, `element2`."""


class Parts(dict[Key, int]):
    """What a struct, a list or a map is made from, as a whole and by parts.

    Attributes:
        parts: by name as written; ``ELEMENT`` of a list or map.
        closed: these are all fields, in this order.
        others: what any other field is made from; None: as the whole.
    """

    __slots__ = ("closed", "others", "parts")

    def __init__(
        self,
        whole: Deps,
        parts: Mapping[str, Deps],
        *,
        closed: bool = True,
        others: Deps | None = None,
    ) -> None:
        super().__init__(whole)
        self.parts = parts
        self.closed = closed
        self.others = others

    @property
    def fields(self) -> Mapping[str, Deps]:
        """The fields of a struct; none of a list or map."""
        return {} if ELEMENT in self.parts else self.parts

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Parts) and self.parts == other.parts
        return same and super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


def union(several: Iterable[Deps]) -> Deps:
    """All of several values, without their parts."""
    found: Deps = {}
    for deps in several:
        add(found, deps)
    return found


def read_as(value: Deps, role: int) -> Deps:
    """A value as it is read in ``role``."""
    if role == SAME:
        return value
    return mapped(value, lambda deps: _as(deps, role))


def _as(deps: Deps, role: int) -> Deps:
    found: Deps = {}
    add(found, deps, role)
    return found


def plus(value: Deps, more: Deps) -> Deps:
    """A value of which every part depends on ``more``, too."""
    return mapped(value, lambda deps: union((deps, more))) if more else value


def mapped(value: Deps, change: Callable[[Deps], Deps]) -> Deps:
    """A value with the whole and each part changed."""
    if not isinstance(value, Parts):
        return change(value)
    parts = {name: mapped(part, change) for name, part in value.parts.items()}
    others = None if value.others is None else change(value.others)
    return Parts(change(dict(value)), parts, closed=value.closed, others=others)


def packed(fields: Iterable[tuple[str, Deps]], *, closed: bool = True) -> Deps:
    """A struct of fields."""
    parts = dict(fields)
    whole: Deps = {}
    for deps in parts.values():
        add(whole, deps, COMPUTED)
    return Parts(whole, parts, closed=closed)


def row_names(count: int) -> tuple[str, ...]:
    """The names of the fields of ``row(…)``."""
    return tuple(f"{_ROW}{number}" for number in range(1, count + 1))


def listed(element: Deps, length: Deps | None = None) -> Deps:
    """A list of elements, or a map of values.

    Args:
        element: what each of them is made from.
        length: what decides how many there are; None: nothing does.
    """
    if not isinstance(element, Parts):
        return union((element, length or {}))
    return Parts(union((element, length or {})), {ELEMENT: element, _LENGTH: length or {}})


def field(value: Deps, name: str) -> Deps:
    """A field of a struct, or the value of a key of a map."""
    if isinstance(value, Parts):
        if ELEMENT in value.parts:
            return value.parts[ELEMENT]
        for known, deps in value.parts.items():
            if fold(known) == fold(name):
                return deps
        if value.others is not None:
            return value.others
    return _as(value, COMPUTED)


def path(value: Deps, names: Iterable[str]) -> Deps:
    """A field of a field."""
    for name in names:
        value = field(value, name)
    return value


def at(value: Deps, number: int) -> Deps:
    """A field of a ``row(…)`` by its number from 1, or an element of a list."""
    if isinstance(value, Parts) and value.closed and 0 < number <= len(value.fields):
        return list(value.fields.values())[number - 1]
    return element(value)


def element(value: Deps) -> Deps:
    """An element of a list or map."""
    if isinstance(value, Parts) and ELEMENT in value.parts:
        return value.parts[ELEMENT]
    return _as(value, COMPUTED)


def length(value: Deps) -> Deps:
    """What decides how many elements a list has, and so how many rows `unnest` makes of it."""
    if not isinstance(value, Parts):
        return value
    return value.parts.get(_LENGTH, value) if ELEMENT in value.parts else {}


def with_whole(whole: Deps, value: Deps) -> Deps:
    """``whole``, with the parts that ``value`` has."""
    return Parts(whole, value.parts, closed=value.closed) if isinstance(value, Parts) else whole


_Columns = list[tuple[str, Deps]]


def unnested(value: Deps, name: str, *, deep: bool) -> tuple[_Columns, _Columns] | None:
    """The columns that ``unnest`` makes of a struct or list, and those that may be several.

    Args:
        value: what it is done to.
        name: of the column that it makes of a list.
        deep: structs in it become columns, too; what is not known may be one.

    Returns:
        None where that is not known.
    """
    if not isinstance(value, Parts):
        return None
    if ELEMENT in value.parts and not deep:
        return [(name, value.parts[ELEMENT])], []
    inside = value.parts.get(ELEMENT, value)
    if not (isinstance(inside, Parts) and inside.fields and inside.closed):
        return None
    if not deep:
        return list(inside.fields.items()), []
    columns: _Columns = []
    unsure: _Columns = []
    for field_name, deps in inside.fields.items():
        made = None if not isinstance(deps, Parts) or ELEMENT in deps.parts else unnested(
            deps, field_name, deep=True
        )  # fmt: skip
        if made is not None:
            columns += made[0]
            unsure += made[1]
            continue
        columns.append((field_name, deps))
        if not isinstance(deps, Parts):
            unsure.append((field_name, deps))
    return columns, unsure


def either(several: Iterable[Deps]) -> Deps:
    """A value that is one of several; DuckDB brings the fields of structs together by name."""
    values = list(several)
    structured = [value for value in values if isinstance(value, Parts)]
    whole = union(values)
    if not structured or len({ELEMENT in value.parts for value in structured}) > 1:
        return structured[0] if len(values) == 1 and structured else whole
    if len(values) == 1:
        return values[0]
    renamed = _by_name(structured)
    if renamed is None:
        return whole
    opaque = union(value for value in values if not isinstance(value, Parts))
    grouped: dict[str, list[Deps]] = {}
    spelled: dict[str, str] = {}
    for fields in renamed:
        for name, deps in fields.items():
            spelled.setdefault(fold(name), name)
            grouped.setdefault(fold(name), []).append(deps)
    parts = {spelled[name]: plus(either(found), opaque) for name, found in grouped.items()}
    orders = {tuple(map(fold, fields)) for fields in renamed}
    closed = len(orders) == 1 and not opaque and all(value.closed for value in structured)
    return Parts(whole, parts, closed=closed)


def _by_name(structured: list[Parts]) -> list[Mapping[str, Deps]] | None:
    """The fields of each; those of a ``row(…)`` take the names of a struct beside it, by place."""
    rows = [_is_row(value) for value in structured]
    if all(rows) or not any(rows):
        return [value.parts for value in structured]
    names = next(tuple(value.parts) for value, row in zip(structured, rows, strict=True) if not row)
    found: list[Mapping[str, Deps]] = []
    for value, row in zip(structured, rows, strict=True):
        if len(value.parts) != len(names) or not value.closed:
            return None
        renamed = dict(zip(names, value.parts.values(), strict=True))
        found.append(renamed if row else value.parts)
    return found


def _is_row(value: Parts) -> bool:
    return tuple(value.parts) == row_names(len(value.parts))


def changed(value: Deps, fields: Iterable[tuple[str, Deps]]) -> Deps:
    """``struct_insert``, ``struct_update``: a struct with other or more fields."""
    fields = list(fields)
    new = dict(fields)
    known = isinstance(value, Parts) and bool(value.fields)
    old = value.fields if isinstance(value, Parts) else {}
    spelled = {fold(name): name for name in new}
    parts = {
        name: new.pop(spelled[fold(name)]) if fold(name) in spelled else deps
        for name, deps in old.items()
    }
    whole = _as(union((value, *dict(fields).values())), COMPUTED)
    closed = isinstance(value, Parts) and known and value.closed
    others = value.others if isinstance(value, Parts) else _as(value, COMPUTED)
    return Parts(whole, parts | new, closed=closed, others=others)


def joined(several: Iterable[Deps]) -> Deps:
    """``struct_concat``: the fields of all."""
    values = list(several)
    fields: dict[str, Deps] = {}
    for value in values:
        if not (isinstance(value, Parts) and value.fields):
            return _as(union(values), COMPUTED)
        fields |= value.fields
    return packed(fields.items(), closed=all(isinstance(v, Parts) and v.closed for v in values))


def cast(value: Deps, names: tuple[str, ...]) -> Deps:
    """A cast to a struct of fields: of a struct by name, of a ``row(…)`` by place."""
    if not isinstance(value, Parts) or not value.fields:
        return _as(value, COMPUTED)
    row = _is_row(value) and len(value.parts) == len(names)
    placed = dict(zip(names, value.parts.values(), strict=True)) if row else {}
    fields = {name: placed[name] if row else field(value, name) for name in names}
    return Parts(_as(value, COMPUTED), {name: read_as(v, COMPUTED) for name, v in fields.items()})


def value_of(part: ValuePart, values: list[Deps]) -> Deps:
    """A value by the values that it is put together from."""
    first = values[0] if values else {}
    ways: dict[str, Callable[[], Deps]] = {
        "struct": lambda: packed(zip(part.names, values, strict=True)),
        "change": lambda: changed(first, zip(part.names, values[1:], strict=True)),
        "concat": lambda: joined(values),
        "cast": lambda: cast(first, part.names),
        "list": lambda: listed(either(values)),
        "any": lambda: either(values),
        "field": lambda: path(first, part.names),
        "at": lambda: at(first, int(part.names[0])),
        "item": lambda: element(first),
        "whole": lambda: dict(first),
        "values": lambda: listed(element(first), first),
        "unnest": lambda: plus(element(first), _as(length(first), JOINED)),
    }
    return ways[part.way]()
