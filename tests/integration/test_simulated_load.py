"""Simulated days, loaded by dlt one after the other: what is merged is what a snapshot holds."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest

from headrace.libraries import dlt as libraries_dlt
from headrace.synth.resources import Simulation, simulated_resources
from synth_lab import SHOP, START

DAYS = 30


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("schema") / "store.yml"
    path.write_text(
        SHOP.format(
            seed=11,
            growth=0.5,
            distribution="zipf",
            late="late: {rate: 0.2, max: 3d}",
            corrections="corrections: {rate: 0.3, within: 6d, columns: [stars]}",
            deletions="deletions: {rate: 0.3, within: 8d}",
        ),
        encoding="utf-8",
    )
    return path


@pytest.mark.slow
def test_thirty_days_by_dlt_are_the_last_snapshot(
    schema: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "ERROR")
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.chdir(tmp_path)
    tables = ["customer", "order", "review"]

    @dlt.source(name="store")
    def store(simulation: Simulation) -> Any:
        return simulated_resources(simulation, tables=tables)

    pipeline = dlt.pipeline(
        "store",
        destination=dlt.destinations.duckdb(str(tmp_path / "store.duckdb")),
        dataset_name="store_raw",
        pipelines_dir=str(tmp_path / "dlt"),
    )
    loaded = []
    for day in range(1, DAYS + 1):
        simulation = Simulation(schema, as_of=START + timedelta(days=20 + day))
        with libraries_dlt.environment():
            pipeline.run(store(simulation), loader_file_format="parquet")
        counts = pipeline.last_trace.last_normalize_info.row_counts  # type: ignore[union-attr]
        loaded.append(counts.get("order", 0))

    last, _ = simulation.view(None)
    with duckdb.connect(str(tmp_path / "store.duckdb"), read_only=True) as connection:
        for name in tables:
            expected = last.table(name)
            connection.register("expected", expected)
            flat = [
                f'"{field.name}"'
                for field in expected.schema
                if not str(field.type).startswith(("struct", "list"))
            ]
            columns = ", ".join(flat)
            left_over = connection.execute(
                f"""
                (select {columns} from expected except all
                 select {columns} from store_raw."{name}")
                union all
                (select {columns} from store_raw."{name}" except all
                 select {columns} from expected)
                """
            ).fetchall()
            assert left_over == [], name
    # every load but the first brought a day's changes, and not the whole again
    assert loaded[0] > 3 * max(loaded[1:])
    assert min(loaded[1:]) > 0


def test_a_table_without_rows_is_made_and_filled_later(
    schema: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "ERROR")
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.chdir(tmp_path)

    @dlt.source(name="store")
    def store(simulation: Simulation) -> Any:
        return simulated_resources(simulation, tables=["order"])

    pipeline = dlt.pipeline(
        "store",
        destination=dlt.destinations.duckdb(str(tmp_path / "store.duckdb")),
        dataset_name="store_raw",
        pipelines_dir=str(tmp_path / "dlt"),
    )
    rows, columns = [], []
    for days in (0, 0, 20):
        simulation = Simulation(schema, as_of=START + timedelta(days=days))
        with libraries_dlt.environment():
            pipeline.run(store(simulation), loader_file_format="parquet")
        with duckdb.connect(str(tmp_path / "store.duckdb"), read_only=True) as connection:
            order = connection.sql('select * from store_raw."order"')
            rows.append(len(order.fetchall()))
            columns.append(order.columns)

    expected = simulation.view(None)[0].table("order")
    assert rows == [0, 0, expected.num_rows]
    assert expected.num_rows > 0
    assert columns[0] == columns[1] == columns[2]
    assert set(columns[0]) >= set(expected.schema.names)


@pytest.mark.slow
def test_faults_come_with_a_load_and_go_with_the_next(
    schema: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table whose rows have other faults than before is loaded whole, and no other is."""
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.chdir(tmp_path)

    @dlt.source(name="store")
    def store(simulation: Simulation) -> Any:
        return simulated_resources(simulation, tables=["customer", "order"])

    pipeline = dlt.pipeline(
        "store",
        destination=dlt.destinations.duckdb(str(tmp_path / "store.duckdb")),
        dataset_name="store_raw",
        pipelines_dir=str(tmp_path / "dlt"),
    )
    nulls, loaded = [], []
    for faults in (None, "nulls:customer.email:0.5", "nulls:customer.email:0.5", None):
        simulation = Simulation(schema, as_of=START + timedelta(days=40), faults=faults)
        with libraries_dlt.environment():
            pipeline.run(store(simulation), loader_file_format="parquet")
        counts = pipeline.last_trace.last_normalize_info.row_counts  # type: ignore[union-attr]
        loaded.append((counts.get("customer", 0), counts.get("order", 0)))
        with duckdb.connect(str(tmp_path / "store.duckdb"), read_only=True) as connection:
            query = "select count(*), count(*) - count(email) from store_raw.customer"
            nulls += connection.execute(query).fetchall()
    customers, orders = loaded[0]
    assert min(customers, orders) > 0
    assert loaded[1:] == [(customers, 0), (0, 0), (customers, 0)]
    assert [rows for rows, _ in nulls] == [customers] * 4
    assert nulls[0][1] == nulls[3][1] == 0
    assert 0.3 * customers < nulls[1][1] == nulls[2][1] < 0.7 * customers
