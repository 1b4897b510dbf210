"""``headrace new`` with this repository as it stands for a template."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from template_lab import UV, VERSION, git, needs_git, needs_uv, render

from headrace.errors import TemplateError
from headrace.project.new import NewRequest
from headrace.project.new import new as copy

pytestmark = [needs_git, pytest.mark.slow]

NEW = (sys.executable, "-m", "headrace", "new")


def new(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run ``headrace new`` in a folder, with a git that knows nobody."""
    foreign = ("GIT_", "HEADRACE_")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        [*NEW, *words],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def tree(root: Path) -> dict[str, bytes]:
    """Every file but git's and the lock."""
    files = (path for path in root.rglob("*") if path.is_file())
    names = {path.relative_to(root).as_posix(): path for path in files}
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if not name.startswith(".git/") and name != "uv.lock"
    }


@needs_uv
def test_the_same_files_as_copier_copies_with_a_lock_and_a_commit(
    template: Path, tmp_path: Path
) -> None:
    """In a folder whose name is no project's name."""
    name = "Ünser neues Projekt"
    done = new(tmp_path, name, "--template", str(template), "--defaults", "--json")
    report = json.loads(done.stdout)
    project = tmp_path / name
    assert tree(project) == tree(render(template, tmp_path / "by copier" / name))
    assert report["version"] == VERSION
    assert report["lock"] == {"status": "locked", "detail": ""}
    subprocess.run([UV, "lock", "--check", "--quiet"], cwd=project, check=True)
    assert (
        git(project, "log", "--format=%an: %s").strip()
        == f"Headrace: Start from Headrace {VERSION}"
    )
    assert git(project, "status", "--porcelain", "--ignored") == ""
    answers = {each["name"]: each["value"] for each in report["answers"]}
    assert f'\nname = "{answers["project_name"]}"\n' in tree(project)["pyproject.toml"].decode()
    assert answers["project_name"].isascii()
    assert [path.name for path in tmp_path.iterdir() if "headrace-new" in path.name] == []


@pytest.mark.parametrize("name", ["My Project", "class", "dlt", "é"])
def test_a_name_that_is_none_is_refused_in_one_line(
    template: Path, tmp_path: Path, name: str
) -> None:
    request = NewRequest(tmp_path / "it", str(template), data={"project_name": name})
    with pytest.raises(TemplateError, match=r"\Aproject_name: .*\Z"):
        copy(request)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal for Ctrl-C to one process")
def test_ctrl_c_leaves_nothing(template: Path, tmp_path: Path) -> None:
    waits = tmp_path / "uv"
    waits.write_text("#!/bin/sh\ntouch uv.reached\nexec sleep 60\n")
    waits.chmod(0o755)
    process = subprocess.Popen(
        [*NEW, "a/b/it", "--template", str(template), "--defaults"],
        cwd=tmp_path,
        env={**os.environ, "UV": str(waits)},
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        end = time.monotonic() + 600
        while not list(tmp_path.glob("a/b/.it.*.tmp/it/uv.reached")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said.startswith("error: stopped")
    assert [path.name for path in tmp_path.iterdir()] == ["uv"]
