"""Quoting for the SQL that ingest writes; every name and literal goes through here."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def identifier(name: str) -> str:
    """Quote a name: ``a"b`` becomes ``"a""b"``."""
    return '"' + name.replace('"', '""') + '"'


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
