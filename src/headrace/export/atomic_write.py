"""Write a file that is whole or not there."""

from pathlib import Path

from headrace import portable
from headrace.errors import ExportError
from headrace.secrets import hide_values


def write_whole(path: Path, text: str) -> None:
    """Write a text file in one step; secrets in it are masked.

    Raises:
        ExportError: it cannot be written.
    """
    try:
        portable.write_file(path, hide_values(text))
    except OSError as error:
        raise ExportError(
            f"{path} cannot be written: {error.strerror or error}; name another file with --out"
        ) from error
