"""The run lock: one run at a time per warehouse.

The lock is the operating system's (``filelock``): it ends with the process that holds it. A file
beside it says who holds it, for people. A target that several machines write has a lock of its own
besides, which all of them see.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from headrace import portable
from headrace.errors import LockedError, WarehouseError
from headrace.system_errors import system_fault
from headrace.targets import Target


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes:
        pid: process id.
        host: the machine's name.
        command: what it runs, for example ``headrace run``.
        since: when it took the lock, ISO 8601 in UTC.
    """

    pid: int
    host: str
    command: str
    since: str


@contextmanager
def hold(target: Target, command: str) -> Iterator[Holder | None]:
    """Hold a target's locks, this machine's and its own, while the block runs.

    Args:
        target: what is about to be written.
        command: what this process is about to do.

    Yields:
        The dead process of this machine that the lock was taken over from, or None.

    Raises:
        LockedError: another process holds it, here or elsewhere.
        WarehouseError: the lock file cannot be written, or the target cannot be reached.
    """
    with hold_file(target.lock_path, command) as dead, target.lock(command):
        yield dead


@contextmanager
def hold_file(path: Path, command: str) -> Iterator[Holder | None]:
    """Hold the lock at ``path`` while the block runs.

    Args:
        path: the lock file.
        command: what this process is about to do.

    Yields:
        The dead process that the lock was taken over from, or None.

    Raises:
        LockedError: another process holds it.
        WarehouseError: the lock file cannot be written.
    """
    from filelock import FileLock, Timeout

    info = path.with_name(path.name + ".json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise LockedError(_busy(path, _read(info))) from error
    except OSError as error:
        fault = system_fault(error, place=path.parent)
        raise WarehouseError(
            f"no lock can be taken at {path}: {fault.message}"
            if fault
            else f"no lock can be taken at {path} ({error.strerror or error}): make {path.parent} "
            "writable, or point data_dir (HEADRACE_DATA_DIR) at a directory that is"
        ) from error
    try:
        dead = _read(info)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holder = Holder(os.getpid(), socket.gethostname(), command, now)
        with suppress(OSError):  # the note is for people; a full disk must not stop them here
            portable.write_file(info, json.dumps(asdict(holder)))
        yield dead
    finally:
        with suppress(OSError):
            info.unlink(missing_ok=True)
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock at ``path``."""
    from filelock import FileLock, Timeout

    if not path.exists():
        return False
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def _read(info: Path) -> Holder | None:
    """Who holds the lock; None if the note is missing or cannot be read."""
    try:
        found = json.loads(info.read_bytes())
        holder = Holder(
            int(found["pid"]), str(found["host"]), str(found["command"]), str(found["since"])
        )
        if datetime.fromisoformat(holder.since).tzinfo is None:
            return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return holder


def _busy(path: Path, holder: Holder | None) -> str:
    if holder is None:
        return f"another run holds {path}: wait until it has ended"
    since = datetime.fromisoformat(holder.since)
    minutes = int((datetime.now(UTC) - since).total_seconds() // 60)
    return (
        f"another run holds the warehouse: `{holder.command}`, process {holder.pid} on "
        f"{holder.host}, since {since:%Y-%m-%d %H:%M:%S} UTC ({minutes} min): wait until it has "
        f"ended, or stop it ({portable.stop_command(holder.pid)})"
    )
