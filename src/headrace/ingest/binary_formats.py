"""Parquet, Avro and Excel files: how each is read, or copied to what DuckDB reads."""

import csv
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.errors import SourceError, UnclearFileError
from headrace.exceptions import first_line
from headrace.formatting import first_few
from headrace.ingest.discover import SourceFile
from headrace.ingest.model import FileTable
from headrace.ingest.reader import RejectedRow, file_literal, opened, scratch_file, vanished
from headrace.sql_text import identifier

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    Column = tuple[str, pa.DataType, Callable[[Any], Any] | None]
    from python_calamine import CalamineSheet


_DIGITS = 38
_NUMBER = "file_row_number"  # DuckDB's option, and the column that it adds


@dataclass(frozen=True)
class ParquetReader:
    """Reads one Parquet file.

    Attributes:
        file: the file.
        header: the names as the file has them.
        inner: the names that DuckDB gives them: ``Name`` beside ``name`` is ``Name_1``.
        kinds: their types in DuckDB's words.
    """

    file: SourceFile
    header: tuple[str, ...]
    inner: tuple[str, ...]
    kinds: tuple[str, ...]
    rejected: tuple[RejectedRow, ...] = ()

    @property
    def numbered(self) -> bool:
        """Whether the rows have their number in ``__row``: DuckDB knows it, and can read on.

        To number rows that have been read takes one thread, and twice the time.
        """
        return _NUMBER not in {name.lower() for name in self.inner}

    def lines(self, rows: Collection[int]) -> dict[int, int]:
        """None: Parquet has no lines."""
        del rows
        return {}

    def sql(self, names: Sequence[str], kinds: Sequence[str]) -> str:
        """The rows, with the given names; the types are the file's."""
        del kinds
        selected = [
            f"{identifier(inner)} as {identifier(name)}"
            for inner, name in zip(self.inner, names, strict=True)
        ]
        if self.numbered:
            selected.append(f"{_NUMBER} + 1 as __row")
        return f"(select {', '.join(selected)} from {_rows(self.file, is_numbered=self.numbered)})"


def parquet_reader(connection: "duckdb.DuckDBPyConnection", file: SourceFile) -> ParquetReader:
    """Look at a Parquet file's columns.

    Raises:
        SourceError: it is not Parquet, or cut short, or has decimals that DuckDB reads wrongly.
    """
    import duckdb

    if file.compression:
        raise SourceError(
            f"{file.name} is a Parquet file that was compressed as a whole: unpack it, as its "
            "pages are compressed already"
        )
    try:
        # asked of DuckDB: to import pyarrow takes a quarter of a second and 50 MB
        fields = connection.execute(
            "select name, coalesce(num_children, 0), precision, scale "
            f"from parquet_schema({file_literal(file.path)})"
        ).fetchall()
        rows = connection.execute(f"describe select * from {_rows(file)}").fetchall()
    except duckdb.Error as error:
        if not file.path.exists():
            raise vanished(file) from error
        raise SourceError(
            f"{file.name} cannot be read as Parquet, it may be cut short: copy or export it "
            f"again ({first_line(error)})"
        ) from error
    header: list[str] = []
    (_, columns, *_), *below = fields  # the root, and what is below it, depth first
    left = [columns]
    for name, children, precision, scale in below:
        if len(left) == 1:
            header.append(name)
        if precision and precision > _DIGITS:  # DuckDB reads a wrong double, without a word
            raise SourceError(
                f"{file.name}: column {header[-1]} has the type decimal({precision}, {scale}), and "
                f"numbers of more than {_DIGITS} digits cannot be read: write it as "
                f"decimal({_DIGITS}, s) or as text"
            )
        left[-1] -= 1
        if children:
            left.append(children)
        while left and not left[-1]:
            left.pop()
    return ParquetReader(
        file, tuple(header), tuple(str(row[0]) for row in rows), tuple(str(row[1]) for row in rows)
    )


def _rows(file: SourceFile, *, is_numbered: bool = False) -> str:
    more = f", {_NUMBER} = true" if is_numbered else ""
    return f"read_parquet({file_literal(file.path)}, hive_partitioning = false{more})"


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


Cell = int | float | str | bool | time | date | datetime | timedelta


def sheet_as_csv(file: SourceFile, table: FileTable, scratch: Path) -> SourceFile:
    """A sheet as a CSV file in UTF-8.

    Excel knows numbers, texts, booleans and times. A number that is whole is written without a
    fraction, as Excel shows it; a time in ISO form.

    Args:
        file: the workbook.
        table: names the sheet, where there are several.
        scratch: where the CSV file is written.

    Raises:
        SourceError: it is no workbook, has a password, or several sheets of which none is named.
    """
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_path(file.path) as workbook:
            target = scratch_file(file, scratch, ".csv")
            _write(workbook.get_sheet_by_name(_sheet(workbook.sheet_names, file, table)), target)
    except CalamineError as error:
        raise SourceError(
            f"{file.name} cannot be read as a workbook: {error}; save it again as .xlsx, without a "
            "password"
        ) from error
    return replace(file, path=target)


def _sheet(names: list[str], file: SourceFile, table: FileTable) -> str:
    if table.sheet is not None and table.sheet not in names:
        raise SourceError(
            f"{file.name} has no sheet {table.sheet!r}: set `sheet` of its table to one of "
            f"{first_few(names, 10)}"
        )
    if table.sheet is None and len(names) != 1:
        raise UnclearFileError(
            f"{file.name} has {len(names)} sheets: set `sheet` of its table to one of "
            f"{first_few(names, 10)}; each can be a table of its own",
            {"sheet": names[0]} if names else {},
        )
    return table.sheet or names[0]


def _write(sheet: "CalamineSheet", target: Path) -> None:
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for row in sheet.iter_rows():
            cells = [_text(cell) for cell in row]
            if any(cells):
                writer.writerow(cells)


def _text(cell: Cell) -> str:
    match cell:
        case bool():
            return str(cell).lower()
        case float() if cell.is_integer() and abs(cell) < 1e15:
            return str(int(cell))
        case datetime():
            return cell.isoformat(sep=" ")
        case timedelta():
            return str(cell)
        case date() | time():
            return cell.isoformat()
        case _:
            return str(cell)
