"""The DuckLake target: Parquet files in a folder or in S3, and a catalog of them in SQL."""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, Field, SecretStr, field_validator

from headrace import portable
from headrace.errors import WarehouseError
from headrace.libraries.dbt import close_duckdb
from headrace.libraries.duckdb import UNCHECKED
from headrace.targets.base import Capabilities, RemoteTarget
from headrace.targets.ducklake.catalog import VERSION, DuckLakeCatalog, FileCatalog, ServerCatalog
from headrace.targets.ducklake.connection import DATABASE, SESSION, LakeConnections
from headrace.targets.ducklake.publisher import DuckLakePublisher, built
from headrace.targets.object_store import S3Store
from headrace.targets.s3_access import S3Access, S3Settings, folder_or_bucket

if TYPE_CHECKING:
    import duckdb

_SERVER = re.compile(r"postgres(ql)?://")
_MEMORY = r"^\d+ ?[KMG]i?B$"


class DuckLakeSettings(S3Settings):
    """Settings of a DuckLake (``targets.<name>`` in the settings)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    catalog: SecretStr | None = Field(
        None, description="a SQLite file, or `postgresql://user:password@host:port/dbname`; by "
        "default `catalog.sqlite` in the target's data folder",
    )  # fmt: skip
    metadata_schema: str = Field(
        "ducklake",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="of a catalog in Postgres: the schema of the lake's own tables",
    )
    storage: str | None = Field(
        None, description="where the Parquet files are: a local folder, or `s3://bucket/prefix`; "
        "by default `files` in the target's data folder",
    )  # fmt: skip
    published_schema: str = Field(
        "published", pattern=r"^[a-z_][a-z0-9_]{0,62}$", description="the schema that readers read"
    )
    retention_hours: float = Field(
        24, ge=0, description="how long snapshots are kept that are no publications, and files "
        "that no snapshot has any more: for queries that still read them",
    )  # fmt: skip
    memory_limit: str = Field(
        "2GB", description="DuckDB's memory limit, while dbt builds above all", pattern=_MEMORY
    )
    load_memory_limit: str = Field(
        "512MB", description="DuckDB's memory limit while dlt loads", pattern=_MEMORY
    )
    threads: int | None = Field(
        None, ge=1, le=256, description="DuckDB's threads; all cores by default"
    )

    @field_validator("catalog")
    @classmethod
    def _is_known(cls, value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value() if value else ""
        if "://" in text and not _SERVER.match(text):
            raise ValueError(
                "a catalog is a SQLite file, or postgresql://user:password@host/dbname"
            )
        if text.endswith((".duckdb", ".ddb")):
            raise ValueError(
                "a catalog in a DuckDB file would lock readers out of the lake while a run writes: "
                "name a SQLite file, such as catalog.sqlite"
            )
        return value

    _names_a_place = field_validator("storage")(folder_or_bucket)

    @contextmanager
    def apart(self, folder: Path) -> Iterator[dict[str, str]]:
        """A catalog in a file, or a schema of the same server; a folder, or one of the bucket.

        Raises:
            WarehouseError: the server or the bucket cannot be reached.
        """
        name = f"headrace_parity_{secrets.token_hex(4)}"
        changes = {"catalog": str(folder / "catalog.sqlite"), "storage": str(folder / "files")}
        if (given := self.catalog) and _SERVER.match(given.get_secret_value()):
            changes = {"storage": changes["storage"], "metadata_schema": name}
        if self.storage and self.storage.startswith("s3://"):
            changes["storage"] = f"{self.storage.rstrip('/')}/{name}"
        try:
            yield changes
        finally:
            lake = self.model_copy(update={
                "metadata_schema": name,
                "storage": changes["storage"],
            }).target(name, data_dir=folder, path_of=lambda path: path)  # fmt: skip
            lake.remove()

    def target(
        self, name: str, *, data_dir: Path, path_of: Callable[[Path], Path]
    ) -> "DuckLakeTarget":
        """The target."""
        given = self.catalog.get_secret_value() if self.catalog else None
        catalog: DuckLakeCatalog
        if given and _SERVER.match(given):
            catalog = ServerCatalog(given, self.metadata_schema, data_dir, name)
        else:
            path = path_of(Path(given)) if given else data_dir / "catalog.sqlite"
            catalog = FileCatalog(path, f"targets.{name}")
        storage = self.storage or str(data_dir / "files")
        if not storage.startswith("s3://"):
            storage = str(path_of(Path(storage)))
        return DuckLakeTarget(name, catalog, storage, self, data_dir)


@dataclass(frozen=True)
class DuckLakeTarget(RemoteTarget):
    """A DuckLake.

    Attributes:
        name: its name in the settings.
        catalog: what says which files its tables are.
        storage: an absolute path, or ``s3://bucket/prefix``.
        settings: all others.
        folder: where Headrace writes on this machine.
    """

    name: str
    catalog: DuckLakeCatalog
    storage: str
    settings: DuckLakeSettings
    folder: Path
    dialect: str = "duckdb"
    adapter: str = "dbt-duckdb"
    # duckdb_tables() reads the statistics of each table first: half a second of CPU for 64
    relations_listing: ClassVar[str] = "duckdb_columns()"
    tables_listing: ClassVar[str] = (
        "(select distinct database_name, schema_name, table_name from duckdb_columns() anti join "
        "(select database_name, schema_name, view_name as table_name from duckdb_views()) "
        "using (database_name, schema_name, table_name))"
    )

    @property
    def capabilities(self) -> Capabilities:
        """All that DuckDB has."""
        return Capabilities(reads_duckdb=True, engine="DuckDB", reuses_results=True)

    @property
    def location(self) -> str:
        """The catalog, which leads to the files."""
        return self.catalog.location

    @property
    def database(self) -> str:
        """What dbt and dlt call it."""
        return DATABASE

    @property
    def lock_path(self) -> Path:
        """See ``Target``."""
        return self.catalog.lock_path

    @property
    def load_memory_limit(self) -> str:
        """See ``Target``."""
        return self.settings.load_memory_limit

    @cached_property
    def access(self) -> S3Access | None:
        """How the bucket is reached; None for a local folder."""
        return self.settings.access(self.storage, self.name)

    @cached_property
    def lake(self) -> LakeConnections:
        """What opens connections to it."""
        return LakeConnections(
            name=self.name,
            catalog=self.catalog,
            storage=self.storage,
            access=self.access,
            folder=self.folder,
            memory_limit=self.settings.memory_limit,
            threads=self.settings.threads,
        )

    def exists(self) -> bool:
        """Whether there is a lake; `check` says why it cannot be read."""
        try:
            return self.catalog.version() is not None
        except WarehouseError:
            return False

    def prepare(self) -> str | None:
        """Create the lake where there is none yet, and migrate one of an older DuckLake.

        Raises:
            WarehouseError: it cannot be created, or a newer DuckLake wrote it.
        """
        import duckdb

        version = self.catalog.version()
        self.lake.require_readable(version, migrates=True)
        self.catalog.prepare()
        self.lake.prepare_storage()
        try:
            with self.lake.unattached() as connection:
                more = {"automatic_migration": True} if version not in {None, VERSION} else {}
                self.lake.attach_with(connection, DATABASE, more)
        except duckdb.Error as error:
            raise self.lake.explain(error) from None
        if version is None or version == VERSION:
            return None
        return f"{self.location} was migrated from DuckLake {version} to {VERSION}"

    def check(self) -> None:
        """Open it and close it again; none yet is fine.

        Raises:
            WarehouseError: it cannot be read, or another version of DuckLake wrote it.
        """
        self.lake.extensions()
        self.lake.require_readable(self.catalog.version())
        self.lake.prepare_storage(makes=False)
        with self.lake.read():
            pass

    def attach(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """Attach the lake read-only; False while there is none yet.

        Raises:
            WarehouseError: it cannot be read.
        """
        return self.lake.attach(connection, alias)

    def attach_to_write(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """The same, for a transaction that writes."""
        return self.lake.attach(connection, alias, writes=True)

    def read_by_one(self) -> AbstractContextManager[None]:
        """See ``Target``."""
        return self.lake.read_by_one()

    @contextmanager
    def reader(self, alias: str = "target") -> "Iterator[duckdb.DuckDBPyConnection | None]":
        """See ``RemoteTarget``."""
        with self.lake.read(alias=alias) as connection:
            yield connection

    def explain(self, error: Exception) -> WarehouseError:
        """An error of the catalog, the files or DuckDB as one sentence; never a secret."""
        return self.lake.explain(error)

    def dlt_destination(self) -> Any:
        """dlt's ducklake destination for this lake.

        Raises:
            WarehouseError: a package is missing, or there are no credentials for S3.
        """
        import dlt
        from dlt.common.configuration.specs import AwsCredentials
        from dlt.common.storages.configuration import FilesystemConfiguration
        from dlt.destinations.impl.ducklake.configuration import DuckLakeCredentials

        storage: Any = self.storage
        if self.access is not None:
            key_id, secret, token = self.access.credentials()
            storage = FilesystemConfiguration(
                bucket_url=self.storage,
                credentials=AwsCredentials(
                    aws_access_key_id=key_id,
                    aws_secret_access_key=secret,
                    aws_session_token=token,
                    region_name=self.access.region,
                    endpoint_url=self.access.endpoint,
                    s3_url_style="path" if self.access.path_style else "vhost",
                ),
            )
        credentials = DuckLakeCredentials(
            ducklake_name=DATABASE,
            metadata_schema=self.settings.metadata_schema,
            catalog=self.catalog.dlt_url(),
            storage=storage,
        )
        credentials.global_config = {
            **self.lake.config,
            "memory_limit": self.settings.load_memory_limit,
        }
        credentials.local_config = dict(SESSION)
        return dlt.destinations.ducklake(
            credentials=credentials, override_data_path=self.access is None
        )

    def dbt_output(self) -> dict[str, Any]:
        """The dbt-duckdb output: a DuckDB in memory that the lake is attached to."""
        threads = self.settings.threads or portable.cores()
        lake = {
            "path": self.catalog.address(),
            "alias": DATABASE,
            "is_ducklake": True,
            "options": self.lake.options(),
        }
        output: dict[str, Any] = {
            "type": "duckdb",
            "path": ":memory:",
            "database": DATABASE,
            "schema": "main",
            "threads": min(threads, 4) if self.catalog.takes_several_writers else 1,
            "config_options": {**self.lake.config, **UNCHECKED},
            "settings": dict(SESSION),
            "attach": [lake],
        }
        if secrets := self.lake.secrets():
            output["secrets"] = secrets
        return output

    def remove(self) -> None:
        """Remove what is on servers: the schema of the catalog, and the objects of the bucket.

        Raises:
            WarehouseError: they cannot be reached.
        """
        self.catalog.remove()
        if self.access is not None:
            store = S3Store(self.access)
            store.delete([entry.key for entry in store.list()])

    def release(self) -> None:
        """Close the connection that dbt-duckdb keeps for the next invocation."""
        close_duckdb()

    def lock(self, command: str) -> AbstractContextManager[None]:
        """That of the catalog, if it is on a server."""
        return self.catalog.lock(command)

    def publisher(self) -> DuckLakePublisher:
        """Tables of ``published_schema``, replaced in one snapshot."""
        return DuckLakePublisher(
            connect=self.lake.write,
            read=self.lake.read,
            attached=self.attach,
            schema=self.settings.published_schema,
            place=self.location,
            retention=timedelta(hours=self.settings.retention_hours),
        )

    def signature(self) -> str | None:
        """Number and time of the last snapshot that is no publication."""
        with self.lake.read() as connection:
            return built(connection) if connection is not None else None
