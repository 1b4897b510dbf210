"""``headrace new``: a project of one's own, with a lock and a first commit."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace import portable
from headrace.errors import TemplateError
from headrace.project import destination_folder, git, template
from headrace.project.lock import lock
from headrace.project.render import Rendered, render
from headrace.project.reports import Answer, Lock, NewReport, Repository

# for machines where git knows nobody; `git commit --amend --reset-author` puts the user's own
_NOBODY = ("-c", "user.name=Headrace", "-c", "user.email=headrace@localhost")


@dataclass(frozen=True)
class NewRequest:
    """What to copy, and where to."""

    destination: Path
    template: str | None = None
    """A folder or the address of a git repository; none for the one of this Headrace."""
    ref: str | None = None
    """A tag, branch or commit; none for the newest tag."""
    data: dict[str, Any] = field(default_factory=dict)
    """Answers that are not asked for."""
    ask: bool = False
    """Whether to ask the other questions; else their defaults are taken."""
    lock: bool = True
    repository: bool = True


def new(request: NewRequest, tell: Callable[[str], None] = lambda _: None) -> NewReport:
    """Copy the template; until all is done, nothing stands at the destination.

    Args:
        request: what to copy, and where to.
        tell: is called with what is done next; not while questions are asked.

    Raises:
        TemplateError: the destination, the template or an answer is not as it must be.
    """
    destination = destination_folder.check(request.destination)
    address = template.locate(request.template)
    version = template.pick(address, request.ref)
    if not request.ask:
        tell("copying the template")
    with destination_folder.workshop(destination) as folder:
        made = render(address.source, version.ref, folder, data=request.data, ask=request.ask)
        locked = Lock(status="skipped", detail="--no-lock: run `uv lock` in it")
        if request.lock:
            tell("uv lock")
            locked = lock(folder, shown=str(destination))
        repository, more = _repository(folder, destination, made, wanted=request.repository)
    return NewReport(
        project=str(destination),
        template=address.shown,
        version=made.version,
        answers=tuple(Answer(name=name, value=value) for name, value in made.answers.items()),
        asked=request.ask,
        lock=locked,
        repository=repository,
        notes=(*version.notes, *made.notes, *more),
        next_steps=(f"cd {_as_typed(destination)}", "uv run headrace run"),
    )


def _repository(
    folder: Path, destination: Path, made: Rendered, *, wanted: bool
) -> tuple[Repository, tuple[str, ...]]:
    """A repository with a first commit, and notes."""
    later = "`headrace update` needs one"
    if not wanted:
        return Repository(status="skipped", detail=f"--no-git: {later}"), ()
    if not git.is_there():
        return Repository(status="skipped", detail=f"git is not installed: {later}"), ()
    git.require("a first commit")
    around = git.top(destination_folder.nearest(destination.parent))
    if around is not None and not git.is_ignored(around, destination):
        return Repository(status="inside", detail=f"it is in the repository {around}"), ()
    message = " ".join(("Start from Headrace", made.version)).rstrip()
    try:
        known = _first_commit(folder, message)
    except TemplateError as error:
        portable.remove(folder / ".git")
        return Repository(status="failed", detail=str(error)), ()
    if known:
        return Repository(status="committed", detail=message), ()
    note = (
        "git does not know your name, so the first commit is Headrace's: set user.name and "
        "user.email by `git config`, then `git commit --amend --reset-author --no-edit`"
    )
    return Repository(status="committed", detail=message), (note,)


def _first_commit(folder: Path, message: str) -> bool:
    """Whether it was made in the user's own name."""
    git.out(folder, "init", "--quiet")
    git.out(folder, "symbolic-ref", "HEAD", "refs/heads/main")  # `init -b` needs git 2.28
    git.out(folder, "add", "--all")
    known = git.has_identity(folder)
    who = () if known else _NOBODY
    words = ("commit", "--quiet", "--no-gpg-sign", "--message", message)
    git.out(folder, *git.QUIETLY, *who, *words)
    return known


def _as_typed(path: Path) -> str:
    """A path as one would type it here: relative where that is shorter."""
    try:
        near = path.relative_to(Path.cwd())
    except ValueError:
        near = path
    words = str(near)
    if portable.WINDOWS:
        return f'"{words}"' if " " in words else words
    return shlex.quote(words)
