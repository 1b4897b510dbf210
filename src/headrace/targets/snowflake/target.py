"""The Snowflake target: a database of an account, or of the stand-in on this machine."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, SecretStr

from headrace.errors import WarehouseError
from headrace.sql_text import literal
from headrace.targets.base import Capabilities
from headrace.targets.server_target import ServerTarget, ServerTargetSettings, by_schema
from headrace.targets.snowflake.publisher import SnowflakePublisher
from headrace.targets.snowflake.server import (
    EXTRA,
    OWN_SCHEMA,
    SnowflakeServer,
    driver,
    quoted,
)

if TYPE_CHECKING:
    import duckdb


class SnowflakeSettings(ServerTargetSettings):
    """Settings of a Snowflake target (``targets.<name>`` in the settings)."""

    local: bool = Field(
        True, description="the stand-in on this machine; `false`: the account, by the keys below"
    )
    path: Path | None = Field(
        None, description="the stand-in's folder; by default in the target's folder of `data_dir`"
    )
    account: str | None = Field(
        None, description="the account's identifier, like `myorg-account123`",
        pattern=r"^[A-Za-z0-9_.-]+$",
    )  # fmt: skip
    user: str | None = Field(None, description="the user that runs are made as")
    private_key_path: Path | None = Field(
        None, description="the file of the user's private key (PKCS#8, PEM)"
    )
    private_key: SecretStr | None = Field(
        None, description="the key itself; set it by `HEADRACE_TARGETS__SNOWFLAKE__PRIVATE_KEY`"
    )
    private_key_passphrase: SecretStr | None = Field(
        None, description="of an encrypted private key; likewise"
    )
    token: SecretStr | None = Field(
        None, description="an OAuth access token, instead of a key; likewise"
    )
    password: SecretStr | None = Field(
        None, description="a password, where the account still allows one; likewise"
    )
    role: str | None = Field(None, description="the role; by default the user's")
    warehouse: str | None = Field(None, description="what computes; by default the user's")
    database: str = Field(
        "HEADRACE", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$",
        description="the database; it is created where there is none",
    )  # fmt: skip
    published_schema: str = Field(
        "published", pattern=r"^[a-zA-Z][a-zA-Z0-9_]{0,254}$",
        description="the schema that readers read",
    )  # fmt: skip

    @contextmanager
    def apart(self, folder: Path) -> Iterator[dict[str, str]]:
        """A stand-in of its own; in an account a database of its own, which the role may create."""
        if self.local:
            from headrace.targets.snowflake_standin import process

            with process.apart(folder) as changed:
                yield changed
            return
        import secrets

        name = f"HEADRACE_PARITY_{secrets.token_hex(4).upper()}"
        target = self.target("apart", data_dir=folder, path_of=lambda path: path)
        try:
            yield {"database": name}
        finally:
            target.server.ask(f"drop database if exists {quoted(name)}")
            target.server.close()

    def target(
        self, name: str, *, data_dir: Path, path_of: Callable[[Path], Path]
    ) -> "SnowflakeTarget":
        """The target.

        Raises:
            WarehouseError: an account is wanted, and what it needs is not set.
        """
        stand_in = None
        if self.local:
            stand_in = path_of(self.path) if self.path else data_dir / "standin"
        return SnowflakeTarget(
            name=name,
            server=SnowflakeServer(
                _stand_in_login() if self.local else self._login(name, path_of),
                self.database.upper(),
                stand_in,
                name,
            ),
            published_schema=self.published_schema,
            threads=self.threads,
            load_memory_limit=self.load_memory_limit,
            folder=data_dir,
        )

    def _login(self, name: str, path_of: Callable[[Path], Path]) -> dict[str, Any]:
        """What the connector, dlt and dbt log in with, by the connector's names."""
        if not self.account or not self.user:
            raise WarehouseError(
                f"targets.{name}: an account (local: false) needs account and user: set them, or "
                "local: true for the stand-in on this machine"
            )
        found: dict[str, Any] = {"account": self.account, "user": self.user}
        if self.role:
            found["role"] = self.role
        if self.warehouse:
            found["warehouse"] = self.warehouse
        if self.token:
            return {**found, "authenticator": "oauth", "token": self.token.get_secret_value()}
        if self.private_key or self.private_key_path:
            pem = self._pem(name, path_of)
            return {**found, "authenticator": "SNOWFLAKE_JWT", "private_key": pem}
        if self.password:
            return {**found, "password": self.password.get_secret_value()}
        raise WarehouseError(
            f"targets.{name}: nothing to log in with: set private_key_path, or by the environment "
            f"HEADRACE_TARGETS__{name.upper()}__PRIVATE_KEY, __TOKEN or __PASSWORD"
        )

    def _pem(self, name: str, path_of: Callable[[Path], Path]) -> bytes:
        """The private key without its passphrase, in DER, as the connector wants it."""
        driver()
        from cryptography.hazmat.primitives import serialization

        try:
            if self.private_key:
                text = self.private_key.get_secret_value().replace("\\n", "\n").encode()
            else:
                assert self.private_key_path is not None
                text = path_of(self.private_key_path).read_bytes()
            phrase = self.private_key_passphrase
            key = serialization.load_pem_private_key(
                text, phrase.get_secret_value().encode() if phrase else None
            )
        except OSError as error:
            raise WarehouseError(
                f"targets.{name}.private_key_path cannot be read: {error.strerror or error}"
            ) from error
        except (ValueError, TypeError) as error:
            raise WarehouseError(
                f"the private key of targets.{name} cannot be read: it is a PKCS#8 key in PEM, and "
                "an encrypted one needs private_key_passphrase"
            ) from error
        return key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def _stand_in_login() -> dict[str, Any]:
    from headrace.targets.snowflake_standin import ACCOUNT, PASSWORD, USER

    return {"account": ACCOUNT, "user": USER, "password": PASSWORD}


@dataclass(frozen=True, repr=False)
class SnowflakeTarget(ServerTarget):
    """A Snowflake database.

    Attributes:
        name: its name in the settings.
        server: the account, or the stand-in.
        published_schema: the schema that readers read.
        threads: connections that dbt builds with.
        load_memory_limit: DuckDB's, while files are read on this machine.
        folder: where Headrace writes on this machine.
    """

    name: str
    server: SnowflakeServer
    published_schema: str
    threads: int
    load_memory_limit: str
    folder: Path
    dialect: str = "snowflake"
    adapter: str = "dbt-snowflake"

    @property
    def capabilities(self) -> Capabilities:
        """Names are of up to 255 characters."""
        return Capabilities(
            longest_name=255,
            fixture_types={"timestamptz": "timestamp_tz", "text": "varchar", "blob": "binary"},
            engine="Snowflake",
            load_statements=dict.fromkeys(("reference", "parquet", "jsonl"), "COPY INTO"),
        )

    def exists(self) -> bool:
        """Whether Headrace has begun to use it; `check` says why it cannot be reached."""
        try:
            return self.server.has_database() and bool(
                self.server.ask(
                    f"select 1 from {quoted(self.database)}.information_schema.schemata "
                    f"where schema_name = {literal(OWN_SCHEMA)}"
                )
            )
        except WarehouseError:
            return False

    def prepare(self) -> str | None:
        """Create the database and Headrace's own schema; the caller holds the lock.

        Raises:
            WarehouseError: they cannot be created.
        """
        if not self.server.has_database():
            self.server.ask(f"create database if not exists {quoted(self.database)}")
        self.server.ask(f"create schema if not exists {quoted(self.database, OWN_SCHEMA)}")
        return None

    def check(self) -> None:
        """Log in, and ask for the version.

        Raises:
            WarehouseError: the account cannot be reached, or refuses the log-in.
        """
        self.require(("snowflake.connector", "dbt.adapters.snowflake"), EXTRA)
        self.server.ask("select current_version()")

    def dlt_destination(self) -> Any:
        """dlt's snowflake destination; files of Parquet keep the types."""
        import dlt

        driver()
        from dlt.destinations.impl.snowflake.configuration import SnowflakeCredentials

        credentials = SnowflakeCredentials()
        login = self.server.parameters()
        credentials.database = self.database
        credentials.host = login.pop("account")
        credentials.username = login.pop("user")
        credentials.password = login.pop("password", None)
        credentials.role, credentials.warehouse = (
            login.pop("role", None),
            login.pop("warehouse", None),
        )
        credentials.authenticator = login.pop("authenticator", None)
        credentials.token = login.pop("token", None)
        credentials.application = "Headrace"
        key = login.pop("private_key", None)
        if key is not None:
            credentials.private_key = _in_base64(key)
        credentials._snowflake_host = login.pop("host", None)  # noqa: SLF001
        credentials.query = {name: str(value) for name, value in login.items()}
        return dlt.destinations.snowflake(
            credentials=credentials,
            preferred_loader_file_format="parquet",
            keep_staged_files=False,
            query_tag='{{"pipeline": "{pipeline_name}", "source": "{source}"}}',
        )

    def dbt_output(self) -> dict[str, Any]:
        """The dbt-snowflake output."""
        login = self.server.parameters()
        output: dict[str, Any] = {
            "type": "snowflake",
            "database": self.database,
            "schema": "main",
            "threads": self.threads,
            "query_tag": "headrace",
            "connect_retries": 2,
            "reuse_connections": True,
        }
        key = login.pop("private_key", None)
        if key is not None:
            output["private_key"] = _in_base64(key)
            login.pop("authenticator", None)
        return {**output, **login}

    def attach(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """Make views whose rows are fetched when they are asked for.

        Raises:
            WarehouseError: the account cannot be reached.
        """
        from headrace.targets.snowflake import tables

        return tables.attach(self.server, connection, alias)

    def publisher(self) -> SnowflakePublisher:
        """A schema of clones, swapped in one step."""
        return SnowflakePublisher(self.server, self.published_schema)

    def table_names(self, schemas: Collection[str]) -> dict[str, list[str]]:
        """The tables of each schema, dlt's own left out, in lower case."""
        from headrace.targets.snowflake.tables import lower

        given = {schema.upper(): schema for schema in schemas}
        stored = self._stored_names(schemas)
        return {given[schema]: [lower(name) for name in names] for schema, names in stored.items()}

    def row_counts(self, schema: str) -> dict[str, int]:
        """Rows of each table of ``schema``, dlt's own left out."""
        from headrace.targets.snowflake.tables import lower

        names = self._stored_names([schema]).get(schema.upper(), ())
        return {lower(name): self._count(schema, name) for name in names}

    def _stored_names(self, schemas: Collection[str]) -> dict[str, list[str]]:
        if not self.server.has_database():
            return {}
        wanted = ", ".join(literal(schema.upper()) for schema in schemas) or "null"
        rows = self.server.ask(
            f"select table_schema, table_name from {quoted(self.database)}.information_schema."
            f"tables where table_schema in ({wanted}) and table_type <> 'VIEW' and not "
            "startswith(table_name, '_DLT') order by table_schema, table_name"
        )
        return by_schema(rows)

    def count_rows(self, relations: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Rows of tables and views (schema and name); what is not there is left out."""
        found = {}
        for schema, name in relations if self.server.has_database() else ():
            there = self.server.ask(
                f"select 1 from {quoted(self.database)}.information_schema.tables where "
                f"table_schema = {literal(schema.upper())} and table_name = {literal(name.upper())}"
            )
            if there:
                found[schema, name] = self._count(schema, name)
        return found

    def _count(self, schema: str, name: str) -> int:
        ((count,),) = self.server.ask(f"select count(*) from {quoted(self.database, schema, name)}")
        return int(count)

    def signature(self) -> str | None:
        """A hash over when each table that is loaded or built last changed."""
        import hashlib

        rows = self.server.ask(
            "select table_schema, table_name, last_altered from "
            f"{quoted(self.database)}.information_schema.tables where table_schema not in "
            f"('INFORMATION_SCHEMA', {literal(self.published_schema.upper())}) and not "
            f"startswith(table_schema, {literal(OWN_SCHEMA)}) order by table_schema, table_name"
        )
        return hashlib.sha256(repr(rows).encode()).hexdigest()


def _in_base64(key: bytes) -> str:
    """A private key as dlt and dbt take it."""
    import base64

    return base64.b64encode(key).decode()
