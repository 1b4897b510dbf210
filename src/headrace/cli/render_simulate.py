"""``headrace simulate`` on a terminal: a line for each stage, its tables, and its explanation."""

import json
import textwrap
from collections.abc import Callable

import typer
from rich.table import Table
from rich.text import Text

from headrace.cli.terminal import MARKS, LiveScreen, print_parts
from headrace.formatting import count, in_bytes
from headrace.pipeline.reports import Event
from headrace.simulate.reports import SimulationReport, StageReport
from headrace.simulate.watch import FailedLoad, LoadedFiles

_WIDTH = 96


class SimulateScreen(LiveScreen):
    """Shows the stages as they are run; nothing when quiet."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("starting", quiet=quiet)
        self._quiet = quiet
        self._stage = ""

    def begun(self, stage: str) -> None:
        """Say which stage has begun."""
        self._stage = stage
        self.say(stage)

    def listen(self, event: Event) -> None:
        """Say what dlt or dbt does."""
        if event.state in {"started", "phase"}:
            self.say(f"{self._stage}: {event.name}")

    def ended(self, report: StageReport) -> None:
        """Show what a stage did."""
        if not self._quiet:
            print_parts(_stage_lines(report))


def tell_loaded(*, is_json: bool) -> Callable[[LoadedFiles], None]:
    """Print each table that got files, as a line or as a document of JSON."""

    def tell(loaded: LoadedFiles) -> None:
        if is_json:
            typer.echo(json.dumps(loaded.model_dump(mode="json")))
            return
        files = count(len(loaded.files), "file")
        note = f"; {loaded.note}" if loaded.note else ""
        typer.echo(
            f"{loaded.at:%H:%M:%S} {loaded.warehouse} {loaded.table}: {files}, "
            f"{count(loaded.rows, 'row')}{note}"
        )

    return tell


def tell_failed(*, is_json: bool) -> Callable[[FailedLoad], None]:
    """Print each table that could not be loaded: on stderr, or as a document of JSON."""

    def tell(failed: FailedLoad) -> None:
        if is_json:
            typer.echo(json.dumps(failed.model_dump(mode="json")))
            return
        place = " ".join(filter(None, (failed.warehouse or "bronze", failed.table)))
        typer.echo(f"{failed.at:%H:%M:%S} {place}: {failed.error}", err=True)

    return tell


def show_stages(report: SimulationReport, *, explain: bool, lists_tables: bool) -> None:
    """Print the stages that have run, with their tables or an explanation of each."""
    parts: list[Text | Table] = []
    if not report.stages:
        parts.append(Text("no stage has run yet: run `headrace simulate`"))
    for stage in report.stages:
        if lists_tables:
            parts += [*_stage_lines(stage), _tables(stage), Text()]
        if explain:
            parts += _explanation(stage)
    if explain:
        total = sum(
            line.dollars or 0
            for stage in report.stages
            for line in (stage.explanation.cost if stage.explanation else ())
            if not line.what.startswith("or ")
        )
        parts.append(
            Text(f"All of it: ${total:.6f} by these formulas; `simulate.prices` has the prices.")
        )
    print_parts(parts)


def _stage_lines(stage: StageReport) -> list[Text | Table]:
    files = sum(table.new_files for table in stage.tables)
    rows = sum(table.new_rows for table in stage.tables)
    did = "nothing to do"
    if stage.changed:
        did = f"{count(files, 'new file')}, " if files else ""
        did += count(rows, "row")
    mark = "failed" if stage.problems else "done"
    size = sum(table.bytes for table in stage.tables)
    what = f"{count(len(stage.tables), 'table')}, {did}"
    what += f", {in_bytes(size)}" if size else ""
    lines: list[Text | Table] = [
        Text.from_markup(f"{MARKS[mark]} {stage.stage:<15} {what} ({stage.seconds:.1f} s)")
    ]
    lines += [Text(f"    {problem}") for problem in stage.problems]
    lines += [Text(f"    note: {note}", style="dim") for note in stage.notes]
    return lines


def _tables(stage: StageReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("  place", overflow="fold")
    for name in ("files", "bytes", "rows"):
        table.add_column(name, justify="right")
    for one in stage.tables:
        table.add_row(
            f"  {one.place}",
            f"{one.files:,}" if one.files else "",
            in_bytes(one.bytes) if one.bytes else "",
            "" if one.rows is None else f"{one.rows:,}",
        )
    return table


def _explanation(stage: StageReport) -> list[Text | Table]:
    found = stage.explanation
    if found is None:
        return []
    parts: list[Text | Table] = [Text(stage.stage, style="bold")]
    told = [("done", found.done), ("why", found.why), ("in the cloud", found.cloud)]
    for part in found.cost:
        dollars = "" if part.dollars is None else f" = ${part.dollars:.6f}"
        told.append(("cost", f"{part.what}: {part.formula}{dollars}"))
    told += [("goes wrong", text) for text in found.goes_wrong]
    before = ""
    for title, text in told:
        head = "" if title == before else title
        before = title
        lines = textwrap.wrap(text, _WIDTH - 16)
        for number, line in enumerate(lines):
            parts.append(Text(f"  {head if not number else '':<13} {line}"))
    return [*parts, Text()]
