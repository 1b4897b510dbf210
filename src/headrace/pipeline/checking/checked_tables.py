"""What a check in Python gets: the tables, and a way to ask them.

RawTables ─► before the build     a check whose first parameter is annotated so
BuiltMarts ─► before the publish  any other
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.errors import WarehouseError
from headrace.libraries.duckdb import connect
from headrace.sql_text import qualified
from headrace.targets import Target


@dataclass(frozen=True)
class BuiltMart:
    """A table that is to be published.

    Attributes:
        name: ``schema.table``.
        rows: in the warehouse; None where it is missing.
        published_rows: in the published file; 0 where it is not there.
    """

    name: str
    rows: int | None
    published_rows: int


@dataclass(frozen=True)
class RawTable:
    """A table as it was loaded.

    Attributes:
        name: ``schema.table``.
        source: dbt's name of its source.
        table: dbt's name of it.
    """

    name: str
    source: str
    table: str


@dataclass(frozen=True)
class _Tables:
    """Tables of a target that can be asked.

    Attributes:
        target: where they are; None in a test of a check that asks nothing.
    """

    target: Target | None = field(default=None, kw_only=True)
    _queries: list[Any] = field(default_factory=list, kw_only=True, repr=False, compare=False)

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a query over the warehouse, which is read and never changed.

        Args:
            sql: DuckDB's SQL, whatever engine has the tables; they are called ``schema.table``.
            parameters: for each ``?`` in it.

        Raises:
            WarehouseError: there is no warehouse.
            duckdb.Error: the SQL is wrong; a check may leave it, and is told with it.
        """

        if self.target is None:
            raise WarehouseError("there is no target to ask: give the tables one")
        with connect() as connection:
            connection.execute("set TimeZone = 'UTC'")
            if not self.target.attach(connection, self.target.database):
                raise WarehouseError(
                    f"{self.target.location} does not exist yet: run `headrace run`"
                )
            connection.execute(f"use {qualified(self.target.database)}")
            self._queries.append(connection)
            try:
                return connection.execute(sql, list(parameters)).fetchall()
            finally:
                self._queries.remove(connection)

    def interrupt(self) -> None:
        """Stop the queries that are running, of a check that took too long."""
        for connection in tuple(self._queries):
            threading.Thread(target=connection.interrupt, daemon=True).start()


@dataclass(frozen=True)
class RawTables(_Tables):
    """What a check before the build gets: the raw tables that dbt's sources describe.

    Attributes:
        tables: those that are loaded.
    """

    tables: tuple[RawTable, ...]


@dataclass(frozen=True)
class BuiltMarts(_Tables):
    """What a check before the publish gets: the marts that the last build made.

    Attributes:
        marts: those whose models were built.
        published: the file that readers open.
    """

    marts: tuple[BuiltMart, ...]
    published: Path
