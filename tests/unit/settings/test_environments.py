"""Each environment has data of its own, unless a layer of its own says where they are."""

from pathlib import Path

import pytest

from headrace.errors import SettingsError
from headrace.pipeline.doctor import doctor
from headrace.pipeline.where import where
from headrace.settings import Resolved, resolve


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "dlt_pipelines").mkdir()
    (tmp_path / "config" / "default.yml").write_text("sources: {crm: {kind: files}}\n")
    for name in ("production", "ci", "crm", "logs"):
        (tmp_path / "config" / f"{name}.yml").write_text("log_level: warning\n")
    return tmp_path


def files(resolved: Resolved) -> set[Path]:
    """All that a run writes, by the file or folder that holds it."""
    store = resolved.run_store_file
    assert store is not None
    target = resolved.target
    return {
        Path(target.location), target.lock_path, resolved.published, store, resolved.artifacts,
        resolved.data_dir / "dlt", resolved.data_dir / "logs",
    }  # fmt: skip


def test_the_default_environment_keeps_its_place_and_others_have_their_own(project: Path) -> None:
    default, production, ci = (
        resolve(project, env=env, environ={}) for env in (None, "production", "ci")
    )
    assert default.data_dir == project / "data"
    assert production.data_dir == project / "data" / "production"
    assert not files(default) & files(production)
    assert not files(ci) & files(production)
    assert all(production.data_dir in path.parents for path in files(production))
    assert [each.environment for each in (default, production, ci)] == [
        "default",
        "production",
        "ci",
    ]
    assert resolve(project, env="default", environ={}).data_dir == default.data_dir
    layers = {row.key: row.layer for row in where(production).settings}
    assert layers["data_dir"] == "environment production"


def test_what_is_set_for_an_environment_or_a_machine_wins(project: Path) -> None:
    config = project / "config" / "production.yml"
    config.write_text("data_dir: data\npublish: {path: readers.duckdb}\n")
    production = resolve(project, env="production", environ={})
    assert production.data_dir == project / "data"
    assert production.published == project / "readers.duckdb"
    assert not production.has_own_data
    for given in (
        {"environ": {"HEADRACE_DATA_DIR": "/x"}},
        {"environ": {}, "flags": ["data_dir=/x"]},
    ):
        assert resolve(project, env="ci", **given).data_dir == Path("/x")


def test_a_folder_for_all_environments_holds_one_for_each(project: Path) -> None:
    (project / "config" / "default.yml").write_text("data_dir: elsewhere\n")
    assert resolve(project, environ={}).data_dir == project / "elsewhere"
    production = resolve(project, env="production", environ={})
    assert production.data_dir == project / "elsewhere" / "production"


def test_locations_that_all_environments_share_are_pointed_out(project: Path) -> None:
    (project / "config" / "default.yml").write_text("publish: {path: one.duckdb}\n")
    assert resolve(project, environ={}).shared_locations == ()
    production = resolve(project, env="production", environ={})
    assert production.shared_locations == ("publish.path",)
    (check,) = (each for each in doctor(production).checks if each.name == "environment")
    assert check.good is None
    assert "share publish.path of config/default.yml" in check.advice


@pytest.mark.parametrize("env", ["crm", "logs"])
def test_no_environment_has_the_folder_of_something_else(project: Path, env: str) -> None:
    with pytest.raises(SettingsError, match=f"rename config/{env}.yml, or set data_dir in it"):
        resolve(project, env=env, environ={})
