"""Write a file that is whole or not there."""

import os
from contextlib import suppress
from pathlib import Path

from headrace import portable
from headrace.errors import ExportError


def write_whole(path: Path, text: str) -> None:
    """Write a text file in one step.

    Raises:
        ExportError: it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        portable.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise ExportError(
            f"{path} cannot be written: {error.strerror or error}; name another file with --out"
        ) from error
