"""One run at a time; a dead holder is taken over from."""

import json
import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from headrace.errors import LockedError, WarehouseError
from headrace.pipeline.lock import hold_file, is_held


def _hold(path: str, started: Connection) -> None:
    with hold_file(Path(path), "headrace run"):
        started.send(os.getpid())
        signal.pause()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and signal.pause are POSIX")
def test_a_second_run_says_who_and_since_when_and_takes_over_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb.lock"
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_hold, args=(str(path), theirs))
    process.start()
    try:
        assert ours.poll(300)
        pid = ours.recv()
        assert is_held(path)
        with pytest.raises(LockedError) as caught, hold_file(path, "headrace build"):
            pass
        message = str(caught.value)
        assert f"process {pid}" in message
        assert "`headrace run`" in message
        assert "UTC" in message
        assert f"kill {pid}" in message
    finally:
        process.kill()
        process.join()
    assert not is_held(path)
    with hold_file(path, "headrace run") as dead:
        assert dead is not None
        assert dead.pid == pid
    with hold_file(path, "headrace run") as dead:
        assert dead is None


def test_the_note_of_the_holder_goes_with_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    note = tmp_path / "x.lock.json"
    with hold_file(path, "headrace load"):
        assert json.loads(note.read_text())["command"] == "headrace load"
    assert not note.exists()


def test_no_place_for_a_lock_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(WarehouseError, match="no lock can be taken"),
        hold_file(tmp_path / "file" / "x.lock", "headrace run"),
    ):
        pass


@pytest.mark.parametrize(
    "note",
    [
        "",
        "{",
        "[]",
        "7",
        '{"pid": 1}',
        '{"pid": "x", "host": "h", "command": "c", "since": "2026-01-01T00:00:00+00:00"}',
        '{"pid": 1, "host": "h", "command": "c", "since": "yesterday"}',
        '{"pid": 1, "host": "h", "command": "c", "since": "2026-01-01T00:00:00"}',
        '{"pid": 1, "host": "h", "command": "c", "since": null}',
        "[" * 100_000,
    ],
)
def test_a_malformed_note_is_made_anew(tmp_path: Path, note: str) -> None:
    path = tmp_path / "x.lock"
    info = tmp_path / "x.lock.json"
    info.write_text(note)
    with hold_file(path, "headrace load") as dead:
        assert dead is None
        info.write_text(note)
        with pytest.raises(LockedError, match="another run holds"), hold_file(path, "headrace run"):
            pass
    assert not info.exists()
