"""What a target that is no DuckDB file has from its base class, and where its state is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from headrace.errors import WarehouseError
from headrace.settings import resolve
from headrace.targets import RemoteTarget, TargetSettings, registry
from headrace.targets.base import StreamedTable, attach_streams, share_streams
from headrace.targets.registry import OWN_TYPES


class Elsewhere(RemoteTarget):
    """A database that DuckDB makes when it is attached."""

    location = "elsewhere"

    def __init__(self, there: bool = True) -> None:
        self.there = there

    def attach(self, connection: Any, alias: str) -> bool:
        if self.there:
            connection.execute(f"attach ':memory:' as {alias}")
            connection.execute(f"create schema {alias}.raw")
            connection.execute(f"create table {alias}.raw.orders as from range(3)")
            connection.execute(f"create table {alias}.raw._dlt_loads as from range(1)")
            connection.execute(f"create view {alias}.raw.few as from {alias}.raw.orders limit 2")
        return self.there


class ElsewhereSettings(TargetSettings):
    """Its settings."""

    def target(self, name: str, *, data_dir: Path, path_of: Callable[[Path], Path]) -> Any:
        del name, data_dir, path_of
        return Elsewhere()


def test_rows_are_counted_by_duckdb() -> None:
    place = Elsewhere()
    assert place.row_counts("raw") == {"orders": 3}
    assert place.row_counts("none") == {}
    assert place.table_names(["raw", "none"]) == {"raw": ["orders"]}
    wanted = [("raw", "none"), ("raw", "few"), ("none", "few")]
    assert place.count_rows(wanted) == {("raw", "few"): 2}
    with place.lock("headrace run"):
        assert place.database_file is None


def test_before_the_first_load_there_is_nothing_to_count() -> None:
    place = Elsewhere(there=False)
    assert place.table_names(["raw"]) == {}
    assert (place.row_counts("raw"), place.count_rows([("raw", "orders")])) == ({}, {})


def test_an_error_of_the_engine_is_one_line() -> None:
    def ask() -> None:
        with Elsewhere().reader() as connection:
            assert connection is not None
            connection.execute("select no_such_column")

    with pytest.raises(WarehouseError, match="elsewhere cannot be read") as caught:
        ask()
    assert "\n" not in str(caught.value)


def test_what_is_kept_here_is_apart_for_each_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OWN_TYPES, "elsewhere", f"{__name__}:ElsewhereSettings")
    (tmp_path / "config").mkdir()
    one = resolve(tmp_path, flags=["target=elsewhere"], environ={})
    assert one.data_dir == tmp_path / "data" / "targets" / "elsewhere"
    assert one.common_data_dir == tmp_path / "data"
    assert resolve(tmp_path, environ={}).data_dir == tmp_path / "data"
    assert registry.settings_of_type("elsewhere") is ElsewhereSettings


def test_a_cursor_reads_what_is_streamed_once_it_shares_it() -> None:
    schema = pa.schema([("id", pa.int64())])
    rows = pa.record_batch({"id": [1, 2]}, schema=schema)
    with duckdb.connect() as connection:
        attach_streams(
            connection, "place", {("marts", "orders"): StreamedTable(schema, lambda: iter([rows]))}
        )
        with connection.cursor() as cursor:
            with pytest.raises(duckdb.CatalogException):
                cursor.execute("from place.marts.orders")
            share_streams(connection, cursor)
            for _ in range(2):
                found = cursor.execute("from place.marts.orders").fetchall()
                assert found == [(1,), (2,)]
