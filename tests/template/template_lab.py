"""Projects rendered from this repository as it stands, and what is run in them."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import copier
import pytest

import bytecode
from headrace.project.copier_calls import less_repeated

ROOT = Path(__file__).parents[2]
UV = os.environ.get("UV") or shutil.which("uv") or "uv"
VERSION = "v0.1.0"

DEMOS = ("jaffle_shop", "shop", "web_analytics")
DEFAULT_SOURCES, DEFAULT_EXTRAS = ("jaffle_shop",), ("serve",)
EXTRAS = ("serve", "postgres", "openlineage", "datahub", "learn")

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="a template is a git repository")
needs_uv = pytest.mark.skipif(shutil.which(UV) is None, reason="a project runs with uv")

_GIT = {
    "GIT_AUTHOR_NAME": "A. Tester",
    "GIT_AUTHOR_EMAIL": "tester@example.com",
    "GIT_COMMITTER_NAME": "A. Tester",
    "GIT_COMMITTER_EMAIL": "tester@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",  # a checkout that another user made
    "GIT_CONFIG_VALUE_0": "*",
}
"""A git that knows nothing of the one who runs the tests."""


def git(folder: Path, *arguments: str) -> str:
    """What ``git ARGUMENTS`` prints in a folder.

    Raises:
        AssertionError: git failed; holds what it said.
    """
    return _run(folder, "git", *arguments).stdout


def tracked(root: Path = ROOT) -> Iterator[str]:
    """The files that a commit of the working tree would hold, relative, with slashes."""
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    yield from sorted({name for name in listed.split("\0") if name and (root / name).is_file()})


def snapshot(folder: Path, *, tag: str = VERSION) -> Path:
    """A git repository of the working tree as it stands, tagged; the template of the tests."""
    for name in tracked():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "core.autocrlf", "false")
    commit(folder, tag)
    git(folder, "tag", tag)
    git(folder, "repack", "-adq")  # copier looks at every file of a clone, loose objects too
    return folder


def commit(folder: Path, message: str) -> None:
    """Commit all that is there."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)


def render(template: Path, destination: Path, **answers: Any) -> Path:
    """``copier copy`` with defaults for all that is not answered; no trust.

    Raises:
        ValueError: an answer is refused.
    """
    with less_repeated():
        copier.run_copy(
            str(template), destination, data=answers, defaults=True, quiet=True, vcs_ref=VERSION
        )
    return destination


@dataclass(frozen=True)
class Project:
    """A rendered project whose commands share one virtual environment with those of other tests.

    Attributes:
        root: the project.
        venv: the environment; `uv sync` brings it to the project's lock.
        answers: what it was rendered by.
        environ: variables besides.
    """

    root: Path
    venv: Path
    answers: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that were chosen."""
        return tuple(self.answers.get("sources", DEFAULT_SOURCES))

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras that were chosen."""
        return tuple(self.answers.get("extras", DEFAULT_EXTRAS))

    def files(self) -> list[str]:
        """All files, relative, with slashes; what was written by running is left out."""
        return sorted(p.relative_to(self.root).as_posix() for p in _files(self.root))

    def uv(self, *arguments: str, timeout: float = 300, code: int = 0) -> str:
        """What ``uv ARGUMENTS`` prints, on stdout and stderr.

        Raises:
            AssertionError: another exit code; holds what was printed.
        """
        environ = {"UV_PROJECT_ENVIRONMENT": str(self.venv)} | dict(self.environ)
        uv = os.environ.get("UV", UV)
        done = _run(self.root, uv, *arguments, code=code, timeout=timeout, environ=environ)
        return done.stdout + done.stderr

    def run(self, *command: str, timeout: float = 300, code: int = 0) -> str:
        """What a command of the environment prints, as it was synced: ``headrace run``."""
        return self.uv("run", "--no-sync", *command, timeout=timeout, code=code)

    def lock(self) -> None:
        """Bring the lock in line with what was chosen."""
        self.uv("lock", "--quiet")

    def sync(self) -> None:
        """Bring the environment to the lock."""
        self.uv("sync", "--locked", "--quiet")
        bytecode.share(self.venv)


def _files(root: Path) -> Iterable[Path]:
    written = {
        ".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "target",
    }  # fmt: skip
    for path in root.rglob("*"):
        folders = path.relative_to(root).parts
        is_data = folders[0] == "data" and folders[1] != "schemas" if folders[1:] else False
        if path.is_file() and not is_data and not written & set(folders):
            yield path


def plain_environment() -> dict[str, str]:
    """Without this session's settings of Headrace, uv and pytest."""
    ours = ("HEADRACE_", "PYTEST_", "UV_PROJECT", "VIRTUAL_ENV", "GIT_", "COV_")
    return {key: text for key, text in os.environ.items() if not key.startswith(ours)}


def _run(
    folder: Path,
    *command: str,
    code: int = 0,
    timeout: float = 60,
    environ: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        command,
        cwd=folder,
        env=plain_environment() | _GIT | dict(environ or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=timeout,
    )
    said = f"{' '.join(command)} in {folder}: exit code {done.returncode}"
    assert done.returncode == code, f"{said}\n{done.stdout}\n{done.stderr}"
    return done
