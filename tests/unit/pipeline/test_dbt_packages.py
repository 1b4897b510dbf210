"""`dbt deps` before a build whose packages changed."""

import shutil
from pathlib import Path

import pytest

from headrace.errors import TransformError
from headrace.pipeline.dbt import dbt_packages
from headrace.pipeline.reports import Event, ignore
from headrace.pipeline.state import build_state
from headrace.settings import Resolved, resolve

HUB = "packages:\n  - local: ../../house\n  - package: acme/tools\n    version: 1.0.0\n"


@pytest.fixture
def resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resolved:
    """A dbt project that names a local package; no hub can be reached."""
    monkeypatch.setenv("DBT_PACKAGE_HUB_URL", "http://127.0.0.1:9/")
    root = tmp_path / "project"
    for place, name in ((tmp_path / "house", "house"), (root / "dbt_project", "own")):
        (place / "macros").mkdir(parents=True)
        (place / "dbt_project.yml").write_text(f"name: {name}\nversion: 1.0.0\nprofile: x\n")
    for folder in ("config", "dlt_pipelines"):
        (root / folder).mkdir()
    (root / "dbt_project" / "packages.yml").write_text("packages:\n  - local: ../../house\n")
    return resolve(root, environ={})


def test_a_local_package_is_installed_once(resolved: Resolved) -> None:
    events: list[Event] = []
    assert dbt_packages.install(resolved, events.append) is None
    assert [folder.name for folder in dbt_packages.folders(resolved.dbt_project)] == ["house"]
    assert [event.name for event in events] == [
        "installing the packages of packages.yml (dbt deps)"
    ]
    assert dbt_packages.install(resolved, events.append) is None
    assert len(events) == 1
    # one that was deleted comes back
    shutil.rmtree(resolved.dbt_project / "dbt_packages")
    dbt_packages.install(resolved, events.append)
    assert len(events) == 2
    assert list(dbt_packages.folders(resolved.dbt_project))


def test_a_change_of_a_local_package_is_a_change_of_the_project(resolved: Resolved) -> None:
    dbt_packages.install(resolved, ignore)
    before = build_state.inputs(resolved, resolved.target)
    macro = resolved.root.parent / "house" / "macros" / "one.sql"
    macro.write_text("{% macro one() %}1{% endmacro %}")
    assert build_state.inputs(resolved, resolved.target) != before


def test_without_a_network(resolved: Resolved) -> None:
    packages = resolved.dbt_project / "packages.yml"
    dbt_packages.install(resolved, ignore)
    packages.write_text(HUB)
    with pytest.raises(TransformError, match=r"the packages of packages\.yml cannot be installed"):
        dbt_packages.install(resolved, ignore)
    # what was brought along is used, and said
    tools = resolved.dbt_project / "dbt_packages" / "tools"
    tools.mkdir()
    (tools / "dbt_project.yml").write_text("name: tools\nversion: 1.0.0\n")
    note = dbt_packages.install(resolved, ignore)
    assert note is not None
    assert note.startswith("packages.yml: `dbt deps` failed (")
    assert note.endswith("built with the packages that were installed before")


def test_no_packages_need_no_dbt(resolved: Resolved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbt_packages, "run_deps", lambda _: pytest.fail("dbt deps ran"))
    packages = resolved.dbt_project / "packages.yml"
    packages.write_text("packages: []\n")
    assert dbt_packages.install(resolved, ignore) is None
    packages.unlink()
    (resolved.dbt_project / "dependencies.yml").write_text("projects: []\n")
    assert dbt_packages.install(resolved, ignore) is None
