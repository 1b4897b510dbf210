"""The tutorial, done: every command and every edit of the page, in its order, in a fresh copy."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_project import is_simulated
from tutorial import Command, Edit, difference, steps
from warm_process import as_started, run_module

import bytecode

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorials" / "ten-minutes.md"
UV = os.environ.get("UV") or shutil.which("uv")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the page's commands are for a POSIX shell"),
    pytest.mark.skipif(UV is None, reason="uv is needed to do what the page says"),
]


@dataclass
class Desk:
    """A copy of the repository, and a shell in it.

    The first and the last command are run by the copy's own environment. The others, which begin
    with ``uv run headrace``, are run by the environment of the tests, whose process is warm.
    """

    root: Path
    environment: dict[str, str]

    def type(self, command: Command) -> None:
        """Type a command, and hold its end and its output against the page."""
        if "headrace serve" in command.line:
            self._serve(command)
            return
        if command.line.startswith("uv run headrace "):
            words = shlex.split(command.line)[3:]
            result = run_module("headrace", words, cwd=self.root, env=as_started(self.environment))
        else:
            result = subprocess.run(
                ["bash", "-c", command.line],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                check=False,
                timeout=300,
            )
        printed = (result.stderr or "") + result.stdout
        assert result.returncode == command.code, f"$ {command.line}\n{printed}"
        wrong = difference(command.output, printed)
        assert not wrong, f"$ {command.line}\n{wrong}\n\nall of it:\n{printed}"

    def _serve(self, command: Command) -> None:
        """Serve the page, look at its home, and end it by Ctrl-C."""
        with subprocess.Popen(
            ["bash", "-c", f"exec {command.line}"],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        ) as process:
            try:
                assert process.stdout is not None
                said = process.stdout.readline()
                assert not difference(command.output, said), said
                address = re.search(r"http://[\d.:]+/", said)
                assert address, said
                with urllib.request.urlopen(address[0], timeout=120) as answer:  # noqa: S310
                    assert answer.status == 200
            finally:
                os.killpg(process.pid, signal.SIGINT)
                process.wait(timeout=300)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """What somebody has who has just copied the repository, and has Python, pip and git.

    It is without the models of the simulated sources, which take dbt a while to parse.
    """
    root = tmp_path / "headrace"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not is_simulated(name):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    python = tmp_path / "python"
    assert UV is not None
    venv = [UV, "venv", "--quiet", "--seed", "--python", sys.executable, str(python)]
    subprocess.run(venv, check=True, cwd=tmp_path)
    compiled = tmp_path / "bytecode"
    bytecode.share(root / ".venv", pycache_prefix=compiled)
    ours = ("HEADRACE_", "VIRTUAL_ENV", "UV_PROJECT", "PYTEST_", "COV_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return Desk(
        root,
        kept
        | {
            "PATH": f"{python / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HEADRACE_SERVE__PORT": "0",  # any that is free
            "PYTHONPYCACHEPREFIX": str(compiled),
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
        },
    )


def test_the_tutorial_works_as_it_is_written(desk: Desk) -> None:
    todo = steps(PAGE.read_text(encoding="utf-8"))
    assert sum(isinstance(step, Command) for step in todo) >= 12
    assert sum(isinstance(step, Edit) for step in todo) >= 4
    for step in todo:
        if isinstance(step, Edit):
            step.apply(desk.root)
        else:
            desk.type(step)


# ── what the page is read by ────────────────────────────────────────────────


def test_a_page_is_read_in_its_order() -> None:
    page = """
```console
$ one --flag \\
    --more
printed
$ two
$ echo $?
1
```
```diff title="a/b.yml"
 key: 1
-old
+new
```
```csv title="c.csv"
x,y
```
```python
not_done()
```
"""
    assert steps(page) == [
        Command("one --flag     --more", ("printed",)),
        Command("two", (), 1),
        Edit("a/b.yml", " key: 1\n-old\n+new\n", is_diff=True),
        Edit("c.csv", "x,y\n", is_diff=False),
    ]


@pytest.mark.parametrize(
    ("page", "printed", "is_said"),
    [
        ("took 1.5 s", "took 22 s\n", True),
        ("first\n...\nlast", "first\na\nb\nlast\n", True),
        ("first\n...", "first\na\n", True),
        ("", "whatever\n", True),
        ("first\nlast", "first\na\nlast\n", False),
        ("first", "first\nmore\n", False),
        ("first\n...\nlast", "first\n", False),
        ("5 rows", "6 rows\n", False),
    ],
)
def test_an_output_is_compared(page: str, printed: str, is_said: bool) -> None:
    assert (difference(tuple(page.splitlines()), printed) == "") is is_said


def test_an_edit_needs_its_place(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a\nb\n", encoding="utf-8")
    Edit("f", " a\n-b\n+c\n", is_diff=True).apply(tmp_path)
    assert (tmp_path / "f").read_text("utf-8") == "a\nc\n"
    with pytest.raises(AssertionError, match="0 places"):
        Edit("f", "-b\n+c\n", is_diff=True).apply(tmp_path)
