"""Files that come under their name when they are complete."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace import portable
from headrace.synth.errors import OutputError


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A path to write to; what is there at the end replaces ``out``, unless there is an error.

    Raises:
        OutputError: it cannot be written there.
    """
    made = portable.temporary_beside(out)
    try:
        try:
            yield made
            portable.replace(made, out)
        except BaseException:
            made.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error
