"""The server's process: it starts with the first one that uses a folder, and ends with the last.

Each process that uses it holds a connection open, its lifeline, which the system closes however the
process ends. So a killed one leaves no server behind, and no server ends while somebody uses it.
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
from contextlib import suppress
from pathlib import Path

from headrace import portable
from headrace.errors import WarehouseError
from headrace.exceptions import first_line

_LOG = logging.getLogger("headrace.targets")
_START_S = 60.0
_lifelines: dict[Path, tuple[int, socket.socket]] = {}
"""By folder: the port of its server, and this process's connection."""


def port_of(folder: Path) -> int:
    """The port of a folder's server, which is started where none runs.

    Raises:
        WarehouseError: it cannot be started.
    """
    held = _lifelines.get(folder)
    if held is not None:
        return held[0]
    from filelock import FileLock

    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "start.lock"):
        return _running(folder) or _start(folder, 0)


def _watch(folder: Path, port: int, connection: socket.socket) -> None:
    """Start a server that ended by itself again, on its port: clients try again for a long time."""
    from filelock import FileLock

    with suppress(OSError):
        while connection.recv(64):
            pass
    with FileLock(folder / "start.lock"):
        if _lifelines.get(folder) != (port, connection):
            return  # it was released
        connection.close()
        _LOG.warning("the stand-in for Snowflake ended by itself: it is started again")
        with suppress(WarehouseError):
            if _running(folder) is None:
                _start(folder, port)


def release(folder: Path) -> None:
    """Use a folder's server no more."""
    held = _lifelines.pop(folder, None)
    if held is not None:
        with suppress(OSError):
            held[1].shutdown(socket.SHUT_RDWR)
        held[1].close()


@atexit.register
def release_all() -> None:
    """Use no server any more."""
    for folder in list(_lifelines):
        release(folder)


def wait_until_ended(folder: Path, seconds: float = 15.0) -> None:
    """Wait until the server of a folder has written its files and is gone."""
    deadline = time.monotonic() + seconds
    while (folder / "server.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def _running(folder: Path) -> int | None:
    """The port of a server that runs, to which this process is connected from now on."""
    from headrace.targets.snowflake_standin.server import LIFELINE

    try:
        port = int(json.loads((folder / "server.json").read_bytes())["port"])
        connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        request = f"GET {LIFELINE} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        connection.sendall(request.encode())
        answered = b""
        while b"\r\n\r\n" not in answered:
            piece = connection.recv(4096)
            if not piece:
                raise OSError("closed")
            answered += piece
    except OSError:
        connection.close()
        return None
    connection.settimeout(None)
    _lifelines[folder] = (port, connection)
    threading.Thread(target=_watch, args=(folder, port, connection), daemon=True).start()
    return port


def _start(folder: Path, port: int) -> int:
    file = folder / "server.json"
    file.unlink(missing_ok=True)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace.targets.snowflake_standin", str(folder), str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C ends the run, and the server with its last lifeline
        )
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if file.exists() and (found := _running(folder)) is not None:
            process.returncode = 0  # it is not waited for: it outlives this process
            return found
        if process.poll() is not None:
            break
        time.sleep(0.02)
    said = (folder / "server.log").read_text("utf-8", "replace").strip().splitlines()
    why = first_line(said[-1]) if said else "it did not answer"
    raise WarehouseError(f"the stand-in for Snowflake in {folder} cannot be started: {why}")


def serve(folder: Path, port: int = 0) -> None:
    """Serve a folder until the last process that uses it has ended.

    Raises:
        duckdb.Error: another server has the folder, or a file is damaged.
    """
    import duckdb

    from headrace.targets.snowflake_standin.engine import Engine
    from headrace.targets.snowflake_standin.server import StandInServer

    deadline = time.monotonic() + 20
    while True:
        try:
            engine = Engine(folder)
            break
        except duckdb.IOException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)  # the one before is just ending
    file = folder / "server.json"
    server = StandInServer(engine, port)
    try:
        portable.write_file(file, json.dumps({"port": server.port, "pid": os.getpid()}))
        server.serve_forever(poll_interval=0.1)
    finally:
        server.server_close()
        for token in list(server.sessions):
            server.log_out(token)
        engine.close()
        with suppress(OSError):
            file.unlink()
