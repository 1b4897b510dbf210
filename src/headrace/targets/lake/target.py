"""The target ``lake``: files in a local folder or in S3; DuckDB is the engine that builds.

The lake holds all that matters. A DuckDB file on this machine (the *engine*) is where dbt builds;
it may be deleted at any time, since each build starts from what the lake has and what a build made
is written to the lake at its end.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headrace.errors import WarehouseError
from headrace.extras import how_to_install
from headrace.libraries.dbt import close_duckdb
from headrace.libraries.duckdb import (
    connect,
    create_secret,
    extension_path,
    is_damaged,
    load_extension,
)
from headrace.sql_text import qualified, scalar
from headrace.targets.base import Capabilities, RemoteTarget
from headrace.targets.duckdb import DuckDbTarget
from headrace.targets.lake.files import FORMAT, HOME, LAKE, LakeFiles
from headrace.targets.lake.publisher import LakePublisher
from headrace.targets.lake.settings import LakeFields
from headrace.targets.lake.state import EngineState
from headrace.targets.lake.tables import LOADS, LakeTables, make_views
from headrace.targets.lease import file_locked, leased
from headrace.targets.object_store import ABSENT, LocalStore, ObjectStore, S3Store
from headrace.targets.s3_access import S3Access

if TYPE_CHECKING:
    import duckdb

EXTRA = "lake"
_EXTENSIONS = {"delta": ["delta"], "iceberg": ["avro", "iceberg"], "parquet": []}


class LakeSettings(LakeFields):
    """Settings of a lake."""

    @contextmanager
    def apart(self, folder: Path) -> Iterator[dict[str, str]]:
        """A local folder, or a prefix of its own below this one in S3."""
        if self.url is None or not self.url.startswith("s3://"):
            yield {"url": str(folder / "files")}
            return
        url = f"{self.url.rstrip('/')}/parity-{secrets.token_hex(4)}"
        try:
            yield {"url": url}
        finally:
            store = LakeTarget("apart", url, self, folder).store
            store.delete([entry.key for entry in store.list()])

    def target(self, name: str, *, data_dir: Path, path_of: Callable[[Path], Path]) -> "LakeTarget":
        """The target."""
        url = self.url or str(data_dir / "files")
        if not url.startswith("s3://"):
            url = str(path_of(Path(url)))
        return LakeTarget(name, url, self, data_dir)


@dataclass(frozen=True)
class LakeTarget(RemoteTarget):
    """A lake.

    Attributes:
        name: its name in the settings.
        url: an absolute path, or ``s3://bucket/prefix``.
        settings: all others.
        data_dir: where the engine is, on this machine.
    """

    name: str
    url: str
    settings: LakeFields
    data_dir: Path
    dialect: str = "duckdb"
    adapter: str = "dbt-duckdb"
    capabilities: ClassVar[Capabilities] = Capabilities(
        reads_duckdb=True, engine="DuckDB", reuses_results=True
    )

    @property
    def location(self) -> str:
        """Its URL."""
        return self.url

    @property
    def database(self) -> str:
        """DuckDB's name of the engine."""
        return self.engine.database

    @property
    def lock_path(self) -> Path:
        """Beside the engine."""
        return self.engine.lock_path

    @property
    def load_memory_limit(self) -> str:
        """See ``Target``."""
        return self.settings.load_memory_limit

    @cached_property
    def engine(self) -> DuckDbTarget:
        """The DuckDB file that dbt builds in; the lake holds all that is in it."""
        return DuckDbTarget(
            name=self.name,
            path=self.data_dir / "engine.duckdb",
            memory_limit=self.settings.memory_limit,
            load_memory_limit=self.settings.load_memory_limit,
            threads=self.settings.threads,
            temp_directory=self.data_dir / "spill",
            loads_extensions=True,
        )

    @cached_property
    def access(self) -> S3Access | None:
        """How the bucket is reached; None for a local folder."""
        return self.settings.access(self.url, self.name)

    @cached_property
    def store(self) -> ObjectStore:
        """Its objects."""
        return S3Store(self.access) if self.access else LocalStore(Path(self.url))

    @cached_property
    def files(self) -> LakeFiles:
        """Its built tables."""
        layout = self.settings.layout
        return LakeFiles(
            store=self.store,
            silver=layout.silver,
            gold=layout.gold,
            gold_schemas=layout.gold_schemas,
            partitions=self.settings.partitions,
            for_delta=self.settings.marts_format == "delta",
            retention=timedelta(hours=self.settings.retention_hours),
        )

    @cached_property
    def state(self) -> EngineState:
        """What ties the engine to the lake."""
        return EngineState(self.files, self.engine.path, self.raw_tables)

    def raw_tables(self, schema: str | None = None) -> LakeTables:
        """The raw tables as they are now.

        Raises:
            WarehouseError: the lake cannot be read.
        """
        return LakeTables.of(self.store, self.settings.layout.bronze, schema)

    def exists(self) -> bool:
        """Whether something was ever written."""
        return self.store.get(LAKE) is not None

    def prepare(self) -> str | None:
        """Write what marks it as a lake, and see that the engine can be opened.

        Raises:
            WarehouseError: it cannot be written, or a newer Headrace has written it.
        """
        self.check()
        self.mark()
        note = None
        if self.engine.exists():
            try:
                self.engine.check()
            except WarehouseError as error:
                if not is_damaged(str(error.__cause__)):
                    raise
                self.state.forget()
                note = f"{self.engine.path} was damaged: it is made again from the lake"
        else:
            self.state.forget()
        self.engine.prepare()
        return note

    def mark(self) -> None:
        """Write what marks it as a lake, where there is none yet.

        Raises:
            WarehouseError: it cannot be written.
        """
        if not self.exists():
            body = {"format": FORMAT, "written_by": f"headrace {version('headrace')}"}
            self.store.put(LAKE, json.dumps(body).encode(), tag=ABSENT)

    def check(self) -> None:
        """See that the lake can be read, and that what reads it is installed.

        Raises:
            WarehouseError: it cannot, a package is missing, or a newer Headrace has written it.
        """
        for name in self._extensions():
            if extension_path(name) is None:
                raise WarehouseError(
                    f"DuckDB's extension {name} is not installed: run `{how_to_install(EXTRA)}`"
                )
        found = self.store.get(LAKE)
        if found is None:
            return
        try:
            written = int(json.loads(found.body)["format"])
        except (ValueError, KeyError, TypeError) as error:
            raise WarehouseError(
                f"{self.url}/{LAKE} cannot be read: restore it from a backup, or write "
                f'{{"format": {FORMAT}}} there'
            ) from error
        if written > FORMAT:
            raise WarehouseError(
                f"the lake at {self.url} was written by a newer Headrace (format {written}, this "
                f"one knows {FORMAT}): update Headrace"
            )

    def _extensions(self) -> list[str]:
        return [*(["httpfs"] if self.access else []), *_EXTENSIONS[self.settings.table_format]]

    def open(self, connection: "duckdb.DuckDBPyConnection") -> None:
        """Give a connection what it takes to read and write the files of the lake.

        Raises:
            WarehouseError: a package is missing, or there are no credentials.
        """
        for name in self._extensions():
            load_extension(connection, name, extra=EXTRA)
        if self.access is None:
            return
        connection.execute(create_secret(self.access.duckdb_secret()))

    def dlt_destination(self, *, nested_as_json: bool = False) -> Any:
        """dlt's filesystem destination, with whole merges.

        Args:
            nested_as_json: lists and structs become JSON, as in a database.
        """
        try:
            from headrace.libraries.dlt_lake import LakeOptions, destination
        except ImportError as error:
            raise WarehouseError(
                f"a lake needs more packages: run `{how_to_install(EXTRA)}`"
            ) from error
        options = LakeOptions(
            table_format=self.settings.table_format,
            setting=f"targets.{self.name}",
            partitions=self.settings.partitions,
            compact_after=self.settings.compact_after,
            retention=timedelta(hours=self.settings.retention_hours),
            memory_limit=self.settings.load_memory_limit,
            nested_as_json=nested_as_json,
        )
        bronze = f"{self.url}/{self.settings.layout.bronze}"
        url = bronze if self.access else Path(bronze).as_uri()
        credentials = self.access.dlt_credentials() if self.access else None
        return destination(options, url=url, credentials=credentials)

    def dbt_output(self) -> dict[str, Any]:
        """dbt-duckdb's, for the engine; a plugin lets it read the lake."""
        from headrace.libraries import dbt_lake

        dbt_lake.register(self.name, self.prepare_engine)
        plugin = {"module": "headrace.libraries.dbt_lake", "config": {"target": self.name}}
        return {**self.engine.dbt_output(), "plugins": [plugin]}

    def prepare_engine(self, connection: "duckdb.DuckDBPyConnection") -> None:
        """Make ready a connection of dbt's: the lake is attached, and its state is current."""
        self.open(connection)
        self.state.fetch(connection, self.database)

    def note_written(self, relations: Collection[tuple[str, str]]) -> None:
        """See ``Target``: other tables are not looked into when they are written to the lake."""
        self.state.written = relations

    def release(self) -> None:
        """Close dbt's connection, and write to the lake what it built.

        Raises:
            WarehouseError: it cannot be written.
        """
        import duckdb

        close_duckdb()
        if not self.engine.exists() or not self.state.is_stale():
            return
        with self.engine.connect(read_only=False) as connection:
            try:
                self.open(connection)
                self.state.save(connection, self.database)
            except duckdb.Error as error:
                raise self.explain(error) from error

    def lock(self, command: str) -> AbstractContextManager[None]:
        """A lease in S3, a file lock in a folder."""
        if self.access is None:
            return file_locked(Path(self.url) / HOME, command)
        key = f"{HOME}/lock.json"
        return leased(
            self.store, key, command, seconds=self.settings.lock_seconds,
            unlock=f", or delete {self.url}/{key}",
        )  # fmt: skip

    def attach(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """Views over its files: raw tables as they are now, and what the last build made.

        Raises:
            WarehouseError: it cannot be read.
        """
        import duckdb

        if not self.exists():
            return False
        try:
            self.open(connection)
            self.files.stay_readable(connection)
            self._attach(connection, alias)
        except duckdb.Error as error:
            raise self.explain(error) from error
        return True

    def _attach(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> None:
        name = self.database  # the views of dbt name it
        connection.execute(f"attach if not exists ':memory:' as {qualified(name)}")
        raw, (state, _) = self.raw_tables(), self.state.read()
        raw.write_loads(connection, name)
        queries = {(one.schema, one.name): one.sql for one in raw.tables()}
        if state is not None:
            queries |= {one.key: self.files.select(one) for one in state.tables}
            queries |= {(one.schema_name, one.name): one.sql for one in state.views}
        left = make_views(connection, name, queries)
        if alias == name:
            return
        connection.execute(f"attach ':memory:' as {qualified(alias)}")
        there = [key for key in queries if ".".join(key) not in left]
        there += [(schema, LOADS) for schema in raw.schemas()]
        make_views(connection, alias, {key: f"from {qualified(name, *key)}" for key in there})

    def publisher(self) -> LakePublisher:
        """Versions of tables, and one manifest that readers follow."""
        return LakePublisher(self.files, self.reader, self._delta_storage(), self.open)

    def _delta_storage(self) -> dict[str, str] | None:
        """How deltalake reaches the lake; None where marts are no Delta tables."""
        if self.settings.marts_format != "delta":
            return None
        return self.access.deltalake_options() if self.access else {}

    def explain(self, error: Exception) -> WarehouseError:
        """An error of DuckDB or the store as one line that says what to do."""
        if isinstance(error, WarehouseError):
            return error
        return self.store.explain(error)

    def table_names(self, schemas: Collection[str]) -> dict[str, list[str]]:
        """The tables of each schema, dlt's own left out."""
        found = {
            schema: [one.name for one in self.raw_tables(schema).tables()]
            or list(self._built(schema))
            for schema in schemas
        }
        return {schema: names for schema, names in found.items() if names}

    def _built(self, schema: str) -> dict[str, int]:
        """Rows of each table of a schema that dbt builds."""
        state, _ = self.state.read()
        tables = state.tables if state else ()
        return {one.name: one.rows for one in tables if one.schema_name == schema}

    def row_counts(self, schema: str) -> dict[str, int]:
        """Rows of each table of ``schema``, dlt's own left out."""
        import duckdb

        raw = {one.name: one.sql for one in self.raw_tables(schema).tables()}
        if not raw:
            return self._built(schema)
        with connect() as connection:
            try:
                self.open(connection)
                return {
                    name: scalar(connection, f"select count(*) from ({sql})")
                    for name, sql in raw.items()
                }
            except duckdb.Error as error:
                raise self.explain(error) from error

    def count_rows(self, relations: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Rows of tables and views (schema and name); what is not there is left out."""
        state, _ = self.state.read()
        built = {one.key: one.rows for one in state.tables if one.key in relations} if state else {}
        others = [key for key in relations if key not in built]
        return {**built, **(super().count_rows(others) if others else {})}

    def signature(self) -> str | None:
        """The names and tags of all raw files, and the state of the last build."""
        digest = hashlib.sha256()
        for entry in self.raw_tables().entries:
            digest.update(f"{entry.key}\0{entry.size}\0{entry.tag}\n".encode())
        state, _ = self.state.read()
        return f"{digest.hexdigest()[:32]}/{state.id if state else '-'}"
