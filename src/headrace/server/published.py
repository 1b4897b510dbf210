"""The published file, as the server reads it: what is in it, and a few rows of a table.

It is opened read-only, by DuckDB with no access to any other file, little memory and a time
limit, and closed when it was replaced or is not used. It is replaced by a rename, so what was
read of one file stays true of it. The warehouse is never opened.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from headrace import portable
from headrace.server.errors import RequestError, UnavailableError
from headrace.sql_text import identifier

if TYPE_CHECKING:
    import duckdb

MASK = "***"
_INFO = "_headrace"
_MAX_READERS = 2  # at a time
MAX_SECONDS = 5.0
_IDLE_SECONDS = 30.0
_MAX_LENGTH = 200
_KEPT_ROWS = 50
_KEPT_TABLES = 64
_SAFE_INTEGER = 2**53 - 1  # JavaScript's largest
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "256MB",
    "threads": "1",
    "temp_directory": "",
    "lock_configuration": "true",
}
_NUMBERS = frozenset(
    {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE",
     "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
)  # fmt: skip

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class TableInFile:
    """A published table: ``schema.table`` in two parts, and its rows."""

    schema: str
    name: str
    rows: int


@dataclass(frozen=True)
class PublishedFileInfo:
    """What the published file says of itself.

    Attributes:
        stamp: changes with the file; None where there is none.
        status: whether it is there and can be read.
        published_at: UTC.
        run_id: the run that published it.
        tables: by dbt's ``unique_id``.
    """

    stamp: Stamp | None
    status: Literal["none", "unreadable", "published"]
    published_at: datetime | None = None
    run_id: str | None = None
    tables: Mapping[str, TableInFile] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleRows:
    """Rows of a table, ready for JSON; ``masked`` columns hold ``***``."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    masked: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class RowFilter:
    """Which rows are asked for, and in which order; by itself, a sample of the whole table.

    Attributes:
        text: rows hold it, in any case; empty for all.
        column: where they hold it; None for any column that is not hidden.
        sort: by which column the whole table is sorted, before the first rows are taken.
        descending: whether the greatest come first.
    """

    text: str = ""
    column: str | None = None
    sort: str | None = None
    descending: bool = False


ALL_ROWS = RowFilter()

_RowsKey = tuple[Stamp | None, TableInFile, frozenset[str]]


class PublishedFileReader:
    """Reads the published file."""

    def __init__(self, path: Path) -> None:
        """Note where it is; nothing is opened."""
        self._path = path
        self._readers = threading.Semaphore(_MAX_READERS)
        self._opening = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._opened: Stamp | None = None
        self._used = 0.0
        self._reading: dict[int, tuple[float, duckdb.DuckDBPyConnection]] = {}
        self._known: dict[TableInFile, list[tuple[str, str]]] = {}
        self._kept: dict[_RowsKey, SampleRows] = {}

    def stamp(self) -> Stamp | None:
        """What changes when another file is published; None where there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    @property
    def is_open(self) -> bool:
        """Whether a connection is kept, which holds the file open."""
        return self._connection is not None

    def publication(self) -> PublishedFileInfo:
        """What the file says of itself."""
        import duckdb

        stamp = self.stamp()
        if stamp is None:
            return PublishedFileInfo(None, "none")
        try:
            with self._open() as connection:
                head = connection.execute(
                    f"select run_id, published_at from {_INFO}.publication"
                ).fetchone()
                tables = connection.execute(
                    f"select name, row_count, unique_id from {_INFO}.tables"
                ).fetchall()
        except duckdb.Error:
            return PublishedFileInfo(stamp, "unreadable")
        return PublishedFileInfo(
            stamp,
            "published",
            published_at=head[1].astimezone(UTC) if head else None,
            run_id=head[0] if head else None,
            tables={
                str(unique_id): _table(str(name), int(count)) for name, count, unique_id in tables
            },
        )

    def rows(
        self,
        table: TableInFile,
        *,
        limit: int,
        is_hidden: Callable[[str], bool],
        wanted: RowFilter = ALL_ROWS,
    ) -> SampleRows:
        """Rows drawn from the whole table, the same ones each time; or those that are asked for.

        Args:
            table: one of the publication's.
            limit: of rows.
            is_hidden: says whether a column of that name is hidden: it is not even read.
            wanted: what the rows hold, and how they are sorted; not by a hidden column.

        Raises:
            RequestError: there is no such column to filter or to sort by.
            UnavailableError: the file cannot be read, or took too long.
        """
        stamp = self.stamp()
        columns = self._known.get(table) if stamp == self._opened else None
        if columns is not None and wanted == ALL_ROWS:
            kept = self._kept.get((stamp, table, _hidden(columns, is_hidden)))
            if kept is not None and limit <= _KEPT_ROWS:
                return replace(kept, rows=_spread(kept.rows, limit))
        with self.reading() as connection:
            columns = self._columns(connection, table)
            hidden = _hidden(columns, is_hidden)
            chosen = ", ".join(
                f"'{MASK}'" if name in hidden else _readable(name, kind) for name, kind in columns
            )
            shown = {name: kind for name, kind in columns if name not in hidden}
            query, values = _rows_query(
                f"{identifier(table.schema)}.{identifier(table.name)}", chosen, shown, wanted, limit
            )
            found = connection.execute(query, values).fetchall()
        rows = SampleRows(
            columns=tuple(name for name, _ in columns),
            types=tuple(kind for _, kind in columns),
            masked=tuple(name for name, _ in columns if name in hidden),
            rows=tuple(tuple(_value(value) for value in row) for row in found),
        )
        if wanted == ALL_ROWS:
            self._keep((stamp, table, hidden), rows)
        return replace(rows, rows=_spread(rows.rows, limit))

    @contextmanager
    def reading(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        """A cursor of the open file, for at most ``MAX_SECONDS``.

        Raises:
            UnavailableError: the file cannot be read, or that took too long.
        """
        import duckdb

        try:
            with self._open() as connection:
                yield connection
        except duckdb.InterruptException as error:
            raise UnavailableError(
                f"the table could not be read within {MAX_SECONDS:.0f} seconds"
            ) from error
        except duckdb.Error as error:
            raise UnavailableError(
                "the published file cannot be read now",
                hint="try again; if it stays so, run `headrace publish`",
            ) from error

    def _keep(self, key: _RowsKey, rows: SampleRows) -> None:
        """Remember the rows of the tables that were looked at last."""
        with self._opening:
            self._kept = {known: kept for known, kept in self._kept.items() if known[0] == key[0]}
            self._kept[key] = rows
            while len(self._kept) > _KEPT_TABLES:
                del self._kept[next(iter(self._kept))]

    def close_idle(self) -> None:
        """Close the file if it was replaced, or not used for a while; interrupt long queries.

        The server calls it every second.
        """
        for began, connection in list(self._reading.values()):
            if time.monotonic() - began > MAX_SECONDS:
                connection.interrupt()
        with self._opening:
            if self._connection is not None and (
                self._opened != self.stamp() or time.monotonic() - self._used > _IDLE_SECONDS
            ):
                self._close()

    def close(self) -> None:
        """Close the file."""
        with self._opening:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            # open cursors can still be read: DuckDB closes the file with the last one
            self._connection.close()
            self._connection = None

    def _cursor(self) -> "duckdb.DuckDBPyConnection":
        """A cursor of the open file; to open it takes longer than to read a few rows."""
        import duckdb

        with self._opening:
            stamp = self.stamp()
            if self._connection is None or self._opened != stamp:
                self._close()
                self._connection = duckdb.connect(str(self._path), read_only=True, config=_CONFIG)
                self._opened, self._known = stamp, {}
            self._used = time.monotonic()
            return self._connection.cursor()

    @contextmanager
    def _open(self) -> "Iterator[duckdb.DuckDBPyConnection]":
        if not self._readers.acquire(timeout=MAX_SECONDS):
            raise UnavailableError(
                "too many requests are reading the published file", hint="try again"
            )
        try:
            with self._cursor() as connection:
                self._reading[id(connection)] = (time.monotonic(), connection)
                try:
                    yield connection
                finally:
                    del self._reading[id(connection)]
        finally:
            if portable.WINDOWS:  # an open file cannot be replaced there
                self.close()
            self._readers.release()

    def _columns(
        self, connection: "duckdb.DuckDBPyConnection", table: TableInFile
    ) -> list[tuple[str, str]]:
        """Names and types of a table's columns, in order; remembered as long as the file is."""
        described = self._known.get(table)
        if described is None:
            import duckdb

            # `duckdb_columns()` would go through those of all tables
            try:
                described = connection.execute(
                    "select column_name, column_type from "
                    f"(describe {identifier(table.schema)}.{identifier(table.name)})"
                ).fetchall()
            except duckdb.CatalogException as error:
                raise UnavailableError(
                    "the published file lacks a table that it lists",
                    hint="run `headrace publish`",
                ) from error
            self._known[table] = described
        return described


def _table(name: str, rows: int) -> TableInFile:
    schema, _, table = name.partition(".")
    return TableInFile(schema, table, rows)


def _hidden(columns: list[tuple[str, str]], is_hidden: Callable[[str], bool]) -> frozenset[str]:
    return frozenset(name for name, _ in columns if is_hidden(name))


def _rows_query(
    relation: str, chosen: str, shown: Mapping[str, str], wanted: RowFilter, limit: int
) -> tuple[str, list[str]]:
    """The query for rows, and the values of its parameters."""
    for column in (wanted.column, wanted.sort):
        if column is not None and column not in shown:
            raise RequestError(f"rows cannot be filtered or sorted by {column}: it is not shown")
    if wanted == ALL_ROWS:
        sample = f"tablesample reservoir({max(limit, _KEPT_ROWS)} rows) repeatable (42)"
        return f"select {chosen} from {relation} {sample} order by rowid", []
    columns = [wanted.column] if wanted.column is not None else list(shown)
    holds = [f"contains(lower({identifier(name)}::varchar), lower(?))" for name in columns]
    where = f" where {' or '.join(holds) or 'false'}" if wanted.text else ""
    order = ""
    if wanted.sort is not None:
        direction = "desc" if wanted.descending else "asc"
        order = f" order by {identifier(wanted.sort)} {direction} nulls last"
    query = f"select {chosen} from {relation}{where}{order} limit {int(limit)}"
    return query, [wanted.text] * len(holds) if wanted.text else []


def _spread(rows: tuple[tuple[Any, ...], ...], limit: int) -> tuple[tuple[Any, ...], ...]:
    """So many of the rows, from the first to the last of them."""
    if len(rows) <= limit:
        return rows
    return tuple(rows[number * len(rows) // limit] for number in range(limit))


def _readable(name: str, kind: str) -> str:
    """The column as JSON can hold it: numbers as they are, all else as text that is not long."""
    column = identifier(name)
    if kind in _NUMBERS:
        return column
    text = column if kind == "VARCHAR" else f"{column}::varchar"
    return f"left({text}, {_MAX_LENGTH + 1})"


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _MAX_LENGTH else f"{value[:_MAX_LENGTH]}…"
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) <= _SAFE_INTEGER else str(value)
    # nan and the infinities have no word in JSON
    return value if value - value == 0 else str(value)
