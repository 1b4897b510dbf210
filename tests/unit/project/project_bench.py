"""A small template of two versions, and projects made of it; with real git and real copier."""

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="a template is a git repository")
posix_only = pytest.mark.skipif(os.name == "nt", reason="the stand-in for uv is a shell script")

FIRST, SECOND = "v0.1.0", "v0.2.0"
CONFIG = """\
_min_copier_version: "9.10"
_exclude:
  - copier.yml
  - .git
  - "{% if _copier_operation == 'update' %}/yours{% endif %}"
project_name:
  type: str
  default: "{{ _folder_name | lower | replace(' ', '-') }}"
  validator: "{% if ' ' in project_name %}write it without spaces{% endif %}"
sources:
  type: str
  multiselect: true
  choices: [jaffle_shop, shop]
  default: [jaffle_shop, shop]
slug:
  type: str
  when: false
  default: "{{ project_name }}"
"""
ANSWERS = "{{ _copier_answers | to_nice_yaml -}}\n"
LINES = "".join(f"line {number}\n" for number in range(1, 13))
NOT_UTF8 = "line 2 é\n".encode("latin-1")
PLAIN: dict[str, str | bytes] = {
    "copier.yml": CONFIG,
    ".copier-answers.yml.jinja": ANSWERS,
    ".gitignore": "ignored/\n",
    ".gitattributes": "* text=auto eol=lf\n",
    "pyproject.toml.jinja": (
        '[project]\nname = "{{ project_name }}"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'
    ),
    "machinery/merged.txt": LINES,
    "machinery/conflict.txt": LINES,
    "machinery/not_utf8.txt": LINES,
    "machinery/dropped.txt": "one\ntwo\n",
    "machinery/dropped_unedited.txt": "one\n",
    "machinery/deleted.txt": "one\n",
    "machinery/renamed.txt": "one\ntwo\n",
    "machinery/crlf.txt": LINES,
    "yours/model.sql": "select 1\n",
    "yours/unedited.sql": "select 1\n",
}
BINARY: dict[str, str | bytes] = {
    "machinery/logo.png": b"\x89PNG\0first",
    "machinery/both.png": b"\x89PNG\0first",
}


@dataclass(frozen=True)
class Repository:
    """A folder with git."""

    root: Path

    def git(self, *words: str) -> str:
        """What git prints."""
        command = ["git", *words]
        result = subprocess.run(
            command, cwd=self.root, capture_output=True, encoding="utf-8", check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file."""
        text = self.read(name).decode()
        assert old in text
        self.write(name, text.replace(old, new))

    def read(self, name: str) -> bytes:
        """A file's content."""
        return (self.root / name).read_bytes()

    def has(self, name: str) -> bool:
        """Whether there is such a file or folder."""
        return (self.root / name).exists()

    def commit(self, message: str, tag: str | None = None) -> None:
        """Commit all there is."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        if tag:
            self.git("tag", tag)

    def status(self) -> dict[str, str]:
        """What ``git status`` says, by path."""
        found = self.git("status", "--porcelain", "-z", "--untracked-files=all").split("\0")
        return {line[3:]: line[:2] for line in found if line}

    def tree(self) -> dict[str, bytes]:
        """Every file but git's."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        names = {path.relative_to(self.root).as_posix(): path for path in files}
        return {name: path.read_bytes() for name, path in names.items() if name[:5] != ".git/"}


def repository(root: Path) -> Repository:
    """A new one, without a commit."""
    root.mkdir(parents=True, exist_ok=True)
    made = Repository(root)
    made.git("init", "--quiet")
    made.git("symbolic-ref", "HEAD", "refs/heads/main")
    return made


def first_version(root: Path) -> Repository:
    """A template with one tag."""
    made = repository(root)
    for name, content in {**PLAIN, **BINARY}.items():
        made.write(name, content)
    made.commit("first", FIRST)
    return made


def second_version(made: Repository) -> None:
    """What the next version changes, adds and drops."""
    for name in ("merged", "conflict", "not_utf8", "crlf"):
        made.edit(f"machinery/{name}.txt", "line 12\n", "line 12, second version\n")
    for name in ("dropped", "dropped_unedited"):
        (made.root / "machinery" / f"{name}.txt").unlink()
    for name in ("deleted", "renamed"):
        made.write(f"machinery/{name}.txt", "second version\n")
    made.write("machinery/both.png", b"\x89PNG\0second")
    made.write("machinery/both_added.txt", "second version\n")
    made.write("machinery/new.txt", "second version\n")
    made.write("ignored/settings.txt", "second version\n")
    made.git("add", "--force", "ignored/settings.txt")
    made.edit("yours/model.sql", "select 1", "select 2")
    made.edit("yours/unedited.sql", "select 1", "select 2")
    made.write("yours/new.sql", "select 3\n")
    made.edit("copier.yml", "slug:\n", "colour:\n  type: str\n  default: blue\nslug:\n")
    made.commit("second", SECOND)


def edits(made: Repository) -> None:
    """What a user does between the two, and commits."""
    made.edit("machinery/merged.txt", "line 1\n", "line 1, mine\n")
    made.edit("machinery/conflict.txt", "line 12\n", "line 12, mine\n")
    made.write("machinery/not_utf8.txt", LINES.encode().replace(b"line 2\n", NOT_UTF8))
    made.edit("machinery/dropped.txt", "two\n", "two, mine\n")
    (made.root / "machinery" / "deleted.txt").unlink()
    made.git("mv", "machinery/renamed.txt", "machinery/my_name.txt")
    # an editor's line ends, which git does not keep
    made.write("machinery/crlf.txt", LINES.replace("1\n", "1, mine\n", 1).replace("\n", "\r\n"))
    made.write("machinery/logo.png", b"\x89PNG\0mine")
    made.write("machinery/both.png", b"\x89PNG\0mine")
    made.write("machinery/both_added.txt", "mine\n")
    made.edit("yours/model.sql", "select 1", "select 1, 'mine'")
    made.write("yours/mine.sql", "select 'mine'\n")
    made.write("yours/picture é.png", b"\x89PNG\0mine")
    made.commit("mine")
    # git ignores it: it could not be had back
    made.write("ignored/settings.txt", "mine\n")


def stand_in(folder: Path, script: str) -> str:
    """A program that stands in for uv."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "uv"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)
