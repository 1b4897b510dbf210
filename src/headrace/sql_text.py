"""Quoting of names and texts in SQL that Headrace writes, and small helpers of such queries."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")
# columns to ask about in one query: many aggregates take more time and memory than one by one
_BATCH = 64
_ROUNDED_IN_PARQUET = (
    (re.compile(r"\bUHUGEINT\b"), "VARCHAR"),
    (re.compile(r"\bHUGEINT\b"), "DECIMAL(38,0)"),
)


def identifier(name: str) -> str:
    """Quote a name: ``a"b`` becomes ``"a""b"``."""
    return '"' + name.replace('"', '""') + '"'


def qualified(*parts: str) -> str:
    """Quote a name of several parts: ``marts``, ``orders`` becomes ``"marts"."orders"``."""
    return ".".join(identifier(part) for part in parts)


def literal(value: str) -> str:
    """Quote a text literal: ``it's`` becomes ``'it''s'``."""
    return "'" + value.replace("'", "''") + "'"


def identifiers(names: Iterable[str], *, prefix: str = "") -> str:
    """Quote names as a comma separated list, each behind ``prefix`` (for example ``"t."``)."""
    return ", ".join(prefix + identifier(name) for name in names)


def scalar(connection: "duckdb.DuckDBPyConnection", sql: str) -> int:
    """The one number that a query gives."""
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0


def is_there(connection: "duckdb.DuckDBPyConnection", rows: str) -> bool:
    """Whether there is a row of ``from … where …``."""
    return connection.execute(f"select 1 {rows} limit 1").fetchone() is not None


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Items, as many at a time as one query should ask about."""
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def parquet_type(kind: str) -> str:
    """The type, DuckDB's, that keeps every digit in Parquet, where HUGEINT would become a double.

    Sums of integers are of that type: ``HUGEINT[]`` becomes ``DECIMAL(38,0)[]``.
    """
    for words, other in _ROUNDED_IN_PARQUET:
        kind = words.sub(other, kind)
    return kind
