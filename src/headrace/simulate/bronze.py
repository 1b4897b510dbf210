"""Bronze: what the sources gave, as Parquet files by the date of the load; no file is changed.

    bronze/<source>/<table>/load_date=2024-06-01/<load id>.parquet
    bronze/<source>/_tables.json        keys and types, and the last load that is whole

dlt loads a source into a DuckDB file on this machine. Of a table with a key, a file holds the rows
that a load brought or changed, and the keys of those that went (`_op` is U or D); of a table
without one, all rows whenever one of them is different. So the newest row of each key, or the
newest file, is the table. `_tables.json` is written last: what a killed run left is seen by nobody,
and the next run compares the table with the files themselves.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from headrace.errors import WarehouseError
from headrace.simulate.places import BRONZE, CloudStack
from headrace.simulate.reports import StageTable
from headrace.sql_text import identifier, identifiers, literal, parquet_type, qualified, scalar
from headrace.targets.object_store import Entry

if TYPE_CHECKING:
    import duckdb

OP, LOAD = "_op", "_staged_load_id"
"""The first columns of each file: U or D, and the load that staged the row."""

LOADS = "_dlt_loads"
_TABLES = "_tables.json"
_NESTED = ("STRUCT", "MAP", "UNION")
_STORED = {
    "TINYINT": "SMALLINT", "UTINYINT": "SMALLINT", "USMALLINT": "INTEGER", "UINTEGER": "BIGINT",
    "UBIGINT": "DECIMAL(20,0)", "UUID": "VARCHAR", "TIME": "VARCHAR",
    "TIMESTAMP_NS": "TIMESTAMP", "TIMESTAMP_S": "TIMESTAMP", "TIMESTAMP_MS": "TIMESTAMP",
}  # fmt: skip


class BronzeColumn(BaseModel):
    """A column of a staged table.

    Attributes:
        name: of it.
        type: DuckDB's, as it is in the files.
        is_json: whether its text is JSON.
    """

    name: str
    type: str
    is_json: bool = False


class BronzeTable(BaseModel):
    """A staged table.

    Attributes:
        keys: columns that tell its rows apart; none: each file is the whole table.
        columns: in order.
        rows: that it has.
    """

    keys: tuple[str, ...]
    columns: tuple[BronzeColumn, ...]
    rows: int = 0


class BronzeSource(BaseModel):
    """What is staged of a source.

    Attributes:
        raw_schema: that its tables are in, in a warehouse.
        load_id: the last load that is staged whole.
        tables: by name.
    """

    raw_schema: str
    load_id: str
    tables: dict[str, BronzeTable]


@dataclass(frozen=True)
class StagedSource:
    """A source in the bucket: what it says of itself, and its files."""

    name: str
    staged: BronzeSource
    files: Mapping[str, Sequence[Entry]]

    def of(self, table: str) -> Sequence[Entry]:
        """The files of a table, of whole loads."""
        return self.files.get(table, ())


def load_id(key: str) -> str:
    """The load that a file is of."""
    return key.rpartition("/")[2].removesuffix(".parquet")


def read(simulation: CloudStack, name: str) -> StagedSource | None:
    """A source as it is staged; None where it is not.

    Raises:
        WarehouseError: the bucket cannot be read, or the source's document cannot.
    """
    key = f"{BRONZE}/{name}/{_TABLES}"
    found = simulation.store.get(key)
    if found is None:
        return None
    try:
        staged = BronzeSource.model_validate_json(found.body)
    except ValidationError as error:
        raise WarehouseError(
            f"{simulation.url}/{key} cannot be read: delete {BRONZE}/{name}/ and run "
            "`headrace simulate bronze` again"
        ) from error
    return StagedSource(name, staged, _files(simulation, name, staged.load_id))


def needed(simulation: CloudStack) -> list[StagedSource]:
    """The sources as they are staged.

    Raises:
        WarehouseError: one is not staged yet.
    """
    found = []
    for name in simulation.sources:
        staged = read(simulation, name)
        if staged is None:
            raise WarehouseError(
                f"{name} is not staged in {simulation.url}/{BRONZE}: run `headrace simulate bronze`"
            )
        found.append(staged)
    return found


def _files(simulation: CloudStack, name: str, newest: str | None) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in simulation.store.list(f"{BRONZE}/{name}/"):
        parts = entry.key.split("/")
        is_file = len(parts) == 5 and parts[4].endswith(".parquet")
        if is_file and (newest is None or load_id(entry.key) <= newest):
            found.setdefault(parts[2], []).append(entry)
    return found


def latest(
    url: str, table: BronzeTable, files: Sequence[Entry], there: Sequence[str] | None = None
) -> str:
    """DuckDB's SQL of a table as its files say that it is now.

    Args:
        url: of the bucket.
        table: its keys and columns.
        files: its files.
        there: the columns that the files have; by default all.
    """
    if not files:
        nothing = (f"null::{one.type} as {identifier(one.name)}" for one in table.columns)
        return f"select {', '.join(nothing)} where false"
    chosen = ", ".join(
        identifier(one.name)
        if there is None or one.name in there
        else f"null::{one.type} as {identifier(one.name)}"
        for one in table.columns
    )
    listed = ", ".join(literal(f"{url}/{entry.key}") for entry in files)
    newest = f"{LOAD} = max({LOAD}) over ()"
    if table.keys:
        by = identifiers(table.keys)
        newest = f"row_number() over (partition by {by} order by {LOAD} desc) = 1"
    return (
        f"select {chosen} from read_parquet([{listed}], union_by_name = true, "
        f"hive_partitioning = false) qualify {newest} and {OP} <> 'D'"
    )


def stage(
    simulation: CloudStack, connection: "duckdb.DuckDBPyConnection", name: str, schema: str
) -> list[StageTable]:
    """Stage what changed in a source's raw tables since it was staged last.

    Args:
        simulation: the places.
        connection: of the extract, which can reach the bucket.
        name: of the source.
        schema: its raw schema.

    Raises:
        WarehouseError: nothing of it is loaded.
        duckdb.Error: a file cannot be written.
    """
    newest = connection.execute(
        f"select max(load_id), cast(max(inserted_at) as date)::varchar from "
        f"{qualified(schema, LOADS)} where status = 0"
    ).fetchone()
    if newest is None or newest[0] is None:
        raise WarehouseError(f"nothing of {name} is loaded: see what `headrace load` says of it")
    now, day = str(newest[0]), str(newest[1])
    before = read(simulation, name)
    if before is not None and before.staged.load_id == now:
        return [_told(simulation, before, table, 0) for table in before.staged.tables]
    files = _files(simulation, name, None)
    declared = _declared_keys(connection, schema)
    tables: dict[str, BronzeTable] = {}
    written: dict[str, int] = {}
    for (table,) in connection.execute(
        "select table_name from duckdb_tables() where schema_name = ? and database_name = "
        "current_database() and (not starts_with(table_name, '_dlt') or table_name = ?) order by 1",
        [schema, LOADS],
    ).fetchall():
        key = f"{BRONZE}/{name}/{table}/load_date={day}/{now}.parquet"
        tables[table], written[table] = _stage_table(
            simulation, connection, qualified(schema, table), declared.get(table, ()),
            files.get(table, ()), key,
        )  # fmt: skip
    done = BronzeSource(raw_schema=schema, load_id=now, tables=tables)
    simulation.store.put(f"{BRONZE}/{name}/{_TABLES}", done.model_dump_json(indent=2).encode())
    staged = StagedSource(name, done, _files(simulation, name, now))
    return [_told(simulation, staged, table, written[table]) for table in tables]


def _told(simulation: CloudStack, source: StagedSource, table: str, rows: int) -> StageTable:
    files = source.of(table)
    return StageTable(
        name=f"{source.name}.{table}",
        place=f"{simulation.url}/{BRONZE}/{source.name}/{table}/",
        files=len(files),
        bytes=sum(entry.size for entry in files),
        rows=source.staged.tables[table].rows,
        new_files=1 if rows else 0,
        new_rows=rows,
    )


def _declared_keys(
    connection: "duckdb.DuckDBPyConnection", schema: str
) -> dict[str, tuple[str, ...]]:
    """The keys of tables, as dlt's schema has them; of nested tables dlt's own."""
    row = connection.execute(
        f"select schema from {qualified(schema, '_dlt_version')} order by version desc limit 1"
    ).fetchone()
    found: dict[str, tuple[str, ...]] = {LOADS: ("load_id",)}
    for name, table in json.loads(row[0])["tables"].items() if row else ():
        columns = table.get("columns", {})
        keys = [column for column, hints in columns.items() if hints.get("primary_key")]
        if not keys and "_dlt_id" in columns:
            keys = ["_dlt_id"]
        found.setdefault(name, tuple(keys))
    return found


def _stage_table(
    simulation: CloudStack,
    connection: "duckdb.DuckDBPyConnection",
    relation: str,
    keys: tuple[str, ...],
    files: Sequence[Entry],
    key: str,
) -> tuple[BronzeTable, int]:
    """Write the file of a table, where there is anything to write; gives its rows."""
    columns = tuple(
        _column(str(row[0]), str(row[1]))
        for row in connection.execute(f"describe {relation}").fetchall()
    )
    chosen = ", ".join(
        f"{_stored(identifier(one.name), one)} as {identifier(one.name)}" for one in columns
    )
    connection.execute(
        f"create or replace temp table staged_now as select {chosen} from {relation}"
    )
    rows = scalar(connection, "select count(*) from staged_now")
    if keys:
        different = scalar(
            connection,
            f"select count(*) from (select distinct {identifiers(keys)} from staged_now)",
        )
        keys = keys if different == rows else ()
    table = BronzeTable(keys=keys, columns=columns, rows=rows)
    there: list[str] = []
    if files:
        listed = ", ".join(literal(f"{simulation.url}/{entry.key}") for entry in files)
        there = [
            str(row[0])
            for row in connection.execute(
                f"describe select * from read_parquet([{listed}], union_by_name = true, "
                "hive_partitioning = false)"
            ).fetchall()
        ]
    before = latest(simulation.url, table, files, there)
    connection.execute(f"create or replace temp table staged_before as {before}")
    if keys:
        empty = ", ".join(
            identifier(one.name)
            if one.name in keys
            else f"null::{one.type} as {identifier(one.name)}"
            for one in columns
        )
        joined = " and ".join(f"n.{identifier(one)} = b.{identifier(one)}" for one in keys)
        changes = (
            f"select 'U' as {OP}, {literal(load_id(key))} as {LOAD}, * from (from staged_now "
            f"except from staged_before) union all select 'D', {literal(load_id(key))}, * from "
            f"(select {empty} from staged_before b where not exists (select 1 from staged_now n "
            f"where {joined}))"
        )
    else:
        nothing = ", ".join(f"null::{one.type} as {identifier(one.name)}" for one in columns)
        differs = scalar(
            connection,
            "select count(*) from ((from staged_now except all from staged_before) union all "
            "(from staged_before except all from staged_now))",
        )
        whole = f"select 'U' as {OP}, {literal(load_id(key))} as {LOAD}, * from staged_now"
        if not rows:  # a file that says that there is nothing
            whole = f"select 'D' as {OP}, {literal(load_id(key))} as {LOAD}, {nothing}"
        changes = whole if differs else f"{whole} where false"
    connection.execute(f"create or replace temp table staged_changes as {changes}")
    written = scalar(connection, "select count(*) from staged_changes")
    if written:
        connection.execute(
            f"copy staged_changes to {literal(f'{simulation.url}/{key}')} "
            "(format parquet, compression snappy)"
        )
    return table, written


def _column(name: str, kind: str) -> BronzeColumn:
    is_nested = kind.startswith(_NESTED) or kind.endswith("]")
    is_json = kind == "JSON" or is_nested
    stored = "VARCHAR" if is_json else _STORED.get(kind, parquet_type(kind))
    return BronzeColumn(name=name, type=stored, is_json=is_json)


def _stored(quoted: str, column: BronzeColumn) -> str:
    if column.is_json:
        return f"cast(to_json({quoted}) as varchar)"
    return f"cast({quoted} as {column.type})"
