"""``headrace serve`` and ``docs``: the page and the REST API, or the page as a static site."""

import importlib.util
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.options import ArtifactsDir, Call, print_json, shared_options
from headrace.errors import ServeError
from headrace.extras import how_to_install


@shared_options("sets", "env", "target", "project_dir")
def serve(
    call: Call,
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
    artifacts: ArtifactsDir = None,
) -> None:
    """Serve the page and the REST API, read-only; Ctrl-C ends it."""
    flags = [f"serve.port={port}"] if port is not None else []
    flags += [f"serve.host={host}"] if host is not None else []
    from headrace.server.runner import serve as serve_until_stopped

    serve_it = partial(
        serve_until_stopped,
        token_file=token_file,
        make_token=make_token,
        allow_pii=allow_pii,
        tell=typer.echo,
    )
    if artifacts is None:
        serve_it(call.settings(flags=flags))
        return
    with call.opened(artifacts, flags=flags) as folder, folder.watched():
        if folder.no_results:
            typer.echo(f"note: {folder.no_results}", err=True)
        serve_it(folder.resolved, catalog_only=True)


@shared_options()
def docs(
    call: Call,
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
    artifacts: ArtifactsDir = None,
) -> None:
    """Write the pages of `headrace serve` as a static site. Any web server can show it."""
    if importlib.util.find_spec("jinja2") is None:
        how = how_to_install("serve")
        raise ServeError(f"the site needs jinja2: install the extra, `{how}`")
    from headrace.server.state import open_state
    from headrace.server.static_site import write_site

    with call.catalog_settings(artifacts) as settings:
        state = open_state(settings, catalog_only=artifacts is not None)
        try:
            report = write_site(state, out, samples=samples, force=force)
        finally:
            state.close()
    if call.json:
        print_json(report)
        return
    shown = f", {report.samples} with sample rows" if samples else ""
    typer.echo(
        f"wrote {report.pages:,} pages of {report.assets:,} assets{shown} to {report.out} "
        f"({report.bytes / 1e6:,.1f} MB in {report.seconds:.1f} s)"
    )
