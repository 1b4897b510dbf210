"""``headrace quarantine``: rows that could not be loaded."""

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

if TYPE_CHECKING:
    from headrace.pipeline.quarantine.rows import Chosen

_LIMIT = 20

quarantine = typer.Typer(
    name="quarantine",
    help="Rows that could not be loaded: see, correct, replay them.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Where = Annotated[
    str | None,
    typer.Argument(
        metavar="[SOURCE[.TABLE]]", help="A source, or one of its raw tables.", show_default=False
    ),
]
Table = Annotated[
    str, typer.Argument(metavar="SOURCE.TABLE", help="The raw table.", show_default=False)
]
Reason = Annotated[
    str | None,
    typer.Option("--reason", metavar="REASON", help="Only rows with this reason (data_type, ...)."),
]
Ids = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="ID", help="Only the row whose id begins so; repeatable."),
]
Status = Literal["open", "replayed", "discarded", "superseded", "all"]


@quarantine.callback()
@shared_options()
def _root(call: Call, context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        _list(call, None)
    elif call != Call():
        raise typer.BadParameter(f"write options behind {context.invoked_subcommand}")


@quarantine.command("list")
@shared_options()
def list_rows(call: Call, where: Where = None) -> None:
    """Count the rows by table and reason, and by what became of them."""
    _list(call, where)


def _list(call: Call, where: str | None) -> None:
    from headrace.pipeline.quarantine import listing as service

    settings = call.settings()
    report = service.listed(settings, service.parse_table(settings, where))
    if call.json:
        print_json(report)
        return
    from headrace.cli.render_rows import show_counts

    show_counts(report)


@quarantine.command("show")
@shared_options()
def show_rows(
    call: Call,
    where: Where = None,
    status: Annotated[
        Status, typer.Option("--status", help="Which rows; all adds what became of each, and when.")
    ] = "open",
    reason: Reason = None,
    ids: Ids = None,
    form: RowFormat = "table",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write all rows to a .csv, .json or .jsonl file, to be edited and replayed.",
        ),
    ] = None,
    limit: Annotated[int | None, row_limit(_LIMIT)] = None,
) -> None:
    """Show rows with their values, their file and line, and the reason."""
    from headrace.pipeline.quarantine import listing as service
    from headrace.pipeline.quarantine.rows import require_rows

    settings = call.settings()
    chosen = _chosen(call, where, reason, ids)
    most = _LIMIT if limit is None and out is None else limit or None
    report = service.shown(settings, chosen, status=status, limit=most)
    require_rows(report.rows, chosen)
    if out is not None:
        rows = service.write_rows(report, out)
        show_written(rows, out, as_json=call.json)
        return
    if call.json:
        print_json(report)
        return
    from headrace.cli.render_rows import show

    if form == "table":
        from headrace.cli.render_rows import narrowed

        report = narrowed(report)
    show(report, form)


@quarantine.command("replay")
@shared_options()
def replay_rows(
    call: Call,
    table: Table,
    correct: Annotated[
        list[str] | None,
        typer.Option(
            "--correct",
            metavar="COLUMN=SQL",
            help="Correct a column, like \"amount = replace(amount, ',', '.')\"; repeatable. "
            "All columns are text; a row that could not be read is in _quarantine_text.",
        ),
    ] = None,
    edited: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Replay the rows of a file of `show --out` as they are in it.",
        ),
    ] = None,
    reason: Reason = None,
    ids: Ids = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace rows of the table that may be newer, too."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be loaded, and change nothing.")
    ] = False,
) -> None:
    """Correct rows, and load those that fit then, once. Exit code 1 if some do not fit."""
    from headrace.pipeline.quarantine.replay import replay

    report = replay(
        call.settings(),
        _chosen(call, table, reason, ids, needs_table=True),
        corrections=tuple(correct or ()),
        edited=edited,
        overwrite=overwrite,
        dry_run=dry_run,
    )
    if call.json:
        print_json(report)
    else:
        from headrace.cli.render_rows import show_replay

        show_replay(report)
    if report.left:
        raise typer.Exit(1)


@quarantine.command("discard")
@shared_options()
def discard_rows(call: Call, table: Table, reason: Reason = None, ids: Ids = None) -> None:
    """Give rows up: they do not come back with their file. Their history is kept."""
    from headrace.pipeline.quarantine.replay import discard

    report = discard(call.settings(), _chosen(call, table, reason, ids, needs_table=True))
    if call.json:
        print_json(report)
        return
    from headrace.cli.render_rows import show_discarded

    show_discarded(report, table)


def _chosen(
    call: Call,
    where: str | None,
    reason: str | None,
    ids: list[str] | None,
    *,
    needs_table: bool = False,
) -> "Chosen":
    from dataclasses import replace

    from headrace.errors import SourceError
    from headrace.pipeline.quarantine.listing import parse_table

    chosen = parse_table(call.settings(), where)
    if needs_table and chosen.table is None:
        raise SourceError(f"{where}: name a table of the source, like {where}.orders")
    return replace(chosen, reason=reason, ids=tuple(ids or ()))
