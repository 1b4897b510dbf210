"""``headrace new`` and ``update``: a project from the template, and newer versions of it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from headrace import portable
from headrace.cli.options import Call, print_json, shared_options

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
    """Copy Headrace to a project of your own: questions, files, a lock, a first commit."""
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
    """Merge a newer version of Headrace into your project; what is yours stays."""
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
