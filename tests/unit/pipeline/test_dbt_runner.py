"""How dbt is called, and what is made of what it says."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.errors import TransformError, WarehouseError
from headrace.pipeline import dbt_runner
from headrace.pipeline.dbt_errors import Project


def test_dbt_gives_no_hints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A slow parse would have it note in the home folder that it showed one."""
    monkeypatch.setenv("DBT_ENGINE_HINTS_ENABLED", "true")
    with dbt_runner.environment():
        from dbt.cli.flags import Flags, args_to_context

        context = args_to_context(["parse", "--profiles-dir", str(tmp_path)])  # ~/.dbt may not be
        assert Flags(context).HINTS_ENABLED is False
    assert os.environ["DBT_ENGINE_HINTS_ENABLED"] == "true"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), WarehouseError, "the disk is full"),
        (RuntimeError("IO Error: a disk went away"), WarehouseError, "a disk went away"),
        (RuntimeError("no such\n  macro"), TransformError, "no such macro"),
        (None, TransformError, "without a result"),
    ],
)
def test_what_dbt_says_is_one_line(
    tmp_path: Path, error: Exception | None, kind: type, words: str
) -> None:
    places = Project(tmp_path, tmp_path, tmp_path)
    said = dbt_runner.transform_error(cast("Any", SimpleNamespace(exception=error)), places)
    assert type(said) is kind
    assert words in str(said)
    assert "\n" not in str(said)
