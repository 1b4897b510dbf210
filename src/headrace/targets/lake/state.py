"""What ties the engine, a DuckDB file on this machine, to the state in the lake.

Before dbt builds, the engine gets what the lake has that it lacks; after it, the lake gets what
dbt made. So a build goes on from the last one on any machine, incremental models and snapshots
included, and a machine that is lost takes nothing with it.
"""

import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from headrace import portable
from headrace.errors import WarehouseError
from headrace.sql_text import literal, qualified
from headrace.targets.lake.files import (
    STATE,
    LakeFiles,
    LakeState,
    TableVersion,
    ViewText,
    described,
)
from headrace.targets.lake.tables import LakeTables, make_views
from headrace.targets.object_store import ConflictError

if TYPE_CHECKING:
    import duckdb

_VIEW = re.compile(r"^CREATE (?:TEMP(?:ORARY)? )?VIEW .*? AS\s+", re.DOTALL | re.IGNORECASE)
_IN_THE_MAKING = "__dbt_"


class _Note(BaseModel):
    """What the engine was when the lake had all of it.

    Attributes:
        id: of the state in the lake.
        look: of the file; empty if it has changed since.
        tables: how each built table is stored, by ``schema.table``.
    """

    id: str = ""
    look: str = ""
    tables: dict[str, str] = {}


@dataclass
class EngineState:
    """The engine and the lake.

    Attributes:
        files: of the lake.
        engine: the DuckDB file.
        raw_tables: lists the raw tables.
        written: the relations that dbt may have written since the engine was opened; None where
            that is not known.
        is_known: whether the lake had all of the engine when it was opened.
    """

    files: LakeFiles
    engine: Path
    raw_tables: Callable[[], LakeTables]
    written: Collection[tuple[str, str]] | None = None
    is_known: bool = False

    @property
    def _note(self) -> Path:
        """Which state the engine has, and how the file looked then."""
        return self.engine.with_name(f"{self.engine.name}.state")

    def read(self) -> tuple[LakeState | None, str]:
        """The state in the lake, and its tag.

        Raises:
            WarehouseError: it cannot be read.
        """
        return self.files.read(STATE, LakeState)

    def forget(self) -> None:
        """Remove the engine; the lake has all that matters of it."""
        for path in (self.engine, self.engine.with_name(f"{self.engine.name}.wal"), self._note):
            path.unlink(missing_ok=True)

    def is_stale(self) -> bool:
        """Whether the engine changed since it was written to the lake."""
        return self._noted().look != self._look()

    def _look(self) -> str:
        parts = []
        for path in (self.engine, self.engine.with_name(f"{self.engine.name}.wal")):
            with suppress(FileNotFoundError):
                stat = path.stat()
                parts.append(f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}")
        return "/".join(parts)

    def _noted(self) -> _Note:
        try:
            return _Note.model_validate_json(self._note.read_bytes())
        except (OSError, ValidationError):
            return _Note()

    def fetch(self, connection: "duckdb.DuckDBPyConnection", database: str) -> None:
        """Give the engine what the lake has: raw tables, and the state of another machine.

        Args:
            connection: of the engine; it can read the lake.
            database: DuckDB's name of the engine.

        Raises:
            WarehouseError: the lake cannot be read.
            duckdb.Error: likewise.
        """
        raw, (state, _) = self.raw_tables(), self.read()
        noted = self._noted()
        self.written, self.is_known = None, noted.look == self._look()
        if state is not None and state.id != noted.id:
            self._restore(connection, database, state)
            # its look is noted when it is saved
            portable.write_file(self._note, _Note(id=state.id).model_dump_json())
            self.is_known = False
        raw.write_loads(connection, database)
        queries = {(one.schema, one.name): one.sql for one in raw.tables()}
        known = set(queries)
        for schema, name in self._relations(connection, database, "views"):
            if schema in raw.schemas() and (schema, name) not in known:
                connection.execute(f"drop view {qualified(database, schema, name)}")
        make_views(connection, database, queries)
        if state is not None:
            there = set(self._relations(connection, database, "views"))
            missing = {
                (one.schema_name, one.name): one.sql
                for one in state.views
                if (one.schema_name, one.name) not in there
            }
            make_views(connection, database, missing)

    def _restore(
        self, connection: "duckdb.DuckDBPyConnection", database: str, state: LakeState
    ) -> None:
        """Replace what dbt built in the engine by what the last build left, wherever it ran."""
        for kind in ("views", "tables"):
            for schema, name in self._relations(connection, database, kind):
                connection.execute(f"drop {kind[:-1]} {qualified(database, schema, name)} cascade")
        for table in state.tables:
            connection.execute(
                f"create schema if not exists {qualified(database, table.schema_name)}"
            )
            connection.execute(
                f"create or replace table {qualified(database, *table.key)} as "
                f"{self.files.select(table)}"
            )

    @staticmethod
    def _relations(
        connection: "duckdb.DuckDBPyConnection", database: str, kind: str
    ) -> list[tuple[str, str]]:
        rows = connection.execute(
            f"select schema_name, {kind[:-1]}_name from duckdb_{kind}() "
            "where database_name = ? and not internal and not temporary order by all",
            [database],
        ).fetchall()
        return [(str(schema), str(name)) for schema, name in rows]

    def save(self, connection: "duckdb.DuckDBPyConnection", database: str) -> None:
        """Write to the lake what dbt built: only what changed.

        A table is the one that the lake has without being read, if dbt did not build it and it is
        stored as it was: hooks may have written to any.

        Args:
            connection: of the engine; it can write to the lake.
            database: DuckDB's name of the engine.

        Raises:
            WarehouseError: it cannot be written, or another machine has written meanwhile.
            duckdb.Error: likewise.
        """
        state, tag = self.read()
        raw = set(self.raw_tables().schemas())
        before = {one.key: one for one in state.tables} if state else {}
        connection.execute(f"checkpoint {qualified(database)}")
        looks = {
            key: _stored(connection, database, key)
            for key in self._relations(connection, database, "tables")
            if key[0] not in raw and _IN_THE_MAKING not in key[1]
        }
        same = set(self._untouched(looks))
        tables = tuple(
            before[key] if key in same & before.keys()
            else self._version(connection, database, key, before.get(key))
            for key in looks
        )  # fmt: skip
        views = tuple(
            view for view in self._views(connection, database) if view.schema_name not in raw
        )
        if state is None or (state.tables, state.views) != (tables, views):
            state = LakeState(id=uuid.uuid4().hex, tables=tables, views=views)
            body = state.model_dump_json(by_alias=True, indent=1).encode()
            try:
                self.files.store.put(STATE, body, tag=tag)
            except ConflictError as error:
                raise WarehouseError(
                    f"another machine built in {self.files.store.url} meanwhile, so this build was "
                    "not kept: run the same command again"
                ) from error
        note = _Note(
            id=state.id,
            look=self._look(),
            tables={".".join(key): look for key, look in looks.items()},
        )
        portable.write_file(self._note, note.model_dump_json())
        self.written, self.is_known = (), True

    def _untouched(self, looks: Mapping[tuple[str, str], str]) -> Iterator[tuple[str, str]]:
        """The tables of which it is known that the lake has them."""
        if self.is_known and self.written is not None:
            noted = self._noted().tables
            for key, look in looks.items():
                if key not in self.written and noted.get(".".join(key)) == look:
                    yield key

    def _version(
        self,
        connection: "duckdb.DuckDBPyConnection",
        database: str,
        key: tuple[str, str],
        before: TableVersion | None,
    ) -> TableVersion:
        relation = qualified(database, *key)
        known = described(connection, relation)
        if before is not None and before.content == known[1]:
            return before
        return self.files.write(connection, relation, *key, known)

    @staticmethod
    def _views(connection: "duckdb.DuckDBPyConnection", database: str) -> list[ViewText]:
        rows = connection.execute(
            "select schema_name, view_name, sql from duckdb_views() "
            "where database_name = ? and not internal and not temporary order by all",
            [database],
        ).fetchall()
        return [
            ViewText(
                schema_name=str(schema), name=str(name), columns=(),
                sql=_VIEW.sub("", str(sql), count=1).rstrip().rstrip(";"),
            )
            for schema, name, sql in rows
            if _IN_THE_MAKING not in name
        ]  # fmt: skip


def _stored(connection: "duckdb.DuckDBPyConnection", database: str, key: tuple[str, str]) -> str:
    """How a table is stored, without its rows: its segments, their places and statistics."""
    relation = qualified(database, *key)
    if '"' in "".join(key):
        return uuid.uuid4().hex  # the pragma knows no such name: it counts as changed
    found = connection.execute(
        f"select (select count(*) from {relation}), count(*), sum(hash(segment)) "
        f"from pragma_storage_info({literal(relation)}) as segment"
    ).fetchone()
    return repr(found)
