"""Options that several commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from headrace.settings import Resolved


@dataclass
class _State:
    debug: bool = False
    stopped: bool = False


STATE = _State()


def _debug(value: bool) -> bool:
    STATE.debug = STATE.debug or value
    return value


Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a setting, like data_dir=/tmp/x; repeatable."
    ),
]
Env = Annotated[
    str | None,
    typer.Option("--env", metavar="NAME", help="Read config/NAME.yml too (or HEADRACE_ENV)."),
]
TargetName = Annotated[
    str | None,
    typer.Option("--target", metavar="NAME", help="The target to load into and build in."),
]
ProjectDir = Annotated[
    Path | None,
    typer.Option(
        "--project-dir", metavar="DIR", help="The project; else here or the nearest above."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", callback=_debug)
]


def resolved(
    project_dir: Path | None, env: str | None, sets: list[str] | None, target: str | None
) -> "Resolved":
    """The settings of this call."""
    from headrace.settings import find_root, resolve

    flags = [*(sets or []), *([f"target={target}"] if target else [])]
    return resolve(find_root(project_dir), env=env, flags=flags)


def resolved_or_none(
    project_dir: Path | None, env: str | None, sets: list[str] | None
) -> "Resolved | None":
    """The settings of this call; None outside of a project that was not named."""
    from headrace.errors import ProjectError

    try:
        return resolved(project_dir, env, sets, None)
    except ProjectError:
        if project_dir is not None:
            raise
        return None
