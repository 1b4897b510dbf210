"""dlt's destinations for Postgres and Redshift, as Headrace needs them.

Postgres' own way loads an empty text as null, refuses lists, structs and bytes of Arrow tables, and
by default sends rows as INSERT statements. Here null is what is empty without quotes, JSON and
hexadecimal stand for what is nested and binary, and the server reads the file.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import psycopg2
import psycopg2.errors
from dlt.common.data_writers.writers import ArrowToCsvWriter, CsvWriter
from dlt.common.storages.file_storage import FileStorage
from dlt.common.storages.load_package import ParsedLoadJobFileName
from dlt.destinations.exceptions import DatabaseTerminalException
from dlt.destinations.impl.postgres.factory import postgres
from dlt.destinations.impl.postgres.postgres import PostgresClient, PostgresCsvCopyJob
from dlt.destinations.impl.redshift.factory import redshift
from dlt.destinations.impl.redshift.redshift import RedshiftClient

from headrace.errors import SourceError
from headrace.exceptions import first_line
from headrace.sql_text import identifier


class _CopyJob(PostgresCsvCopyJob):
    """Loads a CSV file whose first line names the columns."""

    def run(self) -> None:
        client = self._job_client.sql_client
        with FileStorage.open_zipsafe_ro(self._file_path, "rb") as file:
            header = file.readline().decode("utf-8").strip()
            names = [client.escape_column_name(name.strip('"')) for name in header.split(",")]
            table = client.make_qualified_table_name(self.load_table_name)
            sql = (
                f"copy {table} ({', '.join(names)}) from stdin with (format csv, encoding 'utf-8')"
            )
            try:
                with client.begin_transaction(), client.native_connection.cursor() as cursor:
                    cursor.copy_expert(sql, file, size=1 << 16)
            except psycopg2.DataError as error:
                problem = SourceError(_unfit(error, self.load_table_name))
                raise DatabaseTerminalException(problem) from problem


def _unfit(error: Any, table: str) -> str:
    """A value that the server cannot hold: where it is, and what to do."""
    found = re.search(r"line \d+, column (\w+)", str(error.diag.context or ""))
    where = f" in the column {found[1]}" if found else ""
    if isinstance(error, psycopg2.errors.CharacterNotInRepertoire):
        return (
            f"{table} has a text with the character NUL{where}, which PostgreSQL cannot hold: "
            "remove it from the source, or load into another target"
        )
    said = error.diag.message_primary or first_line(error)
    return f"{table} has a value that PostgreSQL cannot hold{where}: {said}"


BeforeDrop = Callable[[str, Sequence[str]], None]
"""Is told the schema and the names of tables that are about to be dropped, with all on them."""


class _DropsViews:
    """A client that drops the views on a table with it: dbt makes its own again."""

    def before_drop(self, schema: str, tables: Sequence[str]) -> None:
        """Nothing; another client may keep what depends on the tables."""

    def drop_tables(self, *tables: str, delete_schema: bool = True) -> None:
        """Drop tables before a full refresh, and the views on them."""
        client: Any = self
        if tables:
            self.before_drop(client.sql_client.dataset_name, tables)
            names = [client.sql_client.make_qualified_table_name(table) for table in tables]
            with client.maybe_ddl_transaction():
                client.sql_client.execute_many(
                    [f"drop table if exists {name} cascade" for name in names]
                )
        super().drop_tables(*tables, delete_schema=delete_schema)  # type: ignore[misc]


class _RedshiftClient(_DropsViews, RedshiftClient):
    pass


class RedshiftByParquet(redshift):
    """dlt's redshift destination; its clients tell ``before_drop``.

    What is staged in S3 is Parquet, which keeps the types.
    """

    before_drop: BeforeDrop

    def _raw_capabilities(self) -> Any:
        capabilities = super()._raw_capabilities()
        capabilities.preferred_staging_file_format = "parquet"
        return capabilities

    @property
    def client_class(self) -> type[RedshiftClient]:
        """Its client."""
        told = {"before_drop": lambda _, *given: self.before_drop(*given)}
        return type("_RedshiftClient", (_RedshiftClient,), told)


def redshift_destination(credentials: Any, role: str | None, before_drop: BeforeDrop) -> Any:
    """The destination with these credentials.

    Args:
        credentials: dlt's.
        role: that COPY reads the staged files as; None for the key that staged them.
        before_drop: is told of tables that are about to be dropped.
    """
    found = RedshiftByParquet(credentials=credentials, staging_iam_role=role)
    found.before_drop = before_drop
    return found


class _Client(_DropsViews, PostgresClient):
    def create_load_job(
        self, table: Any, file_path: str, load_id: str, restore: bool = False
    ) -> Any:
        job = super().create_load_job(table, file_path, load_id, restore)
        if ParsedLoadJobFileName.parse(file_path).file_format == "csv":
            return _CopyJob(file_path)
        return job


class PostgresByCopy(postgres):
    """The destination; its clients tell ``before_drop``."""

    before_drop: BeforeDrop

    @property
    def client_class(self) -> type[PostgresClient]:
        """Its client."""
        return type(
            "_Client", (_Client,), {"before_drop": lambda _, *given: self.before_drop(*given)}
        )


def destination(credentials: Any, before_drop: BeforeDrop) -> Any:
    """The destination with these credentials; from now on dlt writes CSV as it needs it."""
    _write_as_needed()
    found = PostgresByCopy(credentials=credentials, preferred_loader_file_format="csv")
    found.before_drop = before_drop
    return found


def _write_as_needed() -> None:
    writer: Any = ArrowToCsvWriter
    if hasattr(writer, "headrace_write_data"):
        return
    writer.headrace_write_data = write_data = writer.write_data

    def write_texts(self: Any, items: Sequence[Any]) -> None:
        write_data(self, [as_texts(item) for item in items])

    def write_rows(self: Any, items: Sequence[dict[str, Any]]) -> None:
        names = list(self._columns_schema)
        types = {name: column["data_type"] for name, column in self._columns_schema.items()}
        for row in items:
            values = (_written(row.get(name), types[name]) for name in names)
            self._f.write(",".join(values) + "\n")

    writer.write_data = write_texts
    rows_writer: Any = CsvWriter
    rows_writer.write_data = write_rows


def _written(value: Any, kind: str) -> str:
    """A value of a row as COPY reads it."""
    if value is None:
        return ""
    if kind == "json":
        value = json.dumps(value, default=str)
    elif isinstance(value, bool):
        return "true" if value else "false"
    elif isinstance(value, int | float | Decimal):
        return str(value)
    elif isinstance(value, bytes | bytearray):
        value = "\\x" + value.hex()
    elif isinstance(value, datetime | date | time):
        value = value.isoformat()
    return '"' + str(value).replace('"', '""') + '"'


def as_texts(item: Any) -> Any:
    """An Arrow table in which nested columns are JSON and binary ones hexadecimal; others as is."""
    import duckdb
    import pyarrow as pa

    if not isinstance(item, pa.Table | pa.RecordBatch):
        return item
    changed = dict(_changed(item.schema))
    if not changed:
        return item
    table = pa.Table.from_batches([item]) if isinstance(item, pa.RecordBatch) else item
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("given", table)
        replaced = ", ".join(f"{sql} as {identifier(name)}" for name, sql in changed.items())
        found = connection.execute(f"select {replaced} from given").to_arrow_table()
    for name in changed:
        table = table.set_column(table.schema.get_field_index(name), name, found.column(name))
    return table


def _changed(schema: Any) -> Iterator[tuple[str, str]]:
    """Columns that CSV cannot hold, and what stands for them in DuckDB's SQL."""
    import pyarrow as pa

    for column in schema:
        name = identifier(column.name)
        if pa.types.is_nested(column.type):
            yield column.name, f"cast(to_json({name}) as varchar)"
        elif pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            yield column.name, f"'\\x' || lower(hex({name}))"
