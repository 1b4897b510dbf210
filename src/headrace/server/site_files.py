"""A folder of files that changes as a whole: written beside its place, then put there."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace import portable
from headrace.errors import ServeError

MARK = ".headrace-site.json"


def check(out: Path, *, force: bool) -> None:
    """Refuse a place that holds what is not ours.

    Raises:
        ServeError: it is a file, or a folder with files that this command did not write.
    """
    if out.is_dir():
        if not force and any(out.iterdir()) and ours(out) is None:
            raise ServeError(
                f"{out} is not empty, and was not written by `headrace docs`: name another "
                "directory, or add --force to write into it (other files in it stay)"
            )
    elif out.exists() or out.is_symlink():
        raise ServeError(f"{out} is not a directory: name another one with --out")


def ours(out: Path) -> frozenset[str] | None:
    """The files that we wrote there, relative and with slashes; None where we never did."""
    try:
        content = json.loads((out / MARK).read_text(encoding="utf-8"))
        return frozenset(str(name) for name in content["files"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """A folder to write to, which takes the place of ``out`` at the end if nothing was raised.

    Files in ``out`` that we did not write stay. A stop at any moment leaves the old files or the
    new ones.

    Raises:
        ServeError: the place cannot be written.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 - a link to a folder is one of the places
    if out.is_symlink():
        out = out.resolve()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _tidy(out)
        made = portable.temporary_beside(out)
        made.mkdir(mode=0o755)
        try:
            yield made
            files = sorted(_files(made))
            content = json.dumps({"files": files}, indent=0)
            (made / MARK).write_text(content + "\n", encoding="utf-8")
            _put(made, out)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise ServeError(
            f"the site cannot be written to {out}: {error.strerror or error}; what was there stays"
        ) from error


def _files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.relative_to(folder).as_posix()


def _put(made: Path, out: Path) -> None:
    old = ours(out) or frozenset()
    kept = set(_files(out)) - old - {MARK} if out.is_dir() else set()
    if kept or os.path.ismount(out):
        _merge(made, out, old)
        return
    aside = _aside(out)
    if out.is_dir():
        portable.replace(out, aside)
    try:
        portable.replace(made, out)
    except OSError:
        if aside.is_dir():
            portable.replace(aside, out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _merge(made: Path, out: Path, old: frozenset[str]) -> None:
    """File by file: what pages need first, then pages, then what nothing needs any more."""
    new = sorted(_files(made), key=lambda name: (name.endswith(".html"), name))
    for name in new:
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        portable.replace(made / name, target)
    for name in old - set(new):
        path = out / name
        if path.resolve().is_relative_to(out.resolve()):
            path.unlink(missing_ok=True)


def _aside(out: Path) -> Path:
    return out.parent / f".{out.name}.old"


def _tidy(out: Path) -> None:
    """Take back what a process that was killed left half done."""
    aside = _aside(out)
    if aside.is_dir():
        if out.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            portable.replace(aside, out)
