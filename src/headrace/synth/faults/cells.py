"""Faults of values: which rows of a block they affect, and what these hold instead."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth.draw_text import uuids
from headrace.synth.expression import Ref
from headrace.synth.faults.block import Block, Effect, NumberedFaults, as_text, fault_key, kind_of
from headrace.synth.frame import Frame
from headrace.synth.hashing import Key, below, bits, unit
from headrace.synth.plan import TablePlan
from headrace.synth.population import to_us
from headrace.synth.record_batch import to_batch
from headrace.synth.schema.base import as_datetime
from headrace.synth.schema.fault import (
    Drift,
    FaultBase,
    Nulls,
    OrphanKeys,
    OutOfRange,
    StaleFeed,
    TypeFlip,
)
from headrace.synth.schema.fields import (
    AnyField,
    Datetime,
    Derived,
    ForeignKey,
    Numerical,
    Serial,
    Unique,
    Uuid,
)
from headrace.synth.values import Mask, decimal

Cell = Nulls | OrphanKeys | OutOfRange | TypeFlip | Drift
NO_SUCH_ROW: Final = 1 << 41
"""From this address on there are rows that no table has: keys of orphans, then of spikes."""
_YEAR_US: Final = 31_536_000_000_000
_WORDS: Final = pa.array(["n/a", "unknown", "none", "#REF!", "-"])


def key_target(plan: TablePlan, column: str) -> tuple[TablePlan, str] | None:
    """The key that a column holds a copy of: a foreign key's, or the parent's by an expression."""
    item = plan.table.fields[column]
    if isinstance(item, ForeignKey):
        return plan.keys[column], item.column
    node = plan.nodes.get(("fields", column, "expression"))
    if isinstance(item, Derived) and isinstance(node, Ref) and len(node.path) > 1:
        target, name = plan.resolve(node.path)
        if name in target.table.key:
            return target, name
    return None


def number_text(item: AnyField, kind: pa.DataType) -> bool:
    """Whether a column of strings holds numbers."""
    return (
        pa.types.is_string(kind)
        and isinstance(item, Numerical | Derived)
        and item.as_ == "text"
        and item.round is not None
    )


def cell(
    number: int, fault: Cell, block: Block, *, everywhere: bool = False
) -> tuple[Mask, pa.Array]:
    """The rows that a fault of values affects, and the column as it would be in all of them.

    Args:
        number: of the fault.
        fault: what to do.
        block: the rows.
        everywhere: not only rows whose value comes to another one.

    Returns:
        A mask, and an array of the column's type; of strings for a type flip.
    """
    array = block.clean[fault.column]
    mask = block.chosen(number, fault) & block.valid(fault.column)
    random = fault_key(block.frame.seed, number, fault, "value")
    item = block.plan.table.fields[fault.column]
    match fault:
        case Nulls():
            return mask, pa.nulls(len(block), array.type)
        case OrphanKeys():
            made = _orphans(block, fault.column, random)
        case OutOfRange():
            made = _outside(fault, item, array, bits(random, block.rows))
        case TypeFlip():
            return mask, _flipped(array, item, bits(random, block.rows))
        case Drift():
            made = _drifted(fault, item, array, unit(random, block.rows))
    return (mask if everywhere else mask & differs(array, made)), made


def differs(left: pa.Array, right: pa.Array) -> Mask:
    """Where two columns do not hold the same."""
    if pa.types.is_nested(left.type):
        pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
        return np.array([one != other for one, other in pairs], dtype=bool)
    same = pc.or_(
        pc.fill_null(pc.equal(left, right), False),
        pc.and_(left.is_null(), right.is_null()),
    )
    result: Mask = ~same.to_numpy(zero_copy_only=False)
    return result


def _orphans(block: Block, column: str, random: Key) -> pa.Array:
    target = key_target(block.plan, column)
    assert target is not None
    draws = bits(random, block.rows)
    address = NO_SUCH_ROW + below(draws, 1 << 32)
    return new_key(target[0], target[1], block.clean[column].type, address, draws)


def new_key(
    plan: TablePlan,
    column: str,
    kind: pa.DataType,
    address: NDArray[np.int64],
    draws: NDArray[np.uint64],
) -> pa.Array:
    """Keys of rows that do not exist, by addresses no row has."""
    item = plan.table.fields[column]
    if isinstance(item, Serial):
        return pa.array(item.start + address * item.step).cast(kind)
    if not pa.types.is_string(kind):
        return pa.array(address).cast(kind)
    if isinstance(item, Uuid) or (isinstance(item, Unique) and item.generator == "faker.uuid4"):
        return uuids(np.zeros(len(draws), np.uint64), draws).as_text()
    return pc.binary_join_element_wise("no-such-", pa.array(address).cast(pa.string()), "")


def is_key_kind(kind: pa.DataType) -> bool:
    """Whether keys of rows that do not exist can be made."""
    return kind_of(kind) in {"text", "integer"}


def to_number(array: pa.Array) -> NDArray[np.float64]:
    """A column of numbers, 0 where it is null."""
    filled = pc.fill_null(array.cast(pa.float64()), 0.0)
    result: NDArray[np.float64] = filled.to_numpy(zero_copy_only=False)
    return result


def _from_number(data: NDArray[np.float64], item: AnyField, kind: pa.DataType) -> pa.Array:
    """Numbers as the column writes them."""
    scale = item.round if isinstance(item, Numerical | Derived) else None
    if pa.types.is_integer(kind):
        return pa.array(np.rint(data).astype(np.int64)).cast(kind)
    if pa.types.is_decimal(kind):
        return decimal(data, kind.scale).cast(kind)
    if pa.types.is_string(kind):
        return decimal(data, scale or 0).cast(pa.string())
    return pa.array(data if scale is None else np.round(data, scale))


def _limits(item: AnyField) -> tuple[float | None, float | None]:
    if not isinstance(item, Numerical):
        return None, None
    low, high = item.bounds
    if item.quantiles is not None:
        return item.quantiles[0], item.quantiles[-1]
    if item.distribution == "gaussian":
        assert item.mean is not None
        assert item.stddev is not None
        low = item.mean - 6 * item.stddev if low is None else low
        high = item.mean + 6 * item.stddev if high is None else high
    elif item.distribution in {"lognormal", "exponential", "poisson"}:
        low = 0.0 if low is None else low
    elif item.distribution == "zipf":
        low = 1.0 if low is None else low
    return low, high


def _outside(
    fault: OutOfRange, item: AnyField, array: pa.Array, draws: NDArray[np.uint64]
) -> pa.Array:
    above = (draws & np.uint64(1)).astype(bool)
    far = below(draws, 1 << 20) / (1 << 20)
    if pa.types.is_temporal(array.type):
        low, high = (to_us(as_datetime(year)) for year in _years(item))
        timestamps = np.where(above, high, low) + (far * _YEAR_US).astype(np.int64)
        timestamps -= timestamps % 1_000_000
        return pa.array(timestamps).cast(pa.timestamp("us")).cast(array.type, safe=False)
    if fault.value is not None:
        return _from_number(np.full(len(array), fault.value), item, array.type)
    lowest, highest = _limits(item)
    if lowest is None and highest is None:
        data = -(np.abs(to_number(array)) * 1_000 + 1_000_000 * (1 + far))
        return _from_number(data, item, array.type)
    if lowest is None or highest is None:
        above = np.full(len(array), lowest is None)
    span = (highest - lowest) if lowest is not None and highest is not None else 1_000.0
    span = max(span, 1.0)
    over = (highest or 0.0) + span * (1 + far)
    under = (lowest or 0.0) - span * (1 + far)
    return _from_number(np.where(above, over, under), item, array.type)


def _years(item: AnyField) -> tuple[Any, Any]:
    """Years, before and after any that a column holds, that timestamps out of range lie in."""
    from datetime import date

    if isinstance(item, Datetime) and item.range is not None:
        first, last = (as_datetime(bound).year for bound in item.range)
        return date(max(1, min(1900, first - 2)), 1, 1), date(max(2200, last + 2), 1, 1)
    return date(1900, 1, 1), date(2200, 1, 1)


def _flipped(array: pa.Array, item: AnyField, draws: NDArray[np.uint64]) -> pa.Array:
    """Words where there are numbers, timestamps or booleans; a number where there is text."""
    if pa.types.is_string(array.type) and not number_text(item, array.type):
        # a fraction with 9 digits: no text of the generator is one
        digits = pa.array(below(draws, 1_000_000_000)).cast(pa.string())
        return pc.binary_join_element_wise("-0", pc.utf8_lpad(digits, 9, "0"), ".")
    return _WORDS.take(pa.array(below(draws, len(_WORDS))))


def _drifted(fault: Drift, item: AnyField, array: pa.Array, units: NDArray[np.float64]) -> pa.Array:
    if fault.weights is None:
        data = to_number(array) * fault.scale + fault.shift
        return _from_number(data, item, array.type)
    values = pa.array(list(fault.weights)).cast(array.type)
    weights = np.array(list(fault.weights.values()), dtype=np.float64)
    ends = np.cumsum(weights) / weights.sum()
    place = np.minimum(np.searchsorted(ends, units, side="right"), len(ends) - 1)
    return values.take(pa.array(place))


def overwritten(
    block: Block, listed: NumberedFaults, keep: Mask, effects: list[Effect]
) -> tuple[dict[str, pa.Array], dict[str, pa.Array], Mask]:
    """Columns with faulty values, what copies with new keys hold, and rows with own faults.

    A cell has one fault at most: the first of those that affect single rows, else the first of
    those that affect all rows from some time on.
    """
    columns, base = dict(block.clean), dict(block.clean)
    taken: dict[str, Mask] = {}
    moved: dict[str, Mask] = {}
    flips: dict[str, tuple[Mask, pa.Array]] = {}
    sparse = np.zeros(len(block), dtype=bool)
    none = np.zeros(len(block), dtype=bool)

    def hit(number: int, fault: FaultBase, column: str, mask: Mask, made: pa.Array) -> Mask:
        mask = mask & keep & ~taken.get(column, none)
        taken[column] = taken.get(column, none) | mask
        place = np.flatnonzero(mask)
        effects.append(Effect(number, fault, "changed", place, column, block.clean[column], made))
        return mask

    for number, fault in listed:
        if isinstance(fault, Nulls | OrphanKeys | OutOfRange | TypeFlip):
            mask, made = cell(number, fault, block)
            mask = hit(number, fault, fault.column, mask, made)
            sparse |= mask
            if isinstance(fault, TypeFlip):
                before = flips.get(fault.column)
                texts = made if before is None else _where(mask, made, before[1])
                flips[fault.column] = (mask if before is None else mask | before[0], texts)
            else:
                columns[fault.column] = _where(mask, made, columns[fault.column])
    for number, fault in listed:
        changes: list[tuple[str, Mask, pa.Array]] = []
        if isinstance(fault, Drift):
            changes = [(fault.column, *cell(number, fault, block))]
        elif isinstance(fault, StaleFeed):
            changes = _before_the_feed_ended(fault, block, keep)
        for column, changed, made in changes:
            first = changed & ~moved.get(column, none)
            moved[column] = moved.get(column, none) | first
            base[column] = _where(first, made, base[column])
            mask = hit(number, fault, column, first, made)
            columns[column] = _where(mask, made, columns[column])
    for column, (mask, texts) in flips.items():
        columns[column] = _where(mask, texts, as_text(columns[column]))
        base[column] = as_text(base[column])
    return columns, base, sparse


def _where(mask: Mask, made: pa.Array, array: pa.Array) -> pa.Array:
    if not bool(mask.any()):
        return array
    if pa.types.is_nested(array.type):
        both = pa.concat_arrays([array, made.cast(array.type)])
        place = np.arange(len(array))
        return both.take(pa.array(np.where(mask, place + len(array), place)))
    return pc.if_else(pa.array(mask), made, array)


def _before_the_feed_ended(
    fault: StaleFeed, block: Block, keep: Mask
) -> list[tuple[str, Mask, pa.Array]]:
    """What rows held that changed since a feed ended."""
    timestamp = to_us(as_datetime(fault.from_))
    if timestamp >= block.view.as_of:
        return []
    place = np.flatnonzero(keep & (block.frame.changed() > timestamp))
    if not len(place):
        return []
    view = block.as_of(timestamp)
    frame = Frame(view, block.plan, block.rows[place])
    old = Block(view, frame, to_batch(frame))
    index = np.zeros(len(block), dtype=np.int64)
    index[place] = np.arange(len(place))
    changes = []
    for name, array in old.clean.items():
        made = array.cast(block.clean[name].type).take(pa.array(index))
        mask = np.zeros(len(block), dtype=bool)
        mask[place] = True
        changes.append((name, mask & differs(block.clean[name], made), made))
    return changes
