"""A git that knows nothing of who runs the tests, and a uv that needs no network."""

import os
import shutil
from pathlib import Path

import pytest
from project_bench import (
    FIRST,
    Repository,
    edits,
    first_version,
    second_version,
    stand_in,
)

from headrace.project.new import NewRequest, new


@pytest.fixture(autouse=True)
def git_config(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    folder = tmp_path_factory.mktemp("git")
    config = folder / "config"
    config.write_text("[user]\n\tname = A. Tester\n\temail = tester@example.com\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("COPIER_CACHE_DIR", str(folder / "copier"))
    return config


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``uv lock`` that writes a lock of what it was given."""
    path = stand_in(tmp_path / "bin", "cp pyproject.toml uv.lock")
    monkeypatch.setenv("UV", path)


@pytest.fixture
def template(tmp_path: Path) -> Repository:
    """The first version."""
    return first_version(tmp_path / "template")


def a_tester(patch: pytest.MonkeyPatch) -> None:
    """Who commits, where a fixture is made before git is configured."""
    patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for role in ("AUTHOR", "COMMITTER"):
        patch.setenv(f"GIT_{role}_NAME", "A. Tester")
        patch.setenv(f"GIT_{role}_EMAIL", "tester@example.com")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template of two versions and a user's edited project of the first, side by side."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        a_tester(patch)
        first = first_version(root / "template")
        request = NewRequest(root / "project", str(first.root), lock=False, data={"sources": []})
        assert new(request).version == FIRST
        second_version(first)
    return root


@pytest.fixture
def project(made_once: Path, tmp_path: Path) -> Repository:
    """A project of the first version as it was copied; the template has a second one."""
    shutil.copytree(made_once / "project", tmp_path / "project")
    return Repository(tmp_path / "project")


@pytest.fixture(scope="session")
def edited_once(made_once: Path) -> Path:
    """The project with a user's edits."""
    root = made_once / "edited"
    shutil.copytree(made_once / "project", root)
    with pytest.MonkeyPatch.context() as patch:
        a_tester(patch)
        edits(Repository(root))
    return root


@pytest.fixture
def edited(edited_once: Path, tmp_path: Path) -> Repository:
    """A copy of it; the template has a second version."""
    shutil.copytree(edited_once, tmp_path / "project")
    return Repository(tmp_path / "project")
