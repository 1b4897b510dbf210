"""``headrace where``, ``status`` and ``doctor`` on a terminal."""

from rich.markup import escape
from rich.table import Table

from headrace.cli.terminal import MARKS, STATUS_COLORS, from_here, new_console
from headrace.pipeline.doctor import DoctorReport
from headrace.pipeline.status import StatusReport
from headrace.pipeline.where import DEFAULT, WhereReport


def show_where(report: WhereReport) -> None:
    """Print the resolved paths and settings."""
    console = new_console()
    places = Table(title="Where things are", title_justify="left", box=None, pad_edge=False)
    for column in ("what", "path", "there"):
        places.add_column(column, overflow="fold")
    for place in report.places:
        places.add_row(place.name, escape(place.path), "yes" if place.exists else "[dim]no[/]")
    settings = Table(
        title=f"\nSettings (environment {report.env or '-'}, target {report.target})",
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
        console.print("No run is recorded yet: [bold]headrace run[/] makes the first.")
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
    if last.error:
        console.print(f"[red]✗[/] {escape(last.error)}")
    when = f"{report.published_at:%Y-%m-%d %H:%M:%S %Z}" if report.published_at else "not yet"
    console.print(f"published: {escape(from_here(report.published_path))} ({when})")


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
