"""``headrace watch``: each save is built and tested at once, and shown on one screen."""

import typer

from headrace import portable
from headrace.cli.options import Call, TargetName, shared_options


@shared_options()
def watch(call: Call, target: TargetName = None) -> None:
    """Build and test what is saved, at once; with --json, one object a line."""
    from headrace.cli.render_run import RunScreen
    from headrace.cli.render_watch import lines
    from headrace.pipeline.reports import Event
    from headrace.pipeline.watch import Watch, WatchReport, follow

    def print_line(report: WatchReport) -> None:
        typer.echo(report.model_dump_json())

    if call.json:
        follow(Watch(lambda: call.settings(target)), print_line)
        return
    screen = RunScreen(quiet=False)

    def listen(event: Event) -> None:
        if screen.live is not None:
            screen.live.start()  # one that is started stays so
        screen.listen(event)

    def show(report: WatchReport) -> None:
        if screen.live is not None:
            screen.live.stop()
        if screen.console.is_terminal:
            screen.console.clear()
        for line in lines(report):
            screen.console.print(line)
        keys = "p publish · q quit · " if pressed.is_open else ""
        screen.console.print(f"\n[dim]{keys}waiting for the next save[/]")

    with portable.Keys() as pressed:
        watched = Watch(lambda: call.settings(target), listen=listen)
        follow(watched, show, pressed.next)
