"""Views that are read under another name of their database."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from headrace.libraries.duckdb import parsed
from headrace.pipeline.state.portable_views import make_portable

DEEP = " || ".join(["a"] * 600)
"""Nested further than Python 3.11 reads DuckDB's parse of it."""


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("create table orders as select 'x' as a")
        yield connection


@pytest.mark.parametrize("select", ["a", DEEP])
def test_a_view_gives_its_rows_under_another_name(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, select: str
) -> None:
    warehouse.execute(
        f"create view deep as select {select} as text from warehouse.main.orders as o"
    )
    made = make_portable(warehouse, "warehouse")
    assert [*made.rewritten, *made.tables] == ["main.deep"]
    warehouse.close()
    with duckdb.connect() as other:
        other.execute(f"attach '{tmp_path}/warehouse.duckdb' as copied")
        (text,) = other.execute("from copied.main.deep").fetchall()
    assert text == ("x" * (600 if select == DEEP else 1),)


@pytest.mark.parametrize("sql", ["", "select", "create table a (i int)", "select 1; select 2"])
def test_what_is_not_one_select_has_no_parse(
    warehouse: duckdb.DuckDBPyConnection, sql: str
) -> None:
    assert parsed(warehouse, sql) is None
