"""What DuckDB says of a file that it cannot open, as a sentence that says what to do."""

import re
from pathlib import Path

from headrace.exceptions import first_line
from headrace.system_errors import fault_in
from headrace.targets import duckdb_file

_DAMAGED = ("not a valid DuckDB database", "orrupt", "checksum", "Could not read enough bytes")


def explain_duckdb_error(path: Path, message: str, *, rebuilt: bool = True) -> str:
    """DuckDB's message about a file as one sentence for the user.

    Args:
        path: the database file.
        message: DuckDB's own words.
        rebuilt: whether `headrace run` makes the file anew; else it is any file, which somebody
            named.
    """
    first = first_line(message or "unknown error")
    if "Could not set lock" in message or "being used by another process" in message:
        holder = re.search(r"held in (.+?) \(PID (\d+)\)", message)
        who = f"process {holder[2]} ({holder[1]})" if holder else "another program"
        return (
            f"{path} is open in {who}: close it there, and let readers open the published copy "
            "instead, which is never locked"
        )
    if "newer version" in message or "version number" in message:
        anew = "or move the file away and run `headrace run` to load it anew"
        other = "or have the file written by this version"
        return (
            f"{path} was written by another version of DuckDB ({first}): upgrade "
            f"Headrace's duckdb, {anew if rebuilt else other}"
        )
    if duckdb_file.is_unfinished(path):
        anew = "run `headrace run`, which creates it anew" if rebuilt else "name another"
        return f"{path} is unfinished and holds no data: {anew}"
    if any(words in message for words in _DAMAGED):
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
