"""``headrace run`` and its steps: load, build, publish."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.options import Debug, Env, Json, ProjectDir, Sets, TargetName, resolved

if TYPE_CHECKING:
    from headrace.pipeline.run import Step
    from headrace.pipeline.slim_build import Selection

Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source", metavar="NAME", help="Load this source; repeatable. Else all enabled."
    ),
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


def run(
    source: Sources = None,
    target: TargetName = None,
    full_refresh: FullRefresh = False,
    no_publish: Annotated[
        bool, typer.Option("--no-publish", help="Stop before publishing.")
    ] = False,
    select: Select = None,
    exclude: Exclude = None,
    state: StateDir = None,
    defer: Defer = None,
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Load, build, test, audit, publish and record: the main job."""
    del debug
    steps: tuple[Step, ...] = ("load", "build") if no_publish else ("load", "build", "publish")
    from headrace.pipeline.slim_build import chosen

    selection = chosen(select or (), exclude or (), state, defer=defer)
    _execute(
        steps, project_dir, env, sets, target, source,
        full_refresh=full_refresh, json=json, selection=selection,
    )  # fmt: skip


def load(
    source: Sources = None,
    target: TargetName = None,
    full_refresh: FullRefresh = False,
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Load the sources by dlt: only what is new or changed."""
    del debug
    _execute(
        ("load",), project_dir, env, sets, target, source, full_refresh=full_refresh, json=json
    )


def build(
    target: TargetName = None,
    full_refresh: FullRefresh = False,
    select: Select = None,
    exclude: Exclude = None,
    state: StateDir = None,
    defer: Defer = None,
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Build and test the dbt project, or a part of it."""
    del debug
    from headrace.pipeline.slim_build import chosen

    selection = chosen(select or (), exclude or (), state, defer=defer)
    _execute(
        ("build",), project_dir, env, sets, target, None,
        full_refresh=full_refresh, json=json, selection=selection,
    )  # fmt: skip


def publish(
    target: TargetName = None,
    sets: Sets = None,
    env: Env = None,
    project_dir: ProjectDir = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Publish the last build, if it passes its audit."""
    del debug
    _execute(("publish",), project_dir, env, sets, target, None, full_refresh=False, json=json)


def _execute(
    steps: "tuple[Step, ...]",
    project_dir: Path | None,
    env: str | None,
    sets: list[str] | None,
    target: str | None,
    source: list[str] | None,
    *,
    full_refresh: bool,
    json: bool,
    selection: "Selection | None" = None,
) -> None:
    settings = resolved(project_dir, env, sets, target)
    from headrace.cli.render import RunScreen
    from headrace.pipeline.run import run as run_pipeline
    from headrace.pipeline.slim_build import EVERYTHING

    with RunScreen(quiet=json) as screen:
        report = run_pipeline(
            settings,
            steps=steps,
            source_names=tuple(source or ()),
            full_refresh=full_refresh,
            selection=selection or EVERYTHING,
            listen=screen.listen,
        )
    if json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        screen.summary(report)
    if report.status != "success":
        raise typer.Exit(1)
