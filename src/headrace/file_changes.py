"""Changes to files of a project that are made together: checked first, then all written or none."""

import difflib
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from headrace import portable
from headrace.errors import ProjectFileError


def read_text(path: Path) -> str:
    """The text of a file, its line ends as they are.

    Raises:
        ProjectFileError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ProjectFileError(
            f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8; nothing was written"
        ) from error
    except OSError as error:
        raise ProjectFileError(
            f"{path} cannot be read ({error.strerror}); nothing was written"
        ) from error


def check(root: Path, texts: Mapping[Path, str]) -> None:
    """Check that every file can be written, and is inside of a folder.

    Args:
        root: the folder.
        texts: what to write.

    Raises:
        ProjectFileError: one cannot; nothing was written.
    """
    for path in texts:
        real = path.resolve()
        if not real.is_relative_to(root.resolve()):
            raise ProjectFileError(
                f"{path} points outside of {root}, to {real}: make its folder one of the project "
                "(for models, see model-paths in dbt_project.yml); nothing was written"
            )
        if path.exists() and not _is_writable(path):
            raise ProjectFileError(
                f"{path} is read-only: make it writable (chmod u+w); nothing was written"
            )
        above = next(folder for folder in path.parents if folder.exists())
        if not above.is_dir() or not _is_writable(above):
            raise ProjectFileError(
                f"{above} is not a writable folder: make it one; nothing was written"
            )


def write(texts: Mapping[Path, str], originals: Mapping[Path, str]) -> None:
    """Write the files, each in one step; after any failure the old files are there again.

    Args:
        texts: what to write.
        originals: the content of those that existed when the texts were made.

    Raises:
        ProjectFileError: a file changed since then, or cannot be written; nothing was written.
    """
    for path in texts:
        there = path.read_bytes() if path.exists() else None
        before = originals.get(path)
        if there != (None if before is None else before.encode()):
            raise ProjectFileError(
                f"{path} was changed meanwhile: run the same command again; nothing was written"
            )
    made: list[Path] = []
    done: list[Path] = []
    try:
        for path, text in texts.items():
            missing = [
                folder for folder in (path.parent, *path.parent.parents) if not folder.exists()
            ]
            for folder in reversed(missing):
                folder.mkdir()
                made.append(folder)
            done.append(path)
            portable.write_file(path, text)
    except BaseException as error:
        undo(done, made, originals)
        if isinstance(error, OSError):
            raise ProjectFileError(
                f"{error.filename or path} cannot be written ({error.strerror}): fix that and run "
                "the same command again; nothing was written"
            ) from error
        raise


def undo(done: list[Path], made: list[Path], originals: Mapping[Path, str]) -> None:
    """Restore the files that were there before, and remove files and folders that are new."""
    for path in reversed(done):
        with suppress(OSError):
            if path not in originals:
                path.unlink(missing_ok=True)
            elif path.read_bytes() != originals[path].encode():
                portable.write_file(path, originals[path])
    for folder in reversed(made):
        with suppress(OSError):
            folder.rmdir()


def diff(name: str, old: str | None, new: str) -> str:
    """The unified diff of a file; a file that was not there is compared with none."""
    before = (old or "").splitlines(keepends=True)
    lines = difflib.unified_diff(
        before,
        new.splitlines(keepends=True),
        fromfile="/dev/null" if old is None else f"a/{name}",
        tofile=f"b/{name}",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _is_writable(path: Path) -> bool:
    """By the file's own mode, too: the superuser may write every file."""
    return bool(path.stat().st_mode & stat.S_IWUSR) and os.access(path, os.W_OK)
