"""A copy of a target in a DuckDB file."""

from pathlib import Path

import duckdb

from headrace.pipeline.state import duckdb_copy


def test_a_table_that_does_not_fit_is_copied_with_a_larger_limit(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "original.duckdb")) as original:
        original.execute(
            "create view longest as select len(list(i)) as n from range(9_000_000) r(i)"
        )
    with duckdb.connect(config={"memory_limit": "30MB", "threads": "1"}) as connection:
        connection.execute(f"attach '{tmp_path / 'original.duckdb'}' as original (read_only)")
        connection.execute(f"attach '{tmp_path / 'copy.duckdb'}' as __headrace_copy")
        assert duckdb_copy._copy_tables(connection, only_raw=False) == ("main.longest",)
    with duckdb.connect(str(tmp_path / "copy.duckdb")) as copy:
        assert copy.execute("from longest").fetchall() == [(9_000_000,)]
