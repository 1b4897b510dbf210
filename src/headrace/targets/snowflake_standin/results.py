"""What a statement gives, as Snowflake's connector reads it: types, JSON rows or Arrow batches."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

_ROWS_INLINE = 50_000
SELECT, DML, INSERT, UPDATE, DELETE, MERGE, DDL = (
    0x1000, 0x3000, 0x3100, 0x3200, 0x3300, 0x3400, 0x6000,
)  # fmt: skip
"""Snowflake's numbers of kinds of statements; by them the connector counts rows."""


@dataclass
class Result:
    """The rows of a statement.

    Attributes:
        table: them, as DuckDB gives them.
        kind: the number of the kind of statement.
        json_columns: columns that hold JSON text: VARIANT, OBJECT, ARRAY.
        transfer: instead of rows, what the connector needs to transfer files.
    """

    table: pa.Table
    kind: int = SELECT
    json_columns: frozenset[str] = frozenset()
    transfer: dict[str, Any] = field(default_factory=dict)


def status(text: str, kind: int = DDL) -> Result:
    """The one row that a statement without rows gives."""
    return Result(pa.table({"status": [text]}), kind)


def rows(columns: Sequence[str], values: Sequence[Sequence[Any]], kind: int = SELECT) -> Result:
    """Rows of Python values; a column without any is of text."""
    by_name = list(zip(*values, strict=True)) if values else [() for _ in columns]
    arrays = [
        pa.array(column, None if any(one is not None for one in column) else pa.string())
        for column in by_name
    ]
    return Result(pa.table(arrays, names=list(columns)), kind)


def _type_of(column: pa.Field, *, is_json: bool) -> dict[str, Any]:
    kind = column.type
    precision: int | None = None
    scale: int | None = None
    length: int | None = None
    if is_json or pa.types.is_nested(kind):
        name = "variant"
    elif pa.types.is_integer(kind):
        name, precision, scale = "fixed", 38, 0
    elif pa.types.is_decimal(kind):
        name, precision, scale = "fixed", kind.precision, kind.scale
    elif pa.types.is_floating(kind):
        name = "real"
    elif pa.types.is_boolean(kind):
        name = "boolean"
    elif pa.types.is_date(kind):
        name = "date"
    elif pa.types.is_timestamp(kind):
        name, precision, scale = ("timestamp_tz" if kind.tz else "timestamp_ntz"), 0, 9
    elif pa.types.is_time(kind):
        name, precision, scale = "time", 0, 9
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        name, length = "binary", 8_388_608
    else:
        name, length = "text", 16_777_216
    return {
        "name": column.name, "database": "", "schema": "", "table": "", "nullable": True,
        "type": name, "byteLength": length, "length": length, "scale": scale,
        "precision": precision, "collation": None,
    }  # fmt: skip


def _as_json_text(column: pa.ChunkedArray) -> pa.Array:
    import duckdb

    with duckdb.connect() as connection:
        connection.register("given", pa.table({"v": column}))
        found = connection.execute("select cast(to_json(v) as varchar) as v from given")
        return found.to_arrow_table().column("v").combine_chunks()


def _sent(column: pa.ChunkedArray) -> pa.Array:
    """A column in the form in which Snowflake sends its type."""
    kind = column.type
    if pa.types.is_nested(kind):
        return _as_json_text(column)
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # no chunk at all
        array = pa.concat_arrays(array.chunks) if array.chunks else pa.array([], kind)
    if pa.types.is_timestamp(kind):
        return _sent_timestamp(array)
    if pa.types.is_time(kind):
        return array.cast(pa.time64("ns")).cast(pa.int64())
    if pa.types.is_float32(kind):
        return array.cast(pa.float64())
    if pa.types.is_integer(kind):
        return array.cast(pa.decimal128(38, 0)) if kind == pa.uint64() else array.cast(pa.int64())
    if pa.types.is_string_view(kind) or pa.types.is_null(kind) or pa.types.is_large_string(kind):
        return array.cast(pa.string())
    return array


def _sent_timestamp(array: pa.Array) -> pa.Array:
    kind = array.type
    missing = array.is_null().to_numpy(zero_copy_only=False)
    to_us = array.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64()).fill_null(0)
    us = to_us.to_numpy(zero_copy_only=False)
    parts = [
        pa.array(np.floor_divide(us, 1_000_000), pa.int64()),
        pa.array((np.mod(us, 1_000_000) * 1000).astype("int32"), pa.int32()),
    ]
    names = ["epoch", "fraction"]
    if kind.tz:
        parts.append(pa.array(np.full(len(us), 1440, "int32"), pa.int32()))  # UTC
        names.append("timezone")
    fields = [
        pa.field(name, part.type, nullable=False) for name, part in zip(names, parts, strict=True)
    ]
    return pa.StructArray.from_arrays(parts, fields=fields, mask=pa.array(missing))


def _stream(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def _json_value(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def answer(result: Result, query_id: str) -> tuple[dict[str, Any], list[tuple[int, bytes]]]:
    """The data of a response, and the chunks that the connector asks for afterwards.

    Returns:
        The data, without the chunks' addresses; each chunk with its number of rows.
    """
    types = [
        _type_of(column, is_json=column.name in result.json_columns)
        for column in result.table.schema
    ]
    data: dict[str, Any] = {
        "rowtype": types,
        "total": result.table.num_rows,
        "returned": result.table.num_rows,
        "queryId": query_id,
        "statementTypeId": result.kind,
        "parameters": [],
        "numberOfBinds": 0,
        "arrayBindSupported": False,
        "version": 1,
    }
    if result.transfer:
        return {**data, **result.transfer}, []
    if result.kind != SELECT:
        table = result.table.to_pylist()
        data["rowset"] = [[_json_value(value) for value in row.values()] for row in table]
        data["queryResultFormat"] = "json"
        return data, []
    arrays = [_sent(result.table.column(number)) for number in range(len(types))]
    schema = pa.schema(
        [
            pa.field(
                one["name"],
                array.type,
                metadata={
                    "logicalType": one["type"].upper(),
                    "precision": str(one["precision"] or 38),
                    "scale": str(one["scale"] or 0),
                    "charLength": str(one["length"] or 0),
                },
            )
            for one, array in zip(types, arrays, strict=True)
        ]
    )
    batches = pa.Table.from_arrays(arrays, schema=schema).to_batches(max_chunksize=_ROWS_INLINE)
    batches = [batch for batch in batches if batch.num_rows]  # an empty one crashes the connector
    first = base64.b64encode(_stream(batches[:1], schema)).decode() if batches else ""
    data["rowsetBase64"] = first
    data["queryResultFormat"] = "arrow"
    data["returned"] = batches[0].num_rows if batches else 0
    rest = [(batch.num_rows, _stream([batch], schema)) for batch in batches[1:]]
    return data, rest
