"""The merge of an update, file by file: what it did, and the reports on each file.

    old and new version ─┐
    the project before  ─┼─► outcome: conflicts, files left alone, files put back
    after copier's merge ┘      └─► new answers: what they change in files left alone

copier merges well, but in four cases it loses something without a message: it deletes a file that
the new version dropped although the user edited it, it overwrites binary files that the user
replaced (even where both versions of the template have the same), it overwrites files that git
ignores, and it loses bytes that are not UTF-8. So each file is compared with the template's old and
new version.
"""

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace import portable
from headrace.formatting import first_few
from headrace.project import answers, git


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True)


class TemplateAnswer(_Report):
    """One answer to a question of the template."""

    name: str
    value: Any


class LockStatus(_Report):
    """What became of ``uv.lock``."""

    status: Literal["locked", "failed", "skipped"]
    detail: str = Field("", description="why it failed or was skipped, and what to run")


class RepositoryStatus(_Report):
    """What became of the project's git repository."""

    status: Literal["committed", "skipped", "inside", "failed"]
    detail: str = Field("", description="the commit's message; else why there is none")


class NewReport(_Report):
    """A project that was copied from the template."""

    project: str = Field(description="the folder")
    template: str = Field(description="address of the template, without any password")
    version: str = Field(description="tag or commit; empty for a template without git")
    answers: tuple[TemplateAnswer, ...]
    asked: bool = Field(description="whether the questions were asked; else defaults were taken")
    lock: LockStatus
    repository: RepositoryStatus
    notes: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()


class MergeConflict(_Report):
    """A file in which the user's changes and the new version's meet."""

    path: str
    kind: Literal["markers", "dropped", "binary", "merge"] = Field(
        description="`markers`: both versions stand in the file; `dropped`: the new version has "
        "the file no more; `binary`: the new version's stands; `merge`: not merged as git would"
    )
    what: str = Field(description="what happened and what to do, as text")


class UpdateReport(_Report):
    """An update of a project to a version of the template. Paths are below the project."""

    project: str
    template: str = Field(description="address of the template, without any password")
    from_version: str
    to_version: str
    dry_run: bool = False
    up_to_date: bool = Field(False, description="the project is of that version already")
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    conflicts: tuple[MergeConflict, ...] = ()
    kept: tuple[str, ...] = Field((), description="yours, left alone; the new version differs")
    not_added: tuple[str, ...] = Field((), description="new in places that are yours; not added")
    stay_deleted: tuple[str, ...] = Field(
        (), description="deleted or renamed by you; the new version changed them; not brought back"
    )
    put_back: tuple[str, ...] = Field(
        (), description="yours, overwritten by the merge and put back as they were"
    )
    new_answers: tuple[TemplateAnswer, ...] = Field(
        (), description="new questions; defaults were taken"
    )
    changed_answers: tuple[TemplateAnswer, ...] = Field((), description="as given by --data")
    dropped_answers: tuple[str, ...] = Field((), description="questions that are asked no more")
    lock: LockStatus
    undo: str = Field("", description="the command that takes the update back; empty if no change")
    notes: tuple[str, ...] = ()


# uv's, and brought in line by `uv lock`; copier's own record
_NOT_COMPARED = {"uv.lock", answers.FILE}

Files = Mapping[str, bytes]

_WORDS = {
    "dropped": "edited by you, and the new version has it no more: it was deleted",
    "binary": "a binary file that you and the new version changed: the new version's stands",
    "merge": "merged otherwise than git would do it: read `git diff`",
}

MOST_NAMED = 3


@dataclass
class MergeOutcome:
    """What became of the files; paths are below the project."""

    conflicts: dict[str, MergeConflict] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    not_added: list[str] = field(default_factory=list)
    stay_deleted: list[str] = field(default_factory=list)
    put_back: list[str] = field(default_factory=list)

    def report_fields(self, status: Mapping[str, str]) -> dict[str, Any]:
        """The fields of ``UpdateReport`` that name files, from git's status of each."""
        groups: dict[str, list[str]] = {"changed": [], "added": [], "removed": []}
        group_of = {"??": "added", "A": "added", "D": "removed"}
        for name, letters in status.items():
            if name not in self.conflicts:
                groups[group_of.get(letters.strip(), "changed")].append(name)
        return {
            **{group: tuple(names) for group, names in groups.items()},
            "conflicts": tuple(self.conflicts[name] for name in sorted(self.conflicts)),
            "kept": tuple(self.kept),
            "not_added": tuple(self.not_added),
            "stay_deleted": tuple(self.stay_deleted),
            "put_back": tuple(self.put_back),
        }


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


def outcome(project: Path, old: Files, new: Files, was: Before) -> MergeOutcome:
    """Compare every file with both versions of the template; restore what was lost."""
    found = MergeOutcome()
    for name in _unmerged(project):
        found.conflicts[name] = MergeConflict(
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


def _ignored(found: MergeOutcome, path: Path, name: str, mine: bytes, now: bytes | None) -> None:
    """A file that git does not know could not be had back."""
    if now != mine:
        portable.write_file(path, mine)
        found.put_back.append(name)


def _mine(
    found: MergeOutcome,
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


def _conflict(name: str, kind: Literal["dropped", "binary", "merge"]) -> MergeConflict:
    what = f"{_WORDS[kind]}; `git restore {quoted(name)}` brings yours back"
    return MergeConflict(path=name, kind=kind, what=what)


def quoted(name: str) -> str:
    """A path as an argument of a command line."""
    plain = all(letter.isalnum() or letter in "._-/+@" for letter in name)
    return name if plain else f'"{name}"'


def merged(base: bytes, mine: bytes, theirs: bytes) -> bytes | None:
    """What git merges two versions of a text to; None if they conflict."""
    content, is_clean = with_markers(base, mine, theirs)
    return content if is_clean else None


def with_markers(base: bytes, mine: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """What git merges two versions of a text to, and whether that has no conflicts."""
    with tempfile.TemporaryDirectory(prefix="headrace-merge-") as folder:
        paths = [Path(folder, name) for name in ("before updating", "base", "after updating")]
        for path, content in zip(paths, (mine, base, theirs), strict=True):
            path.write_bytes(content)
        command = ["git", "merge-file", "-p", *(path.name for path in paths)]
        result = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    return result.stdout, result.returncode == 0


def _unmerged(project: Path) -> list[str]:
    """Files with both versions in them; copier records them in git's index."""
    entries = git.names(project, "ls-files", "-u", "-z")
    return sorted({entry.partition("\t")[2] for entry in entries})


def _content(path: Path) -> bytes:
    """The bytes, with the line ends of texts as git keeps them."""
    content = path.read_bytes()
    return content if b"\0" in content else content.replace(b"\r\n", b"\n")


def apply_new_answers(
    where: Path, same: Files, new: Files, was: Before, found: MergeOutcome
) -> str:
    """Write what new answers change in files that an update leaves alone, for they are the user's.

    Where ``--data`` changes an answer, the user has asked for what it changes there as well: the
    pipeline and the models of one more source, its settings. So the new version is made with the
    answers of before, too; what differs is what the answers change.

    Returns:
        A note on files that the new answers no longer ask for; empty without any.

    Args:
        where: the project, after copier's merge.
        same: the new version with the answers of before.
        new: the new version with the answers as given.
        was: the project before the merge.
        found: what the merge did; what is brought is taken from what was left alone.
    """
    for name in [name for name in found.not_added if name not in same]:
        portable.write_file(where / name, new[name])
        found.not_added.remove(name)
    for name in [name for name in found.kept if same.get(name, new[name]) != new[name]]:
        content, is_clean = with_markers(same[name], was.tracked[name], new[name])
        portable.write_file(where / name, content)
        found.kept.remove(name)
        if not is_clean:
            found.conflicts[name] = MergeConflict(
                path=name,
                kind="markers",
                what="changed by you and by the other answers: choose between the lines <<<<<<< "
                "and >>>>>>>",
            )
    left = [name for name in sorted(same.keys() - new.keys()) if (where / name).is_file()]
    if not left:
        return ""
    names = first_few(left, MOST_NAMED)
    return f"yours, and not asked for by the new answers: {names}; `git rm` what is not needed"
