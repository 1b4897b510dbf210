"""Write the files of a new source: all of them, or none."""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from headrace import portable
from headrace.errors import AddError


def missing(root: Path, name: str, texts: Mapping[Path, str]) -> dict[Path, str]:
    """Those that are not there yet: the same command may have been killed half way.

    Args:
        root: of the project.
        name: of the source.
        texts: what its files are to hold; none of them is there in a project that is new to it.

    Raises:
        AddError: there is another file in its folder, or one with another content.
    """
    folder = root / "dlt_pipelines" / name
    for path in (*folder.rglob("*"), *texts):
        is_ours = path in texts and path.is_file() and path.read_bytes() == texts[path].encode()
        is_rest = path.name.endswith(".tmp") or "__pycache__" in path.parts
        if path.is_file() and not is_ours and not is_rest:
            where = folder if path.is_relative_to(folder) else path
            raise AddError(
                f"there is a {where.relative_to(root).as_posix()}: take another name, or remove it"
            )
    return {path: text for path, text in texts.items() if not path.exists()}


def check(root: Path, texts: Mapping[Path, str]) -> None:
    """See that every file can be written, and stays within the project.

    Raises:
        AddError: one cannot; nothing was written.
    """
    for path in texts:
        if not path.resolve().is_relative_to(root.resolve()):
            raise AddError(
                f"{path} points outside of the project, to {path.resolve()}: make its folder "
                "one of the project; nothing was written"
            )
        if path.exists() and not (path.stat().st_mode & stat.S_IWUSR and os.access(path, os.W_OK)):
            raise AddError(f"{path} is read-only: make it writable; nothing was written")
        above = next(folder for folder in path.parents if folder.exists())
        mode = above.stat().st_mode
        if not above.is_dir() or not (mode & stat.S_IWUSR and os.access(above, os.W_OK)):
            raise AddError(f"{above} is not a writable folder: make it one; nothing was written")


def write(texts: Mapping[Path, str], originals: Mapping[Path, bytes]) -> None:
    """Write the files; whatever stops it, what was there before is there again.

    Args:
        texts: what to write.
        originals: the content of those that were there when the texts were made.

    Raises:
        AddError: a file changed in between, or cannot be written; nothing is left of it.
    """
    for path in texts:
        if (path.read_bytes() if path.exists() else None) != originals.get(path):
            raise AddError(f"{path} was changed meanwhile: run the same command again")
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
            raise AddError(
                f"{error.filename or path} cannot be written ({error.strerror}): fix that and run "
                "the same command again; nothing was written"
            ) from error
        raise


def undo(done: list[Path], made: list[Path], originals: Mapping[Path, bytes]) -> None:
    """Put back what was there: files, and no folder that was made for them."""
    for path in reversed(done):
        with suppress(OSError):
            if path not in originals:
                path.unlink(missing_ok=True)
            elif path.read_bytes() != originals[path]:
                portable.write_file(path, originals[path])
    for folder in reversed(made):
        with suppress(OSError):
            folder.rmdir()
