"""A session of the stand-in: its transaction, and its statements one after the other."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import duckdb
from snowduck.connector.cursor import Cursor
from sqlglot import exp

from headrace.sql_text import identifier
from headrace.targets.snowflake_standin.engine import HIDDEN, Engine
from headrace.targets.snowflake_standin.names import resolved
from headrace.targets.snowflake_standin.results import (
    DDL,
    DELETE,
    INSERT,
    MERGE,
    SELECT,
    UPDATE,
    Result,
    status,
)

_DONE = {"truncate", "create", "alter", "drop", "comment", "use", "set", "unset"}
_KINDS = {"insert": INSERT, "update": UPDATE, "delete": DELETE, "merge": MERGE}


class StandInSession:
    """See the module."""

    def __init__(self, engine: Engine, database: str | None, schema: str | None) -> None:
        """Log in; a database or schema that is not there is left out, as Snowflake does it."""
        self.engine = engine
        self.connection = engine.connect(database, schema)
        self.duck: duckdb.DuckDBPyConnection = self.connection._duck_conn  # noqa: SLF001
        self.lock = threading.RLock()
        self.autocommit = True
        self.in_transaction = False
        self.is_busy = False
        self.last_used = time.monotonic()

    @property
    def database(self) -> str | None:
        """The current database."""
        found: str | None = self.connection.database
        return found

    @property
    def schema(self) -> str | None:
        """The current schema."""
        found: str | None = self.connection.schema if self.connection.database else None
        return found

    def run(self, sql: str) -> Result:
        """Run a statement by snowduck."""
        first = sql.split(None, 1)[0].lower()
        cursor = Cursor(self.connection, self.duck, self.connection._info_schema_manager)  # noqa: SLF001
        cursor.execute(sql)
        table, described = cursor._arrow_table, cursor._duck_description or []  # noqa: SLF001
        if table is None:
            return status("Statement executed successfully.")
        if first in _KINDS:
            names = table.column_names
            if first == "merge":
                names = ["number of rows inserted or updated"]
            return Result(table.rename_columns(names), _KINDS[first])
        kind = (
            DDL
            if first in ("truncate", "create", "alter", "drop", "comment")
            or first in ("use", "set", "unset")
            else SELECT
        )
        if kind == DDL and not table.num_rows:
            return status("Statement executed successfully.")
        as_json = frozenset(str(one[0]) for one in described if str(one[1]) == "JSON")
        return Result(table, kind, as_json)

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of DuckDB's own SQL."""
        return self.duck.execute(sql, list(values) or None).fetchall()

    def has_table(self, database: str, schema: str, name: str) -> bool:
        """Whether there is a table or view of that name."""
        return bool(
            self.ask(
                "select 1 from information_schema.tables where table_catalog = ? and "
                "upper(table_schema) = upper(?) and table_name = ?",
                [database, schema, name],
            )
        )

    def note_change(self, table: exp.Table | None) -> None:
        """Remember that a table changed: INFORMATION_SCHEMA.TABLES tells of it."""
        if table is None or not table.name:
            return
        database, schema, name = resolved(self, table.sql("snowflake", comments=False))
        if self.engine.has_database(database):
            self.ask(
                f"insert into {identifier(database)}.{HIDDEN}.headrace_altered "
                "values (?, ?, now())",
                [schema, name],
            )

    def forget_loads(self, table: tuple[str, str, str]) -> None:
        """Forget which files a table has: it is another one now, or empty."""
        database, schema, name = table
        if self.engine.has_database(database):
            self.ask(
                f"delete from {identifier(database)}.{HIDDEN}.headrace_loaded "
                "where schema_name = ? and name = ?",
                [schema, name],
            )

    def move_loads(
        self, table: tuple[str, str, str], other: tuple[str, str, str], *, is_swap: bool
    ) -> None:
        """Take along which files a table has, when it gets another name or two are swapped."""
        home = f"{identifier(table[0])}.{HIDDEN}.headrace_loaded"
        if table[0] != other[0] or not self.engine.has_database(table[0]):
            return
        either = "schema_name = ? and name = ?"
        self.ask(
            f"update {home} set schema_name = case when {either} then ? else ? end, "
            f"name = case when {either} then ? else ? end "
            f"where ({either}) or ({either} and ?)",
            [*table[1:], other[1], table[1], *table[1:], other[2], table[2],
             *table[1:], *other[1:], is_swap],
        )  # fmt: skip

    def set_autocommit(self, *, is_on: bool) -> None:
        """``ALTER SESSION SET AUTOCOMMIT``: what is open is committed."""
        if is_on and self.in_transaction:
            self.end("commit")
        self.autocommit = is_on

    def begin(self) -> None:
        """Begin a transaction, where none is open."""
        if not self.in_transaction:
            self.ask("begin transaction")
            self.in_transaction = True

    def end(self, how: str) -> None:
        """Commit or roll back; without a transaction that is nothing."""
        if self.in_transaction:
            self.in_transaction = False
            try:
                self.ask(how)
            finally:
                self.engine.end_writing(self)

    def roll_back(self) -> None:
        """Give up what was not committed: the client is gone, or keeps others waiting."""
        with self.lock, suppress(duckdb.Error):
            self.end("rollback")

    def close(self) -> None:
        """Log out."""
        self.roll_back()
        self.duck.close()
