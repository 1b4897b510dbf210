"""What a person sees of ``generate`` and ``learn``."""

import json
import threading
from types import TracebackType
from typing import Any, Self

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from headrace.synth.generate import Generated

_WIDTH = 100


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
        """So many more rows of a table are written."""
        if self._bars is not None:
            with self._lock:
                self._bars.advance(self._tasks[table], rows)

    def summary(self, result: Generated, *, as_json: bool) -> None:
        """Print what was written."""
        if as_json:
            typer.echo(json.dumps(_plain(result), indent=2))
            return
        console = _console()
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
    moment = "as of " + _moment(result.as_of) if result.evolves else "the same at any moment"
    if result.since is not None:
        moment = f"changed after {_moment(result.since)}, {moment}"
    part = "" if result.share.is_whole else f", part {result.share.number} of {result.share.of}"
    notes.append(f"seed {result.seed}, scale {result.scale:g}, {moment}{part}")
    notes += [f"froze a pool of Faker's into {path}; keep it" for path in result.frozen]
    if result.unfrozen:
        notes.append(
            f"not frozen, for the schema file's directory cannot be written: "
            f"{', '.join(result.unfrozen)}; another version of Faker may give other values"
        )
    if result.manifest is not None:
        notes.append(f"the faults' rows are named in {result.manifest}")
    return notes


def _moment(moment: Any) -> str:
    text = f"{moment:%Y-%m-%d %H:%M:%S}"
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


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=_WIDTH, highlight=False)
