"""``headrace simulate``: the stages of a cloud stack on this machine."""

from typing import Annotated

import typer

from headrace.cli.options import Call, print_json, shared_options
from headrace.cli.run import Sources
from headrace.errors import SettingsError

_WATCH = "watch"


@shared_options()
def simulate(
    call: Call,
    stages: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STAGE]...",
            help="bronze, silver, gold, snowflake-copy, snowflake-dbt, redshift-copy, "
            "redshift-dbt; else all. Or watch: load new files of bronze as they come.",
            show_default=False,
        ),
    ] = None,
    source: Sources = None,
    show: Annotated[
        bool, typer.Option("--show", help="List what each stage has, and run nothing.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Say of each stage why, what it would cost in the cloud, what fails."
        ),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--into",
            metavar="WAREHOUSE",
            help="watch: snowflake or redshift; repeatable. Else both.",
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="watch: load what is there, and end.")
    ] = False,
) -> None:
    """Run the stages of a cloud stack on this machine.

    They are S3, Delta, marts, COPY, and dbt in both warehouses.
    """
    from headrace.simulate import reports
    from headrace.simulate import stages as simulated

    wanted = list(stages or ())
    is_watch = wanted == [_WATCH]
    if (only or once) and not is_watch:
        raise SettingsError("--into and --once are of `headrace simulate watch`")
    flags = [*(call.sets or [])]
    simulation = simulated.simulation_of(call.settings(), source or (), flags)
    if is_watch:
        from headrace.cli.render_simulate import tell_failed, tell_loaded
        from headrace.simulate.watch import watch

        if not once:
            staged = ", ".join(simulation.sources)
            typer.echo(f"waiting for new files of {staged} in bronze; Ctrl-C ends", err=True)
        has_new = watch(
            simulation,
            tuple(only or ()),
            once=once,
            on_loaded=tell_loaded(is_json=call.json),
            on_failed=tell_failed(is_json=call.json),
        )
        if not has_new:
            typer.echo("no new file in bronze: `headrace simulate bronze` stages some", err=True)
        return
    for name in wanted:
        if name not in reports.ALL_STAGES:
            from headrace.formatting import did_you_mean

            meant = did_you_mean(name, reports.ALL_STAGES)
            raise SettingsError(
                f"there is no stage {name}{f' ({meant})' if meant else ''}: name "
                f"{', '.join(reports.ALL_STAGES)}, or watch alone"
            )
    names = tuple(name for name in reports.ALL_STAGES if name in wanted)
    if show:
        report = simulated.shown(simulation, names)
        if call.json:
            print_json(report if explain else report.plain())
        else:
            from headrace.cli.render_simulate import show_stages

            show_stages(report, explain=explain, lists_tables=True)
        return
    from headrace.cli.render_simulate import SimulateScreen

    with SimulateScreen(quiet=call.json) as screen:
        report = simulated.run(
            simulation, names, listen=screen.listen, begun=screen.begun, ended=screen.ended
        )
    if call.json:
        print_json(report if explain else report.plain())
    elif explain:
        from headrace.cli.render_simulate import show_stages

        show_stages(report, explain=True, lists_tables=False)
    if not report.is_good:
        raise typer.Exit(1)
