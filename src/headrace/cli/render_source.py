"""``headrace add source`` and ``scaffold`` on a terminal: files, and the next steps."""

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.markup import escape

from headrace.add import AddReport
from headrace.cli.terminal import MARKS, LiveScreen, new_console
from headrace.formatting import count, first_few
from headrace.scaffold import ByHand, ModelReport, ScaffoldReport


def show_proposal(report: AddReport, screen: LiveScreen) -> None:
    """Print the settings that would be written, and the reasons for them."""
    for file in report.files:
        if file.path == "config/default.yml":
            added = [line[1:] for line in file.diff.splitlines() if line[:1] == "+" and line[1:]][
                1:
            ]
            screen.console.print(escape("\n".join(["sources:", *added])))
    for choice in report.choices:
        screen.console.print(f"[dim]-[/] {escape(choice)}")


def show_added(report: AddReport) -> None:
    """Print the files that were written, what was loaded and the next commands."""
    screen = new_console()
    if report.is_declined:
        screen.print("nothing was written")
        return
    if report.dry_run:
        for file in report.files:
            typer.echo(file.diff, nl=False)
    for file in report.files:
        screen.print(f"{MARKS[file.status]} {escape(file.path)}")
    for choice in report.choices:
        screen.print(f"[dim]-[/] {escape(choice)}")
    if report.dry_run:
        screen.print("nothing was written (--dry-run)")
        return
    for table in report.load.tables if report.load else ():
        screen.print(f"[green]✓[/] loaded {escape(table.table)}: {table.rows_total:,} rows")
    for model in report.scaffold.changes if report.scaffold else ():
        screen.print(f"{MARKS[model.status]} {escape(f'dbt_project/{model.path}')}")
    _show_next_of_add(screen, report)


def _show_next_of_add(screen: Console, report: AddReport) -> None:
    if report.not_loaded:
        screen.print(f"[yellow]![/] not loaded: {escape(report.not_loaded)}")
    if report.commands:
        commands = " and ".join(f"`{command}`" for command in report.commands)
        screen.print(escape(f"then run {commands}"))
    else:
        screen.print("next: read what was written, describe it, commit it, and `headrace run`")


def show_scaffold(report: ScaffoldReport) -> None:
    """Print the files that changed, what needs a person, and the next command."""
    screen = new_console()
    if report.dry_run:
        for file in report.changes:
            typer.echo(file.diff, nl=False)
    _show_files(screen, report)
    _show_findings(screen, report)
    _show_next(screen, report)


def _show_files(screen: Console, report: ScaffoldReport) -> None:
    for file in report.changes:
        words = "" if file.status == "added" else f": {first_few(file.additions)}"
        screen.print(f"{MARKS[file.status]} {escape(file.path)}{escape(words)}")
    unchanged = len(report.files) - len(report.changes)
    if not report.changes:
        screen.print(
            f"nothing to write: {count(report.tables, 'table')} of {report.source}, "
            f"{count(unchanged, 'file')} as they were"
        )


def _show_findings(screen: Console, report: ScaffoldReport) -> None:
    for gone in report.vanished:
        name = f"{gone.table}.{gone.column}" if gone.column else f"table {gone.table}"
        words = "is no longer in dlt's schema" if gone.was_loaded else "was never loaded by dlt"
        places = escape(first_few(gone.places))
        screen.print(f"[yellow]![/] {escape(name)} {words}; it is named in {places}")
    for left in report.left_out:
        screen.print(
            f"[dim]-[/] {escape(left.path)} does not read {escape(first_few(left.columns))}: "
            "left as it is"
        )
    _show_by_hand(screen, report.by_hand)


def _show_by_hand(screen: Console, tasks: Sequence[ByHand]) -> None:
    for task in tasks:
        where = f"{task.path}: " if task.path else ""
        screen.print(f"[yellow]![/] by hand: {escape(where + task.what)}")
        for line in (task.line or "").splitlines():
            screen.print(f"      {escape(line)}")


def show_model(report: ModelReport) -> None:
    """Print what was found in a model's table, and what was written."""
    screen = new_console()
    file = report.file
    if report.dry_run and file.diff:
        typer.echo(file.diff, nl=False)
    key = f"key {', '.join(report.key)}" if report.key else "no key in sight"
    screen.print(escape(f"{report.table}: {count(report.rows, 'row')}, {key}"))
    if file.status == "unchanged":
        screen.print(escape(f"nothing to write: {file.path} has it all"))
    else:
        words = "" if file.status == "added" else f": {first_few(file.additions)}"
        screen.print(f"{MARKS[file.status]} {escape(file.path)}{escape(words)}")
    _show_by_hand(screen, report.by_hand)
    if report.to_describe:
        number = count(report.to_describe, "place")
        screen.print(escape(f"{number} to describe: look for 'to be described' in it"))
    if report.dry_run:
        screen.print("nothing was written (--dry-run)")
    elif file.status != "unchanged":
        screen.print(
            "next: read it, as its tests and key are what these rows show; then `headrace build`"
        )


def _show_next(screen: Console, report: ScaffoldReport) -> None:
    number = len(report.without_description)
    if number:
        words = "look for 'to be described' in the yml files"
        screen.print(escape(f"{count(number, 'column')} to describe: {words}"))
    if report.dry_run:
        screen.print("nothing was written (--dry-run)")
    elif report.changes:
        screen.print("next: read what was written, describe it, commit it, and `headrace build`")
