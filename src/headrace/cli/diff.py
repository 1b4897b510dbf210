"""``headrace diff``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from headrace.cli.options import Debug, Env, Json, ProjectDir, Sets, resolved_or_none


def diff(
    before: Annotated[
        Path,
        typer.Argument(metavar="A", help="A DuckDB file, or a state folder.", show_default=False),
    ],
    after: Annotated[
        Path, typer.Argument(metavar="B", help="What it is compared with.", show_default=False)
    ],
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
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare the tables of two DuckDB files: columns, rows, and how many of them changed."""
    del debug
    from headrace.pipeline.diff import compare, key_of
    from headrace.quality.diff import DiffOptions

    project = resolved_or_none(project_dir, env, sets)
    schemas = tuple(schema or (project.settings.publish.schemas if project else ("marts",)))
    options = DiffOptions(
        schemas=schemas,
        keys=dict(key_of(text) for text in key or ()),
        ignored=tuple(ignore or ()),
        limit=limit,
        personal=personal,
        tolerance=tolerance,
    )
    report = compare(before, after, options, project)
    if json:
        typer.echo(report.model_dump_json(indent=2))
    elif form == "markdown":
        from headrace.cli.markdown_diff import markdown

        typer.echo(markdown(report), nl=False)
    else:
        from headrace.cli.render_diff import show_diff

        show_diff(report)
    if fail_on_change and report.is_different:
        raise typer.Exit(1)
