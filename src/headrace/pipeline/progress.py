"""What a run in progress does now, in a small file beside its data: for the page, not for people.

The run store gets the nodes of a build at its end. What is written here is for the time until
then, and goes when the run ends; of a run that was killed it stays until the next one.
"""

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from headrace import portable
from headrace.pipeline.reports import Event, Listener

_SECONDS = 0.5  # between two writes
_BAD = frozenset({"failed"})
_MOST = 200  # names of what failed


@dataclass(frozen=True)
class Now:
    """What a run does.

    Attributes:
        run_id: of the run.
        step: that it is at; empty before the first one.
        step_since: ISO 8601, UTC.
        phase: what is being done in the step besides its nodes, such as ``parsing the project``.
        phase_since: ISO 8601, UTC.
        running: models, tests and other nodes that have begun and not ended, and since when.
        done: how many nodes have ended.
        failed: the names of those that failed.
    """

    run_id: str
    step: str = ""
    step_since: str = ""
    phase: str = ""
    phase_since: str = ""
    running: Mapping[str, str] = field(default_factory=dict)
    done: int = 0
    failed: tuple[str, ...] = ()


class Progress:
    """Writes what a run does now, at most twice a second; a context manager.

    It is a listener that passes each event on. A file that cannot be written stops nothing.
    """

    def __init__(self, path: Path, listen: Listener) -> None:
        """Note where to write, and to whom events go on."""
        self._path = path
        self._pass_on = listen
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._written = 0.0
        self._run_id = self._step = self._step_since = self._phase = self._phase_since = ""
        self._running: dict[str, str] = {}
        self._failed: list[str] = []
        self._done = 0
        self._is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_over = True
            if self._timer is not None:
                self._timer.cancel()
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def begin(self, run_id: str) -> None:
        """Say which run it is."""
        with self._lock:
            self._run_id = run_id
            self._write()

    def listen(self, event: Event) -> None:
        """Take an event, from whatever thread, and pass it on."""
        self._pass_on(event)
        with self._lock:
            self._take(event, datetime.now(UTC).isoformat(timespec="milliseconds"))
            wait = self._written + _SECONDS - time.monotonic()
            if wait <= 0:
                self._write()
            elif self._timer is None:
                self._timer = threading.Timer(wait, self._write_late)
                self._timer.daemon = True
                self._timer.start()

    def _take(self, event: Event, at: str) -> None:
        is_step = event.name == event.step
        if event.state == "progress":
            return  # told by the nodes themselves
        if event.state == "phase":
            if event.step != self._step:  # what no event says began: monitors, profiles
                self._begin(event.step, at)
            self._phase, self._phase_since = event.name, at
        elif is_step and event.state == "started":
            self._begin(event.step, at)
        elif event.state == "started":
            self._running.setdefault(event.name, at)
            self._phase = ""
        elif not is_step:
            self._running.pop(event.name, None)
            self._done += 1
            if event.state in _BAD and len(self._failed) < _MOST:
                self._failed.append(event.name)

    def _begin(self, step: str, at: str) -> None:
        self._step, self._step_since, self._phase = step, at, ""
        self._running.clear()

    def _write_late(self) -> None:
        with self._lock:
            self._timer = None
            self._write()

    def _write(self) -> None:
        if self._is_over:
            return
        now = Now(
            self._run_id, self._step, self._step_since, self._phase, self._phase_since,
            dict(self._running), self._done, tuple(self._failed),
        )  # fmt: skip
        self._written = time.monotonic()
        with suppress(OSError):
            portable.write_file(self._path, json.dumps(asdict(now)))


@dataclass(frozen=True)
class ProgressFile:
    """The file as a reader sees it.

    Attributes:
        path: the file; None where there is none to be.
    """

    path: Path | None

    def stamp(self) -> int:
        """What changes whenever the file does; 0 where there is none."""
        try:
            return self.path.stat().st_mtime_ns if self.path else 0
        except OSError:
            return 0

    def read(self) -> Now | None:
        """What the run does; None where there is none, or the file is of another Headrace."""
        try:
            found: dict[str, Any] = json.loads(self.path.read_bytes()) if self.path else {}
            known = {key: found[key] for key in Now.__dataclass_fields__}
            return Now(**{**known, "failed": tuple(known["failed"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None


def path_of(data_dir: Path) -> Path:
    """Where the progress of a run is written."""
    return data_dir / "progress.json"
