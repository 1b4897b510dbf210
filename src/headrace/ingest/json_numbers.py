"""JSON whose fractions have more digits than a double: DuckDB rounds them as it parses.

Such a file is copied with these numbers as marked text, which the reader of a value takes back to
the number that was written. Integers of any length and all other numbers survive by themselves.
"""

import io
import math
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.ingest.discover import SourceFile
from headrace.ingest.reader import opened
from headrace.ingest.roundtrip import is_rounded
from headrace.sql_text import literal

if TYPE_CHECKING:
    import duckdb

# as JSON writes it: a control character, which no text of a file is likely to hold
_MARK = "number\\u001f"
_MARKED = '"number\\\\u001[fF]([-+.0-9eE]*)"'
_FRACTION = r"-?[0-9]+(?:[.][0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)"
_SUSPECT = "[0-9.]{17}|[0-9][eE][+-]?[0-9]{3}"
_TOKEN = re.compile(rf'"(?:[^"\\]|\\.)*"|({_FRACTION})')


def has_rounded(connection: "duckdb.DuckDBPyConnection", rows: str) -> bool:
    """Whether DuckDB would round a number of the values ``json`` of some rows."""
    text = "cast(json as varchar)"
    found = connection.execute(
        f"select 1 from {rows} where regexp_matches({text}, {literal(_SUSPECT)}) "
        f"and len(list_filter(regexp_extract_all({text}, {literal(_FRACTION)}), "
        f"lambda number: {is_rounded('number')})) > 0 limit 1"
    ).fetchone()
    return found is not None


def write_marked(file: SourceFile, path: Path) -> None:
    """Copy a JSON file, with the numbers that DuckDB would round as marked text."""
    suspect = re.compile(_SUSPECT)
    with (
        opened(file) as stream,
        io.TextIOWrapper(stream, "utf-8", "surrogateescape", newline="\n") as lines,
        path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as copy,
    ):
        for line in lines:
            copy.write(_TOKEN.sub(_mark, line) if suspect.search(line) else line)


def unmarked(value: str) -> str:
    """SQL of a JSON value of such a copy, with its numbers as they were written."""
    text = f"cast({value} as varchar)"
    return f"cast(regexp_replace({text}, {literal(_MARKED)}, '\\1', 'g') as json)"


def _mark(match: re.Match[str]) -> str:
    number = match[1]
    if number is None or not math.isfinite(float(number)):
        return match[0]  # a text, or what DuckDB keeps as it is written
    is_same = Decimal(repr(float(number))) == Decimal(number)
    return number if is_same else f'"{_MARK}{number}"'
