"""The functions of the expression language that take values alone, by name."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth.maths import rounded
from headrace.synth.values import (
    DAY_US,
    NOTHING,
    ZERO,
    Kind,
    Pool,
    Values,
    both,
    choose,
    decimal,
    unpooled,
)


def _round(values: list[Values]) -> Values:
    value = unpooled(values[0])
    decimals = int(unpooled(values[1]).data[0]) if len(values) > 1 and len(value) else 0
    if value.data.dtype.kind != "f":
        return value
    if decimals == 0:
        present = np.where(value.is_valid(), value.data, 0)
        return Values(Kind.INTEGER, np.rint(present).astype(np.int64), value.valid)
    return Values(Kind.NUMBER, rounded(value.data, decimals), value.valid)


def _whole(function: Callable[[Any], Any]) -> Callable[[list[Values]], Values]:
    def whole(values: list[Values]) -> Values:
        value = unpooled(values[0])
        present = np.where(value.is_valid(), value.data, 0)
        return Values(Kind.INTEGER, function(present).astype(np.int64), value.valid)

    return whole


def _absolute(values: list[Values]) -> Values:
    value = unpooled(values[0])
    return Values(value.kind, np.abs(value.data), value.valid)


def _extreme(function: Callable[[Any, Any], Any]) -> Callable[[list[Values]], Values]:
    def extreme(values: list[Values]) -> Values:
        result = unpooled(values[0])
        for other in map(unpooled, values[1:]):
            data = function(result.data, other.data)
            kind = result.kind if data.dtype == result.data.dtype else other.kind
            result = Values(kind, data, both(result.valid, other.valid))
        return result

    return extreme


def _coalesce(values: list[Values]) -> Values:
    result = values[0]
    for other in values[1:]:
        result = choose(unpooled(result).is_valid(), result, other)
    return result


def _case(function: Callable[[str], str], arrow: Any) -> Callable[[list[Values]], Values]:
    def changed(values: list[Values]) -> Values:
        value = values[0]
        if value.kind is Kind.POOLED and value.pool is not None:
            pool = Pool(tuple(v if v is None else function(str(v)) for v in value.pool.values))
            return Values(Kind.POOLED, value.data, value.valid, pool)
        return Values(Kind.TEXT, arrow(value.as_text()), value.valid)

    return changed


def _text(values: list[Values]) -> Values:
    value = unpooled(values[0])
    if len(values) > 1 and len(value):
        scale = int(unpooled(values[1]).data[0])
        number = np.where(value.is_valid(), value.data, 0).astype(np.float64)
        return Values(Kind.TEXT, decimal(number, scale).cast(pa.string()), value.valid)
    return Values(Kind.TEXT, pc.fill_null(value.as_text(), NOTHING), both(value.valid, None))


def _pad(values: list[Values]) -> Values:
    width = int(unpooled(values[1]).data[0]) if len(values[0]) else 0
    text = pc.utf8_lpad(pc.fill_null(values[0].as_text(), NOTHING), width, "0")
    return Values(Kind.TEXT, text, values[0].valid)


def _length(values: list[Values]) -> Values:
    value = values[0]
    if value.pool is not None:
        sizes = [0 if v is None else len(v) for v in value.pool.values]
        return Values(Kind.INTEGER, np.array(sizes, dtype=np.int64)[value.data], value.valid)
    lengths = pc.utf8_length(value.as_text()).cast(pa.int64())
    present = pc.fill_null(lengths, ZERO).to_numpy(zero_copy_only=False)
    return Values(Kind.INTEGER, present, value.valid)


def _item(values: list[Values]) -> Values:
    """The element of a list at a place, from 0; null beyond its end."""
    value, place = values[0], unpooled(values[1]).data.astype(np.int64)
    if value.pool is None:
        raise TypeError("item() takes a categorical whose values are lists")
    lists = [v if isinstance(v, list) else [v] for v in value.pool.values]
    longest = max(map(len, lists))
    pool: dict[Any, int] = {(type(None), None): 0}
    table = np.zeros((len(lists), longest + 1), dtype=np.int32)
    for number, elements in enumerate(lists):
        for position, element in enumerate(elements):
            name = (type(element), element)  # 1, 1.0 and true are equal, and not the same
            table[number, position] = 0 if element is None else pool.setdefault(name, len(pool))
    codes = table[value.data, np.clip(place, 0, longest)]
    valid = both(value.valid, codes > 0)
    return Values(Kind.POOLED, codes, valid, Pool(tuple(element for _, element in pool)))


def item_at(value: Values, place: int) -> Values:
    """The element of each list at one place; the elements there alone decide the type."""
    if value.pool is None:
        raise TypeError("item() takes a categorical whose values are lists")
    lists = [v if isinstance(v, list) else [v] for v in value.pool.values]
    pool: dict[Any, int] = {}
    codes = np.zeros(len(lists), dtype=np.int32)
    for number, elements in enumerate(lists):
        element = elements[place] if 0 <= place < len(elements) else None
        codes[number] = pool.setdefault((type(element), element), len(pool))
    known = tuple(element for _, element in pool)
    present = np.array([element is not None for element in known], dtype=bool)
    found = codes[value.data]
    valid = value.valid if bool(present.all()) else both(value.valid, present[found])
    return Values(Kind.POOLED, found, valid, Pool(known))


def _choose(values: list[Values]) -> Values:
    place, options = unpooled(values[0]), values[1:]
    result = options[-1]
    for number in range(len(options) - 2, -1, -1):
        result = choose(place.data == number, options[number], result)
    inside = (place.data >= 0) & (place.data < len(options)) & place.is_valid()
    return result if bool(inside.all()) else result.masked(inside)


def _length_of_time(unit_us: int) -> Callable[[list[Values]], Values]:
    def microseconds(values: list[Values]) -> Values:
        value = unpooled(values[0])
        present = np.where(value.is_valid(), value.data, 0)
        return Values(Kind.INTEGER, np.rint(present * unit_us).astype(np.int64), value.valid)

    return microseconds


def civil(timestamps: NDArray[np.int64]) -> tuple[Any, Any, Any]:
    """Year, month and day (Hinnant, "chrono-compatible low-level date algorithms")."""
    number = timestamps // DAY_US + 719_468
    era = number // 146_097
    day_of_era = number - era * 146_097
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = np.where(shifted < 10, shifted + 3, shifted - 9)
    return (
        year + era * 400 + (month <= 2),
        month,
        day_of_year - (153 * shifted + 2) // 5 + 1,
    )


def _of_timestamp(function: Callable[[NDArray[np.int64]], Any]) -> Callable[[list[Values]], Values]:
    def part(values: list[Values]) -> Values:
        value = values[0]
        present = np.where(value.is_valid(), value.data, 0)
        return Values(Kind.INTEGER, np.asarray(function(present), dtype=np.int64), value.valid)

    return part


def _date(values: list[Values]) -> Values:
    data = np.where(values[0].is_valid(), values[0].data, 0)
    return Values(Kind.DATE, data - data % DAY_US, values[0].valid)


def _yyyymmdd(values: list[Values]) -> Values:
    data = np.where(values[0].is_valid(), values[0].data, 0)
    unique, codes = np.unique(data // DAY_US, return_inverse=True)
    year, month, day = civil(unique * DAY_US)
    texts = tuple(f"{y:04d}{m:02d}{d:02d}" for y, m, d in zip(year, month, day, strict=True)) or (
        "",
    )
    return Values(Kind.POOLED, codes.astype(np.int32), values[0].valid, Pool(texts))


FUNCTIONS: Final[dict[str, Callable[[list[Values]], Values]]] = {
    "abs": _absolute,
    "ceil": _whole(np.ceil),
    "choose": _choose,
    "coalesce": _coalesce,
    "date": _date,
    "day": _of_timestamp(lambda data: civil(data)[2]),
    "days": _length_of_time(DAY_US),
    "floor": _whole(np.floor),
    "hour": _of_timestamp(lambda data: data % DAY_US // 3_600_000_000),
    "hours": _length_of_time(3_600_000_000),
    "item": _item,
    "length": _length,
    "lower": _case(str.lower, pc.utf8_lower),
    "max": _extreme(np.maximum),
    "micros": _of_timestamp(lambda data: data),
    "min": _extreme(np.minimum),
    "minutes": _length_of_time(60_000_000),
    "month": _of_timestamp(lambda data: civil(data)[1]),
    "pad": _pad,
    "round": _round,
    "seconds": _length_of_time(1_000_000),
    "text": _text,
    "upper": _case(str.upper, pc.utf8_upper),
    "weekday": _of_timestamp(lambda data: (data // DAY_US + 3) % 7),
    "year": _of_timestamp(lambda data: civil(data)[0]),
    "yyyymmdd": _yyyymmdd,
}
