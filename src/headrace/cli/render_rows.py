"""``headrace query`` and ``quarantine`` on a terminal: rows as a table, as CSV or as Markdown."""

import csv
import json
import sys
from typing import Any, Literal

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from headrace.cli.terminal import MARKS, new_console
from headrace.formatting import count, printable
from headrace.pipeline.quarantine.listing import QuarantineReport
from headrace.pipeline.quarantine.replay import DiscardReport, ReplayReport
from headrace.pipeline.quarantine.rows import PREFIX, STATUSES
from headrace.pipeline.query import QueryColumn, QueryReport

_NUMBERS = ("INT", "DOUBLE", "FLOAT", "DECIMAL")
_NARROWEST = 20  # of a column of text, which is folded


def show(report: QueryReport, form: Literal["table", "csv", "markdown"]) -> None:
    """Print the rows; standard error says if there are more."""
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([column.name for column in report.columns])
        writer.writerows(
            [["" if value is None else _text(value) for value in row] for row in report.rows]
        )
    elif form == "markdown":
        typer.echo(_markdown(report), nl=False)
    else:
        _table(report)
    if report.truncated:
        typer.echo(f"the first {len(report.rows):,} rows; --limit 0 shows all", err=True)


def _table(report: QueryReport) -> None:
    """A table; where its columns do not fit the screen, one line for each value."""
    console = new_console()
    cells = [
        ["null" if value is None else printable(_text(value)) for value in row]
        for row in report.rows
    ]
    table = Table(box=None, pad_edge=False, header_style="bold")
    narrowest = 0
    for number, column in enumerate(report.columns):
        is_number = _is_number(column.data_type)
        longest = max((len(row[number]) for row in cells), default=0)
        least = max(len(column.name), longest if is_number else min(longest, _NARROWEST))
        narrowest += least + 1
        table.add_column(
            Text(column.name),
            justify="right" if is_number else "left",
            overflow="fold",
            min_width=least,
        )
    if narrowest - 1 <= console.width or not cells:
        for row, shown in zip(report.rows, cells, strict=True):
            table.add_row(*(_cell(value, text) for value, text in zip(row, shown, strict=True)))
        console.print(table)
    else:
        _records(report, cells)
    if not report.truncated:
        console.print(f"[dim]{count(len(report.rows), 'row')}[/]")


def _records(report: QueryReport, cells: list[list[str]]) -> None:
    width = max(len(column.name) for column in report.columns)
    for number, row in enumerate(cells, start=1):
        typer.echo(f"-- row {number}")
        for column, text in zip(report.columns, row, strict=True):
            typer.echo(f"{column.name:<{width}}  {text}")


def _cell(value: Any, text: str) -> Text:
    return Text(text, style="dim" if value is None else "")


def _is_number(data_type: str) -> bool:
    return "[" not in data_type and any(word in data_type for word in _NUMBERS)


def _markdown(report: QueryReport) -> str:
    lines = [[column.name for column in report.columns], ["---"] * len(report.columns)]
    lines += [
        ["" if value is None else printable(_text(value)) for value in row] for row in report.rows
    ]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


_MOST_LEFT = 10


def show_counts(report: QuarantineReport) -> None:
    """Print one line for each table and reason, and what to do next."""
    console = new_console()
    if not report.counts:
        console.print("No row was ever quarantined.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("table", "reason", *STATUSES):
        table.add_column(name, justify="right" if name in STATUSES else "left", overflow="fold")
    table.add_column("example", overflow="fold")
    for one in report.counts:
        table.add_row(
            escape(f"{one.source}.{one.table}"),
            one.reason,
            f"[yellow]{one.open:,}[/]" if one.open else "0",
            *(f"{number:,}" for number in (one.replayed, one.discarded, one.superseded)),
            escape(one.example),
        )
    console.print(table)
    console.print(f"{count(report.rows_open, 'row')} in quarantine")
    if report.rows_open:
        first = next(one for one in report.counts if one.open)
        console.print(
            f"[dim]headrace quarantine show {escape(f'{first.source}.{first.table}')} shows rows; "
            "replay corrects and loads them, discard gives them up[/]"
        )


def narrowed(report: QueryReport) -> QueryReport:
    """Shown rows with fewer columns for a screen: a short id, file and line as one."""
    names = [column.name for column in report.columns]

    def cell(row: tuple[Any, ...], name: str) -> Any:
        return row[names.index(PREFIX + name)]

    kept = [
        number
        for number, name in enumerate(names)
        if name not in {PREFIX + each for each in ("id", "file", "line", "row")}
        and any(row[number] is not None for row in report.rows)
    ]
    first = ("id", "at")
    rows = tuple(
        (
            cell(row, "id")[:8],
            f"{cell(row, 'file')} "
            + (f"line {line}" if (line := cell(row, "line")) else f"row {cell(row, 'row')}"),
            *(row[number] for number in kept),
        )
        for row in report.rows
    )
    columns = [QueryColumn(name=name, data_type="VARCHAR") for name in first]
    columns += [
        QueryColumn(name=names[number].removeprefix(PREFIX), data_type="VARCHAR") for number in kept
    ]
    return QueryReport(
        path=report.path, columns=tuple(columns), rows=rows, truncated=report.truncated
    )


def show_replay(report: ReplayReport) -> None:
    """Print what was loaded, and what stays in quarantine and why."""
    console = new_console()
    loaded = report.rows_new + report.rows_changed
    words = f"{report.rows_new:,} new, {report.rows_changed:,} changed"
    words += f", {report.rows_unchanged:,} there already" if report.rows_unchanged else ""
    name = escape(f"{report.source}.{report.table}")
    verb = "would be replayed" if report.run_id is None else "replayed"
    done = count(loaded + report.rows_unchanged, "row")
    mark = MARKS["done"] if loaded + report.rows_unchanged else MARKS["warn"]
    console.print(f"{mark} {name}: {done} {verb} ({words})")
    for row in report.left[:_MOST_LEFT]:
        console.print(f"{MARKS['failed']} {escape(row.where)} [dim]{row.id[:8]}[/]: "
                      f"{escape(row.reason)}")  # fmt: skip
    more = len(report.left) - _MOST_LEFT
    if more > 0:
        console.print(f"  and {more:,} more (--json)")
    if report.left:
        console.print(f"{count(len(report.left), 'row')} left in quarantine")
    if loaded and report.run_id is not None:
        console.print("[dim]headrace run builds and publishes what depends on them[/]")


def show_discarded(report: DiscardReport, table: str) -> None:
    """Print how many rows were discarded."""
    console = new_console()
    console.print(f"{MARKS['done']} {escape(table)}: {count(report.rows, 'row')} discarded")
