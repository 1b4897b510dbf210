"""The Redshift target: a database of a cluster or workgroup, or of the stand-in on this machine."""

import hashlib
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SecretStr

from headrace.errors import WarehouseError
from headrace.sql_text import identifier, qualified
from headrace.targets.base import Capabilities
from headrace.targets.redshift import tables
from headrace.targets.redshift.dropped_views import keep_views, make_views_again
from headrace.targets.redshift.publisher import RedshiftPublisher, create_own_tables
from headrace.targets.redshift.server import (
    CONNECT_S,
    EXTRA,
    OWN_SCHEMA,
    IamLogin,
    RedshiftServer,
    driver,
    rows_of,
    run,
    text,
)
from headrace.targets.s3_access import S3Access
from headrace.targets.server_target import ServerTarget, ServerTargetSettings, by_schema

if TYPE_CHECKING:
    import duckdb

SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]


class RedshiftSettings(ServerTargetSettings):
    """Settings of a Redshift target (``targets.<name>`` in the settings)."""

    local: bool | None = Field(
        None, description="`true`: the stand-in on this machine; `false`: Redshift, by the keys "
        "below; by default the stand-in where no `host` is set",
    )  # fmt: skip
    path: Path | None = Field(
        None, description="the stand-in's folder; by default in the target's folder of `data_dir`"
    )
    host: str | None = Field(
        None, description="the endpoint of the cluster or workgroup, without port and database",
        pattern=r"^[A-Za-z0-9_.-]+$",
    )  # fmt: skip
    port: int = Field(5439, ge=1, le=65535, description="the endpoint's port")
    database: str = Field(
        "dev", pattern=r"^[a-z_][a-z0-9_]{0,126}$", description="the database, which must exist"
    )
    user: str | None = Field(None, description="the database user; not needed with `iam`")
    password: SecretStr | None = Field(
        None, description="set it by `HEADRACE_TARGETS__REDSHIFT__PASSWORD`"
    )
    iam: bool = Field(
        False, description="log in by IAM: the key is AWS's (`AWS_ACCESS_KEY_ID`, a profile, a "
        "role); needs `cluster` or `workgroup`",
    )  # fmt: skip
    cluster: str | None = Field(None, description="the cluster's identifier, for `iam`")
    workgroup: str | None = Field(
        None, description="the workgroup's name (Redshift Serverless), for `iam`"
    )
    region: str | None = Field(None, description="of the cluster; by default AWS's own setting")
    profile: str | None = Field(None, description="of AWS's files; by default the environment")
    sslmode: SslMode = Field(
        "require", description="TLS; `verify-full` also checks who answers, by `sslrootcert`"
    )
    sslrootcert: Path | None = Field(
        None, description="Amazon's certificates, for `verify-ca` and `verify-full`"
    )
    staging: str | None = Field(
        None, description="a folder in S3, `s3://bucket/prefix`: loads go there as Parquet and by "
        "`COPY`; by default they are sent as `INSERT`",
        pattern=r"^s3://[^/]+(/.*)?$",
    )  # fmt: skip
    iam_role: str | None = Field(
        None, description="the role that `COPY` reads `staging` as; by default AWS's key",
        pattern=r"^arn:aws[\w-]*:iam::\d{12}:role/.+$",
    )  # fmt: skip
    published_schema: str = Field(
        "published", pattern=r"^[a-z_][a-z0-9_]{0,126}$",
        description="the schema that readers read",
    )  # fmt: skip

    @property
    def is_local(self) -> bool:
        """Whether it is the stand-in."""
        return self.host is None if self.local is None else self.local

    @contextmanager
    def apart(self, folder: Path) -> Iterator[dict[str, str]]:
        """A stand-in of its own; in Redshift a database, which the user may create."""
        if self.is_local:
            from headrace.targets.redshift_mock import process

            with process.apart(folder) as changed:
                yield changed
            return
        name = f"headrace_parity_{secrets.token_hex(4)}"
        target = self.target("apart", data_dir=folder, path_of=lambda path: path)
        target.server.ask(f"create database {identifier(name)}")
        try:
            yield {"database": name}
        finally:
            target.server.ask(f"drop database {identifier(name)}")

    def target(
        self, name: str, *, data_dir: Path, path_of: Callable[[Path], Path]
    ) -> "RedshiftTarget":
        """The target.

        Raises:
            WarehouseError: Redshift is wanted, and what it needs is not set.
        """
        stand_in = None
        iam = None
        if self.is_local:
            stand_in = path_of(self.path) if self.path else data_dir / "standin"
            login = _stand_in_login()
        else:
            login, iam = self._login(name, path_of)
        return RedshiftTarget(
            name=name,
            server=RedshiftServer(login, self.database, iam, stand_in, name),
            staging=self.staging,
            iam_role=self.iam_role,
            published_schema=self.published_schema,
            threads=self.threads,
            load_memory_limit=self.load_memory_limit,
            folder=data_dir,
        )

    def _login(
        self, name: str, path_of: Callable[[Path], Path]
    ) -> tuple[dict[str, str], IamLogin | None]:
        """libpq's parameters, and who asks AWS for a password."""
        if self.host is None:
            raise WarehouseError(
                f"targets.{name}: Redshift (local: false) needs host, the endpoint: set it, or "
                "local: true for the stand-in on this machine"
            )
        found = {"host": self.host, "port": str(self.port), "sslmode": self.sslmode}
        if self.sslrootcert is not None:
            found["sslrootcert"] = str(path_of(self.sslrootcert))
        if self.iam:
            if (self.cluster is None) == (self.workgroup is None):
                raise WarehouseError(
                    f"targets.{name}: iam needs cluster, or workgroup for Redshift Serverless: set "
                    "one of them"
                )
            return found, IamLogin(self.cluster, self.workgroup, self.region, self.profile)
        if self.user is None or self.password is None:
            raise WarehouseError(
                f"targets.{name}: nothing to log in with: set user, and by the environment "
                f"HEADRACE_TARGETS__{name.upper()}__PASSWORD; or iam: true"
            )
        found |= {"user": self.user, "password": self.password.get_secret_value()}
        return found, None


def _stand_in_login() -> dict[str, str]:
    from headrace.targets.redshift_mock import HOST, PASSWORD, USER

    return {"host": HOST, "user": USER, "password": PASSWORD, "sslmode": "disable"}


@dataclass(frozen=True, repr=False)
class RedshiftTarget(ServerTarget):
    """A Redshift database.

    Attributes:
        name: its name in the settings.
        server: the database's, or the stand-in.
        staging: a folder in S3 that loads go through; None for INSERT statements.
        iam_role: that COPY reads it as; None for AWS's key.
        published_schema: the schema that readers read.
        threads: connections that dbt builds with.
        load_memory_limit: DuckDB's, while files are read on this machine.
        folder: where Headrace writes on this machine.
    """

    name: str
    server: RedshiftServer
    staging: str | None
    iam_role: str | None
    published_schema: str
    threads: int
    load_memory_limit: str
    folder: Path
    dialect: str = "redshift"
    adapter: str = "dbt-redshift"

    @property
    def capabilities(self) -> Capabilities:
        """Names are of up to 127 bytes; TEXT is VARCHAR(256) there."""
        return Capabilities(
            longest_name=127,
            fixture_types={"text": "varchar(65535)", "blob": "varbyte"},
            engine="Redshift",
            load_statements={"reference": "COPY"},
        )

    def exists(self) -> bool:
        """Whether Headrace has begun to use it; `check` says why it cannot be reached."""
        try:
            return self.server.has_schema(OWN_SCHEMA)
        except WarehouseError:
            return False

    def prepare(self) -> str | None:
        """Create Headrace's own schema; the caller holds the lock.

        Raises:
            WarehouseError: it cannot be created.
        """
        with self.server.connect() as connection:
            create_own_tables(connection)
        return None

    def check(self) -> None:
        """Log in, and look whether it is Redshift, and whether schemas may be created.

        Raises:
            WarehouseError: it cannot be reached, refuses the log-in, or is something else.
        """
        self.require(("psycopg2", "dbt.adapters.redshift"), EXTRA)
        version, may_create, user = self.server.ask(
            "select version(), has_database_privilege(current_database(), 'create'), current_user"
        )[0]
        if "Redshift" not in str(version):
            raise WarehouseError(
                f"{self.location} is no Redshift ({str(version)[:60]}): use the target postgres"
            )
        if not may_create:
            raise WarehouseError(
                f"the user {user} may not create schemas in {self.location}: run `grant create on "
                f"database {identifier(self.database)} to {identifier(str(user))}` as its owner"
            )

    def dlt_destination(self) -> Any:
        """dlt's redshift destination: by COPY from ``staging``, or by INSERT."""
        driver()
        from dlt.destinations.impl.redshift.configuration import RedshiftCredentials

        from headrace.libraries.dlt_postgres import redshift_destination

        login = self.server.parameters()
        credentials = RedshiftCredentials()
        credentials.database = self.database
        credentials.host = login.pop("host")
        credentials.port = int(login.pop("port"))
        credentials.username = login.pop("user")
        credentials.password = login.pop("password")
        credentials.query = {**login, "application_name": "headrace-load"}
        return redshift_destination(credentials, self.iam_role, self._before_drop)

    def dlt_staging(self) -> Any:
        """dlt's filesystem destination in S3, if there is one; with AWS's key.

        Raises:
            WarehouseError: there is no key.
        """
        if self.staging is None:
            return None
        import dlt
        from dlt.common.configuration.specs import AwsCredentials

        bucket, _, prefix = self.staging.removeprefix("s3://").partition("/")
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        access = S3Access(
            bucket, prefix, endpoint, os.environ.get("AWS_REGION", "us-east-1"),
            path_style=endpoint is not None, key_id=None, secret=None, token=None,
            setting=f"targets.{self.name}.staging",
        )  # fmt: skip
        key_id, secret, token = access.credentials()
        credentials = AwsCredentials(
            aws_access_key_id=key_id, aws_secret_access_key=secret, aws_session_token=token,
            endpoint_url=endpoint, region_name=access.region,
        )  # fmt: skip
        return dlt.destinations.filesystem(self.staging, credentials=credentials)

    def dbt_output(self) -> dict[str, Any]:
        """The dbt-redshift output; with IAM dbt asks for passwords itself, as builds are long."""
        output: dict[str, Any] = {
            "type": "redshift",
            "dbname": self.database,
            "schema": "main",
            "threads": self.threads,
            "connect_timeout": CONNECT_S,
            "query_group": "headrace",
        }
        iam = self.server.iam
        login = dict(self.server.login) if iam is not None else self.server.parameters()
        login.pop("sslrootcert", None)  # its driver brings Amazon's
        output |= {**login, "port": int(login["port"])}
        if iam is not None:
            output |= {"method": "iam_role"}
            given = {
                "cluster_id": iam.cluster,
                "serverless_work_group": iam.workgroup,
                "is_serverless": True if iam.workgroup else None,
                "region": iam.region,
                "iam_profile": iam.profile,
            }
            output |= {key: value for key, value in given.items() if value is not None}
        return output

    def attach(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """Make views whose rows are fetched when they are asked for.

        Raises:
            WarehouseError: the server cannot be reached.
        """
        return tables.attach(self.server, connection, alias)

    def publisher(self) -> RedshiftPublisher:
        """Late-binding views of ``published_schema`` over versions of the marts."""
        return RedshiftPublisher(self.server, self.published_schema)

    def after_load(self, schema: str) -> list[str]:
        """Have the server look at what was loaded; make the views again that a refresh dropped.

        It plans queries by what it saw.

        Raises:
            WarehouseError: the target cannot be reached.
        """
        with self.server.connect() as connection:
            for name in self._tables_of(schema):
                run(connection, f"analyze {qualified(schema, name)}")
            return make_views_again(connection, schema)

    def _before_drop(self, schema: str, tables: Sequence[str]) -> None:
        """Keep the views on raw tables that a full refresh is about to drop."""
        with self.server.connect() as connection:
            keep_views(connection, schema, tables)

    def table_names(self, schemas: Collection[str]) -> dict[str, list[str]]:
        """The tables of each schema, dlt's own left out."""
        rows = self.server.ask(
            "select table_schema, table_name from svv_tables where table_schema in "
            f"({', '.join(map(text, schemas)) or 'null'}) and table_type = 'BASE TABLE' "
            "and left(table_name, 4) <> '_dlt' order by table_schema, table_name"
        )
        return by_schema(rows)

    def row_counts(self, schema: str) -> dict[str, int]:
        """Rows of each table of ``schema``, dlt's own left out."""
        return {name: self._count(schema, name) for name in self._tables_of(schema)}

    def count_rows(self, relations: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Rows of tables and views (schema and name); what is not there is left out."""
        found = {}
        for schema, name in relations:
            there = self.server.ask(
                f"select 1 from svv_tables where table_schema = {text(schema)} "
                f"and table_name = {text(name)}"
            )
            if there:
                found[schema, name] = self._count(schema, name)
        return found

    def _tables_of(self, schema: str) -> list[str]:
        return self.table_names([schema]).get(schema, [])

    def _count(self, schema: str, name: str) -> int:
        return int(self.server.ask(f"select count(*) from {qualified(schema, name)}")[0][0])

    def signature(self) -> str | None:
        """A hash over when each table that is loaded or built was last changed.

        None where the server does not tell, which it does by ``SHOW TABLES``.
        """
        left_out = {OWN_SCHEMA, self.published_schema, "information_schema", "public"}
        found = []
        with self.server.connect() as connection:
            schemas = rows_of(connection, "select nspname from pg_namespace order by nspname")
            for (schema,) in schemas:
                if schema in left_out or str(schema).startswith("pg_"):
                    continue
                named = f"{identifier(self.database)}.{identifier(str(schema))}"
                with connection.cursor() as cursor:
                    cursor.execute(f"show tables from schema {named}")
                    names = [one[0] for one in cursor.description or ()]
                    if "last_modified_time" not in names:
                        return None
                    for row in cursor.fetchall():
                        one = dict(zip(names, row, strict=True))
                        is_table = one["table_type"] == "TABLE"
                        if is_table and one["last_modified_time"] is None:
                            return None
                        found.append(
                            (schema, one["table_name"], one["table_type"],
                             str(one["last_altered_time"]), str(one["last_modified_time"]))
                        )  # fmt: skip
        return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()
