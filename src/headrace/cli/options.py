"""Options that commands share, and the decorator that adds them to a command."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from headrace.settings import Resolved


@dataclass
class _ProcessState:
    debug: bool = False
    stopped: bool = False


STATE = _ProcessState()


def _debug(value: bool) -> bool:
    # at once: what is wrong with the other arguments has a traceback, too
    STATE.debug = STATE.debug or value
    return value


TargetName = Annotated[
    str | None,
    typer.Option("--target", metavar="NAME", help="The target to load into and build in."),
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
        typer.Option("--env", metavar="NAME", help="Read config/NAME.yml too (or HEADRACE_ENV)."),
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

    def settings(self, target: str | None = None, *, flags: Iterable[str] = ()) -> "Resolved":
        """The settings of this call; ``flags`` are further settings, as ``--set`` takes them."""
        from headrace.settings import find_root, resolve

        flags = [*(self.sets or []), *flags, *([f"target={target}"] if target else [])]
        return resolve(find_root(self.project_dir), env=self.env, flags=flags)

    def settings_or_none(self) -> "Resolved | None":
        """The settings of this call; None outside a project if none was named."""
        from headrace.errors import ProjectError

        try:
            return self.settings()
        except ProjectError:
            if self.project_dir is not None:
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


def print_json(report: "BaseModel") -> None:
    """Print a report as JSON."""
    typer.echo(report.model_dump_json(indent=2))
