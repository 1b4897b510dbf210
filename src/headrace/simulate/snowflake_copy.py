"""COPY INTO Snowflake, or its stand-in, from the bucket of the simulation."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headrace.errors import WarehouseError
from headrace.simulate.places import BRONZE, CloudStack
from headrace.simulate.warehouse import OWN_SCHEMA, Copied, target_of
from headrace.sql_text import batches, literal
from headrace.targets.object_store import Entry

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from headrace.targets.snowflake.target import SnowflakeTarget

STAGE = "bronze"
_TYPES = {
    "BOOLEAN": "BOOLEAN", "SMALLINT": "NUMBER(5, 0)",
    "INTEGER": "NUMBER(10, 0)", "BIGINT": "NUMBER(19, 0)", "FLOAT": "FLOAT", "DOUBLE": "FLOAT",
    "VARCHAR": "VARCHAR", "DATE": "DATE", "TIMESTAMP": "TIMESTAMP_NTZ",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP_TZ", "BLOB": "BINARY",
}  # fmt: skip


@dataclass(frozen=True)
class SnowflakeCopy:
    """A warehouse of the simulation.

    Attributes:
        simulation: the places.
        target: Snowflake.
        connection: once it is connected.
    """

    simulation: CloudStack
    target: "SnowflakeTarget"
    connection: "SnowflakeConnection | None" = None

    @classmethod
    def of(cls, simulation: CloudStack) -> "SnowflakeCopy":
        """That of the settings.

        Raises:
            SettingsError: there is no such target, or it is of another type.
        """
        from headrace.targets.snowflake.target import SnowflakeTarget

        name = simulation.project.settings.simulate.snowflake
        target = target_of(simulation, name, "snowflake")
        assert isinstance(target, SnowflakeTarget)
        return cls(simulation, target)

    @contextmanager
    def connected(self) -> "Iterator[SnowflakeCopy]":
        """See ``Warehouse``; the stage is made, too."""
        self.target.check()
        self.target.prepare()
        with self.target.server.connect() as connection:
            found = replace(self, connection=connection)
            found.ask(found.stage_sql())
            yield found

    def lock(self) -> AbstractContextManager[None]:
        """See ``Warehouse``."""
        return self.target.lock("headrace simulate")

    def stage_sql(self) -> str:
        """The statement that makes the stage of bronze."""
        access, settings = self.simulation.access, self.simulation.project.settings.simulate
        name, prefix = self.name(OWN_SCHEMA, STAGE), f"{access.prefix}/" if access.prefix else ""
        url = f"{access.bucket}/{prefix}{BRONZE}/"
        if settings.storage_integration and not self.simulation.is_local:
            return (
                f"create or replace stage {name} url = {literal(f's3://{url}')} "
                f"storage_integration = {settings.storage_integration}"
            )
        key_id, secret, token = access.credentials()
        words = f"aws_key_id = {literal(key_id)} aws_secret_key = {literal(secret)}"
        words += f" aws_token = {literal(token)}" if token else ""
        if access.endpoint is None:
            return (
                f"create or replace stage {name} url = {literal(f's3://{url}')} "
                f"credentials = ({words})"
            )
        host = access.endpoint.rpartition("://")[2]
        return (
            f"create or replace stage {name} url = {literal(f's3compat://{url}')} "
            f"endpoint = {literal(host)} credentials = ({words})"
        )

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        """See ``Warehouse``."""
        assert self.connection is not None
        with self.connection.cursor() as cursor:
            return [tuple(row) for row in cursor.execute(sql).fetchall()]  # type: ignore[union-attr]

    def name(self, *parts: str) -> str:
        """See ``Warehouse``."""
        from headrace.targets.snowflake.server import quoted

        return quoted(*([self.target.database, *parts] if len(parts) > 1 else parts))

    def type(self, kind: str) -> str:
        """See ``Warehouse``."""
        found = re.fullmatch(r"DECIMAL\((\d+), ?(\d+)\)", kind)
        if found is not None:
            return f"NUMBER({found[1]}, {found[2]})"
        if kind not in _TYPES:
            raise WarehouseError(f"no type of Snowflake is known for {kind}: cast it in the source")
        return _TYPES[kind]

    @property
    def json_type(self) -> str:
        """See ``Warehouse``."""
        return "VARIANT"

    def parsed(self, column: str) -> str:
        """See ``Warehouse``."""
        return f"parse_json({column})"

    def columns(self, schema: str, table: str) -> list[str]:
        """See ``Warehouse``."""
        rows = self.ask(
            f"select column_name from {self.name('information_schema', 'columns')} where "
            f"table_schema = {literal(schema.upper())} and table_name = {literal(table.upper())} "
            "order by ordinal_position"
        )
        return [str(name).lower() for (name,) in rows]

    def replace_table(
        self, schema: str, table: str, columns: Mapping[str, str], query: str
    ) -> None:
        """See ``Warehouse``: one statement; views find the table by its name."""
        del columns
        self.ask(f"create or replace table {self.name(schema, table)} as {query}")

    def copy(
        self, schema: str, table: str, columns: Sequence[str], source: str, files: Sequence[Entry]
    ) -> Copied:
        """See ``Warehouse``: Snowflake itself remembers for 64 days which files a table has."""
        del columns  # they are matched by name
        on_error = self.simulation.project.settings.simulate.on_error
        folder = source.removeprefix(f"{BRONZE}/")
        loaded, rows, notes = [], 0, []
        for batch in batches(files):
            named = ", ".join(literal(one.key.removeprefix(f"{source}/")) for one in batch)
            for row in self.ask(
                f"copy into {self.name(schema, table)} from "
                f"{literal(f'@{self.name(OWN_SCHEMA, STAGE)}/{folder}/')} files = ({named}) "
                "file_format = (type = parquet use_logical_type = true) "
                f"match_by_column_name = case_insensitive on_error = {on_error}"
            ):
                if len(row) < 4:
                    continue  # nothing was loaded
                file = source + str(row[0]).partition(folder)[2]
                if str(row[1]) == "LOAD_FAILED":
                    notes.append(f"{file} was left out: {row[6]}")
                    continue
                if str(row[1]) == "PARTIALLY_LOADED":
                    notes.append(f"{row[5]} rows of {file} were left out: {row[6]}")
                loaded.append(file)
                rows += int(str(row[3]))
        return Copied(tuple(loaded), rows, "; ".join(notes) or None)
