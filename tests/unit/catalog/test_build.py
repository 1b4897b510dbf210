"""From artifacts to the graph, on small artifacts that are written here."""

from typing import Any

import msgspec
import pytest

from headrace.artifacts import Artifacts, DltArtifacts, DltSchema, Manifest
from headrace.artifacts.dbt_catalog import DbtCatalog
from headrace.artifacts.dbt_manifest import Macro
from headrace.artifacts.dbt_nodes import DependsOn
from headrace.artifacts.dbt_results import RunResults
from headrace.artifacts.dlt_schema import prepare_tables
from headrace.artifacts.reading import Notes
from headrace.catalog import Catalog, Column, ColumnEdge, ColumnLineageProblem, TestInfo
from headrace.catalog.build import build_catalog, with_lineage
from headrace.catalog.model import SnapshotInfo

META = {
    "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
    "dbt_version": "1.12.6",
}


def node(kind: str, name: str, *, reads: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    unique_id = f"{kind}.shop.{name}"
    return {
        "unique_id": unique_id,
        "name": name,
        "resource_type": kind,
        "package_name": "shop",
        "database": "warehouse",
        "schema": "marts",
        "alias": name,
        "depends_on": {"nodes": list(reads)},
        **more,
    }


def source(name: str, *, source_name: str = "store", **more: Any) -> dict[str, Any]:
    return {
        "unique_id": f"source.shop.{source_name}.{name}",
        "name": name,
        "resource_type": "source",
        "source_name": source_name,
        "schema": "store_raw",
        "identifier": name,
        "database": "warehouse",
        **more,
    }


def manifest(*parts: dict[str, Any], **more: Any) -> Manifest:
    nodes = {part["unique_id"]: part for part in parts if part["resource_type"] != "source"}
    sources = {part["unique_id"]: part for part in parts if part["resource_type"] == "source"}
    return msgspec.convert({"metadata": META, "nodes": nodes, "sources": sources, **more}, Manifest)


def dlt_schema(**tables: dict[str, Any]) -> DltArtifacts:
    for table in tables.values():
        table.setdefault("x-normalizer", {"seen-data": True})
    prepare_tables(tables, Notes())
    document = {"name": "store", "engine_version": 11, "tables": tables}
    return DltArtifacts("store", {"store": msgspec.convert(document, DltSchema)})


def columns(*names: str, **types: str) -> dict[str, Any]:
    return {name: {"name": name, "data_type": types.get(name, "text")} for name in names}


def built(artifacts: Artifacts) -> Catalog:
    return build_catalog(artifacts, raw_schema=lambda name: f"{name}_raw")


def test_a_raw_table_is_one_asset_as_dlt_created_it_and_dbt_describes_it() -> None:
    dlt = dlt_schema(
        orders={
            "resource": "orders",
            "columns": {
                "id": {"data_type": "bigint", "nullable": False, "primary_key": True},
                "mail": {"data_type": "text", "description": "From dlt."},
                "_dlt_load_id": {"data_type": "text", "nullable": False},
                "declared_only": {},
            },
        },
        never_seen={"resource": "never", "columns": columns("a"), "x-normalizer": {}},
    )
    described = source(
        "orders",
        description="One row per order.",
        columns={
            "MAIL": {"name": "MAIL", "description": "Whose.", "meta": {"pii": "email"}},
            "gone": {"name": "gone"},
        },
        source_meta={"owner": "Loaders"},
    )
    found = built(Artifacts(manifest=manifest(described), dlt={"store": dlt}))
    table = found.assets["table.store_raw.orders"]
    assert table.dbt_id == "source.shop.store.orders"
    assert found.by_dbt_id["source.shop.store.orders"] == table.id
    assert (table.description, table.owners, table.primary_key) == (
        "One row per order.",
        ("Loaders",),
        ("id",),
    )
    assert table.columns == (
        Column("id", "bigint", nullable=False),
        Column("mail", "text", "Whose.", pii="email", nullable=True),
        Column("_dlt_load_id", "text", nullable=False),
        Column("gone"),
    )
    resource = found.assets["resource.store.orders"]
    assert [column.name for column in resource.columns] == ["id", "mail"]
    assert found.parents[table.id] == (resource.id,)
    assert "table.store_raw.never_seen" not in found.assets


def test_nested_tables_have_their_resource_and_parent_table_as_parents() -> None:
    dlt = dlt_schema(
        orders={"resource": "feed", "columns": columns("id", "_dlt_id")},
        orders__lines={"parent": "orders", "columns": columns("sku", "_dlt_parent_id")},
        orders__lines__taxes={"parent": "orders__lines", "columns": columns("rate")},
    )
    found = built(Artifacts(dlt={"store": dlt}))
    resource = found.assets["resource.store.feed"]
    assert [column.name for column in resource.columns] == [
        "id",
        "lines[].sku",
        "lines[].taxes[].rate",
    ]
    assert found.parents["table.store_raw.orders__lines__taxes"] == (
        "resource.store.feed",
        "table.store_raw.orders__lines",
    )
    assert found.assets["table.store_raw.orders__lines"].parent_table == "table.store_raw.orders"


def test_columns_are_those_of_the_warehouse_with_the_docs_of_the_yml() -> None:
    model = node(
        "model",
        "orders",
        columns={
            "Status": {"name": "Status", "description": "How far.", "config": {"tags": ["pii"]}},
            "stale": {"name": "stale"},
            "ORDER_ID": {"name": "ORDER_ID", "constraints": [{"type": "not_null"}]},
        },
    )
    catalog = msgspec.convert(
        {
            "metadata": META,
            "nodes": {
                model["unique_id"]: {
                    "metadata": {"name": "orders", "schema": "marts"},
                    "columns": {
                        "status": {"name": "status", "type": "VARCHAR", "index": 2},
                        "order_id": {"name": "order_id", "type": "BIGINT", "index": 1},
                    },
                }
            },
        },
        DbtCatalog,
    )
    found = built(Artifacts(manifest=manifest(model), catalog=catalog))
    assert found.assets["model.shop.orders"].columns == (
        Column("order_id", "BIGINT", nullable=False),
        Column("status", "VARCHAR", "How far.", tags=("pii",), pii="pii"),
    )


@pytest.mark.parametrize(
    ("column", "pii"),
    [
        ({"meta": {"pii": "email"}}, "email"),
        ({"config": {"meta": {"pii": "name"}}}, "name"),
        ({"meta": {"pii": True}}, "pii"),
        ({"meta": {"pii": False}}, None),
        ({"meta": {"pii": "no"}}, None),
        ({"tags": ["PII"]}, "pii"),
        ({"tags": ["pii:phone"]}, "phone"),
        ({"tags": ["piing"]}, None),
    ],
)
def test_pii_is_declared_by_meta_or_tag(column: dict[str, Any], pii: str | None) -> None:
    model = node("model", "people", columns={"x": {"name": "x", **column}})
    found = built(Artifacts(manifest=manifest(model)))
    assert found.assets["model.shop.people"].columns[0].pii == pii


def test_tests_are_attached_and_exposures_read_what_metrics_are_made_from() -> None:
    orders, raw = node("model", "orders", group="sales"), source("orders")
    unique = node(
        "test",
        "unique_orders_order_id",
        reads=("model.shop.orders",),
        test_metadata={"name": "unique", "kwargs": {"column_name": "order_id", "where": "x"}},
        attached_node="model.shop.orders",
        config={"severity": "WARN"},
    )
    on_source = node(
        "test",
        "not_null_source",
        reads=(raw["unique_id"],),
        test_metadata={"name": "not_null", "kwargs": {"column_name": "id"}},
        attached_node=raw["unique_id"],
    )
    singular = node("test", "adds_up", reads=("model.shop.orders",))
    exposure = {
        **node("exposure", "report", reads=("metric.shop.revenue", "model.shop.nobody")),
        "label": "The report",
        "owner": {"email": ["a@example.com", "b@example.com"]},
        "type": "dashboard",
    }
    metric = node("metric", "revenue", reads=("semantic_model.shop.orders",))
    semantic = node("semantic_model", "orders", reads=("model.shop.orders", "metric.shop.revenue"))
    found = built(
        Artifacts(
            manifest=manifest(
                orders,
                raw,
                unique,
                on_source,
                singular,
                exposures={exposure["unique_id"]: exposure},
                metrics={metric["unique_id"]: metric},
                semantic_models={semantic["unique_id"]: semantic},
                groups={"g": {"unique_id": "g", "name": "sales", "owner": {"name": "Sales"}}},
            )
        )
    )
    assert found.assets["test.shop.unique_orders_order_id"].test == TestInfo(
        "unique", "model.shop.orders", "order_id", "warn", {"where": "x"}
    )
    attached = found.assets["test.shop.not_null_source"].test
    assert attached is not None
    assert attached.attached_to == "table.store_raw.orders"
    assert found.tests_of["model.shop.orders"] == (
        "test.shop.adds_up",
        "test.shop.unique_orders_order_id",
    )
    assert found.assets["model.shop.orders"].owners == ("Sales",)
    report = found.assets["exposure.shop.report"]
    assert (report.name, report.owners, found.parents[report.id]) == (
        "The report",
        ("a@example.com", "b@example.com"),
        ("metric.shop.revenue", "model.shop.orders"),
    )


def test_a_table_that_two_sources_name_is_one_asset_and_two_databases_are_two() -> None:
    same = source("orders", source_name="again")
    other = source("orders", source_name="zoo", database="elsewhere")
    reader = node("model", "m", reads=(same["unique_id"], other["unique_id"]))
    found = built(Artifacts(manifest=manifest(source("orders"), same, other, reader)))
    tables = [key for key, asset in found.assets.items() if asset.kind == "table"]
    assert tables == ['table."elsewhere.store_raw".orders', "table.store_raw.orders"]
    assert found.parents["model.shop.m"] == tuple(tables)


def test_snapshots_python_models_and_compiled_code_of_the_run_results() -> None:
    snapshot = node(
        "snapshot",
        "history",
        config={
            "materialized": "snapshot",
            "unique_key": ["a", "b"],
            "strategy": "check",
            "check_cols": "all",
            "snapshot_meta_column_names": {"dbt_valid_to": "until", "dbt_scd_id": None},
            "hard_deletes": "new_record",
            "dbt_valid_to_current": "date '9999-12-31'",
        },
    )
    python = node("model", "script", language="python", version=2)
    results = msgspec.convert(
        {
            "metadata": META,
            "results": [
                {
                    "unique_id": "snapshot.shop.history",
                    "status": "success",
                    "timing": [],
                    "thread_id": "Thread-1",
                    "execution_time": 0.1,
                    "compiled_code": "select 1",
                }
            ],
            "elapsed_time": 1.0,
            "args": {},
        },
        RunResults,
    )
    found = built(Artifacts(manifest=manifest(snapshot, python), run_results=results))
    history = found.assets["snapshot.shop.history"]
    assert history.compiled_code == "select 1"
    assert history.snapshot == SnapshotInfo(
        ("a", "b"),
        "check",
        check_cols="all",
        column_names={"dbt_valid_to": "until"},
        marks_deleted=True,
        valid_to_current="date '9999-12-31'",
    )
    script = found.assets["model.shop.script"]
    assert (script.name, script.meta["language"]) == ("script.v2", "python")


def test_the_latest_version_of_a_model_is_known_by_its_bare_name() -> None:
    versions = [
        node(
            "model", "dim", version=number, latest_version=2, unique_id=f"model.shop.dim.v{number}"
        )
        for number in (1, 2, 3)
    ]
    found = built(Artifacts(manifest=manifest(*versions, node("model", "plain"))))
    latest = {key: asset.latest_of for key, asset in found.assets.items()}
    assert latest == {
        "model.shop.dim.v1": None,
        "model.shop.dim.v2": "dim",
        "model.shop.dim.v3": None,
        "model.shop.plain": None,
    }


@pytest.mark.parametrize(
    ("hook", "may"),
    [
        ("grant select on {{ this }} to reporter", False),
        ("create index by_id on {{ this }} (id)", False),
        ("insert into audit.log select count(*) from {{ this }}", False),
        ("create or replace table marts.totals as select sum(x) from {{ ref('m') }}", False),
        ("-- update {{ this }}\nanalyze", False),
        ("", False),
        ("update {{ this }} set a = 1", True),
        ("analyze; delete from {{ ref('m') }} where a is null", True),
        ("delete from marts.m where a is null", True),
        ("alter table {{this}} add column b int", True),
        ("insert into {{ this.schema }}.{{ this.table }} values (1)", True),
        ("{{ fill(this) }}", True),
        ("{% do fill() %}", True),
        ("call fill_it()", True),
    ],
)
def test_a_hook_that_may_change_a_table_is_recognised_by_its_text(hook: str, may: bool) -> None:
    hooked = node("model", "m", config={"materialized": "table", "post-hook": [{"sql": hook}]})
    asset = built(Artifacts(manifest=manifest(hooked))).assets["model.shop.m"]
    shown = " ".join(hook.split())
    assert asset.beyond_sql == ((f"its post-hook `{shown}` may change its rows",) if may else ())


def test_a_hook_of_the_run_and_a_macro_that_runs_a_query_are_beyond_the_sql_of_a_model() -> None:
    model = node("model", "m")
    queried = node("model", "q")
    queried["depends_on"]["macros"] = ["macro.shop.values_of"]
    starred = node("model", "s")
    starred["depends_on"]["macros"] = ["macro.shop.star", "macro.gone"]
    operation = node("operation", "end", raw_code="{{ fill(ref('m')) }}", tags=["on-run-end"])
    operation["depends_on"]["nodes"] = ["model.shop.m"]
    whole = manifest(model, queried, starred, operation)
    macros = {
        "macro.shop.values_of": ["macro.dbt.run_query", "macro.shop.values_of"],
        "macro.shop.star": ["macro.dbt.get_columns_in_relation"],
    }
    whole = msgspec.structs.replace(
        whole,
        macros={key: Macro(depends_on=DependsOn(macros=called)) for key, called in macros.items()},
    )
    found = {
        key: asset.beyond_sql for key, asset in built(Artifacts(manifest=whole)).assets.items()
    }
    assert found == {
        "model.shop.m": ("the on-run-end hook `{{ fill(ref('m')) }}` may change its rows",),
        "model.shop.q": ("a macro wrote its SQL from the result of a query",),
        "model.shop.s": (),
    }


def test_columns_that_only_the_sql_names_are_added_in_its_order() -> None:
    model = node("model", "orders", columns={"b": {"name": "b", "description": "B."}})
    catalog = built(Artifacts(manifest=manifest(model)))
    edge = ColumnEdge("table.x.y", "a", "model.shop.orders", "a", "copied")
    found = with_lineage(
        catalog,
        edges=(edge,),
        columns={"model.shop.orders": ("a", "B", "c")},
        problems=(ColumnLineageProblem("model.shop.orders", "unclear"),),
    )
    assert [column.name for column in found.assets["model.shop.orders"].columns] == ["a", "b", "c"]
    assert found.edges_by_child["model.shop.orders"] == (edge,)
