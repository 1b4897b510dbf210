"""DuckDB: what its messages say, as it has no codes for these, and how far a statement is."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_STEP_S = 0.25
_LOCKED = ("Could not set lock", "being used by another process")
_DAMAGED = ("not a valid DuckDB database", "orrupt", "checksum", "Could not read enough bytes")
_OTHER_VERSION = ("newer version", "version number")
_NO_FILE = ("No files found", "Cannot open file")


def is_locked(message: str) -> bool:
    """Whether another process has the database open."""
    return any(words in message for words in _LOCKED)


def lock_holder(message: str) -> tuple[str, str] | None:
    """The program and process id that have it open; DuckDB does not tell them on Windows."""
    found = re.search(r"held in (.+?) \(PID (\d+)\)", message)
    return (found[1], found[2]) if found else None


def is_of_other_version(message: str) -> bool:
    """Whether another version of DuckDB wrote the database."""
    return any(words in message for words in _OTHER_VERSION)


def is_damaged(message: str) -> bool:
    """Whether the file is no database, or a damaged one."""
    return any(words in message for words in _DAMAGED)


def is_missing_file(message: str) -> bool:
    """Whether a file that is read by ``read_csv`` and the like is not there."""
    return any(words in message for words in _NO_FILE)


@contextmanager
def progress_of(
    connection: "duckdb.DuckDBPyConnection", tell: Callable[[float], None]
) -> Iterator[None]:
    """Tell four times a second how much of a connection's statement is done, from 0 to 1.

    Statements of which DuckDB does not know are not told of.

    Args:
        connection: is used by other threads meanwhile.
        tell: is called by a thread of its own.
    """
    # first of all, or the bar of the next of these would be printed
    connection.execute("set enable_progress_bar_print = false")
    connection.execute("set enable_progress_bar = true")
    connection.execute("set progress_bar_time = 1")
    over = threading.Event()

    def follow() -> None:
        while not over.wait(_STEP_S):
            share = connection.query_progress() / 100
            if 0 <= share <= 1:
                tell(share)

    follower = threading.Thread(target=follow, name="progress", daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()
