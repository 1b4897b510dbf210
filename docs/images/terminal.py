"""Render what a command prints as an SVG: ``uv run python docs/images/terminal.py OUT COMMAND``."""

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COLUMNS = 96
FONTS = "ui-monospace, 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
COLOURS = ("102028", "f08076", "7ac98f", "e5c068", "74b4e6", "c99ae0", "67c9d6", "dee9ee")


def main(out: Path, command: list[str]) -> None:
    """Run the command in the working directory and write its output, prompt first."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)}
    environment["TERM"] = "xterm-256color"
    result = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    shown = " ".join(command)
    console.print(f"[bold]$ {shown}[/bold]", highlight=False)
    for line in Text.from_ansi(result.stdout.decode("utf-8").rstrip()).split():
        if not re.match("[\u2800-\u28ff]", line.plain):  # a spinner, which a terminal erases
            console.print(line)
    svg = console.export_svg(title=shown, theme=_theme())
    out.write_text(_local_fonts(svg), encoding="utf-8")


def _theme() -> TerminalTheme:
    colours = [tuple(bytes.fromhex(colour)) for colour in COLOURS]
    return TerminalTheme(colours[0], colours[-1], colours)  # type: ignore[arg-type]


def _local_fonts(svg: str) -> str:
    """The picture without fonts of another host; glyphs keep their places by textLength."""
    svg = re.sub(r"\s*<!-- Generated with Rich [^>]*-->", "", svg)
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;]+;", f"font-family: {FONTS};", svg)
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
