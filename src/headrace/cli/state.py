"""``headrace state``."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.options import Debug, Env, Json, ProjectDir, Sets, TargetName, resolved


def state(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder; an older state is replaced.")
    ],
    target: TargetName = None,
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write what was published last to a folder, for later builds to defer to."""
    del debug
    from headrace.pipeline.state.folder import write_state

    report = write_state(resolved(project_dir, env, sets, target), out)
    if json:
        typer.echo(report.model_dump_json(indent=2))
        return
    typer.echo(
        f"wrote the state of {report.code_version} (run {report.run_id}) to {report.path} "
        f"({report.bytes / 1e6:,.1f} MB in {report.seconds:.1f} s)"
    )
    if report.views_as_tables:
        typer.echo(f"views that are tables there: {', '.join(report.views_as_tables)}")
