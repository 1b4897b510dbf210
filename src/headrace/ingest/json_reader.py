"""JSON: lines of objects, an array of objects, or one object.

DuckDB rounds fractions of more digits than a double has. A file with such numbers is copied, with
them as marked text, which the reader of a value turns back into the number that was written.
"""

import io
import json
import math
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import SourceError
from headrace.exceptions import first_line
from headrace.ingest.discover import SourceFile
from headrace.ingest.reader import RejectedRow, file_literal, opened, options, scratch_file
from headrace.ingest.types import is_rounded
from headrace.sql_text import identifier, literal, scalar

if TYPE_CHECKING:
    import duckdb

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_REASONS = {
    "OBJECT": "an object that has a key twice",
    "ARRAY": "a JSON array, not an object",
    "NULL": "null, not an object",
    "VARCHAR": "a text, not an object",
    "BOOLEAN": "true or false, not an object",
}
_IS_OBJECT = "json_type(json) = 'OBJECT'"
_HAS_EACH_KEY_ONCE = "len(list_distinct(json_keys(json))) = len(json_keys(json))"
# as JSON writes it: a control character, which no text of a file is likely to hold
_MARK = "number\\u001f"
_MARKED = '"number\\\\u001[fF]([-+.0-9eE]*)"'
_FRACTION = r"-?[0-9]+(?:[.][0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)"
_SUSPECT = "[0-9.]{17}|[0-9][eE][+-]?[0-9]{3}"
_TOKEN = re.compile(rf'"(?:[^"\\]|\\.)*"|({_FRACTION})')


@dataclass(frozen=True)
class JsonReader:
    """Reads one JSON file.

    Attributes:
        file: the file.
        header: the keys of its objects, in the order of their first use.
        rows: SQL of the values of the file, one each, as ``json``.
        is_row: SQL that tells a row from what is none, where something is none.
        rejected: what is no row.
        is_marked: whether the rows are those of a copy with marked numbers.
    """

    file: SourceFile
    header: tuple[str, ...]
    rows: str
    is_row: str | None = None
    rejected: tuple[RejectedRow, ...] = ()
    is_marked: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """All is JSON: what is quoted is text, and a number has the digits that it has."""
        return ("JSON",) * len(self.header)

    @property
    def numbered(self) -> bool:
        """Whether the rows have their number in ``__row``."""
        return self.is_row is not None

    def lines(self, rows: Collection[int]) -> dict[int, int]:
        """The lines of some rows of JSON lines."""
        return {number: line for number, (line, _) in _lines(self.file, rows).items()}

    def sql(self, names: Sequence[str], kinds: Sequence[str]) -> str:
        """The rows, with the given names; the types are those that the values have."""
        del kinds
        fields: dict[str, str] = {}
        taken: set[str] = set()
        selected = []
        for key, name in zip(self.header, names, strict=True):
            if key and key.lower() not in taken:
                taken.add(key.lower())
                fields[key] = "JSON"
                value = f"struct_extract(fields, {literal(key)})"
            else:  # DuckDB's structs have no field without a name, and do not tell a from A
                value = _pointed(key)
            if self.is_marked:
                value = _unmarked(value)
            selected.append(f"{value} as {identifier(name)}")
        inner = f"select json, json_transform(json, {literal(json.dumps(fields))}) as fields"
        rows = self.rows
        if self.is_row is not None:
            selected.append("__row")
            inner += ", __row"
            rows = f"{_numbered(rows)} where {self.is_row}"
        return f"(select {', '.join(selected)} from ({inner} from {rows}))"


def _pointed(key: str) -> str:
    pointer = "/" + key.replace("~", "~0").replace("/", "~1")
    return f"json_extract(json, {literal(pointer)})"


def _numbered(rows: str) -> str:
    return f"(select json, row_number() over () as __row from {rows})"


def json_reader(connection: "duckdb.DuckDBPyConnection", file: SourceFile) -> JsonReader:
    """Look at the keys and values of all objects of a file.

    Raises:
        SourceError: not JSON, or nothing in it is an object.
    """
    import duckdb

    rows = _rows(file)
    try:
        shapes = connection.execute(
            f"select case when {_IS_OBJECT} then json_keys(json) end as keys, min(__row) "
            f"from {_numbered(rows)} group by keys order by min(__row)"
        ).fetchall()
    except duckdb.InvalidInputException as error:
        raise _not_json(file, error) from error
    is_row = None
    if any(keys is None for keys, _ in shapes):
        is_row = _IS_OBJECT
    if any(keys and len(set(keys)) < len(keys) for keys, _ in shapes):
        is_row = f"{_IS_OBJECT} and {_HAS_EACH_KEY_ONCE}"
    rejected = _rejected(connection, file, rows, is_row) if is_row else ()
    header = tuple(dict.fromkeys(key for keys, _ in shapes for key in keys or ()))
    if not header:
        what = rejected[0].message if rejected else "no value"
        raise SourceError(
            f"{file.name} has no object with a key ({what}): JSON lines have one object on each "
            "line, and a JSON array of objects has to be named .json"
        )
    return JsonReader(file, header, rows, is_row, rejected)


def as_utf8(file: SourceFile, scratch: Path) -> SourceFile:
    """The file itself, or a copy in UTF-8 of one in UTF-16 or UTF-32.

    Args:
        file: JSON.
        scratch: where the copy is written.

    Raises:
        SourceError: it is not in the encoding that its first bytes tell.
    """
    with opened(file) as stream:
        encoding = json.detect_encoding(stream.read(4))
    if encoding.startswith("utf-8"):
        return file
    copy = scratch_file(file, scratch, f".utf8.{file.format}")
    try:
        with (
            opened(file) as stream,
            io.TextIOWrapper(stream, encoding, newline="") as text,
            copy.open("w", encoding="utf-8", newline="") as target,
        ):
            shutil.copyfileobj(text, target, 1 << 20)
    except UnicodeError as error:
        raise SourceError(
            f"{file.name} begins as {encoding.upper()}, and is not ({error}): export it again"
        ) from error
    return replace(file, path=copy, member=None, declared=file.format)


def with_all_digits(
    connection: "duckdb.DuckDBPyConnection", reader: JsonReader, scratch: Path
) -> JsonReader:
    """The same reader, or one of a copy if DuckDB would round a number of the file.

    Args:
        connection: a local DuckDB.
        reader: of the file.
        scratch: where the copy is written.
    """
    if not _has_rounded(connection, reader.rows):
        return reader
    copy = scratch_file(reader.file, scratch, f".numbers.{reader.file.format}")
    _write_marked(reader.file, copy)
    return replace(reader, rows=_rows(replace(reader.file, path=copy)), is_marked=True)


def _rows(file: SourceFile) -> str:
    with opened(file) as stream:
        head = stream.read(1 << 16)
    how = "format = 'newline_delimited', ignore_errors = true"
    if file.format == "json" and head.removeprefix(_BOM).lstrip(_SPACE).startswith(b"["):
        how = "format = 'array'"
    elif file.format == "json" or head.startswith(_BOM):
        how = "format = 'unstructured'"
    return f"read_json_objects({file_literal(file.path)}, {how}, {options(file)}) as file(json)"


def _rejected(
    connection: "duckdb.DuckDBPyConnection", file: SourceFile, rows: str, is_row: str
) -> tuple[RejectedRow, ...]:
    bad = connection.execute(
        f"select __row, json_type(json), cast(json as varchar) from {_numbered(rows)} "
        f"where ({is_row}) is not true order by __row"
    ).fetchall()
    lines = _lines(file, {number for number, _, _ in bad}) if file.format == "jsonl" else {}
    rejected = []
    for number, kind, text in bad:
        line, written = lines.get(number, (None, ""))
        where = f"value {number}" if line is None else f"line {line}"
        if kind is None:
            reason = f"not JSON ({_fault(written)})"
        else:
            reason = _REASONS.get(kind, "a number, not an object")
        rejected.append(RejectedRow(number, f"{where}: {reason}", text or written, line))
    if len(broken := [row for row in rejected if "not JSON" in row.message]) * 2 > _count(
        connection, rows
    ):
        raise SourceError(
            f"{file.name} {broken[0].message}; {len(broken):,} of its lines are not JSON: correct "
            "the file, or name it after its format"
        )
    return tuple(rejected)


def _count(connection: "duckdb.DuckDBPyConnection", rows: str) -> int:
    return scalar(connection, f"select count(*) from {rows}")


def _fault(text: str) -> str:
    """What is wrong with a text that is not JSON."""
    try:
        json.loads(text)
    except json.JSONDecodeError as found:
        return found.msg
    except (ValueError, RecursionError):
        pass
    return "it is not UTF-8, or too deep"


def _lines(file: SourceFile, numbers: Collection[int]) -> dict[int, tuple[int, str]]:
    """The line and the text of some values of JSON lines; DuckDB passes over blank lines."""
    found = {}
    value = 0
    last = max(numbers, default=0)
    with opened(file) as stream:
        for line, text in enumerate(stream, start=1):
            if text.strip(_SPACE):
                value += 1
                if value in numbers:
                    found[value] = line, text.decode("utf-8", "backslashreplace").rstrip("\r\n")
                if value >= last:
                    break
    return found


def _not_json(file: SourceFile, error: Exception) -> SourceError:
    """What is wrong with a file that is not read line by line."""
    with opened(file) as stream:
        text = stream.read().decode("utf-8-sig", "replace")
    where, reason = file.name, first_line(error)
    try:
        json.loads(text)
    except json.JSONDecodeError as found:
        where, reason = f"{file.name} line {found.lineno}", found.msg
    except (ValueError, RecursionError):
        pass
    return SourceError(f"{where}: not JSON ({reason}); correct it and run again")


def _has_rounded(connection: "duckdb.DuckDBPyConnection", rows: str) -> bool:
    """Whether DuckDB would round a number of the values ``json`` of some rows."""
    text = "cast(json as varchar)"
    found = connection.execute(
        f"select 1 from {rows} where regexp_matches({text}, {literal(_SUSPECT)}) "
        f"and len(list_filter(regexp_extract_all({text}, {literal(_FRACTION)}), "
        f"lambda number: {is_rounded('number')})) > 0 limit 1"
    ).fetchone()
    return found is not None


def _write_marked(file: SourceFile, path: Path) -> None:
    """Copy a JSON file, with the numbers that DuckDB would round as marked text."""
    suspect = re.compile(_SUSPECT)
    with (
        opened(file) as stream,
        io.TextIOWrapper(stream, "utf-8", "surrogateescape", newline="\n") as lines,
        path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as copy,
    ):
        for line in lines:
            copy.write(_TOKEN.sub(_mark, line) if suspect.search(line) else line)


def _unmarked(value: str) -> str:
    """SQL of a JSON value of such a copy, with its numbers as they were written."""
    text = f"cast({value} as varchar)"
    return f"cast(regexp_replace({text}, {literal(_MARKED)}, '\\1', 'g') as json)"


def _mark(match: re.Match[str]) -> str:
    number = match[1]
    if number is None or not math.isfinite(float(number)):
        return match[0]  # a text, or what DuckDB keeps as it is written
    is_same = Decimal(repr(float(number))) == Decimal(number)
    return number if is_same else f'"{_MARK}{number}"'
