"""Write what a scaffold made: all checks first, then each file in one step."""

import difflib
import os
import stat
from pathlib import Path

from headrace import portable
from headrace.errors import ScaffoldError


def check(root: Path, texts: dict[Path, str]) -> None:
    """See that every file can be written, within the dbt project.

    Raises:
        ScaffoldError: one cannot; nothing was written.
    """
    for path in texts:
        real = path.resolve()
        if not real.is_relative_to(root.resolve()):
            raise ScaffoldError(
                f"{path} points outside of the dbt project, to {real}: make it a folder of its "
                "own, or set model-paths in dbt_project.yml; nothing was written"
            )
        if path.exists() and not _is_writable(path):
            raise ScaffoldError(
                f"{path} is read-only: make it writable (chmod u+w); nothing was written"
            )
        above = next(folder for folder in path.parents if folder.exists())
        if not above.is_dir() or not os.access(above, os.W_OK):
            raise ScaffoldError(
                f"{above} is not a writable folder: make it one; nothing was written"
            )


def write(texts: dict[Path, str], originals: dict[Path, str]) -> None:
    """Write the files, each by one rename.

    Args:
        texts: what to write.
        originals: what was there when the scaffold began.

    Raises:
        ScaffoldError: a file changed in between, or cannot be written.
    """
    for path in texts:
        there = path.read_bytes().decode(errors="replace") if path.exists() else None
        if there != originals.get(path):
            raise ScaffoldError(
                f"{path} was changed while the scaffold ran: run the same command again; "
                "nothing was written"
            )
    done: list[Path] = []
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            portable.write_file(path, text)
        except OSError as error:
            written = ", ".join(each.name for each in done) or "nothing"
            raise ScaffoldError(
                f"{path} cannot be written ({error.strerror}); written before it: {written}. "
                "Fix that and run the same command again"
            ) from error
        done.append(path)


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
    """What the file says, too: for the superuser every file can be written."""
    return bool(path.stat().st_mode & stat.S_IWUSR) and os.access(path, os.W_OK)
