"""What a target is: a dlt destination, a dbt output, a dialect, how it is read and published.

DuckDB reads every target: what compares, profiles or proves attaches it to a DuckDB in memory.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, Field

from headrace.errors import WarehouseError
from headrace.exceptions import first_line
from headrace.libraries.duckdb import connect
from headrace.sql_text import identifier, literal, qualified, scalar
from headrace.targets.publication import Publisher

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


@dataclass(frozen=True)
class Capabilities:
    """What a target can do, beyond what all can.

    Attributes:
        snapshots: whether dbt's snapshots can be run again and again.
        incremental: whether dbt's incremental models can.
        longest_name: of a table or column, in bytes; None where there is no limit to think of.
        reads_duckdb: whether dbt can read a DuckDB file there, beside the target.
        fixture_types: names of types that contracts and fixtures of unit tests are written with
            and that it has under another name, such as ``timestamptz``.
        engine: what runs its SQL, as traces name it; the target's own name where empty.
        reuses_results: whether ``signature`` is cheap and exact, and the tables that a build leaves
            alone stay as they are.
        load_statements: what writes a file of dlt into it, by the file's format, where that is no
            ``INSERT``.
    """

    snapshots: bool = True
    incremental: bool = True
    reads_duckdb: bool = False
    longest_name: int | None = None
    fixture_types: Mapping[str, str] = field(default_factory=dict)
    engine: str = ""
    reuses_results: bool = False
    load_statements: Mapping[str, str] = field(default_factory=dict)


class Target(Protocol):
    """A place where raw data is loaded and marts are built.

    The packages above (pipeline, cli) know a target by this protocol only.
    """

    @property
    def name(self) -> str:
        """The name it has in the settings, for example ``duckdb``."""

    @property
    def dialect(self) -> str:
        """sqlglot's name of its SQL dialect."""

    @property
    def adapter(self) -> str:
        """The package of its dbt adapter, for example ``dbt-duckdb``."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    @property
    def location(self) -> str:
        """Where it is, for people; never a secret."""

    @property
    def database(self) -> str:
        """The name of the database in SQL and in exports."""

    @property
    def database_file(self) -> Path | None:
        """The DuckDB file that it is, which can be copied and attached; None if it is none."""

    @property
    def reads_local_files(self) -> bool:
        """Whether it runs a ``SELECT`` over files of this machine itself."""

    @property
    def lock_path(self) -> Path:
        """The file whose lock stands for "one run at a time" on this machine."""

    @property
    def load_memory_limit(self) -> str:
        """What DuckDB may take while files are read on this machine, for example ``512MB``."""

    def exists(self) -> bool:
        """Whether there is a database yet."""

    def prepare(self) -> str | None:
        """Create it where there is none yet; the caller holds its lock.

        Returns:
            A note if a stopped run had begun to create it.

        Raises:
            WarehouseError: it cannot be created.
        """

    def check(self) -> None:
        """Open it and close it again.

        Raises:
            WarehouseError: it is corrupt, of a newer version, or held by another program.
        """

    def dlt_destination(self) -> Any:
        """A dlt destination object that loads into it."""

    def dlt_staging(self) -> Any | None:
        """A dlt destination that files are put into, which the target then reads; or None."""

    def dbt_output(self) -> dict[str, Any]:
        """Its entry under ``outputs`` in a dbt ``profiles.yml``."""

    def node_config(self) -> Callable[[str], Mapping[str, Any]] | None:
        """What dbt's nodes of a schema are configured as here; asked for before each build.

        ``view_as`` is what a view is built as, ``first_sql`` is run before a model.
        """

    def note_written(self, relations: Collection[tuple[str, str]]) -> None:
        """Told, before it is released, of all that dbt itself may have written.

        Args:
            relations: schema and name of each; hooks of the project may have written others.
        """

    def release(self) -> None:
        """Close what dbt left open in this process, so that others can open the target."""

    def explain(self, error: Exception) -> WarehouseError:
        """An error of its engine as one sentence that says what to do."""

    def lock(self, command: str) -> AbstractContextManager[None]:
        """A lock that other machines see, too; it is taken within the one of this machine.

        Args:
            command: what this process is about to do, for whoever has to wait.

        Raises:
            LockedError: another machine holds it.
            WarehouseError: the target cannot be reached.
        """

    def opened_once(self) -> AbstractContextManager[None]:
        """Keep a database file open, from one connection of this process to the next."""

    def read_by_one(self) -> AbstractContextManager[None]:
        """Let what reads it in this block share a DuckDB, where to open one takes long."""

    def attach(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """Let a DuckDB in memory read it: ``alias.schema.table``, until ``detach alias``.

        Args:
            connection: gets what the target needs, such as an extension and a secret.
            alias: the name, as it is; views of a DuckDB file work under ``database`` alone.

        Returns:
            Whether there is a database yet; if not, nothing was attached.

        Raises:
            WarehouseError: it cannot be read.
        """

    def attach_to_write(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """As ``attach``, for a transaction that changes raw tables; the caller holds the lock.

        Raises:
            WarehouseError: it cannot be written, or has no transactions over several tables.
        """

    def publisher(self) -> Publisher | None:
        """What makes tables visible to readers of the target; None for a DuckDB file.

        Readers of a DuckDB file have the copy of ``headrace.pipeline.publishing.publish``.
        """

    def table_names(self, schemas: Collection[str]) -> dict[str, list[str]]:
        """The tables of each schema, dlt's own left out; a schema without any is not in it."""

    def row_counts(self, schema: str) -> dict[str, int]:
        """Rows per table of a schema; empty when there is no such schema."""

    def count_rows(self, relations: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Rows of tables and views (schema and name); what is not there is left out."""

    def after_load(self, schema: str) -> list[str]:
        """Told when a source was loaded into a schema, before anything is built on it.

        Returns:
            Notes for the report of the load.

        Raises:
            WarehouseError: the target cannot be reached.
        """

    def signature(self) -> str | None:
        """Changes whenever anything in the target changed; None where that cannot be known."""


@contextmanager
def reading(target: Target, *, writes: bool = False) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A DuckDB in memory in which ``schema.table`` is a table of the target; UTC.

    Args:
        target: what is read.
        writes: whether its raw tables may be changed, too; else it is read-only.

    Raises:
        WarehouseError: there is no database yet, or it cannot be read.
    """
    with connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        attach = target.attach_to_write if writes else target.attach
        if not attach(connection, target.database):
            raise WarehouseError(f"{target.location} does not exist yet: run `headrace load` first")
        connection.execute(f"use {identifier(target.database)}")
        yield connection


@dataclass(frozen=True)
class StreamedTable:
    """A table as Arrow's C stream, which DuckDB asks for at each scan.

    Attributes:
        schema: its columns, named as DuckDB shows them.
        batches: fetches its rows, in that schema.
    """

    schema: "pa.Schema"
    batches: "Callable[[], Iterator[pa.RecordBatch]]"

    def __arrow_c_schema__(self) -> Any:
        """Arrow's."""
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Arrow's."""
        import pyarrow as pa

        reader = pa.RecordBatchReader.from_batches(self.schema, self.batches())
        return reader.__arrow_c_stream__(requested_schema)


_STREAMS: "WeakKeyDictionary[duckdb.DuckDBPyConnection, dict[str, StreamedTable]]" = (
    WeakKeyDictionary()
)


def attach_streams(
    connection: "duckdb.DuckDBPyConnection",
    alias: str,
    tables: Mapping[tuple[str, str], StreamedTable],
) -> None:
    """Make a view of each table, for an engine that DuckDB cannot attach.

    Args:
        connection: gets the views.
        alias: of the database in memory that they are in, which is made.
        tables: by schema and name.
    """
    connection.execute(f"attach ':memory:' as {identifier(alias)}")
    for schema in sorted({schema for schema, _ in tables}):
        connection.execute(f"create schema if not exists {qualified(alias, schema)}")
    for (schema, name), table in tables.items():
        source = f"{alias}.{schema}.{name}"
        connection.register(source, table)
        _STREAMS.setdefault(connection, {})[source] = table
        connection.execute(
            f"create view {qualified(alias, schema, name)} as "
            f"select * from temp.main.{identifier(source)}"
        )


def share_streams(
    connection: "duckdb.DuckDBPyConnection", cursor: "duckdb.DuckDBPyConnection"
) -> None:
    """Let a cursor read the views of ``attach_streams``: DuckDB keeps what they read apart."""
    for source, table in _STREAMS.get(connection, {}).items():
        cursor.register(source, table)


def tables_in(
    connection: "duckdb.DuckDBPyConnection",
    database: str,
    schemas: Collection[str] | None = None,
    *,
    listing: str = "duckdb_tables()",
) -> dict[str, list[str]]:
    """The tables of an attached database, dlt's own left out, by schema.

    Args:
        connection: has it.
        database: its alias.
        schemas: of these; by default of all.
        listing: SQL of what lists them, with the columns of ``duckdb_tables()`` that are used here.
    """
    # written out: with a parameter, DuckDB imports pandas, which takes a third of a second
    wanted = "true"
    if schemas is not None:
        wanted = f"schema_name in ({', '.join(map(literal, schemas)) or 'null'})"
    rows = connection.execute(
        f"select schema_name, list(table_name) from {listing} "
        f"where database_name = {literal(database)} and {wanted} "
        "and not starts_with(table_name, '_dlt') group by all"
    ).fetchall()
    return dict(rows)


def counts_in(
    connection: "duckdb.DuckDBPyConnection",
    database: str,
    schema: str,
    *,
    listing: str = "duckdb_tables()",
) -> dict[str, int]:
    """Rows of each table of a schema of an attached database, dlt's own left out."""
    names = tables_in(connection, database, [schema], listing=listing).get(schema, ())
    connection.begin()  # or a DuckLake would look into its catalog again for each table
    try:
        return {
            name: scalar(connection, f"select count(*) from {qualified(database, schema, name)}")
            for name in names
        }
    finally:
        connection.rollback()


class RemoteTarget:
    """What targets that are no DuckDB file have in common: DuckDB asks them by ``attach``."""

    name: str
    tables_listing: ClassVar[str] = "duckdb_tables()"
    relations_listing: ClassVar[str] = (
        "(select table_catalog as database_name, table_schema as schema_name, table_name "
        "from information_schema.tables)"
    )

    @property
    def location(self) -> str:
        """See ``Target``."""
        raise NotImplementedError

    @property
    def database_file(self) -> None:
        """It is no file."""
        return None

    @property
    def reads_local_files(self) -> bool:
        """What is loaded is written as Parquet first."""
        return False

    def attach(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """See ``Target``."""
        raise NotImplementedError

    def attach_to_write(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """DuckDB has no transaction over the tables of such a target: loads alone change them.

        Raises:
            WarehouseError: always.
        """
        raise WarehouseError(
            f"in the target {self.name}, loads alone change raw tables (DuckDB has no transaction "
            "over them): correct the rows in their file, and load it again"
        )

    def dlt_staging(self) -> Any | None:
        """None: files or rows are sent to the server itself."""
        return None

    def after_load(self, schema: str) -> list[str]:
        """Nothing: most engines know what is in their files."""
        del schema
        return []

    def note_written(self, relations: Collection[tuple[str, str]]) -> None:
        """Nothing: dbt writes where the tables are."""

    def lock(self, command: str) -> AbstractContextManager[None]:
        """None but the one of this machine."""
        del command
        return nullcontext()

    def opened_once(self) -> AbstractContextManager[None]:
        """Nothing: it is no file."""
        return nullcontext()

    def read_by_one(self) -> AbstractContextManager[None]:
        """Nothing: the target takes its time, and not DuckDB."""
        return nullcontext()

    def node_config(self) -> Callable[[str], Mapping[str, Any]] | None:
        """Nothing but what the project says."""
        return None

    @contextmanager
    def reader(self, alias: str = "target") -> "Iterator[duckdb.DuckDBPyConnection | None]":
        """A DuckDB in memory that reads it as ``alias``, UTC; None where there is no database yet.

        Raises:
            WarehouseError: it cannot be read.
        """
        import duckdb

        with connect() as connection:
            connection.execute("set TimeZone = 'UTC'")
            try:
                yield connection if self.attach(connection, alias) else None
            except duckdb.Error as error:
                raise self.explain(error) from error

    def explain(self, error: Exception) -> WarehouseError:
        """An error of its engine as one sentence; each type says more."""
        return WarehouseError(f"{self.location} cannot be read: {first_line(error)}")

    def table_names(self, schemas: Collection[str]) -> dict[str, list[str]]:
        """The tables of each schema, dlt's own left out."""
        with self.reader() as connection:
            if connection is None:
                return {}
            return tables_in(connection, "target", schemas, listing=self.tables_listing)

    def row_counts(self, schema: str) -> dict[str, int]:
        """Rows of each table of ``schema``, dlt's own left out."""
        with self.reader() as connection:
            if connection is None:
                return {}
            return counts_in(connection, "target", schema, listing=self.tables_listing)

    def count_rows(self, relations: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Rows of tables and views (schema and name); what is not there is left out."""
        with self.reader() as connection:
            if connection is None:
                return {}
            there = connection.execute(
                f"select distinct schema_name, table_name from {self.relations_listing} "
                "where database_name = 'target'"
            ).fetchall()
            return {
                key: scalar(connection, f"select count(*) from {qualified('target', *key)}")
                for key in relations
                if key in there
            }


class TargetSettings(BaseModel):
    """Settings of a target (``targets.<name>``); each type of target adds its own.

    Attributes:
        has_own_folder: whether what is kept on this machine, such as dlt's state, is in a folder of
            its own in ``data_dir``; DuckDB files had none from the beginning.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    has_own_folder: ClassVar[bool] = True

    type: str = Field(
        "duckdb", description="`duckdb`, or a type of target that an installed package adds"
    )

    def apart(self, folder: Path) -> AbstractContextManager[dict[str, str]]:
        """An empty place of the same engine, which is removed at the end: for `headrace parity`.

        Args:
            folder: an empty folder of this machine, for what it keeps in files.

        Returns:
            Changes to these settings, by key, which lead there.

        Raises:
            WarehouseError: there can be none.
        """
        raise WarehouseError(f"targets of the type {self.type} have no empty place to compare in")

    def target(self, name: str, *, data_dir: Path, path_of: Callable[[Path], Path]) -> Target:
        """The target.

        Args:
            name: its name in the settings.
            data_dir: where Headrace writes.
            path_of: makes a path of the settings absolute.
        """
        raise NotImplementedError
