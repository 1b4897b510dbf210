"""Options that commands share, and the decorator that adds them to a command."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from headrace.formatting import count

if TYPE_CHECKING:
    from pydantic import BaseModel

    from headrace.pipeline.artifacts_folder import ArtifactsFolder
    from headrace.settings import Resolved


@dataclass
class _ProcessState:
    began_at: float | None = None  # the process, on the monotonic clock; None where it is not ours
    debug: bool = False
    stopped: bool = False
    reported: bool = False  # the command has printed what it found before it was stopped


STATE = _ProcessState()


def _debug(value: bool) -> bool:
    # at once: what is wrong with the other arguments has a traceback, too
    STATE.debug = STATE.debug or value
    return value


RowFormat = Annotated[
    Literal["table", "csv", "markdown"], typer.Option("--format", help="How to print rows.")
]


LogFormat = Annotated[
    Literal["text", "json"] | None,
    typer.Option(
        "--log-format",
        metavar="text|json",
        envvar="HEADRACE_LOG_FORMAT",
        show_envvar=False,
        help="json: print the log, one JSON object a line; else log_format.",
    ),
]


@contextmanager
def json_log(log_format: str | None, *, level: str, to_stderr: bool) -> Iterator[bool]:
    """The log as JSON for a while, if that is the format; gives whether it is.

    Args:
        log_format: ``json``, or anything else.
        level: the setting; lines of level info are there always.
        to_stderr: stdout is for a report as JSON.
    """
    if log_format != "json":
        yield False
        return
    from headrace.telemetry.json_log import to_stdout

    level = "debug" if level == "debug" else "info"
    with to_stdout(level, stream=sys.stderr if to_stderr else sys.stdout):
        yield True


def row_limit(default: int) -> Any:
    """The option ``--limit`` of a command that prints rows."""
    return typer.Option(
        "--limit",
        metavar="N",
        min=0,
        help=f"The most rows; 0 is all. By default {default}, and all with --out.",
        show_default=False,
    )


ArtifactsDir = Annotated[
    Path | None,
    typer.Option(
        "--artifacts",
        metavar="DIR",
        help="Of any dbt project, from its target folder alone; no project of Headrace is needed.",
    ),
]


@dataclass(frozen=True)
class Call:
    """The shared options of one call of a command."""

    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Set a setting, like data_dir=/tmp/x; repeatable."
        ),
    ] = None
    env: Annotated[
        str | None,
        typer.Option(
            "--env",
            metavar="NAME",
            help="The environment: config/NAME.yml, and data of its own (or HEADRACE_ENV).",
        ),
    ] = None
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="NAME", help="The target; else the setting `target`."),
    ] = None
    project_dir: Annotated[
        Path | None,
        typer.Option(
            "--project-dir", metavar="DIR", help="The project; else here or the nearest above."
        ),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.", callback=_debug)
    ] = False

    def settings(self, *, flags: Iterable[str] = ()) -> "Resolved":
        """The settings of this call; ``flags`` are further settings, as ``--set`` takes them."""
        from headrace.settings import find_root, resolve

        return resolve(
            find_root(self.project_dir),
            env=self.env,
            flags=[*(self.sets or []), *flags],
            options={"target": self.target} if self.target else {},
        )

    @contextmanager
    def catalog_settings(
        self, artifacts: Path | None, *, flags: Iterable[str] = ()
    ) -> "Iterator[Resolved]":
        """The settings of this call; of a temporary project if it names dbt's ``artifacts``."""
        if artifacts is None:
            yield self.settings(flags=flags)
            return
        with self.opened(artifacts, flags=flags) as folder:
            yield folder.resolved

    @contextmanager
    def opened(self, artifacts: Path, *, flags: Iterable[str] = ()) -> "Iterator[ArtifactsFolder]":
        """dbt's artifacts; what is missing in them is said on stderr."""
        from headrace.errors import ArtifactError
        from headrace.pipeline.artifacts_folder import opened

        given = {"--project-dir": self.project_dir, "--env": self.env, "--target": self.target}
        for option, value in given.items():
            if value is not None:
                raise ArtifactError(
                    f"{option} does not go with --artifacts, which needs no project of Headrace"
                )
        with opened(artifacts, flags=[*(self.sets or []), *flags]) as folder:
            for note in folder.notes:
                typer.echo(f"note: {note}", err=True)
            yield folder

    def settings_or_none(self) -> "Resolved | None":
        """The settings of this call; None outside a project if none was named."""
        from headrace.errors import ProjectError

        try:
            return self.settings()
        except ProjectError:
            if self.project_dir is not None or self.target is not None:
                raise
            return None


def shared_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command, whose first argument is a `Call`, the options that make one.

    Args:
        names: attributes of `Call`; without any, all of them. ``debug`` is always among them.
    """
    shared = [one for one in fields(Call) if not names or one.name in {*names, "debug"}]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_shared_options(**given: Any) -> None:
            call = Call(**{one.name: given.pop(one.name) for one in shared})
            command(call, **given)

        parameters = list(signature(command).parameters.values())[1:]
        parameters += [
            Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type)
            for one in shared
        ]
        # Typer reads a command's options from its signature
        with_shared_options.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        return with_shared_options

    return decorate


def show_written(rows: int, out: Path, *, as_json: bool) -> None:
    """Tell how many rows were written to a file; as JSON, on standard output."""
    if as_json:
        typer.echo(json.dumps({"path": str(out), "rows": rows}, ensure_ascii=False))
    else:
        typer.echo(f"{count(rows, 'row')} written to {out}", err=True)


def print_json(report: "BaseModel") -> None:
    """Print a report as JSON."""
    typer.echo(report.model_dump_json(indent=2))
