"""A Redshift database, or the stand-in's, and how Headrace talks to it: log-in, queries, errors."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.errors import WarehouseError
from headrace.exceptions import first_line
from headrace.extras import how_to_install
from headrace.sql_text import literal, qualified
from headrace.targets.lease import LeaseRow
from headrace.targets.s3_access import botocore
from headrace.targets.server_target import advised

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class

EXTRA = "redshift"
OWN_SCHEMA = "_headrace"
"""Of the database: what was published, by version, the record of it, and the lock."""

CONNECT_S = 30
_LEASE_S = 90
_STARTS, _STARTING_S = 5, 0.5
_ENDED = r"refused|closed the connection|reset by peer|has stopped"
_NEVER = "timestamp '2000-01-01'"
_PASSWORD_S = 900  # that a temporary password is good for, at least
_AWS_ADVICE = {
    r"ExpiredToken|TokenRefreshRequired|[Tt]oken.{0,20}expired": (
        "the session's token has expired: get a new one, then run the same command again"
    ),
    r"Signature (expired|not yet current)|RequestExpired|RequestTimeTooSkewed": (
        "this machine's clock is off against AWS's: set it (NTP), then run again"
    ),
}


def driver() -> Any:
    """psycopg2, which dlt loads with, too.

    Raises:
        WarehouseError: it is not installed.
    """
    try:
        import psycopg2
    except ImportError as error:
        raise WarehouseError(
            f"the target needs a driver that is not installed: run `{how_to_install(EXTRA)}`"
        ) from error
    return psycopg2


def text(value: str) -> str:
    """A literal; Redshift reads a backslash in one as the beginning of an escape."""
    return literal(value.replace("\\", "\\\\"))


@dataclass(frozen=True)
class IamLogin:
    """Whose temporary password is asked for; AWS's own ways find the key (environment, profile).

    Attributes:
        cluster: the cluster's identifier; None for a workgroup of Redshift Serverless.
        workgroup: the workgroup's name.
        region: of either; by default AWS's own settings say it.
        profile: of AWS's files; by default the environment.
        made: the password asked for last: user, password, and until when by the monotonic clock.
    """

    cluster: str | None
    workgroup: str | None
    region: str | None
    profile: str | None
    made: dict[str, tuple[str, str, float]] = field(default_factory=dict)

    def user_and_password(self, database: str) -> tuple[str, str]:
        """A database user, and a password that is good for a quarter of an hour at least.

        Raises:
            WarehouseError: AWS gives none.
        """
        found = self.made.get(database)
        if found is None or found[2] < time.monotonic():
            found = self.made[database] = self._asked(database)
        return found[0], found[1]

    def _asked(self, database: str) -> tuple[str, str, float]:
        import boto3

        errors = botocore().exceptions
        where = self.cluster or self.workgroup
        try:
            session = boto3.Session(profile_name=self.profile, region_name=self.region)
            if self.cluster is not None:
                made = session.client("redshift").get_cluster_credentials_with_iam(
                    ClusterIdentifier=self.cluster, DbName=database, DurationSeconds=3600
                )
                user, password = made["DbUser"], made["DbPassword"]
            else:
                made = session.client("redshift-serverless").get_credentials(
                    workgroupName=self.workgroup, dbName=database, durationSeconds=3600
                )
                user, password = made["dbUser"], made["dbPassword"]
        except (errors.BotoCoreError, errors.ClientError) as error:
            advice = next(
                (advice for words, advice in _AWS_ADVICE.items() if re.search(words, str(error))),
                "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or "
                "targets.*.profile, of a user or role that may use it",
            )
            raise WarehouseError(
                f"AWS gives no password for {where} ({first_line(error)}): {advice}"
            ) from error
        return str(user), str(password), time.monotonic() + 3600 - _PASSWORD_S


@dataclass(frozen=True, repr=False)
class RedshiftServer:
    """A database of a cluster, a workgroup, or the stand-in.

    Attributes:
        login: host, port, user, password, sslmode and so on by libpq's names; with a password.
        database: its name.
        iam: who asks for a password; None where there is one.
        stand_in: the folder of the stand-in; None for AWS.
        name: of the target, for messages.
    """

    login: Mapping[str, str]
    database: str
    iam: IamLogin | None
    stand_in: Path | None
    name: str

    @property
    def location(self) -> str:
        """``host:port/database``, or the stand-in's folder."""
        if self.stand_in is not None:
            return f"stand-in in {self.stand_in}, database {self.database}"
        return f"{self.login['host']}:{self.login['port']}/{self.database}"

    def parameters(self) -> dict[str, str]:
        """libpq's parameters but for the database; the stand-in is started for that.

        Raises:
            WarehouseError: the stand-in cannot be started, or AWS gives no password.
        """
        driver()
        if self.stand_in is not None:
            try:
                from headrace.targets.redshift_mock import process
            except ImportError as error:  # psycopg2 is there with the extra postgres, too
                raise WarehouseError(
                    f"the stand-in for Redshift is not installed: run `{how_to_install(EXTRA)}`"
                ) from error
            return {**self.login, "port": str(process.port_of(self.stand_in))}
        if self.iam is not None:
            user, password = self.iam.user_and_password(self.database)
            return {**self.login, "user": user, "password": password}
        return dict(self.login)

    def open(self) -> "Connection":
        """A connection that commits each statement; UTC.

        Raises:
            WarehouseError: it cannot be made.
        """
        psycopg2 = driver()
        for left in reversed(range(1 if self.stand_in is None else _STARTS)):
            try:
                connection: Connection = psycopg2.connect(
                    **self.parameters(), dbname=self.database, connect_timeout=CONNECT_S,
                    application_name="headrace", client_encoding="utf-8", keepalives_idle=30,
                )  # fmt: skip
                break
            except psycopg2.Error as error:
                if not left or not re.search(_ENDED, str(error)):
                    raise self.explain(error) from None  # its arguments may hold the password
                time.sleep(_STARTING_S)  # the stand-in ended, and is started again
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("set extra_float_digits = 2")  # what is a float is as text, too
        except psycopg2.Error as error:
            raise self.explain(error) from error
        return connection

    @contextmanager
    def connect(self) -> "Iterator[Connection]":
        """A connection, closed at the end.

        Raises:
            WarehouseError: it cannot be made, or an error of the server in the block.
        """
        psycopg2 = driver()
        connection = self.open()
        try:
            yield connection
        except psycopg2.Error as error:
            raise self.explain(error) from error
        finally:
            with suppress(psycopg2.Error):
                connection.close()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query, on a connection of its own.

        Raises:
            WarehouseError: it fails.
        """
        with self.connect() as connection:
            return rows_of(connection, sql)

    def has_schema(self, name: str) -> bool:
        """Whether there is a schema."""
        return bool(self.ask(f"select 1 from pg_namespace where nspname = {text(name)}"))

    def explain(self, error: Exception) -> WarehouseError:
        """An error of the driver, or of DuckDB's, as one sentence that says what to do."""
        whole = str(error)
        said = first_line(re.sub(r"^connection to server .*? failed: ", "", whole))
        said = re.sub(r"^(FATAL|ERROR):\s+", "", said)
        return advised(
            _CAUSES, whole, place=self.location, said=said, name=self.name,
            NAME=self.name.upper(), host=self.login.get("host", ""), database=self.database,
        )  # fmt: skip

    @contextmanager
    def lock(self, command: str) -> Iterator[None]:
        """A row with an end by the server's clock, renewed while it is held.

        Raises:
            LockedError: another machine holds it.
            WarehouseError: the server cannot be reached.
        """
        lease = LeaseRow(
            qualified(OWN_SCHEMA, "lease"), "getdate()", f"dateadd(second, {_LEASE_S}, getdate())",
            _NEVER, text, _LEASE_S,
        )  # fmt: skip

        def take(update: str) -> tuple[str, str]:
            with self.connect() as connection:
                run(connection, f"create schema if not exists {OWN_SCHEMA}")
                run(
                    connection,
                    f"create table if not exists {lease.table} (id int, holder varchar(64), "
                    "who varchar(1024), ends_at timestamp)",
                )
                with transaction(connection):  # who comes second waits for the table
                    run(connection, f"lock {lease.table}")
                    if not rows_of(connection, f"select 1 from {lease.table}"):
                        run(connection, f"insert into {lease.table} values (1, '', '', {_NEVER})")
                    run(connection, update)
                    holder, who = rows_of(connection, f"select holder, who from {lease.table}")[0]
            return str(holder), str(who)

        with lease.held(command, location=self.location, take=take, tell=self._tell):
            yield

    def _tell(self, sql: str) -> None:
        with self.connect() as connection:
            run(connection, sql)


def run(connection: "Connection", sql: str) -> int:
    """Run a statement; how many rows it wrote."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.rowcount)


def rows_of(connection: "Connection", sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query; none of a statement that gives none."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []


@contextmanager
def transaction(connection: "Connection") -> Iterator[None]:
    """Several statements that all happen or none."""
    run(connection, "begin")
    try:
        yield
    except BaseException:
        with suppress(driver().Error):
            run(connection, "rollback")
        raise
    run(connection, "commit")


def patiently(
    connection: "Connection", do: Callable[[], None], *, waits: Sequence[float], give_up: str
) -> None:
    """Do a transaction that waits for readers, in short attempts: who waits holds up others.

    Args:
        connection: to the database.
        do: the transaction.
        waits: seconds that a statement may take, at each attempt.
        give_up: what is told in the end.

    Raises:
        WarehouseError: readers were in the way each time.
    """
    psycopg2 = driver()
    try:
        for seconds in waits:
            run(connection, f"set statement_timeout to {int(seconds * 1000)}")
            try:
                do()
            except (psycopg2.extensions.QueryCanceledError, psycopg2.errors.DeadlockDetected):
                time.sleep(seconds / 2)
            else:
                return
        raise WarehouseError(give_up)
    finally:
        with suppress(psycopg2.Error):
            run(connection, "set statement_timeout to 0")


_CAUSES = (
    (
        r"password authentication failed|no password supplied|authentication failed",
        (
            "{place} refuses the log-in ({said}): set HEADRACE_TARGETS__{NAME}__USER and "
            "HEADRACE_TARGETS__{NAME}__PASSWORD, or targets.{name}.iam"
        ),
    ),
    (
        r'database "[^"]*" does not exist',
        (
            "there is no database {database} at {place}: run `create database {database}` there, "
            "or set targets.{name}.database"
        ),
    ),
    (
        r"does not support SSL|SSL (error|SYSCALL)|certificate|sslmode",
        (
            "no safe connection to {place}: {said} (targets.{name}.sslmode, "
            "targets.{name}.sslrootcert)"
        ),
    ),
    (
        r"could not translate host name|Name or service not known|nodename nor servname",
        "the host {host} is not known: set targets.{name}.host to the endpoint, without port",
    ),
    (
        r"Connection refused|No route to host|Network is unreachable|timeout expired|timed out",
        (
            "{place} does not answer: is the endpoint right, is the cluster running, and does its "
            "security group let this machine in?"
        ),
    ),
    (
        r"permission denied|must be owner|not authorized to assume",
        "{place}: {said}: grant it to the user of targets.{name}, or name another one",
    ),
    (
        (
            r"server closed the connection|has stopped|terminating connection|connection already "
            r"closed|connection (was )?(lost|reset)|SSL connection has been closed"
        ),
        ("{place} ended the connection: what readers have is untouched; run again when it is up"),
    ),
    (
        r"1023|Serializable isolation violation|concurrent transaction|could not serialize",
        "{place}: another program wrote the same tables at the same time ({said}): run again",
    ),
)
