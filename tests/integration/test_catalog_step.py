"""The catalog that a run keeps: from a source's field to an exposure, and version by version."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from lab import Lab, copy_project

from headrace.catalog import Catalog, CatalogChange, ColumnEdge, RunStore
from headrace.errors import CatalogError, TransformError
from headrace.pipeline import catalog as catalog_step


def kept(lab: Lab) -> Catalog:
    return catalog_step.current(lab.resolved)


def changes(lab: Lab, *, since: int) -> tuple[CatalogChange, ...]:
    store = RunStore(lab.resolved.run_store_url)
    found = store.catalog_changes(since, store.catalog_version() or 0)
    store.close()
    return found


def test_a_run_keeps_the_whole_way_from_a_field_to_an_exposure(done: Lab) -> None:
    catalog = kept(done)
    assert catalog.version == 1
    assert {reading.mode for reading in catalog.readings} == {"strict"}
    way = [
        "resource.jaffle_shop.raw_payments",
        "table.jaffle_shop_raw.raw_payments",
        "model.headrace.stg_jaffle_shop__payments",
        "model.headrace.int_payments_pivoted_to_orders",
        "model.headrace.orders",
        "exposure.headrace.customer_value",
    ]
    for parent, child in itertools.pairwise(way):
        assert parent in catalog.parents[child]
    assert {
        ColumnEdge(way[0], "amount", way[1], "amount", "copied"),
        ColumnEdge(way[1], "amount", way[2], "amount", "computed"),
        ColumnEdge(way[2], "amount", way[3], "amount", "aggregated"),
        ColumnEdge(way[2], "payment_method", way[3], "coupon_amount", "aggregated"),
        ColumnEdge(way[3], "amount", way[4], "amount", "computed"),
    } <= set(catalog.column_edges)
    amount = catalog.assets["model.headrace.orders"].column("amount")
    assert amount is not None
    assert (amount.data_type, amount.nullable) == ("DECIMAL(16,2)", False)
    assert catalog.problems == ()


LATER = """
version: 2
sources:
  - name: later
    schema: later_raw
    tables:
      - name: things
        columns: [{name: id, data_type: bigint}, {name: price, data_type: bigint}]
"""
STAGING = "select id as thing_id, price * 2 as doubled from {{ source('later', 'things') }}"
REFUSED = "{% set found = run_query('select * from later_raw.things') %} select 1 as a"


def test_what_a_build_leaves_out_is_traced_all_the_same(done: Lab, tmp_path: Path) -> None:
    """Models of a source that is not loaded yet, and those behind a model that fails."""
    lab = replace(done, root=copy_project(tmp_path / "project"))
    models = lab.root / "dbt_project/models"
    (models / "later.yml").write_text(LATER, "utf-8")
    (models / "stg_later__things.sql").write_text(STAGING, "utf-8")
    refused = "-- depends_on: {{ ref('stg_later__things') }}\n" + REFUSED
    (models / "asks_the_warehouse.sql").write_text(refused, "utf-8")
    fct = "select *, doubled + 1 as more from {{ ref('stg_later__things') }}"
    (models / "fct_things.sql").write_text(fct, "utf-8")
    broken = models / "staging/jaffle_shop/stg_jaffle_shop__orders.sql"
    text = broken.read_text("utf-8")
    broken.write_text(text.replace("status,", "cast('no' as integer) as status,", 1), "utf-8")
    assert lab.run("build").status == "failed"

    catalog = kept(lab)
    mart = "model.headrace.fct_things"
    assert [column.name for column in catalog.assets[mart].columns] == [
        "thing_id",
        "doubled",
        "more",
    ]
    source, stage = "table.later_raw.things", "model.headrace.stg_later__things"
    assert {
        ColumnEdge(source, "price", stage, "doubled", "computed"),
        ColumnEdge(stage, "doubled", mart, "more", "computed"),
    } <= set(catalog.column_edges)
    assert [problem.asset for problem in catalog.problems] == ["model.headrace.asks_the_warehouse"]
    assert {
        (change.asset, change.what)
        for change in changes(lab, since=1)
        if change.what != "asset added"
    } == {
        ("model.headrace.stg_jaffle_shop__orders", "code changed"),
        ("model.headrace.stg_jaffle_shop__orders", "column retyped"),  # its tests fail, later
    }
    results = json.loads((lab.resolved.artifacts / "run_results.json").read_text("utf-8"))
    assert results["args"]["which"] == "build"  # it is not of the compilation


def test_a_run_that_changes_nothing_reads_nothing(done: Lab) -> None:
    # the copy's files have other times than the ones that were read
    assert done.run("build").catalog is not None
    report = done.run("build").catalog
    assert report is not None
    assert (report.version, report.is_new, report.assets) == (1, False, 0)


def test_what_changed_in_the_project_is_a_version(done: Lab, tmp_path: Path) -> None:
    lab = replace(done, root=copy_project(tmp_path / "project"))
    sql = lab.root / "dbt_project/models/staging/jaffle_shop/stg_jaffle_shop__customers.sql"
    text = sql.read_text("utf-8")
    assert "last_name" in text
    sql.write_text(text.replace("last_name", "last_name,\n        1 as tier", 1), "utf-8")
    yml = sql.with_suffix(".yml")
    yml.write_text(yml.read_text("utf-8").replace("One row per customer", "One per customer", 1))
    report = lab.run("build").catalog
    assert report is not None
    assert (report.version, report.is_new) == (2, True)
    found = {(change.asset, change.column, change.what) for change in changes(lab, since=1)}
    staging = "model.headrace.stg_jaffle_shop__customers"
    assert found == {
        (staging, "tier", "column added"),
        (staging, None, "code changed"),
        (staging, None, "description changed"),
    }
    assert report.changes == len(found)


def test_a_catalog_that_cannot_be_made_stops_no_run(
    done: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("headrace.lineage.columns.column_lineage", broken)
    (done.data_dir / "dbt" / "catalog_state.json").unlink()
    report = done.run()
    assert report.status == "success"
    assert report.catalog is None
    assert any("the catalog is that of an earlier run" in note for note in report.notes)
    assert kept(done).version == 1
    store = RunStore(done.resolved.run_store_url)
    detail = store.run(report.run_id)
    store.close()
    assert detail is not None
    assert ("catalog", "error") in {(step.step, step.status) for step in detail.steps}


def test_without_a_run_there_is_no_catalog_and_no_store_is_made(lab: Lab) -> None:
    with pytest.raises(CatalogError, match="run `headrace run` first"):
        kept(lab)
    assert not lab.data_dir.exists()


def test_a_damaged_manifest_is_said_and_what_is_kept_stays(done: Lab) -> None:
    path = done.resolved.artifacts / "manifest.json"
    path.write_bytes(path.read_bytes()[:1000])
    store = RunStore(done.resolved.run_store_url)
    with pytest.raises(TransformError, match=r"manifest\.json"):
        catalog_step.refresh(done.resolved, store, "r")
    assert store.catalog_version() == 1
    store.close()
