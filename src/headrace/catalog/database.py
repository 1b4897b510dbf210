"""The connection to the run store: SQLite (WAL) by default, Postgres by URL."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headrace.catalog.store_tables import SCHEMA_VERSION, tables, upgrade
from headrace.errors import RunStoreError
from headrace.exceptions import first_line
from headrace.extras import how_to_install
from headrace.secrets import hide
from headrace.system_errors import system_fault

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import Connection, Engine

_ALONE = {
    "sqlite": "begin immediate",
    "postgresql": "select pg_advisory_xact_lock(1211777348)",  # any number, of our own
}
BUSY_SECONDS = 30.0
"""How long SQLite waits for another writer."""
_RETRY_SECONDS = 0.02


class StoreDatabase:
    """An open run store; its subclasses read and write its tables."""

    def __init__(self, url: str) -> None:
        """Open the store; create its tables where there are none, upgrade older ones.

        Args:
            url: a SQLAlchemy URL.

        Raises:
            RunStoreError: it cannot be opened, is locked, or is of a newer version.
        """
        self._tables = tables()
        self._url = url
        with _explained(url):
            self._engine = _engine(url)
            self._make_ready()

    def _make_ready(self) -> None:
        from sqlalchemy import inspect

        with self._engine.begin() as connection:
            is_there = inspect(connection).has_table(self._tables["meta"].name)
            found = self._version(connection) if is_there else None
        if found != SCHEMA_VERSION:
            # a run and the page may both find an empty store: one waits for the other
            with self._engine.begin() as connection:
                connection.exec_driver_sql(_ALONE.get(connection.dialect.name, "select 1"))
                found = self._upgraded(connection)
        if found > SCHEMA_VERSION:
            self._engine.dispose()
            raise RunStoreError(
                f"the run store is of version {found}, this Headrace knows {SCHEMA_VERSION}: "
                "upgrade Headrace, or set run_store.url to another one"
            )

    def _version(self, connection: "Connection") -> int | None:
        from sqlalchemy import select

        meta = self._tables["meta"]
        query = select(meta.c.value).where(meta.c.key == "schema_version")
        found = connection.execute(query).scalar()
        return None if found is None else int(found)

    def _upgraded(self, connection: "Connection") -> int:
        """Create or upgrade the tables, and return the store's version."""
        from sqlalchemy import insert, update

        meta = self._tables["meta"]
        meta.create(connection, checkfirst=True)
        found = self._version(connection)
        if found is not None and found >= SCHEMA_VERSION:
            return found
        meta.metadata.create_all(connection)
        key, value = "schema_version", str(SCHEMA_VERSION)
        if found is None:
            connection.execute(insert(meta).values(key=key, value=value))
        else:
            upgrade(connection, self._tables, found)
            connection.execute(update(meta).where(meta.c.key == key).values(value=value))
        return SCHEMA_VERSION

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    @contextmanager
    def begin(self) -> "Iterator[Connection]":
        """A connection in a transaction, which is committed at the end.

        Raises:
            RunStoreError: the database refused it; says what to do.
        """
        with _explained(self._url), self._engine.begin() as connection:
            yield connection

    def _insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        from sqlalchemy import insert

        if rows:
            with self.begin() as connection:
                connection.execute(insert(self._tables[table]), [dict(row) for row in rows])


def _engine(url: str) -> "Engine":
    from sqlalchemy import create_engine, event, make_url

    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: object) -> None:
        _write_ahead(connection)
        connection.execute("pragma synchronous = normal")
        connection.execute("pragma foreign_keys = on")

    return engine


def _write_ahead(connection: "sqlite3.Connection") -> None:
    """Switch the file to write-ahead logging, so that the page reads while a run writes.

    The first connection does so. Where two do so at once, SQLite reports to one of them that the
    file is locked, without waiting for the timeout.
    """
    import sqlite3

    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn errors of the database into a ``RunStoreError`` without passwords."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except (ArgumentError, NoSuchModuleError) as error:
        raise RunStoreError(
            "run_store.url is not a SQLAlchemy URL: write it like sqlite:////path/runs.sqlite or "
            "postgresql://user:password@host/database"
        ) from error
    except ModuleNotFoundError as error:
        raise RunStoreError(
            f"the run store needs {error.name}: install it, `{how_to_install('postgres')}`"
        ) from error
    except SQLAlchemyError as error:
        original = cast("Any", getattr(error, "orig", None)) or error
        first = hide(first_line(original))
        if "database is locked" in first:
            raise RunStoreError(
                f"the run store {_shown(url)} is locked by another program for more than "
                f"{BUSY_SECONDS:g} seconds: end what holds it (a database browser with an open "
                "transaction?), then run the same command again"
            ) from error
        fault = system_fault(error, place=_directory(url))
        raise RunStoreError(
            f"the run store {_shown(url)} cannot be used: "
            f"{fault.message if fault else f'{first} (see run_store.url)'}"
        ) from error
    except OSError as error:
        fault = system_fault(error, place=_directory(url))
        raise RunStoreError(
            f"the run store {_shown(url)} cannot be written: "
            f"{fault.message if fault else error.strerror or error}"
        ) from error


def _directory(url: str) -> Path | None:
    """The directory of a SQLite file; None for any other database."""
    from sqlalchemy import make_url

    parsed = make_url(url)
    is_file = parsed.get_backend_name() == "sqlite" and parsed.database
    return Path(parsed.database).parent if is_file and parsed.database else None


def _shown(url: str) -> str:
    from sqlalchemy import make_url

    return hide(make_url(url).render_as_string(hide_password=True))
