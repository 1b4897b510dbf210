"""Rows in quarantine, as the warehouse has them: which are meant, their values, their history.

The warehouse is changed in one transaction: a replay that is stopped has done nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from headrace.errors import SourceError, WarehouseError
from headrace.formatting import first_few
from headrace.ingest.quarantine import HISTORY_TABLE, QUARANTINE_TABLE, known_quarantine
from headrace.settings.resolved import usual_raw_schema
from headrace.sql_text import identifier, literal
from headrace.targets import RemoteTarget, reading
from headrace.targets.duckdb import explain_duckdb_error

if TYPE_CHECKING:
    import duckdb

    from headrace.settings import Resolved

STATUSES = ("open", "replayed", "discarded", "superseded")
PREFIX = "_quarantine_"
"""Of columns that say where a row of an exported file is from; no column of a source has it."""
ABOUT = {
    "id": "quarantine_id",
    "file": "file_name",
    "line": "line_number",
    "row": "row_number",
    "reason": "reason",
    "message": "message",
}


@dataclass(frozen=True)
class Chosen:
    """Which rows are meant; all, where nothing is set.

    Attributes:
        source: the source's name.
        table: the raw table.
        reason: as in ``_quarantine``.
        ids: beginnings of quarantine ids.
        schemas: source to raw schema, where the settings name another than the usual one.
    """

    source: str | None = None
    table: str | None = None
    reason: str | None = None
    ids: tuple[str, ...] = ()
    schemas: Mapping[str, str] = field(default_factory=dict)

    def schema_of(self, source: str) -> str:
        """The raw schema of a source."""
        return self.schemas.get(source) or usual_raw_schema(source)

    @property
    def schema(self) -> str:
        """The raw schema of the source, which is set."""
        return self.schema_of(str(self.source))


@dataclass(frozen=True)
class QuarantinedRow:
    """A row in quarantine.

    Attributes:
        id: its quarantine id.
        where: file and line, or row, for people.
        file: the file's name.
        load_id: the load that saw it last.
        about: values of the columns behind ``PREFIX``, as text.
        values: its values by raw column, as text; a JSON value as JSON text.
        text: the row as in the file, where it could not be read; else None.
    """

    id: str
    where: str
    file: str
    load_id: str
    about: Mapping[str, str | None]
    values: Mapping[str, str | None]
    text: str | None


@contextmanager
def opened(resolved: "Resolved", *, read_only: bool) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A connection to the warehouse; a target that is no DuckDB file is read by DuckDB.

    Raises:
        WarehouseError: there is none, it cannot be opened, or not be written.
    """
    import duckdb

    target, path = resolved.target, resolved.target.database_file
    none_yet = f"{target.location} does not exist yet: run `headrace load` first"
    if path is None and not read_only:
        with reading(target, writes=True) as connection:
            yield connection
        return
    if path is None:
        remote = cast("RemoteTarget", target)  # as all are that are no file
        with remote.reader(target.database) as reader:
            if reader is None:
                raise WarehouseError(none_yet)
            reader.execute(f"use {identifier(target.database)}")
            yield reader
        return
    if not target.exists():
        raise WarehouseError(none_yet)
    try:
        connection = duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error as error:
        raise WarehouseError(explain_duckdb_error(path, str(error))) from error
    try:
        connection.execute("set TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def columns_of(connection: "duckdb.DuckDBPyConnection", schema: str, table: str) -> dict[str, str]:
    """The columns of a table and their types; empty if there is none."""
    rows = connection.execute(
        "select column_name, data_type from duckdb_columns() "
        f"where schema_name = {literal(schema)} and table_name = {literal(table)} "
        "and database_name = current_database() order by column_index"
    ).fetchall()
    return {str(name): str(kind) for name, kind in rows}


def known_of(connection: "duckdb.DuckDBPyConnection", chosen: Chosen) -> dict[str, str]:
    """Source to SQL of its rows in quarantine, whatever became of them."""
    found = {}
    named = {schema: source for source, schema in chosen.schemas.items()}
    for (schema,) in connection.execute(
        # information_schema reads the statistics of all tables of a DuckLake first
        "select distinct schema_name from duckdb_columns() where database_name = "
        f"current_database() and table_name = {literal(QUARANTINE_TABLE)} order by all"
    ).fetchall():
        source = named.get(schema) or str(schema).removesuffix(usual_raw_schema(""))
        is_raw = schema == chosen.schema_of(source)  # and not dlt's staging schema
        if is_raw and chosen.source in {None, source}:
            found[source] = known_quarantine(
                columns_of(connection, schema, QUARANTINE_TABLE),
                identifier(schema),
                chosen.table,
                has_history=bool(columns_of(connection, schema, HISTORY_TABLE)),
            )
    return found


def condition(chosen: Chosen, status: str = "all") -> str:
    """SQL: is a row of ``known`` one that is meant."""
    conditions = ["true"]
    if chosen.reason is not None:
        conditions.append(f"reason = {literal(chosen.reason)}")
    if chosen.ids:
        starts = (f"starts_with(known.quarantine_id, {literal(each)})" for each in chosen.ids)
        conditions.append(f"({' or '.join(starts)})")
    if status != "all":
        conditions.append(f"status = {literal(status)}")
    return " and ".join(conditions)


def texts(columns: Mapping[str, str]) -> list[str]:
    """SQL of each column as text."""
    return [f"cast({sql} as varchar)" for sql in columns.values()]


def quarantined_rows(
    connection: "duckdb.DuckDBPyConnection",
    chosen: Chosen,
    *,
    status: str = "open",
    limit: int | None = None,
    more: Mapping[str, str] | None = None,
) -> list[QuarantinedRow]:
    """Rows of one table in the order of their files.

    Args:
        connection: to the warehouse.
        chosen: which rows; source and table are set.
        status: one of `STATUSES`, or ``all``.
        limit: the most rows; None for all.
        more: further columns of ``about``, and their SQL.
    """
    columns = {**ABOUT, **(more or {})}
    found = []
    for source, known in known_of(connection, chosen).items():
        schema = identifier(chosen.schema_of(source))
        kinds = columns_of(connection, chosen.schema_of(source), str(chosen.table))
        rows = connection.execute(
            f"select known.file_name, loads._dlt_load_id, row_json, {', '.join(texts(columns))} "
            f"from (select * from {known} as known where {condition(chosen, status)}) as known "
            f"inner join (select quarantine_id as id, _dlt_load_id from {schema}."
            f"{QUARANTINE_TABLE}) as loads on known.quarantine_id = loads.id "
            f"order by known.file_name, row_number{'' if limit is None else f' limit {limit}'}"
        ).fetchall()
        for file, load_id, text, *about in rows:
            told = dict(zip(columns, about, strict=True))
            at = f"line {told['line']}" if told["line"] else f"row {told['row']}"
            values, raw = _values(str(text), kinds)
            found.append(
                QuarantinedRow(
                    str(told["id"]), f"{file} {at}", file, str(load_id), told, values, raw
                )
            )
    return found


def _values(text: str, kinds: Mapping[str, str]) -> tuple[dict[str, str | None], str | None]:
    """The values of a row in quarantine as text, or the text that could not be read as a row."""
    try:
        # as they are written: a double would lose digits
        found = json.loads(text, parse_float=_Number, parse_int=_Number)
    except (ValueError, RecursionError):
        return {}, text
    if not isinstance(found, dict):
        return {}, found if isinstance(found, str) and not isinstance(found, _Number) else text
    return {
        name: _value_text(value, is_json=kinds.get(name) == "JSON") for name, value in found.items()
    }, None


class _Number(str):
    """A number of JSON, as it is written."""


def _value_text(value: Any, *, is_json: bool) -> str | None:
    if value is None or isinstance(value, _Number):
        return value
    if isinstance(value, str) and not is_json:
        return value
    return _json(value)


def _json(value: Any) -> str:
    """JSON text, with numbers as they were written."""
    match value:
        case _Number():
            return str(value)
        case dict():
            inner = (
                f"{json.dumps(key, ensure_ascii=False)}: {_json(each)}"
                for key, each in value.items()
            )
            return f"{{{', '.join(inner)}}}"
        case list():
            return f"[{', '.join(map(_json, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def add_history(
    connection: "duckdb.DuckDBPyConnection",
    schema: str,
    event: str,
    rows: Sequence[tuple[str, str | None]],
    *,
    run_id: str,
) -> None:
    """Write down what became of rows of a raw schema, each an id and the row as replayed."""
    import pyarrow as pa

    table = f"{identifier(schema)}.{HISTORY_TABLE}"
    connection.execute(
        f"create table if not exists {table} (quarantine_id varchar, event varchar, "
        "event_at timestamptz, run_id varchar, row_json varchar)"
    )
    ids, texts = zip(*rows, strict=True) if rows else ((), ())
    given = pa.table({"id": pa.array(ids, pa.string()), "text": pa.array(texts, pa.string())})
    connection.register("history_rows", given)
    connection.execute(
        f"insert into {table} select id, ?, now(), ?, text from history_rows", [event, run_id]
    )
    connection.unregister("history_rows")


def require_rows(rows: Sequence[Any], chosen: Chosen) -> None:
    """Stop where nothing is in quarantine of what is meant.

    Raises:
        SourceError: there is none.
    """
    if rows:
        return
    name = ".".join(part for part in (chosen.source, chosen.table) if part) or "any source"
    which = f" with the reason {chosen.reason}" if chosen.reason else ""
    which += f" and an id like {first_few(chosen.ids)}" if chosen.ids else ""
    raise SourceError(
        f"no row of {name}{which} is in quarantine: `headrace quarantine list` shows what is"
    )
