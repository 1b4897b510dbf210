"""A lake's raw tables after merges are those of a database: keys, files, nested lists."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import dlt
import pyarrow as pa
import pytest
from dlt.common.destination.exceptions import DestinationTerminalException
from dlt.pipeline.exceptions import PipelineStepFailed

from headrace.libraries import dlt as libraries_dlt
from headrace.libraries import dlt_lake
from headrace.libraries.duckdb import connect
from headrace.settings import resolve
from headrace.targets import Target

pytest.importorskip("deltalake", reason="uv sync --extra lake")

Rows = Sequence[Mapping[str, Any]]


def load(target: Target, folder: Path, orders: Rows, files: Rows = (), **hints: Any) -> None:
    """Load as a source does: rows with nested lists by their key, and files without a key."""
    disposition = hints.get("disposition", "merge")
    marks = {"gone": {"hard_delete": True, "data_type": "bool"}}

    @dlt.resource(
        name="orders",
        primary_key="id",
        write_disposition=disposition,
        columns=cast("Any", marks if disposition == "merge" else {}),
    )
    def by_key() -> Iterator[Rows]:
        yield orders

    @dlt.resource(name="files", merge_key="file", write_disposition="merge")
    def by_file() -> Iterator[Rows]:
        yield files

    pipeline = dlt.pipeline(
        pipeline_name="shop",
        destination=target.dlt_destination(),
        dataset_name="shop_raw",
        pipelines_dir=str(folder),
    )
    target.prepare()
    with libraries_dlt.environment():
        pipeline.run([by_key, by_file] if files else [by_key])


def rows(target: Target, table: str) -> list[tuple[Any, ...]]:
    with closing(connect()) as connection:
        assert target.attach(connection, "t")
        there = connection.execute(f"describe t.shop_raw.{table}").fetchall()
        names = [name for name, *_ in there if not name.startswith("_dlt") and name != "gone"]
        sql = f"select {', '.join(sorted(names))} from t.shop_raw.{table} order by all"
        return connection.execute(sql).fetchall()


@pytest.fixture(params=["duckdb", "delta", "iceberg"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    (tmp_path / "config").mkdir()
    flags = [f"data_dir={tmp_path / 'data'}"]
    if request.param != "duckdb":
        flags += ["target=lake", f"targets.lake.table_format={request.param}"]
        flags += ["targets.lake.compact_after=2", "targets.lake.retention_hours=0"]
    return resolve(tmp_path, flags=flags, environ={}).target


def test_a_merge_leaves_what_it_leaves_in_a_database(target: Target, tmp_path: Path) -> None:
    first: Rows = [
        {"id": 1, "a": "x", "items": [{"k": 1}, {"k": 2}]},
        {"id": 2, "a": "y", "items": [{"k": 3}]},
        {"id": 1, "a": "x", "items": [{"k": 1}, {"k": 2}]},  # twice in one load
        {"id": 9, "gone": True},  # deleted before it was ever there
    ]
    load(target, tmp_path, first, [{"file": "1", "v": 1}, {"file": "1", "v": 2}, {"file": "2"}])
    assert rows(target, "orders") == [("x", 1), ("y", 2)]
    assert rows(target, "orders__items") == [(1,), (2,), (3,)]
    assert rows(target, "files") == [("1", 1), ("1", 2), ("2", None)]
    second: Rows = [
        {"id": 1, "a": "x2", "items": [{"k": 2}], "new": 1.5},
        {"id": 2, "gone": True},
        {"id": 3, "a": "z"},
    ]
    load(target, tmp_path, second, [{"file": "1", "v": 7}])
    assert rows(target, "orders") == [("x2", 1, 1.5), ("z", 3, None)]
    assert rows(target, "orders__items") == [(2,)]
    assert rows(target, "files") == [("1", 7), ("2", None)]
    load(target, tmp_path, [{"id": 1, "a": None, "items": []}])
    assert rows(target, "orders") == [("z", 3, None), (None, 1, None)]
    assert rows(target, "orders__items") == []
    load(target, tmp_path, [{"id": 5, "a": "only", "items": [{"k": 9}]}], disposition="replace")
    assert rows(target, "orders") == [("only", 5, None)]
    assert rows(target, "orders__items") == [(9,)]


@pytest.mark.parametrize("form", ["delta", "iceberg"])
@pytest.mark.parametrize("partitions", ["{}", "{shop_raw.orders: [a]}"])
def test_small_files_are_put_together_and_old_ones_deleted(
    tmp_path: Path, form: str, partitions: str
) -> None:
    (tmp_path / "config").mkdir()
    flags = [
        "target=lake", f"targets.lake.table_format={form}", "targets.lake.compact_after=4",
        f"targets.lake.partitions={partitions}",
    ]  # fmt: skip
    old = resolve(tmp_path, flags=flags, environ={}).target
    folder = Path(old.location) / "bronze" / "shop_raw" / "orders"
    wanted = []
    for number in range(4):
        load(old, tmp_path, [{"id": number, "a": "xy"[number % 2]}], disposition="append")
        wanted.append(("xy"[number % 2], number))
        assert rows(old, "orders") == sorted(wanted)
    assert len(list(folder.rglob("*.parquet"))) == 4
    before = {path for path in folder.rglob("*") if path.is_file()}
    load(old, tmp_path, [{"id": 4, "a": "x"}], disposition="append")
    assert before <= set(folder.rglob("*"))  # its versions can be read for the retention
    new = resolve(tmp_path, flags=[*flags, "targets.lake.retention_hours=0"], environ={}).target
    load(new, tmp_path, [{"id": 5, "a": "y"}], disposition="append")
    assert rows(new, "orders") == sorted([*wanted, ("x", 4), ("y", 5)])
    # of five files and the last load's
    assert len(list(folder.rglob("*.parquet"))) == (2 if partitions == "{}" else 3)
    if form == "iceberg":
        assert len(list(folder.rglob("*.metadata.json"))) == 1
        assert len(list(folder.rglob("snap-*.avro"))) == 1
    load(new, tmp_path, [{"id": 0, "a": "z"}])
    assert rows(new, "orders")[-1] == ("z", 0)
    assert len(rows(new, "orders")) == 6


@pytest.mark.parametrize("target", ["delta"], indirect=True)
def test_a_load_that_was_stopped_between_two_tables_is_made_whole(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(target, tmp_path, [{"id": 1, "a": "x", "items": [{"k": 1}]}])
    again: Rows = [{"id": 1, "a": "y", "items": [{"k": 2}, {"k": 3}]}]

    def stopped(self: Any, root: Any, each: Any) -> None:
        raise DestinationTerminalException("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(dlt_lake.NestedChain, "merge_nested", stopped)
        with pytest.raises(PipelineStepFailed):
            load(target, tmp_path / "lost", again)
    assert rows(target, "orders") == [("y", 1)]  # of a load that is not completed
    load(target, tmp_path / "another", again)
    assert rows(target, "orders") == [("y", 1)]
    assert rows(target, "orders__items") == [(2,), (3,)]


def test_plain_parquet_refuses_a_merge_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    flags = ["target=lake", "targets.lake.table_format=parquet"]
    plain = resolve(tmp_path, flags=flags, environ={}).target
    with pytest.raises(Exception, match=r"set targets\.lake\.table_format to delta or iceberg"):
        load(plain, tmp_path, [{"id": 1}])
    load(plain, tmp_path / "new", [{"id": 1, "a": "x"}], disposition="append")
    load(plain, tmp_path / "new", [{"id": 2, "a": "y"}], disposition="append")
    assert rows(plain, "orders") == [("x", 1), ("y", 2)]


def test_columns_of_partitions_divide_a_raw_table(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    flags = ["target=lake", "targets.lake.partitions={shop_raw.orders: [a]}"]
    lake = resolve(tmp_path, flags=flags, environ={}).target
    load(lake, tmp_path, [{"id": 1, "a": "x"}, {"id": 2, "a": "y"}])
    folders = [path.name for path in Path(lake.location).glob("bronze/shop_raw/orders/a=*")]
    assert sorted(folders) == ["a=x", "a=y"]
    assert rows(lake, "orders") == [("x", 1), ("y", 2)]


@pytest.mark.parametrize(
    ("name", "kind"), [("lake", 'STRUCT("first" VARCHAR, sizes BIGINT[])'), ("spark", "VARCHAR")]
)
def test_nested_columns_are_json_where_spark_builds(tmp_path: Path, name: str, kind: str) -> None:
    """A lake keeps their types, which DuckDB reads; Spark's models read JSON."""
    if name == "spark":
        pytest.importorskip("pyspark", reason="uv sync --extra spark")
    (tmp_path / "config").mkdir()
    target = resolve(tmp_path, flags=[f"target={name}"], environ={}).target
    target.prepare()
    for number in (1, 2):  # the second load is a merge
        person = pa.array([{"first": "Ada", "sizes": [number, None]}])
        people = pa.table({"id": pa.array([1]), "person": person})
        pipeline = dlt.pipeline(
            pipeline_name="shop",
            destination=target.dlt_destination(),
            dataset_name="shop_raw",
            pipelines_dir=str(tmp_path),
        )
        with libraries_dlt.environment():
            pipeline.run(people, table_name="people", primary_key="id", write_disposition="merge")
    with closing(connect()) as connection:
        assert target.attach(connection, "t")
        (found,) = connection.execute(
            "select typeof(person), person from t.shop_raw.people"
        ).fetchall()
    assert found[0] == kind
    values = json.loads(found[1]) if name == "spark" else found[1]
    assert values == {"first": "Ada", "sizes": [2, None]}
