"""``headrace new``: a project of one's own, with a lock and a first commit."""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace import portable
from headrace.errors import TemplateError
from headrace.project import answers as answers_file
from headrace.project import git, template
from headrace.project.copier_calls import Rendered, render
from headrace.project.merge import LockStatus, NewReport, RepositoryStatus, TemplateAnswer
from headrace.project.template import TemplateAddress
from headrace.project.uv_lock import lock

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
    """Copy the template; the destination stays empty until all is done.

    Args:
        request: what to copy, and where to.
        tell: is called with what is done next; not while questions are asked.

    Raises:
        TemplateError: the destination, the template or an answer is not as it must be.
    """
    destination = check_destination(request.destination)
    address = template.locate(request.template)
    version = template.pick(address, request.ref)
    if not request.ask:
        tell("copying the template")
    with staging_folder(destination) as folder:
        made = render(address.source, version.ref, folder, data=request.data, ask=request.ask)
        locked = LockStatus(status="skipped", detail="--no-lock: run `uv lock` in it")
        if request.lock:
            tell("uv lock")
            locked = lock(folder, shown=str(destination))
        repository, more = _repository(folder, destination, made, wanted=request.repository)
    return NewReport(
        project=str(destination),
        template=address.shown,
        version=made.version,
        answers=tuple(
            TemplateAnswer(name=name, value=value) for name, value in made.answers.items()
        ),
        asked=request.ask,
        lock=locked,
        repository=repository,
        notes=(*version.notes, *made.notes, *more, *_of_this_machine(address, made.answers)),
        next_steps=(f"cd {_as_typed(destination)}", "uv run headrace run"),
    )


def check_destination(destination: Path) -> Path:
    """The destination as an absolute path.

    Raises:
        TemplateError: something is there already, or the folder cannot be made.
    """
    path = Path(os.path.abspath(destination.expanduser()))  # noqa: PTH100 (keeps symlinks)
    if path.is_symlink() and not path.exists():
        raise TemplateError(f"{path} is a link that leads nowhere: name another folder")
    if path.exists() and not path.is_dir():
        raise TemplateError(f"{path} is a file: name another folder, or move it away")
    if not path.name:
        raise TemplateError(f"{path} is not a folder for a project: name another one")
    if portable.WINDOWS and portable.is_reserved(path.name):
        raise TemplateError(f"{path.name} is a device name on Windows: name another folder")
    try:
        if path.is_dir() and any(path.iterdir()):
            raise TemplateError(
                f"{path} is not empty: name another folder, or empty it first "
                "(`headrace update` takes in updates of a project)"
            )
    except OSError as error:
        raise TemplateError(f"{path} cannot be read: {error.strerror}") from error
    above = nearest_existing(path)
    if not above.is_dir():
        raise TemplateError(f"{above} is a file, so {path} cannot be made: name another folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise TemplateError(f"{above} cannot be written to: name another folder")
    return path


def nearest_existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next(at for at in (path, *path.parents) if at.exists())


@contextmanager
def staging_folder(destination: Path) -> Iterator[Path]:
    """A temporary folder beside the destination, of its name, which becomes it at the end.

    Whatever ends the block early leaves everything as it was: the folder is removed, and so are
    folders above the destination that were made for it.

    Raises:
        TemplateError: the folder cannot be made, or the destination was taken meanwhile.
    """
    made = [at for at in destination.parents if not at.exists()]
    hidden: Path | None = None
    done = False
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        hidden = portable.temporary_beside(destination)
        hidden.mkdir(mode=0o700)
        folder = hidden / destination.name
        folder.mkdir()
        yield folder
        _move(folder, destination)
        done = True
    except OSError as error:
        told = error.strerror or str(error)
        raise TemplateError(f"{destination} cannot be written: {told}") from error
    finally:
        if hidden is not None:
            portable.remove(hidden)
        if not done:
            for at in made:
                _remove_if_empty(at)


def _move(folder: Path, destination: Path) -> None:
    """Rename, or fill the empty folder that is there: a shell may stand in it."""
    if not destination.exists():
        portable.replace(folder, destination)
        return
    if any(destination.iterdir()):
        raise TemplateError(f"{destination} was filled meanwhile: name another folder")
    moved = []
    try:
        for child in sorted(folder.iterdir()):
            target = destination / child.name
            portable.replace(child, target)
            moved.append(target)
    except BaseException:
        for target in moved:
            portable.remove(target)
        raise


def _remove_if_empty(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        return


def _of_this_machine(address: TemplateAddress, answers: Mapping[str, Any]) -> tuple[str, ...]:
    """A note where Headrace is installed from a folder, which other machines do not have."""
    if address.folder is None or not answers_file.is_pinned(answers):
        return ()
    note = (
        f"Headrace is installed from the folder {address.shown}, which other machines do not have: "
        "for CI or a container run `headrace update --machinery vendored`, or name the address of "
        f"your repository of it in pyproject.toml and {answers_file.FILE} (_src_path)"
    )
    return (note,)


def _repository(
    folder: Path, destination: Path, made: Rendered, *, wanted: bool
) -> tuple[RepositoryStatus, tuple[str, ...]]:
    """A repository with a first commit, and notes."""
    later = "`headrace update` needs one"
    if not wanted:
        return RepositoryStatus(status="skipped", detail=f"--no-git: {later}"), ()
    if not git.is_there():
        return RepositoryStatus(status="skipped", detail=f"git is not installed: {later}"), ()
    git.require("a first commit")
    around = git.top(nearest_existing(destination.parent))
    if around is not None and not git.is_ignored(around, destination):
        return RepositoryStatus(status="inside", detail=f"it is in the repository {around}"), ()
    message = " ".join(("Start from Headrace", made.version)).rstrip()
    try:
        known = _first_commit(folder, message)
    except TemplateError as error:
        portable.remove(folder / ".git")
        return RepositoryStatus(status="failed", detail=str(error)), ()
    if known:
        return RepositoryStatus(status="committed", detail=message), ()
    note = (
        "git does not know your name, so the first commit is Headrace's: set user.name and "
        "user.email by `git config`, then `git commit --amend --reset-author --no-edit`"
    )
    return RepositoryStatus(status="committed", detail=message), (note,)


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
