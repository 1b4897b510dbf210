"""A dbt project's own profile, next to the target's output."""

from pathlib import Path

import pytest

from headrace.errors import ProjectError, SettingsError
from headrace.pipeline import own_profile
from headrace.settings import resolve

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
    assert own_profile.merged(own, TARGET) == {
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
    found = own_profile.database_path({"path": written}, tmp_path / "transform", tmp_path)
    if is_at is None or is_at.startswith("md:"):
        assert found == is_at
    else:
        assert found == str(tmp_path / is_at)


def test_a_profile_that_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text("shop: {outputs: {dev: {type: duckdb}}}\n")

    def read(*flags: str) -> None:
        settings = resolve(tmp_path, flags=[f"dbt.profile.{flag}" for flag in flags], environ={})
        assert settings.settings.dbt.profile is not None
        own_profile.read(settings, settings.settings.dbt.profile)

    read("path=p.yml", "name=shop", "output=dev")
    with pytest.raises(SettingsError, match="no output 'prod' of a profile 'shop'"):
        read("path=p.yml", "name=shop", "output=prod")
    with pytest.raises(ProjectError, match="cannot be read"):
        read("path=gone.yml", "name=shop", "output=dev")
