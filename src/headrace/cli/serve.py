"""``headrace serve``: the page and the REST API, until Ctrl-C."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.options import Debug, Env, ProjectDir, Sets, TargetName, resolved


def serve(
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="The port; else serve.port, 8585."),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option("--host", help="The address to listen at; beyond this machine with a token."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="Demand the token in this file (or HEADRACE_SERVE__TOKEN).",
        ),
    ] = None,
    make_token: Annotated[
        bool,
        typer.Option(
            "--make-token",
            help="Without a token in the settings, write a new one to --token-file's FILE if it "
            "is not there.",
        ),
    ] = False,
    allow_pii: Annotated[
        bool, typer.Option("--allow-pii", help="Show personal data in samples to who asks for it.")
    ] = False,
    target: TargetName = None,
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    debug: Debug = False,
) -> None:
    """Serve the page and the REST API, read-only; Ctrl-C ends it."""
    del debug
    flags = [*(sets or [])]
    flags += [f"serve.port={port}"] if port is not None else []
    flags += [f"serve.host={host}"] if host is not None else []
    settings = resolved(project_dir, env, flags, target)
    from headrace.server.runner import serve as serve_until_stopped

    serve_until_stopped(
        settings,
        token_file=token_file,
        make_token=make_token,
        allow_pii=allow_pii,
        tell=typer.echo,
    )
