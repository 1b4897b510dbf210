"""``headrace test-strength``: how many faults the tests of a project find."""

from typing import Annotated, Literal

import typer

from headrace.cli.options import STATE, Call, print_json, shared_options

Selectors = list[str] | None


@shared_options()
def strength(
    call: Call,
    select: Annotated[
        Selectors,
        typer.Option(
            "--select",
            "-s",
            metavar="SELECTOR",
            help="Put faults only into these models and sources, as dbt selects; repeatable.",
        ),
    ] = None,
    exclude: Annotated[
        Selectors,
        typer.Option("--exclude", metavar="SELECTOR", help="Put none into these; repeatable."),
    ] = None,
    faults: Annotated[
        Literal["all", "sql", "data"],
        typer.Option("--faults", help="In models' SQL, in raw data, or in both."),
    ] = "all",
    fail_under: Annotated[
        float | None,
        typer.Option(
            "--fail-under",
            metavar="N",
            min=0,
            max=1,
            help="Exit with 1 if the score is less, like 0.9.",
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", metavar="N", min=1, help="A fault that takes longer counts as found."
        ),
    ] = 60,
    every: Annotated[
        bool, typer.Option("--all", help="Show every fault that survived, not the first ten.")
    ] = False,
) -> None:
    """See which faults in data and models your tests find. They are put into a copy.

    A fault that no test finds is shown with a test that would find it. The warehouse, the last
    build and what is published stay as they are; Ctrl-C shows what was found so far.
    """
    from headrace import portable
    from headrace.cli.render_strength import StrengthScreen
    from headrace.pipeline.strength import measure_strength
    from headrace.quality.strength.measure import StrengthOptions

    settings = call.settings()
    with StrengthScreen(quiet=call.json) as screen:
        report = measure_strength(
            settings,
            settings.target,
            select=select or (),
            exclude=exclude or (),
            options=StrengthOptions(
                faults=faults,
                workers=min(4, portable.cores()),
                seconds=seconds,
                fail_under=fail_under,
            ),
            say=screen.say,
            progress=screen.advance,
        )
    if call.json:
        print_json(report)
    else:
        screen.summary(report, every=every)
    if report.stopped:
        STATE.reported = True
        raise typer.Exit(130)
    if not report.ok:
        raise typer.Exit(1)
