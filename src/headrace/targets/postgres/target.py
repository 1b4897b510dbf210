"""The PostgreSQL target: a database, of which readers read one schema; its settings and lock."""

import re
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SecretStr, field_validator

from headrace.errors import WarehouseError
from headrace.libraries.duckdb import load_extension
from headrace.sql_text import identifier, literal, qualified, scalar
from headrace.targets.base import Capabilities
from headrace.targets.postgres.dropped_views import keep_views, make_views_again
from headrace.targets.postgres.numerics import columns_of, make_views
from headrace.targets.postgres.publisher import PostgresPublisher
from headrace.targets.postgres.server import (
    BUILD,
    CONNECT_S,
    EXTRA,
    LOAD,
    PostgresServer,
    count_of,
    driver,
    tables_of,
)
from headrace.targets.postgres.versions import FORMAT, OWN_SCHEMA, create_own_tables
from headrace.targets.server_target import ServerTarget, ServerTargetSettings

if TYPE_CHECKING:
    import duckdb

_OLDEST = 150000
# dbt-postgres has no key for the time zone, and puts this into the options of its sessions, where
# it escapes blanks, but no tabs
_IN_UTC = '"$user",public\t-c\tTimeZone=UTC'
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


class PostgresSettings(ServerTargetSettings):
    """Settings of a PostgreSQL target (``targets.<name>`` in the settings)."""

    url: SecretStr | None = Field(
        None, description="`postgresql://user:password@host:port/dbname?sslmode=require`, instead "
        "of the keys below; those that are set hold",
    )  # fmt: skip
    host: str | None = Field(
        None, description="the server, or the folder of its socket; by default `localhost`"
    )
    port: int | None = Field(None, ge=1, le=65535, description="by default 5432")
    user: str | None = Field(None, description="the role; by default `headrace`")
    password: SecretStr | None = Field(
        None, description="set it by `HEADRACE_TARGETS__POSTGRES__PASSWORD`, or leave it to "
        "`~/.pgpass`",
    )  # fmt: skip
    dbname: str | None = Field(None, description="the database; by default `headrace`")
    sslmode: SslMode | None = Field(
        None, description="`require`, `verify-full` and so on; by default `prefer`"
    )
    sslrootcert: Path | None = Field(
        None, description="the certificate of the authority, for `verify-ca` and `verify-full`"
    )
    published_schema: str = Field(
        "published", pattern=r"^[a-z_][a-z0-9_]{0,62}$", description="the schema that readers read"
    )

    @field_validator("url")
    @classmethod
    def _is_of_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.match(r"postgres(ql)?://", value.get_secret_value()):
            raise ValueError("write it like postgresql://user:password@host:5432/dbname")
        return value

    @contextmanager
    def apart(self, folder: Path) -> Iterator[dict[str, str]]:
        """A database of its own on the same server; the role must be allowed to create one."""
        target = self.target("apart", data_dir=folder, path_of=lambda path: path)
        name = f"headrace_parity_{secrets.token_hex(4)}"
        with target.server.connect() as connection:
            connection.execute(f"create database {identifier(name)}".encode())
        try:
            yield {"dbname": name}
        finally:
            with target.server.connect() as connection:
                connection.execute(f"drop database {identifier(name)} with (force)".encode())

    def target(
        self, name: str, *, data_dir: Path, path_of: Callable[[Path], Path]
    ) -> "PostgresTarget":
        """The target.

        Raises:
            WarehouseError: the extra is not installed, or the URL cannot be read.
        """
        found = _parts_of(self.url.get_secret_value()) if self.url is not None else {}
        given = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password.get_secret_value() if self.password else None,
            "dbname": self.dbname,
            "sslmode": self.sslmode,
            "sslrootcert": str(path_of(self.sslrootcert)) if self.sslrootcert else None,
        }
        found |= {key: str(value) for key, value in given.items() if value is not None}
        usual = {"host": "localhost", "port": "5432", "user": "headrace", "dbname": "headrace"}
        return PostgresTarget(
            name=name,
            server=PostgresServer({**usual, **found}),
            published_schema=self.published_schema,
            threads=self.threads,
            load_memory_limit=self.load_memory_limit,
            folder=data_dir,
        )


def _parts_of(url: str) -> dict[str, str]:
    """The parts of a URL by libpq's names of them."""
    psycopg = driver()
    from psycopg.conninfo import conninfo_to_dict

    try:
        found = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise WarehouseError(
            "targets: the url of a Postgres target cannot be read: write it like "
            "postgresql://user:password@host:5432/dbname"
        ) from error
    return {key: str(value) for key, value in found.items() if value is not None}


@dataclass(frozen=True, repr=False)
class PostgresTarget(ServerTarget):
    """A PostgreSQL database.

    Attributes:
        name: its name in the settings.
        server: where the database is.
        published_schema: the schema that readers read.
        threads: connections that dbt builds with.
        load_memory_limit: DuckDB's, while files are read on this machine.
        folder: where Headrace writes on this machine.
    """

    name: str
    server: PostgresServer
    published_schema: str
    threads: int
    load_memory_limit: str
    folder: Path
    dialect: str = "postgres"
    adapter: str = "dbt-postgres"

    @property
    def capabilities(self) -> Capabilities:
        """Names are cut at 63 bytes by the server, without a word."""
        return Capabilities(longest_name=63, engine="PostgreSQL", load_statements={"csv": "COPY"})

    def exists(self) -> bool:
        """Whether Headrace has begun to use it; `check` says why it cannot be reached."""
        try:
            with self.server.connect() as connection:
                row = connection.execute(
                    "select to_regnamespace(%s) is not null", [OWN_SCHEMA]
                ).fetchone()
        except WarehouseError:
            return False
        return row == (True,)

    def after_load(self, schema: str) -> list[str]:
        """Have the server look at what was loaded; make the views again that a refresh dropped.

        By itself it looks minutes later, when dbt has built and tested on guesses, and never at
        dlt's own few rows: all staging models read ``_dlt_loads``, and without its statistics each
        join of two of them becomes a nested loop.
        """
        with self.server.connect() as connection:
            for name in (*tables_of(connection, [schema]).get(schema, ()), "_dlt_loads"):
                connection.execute(f"analyze {qualified(schema, name)}".encode())
            return make_views_again(connection, schema)

    def _before_drop(self, schema: str, tables: Sequence[str]) -> None:
        """Keep the views on raw tables that a full refresh is about to drop."""
        with self.server.connect() as connection:
            keep_views(connection, schema, tables)

    def signature(self) -> str | None:
        """A hash over what is loaded and built; None where the server does not count rows."""
        return self.server.signature([OWN_SCHEMA, self.published_schema])

    def prepare(self) -> str | None:
        """Create Headrace's own schema, and nothing else; the caller holds the lock.

        Raises:
            WarehouseError: it cannot be created.
        """
        self.check()
        with self.server.connect() as connection:
            create_own_tables(connection)
        return None

    def check(self) -> None:
        """Connect, and look whether the server and the role will do.

        Raises:
            WarehouseError: there is no server or database, it is too old or read-only, the role may
                not create schemas, or a newer Headrace wrote what is there.
        """
        with self.server.connect() as connection:
            row = connection.execute(
                "select current_setting('server_version_num')::int, "
                "current_setting('server_version'), "
                "pg_is_in_recovery() or current_setting('default_transaction_read_only') = 'on', "
                "has_database_privilege(current_database(), 'create'), current_user, "
                "(select obj_description(oid, 'pg_namespace') from pg_namespace "
                "where nspname = %s)",
                [OWN_SCHEMA],
            ).fetchone()
        assert row is not None
        number, version, is_read_only, may_create, role, comment = row
        if number < _OLDEST:
            raise WarehouseError(
                f"{self.location} is PostgreSQL {version}: Headrace needs 15 or later"
            )
        if is_read_only:
            raise WarehouseError(
                f"{self.location} is read-only (a standby, or default_transaction_read_only is "
                "on): name the primary server in targets.*.host"
            )
        if not may_create:
            raise WarehouseError(
                f"the role {role} may not create schemas in {self.location}: run `grant create on "
                f"database {identifier(self.database)} to {identifier(str(role))}` as its owner"
            )
        found = re.search(r"format (\d+)", str(comment or ""))
        if found is not None and int(found[1]) > FORMAT:
            raise WarehouseError(
                f"{self.location} was written by a newer Headrace (format {found[1]}, this one "
                f"knows {FORMAT}): upgrade Headrace"
            )

    def dlt_destination(self) -> Any:
        """dlt's postgres destination; files of CSV are what the server reads fastest."""
        driver()
        from dlt.destinations.impl.postgres.configuration import PostgresCredentials

        from headrace.libraries.dlt_postgres import destination

        credentials = PostgresCredentials()
        credentials.database = self.database
        credentials.username = self.server.parts["user"]
        credentials.password = self.server.parts.get("password", "")
        credentials.port = int(self.server.parts["port"])
        credentials.session_timezone = "UTC"
        is_socket = self.server.parts["host"].startswith(("/", "@"))
        credentials.host = "localhost" if is_socket else self.server.parts["host"]
        own = ("dbname", "user", "password", "port", "options")
        query = {key: value for key, value in self.server.parts.items() if key not in own}
        if not is_socket:
            del query["host"]
        credentials.query = {**query, "application_name": LOAD}
        if "options" in self.server.parts:
            credentials.query["options"] = self.server.parts["options"]
        return destination(credentials, self._before_drop)

    def dbt_output(self) -> dict[str, Any]:
        """The dbt-postgres output; ``dbt_project/profiles.yml`` says the same for dbt by hand."""
        output: dict[str, Any] = {
            "type": "postgres",
            "host": self.server.parts["host"],
            "port": int(self.server.parts["port"]),
            "user": self.server.parts["user"],
            "password": self.server.parts.get("password", ""),
            "dbname": self.database,
            "sslmode": "prefer",
            "schema": "main",
            "search_path": _IN_UTC,
            "threads": self.threads,
            "connect_timeout": CONNECT_S,
            "keepalives_idle": 30,
            "application_name": BUILD,
        }
        for key in ("sslmode", "sslrootcert", "sslcert", "sslkey"):
            if key in self.server.parts:
                output[key] = self.server.parts[key]
        return output

    def attach(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """Views over the database, which is attached read-only by DuckDB's postgres extension.

        Raises:
            WarehouseError: the extension is missing, or the server cannot be reached.
        """
        import duckdb

        source = f"{alias} on the server"
        if not self._attach(connection, source, "read_only"):
            return False
        with self.server.connect() as server:
            relations = columns_of(server)
        try:
            make_views(connection, alias, source, relations)
        except duckdb.Error as error:
            raise self.explain(error) from error
        return True

    def attach_to_write(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """The same, for a transaction that writes."""
        return self._attach(connection, alias, "read_write")

    def _attach(self, connection: "duckdb.DuckDBPyConnection", alias: str, mode: str) -> bool:
        import duckdb

        load_extension(connection, "postgres_scanner", extra=EXTRA)
        names = {"host": "host", "port": "port", "user": "user", "password": "password"}
        names["dbname"] = "database"
        secret = ", ".join(
            f"{names[key]} {literal(value)}"
            for key, value in self.server.parts.items()
            if key in names
        )
        rest = {
            "connect_timeout": str(CONNECT_S),
            "application_name": "headrace",
            **{key: value for key, value in self.server.parts.items() if key not in names},
        }
        dsn = " ".join(f"{key}={_quoted(value)}" for key, value in rest.items())
        secret_name = identifier(f"headrace_{alias}")
        try:
            connection.execute(
                f"create or replace temporary secret {secret_name} (type postgres, {secret})"
            )
            connection.execute(
                f"attach or replace {literal(dsn)} as {identifier(alias)} "
                f"(type postgres, secret {secret_name}, {mode})"
            )
        except duckdb.Error as error:
            raise self.explain(error) from None  # DuckDB shows the statement, which has the secret
        there = scalar(
            connection,
            f"select count(*) from duckdb_schemas() where database_name = {literal(alias)} "
            f"and schema_name = {literal(OWN_SCHEMA)}",
        )
        if not there:
            connection.execute(f"detach {identifier(alias)}")
        return bool(there)

    def publisher(self) -> PostgresPublisher:
        """Views of ``published_schema`` over versions of the marts."""
        return PostgresPublisher(
            self.server.connect, self.published_schema, self.location, self.attach
        )

    def table_names(self, schemas: Collection[str]) -> dict[str, list[str]]:
        """The tables of each schema, dlt's own left out."""
        with self.server.connect() as connection:
            return tables_of(connection, schemas)

    def row_counts(self, schema: str) -> dict[str, int]:
        """Rows of each table of ``schema``, dlt's own left out."""
        with self.server.connect() as connection:
            names = tables_of(connection, [schema]).get(schema, ())
            return {name: count_of(connection, schema, name) for name in names}

    def count_rows(self, relations: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Rows of tables and views (schema and name); what is not there is left out."""
        found = {}
        with self.server.connect() as connection:
            for schema, name in relations:
                there = connection.execute(
                    "select to_regclass(%s) is not null",
                    [f"{identifier(schema)}.{identifier(name)}"],
                ).fetchone()
                if there and there[0]:
                    found[schema, name] = count_of(connection, schema, name)
        return found


def _quoted(value: str) -> str:
    """A value of a connection string."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
