"""``headrace quarantine list`` and ``show``: counts and rows, in files and in the run store."""

import csv
import json
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from headrace import portable
from headrace.catalog import Catalog, RunStore, pii
from headrace.catalog.evidence import MaskedRow as KnownRow
from headrace.catalog.evidence import QuarantinedTable as KnownTable
from headrace.catalog.model import table_id
from headrace.errors import SourceError
from headrace.exceptions import first_line
from headrace.formatting import did_you_mean, shortened
from headrace.pipeline.quarantine.rows import (
    ABOUT,
    PREFIX,
    STATUSES,
    Chosen,
    QuarantinedRow,
    columns_of,
    condition,
    known_of,
    opened,
    quarantined_rows,
    texts,
)
from headrace.pipeline.query import QueryColumn, QueryReport
from headrace.pipeline.reports import Report
from headrace.secrets import MASK

if TYPE_CHECKING:
    import duckdb

    from headrace.settings import Resolved

_SAMPLE = 5  # rows for each table and reason
_LONGEST = 60  # characters of a value
_MESSAGE = 300
_QUOTED = re.compile(r"'.*'", re.DOTALL)
_HISTORY = {
    "status": "status",
    "at": "quarantined_at",
    "status_at": "coalesce(superseded_at, event_at)",
    "run": "run_id",
    "replayed_as": "replayed_json",
}


class QuarantineCount(Report):
    """The rows of one raw table that were quarantined for one reason, by what became of them."""

    source: str
    table: str
    reason: str = Field(description="`data_type`, `malformed`, `null_key`, `duplicate_key`, ...")
    open: int = Field(description="still in quarantine")
    replayed: int = Field(description="corrected and loaded")
    discarded: int = Field(description="given up; their history is kept")
    superseded: int = Field(description="no longer in their file when it was read again")
    example: str = Field(description="one of the messages")


class QuarantineReport(Report):
    """What is in quarantine."""

    path: str = Field(description="the warehouse")
    rows_open: int
    counts: tuple[QuarantineCount, ...]


def parse_table(resolved: "Resolved", given: str | None) -> Chosen:
    """The rows that ``SOURCE`` or ``SOURCE.TABLE`` means.

    Raises:
        SourceError: there is no such source.
    """
    if not given:
        return Chosen(schemas=_schemas(resolved))
    source, _, table = given.partition(".")
    known = resolved.settings.sources
    if source not in known:
        meant = did_you_mean(source, known)
        more = f" ({meant})" if meant else ""
        raise SourceError(f"{given}: there is no source {source!r} in the settings{more}")
    return Chosen(source, table or None, schemas=_schemas(resolved))


def _schemas(resolved: "Resolved") -> dict[str, str]:
    return {name: resolved.raw_schema(name) for name in resolved.settings.sources}


def listed(resolved: "Resolved", chosen: Chosen) -> QuarantineReport:
    """Count the rows in quarantine by table, reason and what became of them.

    Raises:
        WarehouseError: the warehouse cannot be read.
    """
    with opened(resolved, read_only=True) as connection:
        counts = []
        for source, known in known_of(connection, chosen).items():
            sums = ", ".join(f"count_if(status = '{status}')" for status in STATUSES)
            rows = connection.execute(
                f"select table_name, reason, {sums}, min(message) from {known} as known "
                f"where {condition(chosen)} group by all order by all"
            ).fetchall()
            counts += [
                QuarantineCount(
                    source=source,
                    table=table,
                    reason=reason,
                    **dict(zip(STATUSES, numbers, strict=True)),
                    example=example,
                )
                for table, reason, *numbers, example in rows
            ]
    return QuarantineReport(
        path=resolved.target.location,
        rows_open=sum(count.open for count in counts),
        counts=tuple(counts),
    )


def shown(
    resolved: "Resolved", chosen: Chosen, *, status: str = "open", limit: int | None = None
) -> QueryReport:
    """Rows in quarantine: where they stood, why they are there, and their values as text.

    Args:
        resolved: the settings.
        chosen: which rows; the values of several tables are in one column, as JSON.
        status: one of `STATUSES`, or ``all``, which adds their history.
        limit: the most rows; None for all.

    Raises:
        SourceError: there is no such row.
        WarehouseError: the warehouse cannot be read.
    """
    with opened(resolved, read_only=True) as connection:
        sources = known_of(connection, chosen)
        found = [
            (source, table)
            for source, known in sources.items()
            for (table,) in connection.execute(
                f"select distinct table_name from {known} as known "
                f"where {condition(chosen, status)} order by all"
            ).fetchall()
        ]
        if len(found) == 1:
            ((source, table),) = found
            names, rows = _table_rows(
                connection, source, table, chosen, status, None if limit is None else limit + 1
            )
        else:
            names = ("source", "table", *(PREFIX + name for name in ABOUT), "row_json")
            rows = [
                (source, *row)
                for source, known in sources.items()
                for row in connection.execute(
                    f"select table_name, {', '.join(texts(ABOUT))}, row_json "
                    f"from {known} as known where {condition(chosen, status)} "
                    "order by table_name, file_name, row_number"
                ).fetchall()
            ]
    return QueryReport(
        path=resolved.target.location,
        columns=tuple(QueryColumn(name=name, data_type="VARCHAR") for name in names),
        rows=tuple(rows if limit is None else rows[:limit]),
        truncated=limit is not None and len(rows) > limit,
    )


def write_rows(report: QueryReport, out: Path) -> int:
    """Write shown rows to a file that can be edited and replayed; complete or not at all.

    Args:
        report: of `shown`.
        out: ``.csv``, ``.json`` or ``.jsonl``; an existing file is replaced.

    Returns:
        The number of rows.

    Raises:
        SourceError: another suffix, or a file that cannot be written.
    """
    names = [column.name for column in report.columns]
    dicts = [dict(zip(names, row, strict=True)) for row in report.rows]
    if out.suffix == ".json":
        text = json.dumps(dicts, ensure_ascii=False, indent=1) + "\n"
    elif out.suffix == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in dicts)
    elif out.suffix == ".csv":
        import io

        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([["" if cell is None else cell for cell in row] for row in report.rows])
        text = stream.getvalue()
    else:
        raise SourceError(f"--out {out}: end the name in .csv, .json or .jsonl")
    try:
        portable.write_file(out, text)
    except OSError as error:
        raise SourceError(f"{out} cannot be written: {error.strerror or error}") from error
    return len(dicts)


def read_rows(path: Path) -> dict[str, dict[str, str | None]]:
    """The rows of a file that was written by `write_rows`, and edited: id to values as text.

    In CSV, nothing is null.

    Raises:
        SourceError: it cannot be read, or has no ids.
    """
    column = f"{PREFIX}id"
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".csv":
            delimiter = ";" if text.partition("\n")[0].count(";") > 3 else ","
            lines = text.splitlines(keepends=True)
            given: list[Any] = list(csv.DictReader(lines, delimiter=delimiter, strict=True))
        elif path.suffix == ".jsonl":
            given = [json.loads(line, parse_float=str) for line in text.splitlines() if line]
        else:
            given = json.loads(text, parse_float=str)
        rows = {
            str(row[column]): {
                name: _as_text(value) or None if path.suffix == ".csv" else _as_text(value)
                for name, value in row.items()
            }
            for row in given
        }
        if any(None in row for row in rows.values()):
            raise SourceError(f"{path}: a row has more values than the header has names")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{path} has no column {column}: write the file by `headrace quarantine show --out`"
        ) from error
    except (ValueError, csv.Error, RecursionError) as error:
        raise SourceError(f"{path} cannot be read: {first_line(error)}") from error
    return rows


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def in_quarantine(
    connection: "duckdb.DuckDBPyConnection",
    schemas: Mapping[str, str],
    sources: Iterable[str],
    catalog: Catalog | None,
) -> list[KnownTable]:
    """What is in quarantine of some sources: how many rows for which reason, and a few of them.

    Values are shown of columns that the catalog knows to hold no personal data; before the first
    catalog, of none.

    Args:
        connection: to the warehouse.
        schemas: source to raw schema.
        sources: names.
        catalog: the newest.
    """
    found = []
    personal = pii.sources_of(catalog) if catalog is not None else frozenset()
    for source in sources:
        chosen = Chosen(source, schemas=schemas)
        for known in known_of(connection, chosen).values():
            counted = connection.execute(
                f"select table_name, reason, count(*) from {known} as known "
                "where status = 'open' group by all order by all"
            ).fetchall()
            for table, reason, rows in counted:
                few = replace(chosen, table=str(table), reason=str(reason))
                asset = catalog.assets.get(table_id(few.schema, table)) if catalog else None
                shown = frozenset(
                    column.name
                    for column in (asset.columns if asset else ())
                    if asset and (asset.id, column.name) not in personal
                )
                is_harmless = asset is not None and len(shown) == len(asset.columns)
                sample = quarantined_rows(connection, few, limit=_SAMPLE)
                found.append(
                    KnownTable(
                        source,
                        str(table),
                        str(reason),
                        int(rows),
                        tuple(_masked(row, shown, is_harmless=is_harmless) for row in sample),
                    )
                )
    return found


def _masked(row: QuarantinedRow, shown: Collection[str], *, is_harmless: bool) -> KnownRow:
    """A row as it may be kept in the run store."""
    message = str(row.about["message"] or "")
    if not is_harmless:  # it may quote a value of any column
        message = _QUOTED.sub(f"'{MASK}'", message) if row.text is None else ""
    values = {
        name: value if value is None else shortened(value, _LONGEST) if name in shown else MASK
        for name, value in row.values.items()
    }
    return KnownRow(where=row.where, message=shortened(message, _MESSAGE), values=values)


def keep(
    resolved: "Resolved",
    store: RunStore,
    run_id: str,
    sources: Collection[str],
    connection: "duckdb.DuckDBPyConnection | None" = None,
) -> None:
    """Write down in the run store what is in quarantine of some sources.

    The page reads it there, as it never opens the warehouse.

    Args:
        resolved: the settings.
        store: the run store.
        run_id: of the run that changed it.
        sources: names.
        connection: to the warehouse; else it is opened.

    Raises:
        WarehouseError: the warehouse cannot be read.
        RunStoreError: the store cannot be written.
    """
    if not resolved.target.exists():
        return
    with opened(resolved, read_only=True) if connection is None else nullcontext(connection) as it:
        found = in_quarantine(it, _schemas(resolved), sources, store.load_catalog())
    store.keep_quarantine(run_id, sources, found)


def count_open(resolved: "Resolved", sources: Iterable[str]) -> int:
    """The rows of some sources that are in quarantine.

    Raises:
        WarehouseError: the warehouse cannot be read.
    """
    if not resolved.target.exists():
        return 0
    with opened(resolved, read_only=True) as connection:
        return sum(
            _number(connection, f"select count_if(status = 'open') from {known} as known")
            for source in sources
            for known in known_of(connection, Chosen(source, schemas=_schemas(resolved))).values()
        )


def _number(connection: "duckdb.DuckDBPyConnection", sql: str) -> int:
    (number,) = connection.execute(sql).fetchone() or (0,)
    return int(number)


def _table_rows(
    connection: "duckdb.DuckDBPyConnection",
    source: str,
    table: str,
    chosen: Chosen,
    status: str,
    limit: int | None,
) -> tuple[tuple[str, ...], list[tuple[str | None, ...]]]:
    """The column names and rows that are shown of one table."""
    chosen = replace(chosen, source=source, table=table)
    history = _HISTORY if status == "all" else {}
    rows = quarantined_rows(connection, chosen, status=status, limit=limit, more=history)
    own = [
        name
        for name in columns_of(connection, chosen.schema, table)
        if not name.startswith(("_dlt", "_file_name"))
    ]
    names = list(dict.fromkeys([*own, *(name for row in rows for name in row.values)]))
    has_text = any(row.text is not None for row in rows)
    about = [*ABOUT, *history]
    header = (
        *(PREFIX + name for name in about),
        *names,
        *((f"{PREFIX}text",) if has_text else ()),
    )
    return header, [
        (
            *(row.about[name] for name in about),
            *(row.values.get(name) for name in names),
            *((row.text,) if has_text else ()),
        )
        for row in rows
    ]
