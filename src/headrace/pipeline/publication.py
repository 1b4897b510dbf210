"""What the published file says of itself."""

from datetime import datetime
from pathlib import Path
from typing import Any

INFO_SCHEMA = "_headrace"


def tables(path: Path) -> dict[str, int]:
    """Rows by ``schema.table``; empty when there is no file, or none that can be read."""
    rows = _query(path, f"select name, row_count from {INFO_SCHEMA}.tables")
    return {str(name): int(count) for name, count in rows}


def published_at(path: Path) -> datetime | None:
    """When it was published; None when there is no file, or none that can be read."""
    rows = _query(path, f"select published_at from {INFO_SCHEMA}.publication")
    return rows[0][0] if rows else None


def _query(path: Path, sql: str) -> list[Any]:
    if not path.exists():
        return []
    import duckdb

    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            return connection.execute(sql).fetchall()
    except duckdb.Error:
        return []  # a file that cannot be read is replaced by the next publish
