"""What a machine lacks or refuses (disk, memory, file handles, permissions), as one line.

The same fault comes as an ``OSError``, a ``MemoryError``, or in the words of SQLite, DuckDB and
Arrow, often wrapped by dlt, dbt or SQLAlchemy. Here alone it is told by either.
"""

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path

from headrace import portable
from headrace.exceptions import causes, text_of
from headrace.formatting import one_line


@dataclass(frozen=True)
class SystemFault:
    """A fault of the machine.

    Attributes:
        kind: ``disk full``, ``memory``, ``file handles``, ...
        message: what is wrong, and what to do about it.
    """

    kind: str
    message: str


@dataclass(frozen=True)
class _Kind:
    name: str
    reason: str
    advice: str
    numbers: tuple[int, ...] = ()
    words: str = ""


LEAST_ADDRESS_SPACE = 3_072_000_000
"""Bytes. A first run of the jaffle shop ended well with 3 GB, and was aborted with 2 GB."""
_KEPT = "what was loaded and published before is kept"
_KINDS = (
    _Kind(
        "disk full",
        "the disk is full",
        f"free some space{{at}} and run the same command again; {_KEPT}",
        (errno.ENOSPC,),
        "No space left|disk is full|out of disk|max_temp_directory_size",
    ),
    _Kind(
        "disk quota",
        "the disk quota is used up",
        f"free some space{{at}} or raise the quota, and run the same command again; {_KEPT}",
        (errno.EDQUOT,),
        "[Qq]uota exceeded",
    ),
    _Kind(
        "file size",
        "a file grew to the limit of this process or file system",
        f"raise the limit (`ulimit -f`), and run the same command again; {_KEPT}",
        (errno.EFBIG,),
        "File too large",
    ),
    _Kind(
        "read-only disk",
        "the disk is read-only",
        "mount it for writing, or point data_dir (HEADRACE_DATA_DIR) at a directory on another",
        (errno.EROFS,),
        "Read-only file system|readonly database",
    ),
    _Kind(
        "file handles",
        "too many files are open",
        "raise the limit (`ulimit -n 4096`), and run the same command again",
        (errno.EMFILE, errno.ENFILE),
        "Too many open files",
    ),
    _Kind(
        "memory limit",
        "DuckDB reached its memory limit",
        "raise targets.duckdb.memory_limit (load_memory_limit while sources load), or lower "
        "targets.duckdb.threads",
        (),
        r"([Ff]ailed to|[Cc]ould not) (allocate|pin|offload)[^\n]*\bused\b",
    ),
    _Kind(
        "memory",
        "there is not enough memory",
        "end other programs or raise this process's limit, or lower targets.duckdb.memory_limit "
        "and targets.duckdb.threads; then run the same command again",
        (errno.ENOMEM,),
        "Cannot allocate memory|bad_?alloc|Allocation failure|[Oo]ut of [Mm]emory|malloc of size|"
        "failed to map segment",
    ),
    _Kind(
        "threads",
        "the system lets this process start no more threads",
        "raise the limits of processes and memory (`ulimit -u`, `ulimit -v`), or lower "
        "targets.duckdb.threads",
        (),
        "can't start new thread|thread failed to start|[Tt]hread constructor failed",
    ),
    _Kind(
        "permission",
        "permission is denied",
        "change the owner or the mode of that path, or point data_dir (HEADRACE_DATA_DIR) at a "
        "directory that you can write",
        (errno.EACCES, errno.EPERM),
        "Permission denied|Operation not permitted",
    ),
    _Kind(
        "disk failure",
        "the disk cannot be read or written",
        "see that it has space, and that files may grow (`ulimit -f`); else look at the system's "
        "log and check the disk",
        (errno.EIO,),
        "Input/output error|disk I/O error",
    ),
    _Kind(
        "links",
        "symbolic links lead in a circle",
        "correct the link",
        (errno.ELOOP,),
        "Too many levels of symbolic links",
    ),
    _Kind(
        "long name",
        "a path is longer than the file system allows",
        "move the project or data_dir (HEADRACE_DATA_DIR) to a shorter path, or shorten the name",
        (errno.ENAMETOOLONG,),
        "File name too long",
    ),
    _Kind(
        "database file",
        "a database file cannot be opened",
        "see that its directory is there and can be written, and that no more files are open than "
        "the limit (`ulimit -n`)",
        (),
        "unable to open database file",
    ),
)  # fmt: skip
_SPOKEN = re.compile(
    r"^\W*(?:IO Error|Out of Memory Error|OutOfMemory|TransactionContext Error|FATAL Error|"
    r"INTERNAL Error|Invalid Error|Extension Error|\[Errno|OSError|MemoryError|std::bad_alloc|"
    r"malloc of size|\(?sqlite3\.OperationalError|database or disk is full|disk I/O error|"
    r"attempt to write a readonly database|unable to open database file|can't start new thread|"
    r"thread failed to start|Thread constructor failed)",
    re.MULTILINE,
)
"""How a library begins that tells of the machine: a value of the data may hold the same words."""


def system_fault(error: BaseException, *, place: Path | None = None) -> SystemFault | None:
    """The fault of the machine behind an error; None where it is none.

    Args:
        error: the exception; what it was raised from is looked at, too.
        place: where space is to be freed, if it is known better than from the error.
    """
    for cause in reversed(list(causes(error))):
        found = _of_one(cause, place)
        if found is not None:
            return found
    return None


def error_line(error: BaseException) -> str:
    """An error of a library in one line: what the machine lacks, and what to do, or its words."""
    fault = system_fault(error)
    return fault.message if fault else one_line(str(error))


def fault_in(text: str, *, place: Path | None = None) -> SystemFault | None:
    """The fault of the machine that a library's message tells of; None where it tells of none."""
    begins = _SPOKEN.search(text)
    if begins is None:
        return None
    spoken = text[begins.start() :]
    for kind in _KINDS:
        if kind.words and re.search(kind.words, spoken):
            return _fault(kind, _line(spoken, kind.words), place)
    return None


def address_space_fault() -> SystemFault | None:
    """The fault that an address space limit would cause; None where there is enough.

    DuckDB, Arrow and dbt reserve much more than they use, and abort the process, without an
    exception, where a thread cannot get its part.
    """
    limit = portable.address_space_limit()
    if limit is None or limit >= LEAST_ADDRESS_SPACE:
        return None
    needed = f"about {LEAST_ADDRESS_SPACE / 1e9:.0f} GB"
    return SystemFault(
        "memory",
        f"this process may use {limit / 1e9:.1f} GB of address space (`ulimit -v`), and DuckDB and "
        f"dbt need {needed}: raise the limit (`ulimit -v {LEAST_ADDRESS_SPACE // 1024}`); to "
        "limit memory itself, set targets.duckdb.memory_limit or use a container",
    )


def _of_one(error: BaseException, place: Path | None) -> SystemFault | None:
    if isinstance(error, MemoryError):
        memory = next(kind for kind in _KINDS if kind.name == "memory")
        return _fault(memory, _line(text_of(error) or "MemoryError", ""), place)
    if isinstance(error, OSError) and error.errno is not None:
        for kind in _KINDS:
            if error.errno in kind.numbers:
                said = error.strerror or os.strerror(error.errno)
                path = f"{error.filename}: " if error.filename else ""
                return _fault(kind, f"{path}{said}", place)
    return fault_in(text_of(error), place=place)


def _fault(kind: _Kind, detail: str, place: Path | None) -> SystemFault:
    at = f" at {place}" if place is not None else ""
    return SystemFault(kind.name, f"{kind.reason} ({detail}): {kind.advice.format(at=at)}")


def _line(text: str, words: str, limit: int = 200) -> str:
    """The line of a message that tells of the fault."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = next((line for line in lines if words and re.search(words, line)), lines[0])
    return line if len(line) <= limit else line[: limit - 1] + "…"
