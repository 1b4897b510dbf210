"""How a file is read: its columns, their types, and the SQL that scans it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import SourceError
from headrace.ingest.binary_formats import (
    ParquetReader,
    avro_as_parquet,
    parquet_reader,
    sheet_as_csv,
)
from headrace.ingest.csv_dialect import DELIMITER_NAMES
from headrace.ingest.csv_reader import CsvReader, csv_reader
from headrace.ingest.discover import SourceFile
from headrace.ingest.json_reader import JsonReader, as_utf8, json_reader
from headrace.ingest.model import FileTable
from headrace.ingest.names import NamedColumns, name_columns
from headrace.ingest.reader import RejectedRow, unpacked
from headrace.ingest.value_formats import written_columns
from headrace.sql_text import identifier, literal

if TYPE_CHECKING:
    import duckdb

_SHOWN = 20


@dataclass(frozen=True)
class FileScan:
    """A file and how DuckDB reads it.

    Attributes:
        file: the file.
        reader: of its format.
        partitions: columns that the folders of its path give, with their value.
        names: the names in the raw table, of the reader's columns and then of the partitions.
        notes: what a person should know of this file.
        written: SQL of columns that the settings say are written in another way, as DuckDB reads
            them; by their raw name.
    """

    file: SourceFile
    reader: CsvReader | JsonReader | ParquetReader
    partitions: Mapping[str, str | None]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    written: Mapping[str, str] = field(default_factory=dict)

    @property
    def header(self) -> tuple[str, ...]:
        """The names as the file has them, and its folders."""
        return (*self.reader.header, *self.partitions)

    @property
    def columns(self) -> dict[str, str]:
        """The names that ``sql`` gives to the names in the raw table, in file order."""
        return {name: name for name in self.names}

    @cached_property
    def types(self) -> dict[str, str]:
        """The type of each raw column as the reader gives it.

        ``VARCHAR`` for all of CSV and of the folders, ``JSON`` for all of JSON.
        """
        kinds = (*self.reader.kinds, *("VARCHAR" for _ in self.partitions))
        return dict(zip(self.names, kinds, strict=True))

    @property
    def partition_names(self) -> tuple[str, ...]:
        """The raw names of the columns that come from folders."""
        return self.names[len(self.reader.header) :]

    @property
    def rejected(self) -> tuple[RejectedRow, ...]:
        """Rows of the file that ``sql`` does not give, because they cannot be read as rows."""
        return self.reader.rejected

    def lines(self, rows: Collection[int]) -> dict[int, int]:
        """The line in the file at which each of some rows begins, where its format has lines.

        None of a large CSV file with quotes, which would take longer to count than to load.
        """
        if not rows or self.file.format not in {"csv", "jsonl"}:
            return {}
        return self.reader.lines(rows)

    @property
    def row_number(self) -> str:
        """SQL of a row's number in the file, among those of ``sql``."""
        return "__row" if self.reader.numbered else "row_number() over ()"

    @property
    def sql(self) -> str:
        """What reads the file, to stand behind ``from``."""
        return self.typed_sql(self.types)

    def typed_sql(self, raw_types: Mapping[str, str]) -> str:
        """What reads the file; CSV and folders with the given types of raw columns directly."""
        count = len(self.reader.header)
        names = self.names[:count]
        kinds = [raw_types[name] for name in names]
        rows = self.reader.sql(names, kinds)
        if not self.partitions and not self.written:
            return rows
        selected = [
            f"{self.written[name]} as {identifier(name)}"
            if name in self.written
            else identifier(name)
            for name in names
        ]
        selected += [
            f"cast({'null' if value is None else literal(value)} as {raw_types[name]}) "
            f"as {identifier(name)}"
            for name, value in zip(self.partition_names, self.partitions.values(), strict=True)
        ]
        selected += ["__row"] if self.reader.numbered else []
        return f"(select {', '.join(selected)} from {rows})"


def scan_file(
    connection: "duckdb.DuckDBPyConnection",
    file: SourceFile,
    table: FileTable,
    normalize: Callable[[str], str],
    scratch: Path,
) -> FileScan:
    """Look at a file's columns.

    Args:
        connection: a local DuckDB.
        file: the file.
        table: how it is to be read.
        normalize: dlt's naming convention, ``"Order ID"`` to ``"order_id"``.
        scratch: where a copy is written of what DuckDB cannot read as it is.

    Raises:
        SourceError: empty, not in the declared encoding or format, no header, a key column
            that is missing.
    """
    if file.size == 0:
        raise SourceError(f"{file.name} is empty: write a header and rows to it, or remove it")
    reader: CsvReader | JsonReader | ParquetReader
    plain = unpacked(file, scratch)
    if file.format == "csv":
        reader = csv_reader(plain, table, scratch)
    elif file.format == "excel":
        as_csv = replace(table, delimiter=",", encoding="utf-8")  # of the copy
        reader = csv_reader(sheet_as_csv(plain, table, scratch), as_csv, scratch)
    elif file.format == "parquet":
        reader = parquet_reader(connection, plain)
    elif file.format == "avro":
        reader = parquet_reader(connection, avro_as_parquet(plain, scratch))
    else:
        reader = json_reader(connection, as_utf8(plain, scratch))
    named = {normalize(name): name for name in reader.header if name.strip()}
    partitions: dict[str, str | None] = {}
    notes = list(reader.notes) if isinstance(reader, CsvReader) else []
    for key, value in (file.partitions if table.hive_partitioning else {}).items():
        if normalize(key) in named:
            notes.append(
                f"the column {named[normalize(key)]!r} of {file.name} is read from the file, not "
                f"from its folder {key}={value}"
            )
        else:
            partitions[key] = value
    scan = FileScan(file, reader, partitions, (), tuple(notes))
    (raw,) = name_columns([scan.header], normalize, {}, table.rename).raw
    return replace(scan, names=raw)


def name_scans(
    scans: Sequence[FileScan],
    table: FileTable,
    normalize: Callable[[str], str],
    given: Mapping[str, str],
) -> tuple[list[FileScan], NamedColumns]:
    """Name the columns of a table's files together, and as they were named before.

    Args:
        scans: the files.
        table: how they are read.
        normalize: dlt's naming convention.
        given: names that columns got in earlier loads.

    Raises:
        SourceError: a key column that is missing, or a delimiter that is not the file's.
    """
    names = name_columns([scan.header for scan in scans], normalize, given, table.rename)
    named = [
        replace(scan, names=raw, written=_written(scan, raw, table))
        for scan, raw in zip(scans, names.raw, strict=True)
    ]
    for scan in named:
        _require(scan, table)
    return named, names


def _written(scan: FileScan, names: tuple[str, ...], table: FileTable) -> dict[str, str]:
    """SQL of a file's own columns that are to be rewritten; its folders' stay as they are."""
    if isinstance(scan.reader, CsvReader):
        table = replace(table, null_values=())  # which DuckDB's reader knows
    return written_columns(table, dict(zip(names, scan.reader.kinds, strict=False)))


def _require(scan: FileScan, table: FileTable) -> None:
    cursor = (table.cursor,) if table.cursor else ()
    wanted = dict.fromkeys((*table.primary_key, *cursor, *table.required))
    missing = [name for name in wanted if name not in scan.names]
    name, header = scan.file.name, list(scan.reader.header)
    if isinstance(scan.reader, CsvReader) and len(header) == 1:
        used = scan.reader.delimiter
        other = next((mark for mark in ";\t|," if mark != used and mark in header[0]), None)
        if other is not None and (missing or table.delimiter is None):
            raise SourceError(
                f"{name} is separated by {DELIMITER_NAMES[other]}, not by "
                f"{DELIMITER_NAMES.get(used, repr(used))}: set `delimiter` of its source or table"
            )
    if missing:
        what = "key column" if missing[0] in table.primary_key else "column"
        more = f" and {len(header) - _SHOWN:,} more" if len(header) > _SHOWN else ""
        raise SourceError(
            f"{name} lacks the {what} {missing[0]!r}; its columns are {header[:_SHOWN]}{more}"
        )


def folder_columns(scans: Sequence[FileScan]) -> dict[str, str]:
    """Columns that come from folders in all files that have them, and their type.

    It is text: of ``month=11`` and, some day, ``month=01``.
    """
    own = {name for scan in scans for name in scan.names[: len(scan.reader.header)]}
    names = {name for scan in scans for name in scan.partition_names}
    return dict.fromkeys(sorted(names - own), "VARCHAR")
