"""``headrace where``, ``status`` and ``doctor``."""

from typing import Annotated

import typer

from headrace.cli.options import Debug, Env, Json, ProjectDir, Sets, TargetName, resolved


def where(
    target: TargetName = None,
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Print what is resolved: every path and setting, and the layer it comes from."""
    del debug
    from headrace.pipeline.where import where as describe

    report = describe(resolved(project_dir, env, sets, target))
    if json:
        typer.echo(report.model_dump_json(indent=2))
        return
    from headrace.cli.render import show_where

    show_where(report)


def status(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many runs.")] = 10,
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show how the last runs went, and what failed."""
    del debug
    from headrace.pipeline.status import status as read

    report = read(resolved(project_dir, env, sets, None), limit=limit)
    if json:
        typer.echo(report.model_dump_json(indent=2))
        return
    from headrace.cli.render import show_status

    show_status(report)


def doctor(
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Check this machine and project, and say what to do about what is missing."""
    del debug
    from headrace.pipeline.doctor import doctor as examine

    report = examine(resolved(project_dir, env, sets, None))
    if json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        from headrace.cli.render import show_doctor

        show_doctor(report)
    if not report.ok:
        raise typer.Exit(1)
