"""How DuckDB reads Snowflake's tables: as views over streams, each fetched when it is asked for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.sql_text import identifier, literal
from headrace.targets.base import StreamedTable, attach_streams
from headrace.targets.snowflake.server import OWN_SCHEMA, SnowflakeServer, quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


def _streamed(
    server: SnowflakeServer, schema_name: str, name: str, columns: "list[pa.Field]"
) -> StreamedTable:
    import pyarrow as pa

    schema = pa.schema([pa.field(lower(one.name), one.type) for one in columns])

    def batches() -> "Iterator[pa.RecordBatch]":
        listed = ", ".join(identifier(one.name) for one in columns)
        table = ".".join(identifier(one) for one in (server.database, schema_name, name))
        with server.reader().cursor() as cursor:
            cursor.execute(f"select {listed} from {table}")
            for found in cursor.fetch_arrow_batches(force_microsecond_precision=True):
                cast = [
                    _cast(found.column(number), wanted.type) for number, wanted in enumerate(schema)
                ]
                yield from pa.Table.from_arrays(cast, schema=schema).to_batches()

    return StreamedTable(schema, batches)


def _cast(column: "pa.ChunkedArray", wanted: "pa.DataType") -> "pa.ChunkedArray":
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and column.type.tz is None and wanted.tz is not None:
        column = column.cast(pa.timestamp(column.type.unit, "UTC"))
    return column.cast(wanted, safe=False)


def _arrow_type(kind: str, precision: int | None, scale: int | None) -> "pa.DataType":
    """The type of Arrow that holds all values of a type of Snowflake's."""
    import pyarrow as pa

    if kind in ("NUMBER", "DECIMAL"):
        # dlt's whole numbers are NUMBER(19, 0), and are of 64 bits
        small = (scale or 0) == 0 and (precision or 38) <= 19
        return pa.int64() if small else pa.decimal128(precision or 38, scale or 0)
    return {
        "FLOAT": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "DATE": pa.date32(),
        "TIME": pa.time64("us"),
        "TIMESTAMP_NTZ": pa.timestamp("us"),
        "TIMESTAMP_LTZ": pa.timestamp("us", "UTC"),
        "TIMESTAMP_TZ": pa.timestamp("us", "UTC"),
        "BINARY": pa.binary(),
    }.get(kind, pa.string())


def lower(name: str) -> str:
    """A name as dlt and dbt write it: what is upper case in Snowflake is what had no quotes."""
    return name.lower() if name == name.upper() else name


def attach(
    server: SnowflakeServer,
    connection: "duckdb.DuckDBPyConnection",
    alias: str,
    *,
    schema_name: str | None = None,
) -> bool:
    """Make a view of each table and view; False where there is no database yet.

    Args:
        server: the account and the database.
        connection: gets the views.
        alias: of the database in memory that they are in.
        schema_name: the schema that is wanted, in the server's case; by default all but
            Headrace's own.

    Raises:
        WarehouseError: the server cannot be reached.
    """
    import pyarrow as pa

    if not server.has_database():
        return False
    wanted = (
        f"table_schema <> 'INFORMATION_SCHEMA' and not startswith(table_schema, "
        f"{literal(OWN_SCHEMA)})"
        if schema_name is None
        else f"table_schema = {literal(schema_name)}"
    )
    rows = server.ask(
        "select table_schema, table_name, column_name, data_type, numeric_precision, "
        f"numeric_scale from {quoted(server.database)}.information_schema.columns "
        f"where {wanted} order by table_schema, table_name, ordinal_position"
    )
    tables: dict[tuple[str, str], list[pa.Field]] = {}
    for schema, name, column, kind, precision, scale in rows:
        arrow = _arrow_type(str(kind), precision and int(precision), scale and int(scale))
        tables.setdefault((str(schema), str(name)), []).append(pa.field(str(column), arrow))
    attach_streams(
        connection,
        alias,
        {
            (lower(schema), lower(name)): _streamed(server, schema, name, columns)
            for (schema, name), columns in tables.items()
        },
    )
    return True
