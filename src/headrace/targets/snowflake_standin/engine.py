"""What all sessions of the stand-in share: the DuckDB files, and who may write."""

import copy
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import duckdb
from snowduck.connector import Connection
from snowduck.info_schema import InfoSchemaManager
from snowduck.macros import register_macros

from headrace.sql_text import identifier

HIDDEN = "_information_schema"
"""snowduck's schema of views in each database; it shows in no catalog, so our tables are there."""

_VIEWS = "database_information_schema.sql"
_IDLE_S = 20.0
"""A transaction that waits for its client as long as this is rolled back if another one writes."""


class EngineWriter(Protocol):
    """A session, as far as others wait for it."""

    in_transaction: bool
    is_busy: bool
    last_used: float

    def roll_back(self) -> None:
        """Give up what was not committed."""


class Engine:
    """The databases of a folder: each is a DuckDB file there."""

    def __init__(self, folder: Path) -> None:
        """Open the folder.

        Raises:
            duckdb.Error: another process has it open, or a file is damaged.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.stages = folder / "stages"
        file = str(folder / "snowflake.duckdb")
        self.root = duckdb.connect(file)
        self.root.execute("set global TimeZone = 'UTC'")
        register_macros(self.root)
        self.manager = InfoSchemaManager(duck_conn=self.root, storage=file)
        self.turn = threading.RLock()  # the manager's connection is no session's
        self._writes = threading.Condition()
        self._writer: EngineWriter | None = None
        for database in self.databases():
            self.extend(database)

    def databases(self) -> list[str]:
        """The names of the databases."""
        with self.turn:
            found = self.root.execute(
                "select database_name from duckdb_databases() where not internal "
                "and not starts_with(database_name, '_') and database_name <> 'snowflake'"
            ).fetchall()
        return sorted(str(name) for (name,) in found)

    def has_database(self, name: str) -> bool:
        """Whether there is a database of that name."""
        return name.upper() in self.databases()

    def extend(self, database: str) -> None:
        """Make what Headrace keeps in each database: when tables changed, which files are loaded.

        DuckDB writes to one file in a transaction, so it is in the database itself.
        """
        with self.turn:
            self.manager.create_database_information_schema(database=database)
            hidden = f"{identifier(database)}.{HIDDEN}"
            for statement in (
                (
                    "table if not exists {}.headrace_altered (schema_name varchar, name varchar, "
                    "changed_at timestamptz)"
                ),
                (
                    "table if not exists {}.headrace_loaded (schema_name varchar, name varchar, "
                    "file varchar, tag varchar, loaded_at timestamptz, rows bigint)"
                ),
                (
                    "table if not exists {}.headrace_formats (schema_name varchar, name varchar, "
                    "options varchar)"
                ),
                (
                    "table if not exists {}.headrace_stages (schema_name varchar, name varchar, "
                    "url varchar, options varchar)"
                ),
            ):
                self.root.execute(f"create {statement.format(hidden)}")
            self.root.execute(_dated_tables(database))

    def connect(self, database: str | None, schema: str | None) -> Connection:
        """A connection of snowduck's with a DuckDB connection of its own."""
        duck = self.root.cursor()
        manager: Any = copy.copy(self.manager)
        manager._duck_conn = self.root.cursor()  # noqa: SLF001 - its lookups are no part of a transaction
        with self.turn:
            known = database if database and self.has_database(database) else None
            there = known and schema and manager.has_schema(known, schema)
            return Connection(duck, manager, known, schema if there else None)

    @contextmanager
    def writing(self, session: EngineWriter) -> Iterator[None]:
        """One writer at a time; one in a transaction until it ends.

        Where DuckDB would refuse the second of two writers, Snowflake lets it wait.
        """
        with self._writes:
            while self._writer not in (None, session):
                self._writes.wait(0.5)
                other = self._writer
                if (
                    other not in (None, session)
                    and not other.is_busy
                    and time.monotonic() - other.last_used > _IDLE_S
                ):
                    other.roll_back()
                    self._writer = None
            self._writer = session
        try:
            yield
        finally:
            if not session.in_transaction:
                self.end_writing(session)

    def end_writing(self, session: EngineWriter) -> None:
        """Let the next one write."""
        with self._writes:
            if self._writer is session:
                self._writer = None
                self._writes.notify_all()

    def drop(self, database: str) -> None:
        """Drop a database and its file; sessions that have it as their own are left without."""
        with self.turn:
            self.root.execute(f"detach {identifier(database)}")
            file = Path(self.manager.database_path(database))
            for path in (file, file.with_name(f"{file.name}.wal")):
                path.unlink(missing_ok=True)
            shutil.rmtree(self.stages / database, ignore_errors=True)

    def close(self) -> None:
        """Write everything to the files."""
        self.root.close()


def _dated_tables(database: str) -> str:
    """snowduck's view of tables, with the time of the last change of each."""
    whole = (resources.files("snowduck.info_schema") / _VIEWS).read_text("utf-8")
    begin = whole.index("CREATE VIEW IF NOT EXISTS {database}.{info_schema_name}._tables AS")
    view = whole[begin : whole.index(";", begin)]
    never = "TO_TIMESTAMP(0)::TIMESTAMPTZ AS last_altered"
    changed = (
        f"coalesce((select max(a.changed_at) from {identifier(database)}.{HIDDEN}"
        ".headrace_altered a where a.schema_name = t.schema_name and a.name = t.table_name), "
        "to_timestamp(0)) AS last_altered"
    )
    if never not in view:
        raise RuntimeError("snowduck has another view of tables: it is pinned to 0.3.0")
    view = view.replace(never, changed, 1).replace("VIEW IF NOT EXISTS", "OR REPLACE VIEW", 1)
    return view.format(database=database, info_schema_name=HIDDEN)
