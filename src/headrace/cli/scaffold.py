"""``headrace scaffold``."""

from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.options import Debug, Env, Json, ProjectDir, Sets, resolved
from headrace.formatting import count, first_few

if TYPE_CHECKING:
    from rich.console import Console

    from headrace.scaffold import ScaffoldReport


def scaffold(
    source: Annotated[str, typer.Argument(help="A source of the settings that is loaded.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; show what would be added, as a diff.")
    ] = False,
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a source's sources yml, staging models, tests and docs; later, add what is new."""
    del debug
    from headrace.scaffold import scaffold as write

    report = write(resolved(project_dir, env, sets, None), source, dry_run=dry_run)
    if json:
        typer.echo(report.model_dump_json(indent=2))
        return
    _show(report)


def _show(report: "ScaffoldReport") -> None:
    from headrace.cli.console import console

    screen = console()
    if report.dry_run:
        for file in report.changes:
            typer.echo(file.diff, nl=False)
    _show_files(screen, report)
    _show_findings(screen, report)
    _show_next(screen, report)


def _show_files(screen: "Console", report: "ScaffoldReport") -> None:
    from rich.markup import escape

    marks = {"added": "[green]+[/]", "changed": "[green]~[/]"}
    for file in report.changes:
        words = "" if file.status == "added" else f": {first_few(file.additions)}"
        screen.print(f"{marks[file.status]} {escape(file.path)}{escape(words)}")
    unchanged = len(report.files) - len(report.changes)
    if not report.changes:
        screen.print(
            f"nothing to write: {count(report.tables, 'table')} of {report.source}, "
            f"{count(unchanged, 'file')} as they were"
        )


def _show_findings(screen: "Console", report: "ScaffoldReport") -> None:
    from rich.markup import escape

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
    for task in report.by_hand:
        where = f"{task.path}: " if task.path else ""
        screen.print(f"[yellow]![/] by hand: {escape(where + task.what)}")
        for line in (task.line or "").splitlines():
            screen.print(f"      {escape(line)}")


def _show_next(screen: "Console", report: "ScaffoldReport") -> None:
    from rich.markup import escape

    number = len(report.without_description)
    if number:
        words = "look for 'to be described' in the yml files"
        screen.print(escape(f"{count(number, 'column')} to describe: {words}"))
    if report.dry_run:
        screen.print("nothing was written (--dry-run)")
    elif report.changes:
        screen.print("next: read what was written, describe it, commit it, and `headrace build`")
