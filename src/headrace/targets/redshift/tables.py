"""Redshift's tables: which there are, how DuckDB reads them, and what their content is.

Values leave the server as texts, which Arrow casts: no type of Python's rounds them on the way.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.sql_text import identifier, qualified
from headrace.targets.base import StreamedTable, attach_streams
from headrace.targets.redshift.server import OWN_SCHEMA, RedshiftServer, driver

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_BATCH, _FETCH = 20_000, 1_000  # rows; a cluster of one node lets no more be fetched at once
_NOT_SHOWN = f"('pg_catalog', 'information_schema', 'pg_internal', '{OWN_SCHEMA}')"


@dataclass(frozen=True)
class RedshiftColumn:
    """A column.

    Attributes:
        name: of it.
        kind: its type as ``svv_columns`` has it, such as ``character varying``.
        size: digits of a number, or bytes of a text.
        scale: digits behind the point.
    """

    name: str
    kind: str
    size: int | None
    scale: int | None

    @property
    def as_text(self) -> str:
        """SQL of its value as text, which says all of it; null stays null."""
        name = identifier(self.name)
        if self.kind == "boolean":
            return f"case when {name} then 't' when not {name} then 'f' end"
        if self.kind == "super":
            return f"json_serialize({name})"
        if self.kind == "binary varying":
            return f"to_hex({name})"
        if self.kind.startswith("character"):
            return name
        return f"cast({name} as varchar(128))"

    @property
    def arrow_type(self) -> "pa.DataType":
        """The type of Arrow that holds all of its values."""
        import pyarrow as pa

        if self.kind == "numeric":
            return pa.decimal128(min(self.size or 38, 38), self.scale or 0)
        return {
            "smallint": pa.int16(),
            "integer": pa.int32(),
            "bigint": pa.int64(),
            "real": pa.float32(),
            "double precision": pa.float64(),
            "boolean": pa.bool_(),
            "date": pa.date32(),
            "time without time zone": pa.time64("us"),
            "timestamp without time zone": pa.timestamp("us"),
            "timestamp with time zone": pa.timestamp("us", "UTC"),
            "binary varying": pa.binary(),
        }.get(self.kind, pa.string())

    def cast(self, values: "Sequence[str | None]") -> "pa.Array":
        """Texts as values."""
        import pyarrow as pa

        wanted = self.arrow_type
        if self.kind == "binary varying":
            return pa.array(
                [None if value is None else bytes.fromhex(value) for value in values], wanted
            )
        if self.kind == "boolean":
            return pa.array([None if value is None else value == "t" for value in values], wanted)
        texts = pa.array(values, pa.string())
        return texts if pa.types.is_string(wanted) else texts.cast(wanted)


def columns_of(
    server: RedshiftServer, where: str = f"table_schema not in {_NOT_SHOWN}"
) -> dict[tuple[str, str], list[RedshiftColumn]]:
    """The columns of tables and views, by schema and name.

    Args:
        server: the database.
        where: a condition on ``svv_columns``; by default all but the system's and Headrace's own.

    Raises:
        WarehouseError: the server cannot be reached.
    """
    rows = server.ask(
        "select table_schema, table_name, column_name, data_type, "
        "coalesce(numeric_precision, character_maximum_length), numeric_scale from svv_columns "
        f"where {where} order by table_schema, table_name, ordinal_position"
    )
    found: dict[tuple[str, str], list[RedshiftColumn]] = {}
    for schema, name, column, kind, size, scale in rows:
        found.setdefault((str(schema), str(name)), []).append(
            RedshiftColumn(str(column), str(kind), size and int(size), scale and int(scale))
        )
    return found


def streamed(
    server: RedshiftServer, schema: str, name: str, columns: list[RedshiftColumn]
) -> StreamedTable:
    """A table or view, whose rows are fetched when they are asked for."""
    import pyarrow as pa

    arrow = pa.schema([pa.field(one.name, one.arrow_type) for one in columns])

    def batches() -> "Iterator[pa.RecordBatch]":
        selected = ", ".join(one.as_text for one in columns)
        with server.connect() as connection:
            connection.autocommit = False  # a cursor lives in a transaction
            with connection.cursor(f"headrace_{name}"[:60]) as cursor:
                cursor.execute(f"select {selected} from {qualified(schema, name)}")
                while rows := _fetched(cursor):
                    values = [
                        column.cast(texts)
                        for column, texts in zip(columns, zip(*rows, strict=True), strict=True)
                    ]
                    yield pa.RecordBatch.from_arrays(values, schema=arrow)
            with suppress(driver().Error):
                connection.rollback()

    return StreamedTable(arrow, batches)


def _fetched(cursor: Any) -> list[tuple[Any, ...]]:
    """The next rows of a cursor, none at its end."""
    found: list[tuple[Any, ...]] = []
    while len(found) < _BATCH and (rows := cursor.fetchmany(_FETCH)):
        found += rows
    return found


def attach(server: RedshiftServer, connection: "duckdb.DuckDBPyConnection", alias: str) -> bool:
    """Make a view of each table and view; False where Headrace has not begun yet.

    Raises:
        WarehouseError: the server cannot be reached.
    """
    if not server.has_schema(OWN_SCHEMA):
        return False
    attach_streams(
        connection,
        alias,
        {
            (schema, name): streamed(server, schema, name, columns)
            for (schema, name), columns in columns_of(server).items()
        },
    )
    return True


def fingerprint(
    server: RedshiftServer, schema: str, name: str, columns: Sequence[RedshiftColumn]
) -> tuple[int, str]:
    """Rows, and a fingerprint that is the same in any order of them; types are part of it.

    Each row has an MD5, of which 120 bits are summed in two numbers.
    """
    parts = " || ".join(
        f"case when {identifier(one.name)} is null then '-' else md5({one.as_text}) end"
        for one in columns
    )
    count, first, second = server.ask(
        "select count(*), sum(cast(strtol(substring(h, 1, 15), 16) as decimal(38, 0))), "
        "sum(cast(strtol(substring(h, 16, 15), 16) as decimal(38, 0))) "
        f"from (select md5({parts}) as h from {qualified(schema, name)}) as hashes"
    )[0]
    shape: list[tuple[Any, ...]] = [(one.name, one.kind, one.size, one.scale) for one in columns]
    said = repr((int(count), str(first), str(second), shape))
    return int(count), hashlib.sha256(said.encode()).hexdigest()
