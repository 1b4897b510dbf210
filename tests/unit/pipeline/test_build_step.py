"""When a build is made, and when the last one's results are used again."""

from pathlib import Path
from typing import Any

import pytest
from step_lab import built, node, project, target

from headrace.errors import ProjectError
from headrace.pipeline.building.build import build
from headrace.pipeline.reports import BuildReport
from headrace.pipeline.state import build_state
from headrace.settings import Resolved


@pytest.fixture
def resolved(tmp_path: Path) -> Resolved:
    found = project(tmp_path)
    found.artifacts.mkdir(parents=True)
    (found.artifacts / "manifest.json").touch()
    return found


def run(resolved: Resolved, signature: str | None = "now", *, fresh: bool = False) -> BuildReport:
    return build(resolved, target({}, signature), full_refresh=fresh, listen=lambda _: None)


def test_where_nothing_changed_the_results_of_the_last_build_are_used(resolved: Resolved) -> None:
    """The target, which must not be opened, raises where it is."""
    built(resolved, target(), node("orders"))
    report = run(resolved)
    assert report.reused
    assert report.nodes == (node("orders").model_copy(update={"reused": True}),)


@pytest.mark.parametrize(
    "differs",
    [{"passed": False}, {"inputs": "others"}, {"day": None}, {"signature": None}],
    ids=lambda differs: next(iter(differs)),
)
def test_a_build_of_other_inputs_or_that_failed_is_made_again(
    resolved: Resolved, differs: dict[str, Any]
) -> None:
    built(resolved, target(), node("orders"), **differs)
    with pytest.raises(AssertionError, match="the target is opened"):
        run(resolved)


@pytest.mark.parametrize("signature", ["later", None])
def test_a_target_that_changed_or_cannot_tell_is_built_again(
    resolved: Resolved, signature: str | None
) -> None:
    built(resolved, target(), node("orders"))
    with pytest.raises(AssertionError, match="the target is opened"):
        run(resolved, signature)


def test_a_full_refresh_builds_whatever_is_there(resolved: Resolved) -> None:
    built(resolved, target(), node("orders"))
    with pytest.raises(AssertionError, match="the target is opened"):
        run(resolved, fresh=True)


def test_without_dbts_artifacts_it_is_built_again(resolved: Resolved) -> None:
    built(resolved, target(), node("orders"))
    (resolved.artifacts / "manifest.json").unlink()
    with pytest.raises(AssertionError, match="the target is opened"):
        run(resolved)


def test_without_a_dbt_project_the_message_names_the_setting(resolved: Resolved) -> None:
    (resolved.dbt_project / "dbt_project.yml").unlink()
    with pytest.raises(ProjectError, match=r"set dbt\.project_dir"):
        run(resolved)


def test_a_file_of_the_project_changes_the_inputs_and_what_dbt_writes_there_does_not(
    resolved: Resolved,
) -> None:
    before = build_state.inputs(resolved, target())
    for name in ("target", "logs", "dbt_packages"):
        (resolved.dbt_project / name).mkdir()
        (resolved.dbt_project / name / "written.sql").write_text("select 1", encoding="utf-8")
    assert build_state.inputs(resolved, target()) == before
    (resolved.dbt_project / "models").mkdir()
    (resolved.dbt_project / "models" / "a.sql").write_text("select 1", encoding="utf-8")
    assert build_state.inputs(resolved, target()) != before


def test_a_record_that_cannot_be_read_is_none(resolved: Resolved) -> None:
    built(resolved, target(), node("orders"))
    build_state.path_of(resolved).write_text("{", encoding="utf-8")
    assert build_state.read(resolved) is None
