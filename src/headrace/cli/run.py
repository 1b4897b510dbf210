"""``headrace run`` and ``watch``, the steps load, build and publish, and ``state``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace import portable, process
from headrace.cli.options import STATE, Call, LogFormat, json_log, print_json, shared_options

if TYPE_CHECKING:
    from headrace.ingest.periods import Backfill
    from headrace.pipeline.building.slim_build import Selection
    from headrace.pipeline.run import Step


Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source", metavar="NAME", help="Load this source; repeatable. Else all enabled."
    ),
]
Tables = Annotated[
    list[str] | None,
    typer.Option(
        "--table", metavar="SOURCE.TABLE", help="Load this table alone; repeatable. Else all."
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="T",
        help="Load the past again from here on: a date, a time (UTC) or a number of the cursor.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="T", help="To just before this; else to the last load."),
]
FullRefresh = Annotated[
    bool, typer.Option("--full-refresh", help="Forget what was loaded and built; start over.")
]

Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        metavar="SELECTOR",
        help="Build this alone, in dbt's words (customers+); repeatable. Never published.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="SELECTOR", help="Build all but this; repeatable."),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="A state folder (headrace state): build what changed since, read the rest there.",
    ),
]
Defer = Annotated[
    bool | None,
    typer.Option(
        "--defer/--no-defer",
        help="Read from the state what is not built here; the default with --state.",
        show_default=False,
    ),
]


@shared_options()
def run(
    call: Call,
    source: Sources = None,
    table: Tables = None,
    since: Since = None,
    until: Until = None,
    full_refresh: FullRefresh = False,
    no_publish: Annotated[
        bool, typer.Option("--no-publish", help="Stop before publishing.")
    ] = False,
    select: Select = None,
    exclude: Exclude = None,
    state: StateDir = None,
    defer: Defer = None,
    log_format: LogFormat = None,
) -> None:
    """Load, build, test, audit, publish and record: the main job."""
    steps: tuple[Step, ...] = ("load", "build") if no_publish else ("load", "build", "publish")
    from headrace.pipeline.building.slim_build import parse_selection

    selection = parse_selection(select or (), exclude or (), state, defer=defer)
    past = _Past(tuple(table or ()), since, until)
    _execute(
        call, steps, source, past, full_refresh=full_refresh, selection=selection,
        log_format=log_format,
    )  # fmt: skip


@shared_options()
def load(
    call: Call,
    source: Sources = None,
    table: Tables = None,
    since: Since = None,
    until: Until = None,
    full_refresh: FullRefresh = False,
    log_format: LogFormat = None,
) -> None:
    """Load the sources by dlt: only what is new or changed."""
    past = _Past(tuple(table or ()), since, until)
    _execute(call, ("load",), source, past, full_refresh=full_refresh, log_format=log_format)


@shared_options()
def build(
    call: Call,
    full_refresh: FullRefresh = False,
    select: Select = None,
    exclude: Exclude = None,
    state: StateDir = None,
    defer: Defer = None,
    log_format: LogFormat = None,
) -> None:
    """Build and test the dbt project, or a part of it."""
    from headrace.pipeline.building.slim_build import parse_selection

    selection = parse_selection(select or (), exclude or (), state, defer=defer)
    _execute(
        call, ("build",), full_refresh=full_refresh, selection=selection, log_format=log_format
    )


@shared_options()
def publish(
    call: Call,
    log_format: LogFormat = None,
) -> None:
    """Publish the last build, if it passes its audit."""
    _execute(call, ("publish",), log_format=log_format)


@dataclass(frozen=True)
class _Past:
    """What of the sources is to be loaded, or loaded again."""

    tables: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None

    def backfill(self) -> "Backfill | None":
        from headrace.errors import SettingsError
        from headrace.ingest.periods import Backfill

        if self.since is None:
            if self.until is not None:
                raise SettingsError("--until needs --since: from where on to load again")
            return None
        return Backfill(self.since, self.until, is_named=bool(self.tables))


def _execute(
    call: Call,
    steps: "tuple[Step, ...]",
    source: list[str] | None = None,
    past: _Past = _Past(),
    *,
    full_refresh: bool = False,
    selection: "Selection | None" = None,
    log_format: str | None = None,
) -> None:
    settings = call.settings(flags=[f"log_format={log_format}"] if log_format else [])
    from headrace.cli.render_run import RunScreen, log_notes
    from headrace.pipeline.building.slim_build import EVERYTHING
    from headrace.pipeline.run import run as run_pipeline

    process.collect_rarely(500_000)
    values = settings.settings
    with (
        json_log(values.log_format, level=values.log_level, to_stderr=call.json) as is_log,
        RunScreen(quiet=call.json or is_log) as screen,
    ):
        report = run_pipeline(
            settings,
            steps=steps,
            source_names=tuple(source or ()),
            full_refresh=full_refresh,
            tables=past.tables,
            backfill=past.backfill(),
            selection=selection or EVERYTHING,
            began_at=STATE.began_at,
            listen=screen.listen,
            is_process=True,
        )
        if is_log:
            log_notes(report)
    if call.json:
        print_json(report)
    elif not is_log:
        screen.summary(report)
    if report.status != "success":
        raise typer.Exit(1)


@shared_options()
def state(
    call: Call,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder; an older state is replaced.")
    ],
) -> None:
    """Write what was published last to a folder. Later builds defer to it."""
    from headrace.pipeline.state.folder import write_state

    report = write_state(call.settings(), out)
    if call.json:
        print_json(report)
        return
    typer.echo(
        f"wrote the state of {report.code_version} (run {report.run_id}) to {report.path} "
        f"({report.bytes / 1e6:,.1f} MB in {report.seconds:.1f} s)"
    )
    if report.views_as_tables:
        typer.echo(f"views that are tables there: {', '.join(report.views_as_tables)}")


@shared_options()
def watch(call: Call) -> None:
    """Build and test what is saved, at once. With --json, it prints one object a line."""
    from headrace.cli.render_run import RunScreen, lines
    from headrace.pipeline.reports import Event
    from headrace.pipeline.watch import Watch, WatchReport, follow

    def print_line(report: WatchReport) -> None:
        typer.echo(report.model_dump_json())

    if call.json:
        follow(Watch(call.settings), print_line)
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
        watched = Watch(call.settings, listen=listen)
        follow(watched, show, pressed.next)
