"""What the published file says of itself, and what the warehouse was when it was published."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace import portable
from headrace.settings import Resolved

INFO_SCHEMA = "_headrace"


def tables(path: Path) -> dict[str, int]:
    """Rows by ``schema.table``; empty when there is no file, or none that can be read."""
    rows = _query(path, f"select name, row_count from {INFO_SCHEMA}.tables")
    return {str(name): int(count) for name, count in rows}


def published_at(path: Path) -> datetime | None:
    """When it was published, UTC; None when there is no file, or none that can be read."""
    rows = _query(path, f"select published_at from {INFO_SCHEMA}.publication")
    # DuckDB gives it in the time zone of the machine
    return rows[0][0].astimezone(UTC) if rows else None


def _query(path: Path, sql: str) -> list[Any]:
    if not path.exists():
        return []
    import duckdb

    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            return connection.execute(sql).fetchall()
    except duckdb.Error:
        return []  # a file that cannot be read is replaced by the next publish


class Note(BaseModel):
    """What was published last, and what the warehouse was then.

    Attributes:
        run_id: the run that published, or found the published file current.
        code_version: the project's commit in that run.
        published_at: UTC.
        signature: the warehouse as it was published.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    code_version: str
    published_at: datetime
    signature: str | None


def note_path(resolved: Resolved) -> Path:
    """Where the note is kept."""
    return resolved.data_dir / "dbt" / "published_state.json"


def read_note(resolved: Resolved) -> Note | None:
    """The note of the last publish; None where there is none that can be read."""
    try:
        return Note.model_validate_json(note_path(resolved).read_bytes())
    except (OSError, ValidationError):
        return None


def write_note(resolved: Resolved, note: Note) -> None:
    """Keep the note, in one step; the caller holds the run lock."""
    portable.write_file(note_path(resolved), note.model_dump_json())
