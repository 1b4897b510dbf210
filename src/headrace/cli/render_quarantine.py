"""``headrace quarantine`` on a terminal."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from headrace.cli.terminal import MARKS, new_console
from headrace.formatting import count
from headrace.pipeline.quarantine import PREFIX, STATUSES, QuarantineReport
from headrace.pipeline.quarantine_replay import DiscardReport, ReplayReport
from headrace.pipeline.query import QueryColumn, QueryReport

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
