"""A DuckDB file: how it is created, whether it is there, and why it cannot be opened."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from headrace import portable
from headrace.exceptions import first_line
from headrace.libraries.duckdb import is_damaged, is_locked, is_of_other_version, lock_holder
from headrace.system_errors import fault_in

_HEADER_BYTES = 3 * 4096  # https://duckdb.org/docs/stable/internals/storage: three headers
_MAGIC = slice(8, 12)
_LONGEST_OF_ZEROS = 1 << 20


def exists(path: Path) -> bool:
    """Whether there is a database; a file that was stopped at its birth is none."""
    return path.exists() and not is_unfinished(path)


def is_unfinished(path: Path) -> bool:
    """Whether a file holds nothing, since it was stopped while it was created.

    It is shorter than DuckDB's headers (a kill, a full disk), or all zeros (a power cut). A short
    file that somebody else wrote is not one.
    """
    try:
        if not path.is_file() or path.stat().st_size > _LONGEST_OF_ZEROS:
            return False
        content = path.read_bytes()
    except OSError:
        return False  # whoever opens it says why it cannot be read
    is_ours = not content.strip(b"\0") or content[_MAGIC] == b"DUCK"
    return is_ours and (len(content) < _HEADER_BYTES or not content.strip(b"\0"))


def create(path: Path, config: Mapping[str, str]) -> None:
    """Create an empty database: whole, or not at all.

    The caller holds the lock of the warehouse.

    Args:
        path: where; what is unfinished there is replaced.
        config: of the connection.

    Raises:
        OSError: it cannot be written.
        duckdb.Error: likewise.
    """
    import duckdb

    real = path.resolve()  # a link stays one
    real.parent.mkdir(parents=True, exist_ok=True)
    temporary = portable.temporary_beside(real)
    try:
        with duckdb.connect(str(temporary), config=dict(config)) as connection:
            connection.execute("checkpoint")
        portable.make_durable(temporary)
        # a log without its database has nothing to be replayed on
        real.with_name(f"{real.name}.wal").unlink(missing_ok=True)
        portable.replace(temporary, real)
        portable.make_names_durable(real.parent)
    finally:
        for leftover in (temporary, Path(f"{temporary}.wal")):
            with suppress(OSError):
                leftover.unlink(missing_ok=True)


def explain_duckdb_error(path: Path, message: str, *, rebuilt: bool = True) -> str:
    """DuckDB's message about a file as one sentence for the user.

    Args:
        path: the database file.
        message: DuckDB's own words.
        rebuilt: whether `headrace run` makes the file anew; else it is any file, which somebody
            named.
    """
    first = first_line(message or "unknown error")
    if is_locked(message):
        holder = lock_holder(message)
        who = f"process {holder[1]} ({holder[0]})" if holder else "another program"
        return (
            f"{path} is open in {who}: close it there, and let readers open the published copy "
            "instead, which is never locked"
        )
    if is_of_other_version(message):
        anew = "or move the file away and run `headrace run` to load it anew"
        other = "or have the file written by this version"
        return (
            f"{path} was written by another version of DuckDB ({first}): upgrade "
            f"Headrace's duckdb, {anew if rebuilt else other}"
        )
    if is_unfinished(path):
        anew = "run `headrace run`, which creates it anew" if rebuilt else "name another"
        return f"{path} is unfinished and holds no data: {anew}"
    if is_damaged(message):
        anew = (
            "move it away (the published copy is untouched) and run `headrace run` to load "
            "everything anew"
        )
        return (
            f"{path} is not a readable DuckDB file ({first}): "
            f"{anew if rebuilt else 'name another, or write it anew'}"
        )
    fault = fault_in(message, place=path.parent)
    if fault is not None:
        return f"{path} cannot be opened: {fault.message}"
    return f"{path} could not be opened: {first}"
