"""Changes of the columns that are written, and columns as text."""

import json
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from headrace.synth.record_batch import plain
from headrace.synth.schema.fault import (
    ColumnAdded,
    ColumnDropped,
    ColumnNested,
    ColumnRenamed,
    ColumnRetyped,
    SchemaChange,
)

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
