"""The sample: files and DuckDB tables as Arrow, of few types and with plain names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from headrace import portable
from headrace.exceptions import first_line
from headrace.sql_text import identifier, literal
from headrace.synth.errors import SynthError

MOST_ROWS: Final = 2_000_000
"""A sample is held in memory; ten thousand rows are plenty."""
_READERS: Final = {
    ".csv": "read_csv({file}, hive_partitioning = false, sample_size = -1{types})",
    ".tsv": "read_csv({file}, hive_partitioning = false, sample_size = -1{types})",
    ".parquet": "read_parquet({file}, hive_partitioning = false)",
    ".jsonl": "read_json({file}, hive_partitioning = false, format = 'newline_delimited')",
    ".ndjson": "read_json({file}, hive_partitioning = false, format = 'newline_delimited')",
    ".json": "read_json({file}, hive_partitioning = false)",
}
_NULLS: Final = "['', 'NA', 'N/A', 'n/a', 'NULL', 'null', 'None', 'nan', 'NaN', '-', '?']"
_NESTED: Final = ("STRUCT", "MAP", "UNION", "BLOB", "BIT", "JSON", "GEOMETRY", "VARIANT")
_AS_TEXT: Final = ("TIME", "INTERVAL", "UUID", "ENUM")
_INTEGERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")


@dataclass(frozen=True, slots=True)
class LearningSample:
    """What is learned from.

    Attributes:
        tables: by name; columns are int64, double, decimal128, bool, date32, timestamp[us] (UTC,
            without a time zone), string, or null where no row has a value.
        notes: what was left out or renamed.
    """

    tables: Mapping[str, pa.Table]
    notes: tuple[str, ...] = ()


def read(paths: Sequence[str | Path]) -> LearningSample:
    """Read a sample.

    Args:
        paths: CSV, TSV, Parquet and JSON lines files, one table each and named by the file, and
            ``DATABASE.duckdb:schema.table``.

    Raises:
        SynthError: no such file or table, not readable, fewer than two rows, no columns that can
            be learned, or two tables of one name.
    """
    if not paths:
        raise SynthError("nothing to learn from: name a file, or DATABASE.duckdb:schema.table")
    tables: dict[str, pa.Table] = {}
    sources: dict[str, str] = {}
    notes: list[str] = []
    for path in paths:
        text = str(path)
        stem, table = _read_table(text)
        name = plain_name(stem)
        if name in tables:
            raise SynthError(
                f"{sources[name]} and {text} both hold a table {name!r}: rename one of them"
            )
        if name != stem:
            notes.append(f"{text}: the table is called {name}")
        tables[name] = _plain(name, text, table, notes)
        sources[name] = text
    return LearningSample(tables, tuple(notes))


def plain_name(name: str) -> str:
    """A name that a schema file takes: ``Order ID`` becomes ``order_id``."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return name
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower()
    return plain if plain and not plain[0].isdigit() else f"_{plain}"


def _read_table(text: str) -> tuple[str, pa.Table]:
    found = re.fullmatch(r"(.+\.(?:duckdb|db|ddb)):([^:/\\]+)", text)
    if found:
        return _from_database(text, Path(found[1]), found[2])
    path = Path(text)
    if path.suffix.lower() in {".duckdb", ".ddb"}:
        raise SynthError(f"{text}: say which table: {text}:schema.table")
    if path.is_dir():
        raise SynthError(f"{text} is a directory: name the files in it")
    if not path.is_file():
        raise SynthError(f"there is no file {text}")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise SynthError(
            f"{text}: cannot read {path.suffix or 'a file without an ending'}; "
            f"one of: {', '.join(_READERS)}, or DATABASE.duckdb:schema.table"
        )
    if path.stat().st_size == 0:
        raise SynthError(f"{text} is empty")
    try:
        with duckdb.connect() as connection:
            return path.stem, _from_file(connection, path, reader, text)
    except duckdb.Error as error:
        raise SynthError(f"cannot read {text}: {first_line(error)}") from error


def _from_file(
    connection: duckdb.DuckDBPyConnection, path: Path, reader: str, text: str
) -> pa.Table:
    only = portable.duckdb_path(path)
    if only is None:
        raise SynthError(f"{text} has a backslash beside *, ? or [ in its path: rename it")
    file = literal(only)
    bare = reader.format(file=file, types="")
    if "{types}" not in reader:
        return _select(connection, bare, text)
    nulls = _null_marks(connection, reader, file)
    bare = reader.format(file=file, types=nulls)
    kept = _with_leading_zeros(connection, bare, file)
    types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in kept)
    more = f", types = {{{types}}}" if kept else ""
    return _select(connection, reader.format(file=file, types=f"{nulls}{more}"), text)


def _null_marks(connection: duckdb.DuckDBPyConnection, reader: str, file: str) -> str:
    """``nullstr`` where NA and the like are null: without, some column of numbers is text."""
    plain = _types(connection, reader.format(file=file, types=""))
    if "VARCHAR" not in plain:
        return ""
    marked = f", nullstr = {_NULLS}"
    pairs = zip(plain, _types(connection, reader.format(file=file, types=marked)), strict=True)
    return marked if any(one == "VARCHAR" != other for one, other in pairs) else ""


def _types(connection: duckdb.DuckDBPyConnection, source: str) -> list[str]:
    return [row[1] for row in connection.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()]


def _with_leading_zeros(connection: duckdb.DuckDBPyConnection, source: str, file: str) -> list[str]:
    """Columns that look like numbers and are not: 007 is text."""
    described = connection.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()
    numbers = [row[0] for row in described if row[1] in {"BIGINT", "DOUBLE", "HUGEINT"}]
    if not numbers:
        return []
    tests = ", ".join(
        f"coalesce(bool_or(regexp_matches(trim({identifier(name)}), '^-?0[0-9]')), false)"
        for name in numbers
    )
    found = connection.sql(
        f"SELECT {tests} FROM read_csv({file}, all_varchar = true, header = true, "
        "hive_partitioning = false)"
    ).fetchone()
    assert found is not None
    return [name for name, is_text in zip(numbers, found, strict=True) if is_text]


def _from_database(text: str, path: Path, table: str) -> tuple[str, pa.Table]:
    if not path.is_file():
        raise SynthError(f"there is no database {path}")
    parts = table.split(".")
    if len(parts) > 2 or not all(parts):
        raise SynthError(f"{text}: name the table as schema.table")
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            rows = connection.sql(
                "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2"
            ).fetchall()
            known = [f"{schema}.{name}" for schema, name in rows]
            if (table if len(parts) == 2 else f"main.{table}") not in known:
                shown = ", ".join(known[:20]) or "none"
                raise SynthError(f"{path} has no table {table!r}; it has {shown}")
            source = ".".join(identifier(part) for part in parts)
            return parts[-1], _select(connection, source, text)
    except duckdb.Error as error:
        raise SynthError(f"cannot read {text}: {first_line(error)}") from error


def _select(connection: duckdb.DuckDBPyConnection, source: str, text: str) -> pa.Table:
    """All columns, the types that Arrow has no match for cast; nested ones stay."""
    described = connection.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()
    columns = [_cast(row[0], row[1]) for row in described]
    table = connection.sql(f"SELECT {', '.join(columns)} FROM {source} LIMIT {MOST_ROWS + 1}")
    result = table.to_arrow_table()
    if result.num_rows > MOST_ROWS:
        raise SynthError(
            f"{text} has more than {MOST_ROWS:,} rows: learn from a sample of it, such as 10,000"
        )
    return result


def _cast(name: str, kind: str) -> str:
    quoted = identifier(name)
    base = kind.split("(", maxsplit=1)[0]
    if kind.endswith("]") or base in _NESTED:
        return f"NULL::BLOB AS {quoted}"
    if base in {"TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}:
        return f"{quoted}::TIMESTAMP AS {quoted}"
    if base in _INTEGERS:
        return f"{quoted}::BIGINT AS {quoted}"
    if base in {"HUGEINT", "UHUGEINT", "UBIGINT", "FLOAT"}:
        return f"{quoted}::DOUBLE AS {quoted}"
    if base in _AS_TEXT or base.startswith("TIME "):
        return f"{quoted}::VARCHAR AS {quoted}"
    return quoted


def _plain(name: str, text: str, table: pa.Table, notes: list[str]) -> pa.Table:
    columns: dict[str, Any] = {}
    for label, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_binary(column.type):
            notes.append(f"{name}.{label}: left out, because it is nested or binary")
            continue
        plain = plain_name(label)
        if plain in columns:
            raise SynthError(f"{text}: two columns are called {plain!r}; rename one of them")
        if plain != label:
            notes.append(f"{name}.{plain}: was {label!r}")
        columns[plain] = _plain_column(column, f"{name}.{plain}", notes)
    if not columns:
        raise SynthError(f"{text} has no columns that can be learned")
    if table.num_rows < 2:
        rows = "one row" if table.num_rows else "no rows"
        raise SynthError(f"{text} has {rows}: a sample has at least 2, and is good from 1,000")
    return pa.table(columns)


def _plain_column(column: pa.ChunkedArray, label: str, notes: list[str]) -> pa.ChunkedArray:
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column))])
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(pa.string())
    elif pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us"))
    elif pa.types.is_decimal(kind) and kind.scale == 0:
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid:
            column = column.cast(pa.float64())
    elif pa.types.is_floating(kind):
        column = column.cast(pa.float64())
        strange = pc.invert(pc.is_finite(column))
        if pc.any(strange).as_py():
            notes.append(f"{label}: NaN and infinity count as null")
            column = pc.if_else(strange, pa.scalar(None, pa.float64()), column)
    elif pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        column = column.cast(pa.string())
    return column
