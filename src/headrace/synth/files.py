"""Files of tables: Parquet or CSV, each under its own name only when it is complete."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from headrace import portable
from headrace.synth.errors import OutputError
from headrace.synth.plan import TablePlan
from headrace.synth.schema.fields import Datetime, Serial

Format = Literal["parquet", "csv"]


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A path to write to; what is there at the end replaces ``path``, unless there is an error.

    Raises:
        OutputError: it cannot be written there.
    """
    try:
        with portable.replaced_file(path) as temporary:
            yield temporary
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def parquet_options(plan: TablePlan, schema: pa.Schema) -> dict[str, Any]:
    """Dictionaries where there is a pool, deltas where numbers run; the rest as it is."""
    pooled = [each.name for each in schema if pa.types.is_dictionary(each.type)]
    encodings = {}
    for each in schema:
        item = plan.table.fields.get(each.name)
        runs = isinstance(item, Serial) or (
            isinstance(item, Datetime) and item.distribution == "rate"
        )
        if runs and (pa.types.is_int64(each.type) or pa.types.is_timestamp(each.type)):
            encodings[each.name] = "DELTA_BINARY_PACKED"
    return {
        "compression": "snappy",
        "use_dictionary": pooled or False,
        "column_encoding": encodings or None,
        "store_schema": False,
        "write_statistics": True,
    }


class Sink(Protocol):
    """A file that takes tables one after another."""

    def write(self, table: pa.Table) -> None:
        """Write some rows."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def open_sink(path: Path, kind: Format, plan: TablePlan, schema: pa.Schema) -> Sink:
    """A file to write tables to."""
    return _Parquet(path, plan, schema) if kind == "parquet" else _Csv(path, plan, schema)


class _Parquet:
    def __init__(self, path: Path, plan: TablePlan, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema, **parquet_options(plan, schema))

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table, row_group_size=len(table))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


class _Csv:
    """UTF-8, a header, timestamps as ISO 8601 in UTC; nested columns as JSON."""

    def __init__(self, path: Path, plan: TablePlan, schema: pa.Schema) -> None:
        self._plan = plan
        self._schema = pa.schema([self._field(each) for each in schema])
        self._writer = pacsv.CSVWriter(path, self._schema)

    def _field(self, each: pa.Field) -> pa.Field:
        if pa.types.is_nested(each.type):
            return pa.field(each.name, pa.string())
        item = self._plan.table.fields.get(each.name)
        is_timestamp = pa.types.is_timestamp(each.type)  # a fault may have made it another type
        if is_timestamp and isinstance(item, Datetime) and item.precision == "second":
            return pa.field(each.name, pa.timestamp("s", tz="UTC"))
        return each

    def write(self, table: pa.Table) -> None:
        columns = []
        for each in self._schema:
            column = table.column(each.name)
            if pa.types.is_nested(column.type):
                column = pa.array(map(_json, column.to_pylist()), pa.string())
            elif column.type != each.type:
                column = column.cast(each.type, safe=False)
            columns.append(column)
        self._writer.write_table(pa.table(columns, schema=self._schema))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, default=str, ensure_ascii=False)
