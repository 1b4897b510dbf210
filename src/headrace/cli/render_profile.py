"""``headrace profile`` on a terminal."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from headrace.cli.terminal import from_here, print_parts
from headrace.formatting import count, first_few, printable, shortened
from headrace.pipeline.quality.profile import CompareReport, ProfileReport
from headrace.quality.profile.model import ColumnProfile, Finding, TableProfile
from headrace.scaffold.add_tests import TestsReport

_BARS = " ▁▂▃▄▅▆▇█"
_UNITS = ("bytes", "KB", "MB", "GB", "TB")
_SHOWN_COLUMNS = 60


def show_profile(report: ProfileReport, *, is_summary: bool) -> None:
    """Print the profile of one table, or a line for each; and which tests were added."""
    if is_summary:
        _show_all(report)
    else:
        print_parts(_parts(report.tables[0], report.on))
    if report.tests is not None:
        _show_tests(report.tests)


def _show_all(report: ProfileReport) -> None:
    """Print one line for each table, and what to look into."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("table")
    for name in ("rows", "columns", "size"):
        table.add_column(name, justify="right")
    table.add_column("key")
    table.add_column("look into", justify="right")
    for one in report.tables:
        warnings = sum(finding.level == "warn" for finding in one.findings)
        table.add_row(
            Text(one.name),
            f"{one.rows:,}",
            f"{len(one.columns):,}",
            _size(one.bytes),
            Text(", ".join(one.keys[0]) if one.keys else "-"),
            Text(str(warnings) if warnings else "-", style="yellow" if warnings else "dim"),
        )
    parts: list[Text | Table] = [table, Text()]
    parts += [
        Text.assemble(("! ", "yellow"), (one.name, "bold"), f"  {_seen(finding)}")
        for one in report.tables
        for finding in one.findings
        if finding.level == "warn"
    ]
    parts += [Text(f"! not read: {line}", style="red") for line in report.unread]
    parts.append(Text(f"{count(len(report.tables), 'table')} of {report.on}", style="dim"))
    print_parts(parts)


def _show_tests(report: TestsReport) -> None:
    """Print which tests were added to which files, or would be."""
    parts: list[Text | Table] = [Text()]
    for file in report.files:
        if report.dry_run and file.diff:
            parts.append(Text(file.diff))
        elif file.additions:
            parts.append(
                Text.assemble(("~ ", "green"), f"{file.path}: {first_few(file.additions)}")
            )
    for one in report.by_hand:
        parts.append(Text.assemble(("! ", "yellow"), f"{one.path or 'by hand'}: {one.what}"))
        parts += [Text(f"    {line}", style="dim") for line in (one.line or "").splitlines()]
    if not any(file.additions for file in report.files):
        parts.append(Text("no test to add: the yml has them all"))
    elif report.dry_run:
        parts.append(Text("nothing was written (--dry-run)"))
    else:
        parts.append(Text("next: read what was added, then `headrace build`"))
    print_parts(parts)


def show_changes(report: CompareReport) -> None:
    """Print what differs between two profiles, the large differences marked."""
    before, after = from_here(report.before_on), from_here(report.after_on)
    name = f"{report.after.name}  " if report.after.name != report.after_on else ""
    head = Text.assemble((name, "bold"), f"{before} against {after}")
    if not report.changes:
        print_parts([head, Text("the profiles are the same")])
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "column", "what", "before", "after"):
        table.add_column(name, overflow="fold")
    for change in report.changes:
        table.add_row(
            Text("!", style="yellow") if change.is_large else Text(" "),
            Text(change.column or ""),
            change.what,
            Text(shortened(printable(change.before), 60)),
            Text(shortened(printable(change.after), 60)),
        )
    print_parts([head, table])


def _parts(table: TableProfile, on: str) -> Iterator[Text | Table]:
    facts = [count(table.rows, "row"), count(len(table.columns), "column")]
    if table.bytes is not None:
        facts.append(_size(table.bytes))
    if table.newest is not None:
        facts.append(f"newest {table.newest_column} {table.newest}")
    place = from_here(on) if on != table.name else ""
    yield Text.assemble((table.name, "bold"), f"  {', '.join(facts)}  ", (place, "dim"))
    if table.rows_looked_at < table.rows:
        yield Text(
            f"of a sample of {count(table.rows_looked_at, 'row')}, drawn at random", style="yellow"
        )
    yield Text()
    columns = Table(box=None, pad_edge=False, header_style="bold")
    columns.add_column("column", overflow="fold")
    columns.add_column("type", overflow="fold", max_width=18)
    columns.add_column("nulls", justify="right")
    columns.add_column("distinct", justify="right")
    columns.add_column("values", overflow="fold")
    for column in table.columns[:_SHOWN_COLUMNS]:
        columns.add_row(
            Text(printable(column.name)),
            Text(shortened(column.data_type, 36)),
            _nulls(column),
            f"{column.distinct:,}" if column.kind != "binary" else "-",
            _values(column),
        )
    yield columns
    if len(table.columns) > _SHOWN_COLUMNS:
        yield Text(f"and {len(table.columns) - _SHOWN_COLUMNS:,} columns more (--json)", "dim")
    yield Text()
    for finding in table.findings:
        yield from _finding(finding)
    if not table.findings:
        yield Text("nothing stands out")
    for note in table.notes:
        yield Text(f"note: {note}", style="dim")


def _finding(finding: Finding) -> Iterator[Text]:
    is_warning = finding.level == "warn"
    yield Text.assemble(("! ", "yellow") if is_warning else ("- ", "dim"), _seen(finding))
    if is_warning:
        yield Text(f"  Why: {finding.why}", style="dim")
    tests = list(dict.fromkeys(test.name for test in finding.tests))
    test = f" ({', '.join(tests)})" if tests else ""
    yield Text(f"  Do:  {finding.advice}{test}", style="dim")


def _seen(finding: Finding) -> str:
    return printable(finding.seen)


def _nulls(column: ColumnProfile) -> str:
    if not column.nulls:
        return "0"
    return f"{column.null_share:.1%}" if column.null_share >= 0.001 else f"{column.nulls:,}"


def _values(column: ColumnProfile) -> Text:
    """What a column holds, in one line: bars and range, or its values, or its forms."""
    if column.personal is not None:
        forms = first_few([printable(one.value) for one in column.shapes], 2)
        return Text(f"personal ({column.personal.kind})" + (f": {forms}" if forms else ""), "dim")
    line = Text()
    frequent = [one for one in column.top if one.share >= 0.01]
    if column.histogram:
        line.append(_bars(column) + " ", style="cyan")
    if column.kind in {"number", "time"} and column.min is not None:
        line.append(f"{column.min} … {column.max}")
        if column.kind == "number" and column.mean is not None:
            line.append(f", mean {column.mean:g}")
        if column.order is not None:
            line.append(f", {column.order}", style="dim")
    elif frequent and column.distinct <= 50:
        named = [
            f"{shortened(printable(one.value), 24) or chr(39) * 2} {one.share:.0%}"
            for one in frequent
        ]
        line.append(first_few(named, 4))
    elif column.shapes:
        named = [f"{printable(one.value)} {one.share:.0%}" for one in column.shapes[:2]]
        line.append(", ".join(named))
    elif column.kind == "text" and column.max_length is not None:
        line.append(f"{column.min_length} to {column.max_length} letters")
    return line


def _bars(column: ColumnProfile, width: int = 10) -> str:
    rows = [bar.rows for bar in column.histogram]
    step = max(1, -(-len(rows) // width))
    heights = [sum(rows[start : start + step]) for start in range(0, len(rows), step)]
    most = max(heights) or 1
    return "".join(_BARS[-(-height * 8 // most)] for height in heights)


def _size(bytes_: int | None) -> str:
    if bytes_ is None:
        return "-"
    size, unit = float(bytes_), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if size >= 10 or not unit else f"{size:.1f} {_UNITS[unit]}"
