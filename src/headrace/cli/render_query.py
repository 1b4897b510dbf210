"""``headrace query`` on a terminal: rows as a table, as CSV or as Markdown."""

import csv
import json
import sys
from typing import Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from headrace.cli.terminal import new_console
from headrace.formatting import count, printable
from headrace.pipeline.query import QueryReport

_NUMBERS = ("INT", "DOUBLE", "FLOAT", "DECIMAL")
_NARROWEST = 20  # of a column of text, which is folded


def show(report: QueryReport, form: Literal["table", "csv", "markdown"]) -> None:
    """Print the rows; standard error says if there are more."""
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([column.name for column in report.columns])
        writer.writerows(
            [["" if value is None else _text(value) for value in row] for row in report.rows]
        )
    elif form == "markdown":
        typer.echo(_markdown(report), nl=False)
    else:
        _table(report)
    if report.truncated:
        typer.echo(f"the first {len(report.rows):,} rows; --limit 0 shows all", err=True)


def _table(report: QueryReport) -> None:
    """A table; where its columns do not fit the screen, one line for each value."""
    console = new_console()
    cells = [
        ["null" if value is None else printable(_text(value)) for value in row]
        for row in report.rows
    ]
    table = Table(box=None, pad_edge=False, header_style="bold")
    narrowest = 0
    for number, column in enumerate(report.columns):
        is_number = _is_number(column.data_type)
        longest = max((len(row[number]) for row in cells), default=0)
        least = max(len(column.name), longest if is_number else min(longest, _NARROWEST))
        narrowest += least + 1
        table.add_column(
            Text(column.name),
            justify="right" if is_number else "left",
            overflow="fold",
            min_width=least,
        )
    if narrowest - 1 <= console.width or not cells:
        for row, shown in zip(report.rows, cells, strict=True):
            table.add_row(*(_cell(value, text) for value, text in zip(row, shown, strict=True)))
        console.print(table)
    else:
        _records(report, cells)
    if not report.truncated:
        console.print(f"[dim]{count(len(report.rows), 'row')}[/]")


def _records(report: QueryReport, cells: list[list[str]]) -> None:
    width = max(len(column.name) for column in report.columns)
    for number, row in enumerate(cells, start=1):
        typer.echo(f"-- row {number}")
        for column, text in zip(report.columns, row, strict=True):
            typer.echo(f"{column.name:<{width}}  {text}")


def _cell(value: Any, text: str) -> Text:
    return Text(text, style="dim" if value is None else "")


def _is_number(data_type: str) -> bool:
    return "[" not in data_type and any(word in data_type for word in _NUMBERS)


def _markdown(report: QueryReport) -> str:
    lines = [[column.name for column in report.columns], ["---"] * len(report.columns)]
    lines += [
        ["" if value is None else printable(_text(value)) for value in row] for row in report.rows
    ]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
