"""``kill -9`` of `headrace new` and `headrace update`: the same command again does its work."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from project_bench import SECOND, Repository, needs_git, posix_only

pytestmark = [needs_git, posix_only, pytest.mark.slow, pytest.mark.usefixtures("uv")]

SEED = os.environ.get("HEADRACE_KILL_SEED") or "headrace"
KILLS = int(os.environ.get("HEADRACE_KILLS", "2"))
SECONDS = (0.3, 3)


def command(folder: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "headrace", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def killed_and_again(number: int, folder: Path, *words: str) -> tuple[int, str]:
    """The exit code and output of the second time."""
    with command(folder, *words) as process:
        time.sleep(random.Random(f"{SEED} {words[0]} {number}").uniform(*SECONDS))
        process.kill()
    with command(folder, *words) as again:
        said, _ = again.communicate(timeout=300)
    return again.returncode, said


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_new_leaves_a_whole_project_or_none(
    template: Repository, tmp_path: Path, number: int
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    words = ("new", "project", "--template", str(template.root), "--defaults")
    code, said = killed_and_again(number, folder, *words)
    made = Repository(folder / "project")
    if code:  # the first one was killed at its very end
        assert "is there already" in said or "is not empty" in said
    assert made.has("uv.lock")
    assert made.status() == {}
    assert made.git("log", "--format=%s").count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["project"]


def plain_lines(tree: dict[str, bytes]) -> dict[str, bytes]:
    """Git keeps no ends of lines."""
    return {name: content.replace(b"\r\n", b"\n") for name, content in tree.items()}


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_update_is_taken_up_or_says_how_to_take_it_back(
    edited: Repository, tmp_path: Path, number: int
) -> None:
    before = edited.tree()
    code, said = killed_and_again(number, edited.root, "update")
    if "git clean -fd" in said:
        edited.git("restore", "--staged", "--worktree", ".")
        edited.git("clean", "-fd", "--quiet", ".")
        assert plain_lines(edited.tree()) == plain_lines(before)
        with command(edited.root, "update") as again:
            said, _ = again.communicate(timeout=300)
        code = again.returncode
    if code == 2:  # the first one was killed at its very end
        assert "not committed: " in said
        code = 1
    assert code == 1, said  # the two sides disagree in some files
    assert f"_commit: {SECOND}".encode() in edited.read(".copier-answers.yml")
    assert edited.read("machinery/new.txt") == b"second version\n"
    assert b"mine" in edited.read("machinery/merged.txt")
    assert edited.read("ignored/settings.txt") == b"mine\n"
    assert not edited.has(".git/headrace-update")
    assert not edited.has(".git/headrace-update.kept")
