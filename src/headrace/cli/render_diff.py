"""``headrace diff`` on a terminal, and as Markdown for a comment on a pull request.

Names and values are the data's: whatever they hold, they must not become markup, a link or a
mention of somebody. So in Markdown they stand in code elements, and every sign that could mean
something is an entity.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headrace.cli.terminal import MARKS, new_console
from headrace.formatting import count, printable
from headrace.quality.diff.report import DIFFERENT, ColumnChange, DiffReport, SampleRow, TableDiff

if TYPE_CHECKING:
    from headrace.pipeline.parity import ParityReport

_MARKS = {
    **MARKS,
    "changed": "[yellow]~[/]",
    "same": "[dim]=[/]",
    "not built": "[dim]·[/]",
    "not compared": "[yellow]![/]",
}
_MOST_READERS = 8
_PARITY = {
    "identical": "[green]=[/]",
    "equal": "[green]≈[/]",
    "different": "[red]≠[/]",
    "missing": "[red]missing[/]",
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


MARK = "<!-- headrace diff -->"
_MOST = 60_000  # GitHub refuses comments of more than 65,536 characters
_MOST_CHANGES = 100  # rows of the table of changed samples
_MOST_NAMES = 50  # of tables or columns in one list
_PLAIN = str.maketrans({sign: f"&#{ord(sign)};" for sign in "\\`*_[]|<>&~$@#"})  # of our own notes
_WORDS = {"changed": "changed", "added": "**added**", "removed": "**removed**"}
_MARKUP = re.compile(r"[\\`*\[\]|<>&~$]|(?<!\w)_|_(?!\w)")


def markdown(report: DiffReport) -> str:
    """The comment: a table of what differs, then the details of each table, folded."""
    different = [table for table in report.tables if table.status in DIFFERENT]
    title = (
        f"{len(different)} of {len(report.tables)} tables differ"
        if different
        else "no table differs"
    )
    head = [MARK, f"### Data diff: {title}", ""]
    head.append(f"{code(report.before)} → {code(report.after)}")
    if different:
        listed = list(_fitting(map(_row, different), _MOST // 2))
        head += ["", *_table(_HEAD, listed)]
        if len(listed) < len(different):
            more = len(different) - len(listed)
            head += ["", f"*And {more} more tables: run `headrace diff`.*"]
    for status, words in (
        ("same", "The same"), ("not built", "Not built here"), ("not compared", "Not compared"),
    ):  # fmt: skip
        names = [code(table.name) for table in report.tables if table.status == status]
        if names:
            head += ["", f"{words}: {', '.join(_first(names, 'tables'))}."]
    parts = ["\n".join(head)]
    left = _MOST - len(parts[0])
    for table in different:
        whole, short = ("\n".join(_details(one)) for one in (table, _without_samples(table)))
        part = whole if len(whole) <= left else short
        if part and len(part) > left:
            parts.append("*The rest is too long for a comment: run `headrace diff`.*")
            break
        left -= len(part) + 2
        parts += [part] if part else []
    return "\n\n".join(parts) + "\n"


def _fitting(rows: Iterable[Sequence[str]], most: int) -> Iterator[Sequence[str]]:
    """The first rows whose text has at most so many characters."""
    for row in rows:
        most -= sum(len(cell) + 3 for cell in row) + 2
        if most < 0:
            return
        yield row


def _first(names: Sequence[str], of: str) -> Sequence[str]:
    if len(names) <= _MOST_NAMES:
        return names
    return (*names[:_MOST_NAMES], f"and {len(names) - _MOST_NAMES} more {of}")


def _without_samples(table: TableDiff) -> TableDiff:
    note = "sample rows are left out, they are too long for a comment"
    return table.model_copy(update={"samples": (), "notes": (*table.notes, note)})


def code(value: str) -> str:
    """Text of the data as a code element that reads the same, whatever it holds."""
    plain = " ".join(value.split())
    return f"<code>{_MARKUP.sub(lambda found: f'&#{ord(found[0])};', plain)}</code>"


_HEAD = ("table", "rows before", "rows after", "added", "removed", "changed", "columns")


def _row(table: TableDiff) -> Sequence[str]:
    columns = [f"{code(column.name)} is new" for column in table.columns_added]
    columns += [f"{code(column.name)} is gone" for column in table.columns_removed]
    changed = {change.name for change in table.columns_changed}
    columns += [code(each.name) for each in table.columns_retyped if each.name not in changed]
    columns += [
        code(change.name) + ("" if change.rows is None else f" ({change.rows:,})")
        for change in table.columns_changed
    ]
    shown = columns if len(columns) <= 8 else [*columns[:8], f"and {len(columns) - 8} more"]
    name = code(table.name)
    name = name if table.status == "changed" else f"{name} {_WORDS[table.status]}"
    return name, *numbers(table), ", ".join(shown)


def _details(table: TableDiff) -> Iterator[str]:
    lines = [
        f"- column {code(one.name)}: {code(one.before)} → {code(one.after)}"
        for one in table.columns_retyped
    ]
    lines += [
        f"- column {code(one.name)} ({code(one.data_type)}) is {word}"
        for word, columns in (("new", table.columns_added), ("gone", table.columns_removed))
        for one in columns
    ]
    lines += [
        f"- column {code(one.before)} was renamed to {code(one.after)}? "
        f"{share(round(one.share * 1_000_000), 1_000_000)} of the values are the same"
        for one in table.columns_renamed
    ]
    lines += [f"- {note.translate(_PLAIN)}" for note in table.notes]
    if table.readers:
        lines.append(f"- read by {', '.join(code(name) for name in readers(table))}")
    if table.key and table.method != "rows":
        lines.append(f"- rows are matched by {', '.join(code(name) for name in table.key)}")
    if table.hidden:
        hidden = ", ".join(code(name) for name in table.hidden)
        lines.append(f"- values are not shown of {hidden}: personal data, or not known")
    if not lines and not table.samples:
        return
    yield f"<details><summary>{code(table.name)}</summary>"
    yield ""
    yield from lines
    if table.columns_changed:
        yield ""
        columns = list(_columns(table))
        yield from _table(("column", "values changed", "", "moved"), columns[:_MOST_NAMES])
        if len(columns) > _MOST_NAMES:
            yield ""
            yield f"and {len(columns) - _MOST_NAMES} more columns"
    changed = [sample for sample in table.samples if sample.kind == "changed"]
    if changed:
        yield ""
        changes = list(_changes(changed))[:_MOST_CHANGES]
        yield from _table((*map(code, table.key), "column", "before", "after"), changes)
    for kind in ("added", "removed"):
        rows = [sample for sample in table.samples if sample.kind == kind]
        if rows:
            names = list(rows[0].key or rows[0].after or rows[0].before)
            yield ""
            yield f"Rows {kind}:"
            yield ""
            yield from _table(
                [code(name) for name in names],
                ([_cell((one.key or one.after or one.before)[name]) for name in names]
                 for one in rows),
            )  # fmt: skip
    yield ""
    yield "</details>"


def _columns(table: TableDiff) -> Iterator[Sequence[str]]:
    for change in table.columns_changed:
        moved = (f"{what} {code(old)} → {code(new)}" for what, old, new in profile_changes(change))
        counted = ("some", "") if change.rows is None else (
            f"{change.rows:,}", share(change.rows, table.rows_matched)
        )  # fmt: skip
        yield code(change.name), *counted, ", ".join(moved)


def _changes(samples: Iterable[SampleRow]) -> Iterator[Sequence[str]]:
    for sample in samples:
        for name, old in sample.before.items():
            yield (
                *(_cell(value) for value in sample.key.values()),
                code(name),
                _cell(old),
                _cell(sample.after[name]),
            )


def _cell(value: str | None) -> str:
    return "*null*" if value is None else code(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table of Markdown; its heads and cells are Markdown already."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def show_parity(report: "ParityReport") -> None:
    """Print it: a line for each mart and target, then what differs."""
    console = new_console()
    dates = " and ".join(f"{at:%Y-%m-%d}" for at in report.as_of)
    console.print(f"{', '.join(report.sources)} as of {dates}, one run each")
    table = Table(box=None, pad_edge=False)
    table.add_column("mart", overflow="fold")
    table.add_column("rows", justify="right")
    for target in report.targets:
        table.add_column(escape(target.target))
    names = sorted({one.name for target in report.targets for one in target.tables})
    found = [{one.name: one for one in target.tables} for target in report.targets]
    for name in names:
        rows = next((one[name].rows for one in found if name in one), None)
        cells = [_PARITY[one[name].outcome] if name in one else "[dim]-[/]" for one in found]
        table.add_row(escape(name), f"{rows:,}" if rows is not None else "-", *cells)
    table.add_section()
    taken = [f"{sum(target.seconds):.1f} s" if target.seconds else "-" for target in report.targets]
    table.add_row("[dim]both runs[/]", "", *(f"[dim]{text}[/]" for text in taken))
    console.print(table)
    for target in report.targets:
        if target.error is not None:
            console.print(f"\n[red]✗[/] {escape(target.target)}: {escape(printable(target.error))}")
        for one in target.tables:
            if one.difference is not None:
                _show_differences(console, target.target, one.difference)
    for note in report.notes:
        console.print(f"[dim]note: {escape(note)}[/]")
    if report.is_good:
        told = f"all {count(len(names), 'mart')} are equal on {count(len(found), 'target')}"
        console.print(f"\n{told}")
    elif not names:
        console.print("\n[red]no mart was published[/]")
    else:
        bad = [one.target for one in report.targets if not (one.is_good and one.tables)]
        console.print(f"\n[red]not equal:[/] {escape(', '.join(bad))}")


def _show_differences(console: Console, target: str, table: TableDiff) -> None:
    added, removed, changed = table.rows_added, table.rows_removed, table.rows_changed
    told = [f"{added:,} rows more", f"{removed:,} rows fewer", f"{changed or 0:,} rows changed"]
    console.print(f"\n[bold]{escape(table.name)}[/] on {escape(target)}: {', '.join(told)}")
    for line in (*what_changed(table), *_sample_lines(table), *table.notes):
        console.print(f"  {escape(printable(line))}")
