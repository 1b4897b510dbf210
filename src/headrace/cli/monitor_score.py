"""``headrace quality score``: how good the monitors are, on a shop whose faults are known."""

from typing import Annotated

import typer

from headrace.cli.options import Call, print_json, shared_options


@shared_options("json", "project_dir")
def score(
    call: Call,
    months: Annotated[
        int, typer.Option("--months", metavar="N", min=2, max=12, help="Months that are judged.")
    ] = 6,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Of the shop and its faults.")
    ] = 0,
    scale: Annotated[
        float,
        typer.Option(
            "--scale", metavar="X", min=0.5, max=50, help="Of the shop: 3 is 60 orders a day."
        ),
    ] = 3.0,
    monitors: Annotated[
        list[str] | None,
        typer.Option(
            "--monitor",
            metavar="NAME",
            help="baseline, z-score, prophet or isolation_forest; repeatable. By default the "
            "first two: the others take far longer.",
        ),
    ] = None,
    direct: Annotated[
        bool,
        typer.Option(
            "--direct",
            help="Measure the generated files of six raw tables, without dlt, dbt and marts: "
            "takes a fraction of the time.",
        ),
    ] = False,
) -> None:
    """Replay months with faults, and count what the monitors notice.

    Every kind of fault, of several strengths, one at a time and together: found, missed, false
    alarms a month, time to notice. The project's shop is loaded by dlt, built by dbt and monitored
    as in a run, in a warehouse of its own; the project's own data is not touched.
    """
    from headrace.cli.render_monitor_score import show_score
    from headrace.cli.terminal import LiveScreen
    from headrace.errors import MonitorError
    from headrace.pipeline.monitor_score import score_project
    from headrace.quality.monitor_score.service import MONITORS
    from headrace.settings import find_root

    for name in monitors or ():
        if name not in MONITORS:
            raise MonitorError(f"there is no monitor {name!r}: choose from {', '.join(MONITORS)}")
    with LiveScreen("generating the shop", quiet=call.json) as screen:
        report = score_project(
            find_root(call.project_dir),
            seed=seed,
            months=months,
            scale=scale,
            monitors=tuple(dict.fromkeys(monitors or MONITORS[:2])),
            is_direct=direct,
            progress=screen.say,
        )
    if call.json:
        print_json(report)
    else:
        show_score(report)
