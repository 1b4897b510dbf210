"""How dbt is called, and what is made of what it says."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.errors import ProjectError, SettingsError, TransformError, WarehouseError
from headrace.pipeline.dbt import dbt_runner
from headrace.pipeline.dbt.dbt_errors import DbtProjectFiles
from headrace.settings import resolve


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
    places = DbtProjectFiles(tmp_path, tmp_path, tmp_path)
    said = dbt_runner.transform_error(cast("Any", SimpleNamespace(exception=error)), places)
    assert type(said) is kind
    assert words in str(said)
    assert "\n" not in str(said)


TARGET = {
    "type": "duckdb",
    "path": "/data/w.duckdb",
    "schema": "main",
    "threads": 2,
    "config_options": {"memory_limit": "2GB"},
    "settings": {"TimeZone": "UTC"},
}


def test_all_but_the_database_is_the_own_one() -> None:
    own = {
        "type": "duckdb",
        "path": "dev.duckdb",
        "schema": "dev",
        "extensions": ["spatial"],
        "settings": {"TimeZone": "Europe/Oslo", "default_null_order": "nulls_first"},
    }
    assert dbt_runner.merged_output(own, TARGET) == {
        "type": "duckdb",
        "path": "/data/w.duckdb",
        "schema": "dev",
        "threads": 2,
        "extensions": ["spatial"],
        "config_options": {"memory_limit": "2GB"},
        "settings": {"TimeZone": "Europe/Oslo", "default_null_order": "nulls_first"},
    }


@pytest.mark.parametrize(
    ("written", "is_at"),
    [
        ("x.duckdb", "transform/x.duckdb"),
        ("there.duckdb", "there.duckdb"),
        ("../data/x.duckdb", "data/x.duckdb"),
        (":memory:", None),
        ("md:shop", "md:shop"),
        ("{{ env_var('OWN_PATH', 'y.duckdb') }}", "transform/y.duckdb"),
    ],
)
def test_where_its_database_is(written: str, is_at: str | None, tmp_path: Path) -> None:
    (tmp_path / "there.duckdb").touch()
    found = dbt_runner.own_database_path({"path": written}, tmp_path / "transform", tmp_path)
    if is_at is None or is_at.startswith("md:"):
        assert found == is_at
    else:
        assert found == str(tmp_path / is_at)


def test_a_profile_that_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text("shop: {outputs: {dev: {type: duckdb}}}\n")

    def read(*flags: str) -> None:
        settings = resolve(tmp_path, flags=[f"dbt.profile.{flag}" for flag in flags], environ={})
        assert settings.settings.dbt.profile is not None
        dbt_runner.read_own_output(settings, settings.settings.dbt.profile)

    read("path=p.yml", "name=shop", "output=dev")
    with pytest.raises(SettingsError, match="no output 'prod' of a profile 'shop'"):
        read("path=p.yml", "name=shop", "output=prod")
    with pytest.raises(ProjectError, match="cannot be read"):
        read("path=gone.yml", "name=shop", "output=dev")
