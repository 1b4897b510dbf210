"""The load in a copy of this process, so that this one can start dbt meanwhile.

    this process   ─┬─ run store ─ import dbt ─ parse ─┬─ build ─ audit ─ publish
    its copy        └─ import dlt ─ load ──────────────┘

To import dlt and dbt takes longer than all work on a small project, and neither needs the other.
The copy holds the lock of the run, too, until it ends; and it ends when this process does.
"""

import importlib
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from headrace import portable, secrets
from headrace.errors import HeadraceError, SourceError, UserError
from headrace.exceptions import came_of_ctrl_c
from headrace.pipeline.reports import Event, Listener, LoadFailure, LoadReport, TableReport
from headrace.process import gc_paused

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_OF_BOTH = ("duckdb", "pendulum", "requests", "sqlalchemy", "sqlglot", "yaml")
"""What dlt and dbt both import, before there is a copy: once, and not once in each."""
_PATIENCE_S = 10.0  # for a load that is interrupted to take back what it has begun
_STEP_S = 0.02


class LoadEvents(Protocol):
    """Who is told when the load of a source begins and ends."""

    def load_started(self, source: str) -> None:
        """The load of a source began."""

    def load_ended(
        self, source: str, tables: Iterable[TableReport] = (), *, error: str | None = None
    ) -> None:
        """It ended; with an error, it failed."""


Load = Callable[[Listener, LoadEvents, list[LoadFailure]], LoadReport]
"""What loads; the list gets what failed, also where all of it did."""


class LoadProcess:
    """A copy of this process that waits for the word to load; one use.

    Args:
        pid: its process id.
        connection: to it.
    """

    def __init__(self, pid: int, connection: "Connection[Any, Any]") -> None:
        self._pid = pid
        self._connection = connection
        self._code: int | None = None
        self._outcome: tuple[str, Any] | None = None
        self._listening: BaseException | None = None
        self._failures: list[LoadFailure] = []

    def load(
        self,
        listen: Listener,
        events: LoadEvents,
        failures: list[LoadFailure],
        meanwhile: Callable[[], None],
    ) -> LoadReport:
        """Have it load, and do something else until it is done.

        Args:
            listen: is told what it does; from another thread.
            events: the same.
            failures: gets what could not be loaded.
            meanwhile: is done in this thread; raises nothing of its own.

        Raises:
            HeadraceError: what the load raised.
            KeyboardInterrupt: it was interrupted.
        """
        with suppress(OSError):  # it has died: to hear it says so
            self._connection.send(None)
        hearing = threading.Thread(target=self._hear, args=(listen, events), daemon=True)
        hearing.start()
        try:
            meanwhile()
            hearing.join()
        except KeyboardInterrupt:
            self.stop()
            raise
        failures += self._failures
        if self._listening is not None:
            raise self._listening
        kind, value = self._outcome or ("died", None)
        if isinstance(value, LoadReport):
            return value
        if isinstance(value, BaseException):
            raise value
        if kind == "interrupted":
            raise KeyboardInterrupt
        self.stop(at_once=True)
        raise SourceError(
            f"the process that loads was stopped from outside ({_ending(self._code)}), as a "
            "system does that runs out of memory: free some, and run again, which takes up from "
            "the last finished load"
        )

    def stop(self, *, at_once: bool = False) -> None:
        """End it, if it has not ended; unless at once, it has some seconds to do so."""
        deadline = time.monotonic() + _PATIENCE_S
        if not self._has_ended():
            portable.end_child(self._pid, at_once=at_once)
        while not self._has_ended():
            if not at_once and time.monotonic() > deadline:
                portable.end_child(self._pid, at_once=True)
            time.sleep(_STEP_S)

    def _has_ended(self) -> bool:
        if self._code is None:
            self._code = portable.exit_code(self._pid)
        return self._code is not None

    def _hear(self, listen: Listener, events: LoadEvents) -> None:
        """Pass on what it says, until it is done."""
        with suppress(EOFError, OSError):
            while True:
                kind, value, known = self._connection.recv()
                secrets.learn_known(known)
                if kind in {"done", "failed", "interrupted"}:
                    self._outcome = (kind, value)
                    return
                if kind == "failures":
                    self._failures += value
                elif self._listening is None:
                    try:
                        _pass_on(kind, value, listen, events)
                    except BaseException as error:  # of the terminal, for the thread that waits
                        self._listening = error


def _pass_on(kind: str, value: Any, listen: Listener, events: LoadEvents) -> None:
    if kind == "event":
        listen(value)
    elif kind == "began":
        events.load_started(value)
    else:
        source, tables, error = value
        events.load_ended(source, tables, error=error)


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name


@contextmanager
def started(load: Load, warm_up: Callable[[], None]) -> Iterator[LoadProcess]:
    """A copy of this process that has imported what it needs, or is about to.

    Args:
        load: what it does when it is told to.
        warm_up: what it does until then; whatever that raises, the load will tell.
    """
    with gc_paused():
        for name in _OF_BOTH:
            with suppress(ImportError):
                importlib.import_module(name)
    ours, theirs = Pipe()

    def work() -> None:
        ours.close()
        _Sender(theirs).work(load, warm_up)

    process = LoadProcess(portable.fork(work), ours)
    theirs.close()
    try:
        yield process
    finally:
        process.stop(at_once=True)
        ours.close()


class _Sender:
    """The copy's side."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection

    def work(self, load: Load, warm_up: Callable[[], None]) -> None:
        signal.signal(signal.SIGINT, _once)
        failures: list[LoadFailure] = []
        try:
            with suppress(Exception):
                warm_up()
            self._connection.recv()
            report = load(self._event, self, failures)
            self._say("failures", failures)
            self._say("done", report)
        except EOFError:
            return  # there is nothing to load: the other process is done without it
        except BaseException as error:
            self._say("failures", failures)
            if came_of_ctrl_c(error):
                self._say("interrupted", None)
            else:
                self._say("failed", _portable(error))

    def load_started(self, source: str) -> None:
        self._say("began", source)

    def load_ended(
        self, source: str, tables: Iterable[TableReport] = (), *, error: str | None = None
    ) -> None:
        self._say("ended", (source, tuple(tables), error))

    def _event(self, event: Event) -> None:
        self._say("event", event)

    def _say(self, kind: str, value: Any) -> None:
        self._connection.send((kind, value, secrets.known()))


def _once(number: int, frame: FrameType | None) -> None:
    """Ctrl-C reaches both processes at a terminal, and this one again by the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.default_int_handler(number, frame)


class _TraceError(Exception):
    """Where an error of the copy came from: the text of its traceback."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Carrier:
    """An error with its traceback as text, since a traceback cannot be sent."""

    def __init__(self, error: BaseException, trace: str) -> None:
        self.error, self.trace = error, trace

    def __reduce__(self) -> tuple[Any, ...]:
        return _with_trace, (self.error, self.trace)


def _with_trace(error: BaseException, trace: str) -> BaseException:
    error.__cause__ = _TraceError(trace)
    return error


def _portable(error: BaseException) -> Any:
    """The error, or one of the same words where it cannot be sent as it is."""
    trace = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:
        ours = isinstance(error, HeadraceError)
        detail = error.detail if isinstance(error, HeadraceError) else None
        text = str(error) if ours else f"{type(error).__name__}: {error}"
        error = UserError(text, detail=detail) if ours else RuntimeError(text)
    return _Carrier(error, trace)
