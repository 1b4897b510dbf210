"""The console that reports are printed on, and marks and colors that they share."""

import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from headrace.error_detail import ErrorDetail

_WIDTH = 100
SHOWN = 10  # of a list, where --json has all
MARKS = {
    "done": "[green]✓[/]",
    "warn": "[yellow]![/]",
    "failed": "[red]✗[/]",
    "skipped": "[dim]-[/]",
    "added": "[green]+[/]",
    "changed": "[green]~[/]",
    "removed": "[red]-[/]",
}
STATUS_COLORS = {
    "success": "green",
    "failed": "red",
    "error": "red",
    "interrupted": "yellow",
    "running": "cyan",
}


def new_console() -> Console:
    """A console as wide as the terminal, or of 100 columns where output goes to a file."""
    found = Console(highlight=False, soft_wrap=False)
    if not found.is_terminal:
        found.width = _WIDTH
    return found


class LiveScreen:
    """A console with a line that says what is in progress; only on a terminal, unless quiet."""

    def __init__(self, first: str, *, quiet: bool) -> None:
        self.console = new_console()
        shown = self.console.is_terminal and not quiet
        self.live: Status | None = self.console.status(first) if shown else None

    def __enter__(self) -> Self:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def say(self, line: str) -> None:
        """Show what is in progress now."""
        if self.live is not None:
            self.live.update(line)

    def ask(self, question: str) -> bool:
        """Ask for yes or no, which is the default; without the line of what is in progress."""
        if self.live is not None:
            self.live.stop()
        try:
            return typer.confirm(question)
        finally:
            if self.live is not None:
                self.live.start()


def is_interactive() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def from_here(path: str) -> str:
    """A path as one would type it in the current directory."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def show_detail(console: Console, detail: ErrorDetail | None) -> None:
    """Print what an error's one line leaves out, indented below it."""
    for line in detail.text.splitlines() if detail else ():
        console.print(Text(f"    {line}"), soft_wrap=True)


def and_more(total: int) -> list[Text]:
    """A line that says how many items of a list are not shown."""
    return [Text(f"  and {total - SHOWN} more (--json)", style="dim")] if total > SHOWN else []


def print_parts(parts: Iterable[Text | Table], console: Console | None = None) -> None:
    """Print at once and by Typer, so that a closed pipe ends the command as it does elsewhere."""
    console = console or new_console()
    with console.capture() as captured:
        for part in parts:
            console.print(part, overflow="fold")
    text = captured.get()
    if not console.is_terminal:  # rich fills tables with blanks
        text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    typer.echo(text, nl=False)
