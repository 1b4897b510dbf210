"""The file that tells dbt which sources are loaded."""

from pathlib import Path
from typing import cast

import pytest

from headrace.pipeline import loaded_sources
from headrace.targets import Target


class _Target:
    def __init__(self, folder: Path) -> None:
        self.lock_path = folder / "warehouse.duckdb.lock"


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return cast("Target", _Target(tmp_path))


def test_it_lies_next_to_the_warehouse(target: Target, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb.sources" / "loaded_sources.sql"
    assert loaded_sources.path_of(target) == path


def test_what_is_not_named_stays(target: Target) -> None:
    loaded_sources.keep(target, {"shop": False, "erp": True})
    loaded_sources.keep(target, {"shop": True})
    text = loaded_sources.path_of(target).read_text("utf-8")
    assert '{{ return({"erp": true, "shop": true}) }}' in text


def test_it_is_only_written_when_something_changed(target: Target) -> None:
    """A changed file has dbt parse the whole project."""
    loaded_sources.keep(target, {"shop": True})
    before = loaded_sources.path_of(target).stat()
    loaded_sources.keep(target, {"shop": True})
    after = loaded_sources.path_of(target).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_file_that_cannot_be_read_is_replaced(target: Target) -> None:
    path = loaded_sources.path_of(target)
    path.parent.mkdir()
    path.write_text("{{ return({broken) }}")
    loaded_sources.keep(target, {"shop": True})
    assert '{"shop": true}' in path.read_text("utf-8")
