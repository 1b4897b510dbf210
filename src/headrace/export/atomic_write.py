"""Write a file that is whole or not there."""

from pathlib import Path

from headrace import portable
from headrace.errors import ExportError


def write_whole(path: Path, text: str) -> None:
    """Write a text file in one step.

    Raises:
        ExportError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        portable.write_file(path, text.encode())
    except OSError as error:
        raise ExportError(
            f"{path} cannot be written: {error.strerror or error}; name another file with --out"
        ) from error
