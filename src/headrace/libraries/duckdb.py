"""DuckDB: what its messages say. It has no codes for these, so the words have to do."""

import re

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
