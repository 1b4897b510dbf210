"""Stand-ins for cloud warehouses: each starts with the first process that uses it.

Each process that uses a stand-in holds a connection open, its lifeline, which the system closes
however the process ends. So a killed one leaves no server behind, and no server ends while somebody
uses it.
"""

import atexit
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from headrace import portable
from headrace.errors import WarehouseError
from headrace.exceptions import first_line

_LOG = logging.getLogger("headrace.targets")
_START_S, _REAP_S = 60.0, 5.0
_END_S = 120.0
"""PostgreSQL's package lets one server of the machine start or stop at a time."""
_ADDRESS = "server.json"
"""In the folder, while a server runs: its port and process id."""


@dataclass
class _Lifeline:
    port: int
    connection: socket.socket
    said: bytes
    ended: bool = False


@dataclass(frozen=True)
class StandIn:
    """A server that keeps its data in a folder of this machine.

    Attributes:
        title: what it stands in for, for people.
        module: is run with the folder and a port, 0 for a free one.
        greeting: the first bytes of a lifeline to a port.
        answer_ends: the last bytes of the server's answer to them.
    """

    title: str
    module: str
    greeting: Callable[[int], bytes]
    answer_ends: bytes
    _lifelines: dict[Path, _Lifeline] = field(default_factory=dict)
    _started: "dict[Path, subprocess.Popen[bytes]]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        """End the lifelines with this process."""
        atexit.register(self.release_all)

    def port_of(self, folder: Path) -> int:
        """The port of a folder's server, which is started where none runs.

        Raises:
            WarehouseError: it cannot be started.
        """
        held = self._lifelines.get(folder)
        if held is not None and not held.ended:
            greeting = self.greeting(held.port)
            if greeting != held.said:  # what it is to know has changed
                with suppress(OSError):
                    held.connection.sendall(greeting)
                    held.said = greeting
            return held.port
        from filelock import FileLock

        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "start.lock"):
            now = self._lifelines.get(folder)
            if now is not None and not now.ended:
                return now.port  # it was just started again
            found = self._running(folder)
            if found is None and held is not None:
                with suppress(WarehouseError):  # by now another program may have the port
                    return self._start(folder, held.port)
            return found or self._start(folder, 0)

    def release(self, folder: Path) -> None:
        """Use a folder's server no more."""
        held = self._lifelines.pop(folder, None)
        if held is not None:
            with suppress(OSError):
                held.connection.shutdown(socket.SHUT_RDWR)
            held.connection.close()

    def release_all(self) -> None:
        """Use no server any more."""
        for folder in list(self._lifelines):
            self.release(folder)

    def wait_until_ended(self, folder: Path, seconds: float = _END_S) -> None:
        """Wait until the server of a folder has written its files and is gone.

        Where it is still there after so many seconds, a warning says so.
        """
        deadline = time.monotonic() + seconds
        while (folder / _ADDRESS).exists():
            if time.monotonic() >= deadline:
                _LOG.warning(
                    "the stand-in for %s in %s has not ended within %.0f seconds",
                    self.title, folder, seconds,
                )  # fmt: skip
                return
            time.sleep(0.05)

    @contextmanager
    def apart(self, folder: Path) -> Iterator[dict[str, str]]:
        """The settings of a target with a stand-in of its own in a folder, which ends with it."""
        place = folder / "standin"
        try:
            yield {"path": str(place)}
        finally:
            self.release(place)
            self.wait_until_ended(place)

    @contextmanager
    def announced(self, folder: Path, port: int) -> Iterator[None]:
        """Say, in the server's own process, that it serves a folder at a port."""
        file = folder / _ADDRESS
        said = json.dumps({"port": port, "pid": os.getpid()})
        try:
            portable.write_file(file, said)
            yield
        finally:
            with suppress(OSError):
                if file.read_text("utf-8") == said:  # else another server has begun
                    file.unlink()

    def _watch(self, folder: Path, held: _Lifeline) -> None:
        """Start a server that ended by itself again, on its port: clients retry for a while."""
        from filelock import FileLock

        with held.connection, suppress(OSError):
            while held.connection.recv(64):
                pass
        if self._lifelines.get(folder) is not held:
            return  # it was released, and its folder may be gone
        _LOG.warning("the stand-in for %s ended by itself: it is started again", self.title)
        held.ended = True
        with suppress(WarehouseError), FileLock(folder / "start.lock"):
            # else it was released, or whoever asked for its port has started it
            if self._lifelines.get(folder) is held and self._running(folder) is None:
                self._start(folder, held.port)

    def _running(self, folder: Path) -> int | None:
        """The port of a server that runs, to which this process is connected from now on."""
        try:
            port = int(json.loads((folder / _ADDRESS).read_bytes())["port"])
            connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        greeting = self.greeting(port)
        try:
            connection.sendall(greeting)
            answered = b""
            while self.answer_ends not in answered:
                piece = connection.recv(4096)
                if not piece:
                    raise OSError("closed")
                answered += piece
        except OSError:
            connection.close()
            return None
        connection.settimeout(None)
        held = self._lifelines[folder] = _Lifeline(port, connection, greeting)
        threading.Thread(target=self._watch, args=(folder, held), daemon=True).start()
        return port

    def _start(self, folder: Path, port: int) -> int:
        if (ended := self._started.pop(folder, None)) is not None:
            ended.returncode = None
            with suppress(subprocess.TimeoutExpired):
                ended.wait(_REAP_S)  # else it counts as a process that is still there
        file = folder / _ADDRESS
        file.unlink(missing_ok=True)
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", self.module, str(folder), str(port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C ends the run, and with it the lifeline
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if file.exists() and (found := self._running(folder)) is not None:
                process.returncode = 0  # it is not waited for: it outlives this process
                self._started[folder] = process
                return found
            if process.poll() is not None:
                break
            time.sleep(0.02)
        said = (folder / "server.log").read_text("utf-8", "replace").strip().splitlines()
        why = first_line(said[-1]) if said else "it did not answer"
        raise WarehouseError(f"the stand-in for {self.title} in {folder} cannot be started: {why}")
