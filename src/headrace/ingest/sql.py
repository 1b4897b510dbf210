"""Quoting for the SQL that ingest writes; every name and literal goes through here."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from headrace import portable
from headrace.errors import SourceError

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")
# columns to ask about in one query: many aggregates take more time and memory than one by one
_BATCH = 64


def identifier(name: str) -> str:
    """Quote a name: ``a"b`` becomes ``"a""b"``."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Quote a text literal: ``it's`` becomes ``'it''s'``."""
    return "'" + value.replace("'", "''") + "'"


def file_literal(path: Path) -> str:
    """Quote the path of one file for ``read_csv`` and the like, which take a pattern.

    Raises:
        SourceError: DuckDB cannot be told of this file alone.
    """
    text = portable.duckdb_path(path)
    if text is None:
        raise SourceError(f"{path} has a backslash beside *, ? or [ in its path: rename it")
    return literal(text)


def identifiers(names: Iterable[str], *, prefix: str = "") -> str:
    """Quote names as a comma separated list, each behind ``prefix`` (for example ``"t."``)."""
    return ", ".join(prefix + identifier(name) for name in names)


def scalar(connection: "duckdb.DuckDBPyConnection", sql: str) -> int:
    """The one number that a query gives."""
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0


def batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Items, as many at a time as one query should ask about."""
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
