"""The value of an expression in each row, and aggregates over rows."""

from typing import Any, Protocol

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth.expression import (
    AGGREGATES,
    COMPARISONS,
    Among,
    Binary,
    Choice,
    FunctionCall,
    Literal,
    Logic,
    Node,
    Ref,
    Unary,
)
from headrace.synth.functions import FUNCTIONS, item_at
from headrace.synth.values import (
    FALSE,
    NOTHING,
    Kind,
    Mask,
    Pool,
    Values,
    both,
    choose,
    constant,
    unpooled,
)


class RowSource(Protocol):
    """What an expression is evaluated over."""

    def __len__(self) -> int: ...
    def value(self, path: tuple[str, ...]) -> Values:
        """A column, or a parent's."""

    def entered(self, path: tuple[str, ...], status: str) -> Values:
        """When each row came into a status."""

    def aggregate(self, function: str, table: str, node: Node | None) -> Values:
        """Over the rows of a table that point at each row."""

    def row_of(self, path: tuple[str, ...]) -> Values:
        """The address of the row that a name points at."""

    def child_row(self, table: str, parent: NDArray[np.int64], number: Any) -> NDArray[np.int64]:
        """The address of a parent's child."""

    def is_child(self, table: str) -> bool:
        """Whether a name is that of a table that can be aggregated here."""


def evaluate(node: Node, rows: RowSource) -> Values:
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
        case FunctionCall():
            return _call(node, rows)


def truth(node: Node, rows: RowSource) -> Mask:
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
    timestamps = {Kind.TIMESTAMP, Kind.DATE}
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
    if (one.kind in timestamps) != (other.kind in timestamps):
        if result.dtype.kind == "f":
            result = np.rint(result).astype(np.int64)
        return Values(Kind.TIMESTAMP, result, valid)
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


def _call(node: FunctionCall, rows: RowSource) -> Values:
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
    if name == "item" and isinstance(arguments[1], Literal):
        return item_at(evaluate(first, rows), int(arguments[1].value))
    values = [evaluate(argument, rows) for argument in arguments]
    return FUNCTIONS[name](values)


def _child(arguments: tuple[Node, ...], rows: RowSource) -> Values:
    table, parent, number = arguments
    if not isinstance(table, Ref) or not isinstance(parent, Ref):
        raise TypeError("child() takes a table, the name of its parent, and a number")
    address = rows.row_of(parent.path)
    place = unpooled(evaluate(number, rows))
    data = rows.child_row(table.path[0], address.data, place.data.astype(np.int64))
    return Values(Kind.INTEGER, data, both(address.valid, place.valid))


def aggregated(
    function: str, node: Node | None, rows: RowSource, index: NDArray[np.int64], size: int
) -> Values:
    """An aggregate over rows, for each of ``size`` owners; ``index`` is the owner of each row."""
    if function == "count":
        hits = index if node is None else index[truth(node, rows)]
        return Values(Kind.INTEGER, np.bincount(hits, minlength=size).astype(np.int64))
    assert node is not None
    value = unpooled(evaluate(node, rows))
    if value.valid is not None:
        kept = value.valid
        value, index = value.take(np.flatnonzero(kept)), index[kept]
    if function == "sum":
        total = np.bincount(index, weights=value.data, minlength=size)
        if value.data.dtype.kind == "f":
            return Values(Kind.NUMBER, total)
        return Values(Kind.INTEGER, np.rint(total).astype(np.int64))
    seen = np.bincount(index, minlength=size) > 0
    extreme = np.zeros(size, dtype=value.data.dtype)
    if value.data.dtype.kind == "f":
        extreme[:] = np.inf if function == "min" else -np.inf
    else:
        bounds = np.iinfo(value.data.dtype)
        extreme[:] = bounds.max if function == "min" else bounds.min
    (np.minimum if function == "min" else np.maximum).at(extreme, index, value.data)
    return Values(value.kind, np.where(seen, extreme, 0), seen)
