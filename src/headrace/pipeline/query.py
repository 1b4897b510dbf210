"""``headrace query``: SQL on the published file, the warehouse or any DuckDB file, read-only."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from headrace import portable
from headrace.error_detail import ErrorDetail
from headrace.errors import QueryError
from headrace.pipeline.publishing import published_tables
from headrace.pipeline.reports import Report
from headrace.sql_text import identifier, literal, parquet_type
from headrace.targets import reading
from headrace.targets.duckdb import explain_duckdb_error

if TYPE_CHECKING:
    import duckdb

    from headrace.settings import Resolved

FORMATS = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".parquet": "parquet"}
_COPY = {
    "csv": "format csv, header",
    "json": "format json, array true",
    "jsonl": "format json",
    "parquet": "format parquet",
}
_YEARS_OF_INFINITE = {date.min.year, date.max.year}  # as which DuckDB hands them to Python
Row = tuple[Any, ...]


class QueryColumn(Report):
    """A column of a result."""

    name: str
    data_type: str = Field(description="in DuckDB's words, like `DECIMAL(12,2)`")


class QueryReport(Report):
    """The result of a query.

    Values in `rows` are JSON's own; a decimal, a date or a time is text, as are numbers and times
    that are infinite (`inf`, `nan`, `infinity`), and binary is hexadecimal.
    """

    path: str = Field(description="the file that was read")
    columns: tuple[QueryColumn, ...]
    rows: tuple[Row, ...]
    truncated: bool = Field(description="whether there are more rows than these")


@dataclass(frozen=True)
class Database:
    """A DuckDB file that is queried, or what a target has that is none.

    Attributes:
        path: the file.
        kind: decides what an error advises: the published file and the warehouse are made by
            `headrace run`.
        shown: what is queried instead of a file, for people.
        reader: opens a DuckDB that reads it; None for a file.
    """

    path: Path
    kind: Literal["published", "warehouse", "file"]
    shown: str | None = None
    reader: "Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]] | None" = None

    @property
    def location(self) -> str:
        """The file, or where the target is."""
        return self.shown or str(self.path)


def database(resolved: "Resolved | None", on: str) -> Database:
    """The file that ``--on`` names.

    Args:
        resolved: the project's settings; None outside of one.
        on: ``published``, ``warehouse``, or the path of a DuckDB file.

    Raises:
        QueryError: there is no such file, or no project whose file is meant.
    """
    if on not in {"published", "warehouse"}:
        path = Path(on).expanduser()
        if not path.is_file():
            raise QueryError(f"--on {on}: no such file; name published, warehouse or a DuckDB file")
        return Database(path, "file")
    if resolved is None:
        raise QueryError(f"--on {on} needs a project, and there is none here: name a DuckDB file")
    target = resolved.target
    if on == "published":
        if published_tables.remote(resolved) is not None:
            reader = partial(published_tables.reading, resolved)
            return Database(
                resolved.published, "published", published_tables.location(resolved), reader
            )
        found = Database(resolved.published, "published")
    elif target.database_file is None:
        return Database(resolved.data_dir, "warehouse", target.location, partial(reading, target))
    else:
        found = Database(target.database_file, "warehouse")
    if not found.path.exists():
        raise QueryError(f"{found.path} does not exist yet: run `headrace run` first")
    return found


def query(source: Database, sql: str, *, limit: int | None = None) -> QueryReport:
    """Run SQL and return the rows of its last statement.

    Args:
        source: the file; opened read-only, and closed again at once.
        sql: one or more statements.
        limit: the most rows to return; None for all.

    Raises:
        QueryError: the file cannot be read, or DuckDB refuses the SQL.
    """
    with _open(source) as connection:
        result = _execute(connection, sql)
        columns = tuple(
            QueryColumn(name=name, data_type=str(kind)) for name, kind, *_ in result.description
        )
        rows = _fetched(result, limit)
        if any(_may_be_infinite(value) for row in rows for value in row):
            rows = _with_infinite_times(connection, sql, columns, limit) or rows
    return QueryReport(
        path=source.location,
        columns=columns,
        rows=tuple(tuple(_plain(value) for value in row) for row in rows[:limit]),
        truncated=limit is not None and len(rows) > limit,
    )


def export(source: Database, sql: str, out: Path, *, limit: int | None = None) -> int:
    """Write the rows of a ``SELECT`` to a file in the format of its suffix; complete or not at all.

    Args:
        source: the file that is queried.
        sql: one statement.
        out: ``.csv``, ``.json``, ``.jsonl`` or ``.parquet``; an existing file is replaced.
        limit: the most rows to write; None for all.

    Returns:
        The number of rows written.

    Raises:
        QueryError: another suffix, no ``SELECT``, or a file that cannot be written.
    """
    form = FORMATS.get(out.suffix.lower())
    if form is None:
        raise QueryError(f"--out {out}: end the name in {', '.join(FORMATS)}")
    temporary = portable.temporary_beside(out.absolute())
    limited = "" if limit is None else f" limit {limit}"
    rows = f"(\n{sql.strip().rstrip(';')}\n)"
    try:
        with _open(source, writes=temporary) as connection:
            selected = _exact_columns(connection, rows) if form == "parquet" else "*"
            copied = _execute(
                connection,
                f"copy (select {selected} from {rows}{limited}) "
                f"to {literal(str(temporary))} ({_COPY[form]})",
            ).fetchone()
        portable.replace(temporary, out)
    except OSError as error:
        raise QueryError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return int(copied[0]) if copied else 0


def _exact_columns(connection: "duckdb.DuckDBPyConnection", rows: str) -> str:
    """SQL of all columns, each in a type of which Parquet keeps every digit."""
    columns = [
        (identifier(str(name)), str(kind))
        for name, kind, *_ in _execute(connection, f"describe select * from {rows}").fetchall()
    ]
    return ", ".join(
        name if parquet_type(kind) == kind else f"{name}::{parquet_type(kind)} as {name}"
        for name, kind in columns
    )


def names(source: Database) -> tuple[str, ...]:
    """Tables as ``schema.table`` and columns of a file, for completion."""
    report = query(
        source,
        "select distinct unnest([table_schema || '.' || table_name, column_name]) as name "
        "from information_schema.columns where not starts_with(table_schema, '_') "
        "and table_schema not in ('information_schema', 'pg_catalog') order by name",
    )
    return tuple(str(row[0]) for row in report.rows)


@contextmanager
def _open(source: Database, *, writes: Path | None = None) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A connection that reads one file or target, and writes at most one file."""
    import duckdb

    with ExitStack() as stack:
        if source.reader is not None:
            connection = stack.enter_context(source.reader())
        else:
            try:
                connection = duckdb.connect(str(source.path), read_only=True)
            except duckdb.Error as error:
                raise QueryError(
                    explain_duckdb_error(source.path, str(error), rebuilt=source.kind != "file")
                ) from error
            stack.callback(connection.close)
        connection.execute("set TimeZone = 'UTC'")
        if writes is not None:
            connection.execute(f"set allowed_paths = [{literal(str(writes))}]")
        connection.execute("set enable_external_access = false")
        yield connection


def _execute(connection: "duckdb.DuckDBPyConnection", sql: str) -> "duckdb.DuckDBPyConnection":
    import duckdb

    try:
        if not connection.extract_statements(sql):
            raise QueryError('there is no SQL to run: headrace query "select * from marts.orders"')
        return connection.execute(sql)
    except duckdb.Error as error:
        message, _, excerpt = str(error).strip().partition("\n\n")
        message = " ".join(message.split())
        if "read-only" in message or "file system operations are disabled" in message:
            message = f"a query may only read the database: {message}"
        raise QueryError(message, detail=ErrorDetail(excerpt=excerpt)) from error


def _fetched(result: "duckdb.DuckDBPyConnection", limit: int | None) -> list[Row]:
    return result.fetchall() if limit is None else result.fetchmany(limit + 1)


def _may_be_infinite(value: Any) -> bool:
    return isinstance(value, date) and value.year in _YEARS_OF_INFINITE


def _with_infinite_times(
    connection: "duckdb.DuckDBPyConnection",
    sql: str,
    columns: Sequence[QueryColumn],
    limit: int | None,
) -> list[Row]:
    """The rows of the last statement, infinite times as text; none if it is no ``SELECT``."""
    import duckdb

    last = connection.extract_statements(sql)[-1].query.strip().rstrip(";")
    names = [f"c{number}" for number in range(len(columns))]
    times = [
        name
        for name, column in zip(names, columns, strict=True)
        if column.data_type == "DATE" or column.data_type.startswith("TIMESTAMP")
    ]
    shown = ", ".join(f"if(isinf({name}), {name}::varchar, null)" for name in times)
    try:
        result = connection.execute(
            f"select *{shown and f', {shown}'} from (\n{last}\n) as result({', '.join(names)})"
        )
    except duckdb.Error:  # `show tables` and the like
        return []
    rows = []
    for row in _fetched(result, limit):
        values = dict(zip(names, row, strict=False))
        infinite = zip(times, row[len(names) :], strict=True)
        values |= {name: text for name, text in infinite if text is not None}
        rows.append(tuple(values.values()))
    return rows


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return str(value)  # JSON has no number for it
    return value.hex() if isinstance(value, bytes | bytearray | memoryview) else value
