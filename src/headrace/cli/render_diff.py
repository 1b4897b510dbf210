"""A comparison of two files as a person reads it on a terminal."""

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from headrace.cli.console import console as new_console
from headrace.cli.diff_words import moves, numbers, readers, share
from headrace.formatting import printable
from headrace.quality.diff.report import ColumnChange, DiffReport, SampleRow, TableDiff

_MARKS = {
    "changed": "[yellow]~[/]",
    "added": "[green]+[/]",
    "removed": "[red]-[/]",
    "same": "[dim]=[/]",
    "not built": "[dim]·[/]",
    "not compared": "[yellow]![/]",
}


def show_diff(report: DiffReport) -> None:
    """Print it: a line for each table, then what changed in each."""
    console = new_console()
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("table", overflow="fold")
    for column in ("rows before", "after", "added", "removed", "changed"):
        table.add_column(column, justify="right")
    for one in report.tables:
        table.add_row(_MARKS[one.status], escape(one.name), *numbers(one))
    console.print(f"{escape(report.before)} → {escape(report.after)}")
    console.print(table)
    for one in report.tables:
        lines = list(what_changed(one))
        lines += _sample_lines(one)
        if lines or one.notes:
            console.print(f"\n[bold]{escape(one.name)}[/] ({one.status})")
        for line in (*lines, *one.notes):
            console.print(f"  {escape(printable(line))}")
    different = len(report.with_status("changed", "added", "removed"))
    total = len(report.tables)
    verdict = f"{different} of {total} tables differ" if different else "no table differs"
    console.print(f"\n{verdict} [dim]({report.seconds:.1f} s)[/]")


def what_changed(table: TableDiff) -> Iterable[str]:
    """A sentence for each thing that changed in a table."""
    for column in table.columns_added:
        yield f"column added: {column.name} ({column.data_type})"
    for column in table.columns_removed:
        yield f"column removed: {column.name} ({column.data_type})"
    for retyped in table.columns_retyped:
        yield f"column retyped: {retyped.name} ({retyped.before} → {retyped.after})"
    for renamed in table.columns_renamed:
        same = share(round(renamed.share * 1_000_000), 1_000_000)
        yield f"{renamed.before} → {renamed.after}: renamed? {same} of the values are the same"
    for change in table.columns_changed:
        moved = [f"{what} {old} → {new}" for what, old, new in moves(change)]
        yield f"{change.name}: {'; '.join([_counted(change, table), *moved])}"
    if table.hidden:
        yield (
            f"••• hides values of {', '.join(table.hidden)}: personal data, or not known "
            "(--personal shows them)"
        )
    if table.readers:
        yield f"read by: {', '.join(readers(table))}"


def _counted(change: ColumnChange, table: TableDiff) -> str:
    plural = "value" if change.rows == 1 else "values"
    if change.rows is None:
        return f"{plural} differ"
    percent = share(change.rows, table.rows_matched)
    return f"{change.rows:,} {plural} changed" + (f" ({percent})" if percent else "")


def _sample_lines(table: TableDiff) -> Iterable[str]:
    """The sample rows; those that look alike, since nothing of them may be shown, once."""
    yield from dict.fromkeys(_sample_line(sample) for sample in table.samples)


def _sample_line(sample: SampleRow) -> str:
    key = ", ".join(f"{name}={_shown(value)}" for name, value in sample.key.items())
    if sample.kind == "changed":
        changes = ", ".join(
            f"{name}: {_shown(old)} → {_shown(sample.after[name])}"
            for name, old in sample.before.items()
        )
        return f"~ {key}  {changes}"
    mark = "+" if sample.kind == "added" else "-"
    values = sample.after or sample.before
    return f"{mark} {key or ', '.join(f'{name}={_shown(value)}' for name, value in values.items())}"


def _shown(value: str | None) -> str:
    return "null" if value is None else value
