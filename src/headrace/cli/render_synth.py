"""``headrace generate`` and ``learn`` on a terminal: progress, and what was written."""

import json
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from headrace.cli.terminal import new_console
from headrace.synth.generate import Generated

if TYPE_CHECKING:
    from headrace.synth.learn import Learned, LearnedSchema
    from headrace.synth.learn.resemblance import Resemblance


class GenerateScreen:
    """A bar for each table on a terminal, and a summary at the end."""

    def __init__(self, *, quiet: bool) -> None:
        self._errors = Console(stderr=True)
        self._quiet = quiet or not self._errors.is_terminal
        self._bars: Progress | None = None
        self._tasks: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def begin(self, expected: dict[str, int]) -> None:
        """Show a bar for each table."""
        if self._quiet:
            return
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("[dim]{task.completed:,.0f} rows"),
            TimeRemainingColumn(),
            console=self._errors,
            transient=True,
        )
        self._bars.start()
        for name, rows in expected.items():
            self._tasks[name] = self._bars.add_task(escape(name), total=max(1, rows))

    def advance(self, table: str, rows: int) -> None:
        """Advance a table's bar by some rows."""
        if self._bars is not None:
            with self._lock:
                self._bars.advance(self._tasks[table], rows)

    def summary(self, result: Generated, *, as_json: bool) -> None:
        """Print what was written."""
        if as_json:
            typer.echo(json.dumps(_plain(result), indent=2))
            return
        console = new_console()
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("table")
        table.add_column("rows", justify="right")
        table.add_column("files", justify="right")
        table.add_column("size", justify="right")
        for written in result.tables:
            table.add_row(
                escape(written.table),
                f"{written.rows:,}",
                f"{len(written.files):,}",
                _size(written.bytes),
            )
        console.print(table)
        for note in _notes(result):
            console.print(f"[dim]{escape(note)}[/]")
        rate = result.rows / max(result.seconds, 1e-9)
        console.print(
            f"[green]✓[/] {result.rows:,} rows in {result.seconds:.2f} s "
            f"({rate:,.0f} rows/s) in [bold]{escape(str(result.directory))}[/]"
        )


def _notes(result: Generated) -> list[str]:
    notes = []
    as_of = "as of " + _utc(result.as_of) if result.evolves else "the same at any time"
    if result.since is not None:
        as_of = f"changed after {_utc(result.since)}, {as_of}"
    part = "" if result.share.is_whole else f", part {result.share.number} of {result.share.of}"
    notes.append(f"seed {result.seed}, scale {result.scale:g}, {as_of}{part}")
    notes += [f"froze a pool of Faker's into {path}; keep it" for path in result.frozen]
    if result.unfrozen:
        notes.append(
            f"not frozen, for the schema file's directory cannot be written: "
            f"{', '.join(result.unfrozen)}; another version of Faker may give other values"
        )
    if result.manifest is not None:
        notes.append(f"the faults' rows are named in {result.manifest}")
    return notes


def _utc(timestamp: datetime) -> str:
    text = f"{timestamp:%Y-%m-%d %H:%M:%S}"
    return text.removesuffix(" 00:00:00") + " UTC"


def _size(count: int) -> str:
    if count < 1_000_000:
        return f"{count / 1_000:,.1f} kB"
    return f"{count / 1_000_000:,.1f} MB"


def _plain(result: Generated) -> dict[str, Any]:
    return {
        "directory": str(result.directory),
        "seed": result.seed,
        "scale": result.scale,
        "as_of": result.as_of.isoformat() if result.evolves else None,
        "since": None if result.since is None else result.since.isoformat(),
        "part": f"{result.share.number}/{result.share.of}",
        "rows": result.rows,
        "seconds": round(result.seconds, 3),
        "manifest": None if result.manifest is None else str(result.manifest),
        "frozen": [str(path) for path in result.frozen],
        "not_frozen": list(result.unfrozen),
        "tables": [
            {
                "table": written.table,
                "rows": written.rows,
                "bytes": written.bytes,
                "files": list(written.files),
            }
            for written in result.tables
        ],
    }


def show_sampled(rows: Mapping[str, int], directory: Path, *, as_json: bool) -> None:
    """Print what was sampled from a model."""
    if as_json:
        typer.echo(json.dumps({"directory": str(directory), "rows": dict(rows)}, indent=2))
        return
    console = new_console()
    console.print(_rows_table(rows))
    console.print(f"[green]✓[/] {sum(rows.values()):,} rows in [bold]{escape(str(directory))}[/]")


def show_learned_schema(learned: "LearnedSchema", *, as_json: bool) -> None:
    """Print what a schema file was learned from."""
    if as_json:
        content = _learned(learned) | {
            "alike": {
                name: {figure: {"value": value, "column": column}
                       for figure, (value, column) in each.figures.items()}
                for name, each in learned.alike.items()
            }
        }  # fmt: skip
        typer.echo(json.dumps(content, indent=2))
        return
    console = new_console()
    _show_sample(console, learned)
    if learned.alike:
        console.print(_alike_table(learned.alike))
    console.print(
        f"[green]✓[/] [bold]{escape(str(learned.out))}[/]: read it, then "
        f"headrace generate {escape(str(learned.out))}"
    )


def show_learned(learned: "Learned", *, as_json: bool) -> None:
    """Print what a model was fitted on, and how good and how private it is."""
    report = learned.report
    if as_json:
        content = _learned(learned) | {
            "quality": report.quality,
            "shapes": dict(report.shapes),
            "closer": dict(report.closer),
            "copies": dict(report.copies),
            "passed": report.passed,
            "checks": [
                {"name": c.name, "subject": c.subject, "passed": c.passed, "message": c.message}
                for c in report.checks
            ],
        }
        typer.echo(json.dumps(content, indent=2))
        return
    console = new_console()
    _show_sample(console, learned)
    if report.quality is not None:
        console.print(f"quality  {report.quality:.3f} [dim](1 is the sample's own shape)[/]")
    for name, share in report.closer.items():
        console.print(f"closer   {share:.3f} [dim]{escape(name)} (0.5 is ideal, 1 a copy)[/]")
    for check in report.checks:
        if not check.passed:
            words = f"{check.name} {check.subject}: {check.message}"
            console.print(f"[red]✗[/] {escape(words)}")
    passed = sum(check.passed for check in report.checks)
    mark = "[green]✓[/]" if report.passed else "[red]✗[/]"
    out = escape(str(learned.out))
    console.print(f"{mark} [bold]{out}[/]: {passed} of {len(report.checks)} checks passed")


def _show_sample(console: Console, learned: "Learned | LearnedSchema") -> None:
    console.print(_rows_table(learned.rows))
    for note in (*learned.relations.notes, *learned.notes):
        console.print(f"[dim]{escape(note)}[/]")


_ALIKE = {
    "mean": "mean",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "tail": "tails",
    "nulls": "nulls",
    "impossible": "impossible",
    "broken": "broken",
}


def _alike_table(alike: "Mapping[str, Resemblance]") -> Table:
    """The largest difference of each kind between the sample and generated rows."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("farthest from the sample")
    for title in _ALIKE.values():
        table.add_column(title, justify="right")
    for name, each in alike.items():
        found = each.figures
        cells = [
            f"{found[kind][0]:.2f}" if kind in {"pearson", "spearman"} else f"{found[kind][0]:.1%}"
            for kind in _ALIKE
        ]
        table.add_row(escape(name), *cells)
    return table


def _rows_table(rows: Mapping[str, int]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("table")
    table.add_column("rows", justify="right")
    for name, count in rows.items():
        table.add_row(escape(name), f"{count:,}")
    return table


def _learned(learned: "Learned | LearnedSchema") -> dict[str, Any]:
    return {
        "out": str(learned.out),
        "rows": dict(learned.rows),
        "keys": dict(learned.relations.keys),
        "relations": [str(relation) for relation in learned.relations.relations],
        "notes": [*learned.relations.notes, *learned.notes],
    }
