"""``headrace published``: what readers have, what they had, and back to it."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.options import Call, print_json, shared_options

if TYPE_CHECKING:
    from headrace.pipeline.publishing.publications import PublishedReport


@shared_options()
def published(
    call: Call,
    history: Annotated[
        bool, typer.Option("--history", help="All that is kept (publish.keep), newest first.")
    ] = False,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="T",
            help="What readers had at this time, like 2026-01-31T06:00; UTC unless it says else.",
        ),
    ] = None,
    rollback: Annotated[
        str | None,
        typer.Option(
            "--rollback",
            metavar="RUN",
            help="Give readers again what this run published, in one step.",
        ),
    ] = None,
) -> None:
    """Show what readers have, and had before; or go back to it.

    A rollback changes what is published, nothing else: the next run that passes publishes again.
    """
    if (as_of is not None) + (rollback is not None) + history > 1:
        raise typer.BadParameter("choose one of --history, --as-of and --rollback")
    at = _time(as_of) if as_of is not None else None
    from headrace.pipeline.publishing import publications

    resolved = call.settings()
    if rollback is not None:
        report = publications.rollback(resolved, rollback)
    else:
        report = publications.published(resolved, is_history=history, as_of=at)
    if call.json:
        print_json(report)
    else:
        _show(report, is_history=history)


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time: write it like 2026-01-31 or 2026-01-31T06:00",
            param_hint="--as-of",
        ) from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _show(report: "PublishedReport", *, is_history: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    from headrace.cli.terminal import from_here, new_console

    console = new_console()
    place = escape(from_here(report.location))
    if is_history:
        table = Table(box=None, pad_edge=False)
        for column in ("since (UTC)", "run", "code", "tables", "rows", ""):
            is_number = column in {"tables", "rows"}
            table.add_column(column, justify="right" if is_number else "left", no_wrap=True)
        for one in report.publications:
            table.add_row(
                f"{one.since:%Y-%m-%d %H:%M:%S}",
                one.run_id,
                one.code_version,
                f"{len(one.tables):,}",
                f"{sum(each.rows for each in one.tables):,}",
                "current" if one.is_current else "",
            )
        console.print(table)
        console.print(f"published: {place}", soft_wrap=True)
        return
    (one,) = report.publications
    word = "rolled back to what readers had" if report.rolled_back else "published"
    console.print(
        f"{word} by run [bold]{one.run_id}[/] (code {escape(one.code_version)}), "
        f"since {one.since:%Y-%m-%d %H:%M:%S} UTC",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("table")
    table.add_column("rows", justify="right")
    for each in one.tables:
        table.add_row(escape(each.name), f"{each.rows:,}")
    console.print(table)
    now = "" if one.is_current else ", which has something newer"
    console.print(f"in {place}{now}", soft_wrap=True)
