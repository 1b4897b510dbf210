"""Two small DuckDB files to compare."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from headrace.quality.diff import DiffOptions, DiffReport, Side, TableDiff, diff


@dataclass(frozen=True)
class DatabasePair:
    """A folder with ``a.duckdb`` and ``b.duckdb``."""

    folder: Path

    def write(self, side: str, *statements: str) -> Path:
        """Run SQL in one of the two; the schema ``marts`` is there."""
        path = self.folder / f"{side}.duckdb"
        with duckdb.connect(str(path)) as connection:
            connection.execute("create schema if not exists marts")
            for statement in statements:
                connection.execute(statement)
        return path

    def diff(self, *, keys: dict[str, tuple[str, ...]] | None = None, **more: object) -> DiffReport:
        """Compare; ``keys`` are what the second says of itself, ``more`` are options."""
        options = DiffOptions(**{"personal": True, **more})  # type: ignore[arg-type]
        return diff(
            Side(self.folder / "a.duckdb", "a"),
            Side(self.folder / "b.duckdb", "b", keys=keys or {}),
            options,
        )

    def table(self, before: str, after: str, *key: str, **more: object) -> TableDiff:
        """Compare one table, given as two selects."""
        self.write("a", f"create or replace table marts.t as {before}")
        self.write("b", f"create or replace table marts.t as {after}")
        (found,) = self.diff(keys={"marts.t": key} if key else None, **more).tables
        return found
