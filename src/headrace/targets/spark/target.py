"""The target ``spark``: dlt writes Delta, Spark builds Parquet in a folder that it shares.

Spark runs in this process with the cores of this machine, on a standalone cluster, or behind a
server that speaks Spark Connect. Its catalog is in memory, the folder holds all that matters.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from headrace.errors import WarehouseError
from headrace.extras import how_to_install
from headrace.libraries.duckdb import connect, extension_path, load_extension
from headrace.sql_text import scalar
from headrace.targets.base import Capabilities, RemoteTarget, TargetSettings
from headrace.targets.lake.files import LakeFiles
from headrace.targets.lake.target import LakeSettings, LakeTarget
from headrace.targets.spark.publisher import SparkPublisher, publisher_of
from headrace.targets.spark.tables import DiskTable, DiskTables

if TYPE_CHECKING:
    import duckdb

    from headrace.libraries.spark import Session

FIXTURE_TYPES = {
    "timestamptz": "timestamp",
    "timestamp with time zone": "timestamp",
    "text": "string",
    "varchar": "string",
}
_SIZE = r"^\d+[mg]$"


class EngineSettings(TargetSettings):
    """What the settings of Spark and of Sail have in common."""

    path: Path | None = Field(
        None, description="the folder of its tables, which all workers reach by the same path; by "
        "default `files` in its own data folder",
    )  # fmt: skip
    host: str | None = Field(None, description="of the server")
    port: int | None = Field(None, ge=1, le=65535, description="of the server")
    conf: dict[str, str] = Field(
        default_factory=dict, description="further settings of the session, such as "
        "`spark.sql.shuffle.partitions`",
    )  # fmt: skip
    gold_schemas: tuple[str, ...] = Field(
        ("marts",), description="the dbt schemas whose tables are published"
    )
    load_memory_limit: str = Field(
        "512MB", description="DuckDB's, while dlt loads", pattern=r"^\d+ ?[KMG]i?B$"
    )
    threads: int = Field(4, ge=1, le=64, description="models that dbt builds at the same time")

    def apart(self, folder: Path) -> AbstractContextManager[dict[str, str]]:
        """A folder of its own."""
        return nullcontext({"path": str(folder / "files")})


class SparkSettings(EngineSettings):
    """Settings of Spark (``targets.<name>`` in the settings)."""

    method: Literal["session", "connect"] = Field(
        "session", description="`session`: Spark starts in this process; `connect`: a server that "
        "speaks Spark Connect at `host` and `port`",
    )  # fmt: skip
    master: str = Field(
        "local[*]", pattern=r"^(local(\[(\*|\d+)\])?|spark://.+:\d+)$",
        description="of a session: the cores of this machine, or a standalone cluster, such as "
        "`spark://10.0.0.1:7077`",
    )  # fmt: skip
    memory: str = Field(
        "1g", pattern=_SIZE, description="of the Java process that runs beside this one"
    )
    executor_memory: str = Field(
        "1g", pattern=_SIZE, description="of each executor of a standalone cluster"
    )

    @model_validator(mode="after")
    def _has_a_server(self) -> "SparkSettings":
        if self.method == "connect" and not self.host:
            raise ValueError("method connect needs a host")
        return self

    def target(
        self, name: str, *, data_dir: Path, path_of: Callable[[Path], Path]
    ) -> "SparkTarget":
        """The target."""
        root = path_of(self.path) if self.path else data_dir / "files"
        return SparkTarget(name, root, self, data_dir)


@dataclass(frozen=True)
class EngineTarget(RemoteTarget):
    """A folder of tables in which Spark, or what speaks its protocol, builds.

    Attributes:
        name: its name in the settings.
        root: the folder; absolute.
        settings: all others.
        data_dir: where Headrace writes on this machine.
    """

    name: str
    root: Path
    settings: EngineSettings
    data_dir: Path
    dialect: str = "spark"
    adapter: str = "dbt-spark"
    extra: ClassVar[str] = "spark"
    file_format: ClassVar[str] = "parquet"

    @property
    def location(self) -> str:
        """The folder."""
        return str(self.root)

    @property
    def database(self) -> str:
        """What Spark calls its catalog."""
        return "spark_catalog"

    @property
    def lock_path(self) -> Path:
        """In its data folder."""
        return self.data_dir / f"{self.name}.lock"

    @property
    def load_memory_limit(self) -> str:
        """See ``Target``."""
        return self.settings.load_memory_limit

    @property
    def setting(self) -> str:
        """Where it is in the settings, for messages."""
        return f"targets.{self.name}"

    @cached_property
    def lake(self) -> LakeTarget:
        """The folder as a lake: raw tables, lock, documents, and the files of built tables."""
        settings = LakeSettings(
            type="lake", url=str(self.root), retention_hours=0,
            load_memory_limit=self.settings.load_memory_limit,
        )  # fmt: skip
        return LakeTarget(self.name, str(self.root), settings, self.data_dir)

    @cached_property
    def tables(self) -> DiskTables:
        """What is in the folder."""
        layout = self.lake.settings.layout
        files = LakeFiles(
            store=self.lake.store, silver=layout.silver, gold=layout.gold,
            gold_schemas=self.settings.gold_schemas, partitions={}, for_delta=False,
            retention=timedelta(0),
        )  # fmt: skip
        return DiskTables(self.root, files)

    def exists(self) -> bool:
        """Whether something was ever written."""
        return self.lake.exists()

    def prepare(self) -> str | None:
        """Make the folder, and write what marks it.

        Raises:
            WarehouseError: it cannot be written, or a newer Headrace has written it.
        """
        self.check()
        self.lake.mark()
        return None

    def check(self) -> None:
        """See that the folder can be read, and that the engine is installed.

        Raises:
            WarehouseError: it cannot, a package or Java is missing, or there is no server.
        """
        self.require_packages()
        self.lake.check()

    def require_packages(self) -> None:
        """See that the extra is installed.

        Raises:
            WarehouseError: it is not.
        """
        needed = ("pyspark", "deltalake", f"dbt.adapters.{self.adapter.removeprefix('dbt-')}")
        there = all(find_spec(name) for name in needed) and extension_path("delta")
        if not there:
            raise WarehouseError(
                f"the target {self.name} needs more packages: run `{how_to_install(self.extra)}`"
            )

    def dlt_destination(self) -> Any:
        """dlt's filesystem destination, which writes Delta without Spark.

        What is nested becomes JSON: models read it by Spark's functions for JSON.
        """
        self.require_packages()
        return self.lake.dlt_destination(nested_as_json=True)

    def node_config(self) -> Callable[[str], Mapping[str, Any]]:
        """Folders of one build; tables where a view would be lost with the session.

        Descriptions are published, see ``SparkPublisher``, not written into files.
        """
        from headrace.libraries import spark

        build = self.tables.new_build()
        spark.own_builds.add(build)

        def config(schema: str) -> Mapping[str, Any]:
            return {
                "file_format": self.file_format,
                "location_root": self.tables.location_root(schema, build).as_posix(),
                "view_as": "table",
                "persist_docs": {},
            }

        return config

    def session(self) -> "Session":
        """The session, with all tables as they are on disk.

        Raises:
            WarehouseError: it cannot be started.
        """
        from headrace.libraries import spark

        found = spark.session(self.key, self.start)
        with spark.exclusive():
            if not found.is_current:
                self.register(found)
                found.is_current = True
        return found

    @property
    def key(self) -> object:
        """What a session is made from."""
        return self.root, self.settings

    def start(self) -> tuple[Any, Any]:
        """Make pyspark's session, and Sail's server if there is one.

        Raises:
            WarehouseError: it cannot be started.
        """
        raise NotImplementedError

    def register(self, session: "Session") -> None:
        """Tell the session of all tables that it does not know as they are."""
        from headrace.libraries import spark

        wanted = [*self.tables.raw(), *self.tables.loads(self.lake.raw_tables())]
        there = dict(session.versions)
        wanted += self.tables.built().values()
        made: set[str] = set()
        for table in wanted:
            if table.schema not in made:
                session.sql(f"create schema if not exists `{table.schema}`")
                made.add(table.schema)
            is_known = there.pop(table.key, None) == table.version
            is_ours = table.folder.parent.name in spark.own_builds
            # a model that failed has dropped its table in the session, not on the disk
            if (is_known or is_ours) and session.has(table.spark_name):
                session.versions[table.key] = table.version
                continue
            session.sql(f"drop table if exists {table.spark_name}")
            self.register_table(session, table)
            session.versions[table.key] = table.version
        for schema, name in there:  # gone from the disk
            session.sql(f"drop table if exists `{schema}`.`{name}`")
            del session.versions[schema, name]

    def register_table(self, session: "Session", table: DiskTable) -> None:
        """Make one table over its folder."""
        form = "delta" if table.is_delta else "parquet"
        session.sql(f"create table {table.spark_name} using {form} location {table.spark_path}")

    def dbt_output(self) -> dict[str, Any]:
        """Its entry in ``profiles.yml``; the session is started when dbt connects."""
        from headrace.libraries import spark

        self.require_packages()
        spark.before_dbt_connects(self.session)
        return {"schema": "default", "threads": self.settings.threads}

    def release(self) -> None:
        """Have tables looked at again before dbt connects; the session stays for that."""
        from headrace.libraries import spark

        found = spark.started()
        if found is not None:
            found.is_current = False

    def lock(self, command: str) -> AbstractContextManager[None]:
        """A file lock in the folder, which other machines that mount it see."""
        return self.lake.lock(command)

    def attach(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """Views over its files; DuckDB reads them without the engine.

        Raises:
            WarehouseError: they cannot be read.
        """
        import duckdb

        if not self.exists():
            return False
        try:
            load_extension(connection, "delta", extra=self.extra)
            self.tables.files.stay_readable(connection)
            self.tables.attach(connection, alias, self.lake.raw_tables())
        except duckdb.Error as error:
            raise self.explain(error) from error
        return True

    def explain(self, error: Exception) -> WarehouseError:
        """An error of DuckDB, Spark or the file system as one line."""
        if isinstance(error, WarehouseError):
            return error
        return self.lake.store.explain(error)

    def publisher(self) -> SparkPublisher:
        """One manifest over the files that the engine wrote."""
        return publisher_of(self.tables, self.reader)

    def table_names(self, schemas: Collection[str]) -> dict[str, list[str]]:
        """The tables of each schema, dlt's own left out."""
        found = {schema: list(self._queries(schema)) for schema in schemas}
        return {schema: names for schema, names in found.items() if names}

    def _queries(self, schema: str) -> dict[str, str]:
        """How DuckDB reads each table of a schema."""
        raw = {one.name: one.sql for one in self.lake.raw_tables(schema).tables()}
        built = () if raw else self.tables.built().values()
        return raw or {one.name: one.sql for one in built if one.schema == schema}

    def row_counts(self, schema: str) -> dict[str, int]:
        """Rows of each table of ``schema``, dlt's own left out."""
        import duckdb

        queries = self._queries(schema)
        if not queries:
            return {}
        with connect() as connection:
            try:
                load_extension(connection, "delta", extra=self.extra)
                return {
                    name: scalar(connection, f"select count(*) from ({sql})")
                    for name, sql in queries.items()
                }
            except duckdb.Error as error:
                raise self.explain(error) from error

    def signature(self) -> str | None:
        """The names and sizes of all raw files, and the folders of built tables."""
        digest = hashlib.sha256()
        for entry in self.lake.raw_tables().entries:
            digest.update(f"{entry.key}\0{entry.size}\0{entry.tag}\n".encode())
        for table in self.tables.built().values():
            digest.update(f"{table.version}\n".encode())
        return digest.hexdigest()[:32]


@dataclass(frozen=True)
class SparkTarget(EngineTarget):
    """Spark; see ``EngineTarget``."""

    settings: SparkSettings

    @property
    def capabilities(self) -> Capabilities:
        """Parquet files cannot be changed: no snapshots, no incremental models."""
        return Capabilities(
            snapshots=False, incremental=False, fixture_types=FIXTURE_TYPES, engine="Spark"
        )

    @property
    def url(self) -> str:
        """Of the server that speaks Spark Connect."""
        return f"sc://{self.settings.host}:{self.settings.port or 15002}"

    def check(self) -> None:
        """See ``EngineTarget``; Java, or the server, is looked for, too."""
        from headrace.libraries import spark

        super().check()
        given = self.settings
        if given.method == "connect":
            spark.require_server(
                str(given.host), given.port or 15002, "the Spark server",
                f"{self.setting}.host and port",
            )  # fmt: skip
            return
        spark.require_java()
        if given.master.startswith("spark://"):
            host, _, port = given.master.removeprefix("spark://").rpartition(":")
            spark.require_server(host, int(port), "Spark's master", f"{self.setting}.master")

    def options(self) -> dict[str, str]:
        """Settings of the session."""
        given = self.settings
        found = {
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
            # dbt creates a table again in the folder of a build that was stopped
            "spark.sql.legacy.allowNonEmptyLocationInCTAS": "true",
            # Spark takes a table for as large as its files, and sends what has less than 10 MB to
            # all tasks whole: two million ids, of which four joins at once do not fit 1 GB
            "spark.sql.sources.fileCompressionFactor": "20",
        }
        if given.method == "session":
            is_here = given.master.startswith("local")
            is_loopback = given.master.startswith(("spark://127.", "spark://localhost:"))
            found |= {
                "spark.app.name": "headrace",
                "spark.master": given.master,
                "spark.driver.memory": given.memory,
                "spark.ui.enabled": "false",
                "spark.ui.showConsoleProgress": "false",
                "spark.sql.catalogImplementation": "in-memory",
                "spark.sql.warehouse.dir": (self.root / "managed").as_uri(),
            }
            if is_here or is_loopback:
                found["spark.driver.host"] = found["spark.driver.bindAddress"] = "127.0.0.1"
            if is_here:
                found |= {
                    "spark.sql.shuffle.partitions": str(os.cpu_count() or 2),
                }
            else:
                found["spark.executor.memory"] = given.executor_memory
        return {**found, **given.conf}

    def start(self) -> tuple[Any, Any]:
        """See ``EngineTarget``."""
        from headrace.libraries import spark

        self.check()
        log = self.data_dir / "logs" / "spark.log"
        try:
            if self.settings.method == "connect":
                return spark.connect(self.url, self.options()), None
            return spark.start_java(self.options(), log), None
        except Exception as error:
            why = spark.explained(error, self.setting, log)
            raise WarehouseError(f"Spark cannot be started: {why} (its log is {log})") from error

    def register_table(self, session: "Session", table: DiskTable) -> None:
        """Raw Delta tables as the Parquet files that they are: no Delta library is needed."""
        if table.shape is None:
            super().register_table(session, table)
            return
        import json

        from pyspark.sql.types import StructType

        session.spark.catalog.createTable(
            table.spark_name,
            path=str(table.folder),
            source="parquet",
            schema=StructType.fromJson(json.loads(table.shape)),
        )

    def dbt_output(self) -> dict[str, Any]:
        """dbt-spark's, which takes the session of this process."""
        options: Mapping[str, str] = self.options()
        if self.settings.method == "connect":
            options = {**options, "spark.remote": self.url}
        return {
            **super().dbt_output(),
            "type": "spark",
            "method": "session",
            "host": "localhost",
            "server_side_parameters": dict(options),
        }

    def explain(self, error: Exception) -> WarehouseError:
        """See ``EngineTarget``."""
        if type(error).__module__.startswith(("pyspark", "py4j")):
            from headrace.libraries import spark

            return WarehouseError(f"Spark: {spark.explained(error, self.setting)}")
        return super().explain(error)
