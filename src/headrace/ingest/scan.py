"""How one file is read: its columns, their types, and the SQL that scans it."""

import codecs
import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.errors import SourceError
from headrace.ingest.discover import SourceFile
from headrace.ingest.model import FileTable
from headrace.ingest.sql import literal
from headrace.ingest.types import stored_type

if TYPE_CHECKING:
    import duckdb

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DELIMITER_NAMES = {";": "';'", "\t": "a tab", "|": "'|'", ",": "','"}
_RESERVED = ("_dlt_", "_file_name", "__file", "__row", "__is_new")


@dataclass(frozen=True)
class FileScan:
    """A file and how DuckDB reads it.

    Attributes:
        file: the file.
        columns: the file's own column names to the names in the raw table, in file order.
        types: the type of each raw column as the reader gives it (``VARCHAR`` for all of CSV,
            ``JSON`` for what is nested in JSON lines).
        sql: a table function call that reads the file, ``read_csv('…', …)``.
        typed_sql: gives a call that reads a CSV file with the given types of raw columns directly.
    """

    file: SourceFile
    columns: Mapping[str, str]
    types: Mapping[str, str]
    sql: str
    typed_sql: Callable[[Mapping[str, str]], str]


def scan_file(
    connection: "duckdb.DuckDBPyConnection",
    file: SourceFile,
    table: FileTable,
    normalize: Callable[[str], str],
) -> FileScan:
    """Look at a file's columns.

    Args:
        connection: a local DuckDB.
        file: the file.
        table: how it is to be read.
        normalize: dlt's naming convention, ``"Order ID"`` to ``"order_id"``.

    Raises:
        SourceError: empty, not in the declared encoding or format, no header, a key column
            that is missing, two columns of one name.
    """
    if file.size == 0:
        raise SourceError(f"{file.name} is empty: write a header and rows to it, or remove it")
    if file.format == "jsonl":
        _check_json_lines(file)
    if file.format == "csv":
        header = _csv_header(file, table)
        types = dict.fromkeys(header, "VARCHAR")
    else:
        types = _describe(connection, file)
        header = list(types)
    columns = _names(file, header, normalize)
    _require(file, table, columns, header)

    if file.format == "csv":

        def typed(raw_types: Mapping[str, str]) -> str:
            return _read_csv(file, table, {name: raw_types[columns[name]] for name in header})

        sql = _read_csv(file, table, types)
    else:
        sql = _reader(file, types)

        def typed(raw_types: Mapping[str, str]) -> str:
            del raw_types
            return sql

    return FileScan(
        file, columns, {columns[name]: kind for name, kind in types.items()}, sql, typed
    )


def _csv_header(file: SourceFile, table: FileTable) -> list[str]:
    head = _head(file)
    if table.encoding == "utf-8" and (head.startswith(_UTF16_MARKS) or b"\x00" in head):
        raise SourceError(
            f"{file.name} looks like UTF-16: set `encoding: utf-16` for its source or table, "
            "or convert it (iconv -f utf-16 -t utf-8)"
        )
    try:
        decoder = codecs.getincrementaldecoder(
            "utf-8-sig" if table.encoding == "utf-8" else table.encoding
        )()
        text = decoder.decode(head)
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{file.name} is not {table.encoding} (byte {error.start}): set the table's `encoding` "
            "(utf-8, utf-16, latin-1) or convert the file"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(file, table))
    header = [name.strip() for name in next(reader, [])]
    if not any(header):
        raise SourceError(f"{file.name} has no header line: its first line must name the columns")
    if "" in header:
        raise SourceError(f"{file.name}: column {header.index('') + 1} of the header has no name")
    return header


def _check_json_lines(file: SourceFile) -> None:
    start = _head(file).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start != b"{":
        what = "a JSON array" if start == b"[" else "no JSON object on its first line"
        raise SourceError(
            f"{file.name} holds {what}: JSON lines have one object on each line (jq -c '.[]')"
        )


def _head(file: SourceFile) -> bytes:
    """The first 64 KiB, decompressed."""
    import pyarrow as pa

    try:
        with pa.input_stream(str(file.path)) as stream:  # tells .gz and .zst by the name
            return bytes(stream.read(1 << 16))
    except FileNotFoundError as error:
        raise vanished(file) from error
    except (OSError, EOFError) as error:
        raise SourceError(f"{file.name} cannot be read: {error}") from error


def malformed_line(file: SourceFile) -> int:
    """The first line that is no JSON; DuckDB counts lines in its own way."""
    import pyarrow as pa

    with pa.input_stream(str(file.path)) as stream:
        for number, line in enumerate(io.TextIOWrapper(stream, "utf-8", "replace"), start=1):
            try:
                json.loads(line)
            except ValueError:
                if line.strip():
                    return number
    return 1


def vanished(file: SourceFile) -> SourceError:
    """A file that was there a moment ago."""
    return SourceError(f"{file.name} vanished while it was read: put it back and run again")


def _delimiter(file: SourceFile, table: FileTable) -> str:
    if table.delimiter is not None:
        return table.delimiter
    return "\t" if ".tsv" in file.path.name.lower() else ","


def _names(file: SourceFile, header: list[str], normalize: Callable[[str], str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in header:
        raw = normalize(name)
        if raw.startswith(_RESERVED):
            raise SourceError(
                f"{file.name}: the column {name!r} would be {raw!r}, a name that dlt and Headrace "
                "keep for themselves: rename it"
            )
        if raw in taken or name in columns:
            raise SourceError(
                f"{file.name}: the columns {taken.get(raw, name)!r} and {name!r} have the same "
                f"name {raw!r} in the raw table: rename one"
            )
        columns[name] = raw
        taken[raw] = name
    return columns


def _require(
    file: SourceFile, table: FileTable, columns: Mapping[str, str], header: list[str]
) -> None:
    cursor = (table.cursor,) if table.cursor else ()
    wanted = dict.fromkeys((*table.primary_key, *cursor, *table.required))
    missing = [name for name in wanted if name not in columns.values()]
    if file.format == "csv" and len(header) == 1 and (missing or table.delimiter is None):
        used = _delimiter(file, table)
        other = next((mark for mark in ";\t|," if mark != used and mark in header[0]), None)
        if other is not None:
            raise SourceError(
                f"{file.name} is separated by {_DELIMITER_NAMES[other]}, not by "
                f"{_DELIMITER_NAMES.get(used, repr(used))}: set `delimiter` of its source or table"
            )
    if missing:
        what = "key column" if missing[0] in table.primary_key else "column"
        raise SourceError(f"{file.name} lacks the {what} {missing[0]!r}; its header reads {header}")


def _read_csv(file: SourceFile, table: FileTable, types: Mapping[str, str]) -> str:
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in types.items())
    return (
        f"read_csv({literal(str(file.path))}, auto_detect = false, header = true, "
        f"delim = {literal(_delimiter(file, table))}, quote = '\"', escape = '\"', "
        f"encoding = {literal(table.encoding)}, columns = {{{columns}}})"
    )


def _reader(file: SourceFile, types: Mapping[str, str]) -> str:
    path = literal(str(file.path))
    if file.format == "parquet":
        return f"read_parquet({path})"
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in types.items())
    return f"read_json({path}, format = 'newline_delimited', columns = {{{columns}}})"


def _describe(connection: "duckdb.DuckDBPyConnection", file: SourceFile) -> dict[str, str]:
    """The columns of a Parquet file; those of JSON lines, by looking at all of them.

    What is nested in JSON keeps the text it has, and a date is one in ISO form only.
    """
    path = literal(str(file.path))
    if file.format == "parquet":
        reader = f"read_parquet({path})"
    else:
        reader = (
            f"read_json({path}, format = 'newline_delimited', sample_size = -1, "
            "maximum_depth = 2, dateformat = 'iso', timestampformat = 'iso')"
        )
    rows = connection.execute(f"describe select * from {reader}").fetchall()
    types = {str(row[0]): str(row[1]) for row in rows}
    if file.format == "jsonl":
        nested = {name for name, kind in types.items() if stored_type(kind) == "JSON"}
        types |= dict.fromkeys(nested, "JSON")
    return types
