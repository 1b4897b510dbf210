"""Options of statements, and the formats that files are read in."""

import glob
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.sql_text import identifier, literal
from headrace.targets.snowflake_standin.engine import HIDDEN
from headrace.targets.snowflake_standin.names import resolved
from headrace.targets.snowflake_standin.problems import problem

if TYPE_CHECKING:
    from headrace.targets.snowflake_standin.session import StandInSession

_OPTION = re.compile(
    r"\s*(\w+)\s*=\s*('(?:[^'\\]|\\.|'')*'|\((?:[^()']|'(?:[^']|'')*')*\)|[\w.\"%-]+)\s*,?"
)
_FORMAT_DEFAULTS: Mapping[str, Any] = {
    "TYPE": "CSV", "FIELD_DELIMITER": ",", "SKIP_HEADER": "0", "PARSE_HEADER": "FALSE",
    "FIELD_OPTIONALLY_ENCLOSED_BY": "NONE", "NULL_IF": ["\\N"], "COMPRESSION": "AUTO",
    "ERROR_ON_COLUMN_COUNT_MISMATCH": "TRUE", "EMPTY_FIELD_AS_NULL": "TRUE",
    "STRIP_OUTER_ARRAY": "FALSE", "TRIM_SPACE": "FALSE", "ENCODING": "UTF8",
}  # fmt: skip
_FORMAT_IGNORED = {
    "RECORD_DELIMITER", "BINARY_FORMAT", "BINARY_AS_TEXT", "USE_LOGICAL_TYPE",
    "USE_VECTORIZED_SCANNER", "REPLACE_INVALID_CHARACTERS", "ESCAPE", "SKIP_BLANK_LINES",
    "ESCAPE_UNENCLOSED_FIELD", "DATE_FORMAT", "TIME_FORMAT", "TIMESTAMP_FORMAT",
    "FILE_EXTENSION", "ALLOW_DUPLICATE", "ENABLE_OCTAL", "STRIP_NULL_VALUES", "COMMENT",
    "SNAPPY_COMPRESSION", "IGNORE_UTF8_ERRORS", "SKIP_BYTE_ORDER_MARK",
}  # fmt: skip


def options_of(text: str, what: str) -> dict[str, Any]:
    """``KEY = value`` pairs; a list in parentheses is one, or options again.

    Raises:
        ProgrammingError: there is something else.
    """
    found: dict[str, Any] = {}
    at = 0
    while at < len(text) and text[at:].strip():
        match = _OPTION.match(text, at)
        if match is None:
            raise problem(1003, "42000", f"{what}: cannot read {text[at:].strip()[:60]!r}")
        found[match[1].upper()] = _value(match[2])
        at = match.end()
    return found


def _value(text: str) -> Any:
    if text.startswith("'"):
        return _unescaped(text[1:-1].replace("''", "'"))
    if text.startswith("("):
        inner = text[1:-1].strip()
        if re.match(r"\w+\s*=", inner):
            return options_of(inner, "the list")
        return [_value(part) for part in re.findall(r"'(?:[^']|'')*'|[^,\s]+", inner)]
    return text.strip('"')


def _unescaped(text: str) -> str:
    named = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\", "'": "'"}
    return re.sub(r"\\([tnr'\\])", lambda found: named[found[1]], text)


def complete(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a file format with the defaults of those that are not given.

    Raises:
        ProgrammingError: one is not known, or its type is not.
    """
    found = {**_FORMAT_DEFAULTS, **options}
    kind = str(found["TYPE"]).upper()
    if kind not in ("CSV", "JSON", "PARQUET"):
        raise problem(2, "0A000", f"files of {kind}: the stand-in reads CSV, JSON and Parquet")
    for key in found:
        if key not in _FORMAT_DEFAULTS and key not in _FORMAT_IGNORED:
            raise problem(2, "0A000", f"the file format's {key}: the stand-in does not know it")
    null_if = found["NULL_IF"]
    return {**found, "TYPE": kind, "NULL_IF": [null_if] if isinstance(null_if, str) else null_if}


def format_of(session: "StandInSession", given: Any, of_stage: Any) -> dict[str, Any]:
    """The file format of a COPY: its own, else the stage's, else CSV.

    Raises:
        ProgrammingError: there is none of that name.
    """
    given = of_stage if given is None else given
    if given is None:
        return complete({})
    if isinstance(given, str):
        given = {"FORMAT_NAME": given}
    options = dict(given)
    name = options.pop("FORMAT_NAME", None)
    if name is None:
        return complete(options)
    database, schema, short = resolved(session, str(name))
    row = session.ask(
        f"select options from {identifier(database)}.{HIDDEN}.headrace_formats "
        "where schema_name = ? and name = ?",
        [schema, short],
    )
    if not row:
        raise problem(2003, "02000", f"File format '{database}.{schema}.{short}' does not exist")
    return complete({**json.loads(str(row[0][0])), **options})


def escaped(path: str) -> str:
    """A path that DuckDB takes for one file, as a literal."""
    return literal(glob.escape(path))
