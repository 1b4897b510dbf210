"""What an update did to each file, against what it should have done.

copier merges well, and in four cases without a word: it deletes a file that the new version
dropped although the user edited it, it overwrites binary files that the user replaced (even where
both versions of the template have the same), it writes over files that git ignores, and it loses
bytes that are no UTF-8. So each file is held against the template's old and new version.
"""

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from headrace import portable
from headrace.project import answers, git
from headrace.project.reports import Conflict

# uv's, and brought in line by `uv lock`; copier's own record
_NOT_COMPARED = {"uv.lock", answers.FILE}
Files = Mapping[str, bytes]


@dataclass
class Outcome:
    """What became of the files; paths are below the project."""

    conflicts: dict[str, Conflict] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    not_added: list[str] = field(default_factory=list)
    stay_deleted: list[str] = field(default_factory=list)
    put_back: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Before:
    """The project before the update, as far as the template has files of the same names."""

    tracked: Files
    untracked: Files
    """Files that git ignores."""


def contents(folder: Path) -> dict[str, bytes]:
    """Each file below a folder, by its path with forward slashes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): _content(path) for path in files}


def before(project: Path, old: Files, new: Files) -> Before:
    """Read the project's files that an update may touch."""
    tracked_names = set(git.names(project, "ls-files", "-z"))
    tracked: dict[str, bytes] = {}
    untracked: dict[str, bytes] = {}
    for name in old.keys() | new.keys():
        path = project / name
        if path.is_file():
            (tracked if name in tracked_names else untracked)[name] = _content(path)
    return Before(tracked, untracked)


def outcome(project: Path, old: Files, new: Files, was: Before) -> Outcome:
    """Hold every file against both versions of the template; put back what was lost."""
    found = Outcome()
    for name in _unmerged(project):
        found.conflicts[name] = Conflict(
            path=name,
            kind="markers",
            what="changed by you and by the new version: choose between the lines <<<<<<< and "
            ">>>>>>>, then `git add` it",
        )
    for name in sorted((old.keys() | new.keys()) - found.conflicts.keys() - _NOT_COMPARED):
        path = project / name
        now = _content(path) if path.is_file() else None
        if name in was.untracked:
            _ignored(found, path, name, was.untracked[name], now)
        elif name in was.tracked:
            _mine(found, project, name, old.get(name), was.tracked[name], new.get(name), now)
        elif now is None and name in new and new[name] != old.get(name):
            (found.stay_deleted if name in old else found.not_added).append(name)
    return found


def _ignored(found: Outcome, path: Path, name: str, mine: bytes, now: bytes | None) -> None:
    """A file that git does not know could not be had back."""
    if now != mine:
        portable.write_file(path, mine)
        found.put_back.append(name)


def _mine(
    found: Outcome,
    project: Path,
    name: str,
    base: bytes | None,
    mine: bytes,
    theirs: bytes | None,
    now: bytes | None,
) -> None:
    """A file of the user's repository."""
    if mine == theirs:
        return
    if theirs is None:
        if mine not in (now, base):
            found.conflicts[name] = _conflict(name, "dropped")
    elif now == mine:
        if theirs != base:
            found.kept.append(name)
    elif theirs == base:
        git.out(project, "restore", "--", f":(literal){name}")
        found.put_back.append(name)
    elif mine == base and now == theirs:
        return
    elif b"\0" in mine + theirs:
        found.conflicts[name] = _conflict(name, "binary")
    elif now != merged(base or b"", mine, theirs):
        found.conflicts[name] = _conflict(name, "merge")


_WORDS = {
    "dropped": "edited by you, and the new version has it no more: it was deleted",
    "binary": "a binary file that you and the new version changed: the new version's stands",
    "merge": "merged otherwise than git would do it: read `git diff`",
}


def _conflict(name: str, kind: Literal["dropped", "binary", "merge"]) -> Conflict:
    what = f"{_WORDS[kind]}; `git restore {quoted(name)}` brings yours back"
    return Conflict(path=name, kind=kind, what=what)


def quoted(name: str) -> str:
    """A path as an argument of a command line."""
    plain = all(letter.isalnum() or letter in "._-/+@" for letter in name)
    return name if plain else f'"{name}"'


def merged(base: bytes, mine: bytes, theirs: bytes) -> bytes | None:
    """What git makes of two versions of a text; none when they conflict."""
    content, is_clean = with_markers(base, mine, theirs)
    return content if is_clean else None


def with_markers(base: bytes, mine: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """What git makes of two versions of a text, and whether it is without conflicts."""
    with tempfile.TemporaryDirectory(prefix="headrace-merge-") as folder:
        paths = [Path(folder, name) for name in ("before updating", "base", "after updating")]
        for path, content in zip(paths, (mine, base, theirs), strict=True):
            path.write_bytes(content)
        command = ["git", "merge-file", "-p", *(path.name for path in paths)]
        result = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    return result.stdout, result.returncode == 0


def _unmerged(project: Path) -> list[str]:
    """Files with both versions in them; copier tells git of them."""
    entries = git.names(project, "ls-files", "-u", "-z")
    return sorted({entry.partition("\t")[2] for entry in entries})


def _content(path: Path) -> bytes:
    """The bytes, with the line ends of texts as git keeps them."""
    content = path.read_bytes()
    return content if b"\0" in content else content.replace(b"\r\n", b"\n")
