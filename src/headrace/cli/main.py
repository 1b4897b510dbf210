"""``headrace``: the list of commands, and how errors and Ctrl-C become an exit code."""

import json
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace import portable, process, secrets
from headrace.cli.add import add, scaffold
from headrace.cli.contract import contract
from headrace.cli.diff import diff, parity
from headrace.cli.export import export
from headrace.cli.generate import generate, learn
from headrace.cli.inspect import doctor, inspect, status, where
from headrace.cli.lineage import lineage
from headrace.cli.options import STATE
from headrace.cli.profile import profile
from headrace.cli.project import adopt, new, update
from headrace.cli.published import published
from headrace.cli.quality import quality
from headrace.cli.quarantine import quarantine
from headrace.cli.query import query
from headrace.cli.redshift_mock import redshift_mock
from headrace.cli.run import build, load, publish, run, state, watch
from headrace.cli.serve import docs, serve
from headrace.cli.simulate import simulate
from headrace.cli.strength import strength
from headrace.errors import CheckFailedError, HeadraceError

if TYPE_CHECKING:
    from headrace.error_detail import ErrorDetail

_STATUS = {1: "failed", 2: "error", 130: "interrupted"}
_STOPPED_CODE = 130
_STOPPED = "stopped: what is published is untouched"
_RESUMED = "; the same command takes up where it ended"
_RESUMABLE = frozenset({"run", "load", "build", "publish", "watch"})

app = typer.Typer(
    name="headrace",
    help="A data platform that you copy: load, build, test, publish.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich markup would take half of the start-up
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 good, 1 a check failed, 2 could not run, 130 stopped by Ctrl-C.",
)


for _command in (
    new,
    adopt,
    update,
    run,
    watch,
    load,
    build,
    publish,
    published,
    state,
    diff,
    parity,
    query,
    profile,
    inspect,
    generate,
    learn,
    simulate,
    lineage,
    scaffold,
    serve,
    docs,
    export,
    where,
    status,
    doctor,
):
    app.command()(_command)

app.command("test-strength")(strength)
app.command("redshift-mock")(redshift_mock)

app.add_typer(add, name="add")
app.add_typer(quarantine, name="quarantine")
app.add_typer(contract, name="contract")
app.add_typer(quality, name="quality")


def _version(value: bool) -> None:
    if value:
        from headrace import __version__

        typer.echo(f"headrace {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line; every failure ends in one line and an exit code."""
    process.collect_rarely()
    STATE.began_at = time.monotonic() - portable.process_age()
    portable.print_anything(sys.stdout, sys.stderr, is_json="--json" in sys.argv)
    secrets.hide_in_output(sys.stdout, sys.stderr)
    try:
        sys.unraisablehook = _press_again
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _stop)
        # a library's log that cannot be written must not print a traceback for each line
        logging.raiseExceptions = False
        _run()
    except KeyboardInterrupt:
        _fail(_stopped(), _STOPPED_CODE)
    except SystemExit as end:
        # Typer ends the process on Ctrl-C without a word
        if end.code == _STOPPED_CODE:
            _fail(_stopped(), _STOPPED_CODE)
        wrong_call = getattr(end.__context__, "format_message", None)
        if wrong_call is not None:  # Typer has said it on stderr
            _print_json(wrong_call(), 2)
        raise
    except CheckFailedError as error:
        _fail(str(error), 1, error)
    except HeadraceError as error:
        _fail(str(error), 2, error)
    except Exception as error:
        if portable.is_closed_pipe(error):
            # whoever read our output has gone; there is nobody left to tell
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(2)
        _fail(_explained(error), 2, error)


def _run() -> None:
    """Run the command, and flush stdout while an error can still be reported."""
    try:
        app()
    finally:
        sys.stdout.flush()
        process.skip_last_collection()


def _explained(error: Exception) -> str:
    from headrace.exceptions import first_line
    from headrace.system_errors import system_fault

    fault = system_fault(error)
    if fault is not None:
        return fault.message
    return (
        f"unexpected {type(error).__name__}: {first_line(error)} "
        "(please report it, with what --debug prints)"
    )


def _stopped() -> str:
    """What Ctrl-C leaves: a measurement or a comparison begins again from its start."""
    return _STOPPED + (_RESUMED if sys.argv[1:2] and sys.argv[1] in _RESUMABLE else "")


def _stop(number: int, frame: FrameType | None) -> None:
    """Remember Ctrl-C: a library may swallow it, and then fail in some other way."""
    STATE.stopped = True
    signal.default_int_handler(number, frame)


def _press_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Python drops what a finalizer raises: a Ctrl-C that lands in one would be lost."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        # from another thread, slightly later: here it would be dropped again
        threading.Timer(0.02, portable.interrupt_main).start()
    else:
        sys.__unraisablehook__(unraisable)


def _fail(message: str, code: int, error: Exception | None = None) -> None:
    if STATE.stopped:
        message, code, error = _stopped(), _STOPPED_CODE, None
    detail = error.detail if isinstance(error, HeadraceError) else None
    if STATE.debug:
        import traceback

        traceback.print_exc()
    if detail is not None and detail.text:
        typer.echo(detail.text, err=True)
    for note in getattr(error, "__notes__", ()):
        typer.echo(f"! {note}", err=True)
    typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(message, err=True)
    _print_json(message, code, detail)
    # threads of a library must not keep a run that has ended alive
    sys.exit(code)


def _print_json(message: str, code: int, detail: "ErrorDetail | None" = None) -> None:
    """With ``--json``, print the error as JSON on stdout; see docs/reference/errors.md."""
    if "--json" not in sys.argv or STATE.reported:
        return
    groups = {"add", "contract", "quality", "quarantine"}
    words = sys.argv[1 : 3 if sys.argv[1] in groups else 2]
    report: dict[str, Any] = {
        "command": " ".join(["headrace", *(word for word in words if not word.startswith("-"))]),
        "status": _STATUS.get(code, "error"),
        "exit_code": code,
        "error": secrets.hide(message),
    }
    if detail is not None:
        report["detail"] = secrets.hide_in(detail.as_json())
    with suppress(OSError):  # stdout itself may be what cannot be written
        print(json.dumps(report, indent=2), flush=True)  # noqa: T201
