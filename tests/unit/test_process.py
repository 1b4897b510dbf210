"""What a step changes in the process is as before when it ends."""

import gc
import os
import re
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

from headrace import process
from headrace.libraries import dlt
from headrace.pipeline.loading import sources


def test_environment_is_restored_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "before")
    monkeypatch.delenv("ADDED", raising=False)
    with process.environment({"KEPT": "during", "ADDED": "during"}):
        assert (os.environ["KEPT"], os.environ["ADDED"]) == ("during", "during")
    assert os.environ["KEPT"] == "before"
    with pytest.raises(ZeroDivisionError), process.environment({"ADDED": "during"}):
        _ = 1 / 0
    assert "ADDED" not in os.environ


def test_garbage_collector_is_as_before() -> None:
    with process.gc_paused():
        assert not gc.isenabled()
        with process.gc_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.parametrize(("given", "level"), [(None, "CRITICAL"), ("INFO", "INFO")])
def test_dlt_keeps_the_log_level_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, given: str | None, level: str
) -> None:
    monkeypatch.delenv("RUNTIME__LOG_LEVEL", raising=False)
    if given:
        monkeypatch.setenv("RUNTIME__LOG_LEVEL", given)
    before = dict(os.environ)
    with dlt.environment():
        assert os.environ["RUNTIME__LOG_LEVEL"] == level
        assert os.environ["RUNTIME__DLTHUB_TELEMETRY"] == "false"
    assert dict(os.environ) == before


def test_two_projects_have_modules_of_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("shared_name", "shared_name.weather", "rules_of_mine"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))  # they are gone after the test
    for project in ("first", "second"):
        for module in ("shared_name/__init__", "shared_name/weather/__init__", "rules_of_mine"):
            path = tmp_path / project / f"{module}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"OF = {project!r}\n")
    for project in ("first", "second", "first"):
        for module in ("shared_name.weather", "rules_of_mine", "shared_name"):
            assert project == process.import_from(tmp_path / project, module).OF
    process.import_from(tmp_path / "first", "shared_name")
    sys.modules.pop("shared_name.weather")  # only the package is another project's
    found = process.import_from(tmp_path / "second", "shared_name.weather")
    assert found.OF == sys.modules["shared_name"].OF == "second", "of the package, too"
    assert process.import_from(tmp_path / "first", "json").loads("1") == 1


def test_another_thread_may_import_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the one that sends lineage events does while a load imports its source."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    class Importing(str):
        def partition(self, separator: str, /) -> tuple[str, str, str]:
            for other in (name for name in list(sys.modules) if name.startswith("of_a_thread")):
                monkeypatch.delitem(sys.modules, other)
            monkeypatch.setitem(sys.modules, f"of_a_thread_{id(object())}", ModuleType("x"))
            monkeypatch.setitem(sys.modules, "of_a_thread_too", ModuleType("x"))
            return super().partition(separator)

    name = Importing("imports_when_looked_at")
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    (tmp_path / "a_source_of_mine.py").write_text("OF = 1\n")
    assert process.import_from(tmp_path, "a_source_of_mine").OF == 1
    sources.forget_code()


def test_only_this_module_changes_the_environment() -> None:
    package = Path(process.__file__).parent
    changes = re.compile(r"os\.(environ\[[^]]+\] =|environ\.(update|setdefault|pop)|putenv)")
    found = {path.name for path in package.rglob("*.py") if changes.search(path.read_text("utf-8"))}
    assert found == {"process.py"}


def test_a_thread_that_is_stopped_while_it_keeps_an_error_ends_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one whose query is interrupted as its time ends, and that is stopped a moment later."""
    said: list[object] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    interrupted = threading.Event()

    def spin(frame: FrameType, event: str, _: object) -> Any:
        while event == "line":  # of what keeps the error: the stop comes here
            pass
        return spin

    def query() -> None:
        interrupted.wait()
        sys.settrace(spin)
        sys._getframe(1).f_trace = spin
        raise KeyError

    with pytest.raises(process.TookTooLongError):
        process.within(0.05, query, interrupted.set)
    assert said == []


@pytest.mark.parametrize("line", range(6))
def test_a_thread_that_ends_just_as_it_is_stopped_ends_in_silence(
    monkeypatch: pytest.MonkeyPatch, line: int
) -> None:
    """The stop comes after the function, on one of the lines of what called it."""
    said: list[object] = []
    monkeypatch.setattr(threading, "excepthook", said.append)

    def slowly(frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            time.sleep(0.05)
        return slowly

    def end() -> None:
        sys.settrace(slowly)
        sys._getframe(1).f_trace = slowly

    with suppress(process.TookTooLongError):
        process.within(0.02 + 0.05 * line, end, lambda: None)
    time.sleep(0.1)
    assert said == []


def test_a_ctrl_c_waits_for_the_end_of_a_block() -> None:
    done = []

    def pressed(error: Exception | None = None) -> None:
        with process.ctrl_c_waits():
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")
            if error is not None:
                raise error

    with pytest.raises(KeyboardInterrupt):
        pressed()
    with pytest.raises(KeyboardInterrupt):
        pressed(ValueError("made of it"))
    assert len(done) == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_outside_of_the_main_thread_there_is_no_ctrl_c_to_wait() -> None:
    entered = []

    def enter() -> None:
        with process.ctrl_c_waits():
            entered.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [signal.default_int_handler]
