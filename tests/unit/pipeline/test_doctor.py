"""What the doctor says of bytecode."""

import importlib.util
import sys
from pathlib import Path

import pytest

from headrace.pipeline import doctor


@pytest.mark.parametrize(
    ("may_write", "is_compiled", "names"),
    [(True, False, []), (False, True, []), (False, False, ["bytecode"])],
)
def test_bytecode_that_is_made_anew_each_time_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    may_write: bool,
    is_compiled: bool,
    names: list[str],
) -> None:
    cached = tmp_path / "dlt.pyc"
    if is_compiled:
        cached.touch()
    monkeypatch.setattr(sys, "dont_write_bytecode", not may_write)
    monkeypatch.setattr(importlib.util, "cache_from_source", lambda _: str(cached))

    checks = doctor._bytecode()

    assert [check.name for check in checks] == names
    assert all("--compile-bytecode" in check.advice for check in checks)
