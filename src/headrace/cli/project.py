"""``headrace new``, ``update`` and ``adopt``: a project of the template, or your own repository."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from headrace import portable
from headrace.cli.options import Call, print_json, shared_options
from headrace.errors import AdoptError

if TYPE_CHECKING:
    from headrace.adopt.service import AdoptReport, Extra


Ref = Annotated[
    str | None,
    typer.Option(
        "--ref", metavar="VERSION", help="A tag, branch or commit of the template; else its newest."
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data", metavar="NAME=VALUE", help="Answer a question of the template; repeatable."
    ),
]
Machinery = Annotated[
    str | None,
    typer.Option(
        "--machinery",
        metavar="KIND",
        help="dependency: one line in pyproject.toml; vendored: its source in src/headrace.",
    ),
]


@shared_options("json")
def new(
    call: Call,
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="The folder to make, which names the project.")
    ],
    template: Annotated[
        str | None,
        typer.Option(
            "--template",
            metavar="SOURCE",
            help="Address of a git repository, or a folder; else what this Headrace is from.",
        ),
    ] = None,
    ref: Ref = None,
    sources: Annotated[
        str | None,
        typer.Option(
            "--sources", metavar="NAMES", help="Sources to start with, as a,b; none for none."
        ),
    ] = None,
    machinery: Machinery = None,
    data: Data = None,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Ask nothing, take the defaults.")
    ] = False,
    no_git: Annotated[bool, typer.Option("--no-git", help="No repository, no commit.")] = False,
    no_lock: Annotated[bool, typer.Option("--no-lock", help="Do not run `uv lock`.")] = False,
) -> None:
    """Copy Headrace to a project of your own.

    It asks its questions, writes the files and a lock, and makes a first commit.
    """
    from headrace.cli.render_project import progress, show_new
    from headrace.project.answers import given
    from headrace.project.new import NewRequest
    from headrace.project.new import new as copy

    request = NewRequest(
        destination,
        template=template,
        ref=ref,
        data=given(data or (), sources=sources, machinery=machinery),
        # questions need someone who sees them, and JSON must not stand between them
        ask=not (defaults or call.json) and sys.stdin.isatty() and sys.stdout.isatty(),
        lock=not no_lock,
        repository=not no_git,
    )
    with portable.stopping_like_ctrl_c(), progress(quiet=call.json) as tell:
        report = copy(request, tell)
    if call.json:
        print_json(report)
    else:
        show_new(report)


@shared_options("project_dir", "json")
def update(
    call: Call,
    ref: Ref = None,
    machinery: Machinery = None,
    data: Data = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say what the update would do.")
    ] = False,
) -> None:
    """Merge a newer Headrace into your project. What is yours stays."""
    from headrace.cli.render_project import progress, show_update
    from headrace.project.answers import given
    from headrace.project.update import UpdateRequest
    from headrace.project.update import update as merge

    request = UpdateRequest(
        call.project_dir or Path.cwd(),
        ref=ref,
        data=given(data or (), machinery=machinery),
        dry_run=dry_run,
    )
    with portable.stopping_like_ctrl_c(), progress(quiet=call.json) as tell:
        report = merge(request, tell)
    if call.json:
        print_json(report)
    else:
        show_update(report)
    if report.conflicts:
        raise typer.Exit(1)


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
    """Add Headrace to dbt, dlt or SQL that you have.

    No file of a dbt project, of dlt scripts or of a folder of SQL is changed.
    """
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
