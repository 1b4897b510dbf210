"""What Spark and Sail need, what they refuse, and which folder is a table; no Java is started."""

import json
import re
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from headrace.errors import SettingsError, TransformError, WarehouseError
from headrace.libraries import dbt, spark
from headrace.pipeline.building.build import require_capabilities
from headrace.settings import resolve
from headrace.targets.lake.tables import LakeTables
from headrace.targets.spark.sail import SailSettings, SailTarget
from headrace.targets.spark.target import SparkSettings, SparkTarget


def spark_target(root: Path, **settings: Any) -> SparkTarget:
    return SparkSettings(type="spark", **settings).target(
        "spark", data_dir=root, path_of=lambda path: root / path
    )


def sail_target(root: Path, **settings: Any) -> SailTarget:
    return SailSettings(type="sail", **settings).target(
        "sail", data_dir=root, path_of=lambda path: root / path
    )


def _java(folder: Path, version: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_392"])
def test_an_old_java_is_refused(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_java(tmp_path, version)))
    major = "8" if version.startswith("1.") else "11"
    with pytest.raises(WarehouseError, match=f"is Java {major}: install a newer one"):
        spark.require_java()


def test_a_new_java_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_java(tmp_path, "17.0.15")))
    spark.require_java()


def test_no_java_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WarehouseError, match=r"no java on the PATH: install it, or take .* sail"):
        spark.require_java()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(WarehouseError, match="holds no bin/java"):
        spark.require_java()


def test_a_server_that_is_not_there_is_said_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(WarehouseError, match=f"Spark's master at 127.0.0.1:{port} was not reached"):
        spark.require_server("127.0.0.1", port, "Spark's master", "targets.spark.master")


def test_a_port_that_another_program_has_is_said(tmp_path: Path) -> None:
    pytest.importorskip("pysail", reason="uv sync --extra sail")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(WarehouseError, match=rf"port {port} is in use: .* targets\.sail\.port"):
            sail_target(tmp_path, port=port).start()


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("java.net.BindException: Address already in use", "a port .* targets.spark.conf"),
        ("All masters are unresponsive! Giving up.", "the cluster was not reached"),
        ("Initial job has not accepted any resources", "lower targets.spark.executor_memory"),
        ("java.lang.OutOfMemoryError: Java heap space", "raise targets.spark.executor_memory"),
        ("ExecutorLostFailure (executor 1 exited)", "raise targets.spark.executor_memory"),
        (
            "SparkException: Not enough memory to build and broadcast the table to all workers",
            r"raise targets\.spark\.memory, or set spark\.sql\.autoBroadcastJoinThreshold",
        ),
        ("something else\nand more", "^something else$"),
    ],
)
def test_errors_of_spark_say_what_to_change(words: str, advice: str, tmp_path: Path) -> None:
    found = spark.explained(RuntimeError(words), "targets.spark")
    assert re.search(advice, found)
    assert "\n" not in found
    log = tmp_path / "spark.log"
    log.write_text(words)
    if advice[0] != "^":
        assert re.search(advice, spark.explained("it ended", "targets.spark", log))


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "connect"},
        {"master": "yarn"},
        {"master": "spark://host"},
        {"memory": "lots"},
        {"port": 0},
        {"warehouse": "x"},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SparkSettings(type="spark", **settings)


def test_a_target_of_that_name_needs_no_entry(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    one = resolve(tmp_path, flags=["target=spark"], environ={}).target
    assert one.location == str(tmp_path / "data" / "targets" / "spark" / "files")
    assert (one.adapter, one.dialect) == ("dbt-spark", "spark")
    two = resolve(tmp_path, flags=["target=sail", "targets.sail.path=w"], environ={}).target
    assert (two.adapter, two.location) == ("dbt-sail", str(tmp_path / "w"))
    with pytest.raises(SettingsError, match="master"):
        resolve(tmp_path, flags=["target=spark", "targets.spark.master=x"], environ={})


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.targets.spark.target.find_spec", lambda name: None)
    with pytest.raises(WarehouseError, match="--extra spark"):
        spark_target(tmp_path).require_packages()
    with pytest.raises(WarehouseError, match="--extra sail"):
        sail_target(tmp_path).require_packages()


def test_only_a_cluster_gets_memory_for_executors(tmp_path: Path) -> None:
    here = spark_target(tmp_path, conf={"spark.sql.shuffle.partitions": "7"}).options()
    assert here["spark.sql.shuffle.partitions"] == "7"
    assert here["spark.sql.session.timeZone"] == "UTC"
    assert "spark.executor.memory" not in here
    there = spark_target(tmp_path, master="spark://h:7077", executor_memory="3g").options()
    assert there["spark.executor.memory"] == "3g"
    assert "spark.driver.host" not in there
    loopback = spark_target(tmp_path, master="spark://127.0.0.1:7077").options()
    assert loopback["spark.driver.host"] == "127.0.0.1"


def _written(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_the_newest_complete_folder_is_the_table(tmp_path: Path) -> None:
    tables = spark_target(tmp_path).tables
    first, second, third = (tables.location_root("marts", name) for name in ("1", "2", "3"))
    _written(first / "orders", "part-0.parquet", "_SUCCESS")
    _written(second / "orders", "part-0.parquet", "_SUCCESS")
    _written(second / "customers", "_delta_log/0.json")
    _written(third / "orders", "_temporary/0/part-0.parquet")  # killed
    staging = tables.location_root("staging", "2") / "stg_orders"
    _written(staging, "_SUCCESS")
    found = tables.built()
    assert {key: table.folder for key, table in found.items()} == {
        ("marts", "orders"): second / "orders",
        ("marts", "customers"): second / "customers",
        ("staging", "stg_orders"): staging,
    }
    assert found["marts", "customers"].is_delta
    assert first.is_relative_to(tmp_path / "files" / "gold")
    assert staging.is_relative_to(tmp_path / "files" / "silver")
    assert len(list(tables.folders())) == 5


def test_builds_sort_by_time(tmp_path: Path) -> None:
    tables = spark_target(tmp_path).tables
    names = [tables.new_build() for _ in range(50)]
    assert names == sorted(names)
    config_of = spark_target(tmp_path).node_config()
    roots = {config_of("marts")["location_root"], config_of("marts")["location_root"]}
    assert len(roots) == 1  # one build is one folder


def test_files_that_a_raw_table_lost_are_removed(tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake", reason="uv sync --extra spark")
    import pyarrow as pa

    tables = spark_target(tmp_path).tables
    folder = tmp_path / "files" / "bronze" / "shop_raw" / "orders"
    for number in range(3):
        deltalake.write_deltalake(folder, pa.table({"id": [number]}), mode="overwrite")
    _written(folder, "part-of-a-load-that-was-killed.parquet")
    assert len(list(folder.glob("*.parquet"))) == 4
    (table,) = tables.raw()
    assert len(list(folder.glob("*.parquet"))) == 1
    assert table.key == ("shop_raw", "orders")
    assert [field["name"] for field in json.loads(table.columns())["fields"]] == ["id"]


def test_completed_loads_are_parquet_with_the_columns_that_are_told(tmp_path: Path) -> None:
    target = spark_target(tmp_path)
    folder = tmp_path / "files" / "bronze" / "shop_raw"
    _written(folder, "_dlt_loads/shop__1700000000.5.jsonl", "orders/x.parquet")
    raw = LakeTables.of(target.lake.store, "bronze")
    (loads,) = target.tables.loads(raw)
    from pyarrow import parquet

    (row,) = parquet.read_table(loads.folder / "loads.parquet").to_pylist()
    assert (row["load_id"], row["schema_name"], row["status"]) == ("1700000000.5", "shop", 0)
    assert list(row) == [field["name"] for field in json.loads(loads.columns())["fields"]]


class _Config(dict[str, Any]):
    materialized = "view"
    pre_hook: list[Any]


def _node(kind: str, materialized: str) -> Any:
    config = _Config()
    config.materialized, config.pre_hook = materialized, []
    column = SimpleNamespace(constraints=["not_null"])
    return SimpleNamespace(
        name=f"a_{materialized}",
        resource_type=kind,
        schema="marts",
        config=config,
        constraints=["check"],
        columns={"id": column},
    )


def test_nodes_are_configured_as_the_engine_needs_it(tmp_path: Path) -> None:
    view, table = _node("model", "view"), _node("model", "table")
    source = _node("operation", "view")
    manifest = SimpleNamespace(nodes={"a": view, "b": table, "c": source})
    dbt.configure(manifest, sail_target(tmp_path).node_config())
    assert view.config.materialized == table.config.materialized == "table"
    assert view.config["file_format"] == "delta"
    assert view.config["location_root"].startswith((tmp_path / "files/gold/marts").as_posix())
    assert "drop table" in table.config.pre_hook[0].sql
    assert (table.constraints, table.columns["id"].constraints) == ([], [])
    assert (source.config.materialized, dict(source.config)) == ("view", {})


def test_what_parquet_cannot_be_is_refused_before_the_build(tmp_path: Path) -> None:
    nodes = {"a": _node("snapshot", "snapshot"), "b": _node("model", "table")}
    parsed: Any = SimpleNamespace(graph=SimpleNamespace(nodes=nodes))
    with pytest.raises(TransformError, match=r"builds no snapshots, and there is 1 .*target.name"):
        require_capabilities(spark_target(tmp_path), parsed)
    require_capabilities(sail_target(tmp_path), parsed)
    nodes["a"] = _node("model", "incremental")
    with pytest.raises(TransformError, match="no incremental models"):
        require_capabilities(spark_target(tmp_path), parsed)
    can = spark_target(tmp_path).capabilities
    assert (can.snapshots, can.incremental) == (False, False)


def test_types_in_fixtures_have_the_name_of_the_engine(tmp_path: Path) -> None:
    fixture = SimpleNamespace(
        rows="select cast('2024-01-01' as timestamptz) as varchar_, null::TEXT as text"
    )
    other = SimpleNamespace(rows=[{"id": 1}])
    test = SimpleNamespace(given=[fixture, other], expect=SimpleNamespace(rows=None))
    types = spark_target(tmp_path).capabilities.fixture_types
    column = SimpleNamespace(data_type="timestamp with time zone")
    model = SimpleNamespace(columns={"at": column, "no": SimpleNamespace(data_type=None)})
    dbt.translate_fixtures(SimpleNamespace(unit_tests={"a": test}, nodes={"b": model}), types)
    assert column.data_type == "timestamp"
    assert fixture.rows == (
        "select cast('2024-01-01' as timestamp) as varchar_, null::string as text"
    )
    assert other.rows == [{"id": 1}]
