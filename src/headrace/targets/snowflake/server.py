"""A Snowflake account, or its stand-in, and how Headrace talks to it: connections, errors, lock."""

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.errors import WarehouseError
from headrace.exceptions import first_line
from headrace.extras import how_to_install
from headrace.sql_text import identifier, literal
from headrace.targets.lease import LeaseRow
from headrace.targets.server_target import advised

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

EXTRA = "snowflake"
OWN_SCHEMA = "_HEADRACE"
"""Of the lock; schemas whose names begin with it hold earlier publications."""

_LOGIN_S = 30
_LEASE_S = 90
_NEVER = "to_timestamp_tz('2000-01-01 00:00:00 +00:00')"


def driver() -> Any:
    """Snowflake's connector.

    Raises:
        WarehouseError: it is not installed.
    """
    try:
        import snowflake.connector
    except ImportError as error:
        raise WarehouseError(
            f"the target needs a driver that is not installed: run `{how_to_install(EXTRA)}`"
        ) from error
    return snowflake.connector


def quoted(*parts: str) -> str:
    """A name in Snowflake's SQL: what is written without quotes is in upper case there."""
    return ".".join(identifier(part.upper()) for part in parts)


@dataclass(frozen=True, repr=False)
class SnowflakeServer:
    """A database of an account.

    Attributes:
        login: parameters of the connector; it may hold secrets.
        database: its name, in upper case.
        stand_in: the folder of the stand-in; None for an account.
        name: of the target, for messages.
        kept: the connection that reads.
    """

    login: Mapping[str, Any]
    database: str
    stand_in: Path | None
    name: str
    kept: "dict[str, SnowflakeConnection]" = field(default_factory=dict)
    turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def location(self) -> str:
        """``account/DATABASE``, or the stand-in's folder."""
        where = f"stand-in in {self.stand_in}" if self.stand_in else str(self.login["account"])
        return f"{where}, database {self.database}"

    def parameters(self) -> dict[str, Any]:
        """What the connector is told, the stand-in's address included; it is started for that.

        Raises:
            WarehouseError: the stand-in cannot be started.
        """
        driver()
        if self.stand_in is None:
            return dict(self.login)
        from headrace.targets.snowflake_standin import process

        port = process.port_of(self.stand_in)
        return {**self.login, "host": "127.0.0.1", "port": port, "protocol": "http"}

    def open(self) -> "SnowflakeConnection":
        """A connection that commits each statement.

        Raises:
            WarehouseError: it cannot be made.
        """
        connector = driver()
        try:
            connection: SnowflakeConnection = connector.connect(
                **self.parameters(),
                database=self.database,
                autocommit=True,
                login_timeout=_LOGIN_S,
                application="Headrace",
                arrow_number_to_decimal=True,
                client_session_keep_alive=True,
                session_parameters={"TIMEZONE": "UTC", "QUERY_TAG": "headrace"},
            )
        except connector.errors.Error as error:
            raise self.explain(error) from None  # its arguments may hold secrets
        return connection

    @contextmanager
    def connect(self) -> "Iterator[SnowflakeConnection]":
        """A connection, closed at the end.

        Raises:
            WarehouseError: it cannot be made, or an error of the server in the block.
        """
        connector = driver()
        connection = self.open()
        try:
            yield connection
        except connector.errors.Error as error:
            raise self.explain(error) from error
        finally:
            with suppress(connector.errors.Error):
                connection.close()

    def reader(self) -> "SnowflakeConnection":
        """The connection that reads, made once: a log-in takes a second.

        Raises:
            WarehouseError: it cannot be made.
        """
        with self.turn:
            address = str(self.parameters().get("port", ""))
            found = self.kept.get(address)
            if found is None or found.is_closed():
                self.kept.clear()
                found = self.kept[address] = self.open()
            return found

    def close(self) -> None:
        """Close the connection that reads."""
        connector = driver()
        with self.turn:
            for connection in self.kept.values():
                with suppress(connector.errors.Error):
                    connection.close()
            self.kept.clear()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query.

        Raises:
            WarehouseError: it fails.
        """
        connector = driver()
        for is_last in (False, True):
            try:
                with self.reader().cursor() as cursor:
                    return [tuple(row) for row in cursor.execute(sql).fetchall()]  # type: ignore[union-attr]
            except connector.errors.Error as error:
                if is_last or "Session no longer exists" not in str(error):
                    raise self.explain(error) from error
                self.kept.clear()  # the server was started again
        raise AssertionError

    def has_database(self) -> bool:
        """Whether the database is there, and the role may see it."""
        found = self.ask(f"show databases like {literal(self.database)}")
        return bool(found)

    def explain(self, error: Exception) -> WarehouseError:
        """An error of the connector, or of DuckDB's, as one sentence that says what to do."""
        text = str(getattr(error, "msg", None) or error)
        said = re.sub(r"^\d{6} \(\w{5}\): ", "", first_line(text))
        return advised(
            _CAUSES, text, place=self.location, said=said, name=self.name, database=self.database
        )

    @contextmanager
    def lock(self, command: str) -> Iterator[None]:
        """A row with an end by the server's clock, renewed while it is held.

        Raises:
            LockedError: another machine holds it.
            WarehouseError: the server cannot be reached.
        """
        lease = LeaseRow(
            quoted(self.database, OWN_SCHEMA, "LEASE"), "current_timestamp()",
            f"dateadd(second, {_LEASE_S}, current_timestamp())", _NEVER, literal, _LEASE_S,
        )  # fmt: skip

        def take(update: str) -> tuple[str, str]:
            with self.connect() as connection, connection.cursor() as cursor:
                cursor.execute(f"create database if not exists {quoted(self.database)}")
                cursor.execute(f"create schema if not exists {quoted(self.database, OWN_SCHEMA)}")
                cursor.execute(
                    f"create table if not exists {lease.table} (id number(1, 0), holder varchar, "
                    "who varchar, ends_at timestamp_tz)"
                )
                cursor.execute(
                    f"merge into {lease.table} as l using (select 1 as id) as one "
                    "on l.id = one.id when not matched then "
                    f"insert (id, holder, who, ends_at) values (1, '', '', {_NEVER})"
                )
                cursor.execute(update)
                cursor.execute(f"select holder, who from {lease.table}")
                row = cursor.fetchone()
            return (str(row[0]), str(row[1])) if row else ("", "?")

        with lease.held(command, location=self.location, take=take, tell=self.ask):
            yield


_CAUSES = (
    (
        r"token (has |is )?expired|390114|390318",
        (
            "{place}: the token has expired ({said}): get a new one, set it by "
            "HEADRACE_TARGETS__<NAME>__TOKEN, and run the same command again"
        ),
    ),
    (
        r"JWT token is invalid|390144",
        (
            "{place} refuses the key ({said}): is it the user's, and is this machine's clock right "
            "(NTP)? a token of the key is good for a minute"
        ),
    ),
    (
        (
            r"Incorrect username or password|Invalid OAuth access token|authentication failed|"
            r"390303"
        ),
        (
            "{place} refuses the log-in ({said}): set HEADRACE_TARGETS__<NAME>__USER and one of "
            "PRIVATE_KEY, PRIVATE_KEY_PATH, TOKEN, PASSWORD"
        ),
    ),
    (
        r"Could not deserialize key|Could not decrypt|bad decrypt|private key",
        (
            "the private key of targets.{name} cannot be read ({said}): it is PKCS#8 in PEM, "
            "and an encrypted one needs private_key_passphrase"
        ),
    ),
    (
        (
            r"404 Not Found|getaddrinfo|Name or service not known|Could not connect|"
            r"Failed to connect|Connection refused|Max retries|timed out|250001"
        ),
        (
            "{place} cannot be reached: is targets.{name}.account right (like `myorg-account123`), "
            "and is the network there?"
        ),
    ),
    (
        r"Role '?[^' ]*'? .*(does not exist|not authorized|not granted)",
        "{place}: {said}: set targets.{name}.role to a role of the user",
    ),
    (
        r"No active warehouse",
        "{place} has no warehouse to compute with: set targets.{name}.warehouse",
    ),
    (
        r"Insufficient privileges",
        "{place}: {said}: grant it to the role of targets.{name}, or name another role",
    ),
    (
        r"Cannot perform .* does not have a current database|Database '[^']*' does not exist",
        (
            "{place}: there is no such database, or the role may not see it: create it, or set "
            "targets.{name}.database"
        ),
    ),
)
