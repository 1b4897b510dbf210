"""What depends on tables that could not be loaded."""

from pathlib import Path

import pytest
from step_lab import project

from headrace.artifacts import Manifest
from headrace.artifacts.dbt_manifest import SourceNode
from headrace.artifacts.formats import Metadata
from headrace.pipeline.affected import affected_by
from headrace.pipeline.reports import LoadFailure


def raw(source: str, table: str) -> SourceNode:
    return SourceNode(
        unique_id=f"source.p.{source}.{table}",
        name=table,
        source_name=source,
        schema_name=f"{source}_raw",
    )


SOURCES = (raw("shop", "orders"), raw("shop", "orders__items"), raw("shop", "places"),
           raw("crm", "orders"))  # fmt: skip
MANIFEST = Manifest(
    metadata=Metadata(dbt_schema_version="https://schemas.getdbt.com/dbt/manifest/v12.json"),
    nodes={},
    sources={node.unique_id: node for node in SOURCES},
    parent_map={
        "model.p.stg_orders": ["source.p.shop.orders"],
        "model.p.items": ["source.p.shop.orders__items"],
        "model.p.sales": ["model.p.stg_orders", "source.p.shop.places"],
        "test.p.sales_have_places": ["model.p.sales", "model.p.places"],
        "model.p.places": ["source.p.shop.places"],
        "model.p.contacts": ["source.p.crm.orders"],
        "model.p.sales_again": ["model.p.sales", "model.p.loop"],
        "model.p.loop": ["model.p.sales_again"],
    },
)


@pytest.mark.parametrize(
    ("table", "models"),
    [
        ("orders", {"stg_orders", "items", "sales", "sales_again", "loop"}),
        ("places", {"places", "sales", "sales_again", "loop"}),
        (None, {"stg_orders", "items", "places", "sales", "sales_again", "loop"}),
        ("unknown", set()),
    ],
)
def test_everything_downstream_of_a_failed_table(
    table: str | None, models: set[str], tmp_path: Path
) -> None:
    failures = [LoadFailure(source="shop", table=table, error="x")]
    found = affected_by(failures, MANIFEST, project(tmp_path))
    assert {id_.rpartition(".")[2] for id_ in found if id_.startswith("model")} == models
    assert ("test.p.sales_have_places" in found) == bool(models)
    assert "source.p.crm.orders" not in found


def test_a_source_may_load_into_another_schema(tmp_path: Path) -> None:
    resolved = project(tmp_path, "sources:\n  sales: {kind: files, dataset_name: shop_raw}\n")
    found = affected_by(
        [LoadFailure(source="sales", table="places", error="x")], MANIFEST, resolved
    )
    assert "model.p.places" in found
    assert affected_by([LoadFailure(source="shop", error="x")], MANIFEST, project(tmp_path))
