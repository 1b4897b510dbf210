"""The manifest that editors find."""

from pathlib import Path

import pytest

from headrace.pipeline import editor_manifest
from headrace.settings import Resolved, resolve


@pytest.fixture
def resolved(tmp_path: Path) -> Resolved:
    found = resolve(tmp_path, environ={})
    found.artifacts.mkdir(parents=True)
    found.dbt_project.mkdir()
    return found


def write(resolved: Resolved, text: str) -> Path:
    """What a build leaves; gives where an editor looks."""
    (resolved.artifacts / "manifest.json").write_text(text)
    editor_manifest.keep(resolved)
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
    editor_manifest.keep(resolved)
    assert not (resolved.dbt_project / "target").exists()
