"""``headrace diff`` on a terminal, and the text that it shares with Markdown."""

from collections.abc import Iterable, Iterator, Sequence

from rich.markup import escape
from rich.table import Table

from headrace.cli.terminal import MARKS, new_console
from headrace.formatting import count, printable
from headrace.quality.diff.report import ColumnChange, DiffReport, SampleRow, TableDiff

_MARKS = {
    **MARKS,
    "changed": "[yellow]~[/]",
    "same": "[dim]=[/]",
    "not built": "[dim]·[/]",
    "not compared": "[yellow]![/]",
}
_MOST_READERS = 8


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
        moved = [f"{what} {old} → {new}" for what, old, new in profile_changes(change)]
        yield f"{change.name}: {'; '.join([_counted(change, table), *moved])}"
    if table.hidden:
        yield (
            f"••• hides values of {', '.join(table.hidden)}: personal data, or not known "
            "(--personal shows them)"
        )
    if table.readers:
        yield f"read by: {', '.join(readers(table))}"


def _counted(change: ColumnChange, table: TableDiff) -> str:
    if change.rows is None:
        return "values differ"
    percent = share(change.rows, table.rows_matched)
    return f"{count(change.rows, 'value')} changed" + (f" ({percent})" if percent else "")


def _sample_lines(table: TableDiff) -> Iterable[str]:
    """The sample rows, without repeats: rows whose values are all masked look the same."""
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


def numbers(table: TableDiff) -> tuple[str, str, str, str, str]:
    """Rows before and after, added, removed and changed, as text."""

    def text(value: int | None) -> str:
        return "-" if value is None else f"{value:,}"

    if table.status in {"added", "removed", "not built", "not compared"}:
        return text(table.rows_before), text(table.rows_after), "-", "-", "-"
    return (
        text(table.rows_before),
        text(table.rows_after),
        text(table.rows_added),
        text(table.rows_removed),
        text(table.rows_changed),
    )


def share(rows: int, of: int | None) -> str:
    """``1.0%``; empty if the total is not known."""
    if not of:
        return ""
    percent = 100 * rows / of
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.1f}%"


def profile_changes(change: ColumnChange) -> Iterator[tuple[str, str, str]]:
    """How a column's statistics changed: ``("mean", "4.5", "4.7")``; nulls first."""
    one, other = change.before, change.after
    if one is None or other is None:
        return
    if one.nulls != other.nulls:
        yield "nulls", f"{one.nulls:,}", f"{other.nulls:,}"
    for what, old, new in (
        ("min", one.minimum, other.minimum),
        ("mean", _number(one.mean), _number(other.mean)),
        ("max", one.maximum, other.maximum),
    ):
        if old != new:
            yield what, _shown(old), _shown(new)


def readers(table: TableDiff) -> Sequence[str]:
    """Who reads a table, the first few by name."""
    names = table.readers
    if len(names) <= _MOST_READERS:
        return names
    return (*names[:_MOST_READERS], f"{len(names) - _MOST_READERS} more")


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:,.6g}"
