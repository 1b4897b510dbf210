"""``uv lock`` in a project."""

import os
import shutil
import subprocess
from pathlib import Path

from headrace.project.merge import LockStatus

# of the process that this one was started by, and not meant for the project
_FOREIGN = ("VIRTUAL_ENV", "UV_PROJECT", "UV_WORKING_DIRECTORY", "UV_FROZEN", "UV_LOCKED")

_MOST_LETTERS = 300


def lock(project: Path, *, shown: str) -> LockStatus:
    """Bring ``uv.lock`` in line with ``pyproject.toml``; a failure is reported, not raised.

    Args:
        project: the folder, which may be a temporary one.
        shown: the folder as it is named to the user.
    """
    again = f"run `uv lock` in {shown}"
    uv = find_uv()
    if uv is None:
        return LockStatus(status="failed", detail=f"uv is not installed: install it and {again}")
    environ = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    try:
        result = subprocess.run(
            [uv, "lock", "--no-progress", "--color", "never"],
            cwd=project,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=environ,
            check=False,
        )
    except OSError as error:
        return LockStatus(
            status="failed", detail=f"{uv} cannot be started ({error.strerror}): {again}"
        )
    if result.returncode:
        return LockStatus(status="failed", detail=f"{_why(result.stderr)}: {again}")
    return LockStatus(status="locked")


def find_uv() -> str | None:
    """The uv that runs this, or the one on the path."""
    given = os.environ.get("UV")
    if given and shutil.which(given):
        return given
    return shutil.which("uv")


def _why(text: str) -> str:
    """The last cause that uv names; or why there is no solution."""
    _, found, why = text.partition("╰─▶")
    if found:
        return " ".join(why.split("hint:")[0].split())[:_MOST_LETTERS].rstrip(".")
    lines = [line.strip() for line in text.splitlines()]
    causes = [line for line in lines if line.startswith(("error:", "Caused by:"))]
    chosen = causes[-1] if causes else "uv lock failed"
    return chosen.removeprefix("error:").removeprefix("Caused by:").strip().rstrip(":.")
