"""The value of an expression in every row of a frame."""

from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth.buffers import FALSE, NOTHING, ZERO, from_numpy
from headrace.synth.expression import (
    AGGREGATES,
    COMPARISONS,
    Among,
    Binary,
    Call,
    Choice,
    Literal,
    Logic,
    Node,
    Ref,
    Unary,
)
from headrace.synth.values import Kind, Mask, Pool, Values, both, constant, unpooled

_DAY: Final = 86_400_000_000


class Rows(Protocol):
    """What an expression is evaluated over."""

    def __len__(self) -> int: ...
    def value(self, path: tuple[str, ...]) -> Values:
        """A column, or a parent's."""
        ...

    def entered(self, path: tuple[str, ...], status: str) -> Values:
        """When each row came into a status."""
        ...

    def aggregate(self, function: str, table: str, node: Node | None) -> Values:
        """Over the rows of a table that point at each row."""
        ...

    def row_of(self, path: tuple[str, ...]) -> Values:
        """The address of the row that a name points at."""
        ...

    def child_row(self, table: str, parent: NDArray[np.int64], number: Any) -> NDArray[np.int64]:
        """The address of a parent's child."""
        ...

    def is_child(self, table: str) -> bool:
        """Whether a name is that of a table that can be aggregated here."""
        ...


def evaluate(node: Node, rows: Rows) -> Values:
    """The value in every row."""
    match node:
        case Literal(value=value):
            return constant(value, len(rows))
        case Ref(path=path):
            return rows.value(path)
        case Unary(operation=operation, operand=operand):
            inner = unpooled(evaluate(operand, rows))
            if operation == "-":
                return Values(_number(inner), -inner.data, inner.valid)
            return Values(Kind.BOOLEAN, ~_truth(inner))
        case Binary(operation=operation, left=left, right=right):
            one, other = evaluate(left, rows), evaluate(right, rows)
            if operation in COMPARISONS:
                return _compare(operation, one, other)
            return _arithmetic(operation, one, other)
        case Among(operand=operand, options=options, negated=negated):
            found = _among(evaluate(operand, rows), options)
            return Values(Kind.BOOLEAN, ~found if negated else found)
        case Logic(operation=operation, operands=operands):
            masks = [_truth(evaluate(operand, rows)) for operand in operands]
            joined = np.logical_and if operation == "and" else np.logical_or
            return Values(Kind.BOOLEAN, joined.reduce(masks))
        case Choice(test=test, then=then, otherwise=otherwise):
            return choose(
                _truth(evaluate(test, rows)), evaluate(then, rows), evaluate(otherwise, rows)
            )
        case Call():
            return _call(node, rows)


def truth(node: Node, rows: Rows) -> Mask:
    """Where an expression holds; null does not."""
    return _truth(evaluate(node, rows))


def _truth(values: Values) -> Mask:
    values = unpooled(values)
    if values.kind in {Kind.TEXT, Kind.POOLED}:
        return values.is_valid().copy()
    held: Mask = values.data.astype(bool) & values.is_valid()
    return held


def _number(values: Values) -> Kind:
    if values.kind is Kind.NUMBER:
        return Kind.NUMBER
    return Kind.INTEGER


def _compare(operation: str, left: Values, right: Values) -> Values:
    valid = both(left.valid, right.valid)
    texts = {Kind.TEXT, Kind.POOLED}
    one, other = unpooled(left), unpooled(right)
    valid = both(valid, both(one.valid, other.valid))
    if one.kind in texts or other.kind in texts:
        if one.kind is Kind.POOLED and other.kind is Kind.POOLED and _is_single(other):
            assert one.pool is not None
            assert other.pool is not None
            wanted = other.pool.values[0]
            hits = np.array(
                [v is not None and bool(COMPARISONS[operation](v, wanted)) for v in one.pool.values]
            )
            result = hits[one.data]
        else:
            function = {"==": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal,
                        ">": pc.greater, ">=": pc.greater_equal}[operation]  # fmt: skip
            compared = function(one.as_text(), other.as_text())
            result = pc.fill_null(compared, FALSE).to_numpy(zero_copy_only=False)
    else:
        result = COMPARISONS[operation](one.data, other.data)
    return Values(Kind.BOOLEAN, result if valid is None else result & valid)


def _is_single(values: Values) -> bool:
    return values.pool is not None and len(values.pool) == 1


def _among(values: Values, options: tuple[Any, ...]) -> Mask:
    found = np.zeros(len(values), dtype=bool)
    values = unpooled(values)
    for option in options:
        if option is None:
            found |= ~values.is_valid()
        else:
            found |= _compare("==", values, constant(option, len(values))).data
    return found


def _arithmetic(operation: str, left: Values, right: Values) -> Values:
    one, other = unpooled(left), unpooled(right)
    texts = {Kind.TEXT, Kind.POOLED}
    if one.kind in texts or other.kind in texts:
        if operation != "+":
            raise TypeError(f"{operation} does not go with text")
        return join([one, other])
    valid = both(one.valid, other.valid)
    moments = {Kind.MOMENT, Kind.DATE}
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if operation in {"/", "//", "%"}:
            zero = other.data == 0
            divisor = np.where(zero, 1, other.data)
            valid = both(valid, ~zero) if bool(zero.any()) else valid
            result = {"/": np.divide, "//": np.floor_divide, "%": np.mod}[operation](
                one.data, divisor
            )
        else:
            result = {"+": np.add, "-": np.subtract, "*": np.multiply}[operation](
                one.data, other.data
            )
    if (one.kind in moments) != (other.kind in moments):
        if result.dtype.kind == "f":
            result = np.rint(result).astype(np.int64)
        return Values(Kind.MOMENT, result, valid)
    kind = Kind.NUMBER if result.dtype.kind == "f" else Kind.INTEGER
    return Values(kind, result, valid)


def join(parts: list[Values]) -> Values:
    """Texts, one after another."""
    valid: Mask | None = None
    for part in parts:
        valid = both(valid, part.valid)
    if len(parts) == 2 and all(part.kind is Kind.POOLED for part in parts):
        joined = _join_pools(parts)
        if joined is not None:
            return joined
    texts = [pc.fill_null(part.as_text(), NOTHING) for part in parts]
    array = pc.binary_join_element_wise(*texts, NOTHING)
    return Values(Kind.TEXT, array, valid)


def _join_pools(parts: list[Values]) -> Values | None:
    """A pool and a literal make a pool again."""
    for position in (0, 1):
        literal, other = parts[position], parts[1 - position]
        if _is_single(literal) and literal.pool is not None and other.pool is not None:
            word = str(literal.pool.values[0])
            texts = (
                (word + str(v) if position == 0 else str(v) + word) if v is not None else None
                for v in other.pool.values
            )
            return Values(
                Kind.POOLED, other.data, both(other.valid, literal.valid), Pool(tuple(texts))
            )
    return None


def choose(test: Mask, then: Values, otherwise: Values) -> Values:
    """One value where the test holds, the other where it does not."""
    valid = np.where(test, then.is_valid(), otherwise.is_valid())
    kept = None if bool(valid.all()) else valid
    if _is_null(then):
        then = Values(otherwise.kind, otherwise.data, then.valid, otherwise.pool)
    if _is_null(otherwise):
        otherwise = Values(then.kind, then.data, otherwise.valid, then.pool)
    if then.kind is Kind.POOLED and otherwise.kind is Kind.POOLED:
        return _choose_pooled(test, then, otherwise, kept)
    then, otherwise = unpooled(then), unpooled(otherwise)
    texts = {Kind.TEXT, Kind.POOLED}
    if then.kind in texts or otherwise.kind in texts:
        array = pc.if_else(from_numpy(test), then.as_text(), otherwise.as_text())
        return Values(Kind.TEXT, pc.fill_null(array, NOTHING), kept)
    data = np.where(test, then.data, otherwise.data)
    if then.kind is otherwise.kind:
        return Values(then.kind, data, kept)
    kind = Kind.NUMBER if data.dtype.kind == "f" else Kind.INTEGER
    return Values(Kind.MOMENT if Kind.MOMENT in {then.kind, otherwise.kind} else kind, data, kept)


def _is_null(values: Values) -> bool:
    return values.pool is not None and values.pool.values == (None,)


def _choose_pooled(test: Mask, then: Values, otherwise: Values, valid: Mask | None) -> Values:
    assert then.pool is not None
    assert otherwise.pool is not None
    if then.pool is otherwise.pool:
        return Values(Kind.POOLED, np.where(test, then.data, otherwise.data), valid, then.pool)
    merged = {_hashable(value): number for number, value in enumerate(then.pool.values)}
    values = list(then.pool.values)
    codes = np.empty(len(otherwise.pool), dtype=np.int32)
    for number, value in enumerate(otherwise.pool.values):
        name = _hashable(value)
        if name not in merged:
            merged[name] = len(values)
            values.append(value)
        codes[number] = merged[name]
    data = np.where(test, then.data, codes[otherwise.data]).astype(np.int32)
    return Values(Kind.POOLED, data, valid, Pool(tuple(values)))


def _hashable(value: Any) -> Any:
    return (type(value), tuple(value) if isinstance(value, list) else value)


def _call(node: Call, rows: Rows) -> Values:
    name, arguments = node.name, node.arguments
    first = arguments[0]
    is_table = isinstance(first, Ref) and len(first.path) == 1 and rows.is_child(first.path[0])
    if name in AGGREGATES and is_table:
        assert isinstance(first, Ref)
        return rows.aggregate(name, first.path[0], arguments[1] if len(arguments) > 1 else None)
    if name == "entered":
        assert isinstance(first, Ref)
        assert isinstance(arguments[1], Literal)
        return rows.entered(first.path, str(arguments[1].value))
    if name == "row":
        assert isinstance(first, Ref)
        return rows.row_of(first.path)
    if name == "child":
        return _child(arguments, rows)
    values = [evaluate(argument, rows) for argument in arguments]
    return _PLAIN[name](values)


def _child(arguments: tuple[Node, ...], rows: Rows) -> Values:
    table, parent, number = arguments
    if not isinstance(table, Ref) or not isinstance(parent, Ref):
        raise TypeError("child() takes a table, the name of its parent, and a number")
    address = rows.row_of(parent.path)
    place = unpooled(evaluate(number, rows))
    data = rows.child_row(table.path[0], address.data, place.data.astype(np.int64))
    return Values(Kind.INTEGER, data, both(address.valid, place.valid))


def _round(values: list[Values]) -> Values:
    value = unpooled(values[0])
    decimals = int(unpooled(values[1]).data[0]) if len(values) > 1 and len(value) else 0
    if value.data.dtype.kind != "f":
        return value
    if decimals == 0:
        present = np.where(value.is_valid(), value.data, 0)
        return Values(Kind.INTEGER, np.rint(present).astype(np.int64), value.valid)
    return Values(Kind.NUMBER, rounded(value.data, decimals), value.valid)


def rounded(data: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    """Rounded to even at so many decimals."""
    factor = 10.0**decimals
    result: NDArray[np.float64] = data * factor
    np.rint(result, out=result)
    result /= factor
    return result


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
    from headrace.synth.values import decimal

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
    pool: dict[Any, int] = {None: 0}
    table = np.zeros((len(lists), longest + 1), dtype=np.int32)
    for number, elements in enumerate(lists):
        for position, element in enumerate(elements):
            table[number, position] = pool.setdefault(element, len(pool))
    codes = table[value.data, np.clip(place, 0, longest)]
    valid = both(value.valid, codes > 0)
    return Values(Kind.POOLED, codes, valid, Pool(tuple(pool)))


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


def civil(moments: NDArray[np.int64]) -> tuple[Any, Any, Any]:
    """Year, month and day of moments (Hinnant, "chrono-compatible low-level date algorithms")."""
    number = moments // _DAY + 719_468
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


def _of_moment(function: Callable[[NDArray[np.int64]], Any]) -> Callable[[list[Values]], Values]:
    def part(values: list[Values]) -> Values:
        value = values[0]
        present = np.where(value.is_valid(), value.data, 0)
        return Values(Kind.INTEGER, np.asarray(function(present), dtype=np.int64), value.valid)

    return part


def _date(values: list[Values]) -> Values:
    data = np.where(values[0].is_valid(), values[0].data, 0)
    return Values(Kind.DATE, data - data % _DAY, values[0].valid)


def _yyyymmdd(values: list[Values]) -> Values:
    data = np.where(values[0].is_valid(), values[0].data, 0)
    unique, codes = np.unique(data // _DAY, return_inverse=True)
    year, month, day = civil(unique * _DAY)
    texts = tuple(f"{y:04d}{m:02d}{d:02d}" for y, m, d in zip(year, month, day, strict=True)) or (
        "",
    )
    return Values(Kind.POOLED, codes.astype(np.int32), values[0].valid, Pool(texts))


_PLAIN: Final[dict[str, Callable[[list[Values]], Values]]] = {
    "abs": _absolute,
    "ceil": _whole(np.ceil),
    "choose": _choose,
    "coalesce": _coalesce,
    "date": _date,
    "day": _of_moment(lambda data: civil(data)[2]),
    "days": _length_of_time(_DAY),
    "floor": _whole(np.floor),
    "hour": _of_moment(lambda data: data % _DAY // 3_600_000_000),
    "hours": _length_of_time(3_600_000_000),
    "item": _item,
    "length": _length,
    "lower": _case(str.lower, pc.utf8_lower),
    "max": _extreme(np.maximum),
    "micros": _of_moment(lambda data: data),
    "min": _extreme(np.minimum),
    "minutes": _length_of_time(60_000_000),
    "month": _of_moment(lambda data: civil(data)[1]),
    "pad": _pad,
    "round": _round,
    "seconds": _length_of_time(1_000_000),
    "text": _text,
    "upper": _case(str.upper, pc.utf8_upper),
    "weekday": _of_moment(lambda data: (data // _DAY + 3) % 7),
    "year": _of_moment(lambda data: civil(data)[0]),
    "yyyymmdd": _yyyymmdd,
}
