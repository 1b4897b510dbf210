"""``headrace diff``: two DuckDB files or state folders; ``headrace parity``: targets."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from headrace.cli.options import Call, print_json, shared_options


@shared_options()
def diff(
    call: Call,
    before: Annotated[
        Path | None,
        typer.Argument(
            metavar="A",
            help="A DuckDB file, a state folder, published, or warehouse; else what was published "
            "before.",
            show_default=False,
        ),
    ] = None,
    after: Annotated[
        Path | None,
        typer.Argument(
            metavar="B",
            help="What it is compared with; else what is published.",
            show_default=False,
        ),
    ] = None,
    schema: Annotated[
        list[str] | None,
        typer.Option(
            "--schema", metavar="NAME", help="Compare this schema; else what is published."
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", metavar="TABLE=COLUMN,…", help="Match rows by these; else by dbt's tests."
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore", metavar="COLUMN", help="Leave a column out, like the time of a load."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=0, max=1000, help="Sample rows of each kind and table.")
    ] = 5,
    personal: Annotated[
        bool, typer.Option("--personal", help="Show values of personal data in samples, too.")
    ] = False,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", min=0.0, max=1.0, help="Relative, of floating point numbers; 0 is exact."
        ),
    ] = 1e-9,
    form: Annotated[
        Literal["text", "markdown"], typer.Option("--format", help="How to print it.")
    ] = "text",
    fail_on_change: Annotated[
        bool, typer.Option("--fail-on-change", help="Exit 1 when anything differs.")
    ] = False,
) -> None:
    """Compare the tables of two databases: columns, rows, values.

    Without files: what is published with what was published before.
    """
    from headrace.errors import DiffError, ProjectError
    from headrace.pipeline.diff import compare, compare_published, key_of
    from headrace.quality.diff import DiffOptions

    project = call.settings_or_none()
    schemas = tuple(schema or (project.settings.publish.schemas if project else ("marts",)))
    options = DiffOptions(
        schemas=schemas,
        keys=dict(key_of(text) for text in key or ()),
        ignored=tuple(ignore or ()),
        limit=limit,
        personal=personal,
        tolerance=tolerance,
    )
    if before is not None and after is not None:
        report = compare(before, after, options, project)
    elif before is not None:
        raise DiffError(f"what is {before} to be compared with? Name two files, or none")
    elif project is None:
        raise ProjectError("without two files, `headrace diff` needs a project, and here is none")
    else:
        report = compare_published(options, project)
    if call.json:
        print_json(report)
    elif form == "markdown":
        from headrace.cli.render_diff import markdown

        typer.echo(markdown(report), nl=False)
    else:
        from headrace.cli.render_diff import show_diff

        show_diff(report)
    if fail_on_change and report.is_different:
        raise typer.Exit(1)


@shared_options("sets", "env", "project_dir", "json")
def parity(
    call: Call,
    targets: Annotated[
        list[str],
        typer.Argument(metavar="TARGET…", help="The others must equal the first."),
    ],
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="NAME", help="Load this; else what is enabled."),
    ] = None,
    as_of: Annotated[
        datetime,
        typer.Option(
            "--as-of",
            metavar="DATE",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="Of simulated sources at the second run, UTC; the first is 30 days before.",
        ),
    ] = datetime(2024, 6, 1),  # noqa: DTZ001 - typer parses times without a zone
    scale: Annotated[
        float, typer.Option("--scale", min=0.001, max=10_000.0, help="Of simulated sources.")
    ] = 0.05,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", min=0.0, max=1.0, help="Relative, of floating point numbers; 0 is exact."
        ),
    ] = 1e-9,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="DIR", help="Keep each target's files there, to look at differences."
        ),
    ] = None,
) -> None:
    """Build on several targets from the same data; compare marts.

    Each gets an empty place of its own, which is removed: what you have stays untouched.
    """
    from datetime import UTC

    from headrace.cli.render_diff import show_parity
    from headrace.pipeline.parity import ParityOptions, parity

    options = ParityOptions(tuple(source or ()), as_of.replace(tzinfo=UTC), scale, tolerance, keep)
    tell = (lambda _: None) if call.json else lambda text: typer.echo(f"{text} …", err=True)
    report = parity(call.settings(), targets, options, flags=call.sets or (), listen=tell)
    if call.json:
        print_json(report)
    else:
        show_parity(report)
    if not report.is_good:
        raise typer.Exit(1)
