"""How a type of target is found, and made from the settings."""

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.errors import SettingsError
from headrace.settings import resolve
from headrace.targets import DuckDbSettings, DuckDbTarget, Target, TargetSettings
from headrace.targets.registry import GROUP, settings_of_type


class LakeSettings(TargetSettings):
    """Settings of a target that a package adds."""

    bucket: str
    workers: int = 1

    def target(self, name: str, *, data_dir: Path, path_of: Callable[[Path], Path]) -> Target:
        return DuckDbTarget(self.bucket, data_dir / name, "1GB", "1GB", self.workers, data_dir)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    points = [
        importlib.metadata.EntryPoint("pond", f"{__name__}:LakeSettings", GROUP),
        importlib.metadata.EntryPoint("odd", f"{__name__}:GROUP", GROUP),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: points)
    (tmp_path / "config").mkdir()
    return tmp_path


def resolved_target(project: Path, *lines: str) -> Target:
    text = "\n".join(["target: main", "targets:", "  main:", *(f"    {line}" for line in lines)])
    (project / "config" / "default.yml").write_text(text)
    return resolve(project, environ={}).target


def test_duckdb_is_the_type_by_default(project: Path) -> None:
    target = resolved_target(project, "threads: 3")
    assert isinstance(target, DuckDbTarget)
    assert (target.name, target.threads) == ("main", 3)
    assert target.path == project / "data" / "main.duckdb"
    assert settings_of_type("duckdb") is DuckDbSettings


def test_a_type_of_a_package_is_made_from_its_own_settings(project: Path) -> None:
    target = resolved_target(project, "type: pond", "bucket: sales", "workers: 5")
    assert isinstance(target, DuckDbTarget)
    assert (target.name, target.threads) == ("sales", 5)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("type: pnd",), "there is no type of target 'pnd'; known: duckdb, "),
        (("type: odd",), "is not a subclass of TargetSettings"),
        (("type: pond",), "bucket: Field required"),
        (("type: pond", "bucket: a", "threads: 1"), "threads: Extra inputs are not permitted"),
        (
            ("bucket: a",),
            "unknown key 'targets.main.bucket' Allowed: load_memory_limit, memory_limit,",
        ),
    ],
)
def test_wrong_settings_of_a_target_are_refused(
    project: Path, lines: tuple[str, ...], words: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        resolved_target(project, *lines)
    assert words in str(caught.value)
