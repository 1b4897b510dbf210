"""What a step changes in the process is as before when it ends."""

import gc
import os
import re
from pathlib import Path

import pytest

from headrace import process
from headrace.libraries import dlt


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


def test_only_this_module_changes_the_environment() -> None:
    package = Path(process.__file__).parent
    changes = re.compile(r"os\.(environ\[[^]]+\] =|environ\.(update|setdefault|pop)|putenv)")
    found = {path.name for path in package.rglob("*.py") if changes.search(path.read_text("utf-8"))}
    assert found == {"process.py"}
