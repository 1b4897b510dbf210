"""Locks that other machines see: a file lock in a folder, a lease in S3 or in a row of a table.

A lease is an object that only one writer can make or replace (a conditional write). Its holder
renews it; one that was not renewed in time may be taken over. Only the server's clock is asked, so
a clock of this machine that is off does no harm.
"""

import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from headrace import portable
from headrace.errors import HeadraceError, LockedError, WarehouseError
from headrace.system_errors import system_fault
from headrace.targets.object_store import ABSENT, ConflictError, Content, ObjectStore

_LOG = logging.getLogger("headrace.targets")


@dataclass(frozen=True)
class Lease:
    """Who writes a lake.

    Attributes:
        id: of this lease, random.
        host: the machine's name.
        pid: process id.
        command: what it runs.
        since: ISO 8601 in UTC, by its own clock: for people alone.
        seconds: how long it lasts unless it is renewed.
        released: whether it has ended.
    """

    id: str
    host: str
    pid: int
    command: str
    since: str
    seconds: float
    released: bool = False


def _new(command: str, seconds: float) -> Lease:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Lease(uuid.uuid4().hex, socket.gethostname(), os.getpid(), command, now, seconds)


def _read(found: Content) -> Lease | None:
    """The lease of an object; None if it is not one that can be read."""
    try:
        return Lease(**json.loads(found.body))
    except (ValueError, TypeError):
        return None


def _body(lease: Lease) -> bytes:
    return json.dumps(asdict(lease)).encode()


@contextmanager
def leased(
    store: ObjectStore, key: str, command: str, *, seconds: float, unlock: str
) -> Iterator[None]:
    """Hold a lease of an object store.

    Args:
        store: the lake.
        key: of the object.
        command: for whoever has to wait.
        seconds: how long it lasts after its holder died.
        unlock: what to do about a lease whose holder is known to be dead.

    Raises:
        LockedError: another machine holds it.
        WarehouseError: the store cannot be written, or takes no conditions.
    """
    mine = _new(command, seconds)
    found = store.get(key)
    if found is not None:
        other = _read(found)
        if other is not None and not other.released and found.age < other.seconds:
            raise LockedError(_busy(store.url, other, found.age, unlock))
    try:
        tag = store.put(key, _body(mine), tag=found.tag if found else ABSENT)
    except ConflictError:
        there = store.get(key)
        other = _read(there) if there else None
        raise LockedError(
            _busy(store.url, other, there.age, unlock)
            if there and other
            else f"another run has just begun on {store.url}: wait until it has ended"
        ) from None
    try:
        store.put(key, b"a server that takes this is not safe", tag=ABSENT)
    except ConflictError:
        pass
    else:
        store.delete([key])
        raise WarehouseError(
            f"the server of {store.url} ignores conditional writes (If-None-Match), without which "
            "two runs could write at once: use one that knows them"
        )
    over = threading.Event()
    renewer = threading.Thread(
        target=_renew, args=(store, key, mine, tag, over), name="lease", daemon=True
    )
    renewer.start()
    try:
        yield
    finally:
        over.set()
        renewer.join()
        with suppress(HeadraceError):  # it ends by itself
            there = store.get(key)
            if there is not None and (now := _read(there)) is not None and now.id == mine.id:
                ended = Lease(**{**asdict(mine), "released": True})
                store.put(key, _body(ended), tag=there.tag)


def _renew(store: ObjectStore, key: str, mine: Lease, tag: str, over: threading.Event) -> None:
    """Write the lease again, four times in its life, until it is over or somebody took it."""
    while not over.wait(mine.seconds / 4):
        try:
            tag = store.put(key, _body(mine), tag=tag)
        except ConflictError:
            _LOG.error("the lease of %s was lost: this machine was too slow to renew it", store.url)
            return
        except HeadraceError as error:
            _LOG.warning("the lease of %s could not be renewed yet: %s", store.url, error)


def _busy(url: str, lease: Lease, age: float, unlock: str) -> str:
    left = max(1, round(lease.seconds - age))
    return (
        f"another run holds {url}: `{lease.command}`, process {lease.pid} on {lease.host}, since "
        f"{lease.since[:19].replace('T', ' ')} UTC: wait until it has ended; if that machine is "
        f"gone, the lock ends in {left} s{unlock}"
    )


@dataclass(frozen=True)
class LeaseRow:
    """A lease that is the one row of a table: `holder`, `who`, `ends_at`.

    Attributes:
        table: its name in SQL.
        now: SQL of the server's time.
        until: SQL of the end of a lease that is taken or renewed now.
        never: SQL of a time that is over.
        text: a literal.
        seconds: how long it lasts unless it is renewed.
    """

    table: str
    now: str
    until: str
    never: str
    text: Callable[[str], str]
    seconds: float

    @contextmanager
    def held(
        self,
        command: str,
        *,
        location: str,
        take: Callable[[str], tuple[str, str]],
        tell: Callable[[str], object],
    ) -> Iterator[None]:
        """Hold the lease, and renew it, while the block runs.

        Args:
            command: for whoever has to wait.
            location: of the target.
            take: makes the table and its row where there is none, runs a statement, and gives
                holder and who of the row.
            tell: runs a statement.

        Raises:
            LockedError: another machine holds it.
            WarehouseError: the server cannot be reached.
        """
        mine = uuid.uuid4().hex
        who = f"{command} on {socket.gethostname()}, process {os.getpid()}"
        holder, other = take(
            f"update {self.table} set holder = {self.text(mine)}, who = {self.text(who)}, "
            f"ends_at = {self.until} where ends_at < {self.now}"
        )
        if holder != mine:
            raise LockedError(
                f"another run holds {location}: `{other}`: wait until it has ended; if that "
                f"machine is gone, the lock ends in {self.seconds:g} s"
            )
        own = f"where holder = {self.text(mine)}"
        over = threading.Event()

        def keep() -> None:
            while not over.wait(self.seconds / 4):
                with suppress(WarehouseError):
                    tell(f"update {self.table} set ends_at = {self.until} {own}")

        renewer = threading.Thread(target=keep, name="lease", daemon=True)
        renewer.start()
        try:
            yield
        finally:
            over.set()
            renewer.join()
            with suppress(WarehouseError):  # it ends by itself
                tell(f"update {self.table} set ends_at = {self.never} {own}")


@contextmanager
def file_locked(folder: Path, command: str) -> Iterator[None]:
    """Hold the lock of a folder, which other processes and machines that mount it see.

    Raises:
        LockedError: another process holds it.
        WarehouseError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    path, note = folder / "lock", folder / "lock.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        lock.acquire()
    except Timeout:
        other = None
        with suppress(OSError, ValueError, TypeError):
            other = Lease(**json.loads(note.read_bytes()))
        who = f": `{other.command}`, process {other.pid} on {other.host}" if other else ""
        raise LockedError(
            f"another run holds {folder.parent}{who}: wait until it has ended"
        ) from None
    except OSError as error:
        fault = system_fault(error, place=folder)
        why = fault.message if fault else f"{error.strerror or error}: make it writable"
        raise WarehouseError(f"the lake at {folder.parent} cannot be written: {why}") from error
    try:
        with suppress(OSError):
            portable.write_file(note, _body(_new(command, 0)))
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()
