"""``headrace query``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headrace.cli.options import Debug, Env, Json, ProjectDir, Sets, resolved_or_none
from headrace.errors import QueryError

if TYPE_CHECKING:
    from headrace.pipeline.query import Database

_LIMIT = 100


def query(
    sql: Annotated[
        str | None,
        typer.Argument(
            metavar="[SQL]",
            help="SQL, the path of a .sql file, or - for standard input; without it, a prompt.",
            show_default=False,
        ),
    ] = None,
    on: Annotated[
        str,
        typer.Option(
            "--on", metavar="DATABASE", help="published, warehouse, or the path of a DuckDB file."
        ),
    ] = "published",
    form: Annotated[
        Literal["table", "csv", "markdown"], typer.Option("--format", help="How to print rows.")
    ] = "table",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write all rows to a .csv, .json, .jsonl or .parquet file.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=0,
            help=f"The most rows; 0 is all. By default {_LIMIT}, and all with --out.",
            show_default=False,
        ),
    ] = None,
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Query the published file, the warehouse or any DuckDB file. Nothing is changed by it."""
    del debug
    from headrace.pipeline import query as service

    project = resolved_or_none(project_dir, env, sets)
    source = service.database(project, on)
    if sql is None:
        history = project.data_dir / "query_history" if project else None
        _prompt(source, form, _LIMIT if limit is None else limit or None, history)
        return
    text = _read(sql)
    most = _LIMIT if limit is None and out is None else limit or None
    try:
        if out is not None:
            rows = service.export(source, text, out, limit=most)
            typer.echo(f"{rows:,} rows written to {out}", err=True)
            return
        report = service.query(source, text, limit=most)
    except QueryError as error:
        if error.excerpt:
            typer.echo(error.excerpt, err=True)
        raise
    if json:
        typer.echo(report.model_dump_json(indent=2))
        return
    from headrace.cli.render_query import show

    show(report, form)


def _read(sql: str) -> str:
    """The SQL itself, from where the argument points."""
    if sql == "-":
        return sys.stdin.read()
    if sql.lower().endswith(".sql"):
        try:
            return Path(sql).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise QueryError(f"{sql} cannot be read: {error}") from error
    return sql


def _prompt(
    source: "Database",
    form: Literal["table", "csv", "markdown"],
    limit: int | None,
    history: Path | None,
) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise QueryError("there is no SQL: give it as an argument, or - to read standard input")
    from headrace.cli.query_prompt import prompt

    prompt(source, form, limit, history)
