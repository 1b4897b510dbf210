"""Which code a run was made with."""

import subprocess
from pathlib import Path

from headrace import __version__


def code_version(root: Path) -> str:
    """The project's commit (``a1b2c3d``, with ``+`` when files differ), else Headrace's version."""
    try:
        # without its optional lock git cannot be in the way of a commit that is made meanwhile
        git = ["git", "--no-optional-locks", "-C", str(root)]
        result = subprocess.run(
            [*git, "describe", "--always", "--dirty=+", "--abbrev=12"],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    return result.stdout.strip() if result.returncode == 0 else __version__
