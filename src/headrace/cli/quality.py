"""``headrace quality``: alarms of monitors, how a metric moved, what was expected."""

from typing import Annotated

import typer

from headrace.cli.monitor_score import score
from headrace.cli.options import Call, print_json, shared_options

quality = typer.Typer(
    help="Monitors: what is wrong now, and how each metric moved.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

quality.command("score")(score)


@quality.command("status")
@shared_options()
def status(call: Call) -> None:
    """Show open alarms, and when marts will be fresh.

    Exit code 1 if there is an alarm, or a promise that is broken or will be.
    """
    from headrace.pipeline.quality.monitor_status import quality_status

    report = quality_status(call.settings())
    if call.json:
        print_json(report)
    else:
        from headrace.cli.render_quality import show_status

        show_status(report)
    if not report.passed:
        raise typer.Exit(1)


@quality.command("history")
@shared_options()
def history(
    call: Call,
    metric: Annotated[
        str,
        typer.Argument(
            metavar="METRIC",
            help="A table and its metric: orders.rows, marts.orders.amount.mean.",
            show_default=False,
        ),
    ],
    last: Annotated[
        int, typer.Option("--last", metavar="N", min=1, help="How many periods the picture shows.")
    ] = 84,
) -> None:
    """Show how a metric moved, within the band of what was expected."""
    from headrace.pipeline.quality.monitor_status import history as read

    report = read(call.settings(), metric)
    if call.json:
        print_json(report)
        return
    from headrace.cli.render_quality import show_history

    show_history(report, last=last)


@quality.command("expected")
@shared_options()
def expected(
    call: Call,
    alarm: Annotated[
        int, typer.Argument(metavar="ALARM", min=1, help="Its number.", show_default=False)
    ],
    note: Annotated[
        str | None, typer.Option("--note", metavar="TEXT", help="Why, for whoever reads it later.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="It was not expected after all.")] = False,
) -> None:
    """Say that an alarm was expected. It is closed, and the monitor learns from it."""
    from headrace.pipeline.quality.monitor_status import expect

    report = expect(call.settings(), alarm, note=note, undo=undo)
    if call.json:
        print_json(report)
        return
    from headrace.cli.render_quality import show_expected

    show_expected(report, undo=undo)
