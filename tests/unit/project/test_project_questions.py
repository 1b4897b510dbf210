"""The questions on a terminal."""

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from project_bench import Repository, needs_git, posix_only

pytestmark = [needs_git, posix_only]


def talk(command: list[str], folder: Path, answers: list[tuple[str, bytes]]) -> str:
    """Run a command on a terminal; each answer is typed when its question is seen."""
    import pty

    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "PROMPT_TOOLKIT_NO_CPR": "1"}
    process = subprocess.Popen(
        command, cwd=folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen, waiting, end = "", list(answers), time.monotonic() + 300
    while time.monotonic() < end:
        if waiting and waiting[0][0] in seen:
            os.write(ours, waiting.pop(0)[1])
        if select.select([ours], [], [], 0.1)[0]:
            try:
                read = os.read(ours, 65536)
            except OSError:  # the other side was closed
                break
            if not read:
                break
            seen += read.decode(errors="replace")
    process.wait(timeout=300)
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)


@pytest.fixture
def command(template: Repository) -> list[str]:
    new = [sys.executable, "-m", "headrace", "new", "it"]
    return [*new, "--template", str(template.root), "--no-lock"]


def test_questions_are_asked_on_a_terminal(command: list[str], tmp_path: Path) -> None:
    """A name is typed over the default; of the sources, the second is taken out."""
    answers = [("project_name", b"\x7f\x7fmine\r"), ("sources", b"\x1b[B \r")]
    seen = talk(command, tmp_path, answers)
    assert "answers:" in seen, seen
    assert (tmp_path / "it" / "pyproject.toml").read_text().startswith('[project]\nname = "mine"')
    said = (tmp_path / "it" / ".copier-answers.yml").read_text()
    assert said.endswith("project_name: mine\nsources:\n- jaffle_shop\n")


def test_ctrl_c_at_a_question_leaves_nothing(command: list[str], tmp_path: Path) -> None:
    seen = talk(command, tmp_path, [("project_name", b"\x03")])
    assert "error: stopped" in seen, seen
    assert [path.name for path in tmp_path.iterdir()] == ["template"]
