"""Lineage of what dbt makes beyond plain SQL: snapshots, versions, hooks, macros."""

import json
import shutil
from dataclasses import replace
from typing import Any

import pytest
from lab import ROOT, Lab, copy_project

from headrace.catalog import Catalog
from headrace.pipeline.catalog import current

_FILES = {
    "models/intermediate/tried.yml": """\
snapshots:
  - name: kept_orders
    relation: ref('stg_jaffle_shop__orders')
    config:
      schema: intermediate
      strategy: check
      unique_key: order_id
      check_cols: [status]
      hard_deletes: new_record
models:
  - name: dim_tried
    latest_version: 2
    versions:
      - v: 1
      - v: 2
      - v: 3
""",
    "models/intermediate/kept_now.sql": "select order_id, status, dbt_is_deleted, "
    "dbt_valid_from from {{ ref('kept_orders') }} "
    "where dbt_valid_to is null and dbt_is_deleted = 'False'\n",
    **{
        f"models/intermediate/dim_tried_v{number}.sql": "select customer_id, "
        f"{number} as version from {{{{ ref('stg_jaffle_shop__customers') }}}}\n"
        for number in (1, 2, 3)
    },
    "models/intermediate/hooked.sql": "{{ config(materialized='table', "
    "post_hook='{{ add_one(this) }}') }}\n"
    "select order_id from {{ ref('stg_jaffle_shop__orders') }}\n",
    "models/intermediate/indexed.sql": "{{ config(materialized='table', "
    "post_hook='create index by_order on {{ this }} (order_id)') }}\n"
    "select order_id from {{ ref('stg_jaffle_shop__orders') }}\n",
    "models/intermediate/queried.sql": "select "
    "{{ newest(ref('stg_jaffle_shop__orders')) }} as n from {{ ref('stg_jaffle_shop__orders') }}\n",
    "models/intermediate/reader.sql": "{{ config(materialized='view') }}\n"
    "select n, 1 as one from intermediate.hook_made\n",
    "macros/tried.sql": """\
{% macro add_one(relation) %}
insert into {{ relation }} values (-1);
create or replace table intermediate.hook_made as select count(*) as n from {{ relation }}
{% endmacro %}
{% macro newest(relation) %}
{% if execute %}{{ run_query('select max(order_id) from ' ~ relation).rows[0][0] }}
{% else %}0{% endif %}
{% endmacro %}
""",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The jaffle shop with these models, loaded and built."""
    folder = tmp_path_factory.mktemp("dbt")
    root = copy_project(folder / "project")
    shutil.copytree(ROOT / "data" / "schemas", root / "data" / "schemas")
    for name, text in _FILES.items():
        path = root / "dbt_project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    reader = root / "dbt_project/models/intermediate/reader.sql"
    reader.write_text("-- depends_on: {{ ref('hooked') }}\n" + reader.read_text())
    lab = replace(Lab(folder / "data"), root=root)
    assert lab.run("load", "build", sources=("jaffle_shop",)).status == "success"
    return lab


@pytest.fixture(scope="module")
def catalog(lab: Lab) -> Catalog:
    return current(lab.resolved)


@pytest.fixture(scope="module")
def report(lab: Lab) -> dict[str, Any]:
    """What ``--verify`` says of all."""
    done = lab.command("lineage", "--verify", "--rows", "30", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_column_that_dbt_adds_to_a_snapshot_is_made_by_dbt(catalog: Catalog) -> None:
    problems = {problem.asset: problem.message for problem in catalog.problems}
    (snapshot,) = (key for key, one in catalog.assets.items() if one.kind == "snapshot")
    assert snapshot not in problems
    made = {
        (edge.parent_column, edge.child_column)
        for edge in catalog.edges_by_child[snapshot]
        if edge.child_column.startswith("dbt_") and edge.is_direct
    }
    assert made == {
        ("order_id", "dbt_is_deleted"),
        ("order_id", "dbt_scd_id"),
        ("status", "dbt_scd_id"),
        ("status", "dbt_updated_at"),
        ("status", "dbt_valid_from"),
        ("status", "dbt_valid_to"),
    }


def test_a_reader_of_a_snapshot_is_verified(report: dict[str, Any]) -> None:
    assert report["missed"] == []
    assert [one for one in report["failures"] if one["raw"] is None] == []
    (status,) = (
        one
        for one in report["columns"]
        if (one["raw"], one["column"]) == ("table.jaffle_shop_raw.raw_orders", "status")
    )
    assert status["changed"] >= 2


def test_what_a_hook_or_a_query_makes_is_named_as_not_verified(report: dict[str, Any]) -> None:
    notes = "\n".join(report["notes"])
    assert "hooked is not verified, it is more than its SQL: its post-hook" in notes
    assert "queried is not verified, it is more than its SQL: a macro wrote its SQL" in notes
    assert (
        "made by no model and no source, and so taken as they are: intermediate.hook_made" in notes
    )
    assert "indexed is not verified" not in notes
    compared = {pair["asset"] for pair in report["never_changed"]}
    assert not {key for key in compared if key.endswith((".hooked", ".queried"))}


@pytest.mark.parametrize(
    ("name", "meant"), [("dim_tried", "v2"), ("dim_tried_v1", "v1"), ("dim_tried.v3", "v3")]
)
def test_a_versioned_model_without_a_version_is_its_latest(lab: Lab, name: str, meant: str) -> None:
    done = lab.command("lineage", f"{name}.version", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["root"].endswith(f"dim_tried.{meant}")
    says = "dim_tried means dim_tried.v2, its latest version" in done.stderr
    assert says == (name == "dim_tried")
