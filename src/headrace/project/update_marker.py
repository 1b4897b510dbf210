"""A note in git's own folder while an update is under way: it outlives ``kill -9``.

Without it the next command would find files that are not committed, and ask to commit them: half an
update, with the answers file of a whole one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace import portable
from headrace.errors import TemplateError
from headrace.project import git

_NAME = "headrace-update"
UNDO = "git restore --staged --worktree . && git clean -fd ."


@contextmanager
def noted(project: Path, version: str) -> Iterator[None]:
    """While an update to a version changes the project; what ends it in order takes the note."""
    note = _note(project)
    portable.write_file(note, version)
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def check(project: Path, *, is_dirty: bool) -> None:
    """See that no update was stopped half way.

    Raises:
        TemplateError: one was, and stands in the files.
    """
    note = _note(project)
    if not note.is_file():
        return
    if is_dirty:
        version = note.read_text(encoding="utf-8")
        raise TemplateError(
            f"an update to {version} was stopped half way: take it back by `{UNDO}`, and run "
            "the same command again (this drops what was changed since, too)"
        )
    note.unlink()


def _note(project: Path) -> Path:
    return project / git.out(project, "rev-parse", "--git-path", _NAME).removesuffix("\n")
