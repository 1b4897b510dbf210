"""``headrace query``: SQL given on the command line, or a prompt with history and completion."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headrace.cli.options import (
    Call,
    RowFormat,
    print_json,
    row_limit,
    shared_options,
    show_written,
)
from headrace.errors import QueryError

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.key_binding import KeyBindings

    from headrace.pipeline.query import Database


_LIMIT = 100


@shared_options()
def query(
    call: Call,
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
    form: RowFormat = "table",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write all rows to a .csv, .json, .jsonl or .parquet file.",
        ),
    ] = None,
    limit: Annotated[int | None, row_limit(_LIMIT)] = None,
) -> None:
    """Query the published file, the warehouse or any DuckDB file. Nothing is changed by it."""
    from headrace.pipeline import query as service

    project = call.settings_or_none()
    source = service.database(project, on)
    if sql is None:
        history = project.data_dir / "query_history" if project else None
        _prompt(source, form, _LIMIT if limit is None else limit or None, history)
        return
    text = _read(sql)
    most = _LIMIT if limit is None and out is None else limit or None
    if out is not None:
        rows = service.export(source, text, out, limit=most)
        show_written(rows, out, as_json=call.json)
        return
    report = service.query(source, text, limit=most)
    if call.json:
        print_json(report)
        return
    from headrace.cli.render_rows import show

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
    prompt(source, form, limit, history)


_KEYWORDS = (
    "select", "from", "where", "group by", "order by", "limit", "join", "left join", "using", "on",
    "having", "qualify", "with", "union all", "distinct", "count(*)", "describe", "show tables",
    "summarize", "and", "or", "not", "is null", "between", "case when", "desc",
)  # fmt: skip


def prompt(
    source: "Database",
    form: Literal["table", "csv", "markdown"],
    limit: int | None,
    history: Path | None,
) -> None:
    """Read statements until Ctrl-D; each ends in a semicolon, and opens the file again.

    Between statements nothing is open, so a run is never kept waiting, and each statement sees what
    was published last.
    """
    from headrace.cli.render_rows import show
    from headrace.pipeline.query import query as run_query

    session = _session(source, history)
    typer.echo(f"{source.location} (read-only). End a statement with ; and leave with Ctrl-D.")
    while True:
        try:
            sql = session.prompt("sql> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if not sql.strip().strip(";"):
            continue
        if sql.strip().rstrip(";").lower() in {"exit", "quit", ".exit", ".quit"}:
            return
        try:
            show(run_query(source, sql, limit=limit), form)
        except QueryError as error:
            if error.detail:
                typer.echo(error.detail.text, err=True)
            typer.secho(str(error), fg="red", err=True)


def _session(source: "Database", history: Path | None) -> "PromptSession[str]":
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import FuzzyCompleter, WordCompleter
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    from headrace.pipeline.query import names

    words = WordCompleter([*_KEYWORDS, *names(source)], ignore_case=True, WORD=True)
    return PromptSession(
        completer=FuzzyCompleter(words, WORD=True),
        complete_while_typing=False,
        history=FileHistory(str(history)) if history else InMemoryHistory(),
        multiline=True,
        prompt_continuation="...> ",
        key_bindings=_enter_ends_a_statement(),
    )


def _enter_ends_a_statement() -> "KeyBindings":
    """Enter runs what ends in a semicolon, and begins a new line elsewhere."""
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.key_binding.key_processor import KeyPressEvent

    bindings = KeyBindings()

    @bindings.add("enter")
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = buffer.text.strip()
        if text.endswith(";") or not text or text.startswith(".") or text in {"exit", "quit"}:
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return bindings
