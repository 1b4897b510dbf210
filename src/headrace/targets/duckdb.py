"""The DuckDB target: one file that one process writes; how it is made, why it cannot be opened."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from headrace import portable
from headrace.errors import WarehouseError
from headrace.exceptions import first_line
from headrace.libraries.dbt import close_duckdb
from headrace.libraries.duckdb import (
    UNCHECKED,
    is_damaged,
    is_locked,
    is_of_other_version,
    let_go,
    lock_holder,
    opened_once,
)
from headrace.sql_text import identifier, literal, qualified, scalar
from headrace.system_errors import fault_in
from headrace.targets.base import Capabilities, TargetSettings, counts_in, tables_in

if TYPE_CHECKING:
    import duckdb


_SESSION = {"TimeZone": "UTC"}
"""Of every connection, dlt's and dbt's too: what a cast gives must not follow from the machine."""


class DuckDbSettings(TargetSettings):
    """Settings of a DuckDB target (``targets.<name>`` in the settings)."""

    has_own_folder: ClassVar[bool] = False

    path: Path | None = Field(
        None, description="the warehouse file; by default `warehouse.duckdb` in `data_dir`"
    )
    memory_limit: str = Field(
        "2GB",
        description="DuckDB's memory limit, while dbt builds above all; a model or test that "
        "reaches it is run again with four times as much, up to four fifths of what there is",
        pattern=r"^\d+ ?[KMG]i?B$",
    )
    load_memory_limit: str = Field(
        "512MB",
        description="DuckDB's memory limit while dlt loads; more than this is spilled to disk, and "
        "for what cannot be spilled, four times as much is tried",
        pattern=r"^\d+ ?[KMG]i?B$",
    )
    threads: int | None = Field(
        None, ge=1, le=256, description="DuckDB's threads; all cores by default"
    )

    def apart(self, folder: Path) -> AbstractContextManager[dict[str, str]]:
        """A file of its own."""
        return nullcontext({"path": str(folder / "warehouse.duckdb")})

    def target(
        self, name: str, *, data_dir: Path, path_of: Callable[[Path], Path]
    ) -> "DuckDbTarget":
        """The target; its file is in ``data_dir`` by default."""
        default = "warehouse.duckdb" if name == "duckdb" else f"{name}.duckdb"
        return DuckDbTarget(
            name=name,
            path=path_of(self.path) if self.path else data_dir / default,
            memory_limit=self.memory_limit,
            load_memory_limit=self.load_memory_limit,
            threads=self.threads,
            temp_directory=data_dir / "spill",
        )


@dataclass(frozen=True)
class DuckDbTarget:
    """A DuckDB warehouse file.

    Attributes:
        name: its name in the settings.
        path: the file; absolute.
        memory_limit: DuckDB's ``memory_limit``, for example ``2GB``.
        load_memory_limit: the same while dlt loads.
        threads: DuckDB's threads; None for all cores.
        temp_directory: where DuckDB spills to.
        loads_extensions: whether connections load those of targets, at once as ``connect`` does.
    """

    name: str
    path: Path
    memory_limit: str
    load_memory_limit: str
    threads: int | None
    temp_directory: Path
    loads_extensions: bool = False
    dialect: str = "duckdb"
    adapter: str = "dbt-duckdb"

    @property
    def capabilities(self) -> Capabilities:
        """All of them."""
        return Capabilities(reads_duckdb=True, engine="DuckDB", reuses_results=True)

    @property
    def location(self) -> str:
        """The warehouse file's path."""
        return str(self.path)

    @property
    def database(self) -> str:
        """The file's name without its suffix, as DuckDB calls what it attaches."""
        return self.path.stem

    @property
    def database_file(self) -> Path:
        """The warehouse file."""
        return self.path

    @property
    def reads_local_files(self) -> bool:
        """DuckDB runs in this process."""
        return True

    def exists(self) -> bool:
        """Whether the file holds a database."""
        return exists(self.path)

    @property
    def lock_path(self) -> Path:
        """``warehouse.duckdb.lock`` beside the warehouse."""
        return self.path.with_name(self.path.name + ".lock")

    @property
    def config(self) -> dict[str, str]:
        """DuckDB settings for every connection that Headrace opens."""
        config = {"memory_limit": self.memory_limit, "temp_directory": str(self.temp_directory)}
        if self.threads is not None:
            config["threads"] = str(self.threads)
        return {**config, **UNCHECKED} if self.loads_extensions else config

    @property
    def _load_config(self) -> dict[str, str]:
        return {**self.config, "memory_limit": self.load_memory_limit}

    def opened_once(self) -> AbstractContextManager[None]:
        """Keep the file open from one connection to the next, with the settings of a load."""
        return opened_once(self.path, self._load_config)

    def read_by_one(self) -> AbstractContextManager[None]:
        """Nothing: whoever writes the file needs it closed in between."""
        return nullcontext()

    def check(self) -> None:
        """Open the file for writing and close it again; a missing file is fine.

        Raises:
            WarehouseError: corrupt, newer, held by another process, or not writable.
        """
        if self.exists():
            with self.connect(read_only=False):
                pass
        elif not os.access(_nearest_existing(self.path.parent), os.W_OK):
            raise WarehouseError(
                f"no permission to write {self.path.parent}: change its owner, "
                "or point data_dir (HEADRACE_DATA_DIR) at a directory that you can write"
            )

    def prepare(self) -> str | None:
        """Create the file where there is none; the caller holds the lock.

        Returns:
            A note if there was one that a stopped run had not finished.

        Raises:
            WarehouseError: it cannot be created.
        """
        import duckdb

        if self.exists():
            return None
        is_anew = self.path.exists()
        try:
            create(self.path, self.config)
        except (duckdb.Error, OSError) as error:
            raise self.explain(error) from error
        return f"{self.path} was unfinished and held no data: created again" if is_anew else None

    @contextmanager
    def connect(self, *, read_only: bool) -> "Iterator[duckdb.DuckDBPyConnection]":
        """A connection to the warehouse, closed at the end.

        Raises:
            WarehouseError: see ``check``.
        """
        import duckdb

        try:
            connection = duckdb.connect(
                str(self.path), read_only=read_only, config=dict(self.config)
            )
        except duckdb.Error as error:
            raise self.explain(error) from error
        try:
            for name, value in _SESSION.items():
                connection.execute(f"set {name} = '{value}'")
            yield connection
        finally:
            connection.close()

    def explain(self, error: Exception) -> WarehouseError:
        """DuckDB's error as one sentence that says what to do."""
        return WarehouseError(explain_duckdb_error(self.path, str(error)))

    def dlt_destination(self) -> Any:
        """dlt's duckdb destination for this file."""
        import dlt
        from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

        self.path.parent.mkdir(parents=True, exist_ok=True)
        credentials = DuckDbCredentials(str(self.path))
        config = self._load_config
        del config["temp_directory"]  # see ``opened_once``
        credentials.global_config = config
        credentials.local_config = dict(_SESSION)
        return dlt.destinations.duckdb(
            credentials=credentials,
            preferred_loader_file_format="parquet",
            loader_file_format_selector=_file_format,
        )

    def dlt_staging(self) -> None:
        """None: dlt writes the file itself."""
        return

    def dbt_output(self) -> dict[str, Any]:
        """The dbt-duckdb output for this file."""
        threads = self.threads or os.cpu_count() or 2
        return {
            "type": "duckdb",
            "path": str(self.path),
            "schema": "main",
            "threads": min(threads, 4),
            "config_options": self.config,
            "settings": dict(_SESSION),
        }

    def node_config(self) -> None:
        """Nothing but what the project says."""
        return

    def release(self) -> None:
        """Close the connection that dbt-duckdb keeps for the next invocation."""
        close_duckdb()

    def attach(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """Attach the file read-only; False while there is none yet.

        Raises:
            WarehouseError: see ``check``.
        """
        return self._attach(connection, alias, "read_only")

    def _attach(self, connection: "duckdb.DuckDBPyConnection", alias: str, mode: str) -> bool:
        import duckdb

        if not exists(self.path):
            return False
        let_go(self.path)
        try:
            connection.execute(f"attach {literal(str(self.path))} as {identifier(alias)} ({mode})")
        except duckdb.Error as error:
            raise self.explain(error) from error
        return True

    def lock(self, command: str) -> AbstractContextManager[None]:
        """None but the one of this machine: DuckDB lets no other machine write the file."""
        del command
        return nullcontext()

    def attach_to_write(self, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
        """Attach the file for writing.

        Raises:
            WarehouseError: it cannot be opened.
        """
        return self._attach(connection, alias, "read_write")

    def publisher(self) -> None:
        """Readers open the published copy."""
        return

    def after_load(self, schema: str) -> list[str]:
        """Nothing: DuckDB keeps its statistics as it writes."""
        del schema
        return []

    def note_written(self, relations: Collection[tuple[str, str]]) -> None:
        """Nothing: dbt writes where the tables are."""

    def table_names(self, schemas: Collection[str]) -> dict[str, list[str]]:
        """The tables of each schema, dlt's own left out."""
        if not exists(self.path):
            return {}
        there = _tables_as_of(self, self.signature())
        return {schema: list(there[schema]) for schema in schemas if schema in there}

    def row_counts(self, schema: str) -> dict[str, int]:
        """Rows of each table of ``schema``, dlt's own left out."""
        if not exists(self.path):
            return {}
        with self.connect(read_only=True) as connection:
            return counts_in(connection, _own_name(connection), schema)

    def count_rows(self, relations: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Rows of tables and views (schema and name); what is not there is left out."""
        import duckdb

        if not exists(self.path):
            return {}
        found = {}
        with self.connect(read_only=True) as connection:
            try:
                for key in relations:
                    with suppress(duckdb.CatalogException):  # also a view of what is gone
                        found[key] = scalar(connection, f"select count(*) from {qualified(*key)}")
            except duckdb.Error as error:
                raise self.explain(error) from error
        return found

    def signature(self) -> str | None:
        """Size and modification time of the file and its write-ahead log."""
        parts = []
        for path in (self.path, self.path.with_name(self.path.name + ".wal")):
            try:
                stat = path.stat()
            except FileNotFoundError:
                parts.append("-")
            else:
                parts.append(f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}")
        return "/".join(parts)


@lru_cache(maxsize=1)
def _tables_as_of(target: DuckDbTarget, signature: str | None) -> Mapping[str, list[str]]:
    """A build asks three times, and to open the file takes 20 ms of CPU time."""
    del signature
    with target.connect(read_only=True) as connection:
        return tables_in(connection, _own_name(connection))


def _nearest_existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


_HEADER_BYTES = 3 * 4096  # https://duckdb.org/docs/stable/internals/storage: three headers
_MAGIC = slice(8, 12)
_STORAGE_VERSION = "v1.2.0"
"""It has zstd for long texts, of which that of 1.3 takes four to six times as long: decision 37."""
_LONGEST_OF_ZEROS = 1 << 20
_finished: set[tuple[Path, int]] = set()
"""Files, by path and inode, that this process has looked at and that hold something."""


def exists(path: Path) -> bool:
    """Whether there is a database; a file that was stopped at its birth is none."""
    return path.exists() and not is_unfinished(path)


def is_unfinished(path: Path) -> bool:
    """Whether a file holds nothing, since it was stopped while it was created.

    It is shorter than DuckDB's headers (a kill, a full disk), or all zeros (a power cut). A short
    file that somebody else wrote is not one.
    """
    try:
        found = path.stat()
        if not path.is_file() or found.st_size > _LONGEST_OF_ZEROS:
            return False
        # not again: POSIX drops the locks of a file, DuckDB's too, when this process closes it
        if found.st_size >= _HEADER_BYTES and (path, found.st_ino) in _finished:
            return False
        content = path.read_bytes()
    except OSError:
        return False  # whoever opens it says why it cannot be read
    is_ours = not content.strip(b"\0") or content[_MAGIC] == b"DUCK"
    if is_ours and (len(content) < _HEADER_BYTES or not content.strip(b"\0")):
        return True
    _finished.add((path, found.st_ino))
    return False


def create(path: Path, config: Mapping[str, str]) -> None:
    """Create an empty database: whole, or not at all.

    The caller holds the lock of the warehouse. DuckDB 1.3 and later can read the file; published
    files stay in the form that all versions since 1.0 read.

    Args:
        path: where; what is unfinished there is replaced.
        config: of the connection.

    Raises:
        OSError: it cannot be written.
        duckdb.Error: likewise.
    """
    import duckdb

    real = path.resolve()  # a link stays one
    real.parent.mkdir(parents=True, exist_ok=True)
    temporary = portable.temporary_beside(real)
    try:
        form = {"storage_compatibility_version": _STORAGE_VERSION}
        with duckdb.connect(str(temporary), config={**config, **form}) as connection:
            connection.execute("checkpoint")
        portable.make_durable(temporary)
        # a log without its database has nothing to be replayed on
        real.with_name(f"{real.name}.wal").unlink(missing_ok=True)
        portable.replace(temporary, real)
        portable.make_names_durable(real.parent)
    finally:
        for leftover in (temporary, Path(f"{temporary}.wal")):
            with suppress(OSError):
                leftover.unlink(missing_ok=True)


def explain_duckdb_error(path: Path, message: str, *, rebuilt: bool = True) -> str:
    """DuckDB's message about a file as one sentence for the user.

    Args:
        path: the database file.
        message: DuckDB's own words.
        rebuilt: whether `headrace run` makes the file again; else it is any file, which somebody
            named.
    """
    first = first_line(message or "unknown error")
    if is_locked(message):
        holder = lock_holder(message)
        who = f"process {holder[1]} ({holder[0]})" if holder else "another program"
        return (
            f"{path} is open in {who}: close it there, and let readers open the published copy "
            "instead, which is never locked"
        )
    if is_of_other_version(message):
        anew = "or move the file away and run `headrace run` to load it again"
        other = "or have the file written by this version"
        return (
            f"{path} was written by another version of DuckDB ({first}): upgrade "
            f"Headrace's duckdb, {anew if rebuilt else other}"
        )
    if is_unfinished(path):
        anew = "run `headrace run`, which creates it again" if rebuilt else "name another"
        return f"{path} is unfinished and holds no data: {anew}"
    if is_damaged(message):
        anew = (
            "move it away (the published copy is untouched) and run `headrace run` to load "
            "everything again"
        )
        return (
            f"{path} is not a readable DuckDB file ({first}): "
            f"{anew if rebuilt else 'name another, or write it again'}"
        )
    fault = fault_in(message, place=path.parent)
    if fault is not None:
        return f"{path} cannot be opened: {fault.message}"
    return f"{path} could not be opened: {first}"


def _own_name(connection: "duckdb.DuckDBPyConnection") -> str:
    """What DuckDB calls its file: ``a`` for a.b.duckdb, ``main_db`` for main.duckdb."""
    ((name,),) = connection.execute("select current_database()").fetchall()
    return str(name)


def _file_format(
    preferred: str, supported: Collection[str], /, *, table_schema: Mapping[str, Any]
) -> tuple[str, Collection[str]]:
    """dlt's own rows are no reason to import pyarrow (0.25 s, 50 MB): where files have the rest."""
    is_own = table_schema["name"].startswith("_dlt")
    return "insert_values" if is_own else preferred, supported
