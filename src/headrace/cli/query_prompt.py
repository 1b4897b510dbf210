"""A prompt for SQL, with history and completion."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from headrace.cli.render_query import show
from headrace.errors import QueryError
from headrace.pipeline import query as service

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.key_binding import KeyBindings

_KEYWORDS = (
    "select", "from", "where", "group by", "order by", "limit", "join", "left join", "using", "on",
    "having", "qualify", "with", "union all", "distinct", "count(*)", "describe", "show tables",
    "summarize", "and", "or", "not", "is null", "between", "case when", "desc",
)  # fmt: skip


def prompt(
    source: service.Database,
    form: Literal["table", "csv", "markdown"],
    limit: int | None,
    history: Path | None,
) -> None:
    """Read statements until Ctrl-D; each ends in a semicolon, and opens the file anew.

    Between statements nothing is open, so a run is never kept waiting, and each statement sees what
    was published last.
    """
    session = _session(source, history)
    typer.echo(f"{source.path} (read-only). End a statement with ; and leave with Ctrl-D.")
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
            show(service.query(source, sql, limit=limit), form)
        except QueryError as error:
            if error.excerpt:
                typer.echo(error.excerpt, err=True)
            typer.secho(str(error), fg="red", err=True)


def _session(source: service.Database, history: Path | None) -> "PromptSession[str]":
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import FuzzyCompleter, WordCompleter
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    words = WordCompleter([*_KEYWORDS, *service.names(source)], ignore_case=True, WORD=True)
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
