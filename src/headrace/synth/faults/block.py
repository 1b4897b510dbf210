"""A block of a table's rows, and what is written of it with faults and changed columns."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth.faults.manifest import SCHEMA
from headrace.synth.frame import Frame
from headrace.synth.hashing import Key, key, unit
from headrace.synth.plan import TablePlan
from headrace.synth.population import to_us
from headrace.synth.record_batch import plain
from headrace.synth.schema.base import as_datetime
from headrace.synth.schema.fault import (
    AnyFault,
    ColumnAdded,
    ColumnDropped,
    ColumnNested,
    ColumnRenamed,
    ColumnRetyped,
    DayFault,
    FaultBase,
    RowFault,
    SchemaChange,
    TimedFault,
)
from headrace.synth.schema.fields import Datetime
from headrace.synth.values import ALWAYS, DAY_US, NEVER, Mask, to_arrow
from headrace.synth.view import View

TYPES: Final = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}


def kind_of(kind: pa.DataType) -> str:
    """What a type is called in a fault; ``nested`` for structs and lists."""
    if pa.types.is_dictionary(kind):
        return kind_of(kind.value_type)
    for name, test in (
        ("nested", pa.types.is_nested),
        ("boolean", pa.types.is_boolean),
        ("integer", pa.types.is_integer),
        ("datetime", pa.types.is_timestamp),
        ("date", pa.types.is_date),
        ("text", pa.types.is_string),
    ):
        if test(kind):
            return name
    return "number"


RETYPES: Final = {
    "integer": ("text", "number"),
    "number": ("text", "integer"),
    "boolean": ("text", "integer"),
    "datetime": ("text", "date"),
    "date": ("text", "datetime"),
    "text": (),
    "nested": ("text",),
}
"""What a column can be written as instead."""


def as_text(array: pa.Array) -> pa.Array:
    """A column as strings: timestamps as in ``2024-03-05 10:00:00Z``, nested ones as JSON."""
    if pa.types.is_string(array.type):
        return array
    if pa.types.is_nested(array.type):
        return pa.array(
            [
                None if value is None else json.dumps(value, default=str, ensure_ascii=False)
                for value in array.to_pylist()
            ],
            pa.string(),
        )
    if pa.types.is_timestamp(array.type):
        plain_text = array.cast(pa.timestamp("us")).cast(pa.string())
        seconds = pc.replace_substring_regex(plain_text, r"\.000000$", "")
        return pc.binary_join_element_wise(seconds, "Z", "")
    return array.cast(pa.string())


def changed(fault: SchemaChange, table: pa.Table) -> pa.Table:
    """A table after a change of its columns."""
    name = fault.column
    if isinstance(fault, ColumnAdded):
        kind = TYPES[fault.type]
        value = pa.scalar(None, kind) if fault.value is None else added_value(fault)
        return table.append_column(name, pa.repeat(value, len(table)))
    place = table.schema.get_field_index(name)
    match fault:
        case ColumnDropped():
            return table.remove_column(place)
        case ColumnRenamed():
            return table.rename_columns(
                [fault.to if column == name else column for column in table.column_names]
            )
        case ColumnRetyped():
            return table.set_column(place, name, _retyped(_one(table, name), fault.type))
        case ColumnNested():
            return _nested(fault, table, place)
    raise AssertionError(fault)


def added_value(fault: ColumnAdded) -> pa.Scalar:
    """What an added column holds.

    Raises:
        ArrowInvalid: the value is not of the type.
    """
    if fault.type == "text":
        return pa.scalar(str(fault.value))
    return pa.scalar(fault.value).cast(TYPES[fault.type])


def _one(table: pa.Table, name: str) -> pa.Array:
    array = plain(table.select([name])).column(0).combine_chunks()
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _retyped(array: pa.Array, to: str) -> pa.Array:
    if to == "text":
        return as_text(array)
    if to == "integer" and not pa.types.is_boolean(array.type):
        array = pc.round(array.cast(pa.float64()))
    return array.cast(TYPES[to], safe=False)


def _nested(fault: ColumnNested, table: pa.Table, place: int) -> pa.Table:
    array = _one(table, fault.column)
    there = table.schema.get_field_index(fault.into)
    names, arrays = [fault.column], [array]
    if there < 0 or there == place:
        struct = pa.StructArray.from_arrays(arrays, names=names)
        return table.set_column(place, fault.into, struct)
    struct = _one(table, fault.into)
    names = [*(each.name for each in struct.type), *names]
    arrays = [*struct.flatten(), *arrays]
    struct = pa.StructArray.from_arrays(arrays, names=names)
    return table.set_column(there, fault.into, struct).remove_column(place)


NumberedFaults = list[tuple[int, AnyFault]]
"""Faults by their numbers, which are their places in the list that was asked for, from 0."""


def fault_key(seed: int, number: int, fault: FaultBase, *purpose: str) -> Key:
    """The key of what a fault draws."""
    column = getattr(fault, "column", None) or ""
    return key(seed, "fault", str(number), fault.table, column, *purpose)


def clock_of(plan: TablePlan) -> str | None:
    """The datetime that says when a row of a table that does not evolve came, if there is one."""
    for name in plan.columns:
        item = plan.table.fields[name]
        if isinstance(item, Datetime) and item.distribution == "uniform":
            return name
    return None


class Block:
    """Rows as they are without faults.

    Attributes:
        view: that the rows are of.
        frame: the rows.
        plan: their table.
        rows: their addresses, shape (n,), rising.
        clean: what is written of them, by column, strings not as dictionaries.
    """

    def __init__(
        self,
        view: View,
        frame: Frame,
        batch: pa.RecordBatch,
        views: dict[int, View] | None = None,
    ) -> None:
        self.view = view
        self.frame = frame
        self.plan = frame.plan
        self.rows = frame.rows
        self._views = {} if views is None else views
        table = plain(pa.Table.from_batches([batch])).combine_chunks()
        self.clean: dict[str, pa.Array] = {
            name: pa.concat_arrays(table.column(name).chunks)
            if table.column(name).num_chunks
            else pa.array([], table.schema.field(name).type)
            for name in table.column_names
        }

    def __len__(self) -> int:
        return len(self.rows)

    def as_of(self, timestamp: int) -> View:
        """The world at another timestamp, one for all blocks."""
        return self._views.setdefault(timestamp, View(self.view.world, timestamp))

    @cached_property
    def times(self) -> NDArray[np.int64]:
        """When each row came into being, in microseconds; ``ALWAYS`` where nothing says it."""
        if self.plan.evolves:
            return self.frame.at()
        column = clock_of(self.plan)
        return np.full(len(self), ALWAYS) if column is None else self.timestamps(column)

    def timestamps(self, column: str) -> NDArray[np.int64]:
        """A column of datetimes or dates in microseconds; ``NEVER`` where it is null."""
        array = self.clean[column].cast(pa.timestamp("us")).cast(pa.int64())
        result: NDArray[np.int64] = pc.fill_null(array, NEVER).to_numpy(zero_copy_only=False)
        return result

    def valid(self, column: str) -> Mask:
        """Where a column is not null."""
        result: Mask = self.clean[column].is_valid().to_numpy(zero_copy_only=False)
        return result

    def chosen(self, number: int, fault: FaultBase) -> Mask:
        """The rows that a fault is about: by its share or rows, its window or its day."""
        mask = np.ones(len(self), dtype=bool)
        if isinstance(fault, RowFault):
            mask &= picked(self.frame.seed, number, fault, self.rows)
        if isinstance(fault, TimedFault):
            mask &= within(fault, self.times)
        if isinstance(fault, DayFault):
            first = day_of(fault)
            times = self.times if fault.column is None else self.timestamps(fault.column)
            mask &= (times >= first) & (times < first + DAY_US)
        return mask

    def keys(self) -> pa.Array:
        """The primary key of each row as a JSON object; null in a table without one."""
        names = self.plan.table.key
        if not names:
            return pa.nulls(len(self), pa.string())
        columns = [self.column(name) for name in names]
        if len(names) == 1 and pa.types.is_integer(columns[0].type):
            return pc.binary_join_element_wise(
                f'{{"{names[0]}": ', columns[0].cast(pa.string()), "}", ""
            )
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        return pa.array([key_text(names, row) for row in rows], pa.string())

    def column(self, name: str) -> pa.Array:
        """A column, written or not."""
        return self.clean[name] if name in self.clean else to_arrow(self.frame.column(name))


def key_text(names: tuple[str, ...], values: tuple[Any, ...]) -> str:
    """A key as JSON."""
    return json.dumps(dict(zip(names, values, strict=True)), default=str, ensure_ascii=False)


def picked(seed: int, number: int, fault: RowFault, rows: NDArray[np.int64]) -> Mask:
    """The rows of a fault's share, or those it names."""
    if fault.rows is not None:
        return np.isin(rows, fault.rows)
    share = 0.01 if fault.share is None else fault.share
    mask: Mask = unit(fault_key(seed, number, fault), rows) < share
    return mask


def within(fault: TimedFault, times: NDArray[np.int64]) -> Mask:
    """The rows that came within a fault's window."""
    mask = np.ones(len(times), dtype=bool)
    if fault.from_ is not None:
        mask &= (times >= to_us(as_datetime(fault.from_))) & (times != NEVER)
    if fault.to is not None:
        mask &= times < to_us(as_datetime(fault.to))
    return mask


def day_of(fault: DayFault) -> int:
    """The first microsecond of a fault's day."""
    timestamp = to_us(as_datetime(fault.day))
    return timestamp - timestamp % DAY_US


@dataclass(frozen=True, slots=True)
class Effect:
    """What a fault did to rows of a block."""

    number: int
    fault: FaultBase
    effect: str
    positions: NDArray[np.int64]
    column: str | None = None
    clean: pa.Array | None = None
    faulty: pa.Array | None = None
    keys: pa.Array | None = None
    times: NDArray[np.int64] | None = None


@dataclass
class WrittenRows:
    """What is written of a block, before its schema changes.

    Attributes:
        block: the rows without faults.
        columns: what is written, by column.
        rows: the address of each line, rising.
        original: the lines that are no copies.
        effects: what faults did.
    """

    block: Block
    columns: dict[str, pa.Array]
    rows: NDArray[np.int64]
    original: Mask
    effects: list[Effect] = field(default_factory=list)

    def table(self) -> pa.Table:
        """The lines as Arrow."""
        return pa.table(self.columns)

    def manifest(self) -> pa.RecordBatch:
        """The effects by row, then by number of fault."""
        block = self.block
        keys = block.keys() if any(effect.keys is None for effect in self.effects) else None
        parts = [
            _manifest_rows(block, effect, keys) for effect in self.effects if len(effect.positions)
        ]
        if not parts:
            return pa.RecordBatch.from_pylist([], schema=SCHEMA)
        table = pa.Table.from_batches(parts)
        order = pc.sort_indices(
            table,
            sort_keys=[(name, "ascending") for name in ("row", "fault", "column", "key")],
        )
        return table.take(order).combine_chunks().to_batches()[0]


def _manifest_rows(block: Block, effect: Effect, keys: pa.Array | None) -> pa.RecordBatch:
    size = len(effect.positions)
    place = pa.array(effect.positions)
    times = block.times[effect.positions] if effect.times is None else effect.times
    known = (times != NEVER) & (times != ALWAYS)
    timestamps = pa.array(np.where(known, times, 0), mask=~known).cast(SCHEMA.field("time").type)
    nothing = pa.nulls(size, pa.string())
    if effect.keys is not None:
        own = effect.keys
    else:
        assert keys is not None
        own = keys.take(place)
    return pa.RecordBatch.from_arrays(
        [
            pa.repeat(pa.scalar(effect.number, pa.int32()), size),
            pa.repeat(pa.scalar(getattr(effect.fault, "kind", ""), pa.string()), size),
            pa.repeat(pa.scalar(effect.fault.table, pa.string()), size),
            pa.repeat(pa.scalar(effect.column, pa.string()), size),
            own,
            pa.array(block.rows[effect.positions]),
            pa.repeat(pa.scalar(effect.effect, pa.string()), size),
            nothing if effect.clean is None else as_text(effect.clean.take(place)),
            nothing if effect.faulty is None else as_text(effect.faulty.take(place)),
            timestamps,
        ],
        schema=SCHEMA,
    )
