"""``headrace run`` and ``watch`` on a terminal: progress, tables at the end, results of a save."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from rich.console import RenderableType
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from headrace.cli.render_diff import what_changed
from headrace.cli.terminal import MARKS, STATUS_COLORS, LiveScreen, from_here, show_detail
from headrace.error_detail import ErrorDetail
from headrace.formatting import count, first_few
from headrace.pipeline.reports import (
    CHECKS,
    AlarmReport,
    BuildReport,
    Event,
    LoadReport,
    NodeReport,
    PublishReport,
    QualityReport,
    RunReport,
    told_together,
)
from headrace.pipeline.watch import WatchReport
from headrace.quality.diff import TableDiff

_BAR_AFTER_S = 2.0
_BAR_WIDTH = 24


def log_notes(report: RunReport) -> None:
    """Log what a run has to say at its end besides what it did, and why it was not published."""
    from headrace.telemetry.json_log import log_event

    for note in report.notes:
        log_event(note, level=logging.WARNING, run_id=report.run_id)
    if report.audit is not None:
        for problem in report.audit.problems:
            log_event(problem, level=logging.ERROR, run_id=report.run_id, stage="audit")


class RunScreen(LiveScreen):
    """Shows a run: a live line on a terminal, a line per step elsewhere, nothing when quiet."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("starting", quiet=quiet)
        self._quiet = quiet
        self._is_live = False
        self._running: dict[str, None] = {}
        self._phase = ""
        self._tests = 0
        self._share: float | None = None
        self._how_far = ""
        self._since = time.monotonic()

    def __enter__(self) -> Self:
        """Show nothing yet: what is live is a thread, and a run may copy this process first."""
        return self

    def listen(self, event: Event) -> None:
        """Show an event."""
        if self._quiet:
            return
        if self.live is not None and not self._is_live:
            self._is_live = True
            self.live.start()
        is_step = event.name == event.step
        if event.state == "progress":
            self._share = event.share
            self._how_far = event.detail or event.name
        elif event.state == "phase":
            self._phase = event.name
            self._share = None
        elif event.state == "started":
            if is_step:
                self._running.clear()
                self._phase, self._share = "", None
                self._since = time.monotonic()
            else:
                self._running[event.name] = None
        else:
            self._running.pop(event.name, None)
            self._finished(event, is_step=is_step)
        if self.live is not None:
            self.live.update(self._line(event.step))

    def _line(self, step: str) -> RenderableType:
        """What is in progress; of what takes longer than two seconds, how far it is."""
        words = ", ".join(self._running) or self._phase
        if self._share is None or time.monotonic() - self._since < _BAR_AFTER_S:
            tests = f"{self._tests} tests done · " if step == "build" and self._tests else ""
            line = Text.from_markup(f"[cyan]{step}[/] {tests}{escape(words)}")
            line.truncate(self.console.width - 4, overflow="ellipsis")
            return line
        done = Text(f"{self._how_far} {words if step == 'build' else ''}".rstrip())
        done.truncate(self.console.width - len(step) - _BAR_WIDTH - 6, overflow="ellipsis")
        bar = ProgressBar(total=1, completed=self._share, width=_BAR_WIDTH)
        grid = Table.grid(padding=(0, 1))
        grid.add_row(Text(step, style="cyan"), bar, done)
        return grid

    def _finished(self, event: Event, *, is_step: bool) -> None:
        is_test = event.name.startswith(("test ", "unit test "))
        self._tests += is_test
        is_good = event.state in {"done", "skipped"}
        # the summary tells of steps, and counts what was skipped
        if (is_step and (is_good or event.step == "audit")) or (is_good and is_test):
            return
        if is_good and not self.console.is_terminal:
            return
        seconds = "" if event.seconds is None else f"{event.seconds:.2f} s"
        detail = " · ".join(part for part in (event.detail, seconds) if part)
        name = f"{event.name}  [dim]{escape(detail)}[/]" if detail else event.name
        self.console.print(f"{MARKS[event.state]} [dim]{event.step:<8}[/]{name}")

    def summary(self, report: RunReport) -> None:
        """Print what a run did."""
        console = self.console
        if report.load is not None:
            console.print(_loaded(report.load))
            for line in _load_notes(report.load):
                console.print(f"  [dim]·[/] {escape(line)}")
            self._warn_of_load(report.load)
            self._not_loaded(report)
        if report.build is not None:
            console.print(_built(report))
            for node in (*report.build.nodes, *report.build.freshness):
                if node.status == "warn":
                    console.print(_node_line(node))
        for line in _selection_lines(report):
            console.print(line)
        for note in report.notes:
            console.print(f"[yellow]![/] {escape(note)}")
        if report.audit is not None and not report.audit.passed:
            self._not_published(report)
        elif report.publish is not None:
            self._published(report.publish)
        catalog = report.catalog
        if catalog is not None and catalog.changes:
            console.print(
                f"[green]✓[/] catalog version {catalog.version}: "
                f"{count(catalog.changes, 'change')} since the last one (headrace serve shows them)"
            )
        for line in _quality_lines(report.quality):
            console.print(line)
        console.print(_took(report), soft_wrap=True)

    def _published(self, publish: PublishReport) -> None:
        if publish.tables:
            word = "published" if publish.written else "what is published is current:"
            rows = ", ".join(f"{table.name} {table.rows:,}" for table in publish.tables)
            path = escape(from_here(publish.path))
            self.console.print(f"[green]✓[/] {word} [bold]{path}[/] ({escape(rows)} rows)")
        elif not publish.left:
            left = "; the published file is what it was" if publish.bytes else ""
            self.console.print(
                f"[yellow]![/] nothing to publish: no mart is built (publish.schemas){left}"
            )
        if publish.left:
            self.console.print(
                "[yellow]![/] not published, as it depends on what could not be loaded: "
                f"{escape(first_few(publish.left, 10))}"
            )

    def _not_loaded(self, report: RunReport) -> None:
        if report.load is None or not report.load.failures:
            return
        self.console.print("[red]✗ not loaded[/]; all other sources, tables and files were:")
        for failure in report.load.failures:
            self.console.print(f"  [red]·[/] {escape(failure.sentence)}")
            show_detail(self.console, failure.detail)
        if report.command != "headrace load" and report.build is None:
            self.console.print("[red]✗ not built[/], the published file is what it was")

    def _warn_of_load(self, load: LoadReport) -> None:
        """What was read in another way than before, and how many rows are in quarantine."""
        for row in load.tables:
            for change in row.changes:
                self.console.print(f"[yellow]![/] {escape(f'{row.source}.{row.table}: {change}')}")
        if load.rows_in_quarantine:
            rows = count(load.rows_in_quarantine, "row")
            self.console.print(f"[yellow]![/] {rows} in quarantine (headrace quarantine)")

    def _not_published(self, report: RunReport) -> None:
        problems = report.audit.problems if report.audit else ()
        is_part = report.build is not None and report.build.selection is not None
        if is_part:
            self.console.print("[red]✗ checks failed[/]:")
        else:
            self.console.print("[red]✗ not published[/], the published file is what it was:")
        nodes = (*report.build.nodes, *report.build.freshness) if report.build else ()
        details = {node.problem: node.detail for node in nodes}
        for problem in problems[:20]:
            self.console.print(f"  [red]·[/] {escape(problem)}")
            show_detail(self.console, details.get(problem))
        if len(problems) > 20:
            self.console.print(f"  and {len(problems) - 20} more (headrace status --json)")


def _loaded(load: LoadReport) -> Table:
    table = Table(title="Loaded", title_justify="left", box=None, pad_edge=False)
    table.add_column("table", overflow="fold")
    deletes = any(row.rows_deleted for row in load.tables)
    deleted = ("deleted",) if deletes else ()
    for column in ("given", "new", "changed", "unchanged", "quarantined", *deleted, "total"):
        table.add_column(column, justify="right")
    for row in load.tables:
        table.add_row(
            escape(f"{row.source}.{row.table}"),
            f"{row.rows_given:,}",
            f"{row.rows_new:,}",
            f"{row.rows_changed:,}",
            f"{row.rows_unchanged:,}",
            f"[yellow]{row.rows_quarantined:,}[/]" if row.rows_quarantined else "0",
            *([f"{row.rows_deleted:,}"] if deletes else []),
            f"{row.rows_total:,}",
        )
    return table


def _load_notes(load: LoadReport) -> Iterator[str]:
    """Notes of a load: a line for each table that has new columns or notes."""
    for row in load.tables:
        words = [f"new column: {name}" for name in row.new_columns]
        if words := [*words, *row.notes]:
            yield f"{row.source}.{row.table}: {'; '.join(words)}"
    unread = [
        f"{row.source}.{row.table}"
        for row in load.tables
        if row.files_unchanged and not row.files_read
    ]
    if unread:
        yield f"unchanged, not read: {', '.join(unread)}"


def _built(report: RunReport) -> Table:
    build = report.build
    assert build is not None  # the caller asked
    table = Table(title="\nBuilt and tested", title_justify="left", box=None, pad_edge=False)
    for column in ("", "good", "warned", "failed", "skipped"):
        table.add_column(column, justify="left" if not column else "right")
    for name, tests in (("models", False), ("tests", True)):
        table.add_row(
            name,
            str(build.count("success", "pass", tests=tests)),
            _number(build.count("warn", tests=tests), "yellow"),
            _number(build.count("fail", "error", tests=tests), "red"),
            _number(build.count("skipped", tests=tests), "yellow"),
        )
    stale = [node for node in build.freshness if node.status != "pass"]
    table.add_row(
        "sources fresh",
        str(len(build.freshness) - len(stale)),
        _number(sum(node.status == "warn" for node in stale), "yellow"),
        _number(sum(node.status == "error" for node in stale), "red"),
        "0",
    )
    if build.reused:
        table.caption = "nothing changed: the last results stand"
    elif reused := sum(node.reused for node in build.nodes):
        table.caption = f"{reused} of {len(build.nodes)} reused, not run again"
    table.caption_justify = "left"
    return table


def _number(count: int, color: str) -> str:
    return f"[{color}]{count}[/]" if count else "0"


def _node_line(node: NodeReport) -> str:
    color = "yellow" if node.status == "warn" else "red"
    mark = "!" if node.status == "warn" else "✗"
    message = escape(node.message or node.status)
    return f"[{color}]{mark}[/] {node.kind} {escape(node.label)}: {message}"


_SHOWN_S = 0.05
_LONG_S = 1.0
_MOST_ALARMS = 5


def also_outside(others: Sequence[AlarmReport]) -> str:
    """The other alarms of a group: ``3 amount.mean, 5 amount.q50``."""
    return ", ".join(f"{one.number} {one.metric}" for one in others)


def _quality_lines(quality: QualityReport | None) -> Iterator[str]:
    """What monitors found: each new alarm with the rows that carry it, and how many are open."""
    if quality is None:
        return
    new = [one for one in quality.alarms if one.is_new]
    groups = told_together(new)
    for one, *others in groups[:_MOST_ALARMS]:
        yield f"[yellow]![/] {escape(f'alarm {one.number}, {one.table}: {one.text}')}"
        also = f"also {also_outside(others)}" if others else None
        for line in (also, one.segment, *one.causes[:1]):
            if line:
                yield f"  [dim]·[/] {escape(line)}"
    more = sum(map(len, groups[_MOST_ALARMS:]))
    old = len(quality.alarms) - len(new)
    words = [f"{count(more, 'more new alarm')}"] if more > 0 else []
    words += [f"{count(old, 'alarm')} open from earlier runs"] if old else []
    if words:
        yield f"[yellow]![/] {' and '.join(words)} (headrace quality status)"
    if quality.ended:
        names = first_few([f"{one.table} {one.metric}" for one in quality.ended], 3)
        yield f"[green]✓[/] {count(len(quality.ended), 'alarm')} over: {escape(names)}"


def _took(report: RunReport) -> str:
    profiled = report.profiles_seconds or 0
    steps: Iterable[tuple[str, float | None]] = (
        ("start-up", report.startup_seconds if report.startup_seconds >= _SHOWN_S else None),
        ("load", report.load.seconds if report.load else None),
        ("build", report.build.seconds if report.build else None),
        ("audit", report.audit.seconds if report.audit else None),
        ("publish", report.publish.seconds if report.publish else None),
        ("catalog", report.catalog.seconds if report.catalog else None),
        ("monitors", report.quality.seconds if report.quality else None),
        ("profiles", profiled if profiled >= _LONG_S else None),
    )
    parts = " · ".join(f"{name} {took:.1f} s" for name, took in steps if took is not None)
    color = STATUS_COLORS[report.status]
    env = escape(report.environment)
    return f"{env}: [{color}]{report.status}[/] in {report.seconds:.1f} s [dim]({parts})[/]"


def _selection_lines(report: RunReport) -> Iterator[str]:
    """Lines about the selection of a slim build."""
    selection = report.build.selection if report.build else None
    if report.build is None or selection is None:
        return
    if not report.build.nodes:
        asked = escape(" ".join((*selection.select, *(f"(not {x})" for x in selection.exclude))))
        if selection.state and not selection.unmatched:
            yield f"[green]✓[/] nothing to build: nothing changed since the state ({asked})"
        else:
            yield (
                f"[yellow]![/] nothing to build: {asked} selects nothing that can be built here "
                "(models of sources that are not loaded are left out)"
            )
    for selector in selection.unmatched:
        yield (
            f"[yellow]![/] {escape(selector)} matches no model, test or source of the dbt project"
        )
    if selection.deferred and report.build.nodes:
        sources = ", ".join(selection.sources_of_state)
        more = f", sources too: {escape(sources)}" if sources else ""
        yield f"[green]✓[/] what is not built is read from {escape(selection.state or '')}{more}"
    elif selection.not_deferred and report.build.nodes:
        yield f"[yellow]![/] {escape(selection.not_deferred)}"


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
        made = [node.name for node in nodes if node.resource_type not in CHECKS]
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
