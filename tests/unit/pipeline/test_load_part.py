"""What is said of dbt's incremental models after a load of the past, and the names of tables."""

import json
from pathlib import Path
from typing import Any

import pytest
from step_lab import project

from headrace.errors import SettingsError
from headrace.pipeline.loading.backfill import about_incremental_models, parse_tables
from headrace.pipeline.reports import LoadReport, TableReport


def model(name: str, materialized: str) -> dict[str, Any]:
    return {
        "unique_id": f"model.p.{name}",
        "name": name,
        "resource_type": "model",
        "config": {"materialized": materialized},
    }


def loaded(source: str, table: str) -> LoadReport:
    counts = {"rows_given": 1, "rows_new": 1, "rows_changed": 0, "rows_total": 1}
    report = TableReport(source=source, table=table, **counts)
    return LoadReport(tables=(report,), load_ids=(), seconds=0)


def test_incremental_models_that_read_it_are_named(tmp_path: Path) -> None:
    resolved = project(tmp_path)
    assert about_incremental_models(resolved, loaded("shop", "orders")) == []  # no manifest yet
    models = [
        model("stg_orders", "view"), model("daily", "incremental"), model("other", "incremental"),
    ]  # fmt: skip
    source = {
        "unique_id": "source.p.shop.orders", "name": "orders", "source_name": "shop",
        "resource_type": "source", "schema": "shop_raw",
    }  # fmt: skip
    manifest = {
        "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json"},
        "nodes": {each["unique_id"]: each for each in models},
        "sources": {source["unique_id"]: source},
        "parent_map": {
            "model.p.stg_orders": ["source.p.shop.orders"],
            "model.p.daily": ["model.p.stg_orders"],
            "model.p.other": [],
        },
    }
    resolved.artifacts.mkdir(parents=True)
    (resolved.artifacts / "manifest.json").write_text(json.dumps(manifest))
    (note,) = about_incremental_models(resolved, loaded("shop", "orders"))
    assert note.startswith("incremental models read what was loaded again: daily; those")
    assert about_incremental_models(resolved, loaded("shop", "customers")) == []


def test_tables_by_source() -> None:
    names = ("shop.orders", "shop_raw.items", "crm.people")
    assert parse_tables(names) == {"shop": ("orders", "items"), "crm": ("people",)}
    with pytest.raises(SettingsError, match=r"--table orders: write it as SOURCE\.TABLE"):
        parse_tables(["orders"])
