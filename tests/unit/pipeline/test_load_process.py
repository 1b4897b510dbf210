"""A load in a copy of this process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from headrace import portable, secrets
from headrace.error_detail import ErrorDetail
from headrace.errors import SourceError, UnclearFileError, UserError
from headrace.pipeline.loading import load_process
from headrace.pipeline.loading.load_process import LoadEvents
from headrace.pipeline.reports import Event, Listener, LoadFailure, LoadReport, TableReport, ignore

pytestmark = [
    pytest.mark.skipif(not portable.can_fork(), reason="Linux, with two cores"),
    # a test has threads; the command line forks before it has any
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
REPORT = LoadReport(tables=(), load_ids=("1",), seconds=0.5)


class Heard:
    """Who is told of sources."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str | None]] = []

    def load_started(self, source: str) -> None:
        self.said.append((source, "began"))

    def load_ended(
        self, source: str, tables: Iterable[TableReport] = (), *, error: str | None = None
    ) -> None:
        self.said.append((source, error))


def nothing() -> None:
    """Do nothing."""


def run(load: load_process.Load) -> LoadReport:
    """Have a copy load, with nobody to listen."""
    with load_process.started(load, nothing) as process:
        return process.load(ignore, Heard(), [], nothing)


def test_events_and_the_report_come_from_another_process() -> None:
    def load(listen: Listener, events: LoadEvents, failures: list[LoadFailure]) -> LoadReport:
        failures.append(failure)
        events.load_started("shop")
        listen(Event("load", f"in {os.getpid()}", "phase"))
        events.load_ended("shop", error="no file")
        return REPORT

    failure, failed = LoadFailure(source="shop", error="no file"), list[LoadFailure]()
    told: list[Event] = []
    heard = Heard()
    done: list[int] = []
    with load_process.started(load, nothing) as process:
        report = process.load(told.append, heard, failed, lambda: done.append(1))

    assert report == REPORT
    assert failed == [failure]
    assert heard.said == [("shop", "began"), ("shop", "no file")]
    assert [event.name for event in told] != [f"in {os.getpid()}"]
    assert len(told) == len(done) == 1


def test_an_error_comes_as_it_was_raised() -> None:
    def load(_: Listener, __: LoadEvents, ___: list[LoadFailure]) -> LoadReport:
        raise SourceError("no such file", detail=ErrorDetail(file="a.py", line=3))

    with pytest.raises(SourceError, match="no such file") as raised:
        run(load)
    assert raised.value.detail == ErrorDetail(file="a.py", line=3)
    assert "test_load_process.py" in str(raised.value.__cause__)


def test_an_error_that_cannot_be_sent_keeps_its_words() -> None:
    def load(_: Listener, __: LoadEvents, ___: list[LoadFailure]) -> LoadReport:
        raise UnclearFileError("two ways to read it", {}, detail=ErrorDetail(file="a.csv"))

    with pytest.raises(UserError, match="two ways to read it") as raised:
        run(load)
    assert raised.value.detail == ErrorDetail(file="a.csv")


def test_what_keeps_it_from_starting_is_told_by_the_load() -> None:
    def warm_up() -> None:
        raise ImportError("no module")

    with load_process.started(lambda *_: REPORT, warm_up) as process:
        assert process.load(ignore, Heard(), [], nothing) == REPORT


def test_a_load_that_is_killed_is_told() -> None:
    def load(_: Listener, __: LoadEvents, ___: list[LoadFailure]) -> LoadReport:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    with pytest.raises(SourceError, match="SIGKILL"):
        run(load)


def test_secrets_that_the_load_learns_are_masked_here() -> None:
    def load(_: Listener, __: LoadEvents, ___: list[LoadFailure]) -> LoadReport:
        secrets.learn({"password": "correct-horse-battery"})
        return REPORT

    run(load)
    assert "correct-horse" not in secrets.hide("the password is correct-horse-battery")
    secrets.forget()


def test_ctrl_c_ends_the_load(tmp_path: Path) -> None:
    marker = tmp_path / "undone"

    def load(listen: Listener, _: LoadEvents, __: list[LoadFailure]) -> LoadReport:
        try:
            listen(Event("load", "shop", "started"))
            time.sleep(60)
        finally:
            marker.touch()
        raise AssertionError

    begun: list[Event] = []

    def meanwhile() -> None:
        while not begun:
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), load_process.started(load, nothing) as process:
        process.load(begun.append, Heard(), [], meanwhile)
    assert marker.exists()


def test_an_error_of_the_screen_is_raised_here() -> None:
    def load(listen: Listener, _: LoadEvents, __: list[LoadFailure]) -> LoadReport:
        listen(Event("load", "shop", "started"))
        return REPORT

    def listen(_: Event) -> None:
        raise BrokenPipeError

    with (
        pytest.raises(BrokenPipeError),
        load_process.started(load, nothing) as process,
    ):
        process.load(listen, Heard(), [], nothing)


def test_the_copy_ends_with_this_process() -> None:
    script = """
import os, signal, sys, time
from headrace.pipeline.loading import load_process
from headrace.pipeline.reports import ignore

def load(listen, events, failures):
    print(os.getpid(), flush=True)
    time.sleep(60)

with load_process.started(load, lambda: None) as process:
    process.load(ignore, None, [], lambda: (time.sleep(0.3), os.kill(os.getpid(), signal.SIGKILL)))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=50
    )
    assert ended.returncode == -signal.SIGKILL
    child = int(ended.stdout)
    deadline = time.monotonic() + 10
    while portable.is_running(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not portable.is_running(child)


_COPIES = """
import sys, threading
from headrace import portable
from headrace.pipeline.loading import load_process

def fork(work):
    missing = [name for name in load_process._OF_BOTH if name not in sys.modules]
    sys.exit(f"missing: {missing}, threads: {threading.active_count()}")

portable.fork = fork
with load_process.started(lambda *_: None, lambda: None):
    pass
"""


def test_what_dlt_and_dbt_both_import_is_there_before_the_copy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _COPIES], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "missing: [], threads: 1"
