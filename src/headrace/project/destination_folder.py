"""The folder of a new project: what may stand there, and how it is filled in one step."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace import portable
from headrace.errors import TemplateError


def check(destination: Path) -> Path:
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
        raise TemplateError(f"{path} is no place for a project: name a folder")
    if portable.WINDOWS and portable.is_reserved(path.name):
        raise TemplateError(f"{path.name} is a device to Windows: name another folder")
    try:
        if path.is_dir() and any(path.iterdir()):
            raise TemplateError(
                f"{path} is not empty: name another folder, or empty it first "
                "(`headrace update` takes in updates of a project)"
            )
    except OSError as error:
        raise TemplateError(f"{path} cannot be read: {error.strerror}") from error
    above = nearest(path)
    if not above.is_dir():
        raise TemplateError(f"{above} is a file, so {path} cannot be made: name another folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise TemplateError(f"{above} cannot be written to: name another folder")
    return path


def nearest(path: Path) -> Path:
    """The path itself, or the nearest above it that there is."""
    return next(at for at in (path, *path.parents) if at.exists())


@contextmanager
def workshop(destination: Path) -> Iterator[Path]:
    """A temporary folder beside the destination, of its name, which becomes it at the end.

    Whatever ends the block early leaves everything as it was: the folder is removed, and so are
    folders above the destination that were made for it.

    Raises:
        TemplateError: the folder cannot be made, or the destination was taken meanwhile.
    """
    made = [at for at in destination.parents if not at.exists()]
    room: Path | None = None
    done = False
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        room = portable.temporary_beside(destination)
        room.mkdir(mode=0o700)
        folder = room / destination.name
        folder.mkdir()
        yield folder
        _move(folder, destination)
        done = True
    except OSError as error:
        told = error.strerror or str(error)
        raise TemplateError(f"{destination} cannot be written: {told}") from error
    finally:
        if room is not None:
            portable.remove(room)
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
