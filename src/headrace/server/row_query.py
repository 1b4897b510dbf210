"""Rows of a table as a page shows them: which are asked for, the SQL that asks, values for JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.server.errors import RequestError
from headrace.sql_text import identifier

KEPT_ROWS = 50
"""That are drawn of a table at least, and remembered."""
_MAX_LENGTH = 200
_SAFE_INTEGER = 2**53 - 1  # JavaScript's largest
_NUMBERS = frozenset(
    {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE",
     "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
)  # fmt: skip


@dataclass(frozen=True)
class SampleRows:
    """Rows of a table, ready for JSON; ``masked`` columns hold ``***``."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    masked: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class RowFilter:
    """Which rows are asked for, and in which order; by itself, a sample of the whole table.

    Attributes:
        text: rows hold it, in any case; empty for all.
        column: where they hold it; None for any column that is not hidden.
        sort: by which column the whole table is sorted, before the first rows are taken.
        descending: whether the greatest come first.
    """

    text: str = ""
    column: str | None = None
    sort: str | None = None
    descending: bool = False


ALL_ROWS = RowFilter()


def rows_query(
    relation: str,
    chosen: str,
    shown: Mapping[str, str],
    wanted: RowFilter,
    limit: int,
    *,
    is_near: bool,
) -> tuple[str, list[str]]:
    """The query for rows, and the values of its parameters.

    Args:
        relation: the table, quoted.
        chosen: SQL of its columns.
        shown: the names and types of those that are not hidden.
        wanted: which rows.
        limit: of rows.
        is_near: whether the table is in a file of this machine: rows are drawn from all of it. Of
            a table that is read from a target, the first are taken, not to read it as a whole.

    Raises:
        RequestError: there is no such column to filter or to sort by.
    """
    for column in (wanted.column, wanted.sort):
        if column is not None and column not in shown:
            raise RequestError(f"rows cannot be filtered or sorted by {column}: it is not shown")
    if wanted == ALL_ROWS and not is_near:
        return f"select {chosen} from {relation} limit {max(limit, KEPT_ROWS)}", []
    if wanted == ALL_ROWS:
        sample = f"tablesample reservoir({max(limit, KEPT_ROWS)} rows) repeatable (42)"
        return f"select {chosen} from {relation} {sample} order by rowid", []
    columns = [wanted.column] if wanted.column is not None else list(shown)
    holds = [f"contains(lower({identifier(name)}::varchar), lower(?))" for name in columns]
    where = f" where {' or '.join(holds) or 'false'}" if wanted.text else ""
    order = ""
    if wanted.sort is not None:
        direction = "desc" if wanted.descending else "asc"
        order = f" order by {identifier(wanted.sort)} {direction} nulls last"
    query = f"select {chosen} from {relation}{where}{order} limit {int(limit)}"
    return query, [wanted.text] * len(holds) if wanted.text else []


def spread(rows: tuple[tuple[Any, ...], ...], limit: int) -> tuple[tuple[Any, ...], ...]:
    """So many of the rows, from the first to the last of them."""
    if len(rows) <= limit:
        return rows
    return tuple(rows[number * len(rows) // limit] for number in range(limit))


def readable(name: str, kind: str) -> str:
    """The column as JSON can hold it: numbers as they are, all else as text that is not long."""
    column = identifier(name)
    if kind in _NUMBERS:
        return column
    text = column if kind == "VARCHAR" else f"{column}::varchar"
    return f"left({text}, {_MAX_LENGTH + 1})"


def shown_value(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _MAX_LENGTH else f"{value[:_MAX_LENGTH]}…"
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) <= _SAFE_INTEGER else str(value)
    # nan and the infinities have no word in JSON
    return value if value - value == 0 else str(value)
