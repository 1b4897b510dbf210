"""A stand-in's server that ends by itself is started again, by whoever comes first."""

import gc
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import filelock
import pytest

from headrace.targets.stand_in import StandIn


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """Where the server of a folder listens; the system answers for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_its_lifeline_is_closed_also_where_another_thread_starts_it(
    listening: socket.socket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = listening.getsockname()[1]
    (tmp_path / "server.json").write_text(json.dumps({"port": port, "pid": os.getpid()}))
    asked = threading.Event()

    class AskerIsFirst(filelock.FileLock):
        def acquire(self, *given: Any, **named: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                asked.wait(30)
            return super().acquire(*given, **named)

    monkeypatch.setattr(filelock, "FileLock", AskerIsFirst)
    stand_in = StandIn("a warehouse", "no.module", lambda port: b"hello", answer_ends=b"here")
    before = set(threading.enumerate())
    lifelines: list[socket.socket] = []

    def answer() -> None:
        for _ in range(2):
            lifelines.append(listening.accept()[0])
            lifelines[-1].sendall(b"here")

    answering = threading.Thread(target=answer)
    answering.start()
    assert stand_in.port_of(tmp_path) == port
    (watching,) = set(threading.enumerate()) - before - {answering}
    with caplog.at_level(logging.WARNING):
        lifelines[0].close()  # as when it is killed
        while len(lifelines) < 2:
            assert stand_in.port_of(tmp_path) == port
    asked.set()
    watching.join(30)
    del watching
    gc.collect()  # an unclosed one is a warning, and so an error
    assert [record.getMessage() for record in caplog.records] == [
        "the stand-in for a warehouse ended by itself: it is started again"
    ]
    stand_in.release(tmp_path)
    answering.join()
    with closing(lifelines[1]) as second:
        assert second.recv(64) == b"hello"
        assert second.recv(64) == b""


def test_what_watches_a_server_leaves_its_folder_alone_once_it_is_released(
    listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listening.getsockname()[1]
    (tmp_path / "server.json").write_text(json.dumps({"port": port, "pid": os.getpid()}))
    stand_in = StandIn("a warehouse", "no.module", lambda port: b"hello", answer_ends=b"here")
    locked: list[threading.Thread] = []

    class Noted(filelock.FileLock):
        def acquire(self, *given: Any, **named: Any) -> Any:
            locked.append(threading.current_thread())
            return super().acquire(*given, **named)

    monkeypatch.setattr(filelock, "FileLock", Noted)
    lifelines: list[socket.socket] = []

    def answer() -> None:
        lifelines.append(listening.accept()[0])
        lifelines[0].sendall(b"here")

    answering = threading.Thread(target=answer)
    before = set(threading.enumerate())
    answering.start()
    stand_in.port_of(tmp_path)
    (watching,) = set(threading.enumerate()) - before - {answering}
    answering.join()
    stand_in.release(tmp_path)
    watching.join(30)
    lifelines[0].close()
    assert watching not in locked  # by now the folder may be gone
