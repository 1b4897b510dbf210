"""What is published, as the server reads it: what there is, and a few rows of a table.

The published file is opened read-only, by DuckDB with no access to any other file, little memory
and a time limit, and closed when it was replaced or is not used. It is replaced by a rename, so
what was read of one file stays true of it. The warehouse is never opened.

Where a target is read without a copy on this machine, it is asked every few seconds which
publication readers have, and rows are read from that.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from headrace import portable
from headrace.errors import WarehouseError
from headrace.libraries.duckdb import connect
from headrace.pipeline.publishing import published_tables
from headrace.server.errors import UnavailableError
from headrace.server.row_query import (
    ALL_ROWS,
    KEPT_ROWS,
    RowFilter,
    SampleRows,
    readable,
    rows_query,
    shown_value,
    spread,
)
from headrace.sql_text import identifier
from headrace.targets.base import share_streams

if TYPE_CHECKING:
    import duckdb

    from headrace.settings import Resolved

MASK = "***"
_INFO = "_headrace"
_MAX_READERS = 2  # at a time
MAX_SECONDS = 5.0
_IDLE_SECONDS = 30.0
_KEPT_TABLES = 64
_Config = dict[str, str | bool | int | float | list[str]]
_CONFIG: _Config = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "256MB",
    "threads": "1",
    "temp_directory": "",
}
_ALONE: _Config = {"enable_external_access": "false"}
_LOCKED: _Config = {"lock_configuration": "true"}
_ASK_SECONDS = 10.0  # until a target is asked again what it has published
Stamp = tuple[object, ...]


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
        problem: why a target cannot be read.
    """

    stamp: Stamp | None
    status: Literal["none", "unreadable", "published"]
    published_at: datetime | None = None
    run_id: str | None = None
    tables: Mapping[str, TableInFile] = field(default_factory=dict)
    problem: str | None = None


_RowsKey = tuple[Stamp | None, TableInFile, frozenset[str]]


class PublishedFileReader:
    """Reads the published file, or the target where there is none."""

    def __init__(self, path: Path, resolved: "Resolved | None" = None) -> None:
        """Note where it is; nothing is opened.

        Args:
            path: the file.
            resolved: the project's settings, whose target is asked where there is no file; None
                for the file alone.
        """
        self._path = path
        self._resolved = resolved
        self._asking = threading.Lock()
        self._asked: tuple[float, Stamp | None] | None = None
        self._readers = threading.Semaphore(_MAX_READERS)
        self._opening = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._opened: Stamp | None = None
        self._used = 0.0
        self._reading: dict[int, tuple[float, duckdb.DuckDBPyConnection]] = {}
        self._known: dict[TableInFile, list[tuple[str, str]]] = {}
        self._kept: dict[_RowsKey, SampleRows] = {}

    def stamp(self) -> Stamp | None:
        """What changes when something else is published; None where nothing is."""
        try:
            found = self._path.stat()
        except OSError:
            return self._remote_stamp()
        return found.st_ino, found.st_mtime_ns, found.st_size

    @property
    def _is_near(self) -> bool:
        return self._resolved is None or self._path.exists()

    def _remote_stamp(self) -> Stamp | None:
        """What changes when the target publishes; it is asked now and then."""
        if self._resolved is None:
            return None
        with self._asking:
            if self._asked is None or time.monotonic() - self._asked[0] > _ASK_SECONDS:
                stamp: Stamp | None
                try:
                    found = published_tables.current(self._resolved)
                    stamp = (found.run_id, found.published_at) if found is not None else None
                except WarehouseError as error:
                    stamp = (str(error),)
                self._asked = time.monotonic(), stamp
            return self._asked[1]

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
        except UnavailableError as error:
            if self._is_near:
                raise
            return PublishedFileInfo(stamp, "unreadable", problem=str(error))
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
            if kept is not None and limit <= KEPT_ROWS:
                return replace(kept, rows=spread(kept.rows, limit))
        with self.reading() as connection:
            columns = self._columns(connection, table)
            hidden = _hidden(columns, is_hidden)
            chosen = ", ".join(
                f"'{MASK}'" if name in hidden else readable(name, kind) for name, kind in columns
            )
            shown = {name: kind for name, kind in columns if name not in hidden}
            query, values = rows_query(
                f"{identifier(table.schema)}.{identifier(table.name)}",
                chosen,
                shown,
                wanted,
                limit,
                is_near=self._is_near,
            )
            found = connection.execute(query, values).fetchall()
        rows = SampleRows(
            columns=tuple(name for name, _ in columns),
            types=tuple(kind for _, kind in columns),
            masked=tuple(name for name, _ in columns if name in hidden),
            rows=tuple(tuple(shown_value(each) for each in row) for row in found),
        )
        if wanted == ALL_ROWS:
            self._keep((stamp, table, hidden), rows)
        return replace(rows, rows=spread(rows.rows, limit))

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

        with self._opening:
            stamp = self.stamp()
            if self._connection is None or self._opened != stamp:
                self._close()
                self._connection = self._connected()
                self._opened, self._known = stamp, {}
            self._used = time.monotonic()
            cursor = self._connection.cursor()
            if not self._is_near:
                share_streams(self._connection, cursor)
                cursor.execute(f"use {published_tables.ALIAS}")  # a cursor begins without it
            return cursor

    def _connected(self) -> "duckdb.DuckDBPyConnection":
        """A connection to the file, or to a database in memory that reads the target."""
        import duckdb

        if self._is_near or self._resolved is None:
            return duckdb.connect(
                str(self._path), read_only=True, config={**_ALONE, **_CONFIG, **_LOCKED}
            )
        connection = connect(_CONFIG)
        try:
            connection.execute("set TimeZone = 'UTC'")
            if not published_tables.attach(self._resolved, connection, published_tables.ALIAS):
                raise UnavailableError("nothing is published", hint="run `headrace run`")
            for key, value in {**_ALONE, **_LOCKED}.items():
                connection.execute(f"set {key} = {value}")
        except WarehouseError as error:
            connection.close()
            raise UnavailableError(str(error)) from error
        except BaseException:
            connection.close()
            raise
        return connection

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
