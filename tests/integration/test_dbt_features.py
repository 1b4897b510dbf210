"""What dbt projects use, built through the product once: each shows in catalog and lineage."""

import shutil
from pathlib import Path

import pytest
from lab import ROOT, Lab, copy_project
from typer.testing import CliRunner

from headrace.catalog import Catalog
from headrace.cli.main import app
from headrace.lineage.trace import reachable
from headrace.pipeline.catalog import current
from headrace.pipeline.reports import RunReport

pytestmark = pytest.mark.slow

PROJECT = """

on-run-start: "create table if not exists main.hook_log (what varchar)"
on-run-end:
  - "insert into main.hook_log values ('{{ var('house_name') }} {{ results | length > 0 }}')"

vars:
  house_name: mill
  large: 20
"""
FILES = {
    "models/marts/large_orders.sql": """\
{{ config(pre_hook="create or replace table main.hooked as select 1 as one", tags=["nightly"]) }}
select order_id, customer_id, amount, order_date
from {{ ref('eph_orders') }} where amount > {{ var('large') }}
""",
    "models/marts/large_orders.yml": """\
models:
  - name: large_orders
    description: One row per large order.
    config: {contract: {enforced: false}}
    data_tests:
      - expression_is_true:
          name: large_orders_below_limit
          arguments: {expression: "amount < 1"}
          config: {severity: warn, store_failures: true, schema: failures}
    columns:
      - name: order_id
        data_tests: [unique]
""",
    "models/intermediate/eph_orders.sql": "{{ config(materialized='ephemeral') }}\n"
    "select order_id, customer_id, amount, order_date from {{ ref('orders') }}\n",
    "models/marts/ledger.sql": "{{ config(schema='finance', access='private') }}\n"
    "select order_id, amount * {{ house.house_factor() }} as booked from {{ ref('orders') }}\n",
    "models/marts/off.sql": "{{ config(enabled=false) }}\nselect 1 as one\n",
    "models/marts/totals.sql": "select sum(booked) as booked, (select min(one) from "
    "{{ ref('second', 'second_model') }}) as one from {{ ref('ledger') }}\n",
    "models/metrics.yml": """\
models:
  - name: metricflow_time_spine
    time_spine: {standard_granularity_column: date_day}
    columns: [{name: date_day, granularity: day}]
semantic_models:
  - name: sold
    model: ref('large_orders')
    defaults: {agg_time_dimension: order_date}
    entities: [{name: order_id, type: primary}]
    dimensions: [{name: order_date, type: time, type_params: {time_granularity: day}}]
    measures: [{name: revenue, agg: sum, expr: amount}]
metrics:
  - name: revenue
    label: Revenue
    description: What large orders brought.
    type: simple
    type_params: {measure: revenue}
exposures:
  - name: board
    type: dashboard
    owner: {name: Ada}
    depends_on: [metric('revenue'), ref('totals')]
""",
    "models/intermediate/metricflow_time_spine.sql": "{{ config(materialized='table') }}\n"
    "select cast(range as date) as date_day from range(date '2024-01-01', date '2024-01-03', "
    "interval 1 day)\n",
    "packages.yml": "packages:\n  - local: ../house\n  - local: ../second\n",
}
HOUSE = {
    "dbt_project.yml": "name: house\nversion: 1.0.0\n",
    "macros/house_factor.sql": "{% macro house_factor() %}2{% endmacro %}\n",
}
SECOND = {  # a dbt project of its own, used as a package
    "dbt_project.yml": "name: second\nversion: 1.0.0\nmodels:\n  second:\n    +schema: second\n",
    "models/second_model.sql": "select 1 as one\n",
}


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, RunReport]:
    """The project, run once."""
    root = copy_project(tmp_path_factory.mktemp("features") / "project")
    shutil.copytree(ROOT / "data" / "schemas", root / "data" / "schemas")
    settings = root / "dbt_project" / "dbt_project.yml"
    settings.write_text(settings.read_text() + PROJECT)
    selectors = root / "dbt_project" / "selectors.yml"
    selectors.write_text(
        selectors.read_text() + "\n  - name: nightly\n    definition: tag:nightly\n"
    )
    write(root / "dbt_project", FILES)
    write(root / "house", HOUSE)
    write(root / "second", SECOND)
    lab = Lab(root / "data", root).set('publish.schemas=["marts","finance"]', "dbt.vars.large=25")
    return lab, lab.run()


@pytest.fixture(scope="module")
def lab(built: tuple[Lab, RunReport]) -> Lab:
    return built[0]


@pytest.fixture(scope="module")
def catalog(lab: Lab) -> Catalog:
    return current(lab.resolved)


def test_it_is_built_and_published(built: tuple[Lab, RunReport]) -> None:
    lab, report = built
    assert report.status == "success", report.audit
    assert len(report.notes) == 1
    assert "totals" in report.notes[0], "the only mart without a yml and an opinion on contracts"
    assert report.publish is not None
    assert {table.name for table in report.publish.tables} == {
        "marts.customers", "marts.orders", "marts.large_orders", "marts.totals", "finance.ledger",
    }  # fmt: skip
    assert lab.query("select * from marts.totals", path=lab.published)[0][1] == 1


def test_variables_and_hooks(lab: Lab) -> None:
    """A variable of the settings wins over one of dbt_project.yml."""
    assert lab.query("select min(amount) > 25 from marts.large_orders") == [(True,)]
    assert lab.query("select distinct what from main.hook_log") == [("mill True",)]
    assert lab.query("select one from main.hooked") == [(1,)]


def test_failures_are_stored_and_warned_of(built: tuple[Lab, RunReport]) -> None:
    lab, report = built
    assert report.build is not None
    (warned,) = [node for node in report.build.nodes if node.status == "warn"]
    stored = lab.query("select count(*) from failures.large_orders_below_limit")
    assert stored == [(warned.failures,)]


def test_custom_schema_group_and_access(catalog: Catalog) -> None:
    ledger = catalog.assets["model.headrace.ledger"]
    assert (ledger.schema, ledger.access) == ("finance", "private")
    assert ledger.owners == catalog.assets["model.headrace.orders"].owners
    assert ledger.owners


def test_disabled_models_are_no_assets(catalog: Catalog) -> None:
    assert "model.headrace.off" not in catalog.assets


def test_lineage_goes_through_ephemeral_models_and_packages(catalog: Catalog) -> None:
    assert "model.headrace.eph_orders" in catalog.assets
    edges = {(e.parent, e.parent_column, e.child, e.child_column) for e in catalog.column_edges}
    orders, eph, large, ledger, totals = (
        f"model.headrace.{name}"
        for name in ("orders", "eph_orders", "large_orders", "ledger", "totals")
    )
    assert (orders, "amount", eph, "amount") in edges
    assert (eph, "amount", large, "amount") in edges
    assert (orders, "amount", ledger, "booked") in edges
    assert (ledger, "booked", totals, "booked") in edges
    assert ("model.second.second_model", "one", totals, "one") in edges
    assert catalog.assets["model.second.second_model"].package == "second"
    assert catalog.problems == ()


def test_what_reads_a_metric_reads_its_models(catalog: Catalog) -> None:
    upstream = reachable(catalog.parents, ["exposure.headrace.board"])
    assert {"model.headrace.large_orders", "model.headrace.totals"} <= set(upstream)
    metric = catalog.assets["metric.headrace.revenue"]
    assert (metric.kind, metric.description) == ("metric", "What large orders brought.")
    assert catalog.assets["semantic_model.headrace.sold"].kind == "semantic_model"
    assert metric.id in upstream
    assert "semantic_model.headrace.sold" in upstream


def test_a_selector_of_the_project_builds_its_part(lab: Lab) -> None:
    from headrace.pipeline.building.slim_build import Selection
    from headrace.pipeline.run import run

    report = run(lab.resolved, steps=("build",), selection=Selection(select=("selector:nightly",)))
    assert report.build is not None
    made = {node.name for node in report.build.nodes if node.resource_type != "operation"}
    assert made == {
        "large_orders", "large_orders_below_limit", "unique_large_orders_order_id",
    }  # fmt: skip


def test_the_pages_show_them(lab: Lab, tmp_path: Path) -> None:
    flags = ["--project-dir", str(lab.root), "--set", f"data_dir={lab.data_dir}"]
    done = CliRunner().invoke(app, ["docs", "--out", str(tmp_path / "site"), *flags])
    assert done.exit_code == 0, done.output
    site = tmp_path / "site"
    home = (site / "index.html").read_text("utf-8")
    assert "1&nbsp;metric" in home
    assert "1&nbsp;semantic model" in home
    (metric,) = (site / "assets").glob("metric-headrace-revenue-*.html")
    assert "What large orders brought." in metric.read_text("utf-8")
    for name in ("semantic_model-headrace-sold", "model-second-second_model"):
        assert list((site / "assets").glob(f"{name}-*.html")), name
