"""What the readers take from real files of dbt 1.8 to 1.12."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts import Artifacts, Reading, load_manifest, read_artifacts
from headrace.artifacts.dbt_results import load_run_results, load_sources

FIXTURES = Path(__file__).parents[2] / "fixtures" / "artifacts"
VERSIONS = ("1.8", "1.9", "1.10", "1.11", "1.12")


def folder(version: str) -> Path:
    return FIXTURES / f"dbt_{version.replace('.', '_')}"


def read(version: str, tmp_path: Path) -> Artifacts:
    return read_artifacts(folder(version), tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_file_of_every_version_is_read_strictly(version: str, tmp_path: Path) -> None:
    readings = read(version, tmp_path).readings
    assert {reading.artifact: reading.mode for reading in readings} == {
        "manifest.json": "strict",
        "catalog.json": "strict",
        "run_results.json": "strict",
        "sources.json": "strict",
    }
    assert all(f", dbt {version}." in (reading.version or "") for reading in readings)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_has_all_that_the_catalog_needs(version: str, tmp_path: Path) -> None:
    manifest = read(version, tmp_path).manifest
    assert manifest is not None
    orders = manifest.nodes["model.shop.fct_orders"]
    assert (orders.schema_name, orders.relation_name, orders.language) == (
        "main",
        "fct_orders",
        "sql",
    )
    assert orders.relation == '"shop"."main"."fct_orders"'
    assert (orders.config.materialized, orders.config.unique_key) == ("incremental", "order_id")
    assert (orders.group, orders.access) == ("shop_team", "protected")
    assert orders.all_meta == {"owner": "shop"}
    assert set(orders.depends_on.nodes) == {"model.shop.int_orders", "model.shop.stg_payments"}
    assert manifest.parent_map["model.shop.fct_orders"] == orders.depends_on.nodes
    assert "is_incremental()" in (orders.raw_code or "")
    assert '"main"."stg_payments"' in (orders.compiled_code or "")
    # tags and meta stand in two places, dbt 1.8 and 1.9 know only one of them
    column = orders.columns["customer_id"]
    assert (column.description, column.all_tags) == ("Who ordered.", ("pii",))
    assert column.all_meta == {"pii": "customer"}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_other_nodes_of_a_manifest(version: str, tmp_path: Path) -> None:
    manifest = read(version, tmp_path).manifest
    assert manifest is not None
    kinds = {node.resource_type for node in manifest.nodes.values()}
    assert kinds == {"analysis", "model", "operation", "seed", "snapshot", "test"}
    history = manifest.nodes["snapshot.shop.orders_history"]
    assert (history.config.strategy, history.config.check_cols) == ("check", ["status"])
    customers = manifest.nodes["model.shop.dim_customers.v2"]
    assert customers.is_contracted
    assert customers.access == "public"
    assert (customers.version, customers.latest_version) == (2, 2)
    assert [each.type for each in customers.columns["customer_id"].constraints] == ["not_null"]
    assert customers.columns["orders"].data_type == "bigint"
    assert not manifest.nodes["model.shop.dim_customers.v1"].is_contracted
    inlined = manifest.nodes["model.shop.int_orders"]
    assert not inlined.is_relation
    (exposure,) = manifest.exposures.values()
    assert (exposure.label, exposure.type, exposure.maturity) == (
        "The order board",
        "dashboard",
        "high",
    )
    assert (exposure.url, exposure.owner.name) == ("https://bi.example.com/orders", "Ada")
    assert exposure.owner.emails == ("ada@example.com",)
    (group,) = manifest.groups.values()
    assert (group.name, group.owner.name) == ("shop_team", "The shop team")
    assert list(manifest.disabled) == ["model.shop.switched_off"]
    assert len(manifest.macros) == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_sources_and_their_freshness(version: str, tmp_path: Path) -> None:
    artifacts = read(version, tmp_path)
    assert artifacts.manifest is not None
    assert artifacts.sources is not None
    source = artifacts.manifest.sources["source.shop.pay.payments"]
    assert (source.source_name, source.schema_name, source.relation_name) == (
        "pay",
        "raw",
        "payments",
    )
    assert (source.loader, source.source_meta) == ("dlt", {"tier": "gold"})
    assert source.source_description == "The payment service."
    assert source.freshness is not None
    assert source.freshness.warn_after is not None
    assert (source.freshness.warn_after.count, source.freshness.warn_after.period) == (1, "day")
    (result,) = artifacts.sources.results
    assert (result.unique_id, result.status) == ("source.shop.pay.payments", "warn")
    assert (result.age or 0) > 24 * 60 * 60
    assert result.criteria == source.freshness


@pytest.mark.parametrize("version", VERSIONS)
def test_tests_know_what_they_test(version: str, tmp_path: Path) -> None:
    manifest = read(version, tmp_path).manifest
    assert manifest is not None
    tests = {node.label: node for node in manifest.nodes.values() if node.resource_type == "test"}
    unique = tests["unique(order_id) on fct_orders"]
    assert unique.attached_node == "model.shop.fct_orders"
    assert unique.column_name == "order_id"
    assert unique.severity == "error"
    assert tests["not_null(order_id) on fct_orders"].severity == "warn"
    known = tests["the_status_is_known"].test_metadata
    assert known is not None
    assert known.name == "accepted_values"
    assert tests["orders_are_paid"].test_metadata is None
    (unit,) = manifest.unit_tests.values()
    assert unit.label == "unpaid_orders_are_kept on fct_orders"
    assert unit.depends_on.nodes == ["model.shop.fct_orders"]


@pytest.mark.parametrize("version", VERSIONS)
def test_columns_are_in_the_order_of_the_warehouse(version: str, tmp_path: Path) -> None:
    catalog = read(version, tmp_path).catalog
    assert catalog is not None
    columns = catalog.nodes["model.shop.fct_orders"].ordered
    assert [column.name for column in columns][:2] == ["order_id", "customer_id"]
    assert (columns[4].name, columns[3].type) == ("päid amount", "TIMESTAMP")
    assert catalog.nodes["model.shop.stg_payments"].metadata.type == "VIEW"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_result_of_each_node(version: str, tmp_path: Path) -> None:
    results = read(version, tmp_path).run_results
    assert results is not None
    assert results.args["which"] == "build"
    built = results.by_id["model.shop.stg_payments"]
    assert built.status == "success"
    assert built.started_at is not None
    assert built.completed_at is not None
    assert built.started_at < built.completed_at
    assert built.started_at.utcoffset() is not None
    failed = results.by_id["test.shop.no_order_was_returned"]
    assert (failed.status, failed.failures) == ("fail", 1)
    assert results.by_id["test.shop.orders_are_paid"].status == "warn"
    skipped = results.by_id["model.shop.order_days"]
    assert (skipped.status, skipped.started_at) == ("skipped", None)


def changed(name: str, tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A file of dbt 1.12, changed, in compact JSON."""
    document = json.loads((folder("1.12") / name).read_text("utf-8"))
    change(document)
    path = tmp_path / name
    path.write_text(json.dumps(document, separators=(",", ":"), ensure_ascii=False), "utf-8")
    return path


def test_run_results_of_format_5_are_read_too(tmp_path: Path) -> None:
    url = "https://schemas.getdbt.com/dbt/run-results/v5.json"
    read = load_run_results(
        changed(
            "run_results.json",
            tmp_path,
            lambda document: document["metadata"].update(dbt_schema_version=url),
        )
    )
    assert (read.reading.mode, read.reading.version) == ("strict", "v5, dbt 1.12.6")
    assert len(read.value.results) > 10


def as_dbt_2(document: dict[str, Any]) -> None:
    """What dbt 2 does otherwise, where it writes the same format."""
    url = "https://schemas.getdbt.com/dbt/manifest/v12/manifest.json"
    document["metadata"] |= {"dbt_version": "2.0.0-preview.218", "dbt_schema_version": url}
    for node in document["nodes"].values():
        node["config"] |= {"meta": None, "tags": None, "group": None}
        node["classifiers"] = []
        node["depends_on"]["nodes_with_ref_location"] = [["model.shop.x", {"line": 1}]]
        for column in node["columns"].values():
            column["config"] = {}


def test_a_manifest_of_dbt_2_in_the_same_format_is_read_strictly(tmp_path: Path) -> None:
    read = load_manifest(changed("manifest.json", tmp_path, as_dbt_2))
    assert read.reading == Reading("manifest.json", "v12, dbt 2.0.0-preview.218", "strict")
    assert read.value.nodes["model.shop.fct_orders"].all_meta == {"owner": "shop"}


def test_statuses_that_dbt_2_writes_with_a_capital_are_the_same(tmp_path: Path) -> None:
    def capitals(document: dict[str, Any]) -> None:
        for result in document["results"]:
            result["status"] = result["status"].capitalize()

    results = load_run_results(changed("run_results.json", tmp_path, capitals))
    assert results.reading.mode == "strict"
    assert results.value.by_id["test.shop.no_order_was_returned"].status == "fail"
    sources = load_sources(changed("sources.json", tmp_path, capitals))
    assert [result.status for result in sources.value.results] == ["warn"]
