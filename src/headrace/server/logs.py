"""The lines of the log file that belong to a run."""

import json
from collections import deque
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from headrace.server.models import LogLine

_LAST = 200
_BACKUPS = 3
_KEPT = 32  # runs whose lines are remembered
# `exception` is a traceback, which holds paths of this machine
_NOT_SHOWN = frozenset({"time", "level", "logger", "message", "run_id", "exception"})


def relative_paths(message: str, root: str) -> str:
    """A message with paths relative to the project, so that it does not reveal where that is."""
    if root:
        for end in ("/", "\\"):
            message = message.replace(f"{root}{end}", "")
    return message


def lines_of(newest: Path, run_id: str, *, root: str = "") -> tuple[LogLine, ...]:
    """The last 200 lines of a run, in order; empty where there is no log.

    Args:
        newest: the log file; older ones are beside it as ``.1``, ``.2``, ``.3``.
        run_id: the run.
        root: the project's directory, which is cut from paths.
    """
    try:
        known = newest.stat()
        stamp = known.st_ino, known.st_size, known.st_mtime_ns
    except OSError:
        stamp = (0, 0, 0)
    return _read(newest, run_id, root, stamp)


@lru_cache(maxsize=_KEPT)
def _read(newest: Path, run_id: str, root: str, _: tuple[int, int, int]) -> tuple[LogLine, ...]:
    """As above; cached until something is written to the log."""
    found: deque[LogLine] = deque(maxlen=_LAST)
    mark = json.dumps(run_id).encode()
    older = [newest.with_name(f"{newest.name}.{n}") for n in range(_BACKUPS, 0, -1)]
    for path in (*older, newest):
        try:
            with path.open("rb") as stream:
                found += [_line(raw, root) for raw in stream if mark in raw]
        except OSError:
            continue
    return tuple(found)


def _line(raw: bytes, root: str) -> LogLine:
    try:
        fields = json.loads(raw)
        at = datetime.fromisoformat(fields["time"])
    except (ValueError, TypeError, KeyError):
        return LogLine(at=None, level="info", event="a line that cannot be read")
    return LogLine(
        at=at,
        level=str(fields.get("level", "info")),
        event=str(fields.get("message", "")),
        details=" ".join(
            f"{key}={relative_paths(str(value), root)}"
            for key, value in fields.items()
            if key not in _NOT_SHOWN
        ),
    )
