"""Avro files: a copy as Parquet, with the types of their schema."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.errors import SourceError
from headrace.exceptions import first_line
from headrace.ingest.discover import SourceFile
from headrace.ingest.reader import opened, scratch_file

if TYPE_CHECKING:
    import pyarrow as pa

    Column = tuple[str, pa.DataType, Callable[[Any], Any] | None]

_BATCH = 50_000  # rows
_JSON = msgspec.json.Encoder(decimal_format="number")


def avro_as_parquet(file: SourceFile, scratch: Path) -> SourceFile:
    """An Avro file as a Parquet file.

    What is nested becomes JSON, as in other formats: records, arrays, maps, and unions of several
    types. ``timestamp-millis`` and ``-micros`` are timestamps in UTC, ``local-timestamp-millis``
    and ``-micros`` those without a zone.

    Args:
        file: the file.
        scratch: where the Parquet file is written.

    Raises:
        SourceError: the extra is missing, or it is no Avro file, or is cut short.
    """
    try:
        import fastavro
    except ImportError as error:
        raise SourceError(
            f"{file.name}: Avro files need the extra avro: run `uv sync --extra avro`"
        ) from error
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = scratch_file(file, scratch, ".parquet")
    bad = (ValueError, EOFError, LookupError, TypeError, ArithmeticError, pa.ArrowException)
    with opened(file) as stream:
        try:
            reader = fastavro.reader(stream)
            columns = _columns(reader.writer_schema, file)
            schema = pa.schema([pa.field(name, kind) for name, kind, _ in columns])
            with pq.ParquetWriter(target, schema) as writer:
                while rows := list(islice(reader, _BATCH)):
                    writer.write_table(_table(rows, columns, schema))
        except bad as error:
            raise SourceError(
                f"{file.name} cannot be read as Avro, it may be cut short: copy or export it "
                f"again ({first_line(error) or type(error).__name__})"
            ) from error
    return replace(file, path=target, member=None, declared="parquet")


def _table(rows: list[Any], columns: "list[Column]", schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    arrays = []
    for name, kind, change in columns:
        values = [row[name] for row in rows]
        if change is not None:
            values = [None if value is None else change(value) for value in values]
        storage = pa.array(values, type=getattr(kind, "storage_type", kind))
        arrays.append(storage.cast(kind) if storage.type != kind else storage)
    return pa.table(arrays, schema=schema)


def _columns(schema: Any, file: SourceFile) -> "list[Column]":
    """Name and Arrow type of each column, and what is to be done with its values."""
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise SourceError(f"{file.name} holds values that are not records, so it has no columns")
    named: dict[str, Any] = {}
    return [(field["name"], *_kind(field["type"], named)) for field in schema["fields"]]


def _kind(kind: Any, named: dict[str, Any]) -> "tuple[pa.DataType, Callable[[Any], Any] | None]":
    """The Arrow type of an Avro type; ``named`` holds those that the schema has named before."""
    import pyarrow as pa

    if isinstance(kind, list):
        some = [one for one in kind if one != "null"]
        found = [_kind(one, named) for one in some]
        return found[0] if len(some) == 1 else (pa.json_(), _as_json)
    details = kind if isinstance(kind, dict) else named.get(kind, {"type": kind})
    name, logical = details["type"], details.get("logicalType")
    if isinstance(name, dict | list):
        return _kind(name, named)
    if "name" in details:
        named[details["name"]] = details
    if logical == "decimal":
        wide = pa.decimal128 if details["precision"] <= 38 else pa.decimal256
        return wide(details["precision"], details.get("scale", 0)), None
    if logical == "uuid":
        return pa.string(), str
    of_logical = {
        "date": pa.date32(),
        "time-millis": pa.time32("ms"),
        "time-micros": pa.time64("us"),
        "timestamp-millis": pa.timestamp("us", "UTC"),
        "timestamp-micros": pa.timestamp("us", "UTC"),
        "local-timestamp-millis": pa.timestamp("us"),
        "local-timestamp-micros": pa.timestamp("us"),
    }
    plain = {
        "boolean": pa.bool_(),
        "int": pa.int32(),
        "long": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "string": pa.string(),
        "enum": pa.string(),
        "bytes": pa.binary(),
        "fixed": pa.binary(),
        "null": pa.string(),
    }
    if logical in of_logical:
        return of_logical[logical], None
    return (plain[name], None) if name in plain else (pa.json_(), _as_json)


def _as_json(value: Any) -> str:
    return _JSON.encode(value).decode()
