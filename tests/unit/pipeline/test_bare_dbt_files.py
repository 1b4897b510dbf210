"""The manifest that editors find."""

from pathlib import Path
from typing import cast

import pytest

from headrace.pipeline.dbt import bare_dbt
from headrace.settings import Resolved, resolve
from headrace.targets import Target


@pytest.fixture
def resolved(tmp_path: Path) -> Resolved:
    found = resolve(tmp_path, environ={})
    found.artifacts.mkdir(parents=True)
    found.dbt_project.mkdir()
    return found


def write(resolved: Resolved, text: str) -> Path:
    """What a build leaves; gives where an editor looks."""
    (resolved.artifacts / "manifest.json").write_text(text)
    bare_dbt.keep_manifest(resolved)
    return resolved.dbt_project / "target" / "manifest.json"


def test_it_follows_the_builds_until_an_editor_writes_its_own(resolved: Resolved) -> None:
    assert write(resolved, "one").read_text() == "one"
    there = write(resolved, "two")
    assert there.read_text() == "two"
    there.write_text("the editor's")
    assert write(resolved, "three").read_text() == "the editor's"
    there.unlink()
    assert write(resolved, "four").read_text() == "four"


def test_without_a_build_there_is_none(resolved: Resolved) -> None:
    bare_dbt.keep_manifest(resolved)
    assert not (resolved.dbt_project / "target").exists()


class _Target:
    def __init__(self, folder: Path) -> None:
        self.lock_path = folder / "warehouse.duckdb.lock"


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return cast("Target", _Target(tmp_path))


def test_it_lies_next_to_the_warehouse(target: Target, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb.sources" / "loaded_sources.sql"
    assert bare_dbt.loaded_sources_path(target) == path


def test_what_is_not_named_stays(target: Target) -> None:
    bare_dbt.keep_loaded(target, {"shop": False, "erp": True})
    bare_dbt.keep_loaded(target, {"shop": True})
    text = bare_dbt.loaded_sources_path(target).read_text("utf-8")
    assert '{{ return({"erp": true, "shop": true}) }}' in text


def test_it_is_only_written_when_something_changed(target: Target) -> None:
    """A changed file has dbt parse the whole project."""
    bare_dbt.keep_loaded(target, {"shop": True})
    before = bare_dbt.loaded_sources_path(target).stat()
    bare_dbt.keep_loaded(target, {"shop": True})
    after = bare_dbt.loaded_sources_path(target).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_file_that_cannot_be_read_is_replaced(target: Target) -> None:
    path = bare_dbt.loaded_sources_path(target)
    path.parent.mkdir()
    path.write_text("{{ return({broken) }}")
    bare_dbt.keep_loaded(target, {"shop": True})
    assert '{"shop": true}' in path.read_text("utf-8")
