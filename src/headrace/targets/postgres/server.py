"""A PostgreSQL server and how Headrace talks to it: connections, the lock, what changed."""

import os
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.errors import LockedError, WarehouseError
from headrace.extras import how_to_install
from headrace.sql_text import qualified
from headrace.targets.postgres.errors import explained
from headrace.targets.server_target import by_schema

if TYPE_CHECKING:
    import psycopg

EXTRA = "postgres"
LOAD, BUILD = "headrace-load", "headrace-build"
"""What the server calls the sessions of dlt and dbt; a blank would become a + in a URL."""

CONNECT_S = 10
_LOCK = int.from_bytes(b"headrace")
"""The key of the advisory lock, which is of one database."""

_FLUSH_S = 5.0
_SESSION = {
    # what a value is as text must not follow from the server or the role
    "timezone": "UTC",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "idle_session_timeout": "0",  # the session of the lock waits for the run
    "idle_in_transaction_session_timeout": "0",
    "statement_timeout": "0",
}


def driver() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise WarehouseError(
            f"the target needs a driver that is not installed: run `{how_to_install(EXTRA)}`"
        ) from error
    return psycopg


@dataclass(frozen=True, repr=False)
class PostgresServer:
    """A database of a server.

    Attributes:
        parts: libpq's parameters by name; it may hold a password.
    """

    parts: Mapping[str, str]

    @property
    def database(self) -> str:
        """The database's name."""
        return self.parts["dbname"]

    @property
    def location(self) -> str:
        """``host:port/database``."""
        return f"{self.parts['host']}:{self.parts['port']}/{self.parts['dbname']}"

    @contextmanager
    def connect(
        self, application: str = "headrace"
    ) -> "Iterator[psycopg.Connection[tuple[Any, ...]]]":
        """A connection that commits each statement, closed at the end.

        Args:
            application: what the server calls it in ``pg_stat_activity``; 63 bytes.

        Raises:
            WarehouseError: it cannot be made, or an error of the server in the block.
        """
        psycopg = driver()
        options = " ".join(f"-c {key}={value}" for key, value in _SESSION.items())
        given = self.parts.get("options")
        try:
            connection = psycopg.connect(
                **{
                    "connect_timeout": str(CONNECT_S),
                    "keepalives_idle": "30",
                    **self.parts,
                    "options": f"{given} {options}" if given else options,
                    "application_name": application,
                },
                autocommit=True,
            )
        except psycopg.Error as error:
            raise self.explain(error) from None  # its arguments may hold the password
        try:
            yield connection
        except psycopg.Error as error:
            raise self.explain(error) from error
        finally:
            with suppress(psycopg.Error):
                connection.close()

    def explain(self, error: Exception) -> WarehouseError:
        """An error of the driver, or of DuckDB's, as one sentence that says what to do."""
        return explained(error, self.parts, self.location)

    @contextmanager
    def lock(self, command: str) -> Iterator[None]:
        """An advisory lock of the database, held by a session of its own.

        Raises:
            LockedError: another machine holds it.
            WarehouseError: the server cannot be reached.
        """
        mine = f"{command} on {socket.gethostname()}, process {os.getpid()}"
        connecting = self.connect(mine.encode()[:63].decode(errors="ignore"))
        connection = connecting.__enter__()
        try:
            row = connection.execute("select pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
            if row is None or not row[0]:
                raise LockedError(self._busy(connection))
            try:
                yield
            finally:
                # a session that was closed ends a little later: who comes next is not to meet it
                with suppress(driver().Error):
                    connection.execute("select pg_advisory_unlock(%s)", [_LOCK])
        finally:
            # the server ends the lock with the session; one that is gone has none
            connecting.__exit__(None, None, None)

    def _busy(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> str:
        row = connection.execute(
            "select application_name, coalesce(host(client_addr), 'this server'), "
            "backend_start at time zone 'UTC', now() - backend_start, a.pid "
            "from pg_locks l join pg_stat_activity a using (pid) "
            "where locktype = 'advisory' and granted and objsubid = 1 "
            "and (classid::bigint << 32 | objid::bigint) = %s "
            "and l.database = (select oid from pg_database where datname = current_database())",
            [_LOCK],
        ).fetchone()
        if row is None:
            return f"another run holds {self.location}: wait until it has ended"
        who, address, since, age, pid = row
        return (
            f"another run holds {self.location}: `{who}` (from {address}), since "
            f"{since:%Y-%m-%d %H:%M:%S} UTC ({int(age.total_seconds() // 60)} min): wait until it "
            f"has ended, or end its session (select pg_terminate_backend({pid}))"
        )

    def signature(self, left_out: Sequence[str]) -> str | None:
        """A hash over the tables that the role owns: which they are, and what changed in them.

        The server counts the rows that are written to each table. A session's counts are there when
        it has ended, so dlt's and dbt's have to be. A run store is left out, as are the
        tables of other roles.

        Args:
            left_out: schemas that are left out, too.
        """
        with self.connect() as connection:
            deadline = time.monotonic() + _FLUSH_S
            while time.monotonic() < deadline:
                row = connection.execute(
                    "select count(*) from pg_stat_activity where datname = current_database() "
                    "and application_name in (%s, %s)",
                    [LOAD, BUILD],
                ).fetchone()
                if row == (0,):
                    break
                time.sleep(0.05)
            row = connection.execute(_SIGNATURE, [list(left_out)]).fetchone()
        if row is None or not row[0]:
            return None  # the server does not count
        return str(row[1])


_SIGNATURE = """
select
    current_setting('track_counts')::bool,
    md5(coalesce(string_agg(
        concat_ws(
            ':', c.oid, n.nspname, c.relname, c.relfilenode,
            pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid),
            pg_stat_get_tuples_deleted(c.oid)
        ), ',' order by c.oid
    ), '') || (
        select coalesce(stats_reset::text, '') from pg_stat_database
        where datname = current_database()
    ))
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where
    c.relkind in ('r', 'p', 'v', 'm')
    and pg_has_role(c.relowner, 'member')
    and n.nspname not in ('pg_catalog', 'information_schema')
    and n.nspname not like 'pg\\_%%'
    and n.nspname <> all(%s)
    and not exists (
        select from pg_class as run_store
        where run_store.relnamespace = n.oid and run_store.relname = 'catalog_lineage'
    )
"""


def count_of(connection: "psycopg.Connection[tuple[Any, ...]]", schema: str, name: str) -> int:
    """Rows of a table or view."""
    sql = f"select count(*) from {qualified(schema, name)}"
    row = connection.execute(sql.encode()).fetchone()
    return int(row[0]) if row else 0


def tables_of(
    connection: "psycopg.Connection[tuple[Any, ...]]", schemas: Collection[str]
) -> dict[str, list[str]]:
    """The tables of each schema, dlt's own left out."""
    rows = connection.execute(
        "select nspname, relname from pg_class join pg_namespace as n on n.oid = relnamespace "
        "where relkind in ('r', 'p') and nspname = any(%s) "
        "and not starts_with(relname, '_dlt') and not relispartition",
        [list(schemas)],
    ).fetchall()
    return by_schema(rows)
