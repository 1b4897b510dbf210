"""Loads of files, one after the other, leave what one load of the files as they are would leave."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.ingest import stage as staging
from headrace.ingest.cursor import Kind, key
from headrace.ingest.discover import SourceFile
from headrace.ingest.model import (
    FROM_FILE,
    IS_GONE,
    FileChanges,
    FileTable,
    IngestContext,
    SchemaContract,
    TableLoad,
)
from headrace.ingest.stage import stage

Cursor = str | int | None
Row = tuple[int, str, Cursor]  # key, value, cursor
Files = Mapping[str, tuple[Row, ...]]

NAMES = ("a.parquet", "b.parquet", "c.parquet", "d/e.parquet")
CURSORS: dict[str, list[Cursor]] = {
    "integer": [1, 2, 10, None],
    "number": ["1", "2", "10", None],
    # one time in two spellings, and one that is later though its text is smaller
    "timestamp": [
        "2024-01-01T10:00:00Z",
        "2024-01-01 10:00:00",
        "2024-01-01T09:00:00-02:00",
        "2024-01-01T10:00:00.250Z",
        None,
    ],
    "code": ["aa1", "aa2", "ab0", None],
}


class Warehouse:
    """A raw table that rows are merged into as dlt does it; large files are handed over whole."""

    def __init__(
        self, folder: Path, table: FileTable, *, are_large: bool, has_integers: bool = False
    ) -> None:
        self.folder, self.table, self.has_integers = folder, table, has_integers
        self.least_bytes = 0 if are_large else 1 << 40
        self.path = folder / "warehouse.duckdb"
        self.known: dict[str, str] = {}
        self.context = IngestContext(
            source="store",
            sample_dir=folder,
            scratch_dir=folder / "scratch",
            cache_path=folder / "hashes.json",
            dataset="store_raw",
            contract=SchemaContract(),
            attach_warehouse=self._attach,
            accepts_sql=True,
            full_refresh=False,
            thorough=False,
            memory_limit="512MB",
            report=self._reported,
        )

    def _attach(self, connection: Any, name: str) -> bool:
        if self.path.exists():
            connection.execute(f"attach '{self.path}' as {name} (read_only)")
        return self.path.exists()

    def _reported(self, table: TableLoad) -> None:
        raise AssertionError(table)

    def load(self, files: Files) -> None:
        """One load; what it says of its rows has to add up."""
        found = [self._written(name, rows) for name, rows in sorted(files.items())]
        changed = [file for file in found if self.known.get(file.name) != file.digest]
        removed = tuple(name for name in self.known if name not in files)
        is_added = not removed and not any(file.name in self.known for file in changed)
        self.known = {file.name: file.digest for file in found}
        changed = changed or (found if removed else [])
        if not changed:
            return
        is_snapshot = self.table.write == "snapshot"
        changed = found if is_snapshot else changed
        with (
            duckdb.connect() as connection,
            patch.object(staging, "BULK_BYTES", self.least_bytes),
        ):
            changes = FileChanges(found, changed, removed, is_added=is_added and not is_snapshot)
            staged = stage(connection, "t", self.table, changes, self.context, str)
        assert staged.rows_given == (
            staged.rows_new + staged.rows_changed + staged.rows_unchanged + staged.rows_quarantined
        )
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("create schema if not exists store_raw")
            if staged.is_first:
                connection.execute(
                    "create or replace table store_raw._dlt_loads as select 'l' as load_id, "
                    "0 as status; create or replace table store_raw.t as "
                    f"select *, 'l' as _dlt_load_id from ({staged.select})"
                )
                return
            delete = "delete from store_raw.t where id in (select id from new); "
            left = (
                f"select * exclude ({IS_GONE}) from new where {IS_GONE} is null"
                if any(column.name == IS_GONE for column in staged.columns)
                else "from new"
            )
            connection.execute(
                f"create temp table new as {staged.select}; {'' if staged.is_added else delete}"
                f"insert into store_raw.t by name select *, 'l' as _dlt_load_id from ({left})"
            )

    def _written(self, name: str, rows: tuple[Row, ...]) -> SourceFile:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        seen = pa.int64() if self.has_integers else pa.string()
        kinds = {"id": pa.int64(), "v": pa.string(), "seen": seen}
        pq.write_table(
            pa.table(
                {
                    column: pa.array(values, kind)
                    for (column, kind), values in zip(kinds.items(), columns, strict=True)
                }
            ),
            path,
        )
        return SourceFile(path, name, path.stat().st_size, str(hash(rows)))

    def rows(self) -> dict[int, tuple[str, Cursor]]:
        with duckdb.connect(str(self.path), read_only=True) as connection:
            found = connection.execute("select id, v, seen from store_raw.t")
            return {key: (value, at) for key, value, at in found.fetchall()}

    def origins(self) -> dict[int, str | None]:
        with duckdb.connect(str(self.path), read_only=True) as connection:
            return dict(connection.execute(f"select id, {FROM_FILE} from store_raw.t").fetchall())


@st.composite
def histories(draw: st.DrawFn, values: list[Cursor]) -> list[Files]:
    """A few files with shared keys, and how they are after each of some edits."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=4, unique=True))
    content = st.lists(
        st.tuples(st.integers(1, 5), st.sampled_from("xyz"), st.sampled_from(values)),
        max_size=3,
        unique_by=lambda row: row[0],
    ).map(tuple)
    first = names[: draw(st.integers(1, len(names)))]
    files: dict[str, tuple[Row, ...]] = {name: draw(content) for name in first}
    files[names[0]] = files[names[0]] or ((1, "x", values[0]),)
    steps: list[Files] = [dict(files)]
    for _ in range(draw(st.integers(1, 4))):
        for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)):
            if name in files and draw(st.integers(0, 4)) == 0 and len(files) > 1:
                del files[name]
            else:
                files[name] = draw(content)
        steps.append(dict(files))
    return steps


def table(cursor: str | None = None) -> FileTable:
    return FileTable("*", primary_key=("id",), cursor=cursor, allow_empty=True)


@settings(max_examples=12, deadline=None)
@given(histories(CURSORS["number"]), st.booleans())
def test_without_a_cursor_the_last_file_by_name_has_a_key(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Files], are_large: bool
) -> None:
    """A key that no file holds any more keeps its row."""
    warehouse = Warehouse(tmp_path_factory.mktemp("law"), table(), are_large=are_large)
    expected: dict[int, tuple[str, Cursor]] = {}
    for files in steps:
        warehouse.load(files)
        held = {
            row_key: (name, (value, seen))
            for name, rows in sorted(files.items())
            for row_key, value, seen in rows
        }
        expected |= {row_key: row for row_key, (_, row) in held.items()}
        assert warehouse.rows() == expected
        assert warehouse.origins() == {
            row_key: held[row_key][0] if row_key in held else None for row_key in expected
        }


@settings(max_examples=12, deadline=None)
@given(histories(CURSORS["number"]), st.booleans())
def test_a_snapshot_is_the_table(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Files], are_large: bool
) -> None:
    """Of a key that several of its files hold, the last by name has it."""
    snapshot = replace(table(), write="snapshot", deleted_rows_limit=1.0)
    warehouse = Warehouse(tmp_path_factory.mktemp("law"), snapshot, are_large=are_large)
    for files in steps:
        warehouse.load(files)
        held = {
            row_key: (value, seen)
            for _, rows in sorted(files.items())
            for row_key, value, seen in rows
        }
        assert warehouse.rows() == held


@pytest.mark.parametrize(("values", "kind"), [(CURSORS[kind], kind) for kind in CURSORS])
def test_with_a_cursor_the_newest_row_has_a_key(
    tmp_path_factory: pytest.TempPathFactory, values: list[Cursor], kind: str
) -> None:
    """Among equals the last file by name; what is older than the table's row never comes back."""
    order: Kind = "text" if kind == "code" else "timestamp" if kind == "timestamp" else "number"

    def rank(seen: Cursor) -> tuple[bool, object]:
        return (seen is not None, key(seen, order) if isinstance(seen, str) else seen)

    @settings(max_examples=12, deadline=None)
    @given(histories(values), st.booleans())
    def law(steps: list[Files], are_large: bool) -> None:
        folder = tmp_path_factory.mktemp("law")
        warehouse = Warehouse(
            folder, table("seen"), are_large=are_large, has_integers=kind == "integer"
        )
        expected: dict[int, tuple[str, Cursor]] = {}
        for files in steps:
            warehouse.load(files)
            held: dict[int, tuple[str, Cursor]] = {}
            for _, rows in sorted(files.items()):
                for row_key, value, seen in rows:
                    if row_key not in held or rank(seen) >= rank(held[row_key][1]):
                        held[row_key] = (value, seen)
            for row_key, row in held.items():
                if row_key not in expected or rank(row[1]) >= rank(expected[row_key][1]):
                    expected[row_key] = row
            assert warehouse.rows() == expected

    law()
