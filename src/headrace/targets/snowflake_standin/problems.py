"""Errors as Snowflake's clients know them: a number, a state of SQL, a sentence."""

import re
from typing import TYPE_CHECKING

from headrace.exceptions import first_line

if TYPE_CHECKING:
    from snowflake.connector.errors import ProgrammingError


def problem(number: int, state: str, text: str) -> "ProgrammingError":
    """An error of a statement.

    Args:
        number: Snowflake's, for example 2003: an object that does not exist.
        state: of SQL, for example ``02000``.
        text: what is wrong, in one sentence.
    """
    from snowflake.connector.errors import ProgrammingError

    return ProgrammingError(msg=text, errno=number, sqlstate=state)


def unsupported(what: str, instead: str) -> "ProgrammingError":
    """An error of what the stand-in does not do; it does not pretend that it did."""
    return problem(2, "0A000", f"the stand-in for Snowflake does not know {what}: {instead}")


_DUCKDB = (
    (r"Table with name (\S+) does not exist", 2003, "42S02", "Object '{}' does not exist"),
    (r"Schema with name (\S+) does not exist", 2003, "02000", "Schema '{}' does not exist"),
    (r'schema with name "(\S+)" does not exist', 2003, "02000", "Schema '{}' does not exist"),
    (r"NOT NULL constraint failed: (\S+)", 100072, "22000",
     "NULL result in a non-nullable column {}"),
    (r"Function with name \"?(\w+)\"? (?:does not exist|is not in the catalog)", 2, "0A000",
     "the stand-in for Snowflake does not know the function {}, or there is none"),
    (r'Referenced (?:column|table) "(\S+)" not found', 904, "42000", "invalid identifier '{}'"),
)  # fmt: skip


def translated(error: Exception) -> "ProgrammingError":
    """An error of snowduck's or DuckDB's as one of Snowflake's."""
    text = str(getattr(error, "msg", None) or error)
    for pattern, number, state, said in _DUCKDB:
        found = re.search(pattern, text)
        if found is not None:
            return problem(number, state, said.format(found[1]))
    number = int(getattr(error, "errno", None) or 1003)
    state = str(getattr(error, "sqlstate", None) or "42000")
    line = re.sub(r"^\d{6} \(\w{5}\): ", "", first_line(text))
    return problem(number, state, line)
