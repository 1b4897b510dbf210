"""``headrace docs``."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.options import Debug, Env, Json, ProjectDir, Sets, TargetName, resolved
from headrace.errors import ServeError


def docs(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The directory to write the site to.")
    ],
    samples: Annotated[
        bool,
        typer.Option("--samples", help="Show sample rows too, without personal data."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Write into a directory that holds other files; they stay."),
    ] = False,
    target: TargetName = None,
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the pages of `headrace serve` as a static site, for any web server."""
    del debug
    if importlib.util.find_spec("jinja2") is None:
        raise ServeError("the site needs jinja2: install the extra, `uv sync --extra serve`")
    from headrace.server.state import open_state
    from headrace.server.static_site import write_site

    state = open_state(resolved(project_dir, env, sets, target))
    try:
        report = write_site(state, out, samples=samples, force=force)
    finally:
        state.close()
    if json:
        typer.echo(report.model_dump_json(indent=2))
        return
    shown = f", {report.samples} with sample rows" if samples else ""
    typer.echo(
        f"wrote {report.pages:,} pages of {report.assets:,} assets{shown} to {report.out} "
        f"({report.bytes / 1e6:,.1f} MB in {report.seconds:.1f} s)"
    )
