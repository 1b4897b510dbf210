"""Rows that cannot be loaded, in the shape of ``_quarantine``: where they stood, why, and as what.

A row keeps its id as long as its file holds it unchanged, whatever else changes in the file: so
one that was replayed or discarded does not come back when the file grows. When the file is read
and does not hold it any more, the row is marked as superseded.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from headrace.errors import SourceError
from headrace.ingest.merge import REPLAYED
from headrace.ingest.model import FILE_COLUMN
from headrace.ingest.scan import FileScan
from headrace.sql_text import identifier, is_there, literal

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

QUARANTINE_TABLE = "_quarantine"
HISTORY_TABLE = "_quarantine_history"
_FIRST = "coalesce(known.quarantined_at, now.quarantined_at) as quarantined_at"
_COLUMNS: Mapping[str, str] = {
    "quarantine_id": "VARCHAR",
    "table_name": "VARCHAR",
    "file_name": "VARCHAR",
    "row_number": "BIGINT",
    "line_number": "BIGINT",
    "reason": "VARCHAR",
    "message": "VARCHAR",
    "row_json": "VARCHAR",
    "quarantined_at": "TIMESTAMP WITH TIME ZONE",
    "superseded_at": "TIMESTAMP WITH TIME ZONE",
}


def known_quarantine(
    columns: Mapping[str, str], schema: str, table: str | None = None, *, has_history: bool
) -> str:
    """SQL of the rows that are in quarantine already, each with its ``status``.

    ``open``, ``replayed``, ``discarded`` or ``superseded``; ``event_at`` and ``run_id`` say since
    when and by which run, ``replayed_json`` as what. A row whose replay was dropped by a full
    refresh is open again.

    Args:
        columns: those of the table ``_quarantine``, which an older Headrace may have made.
        schema: the raw schema in SQL.
        table: the raw table; None for all.
        has_history: whether the schema has the table ``_quarantine_history``.
    """
    selected = ", ".join(
        f"rows.{name}" if name in columns else f"cast(null as {kind}) as {name}"
        for name, kind in _COLUMNS.items()
    )
    where = "" if table is None else f" where table_name = {literal(table)}"
    if not has_history:
        return (
            f"(select *, case when superseded_at is null then 'open' else 'superseded' end as "
            "status, cast(null as timestamptz) as event_at, cast(null as varchar) as run_id, "
            "cast(null as varchar) as replayed_json "
            f"from (select {selected} from {schema}.{QUARANTINE_TABLE} as rows{where}))"
        )
    return (
        "(select *, case when event = 'discarded' then 'discarded' "
        "when superseded_at is not null then 'superseded' "
        "when event = 'replayed' and event_at >= quarantined_at then 'replayed' "
        f"else 'open' end as status from (select {selected}, history.event, history.event_at, "
        f"history.run_id, history.replayed_json "
        f"from {schema}.{QUARANTINE_TABLE} as rows left join ("
        "select quarantine_id, arg_max(event, event_at) as event, "
        "arg_max(run_id, event_at) as run_id, max(event_at) as event_at, "
        "arg_max(row_json, event_at) as replayed_json "
        f"from {schema}.{HISTORY_TABLE} group by quarantine_id"
        f") as history on rows.quarantine_id = history.quarantine_id{where}))"
    )


def replayed_from(file_column: str, quarantine_id: str) -> str:
    """SQL of what a replayed row has in place of its file's name.

    No file has that name, so no later load of the file removes the row.
    """
    return f"{file_column} || {literal(REPLAYED)} || {quarantine_id}"


def collect_quarantine(
    connection: "duckdb.DuckDBPyConnection",
    table: str,
    scans: Sequence[FileScan],
    read_types: Mapping[str, str],
    known: str,
    *,
    replaced: Iterable[str] = (),
) -> "pa.Table | None":
    """The rows of ``bad``, those that no reader gives, and known ones that no file holds any more.

    Fills ``settled`` with the ids of bad rows that were replayed or discarded earlier, and
    ``withdrawn`` with what replayed rows, which their file does not hold any more, have in place of
    its name.

    Args:
        connection: has ``incoming``, all rows of the files, and ``bad``, with the reason.
        table: the raw table.
        scans: the files that were read, numbered as in ``incoming``.
        read_types: the columns of ``incoming`` and their types.
        known: SQL of the table's rows that are in quarantine already; "" if there are none.
        replaced: names of files that those which were read replace: renamed ones, older snapshots.
    """
    connection.execute("create or replace temp table settled (quarantine_id varchar)")
    connection.execute("create or replace temp table withdrawn (file_name varchar)")
    is_any_bad = any(scan.rejected for scan in scans) or is_there(connection, "from bad")
    if not (is_any_bad or known):
        return None
    _put_rejected(connection, scans)
    _put_lines(connection, scans)
    written = {name for scan in scans for name in scan.written}
    fields = ", ".join(
        _as_json(name, kind, is_written=name in written) for name, kind in read_types.items()
    )
    connection.execute(
        f"""
        create or replace temp table quarantined as
        with kept as (
            select
                reasons.__file, incoming.{FILE_COLUMN} as file_name, reasons.__row,
                reasons.reason, reasons.message,
                '{{' || concat_ws(', ', {fields}) || '}}' as row_json
            from (
                select
                    __file, __row, min(reason) as reason,
                    string_agg(distinct message, '; ' order by message) as message
                from bad
                group by __file, __row, ends_with(reason, '_value')
            ) as reasons
            inner join incoming
                on reasons.__file = incoming.__file and reasons.__row = incoming.__row
            union all
            select
                __file, file_name, __row, 'malformed', message,
                case when json_valid(text) then text else cast(to_json(text) as varchar) end
            from rejected
        ),
        numbered as (
            select *, row_number() over (
                partition by __file, reason, row_json order by __row
            ) as __same
            from kept
        )
        select
            md5(concat_ws('|', {literal(table)}, file_name, reason, row_json, __same))
                as quarantine_id,
            {literal(table)} as table_name, file_name, numbered.__row as row_number,
            lines.__line as line_number, reason, message, row_json,
            now() as quarantined_at, cast(null as timestamptz) as superseded_at
        from numbered
        left join bad_lines as lines
            on numbered.__file = lines.__file and numbered.__row = lines.__row
        order by numbered.__file, numbered.__row
        """
    )
    names = ", ".join(f"now.{name}" for name in _COLUMNS)
    query = f"select {names} from quarantined as now order by file_name, row_number"
    if known:
        files = ", ".join(map(literal, [*(scan.file.name for scan in scans), *replaced]))
        gone = (
            f"from {known} where superseded_at is null and file_name in ({files}) "
            "and quarantine_id not in (select quarantine_id from quarantined)"
        )
        connection.execute(
            "insert into settled select now.quarantine_id from quarantined as now "
            f"inner join {known} as known on now.quarantine_id = known.quarantine_id "
            "where known.status in ('replayed', 'discarded') "
            "and not ends_with(now.reason, '_value')"
        )
        connection.execute(
            f"insert into withdrawn select {replayed_from('file_name', 'quarantine_id')} {gone} "
            "and status = 'replayed'"
        )
        query = (
            f"select {names.replace('now.quarantined_at', _FIRST)} from quarantined as now "
            f"left join {known} as known on now.quarantine_id = known.quarantine_id "
            "and known.superseded_at is null "
            "where now.quarantine_id not in (select quarantine_id from settled) "
            f"union all by name select {', '.join(_COLUMNS)} from "
            f"(select * replace (now() as superseded_at) {gone}) "
            "order by file_name, row_number"
        )
    found = cast("Any", connection.execute(query).to_arrow_table())
    return found if found.num_rows else None


def check_bad_rows(
    connection: "duckdb.DuckDBPyConnection", scans: Sequence[FileScan], limit: float
) -> None:
    """Stop where a file has more rows for quarantine than the settings allow.

    Args:
        connection: has ``quarantined`` and ``incoming``.
        scans: the files that were read.
        limit: the share of a file's rows that is allowed, from 0 to 1.

    Raises:
        SourceError: a file has more.
    """
    bad = connection.execute(
        "select file_name, count(*), min_by((row_number, line_number, message), row_number) "
        "from quarantined where not ends_with(reason, '_value') "
        "group by file_name order by file_name"
    ).fetchall()
    read = dict(
        connection.execute("select __file, count(*) from incoming group by __file").fetchall()
    )
    rows = {
        scan.file.name: len(scan.rejected) + read.get(number, 0)
        for number, scan in enumerate(scans)
    }
    for file, count, (number, line, message) in bad:
        if count > limit * rows[file]:
            at = f"row {number}" if line is None or f"line {line}" in message else f"line {line}"
            raise SourceError(
                f"{file} {at}: {message}; {count:,} of {rows[file]:,} rows of the file "
                "cannot be loaded, and `bad_rows` and `bad_rows_limit` of its table allow "
                f"{limit:.0%}: correct the file, or change them"
            )


def _put_rejected(connection: "duckdb.DuckDBPyConnection", scans: Sequence[FileScan]) -> None:
    """Fill ``rejected`` with the rows that no reader gives."""
    import pyarrow as pa

    rows = [
        (number, scan.file.name, row.number, row.message, row.text)
        for number, scan in enumerate(scans)
        for row in scan.rejected
    ]
    names = ("__file", "file_name", "__row", "message", "text")
    kinds = (pa.int64(), pa.string(), pa.int64(), pa.string(), pa.string())
    connection.register("rejected", _arrow(rows, names, kinds))


def _put_lines(connection: "duckdb.DuckDBPyConnection", scans: Sequence[FileScan]) -> None:
    """Fill ``bad_lines`` with the line in its file of each bad row, where a format has lines."""
    import pyarrow as pa

    wanted: dict[int, set[int]] = {}
    for file, row in connection.execute("select distinct __file, __row from bad").fetchall():
        wanted.setdefault(file, set()).add(row)
    lines = [
        (number, row.number, row.line)
        for number, scan in enumerate(scans)
        for row in scan.rejected
        if row.line is not None
    ]
    for number, rows in wanted.items():
        found = scans[number].lines(rows)
        lines += [(number, row, line) for row, line in found.items()]
    names = ("__file", "__row", "__line")
    connection.register("bad_lines", _arrow(lines, names, (pa.int64(),) * 3))


def _arrow(rows: list[Any], names: Sequence[str], kinds: Sequence[Any]) -> "pa.Table":
    import pyarrow as pa

    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.table(arrays, names=list(names))


def _as_json(name: str, kind: str, *, is_written: bool) -> str:
    """SQL of a field of a row as JSON text; JSON is as it was written, whatever its digits.

    A number that is not written as the settings say was marked by quotes when it was read.
    """
    column = f"incoming.{identifier(name)}"
    if is_written and kind == "VARCHAR":
        column = f"regexp_replace({column}, '^\"([^\"]*)\"$', '\\1')"
    value = column if kind == "JSON" else f"to_json({column})"
    key = literal(json.dumps(name, ensure_ascii=False) + ": ")
    return f"{key} || coalesce(cast({value} as varchar), 'null')"
