"""``headrace adopt``: Headrace added to a repository that has dbt, dlt or SQL of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from headrace import portable
from headrace.cli.options import Call, print_json, shared_options
from headrace.errors import AdoptError

if TYPE_CHECKING:
    from headrace.adopt.service import AdoptReport, Extra


@shared_options("json")
def adopt(
    call: Call,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The repository; its files stay as they are.")
    ],
    dbt_project: Annotated[
        Path | None,
        typer.Option("--dbt-project", metavar="DIR", help="Its dbt project, if it has several."),
    ] = None,
    extras: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAMES", help="Add tests or workflows too; as a,b."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; show the diff of what would be added.")
    ] = False,
) -> None:
    """Add Headrace to a dbt project, dlt scripts or SQL that you have; nothing is changed."""
    from headrace.adopt.service import adopt as adopt_repository

    with portable.stopping_like_ctrl_c():
        report = adopt_repository(
            path, dbt_project=dbt_project, extras=_extras(extras or ()), dry_run=dry_run
        )
    if call.json:
        print_json(report)
    else:
        _show(report)


def _extras(given: "list[str] | tuple[str, ...]") -> "tuple[Extra, ...]":
    from headrace.adopt.service import Extra

    names = [name.strip() for text in given for name in text.split(",") if name.strip()]
    for name in names:
        if name not in get_args(Extra):
            raise AdoptError(f"--with {name}: choose from {', '.join(get_args(Extra))}")
    return tuple(extra for extra in get_args(Extra) if extra in names)


def _show(report: "AdoptReport") -> None:
    from rich.text import Text

    from headrace.cli.terminal import MARKS, new_console

    console = new_console()
    with console.capture() as captured:
        console.print(f"found in {report.project}")
        for sentence in report.found:
            console.print(Text.assemble("  ", sentence), overflow="fold")
        console.print("would be added" if report.dry_run else "added")
        for file in report.files:
            mark = MARKS["added" if file.status == "added" else "skipped"]
            console.print(
                f"{mark} {file.path}{'' if file.status == 'added' else '  there already'}"
            )
        for note in report.notes:
            console.print(Text.assemble(("! ", "yellow"), note), overflow="fold")
    typer.echo(captured.get(), nl=False)
    if report.dry_run:
        for file in report.files:
            typer.echo(file.diff, nl=False)
        return
    typer.echo("next")
    for step in report.next_steps:
        typer.echo(f"  {step}")
