"""``headrace where``, ``status``, ``doctor`` and ``inspect`` on a terminal."""

import io
import re
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from headrace.cli.terminal import (
    MARKS,
    STATUS_COLORS,
    from_here,
    new_console,
    print_parts,
    show_detail,
)
from headrace.formatting import count, first_few, printable, shortened, slug
from headrace.pipeline.doctor import DoctorReport
from headrace.pipeline.file_preview import FilePreview, with_doubts
from headrace.pipeline.status import StatusReport, TableVerdict
from headrace.pipeline.where import DEFAULT, WhereReport

_MOST_COLUMNS = 8
_MOST_TABLES = 20


def show_where(report: WhereReport) -> None:
    """Print the resolved paths and settings."""
    console = new_console()
    places = Table(title="Where things are", title_justify="left", box=None, pad_edge=False)
    for column in ("what", "path", "there"):
        places.add_column(column, overflow="fold")
    for place in report.places:
        places.add_row(place.name, escape(place.path), "yes" if place.exists else "[dim]no[/]")
    settings = Table(
        title=f"\nSettings (environment {report.environment}, target {report.target})",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for column in ("key", "value", "from"):
        settings.add_column(column, overflow="fold")
    for setting in report.settings:
        layer = "[dim]default[/]" if setting.layer == DEFAULT else escape(setting.layer)
        settings.add_row(setting.key, escape(setting.value), layer)
    console.print(places)
    console.print(settings)


def show_status(report: StatusReport) -> None:
    """Print the last runs."""
    console = new_console()
    if not report.runs:
        console.print(
            f"No run is recorded yet in the environment {report.environment}: "
            "[bold]headrace run[/] makes the first"
        )
        return
    table = Table(box=None, pad_edge=False)
    for column in ("started (UTC)", "command", "status", "rows", "took", "code"):
        table.add_column(column, justify="right" if column in {"rows", "took"} else "left")
    for run in report.runs:
        color = STATUS_COLORS.get(run.status, "white")
        table.add_row(
            f"{run.started_at:%Y-%m-%d %H:%M:%S}",
            run.command,
            f"[{color}]{run.status}[/]",
            "-" if run.rows_loaded is None else f"{run.rows_loaded:,}",
            "-" if run.seconds is None else f"{run.seconds:.1f} s",
            run.code_version,
        )
    console.print(table)
    last = report.runs[0]
    for failure in last.failures:
        console.print(f"[red]✗[/] {escape(failure.label)}: {escape(failure.message)}")
        show_detail(console, failure.detail)
    if last.error:
        console.print(f"[red]✗[/] {escape(last.error)}")
        show_detail(console, last.detail)
    _show_verdicts(console, report.tables)
    console.print(f"environment: {report.environment}")
    when = f"{report.published_at:%Y-%m-%d %H:%M:%S %Z}" if report.published_at else "not yet"
    if report.published_problem is not None:
        console.print(f"[red]✗[/] {escape(report.published_problem)}")
        when = "not known"
    console.print(f"published: {escape(from_here(report.published_path))} ({when})")


def _show_verdicts(console: Console, tables: tuple[TableVerdict, ...]) -> None:
    """Print the tables that are not healthy, and how many are."""
    bad = [one for one in tables if one.mood in {"bad", "unsure"}]
    for one in bad[:_MOST_TABLES]:
        mark = MARKS["failed" if one.mood == "bad" else "warn"]
        console.print(f"{mark} {escape(one.name)} [dim]{escape(one.text)}[/]")
    if len(bad) > _MOST_TABLES:
        console.print(f"  and {len(bad) - _MOST_TABLES:,} more (headrace status --json)")
    healthy = sum(one.mood == "good" for one in tables)
    if healthy:
        console.print(f"{MARKS['done']} {count(healthy, 'table is', 'tables are')} healthy")


def show_doctor(report: DoctorReport) -> None:
    """Print the checks, and advice for those that are not good."""
    console = new_console()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column()
    table.add_column(overflow="fold")
    for check in report.checks:
        mark = {True: MARKS["done"], False: MARKS["failed"], None: MARKS["skipped"]}[check.good]
        found = escape(check.found)
        if check.advice:
            color = "red" if check.good is False else "dim"
            found = "\n".join(
                part for part in (found, f"[{color}]{escape(check.advice)}[/]") if part
            )
        table.add_row(mark, check.name, found)
    console.print(table)
    console.print("[green]all good[/]" if report.ok else "[red]something is missing, see above[/]")


def show_preview(report: FilePreview) -> None:
    """Print columns, the first rows, doubts, and the settings that would load the files."""
    given, files = count(report.rows_given, "row"), count(len(report.files), "file")
    parts: list[Text | Table] = [Text(f"{given} in {files}: {first_few(report.files, 3)}")]
    columns = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("column", "type", "nulls", "distinct"):
        is_number = name in {"nulls", "distinct"}
        columns.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for column in report.columns:
        columns.add_row(
            escape(column.name), column.data_type, f"{column.nulls:,}", f"{column.distinct:,}"
        )
    parts.append(columns)
    if report.rows:
        rows = Table(box=None, pad_edge=False, header_style="bold")
        shown = report.columns[:_MOST_COLUMNS]
        for column in shown:
            rows.add_column(escape(column.name), overflow="ellipsis", no_wrap=True)
        for row in report.rows:
            cells = ("null" if cell is None else printable(cell) for cell in row[: len(shown)])
            rows.add_row(*(escape(shortened(cell, 40)) for cell in cells))
        parts += [Text(""), rows]
        if left := len(report.columns) - len(shown):
            parts.append(Text(f"and {count(left, 'more column')} (--json)", style="dim"))
    parts.append(Text(""))
    parts += [Text(f"- {note}") for note in report.notes]
    warnings = [doubt.reason for doubt in report.doubts]
    if report.not_read:
        warnings.append(f"not read: {first_few(report.not_read, 5)}")
    if report.rows_quarantined:
        quarantined = count(report.rows_quarantined, "row")
        warnings.append(f"{quarantined} would be quarantined: {first_few(report.quarantined, 3)}")
    parts += [Text.from_markup(f"{MARKS['warn']} {escape(warning)}") for warning in warnings]
    parts.append(Text(f"- key: {_key(report)}"))
    parts += [Text(""), Text("Settings for config/default.yml, to be checked:", style="bold")]
    print_parts(parts)
    typer.echo(_settings_text(report), nl=False)


def _key(report: FilePreview) -> str:
    """The columns, or pairs of columns, that may be the key."""
    if report.keys or not report.key_pairs:
        return " or ".join(report.keys) or "no single column, and no two"
    pairs = " or ".join(f"{one} with {other}" for one, other in report.key_pairs)
    is_part = report.key_rows < report.rows_given - report.rows_quarantined
    where = f" (in the first {report.key_rows:,} rows)" if is_part else ""
    return f"no single column; {pairs}{where}"


def _settings_text(report: FilePreview) -> str:
    """A source of one table, as YAML."""
    from ruamel.yaml import YAML

    stem = slug(Path(report.files[0]).name.partition(".")[0])
    table: dict[str, Any] = with_doubts(report)
    name = re.sub(r"^[_0-9]+|[_0-9]+$", "", stem) or "rows"
    source = {"kind": "files", "path": from_here(report.directory), "tables": {name: table}}
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = io.StringIO()
    yaml.dump({"sources": {"my_files": source}}, text)
    return text.getvalue()
