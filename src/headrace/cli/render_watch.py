"""``headrace watch`` on a terminal: what came of a save, line by line."""

from collections.abc import Iterator

from rich.markup import escape

from headrace.cli.render_diff import what_changed
from headrace.error_detail import ErrorDetail
from headrace.formatting import count, first_few
from headrace.pipeline.reports import BuildReport, NodeReport, RunReport
from headrace.pipeline.watch import WatchReport
from headrace.quality.diff import TableDiff

_MOST_PATHS, _MOST_LINES = 5, 12


def lines(report: WatchReport) -> Iterator[str]:
    """What came of a save, as lines of rich's markup."""
    words = f"saved {first_few(report.saved, _MOST_PATHS)}" if report.saved else "started"
    words = "publish" if report.kind == "published" else words
    yield f"[bold]{report.at.astimezone():%H:%M:%S}[/] {escape(words)}"
    nodes: tuple[NodeReport, ...] = ()
    if report.error is not None:
        yield f"[red]✗[/] {escape(report.error)}"
        yield from _detail_lines(report.detail)
    elif report.run is not None:
        nodes = report.run.build.nodes if report.run.build else ()
        yield from _load_lines(report.run)
        if report.run.build is not None:
            yield from _build_lines(report.run.build, f"[dim]({report.seconds or 0:.1f} s)[/]")
        if report.kind == "published":
            yield from _publish_lines(report.run)
    if report.exposures:
        yield f"  read by {escape(', '.join(report.exposures))}"
    for table in report.changes:
        yield f"  {escape(_change(table))}"
    for name in report.not_compared:
        yield f"  {escape(name)}: not compared with the published file"
    known = {node.unique_id for node in nodes}
    for node in [one for one in report.failing if one.unique_id not in known][:_MOST_LINES]:
        yield f"[red]·[/] still failing: {_node(node)}"


def _load_lines(run: RunReport) -> Iterator[str]:
    for table in run.load.tables if run.load else ():
        if table.rows_new or table.rows_changed or table.rows_quarantined or table.notes:
            counts = f"{table.rows_new:,} new, {table.rows_changed:,} changed"
            counts += f", {table.rows_deleted:,} deleted" if table.rows_deleted else ""
            quarantined = f", {table.rows_quarantined:,} in quarantine"
            counts += quarantined if table.rows_quarantined else ""
            notes = "".join(f"; {note}" for note in table.notes)
            yield escape(f"  {table.source}.{table.table}: {counts}{notes}")
    for failure in run.load.failures if run.load else ():
        yield f"[red]✗[/] not loaded: {escape(failure.sentence)}"
        yield from _detail_lines(failure.detail)


def _detail_lines(detail: ErrorDetail | None) -> Iterator[str]:
    """The place of an error, indented."""
    for line in detail.text.splitlines() if detail else ():
        yield escape(f"    {line}")


def _build_lines(build: BuildReport, took: str) -> Iterator[str]:
    nodes = [node for node in build.nodes if node.resource_type != "exposure"]
    if not nodes:
        yield f"[green]✓[/] nothing to build {took}"
    elif build.reused:
        yield f"[green]✓[/] everything is current {took}"
    else:
        made = [node.name for node in nodes if node.resource_type not in {"test", "unit_test"}]
        good = sum(node.status in {"success", "pass"} for node in nodes)
        mark = "[green]✓[/]" if good == len(nodes) else "[yellow]![/]"
        what = ", ".join([first_few(made, _MOST_PATHS)] * bool(made))
        tests = count(len(nodes) - len(made), "test")
        what = f"{what}, {tests}" if what else tests
        yield f"{mark} {good} of {len(nodes)} good: {escape(what)} {took}"
    for node in nodes:
        if node.status in {"error", "fail", "warn"}:
            mark = "[yellow]![/]" if node.status == "warn" else "[red]✗[/]"
            yield f"{mark} {_node(node)}"
            yield from _detail_lines(node.detail)
    skipped = [node.label for node in nodes if node.status == "skipped"]
    if skipped:
        yield f"[dim]-[/] skipped: {escape(first_few(skipped, _MOST_PATHS))}"


def _publish_lines(run: RunReport) -> Iterator[str]:
    if run.publish is not None and run.publish.tables:
        yield f"[green]✓[/] published {escape(run.publish.path)}"
    for problem in run.audit.problems if run.audit else ():
        yield f"[red]✗[/] not published: {escape(problem)}"


def _node(node: NodeReport) -> str:
    return escape(f"{node.kind} {node.label}: {node.message or node.status}")


def _change(table: TableDiff) -> str:
    """``marts.orders: as published``, or what differs from the published file."""
    if table.status == "same":
        return f"{table.name}: as published ({table.rows_after:,} rows)"
    if table.rows_before is None or table.rows_after is None:
        return f"{table.name}: {table.status}"
    rows = f"{table.rows_before:,} rows published, {table.rows_after:,} now"
    changed = f", {table.rows_changed:,} changed" if table.rows_changed else ""
    words = [f"{rows}{changed}", *what_changed(table), *table.notes]
    return f"{table.name}: {'; '.join(words)}"
