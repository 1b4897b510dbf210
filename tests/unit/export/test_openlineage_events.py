"""A catalog and reports as OpenLineage events."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

pytest.importorskip("openlineage.client", reason="uv sync --extra openlineage")

from openlineage.client.event_v2 import RunEvent, RunState
from openlineage.client.serde import Serde
from small_catalog import (
    CATALOG,
    MART,
    RAW,
    STAGING,
    START,
    TOTALS,
    UNIQUE,
    UNIT,
    alarm,
    node,
    profile_of_mart,
    table,
)

from headrace.export.openlineage.context import GitRepository, RunContext, parent_from
from headrace.export.openlineage.events import (
    load_event,
    node_event,
    node_events,
    run_event,
)
from headrace.export.openlineage.naming import Names, table_origin
from headrace.export.openlineage.quality_events import quality_events
from headrace.pipeline.reports import NodeReport

NAMES = Names("demo", "/srv/my data/wh.duckdb", "wh")
WAREHOUSE = "duckdb:///srv/my%20data/wh.duckdb"
END = START + timedelta(seconds=60)


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    return RunContext("run-1", START, "run", NAMES, "duckdb", tmp_path, dbt_project="dbt_project")


def plain(events: Iterable[RunEvent]) -> list[dict[str, Any]]:
    """As they go over the wire."""
    return [json.loads(Serde.to_json(event)) for event in events]


def of(context: RunContext, *nodes: NodeReport) -> list[dict[str, Any]]:
    return plain(node_events(context, CATALOG, nodes, ended_at=END))


def test_node_starts_and_ends_when_it_did(context: RunContext) -> None:
    start, end = of(context, node(MART))

    assert (start["eventType"], start["eventTime"]) == ("START", "2024-06-01T08:00:00.000000Z")
    assert (end["eventType"], end["eventTime"]) == ("COMPLETE", "2024-06-01T08:00:02.000000Z")
    assert start["run"]["runId"] == end["run"]["runId"]
    assert start["job"] == end["job"]
    assert (end["job"]["namespace"], end["job"]["name"]) == ("demo", MART)


def test_node_that_does_not_say_when_it_began_ended_with_the_build(context: RunContext) -> None:
    start, end = of(context, node(MART, started_at=None))

    assert (start["eventTime"], end["eventTime"]) == (
        "2024-06-01T08:00:58.000000Z",
        "2024-06-01T08:01:00.000000Z",
    )


def test_run_ids_are_of_version_7_and_the_same_for_the_same_run(context: RunContext) -> None:
    first, again = of(context, node(MART))[0], of(context, node(MART))[0]
    other = of(replace(context, run_id="run-2"), node(MART))[0]
    ids = [event["run"]["runId"] for event in (first, again, other)]

    assert UUID(ids[0]).version == 7
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] != context.parent.run_id


def test_job_facets_of_a_model(context: RunContext) -> None:
    facets = of(context, node(MART))[1]["job"]["facets"]

    assert facets["jobType"]["jobType"] == "MODEL"
    assert facets["jobType"]["integration"] == "DBT"
    assert facets["documentation"]["description"] == "One row per *order*."
    assert [owner["name"] for owner in facets["ownership"]["owners"]] == [
        "ada@example.org",
        "Analytics",
    ]
    assert (facets["sql"]["query"], facets["sql"]["dialect"]) == ("select 1 as order_id", "duckdb")
    assert "sourceCodeLocation" not in facets, "no remote has the code"


def test_code_is_located_where_a_remote_has_it(context: RunContext) -> None:
    file = context.root / "dbt_project" / "models" / "fct_orders.sql"
    file.parent.mkdir(parents=True)
    file.touch()
    repository = GitRepository("https://git.example.org/team/repo", "abc123", "main", "data/")

    located = replace(context, repository=repository)
    facet = of(located, node(MART))[1]["job"]["facets"]["sourceCodeLocation"]

    path = "data/dbt_project/models/fct_orders.sql"
    assert facet["url"] == f"https://git.example.org/team/repo/blob/abc123/{path}"
    assert (facet["type"], facet["version"], facet["path"]) == ("git", "abc123", path)
    file.unlink()  # a model of a package, that this repository does not hold
    assert "sourceCodeLocation" not in of(located, node(MART))[1]["job"]["facets"]


def test_datasets_are_named_by_the_rules(context: RunContext) -> None:
    end = of(context, node(MART))[1]

    assert {(each["namespace"], each["name"]) for each in end["inputs"]} == {
        (WAREHOUSE, "wh.shop_raw.orders"),  # through the ephemeral model
        (WAREHOUSE, "wh.shop_raw.orders__items"),
    }
    (output,) = end["outputs"]
    assert (output["namespace"], output["name"]) == (WAREHOUSE, "wh.marts.fct_orders")
    assert output["facets"]["dataSource"]["uri"] == WAREHOUSE


def test_schema_has_descriptions_and_nested_fields(context: RunContext) -> None:
    end = of(context, node(MART))[1]
    fields = end["outputs"][0]["facets"]["schema"]["fields"]
    raw = next(each for each in end["inputs"] if each["name"] == "wh.shop_raw.orders")
    buyer = raw["facets"]["schema"]["fields"][2]

    assert [(field["name"], field["type"]) for field in fields][:2] == [
        ("order_id", "BIGINT"),
        ("amount", "DECIMAL(18,2)"),
    ]
    assert fields[1]["description"] == "In dollars."
    assert fields[1]["fields"] == [], "a precision is no nested field"
    email, tags = buyer["fields"]
    assert (email["name"], email["type"]) == ("email", "TEXT")
    assert (tags["name"], [inner["name"] for inner in tags["fields"]]) == ("tags", ["_element"])


def test_column_lineage_says_how(context: RunContext) -> None:
    facet = of(context, node(MART))[1]["outputs"][0]["facets"]["columnLineage"]

    def flat(inputs: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
        return {
            (each["name"], each["field"], f"{how['type']} {how['subtype']}")
            for each in inputs
            for how in each["transformations"]
        }

    orders, items = "wh.shop_raw.orders", "wh.shop_raw.orders__items"
    fields = {name: flat(field["inputFields"]) for name, field in facet["fields"].items()}
    assert fields == {
        "order_id": {(orders, "id", "DIRECT IDENTITY")},
        "amount": {
            (orders, "cents", "DIRECT AGGREGATION"),
            (orders, "cents", "DIRECT TRANSFORMATION"),
            (items, "sku", "INDIRECT WINDOW"),
        },
        "email": {(orders, "buyer", "DIRECT TRANSFORMATION")},
    }
    assert flat(facet["dataset"]) == {
        (orders, "cents", "INDIRECT FILTER"),
        (orders, "id", "INDIRECT JOIN"),
        (orders, "id", "INDIRECT GROUP_BY"),
        (items, "_dlt_parent_id", "INDIRECT JOIN"),
    }
    assert len(facet["dataset"]) == 3, "one entry for each field, with all that it does"
    assert "masking" not in json.dumps(facet)


def test_tags_and_personal_data_are_tags(context: RunContext) -> None:
    tags = of(context, node(MART))[1]["outputs"][0]["facets"]["tags"]["tags"]

    assert {(tag.get("field"), tag["key"], tag["value"]) for tag in tags} == {
        (None, "finance", "true"),
        ("amount", "money", "true"),
        ("email", "pii", "email"),
    }


def test_failed_node_says_why_and_skipped_one_says_nothing(context: RunContext) -> None:
    start, end = of(context, node(MART, "error", message="no such column"), node(UNIQUE, "skipped"))

    assert (start["eventType"], end["eventType"]) == ("START", "FAIL")
    assert "errorMessage" not in start["run"]["facets"]
    assert end["run"]["facets"]["errorMessage"]["message"] == "no such column"


def test_tests_are_assertions_on_what_they_test(context: RunContext) -> None:
    failing = node(UNIQUE, "fail", failures=7)
    start, end = of(context, failing, node(UNIT, "success"))

    assert start["job"]["name"] == f"{MART}.test"
    assert end["eventType"] == "FAIL"
    assert "unique(order_id) on fct_orders" in end["run"]["facets"]["errorMessage"]["message"]
    (dataset,) = end["inputs"]
    (assertion,) = dataset["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert dataset["name"] == "wh.marts.fct_orders"
    assert (assertion["assertion"], assertion["column"]) == ("unique", "order_id")
    assert (assertion["success"], assertion["severity"]) == (False, "error")
    assert (assertion["expected"], assertion["actual"]) == ("0", "7")
    assert assertion["content"].startswith("select order_id")
    tests = end["run"]["facets"]["test"]["tests"]
    assert {(test["type"], test["status"]) for test in tests} == {
        ("unique", "fail"),
        ("unit", "pass"),
    }


def test_warning_is_no_failure_of_the_run(context: RunContext) -> None:
    _, end = of(context, node(TOTALS, "warn", failures=2))

    assert (end["eventType"], end["job"]["name"]) == ("COMPLETE", TOTALS)
    assert {each["name"] for each in end["inputs"]} == {"wh.marts.fct_orders", "wh.shop_raw.orders"}
    for each in end["inputs"]:
        (assertion,) = each["inputFacets"]["dataQualityAssertions"]["assertions"]
        assert (assertion["success"], assertion["severity"]) == (False, "warn")


def test_skipped_test_is_no_assertion_beside_one_that_ran(context: RunContext) -> None:
    _, end = of(context, node(UNIQUE, "skipped"), node(UNIT, "fail"))

    assert "inputFacets" not in end["inputs"][0] or not end["inputs"][0]["inputFacets"]
    statuses = [test["status"] for test in end["run"]["facets"]["test"]["tests"]]
    assert statuses == ["skip", "fail"]


def test_node_that_the_catalog_lacks_is_left_out(context: RunContext) -> None:
    stranger = node(MART).model_copy(update={"unique_id": "model.demo.gone"})
    assert of(context, stranger, node(STAGING, "skipped")) == []


def test_load_tells_rows_first_and_columns_when_they_are_known(context: RunContext) -> None:
    folder = context.root / "files"
    (bare,) = plain(
        [
            load_event(
                context, "shop", RunState.COMPLETE, END, started_at=START, tables=[table()],
                folder=folder,
            )
        ]
    )  # fmt: skip
    (full,) = plain(
        [
            load_event(
                context, "shop", RunState.OTHER, END, started_at=START,
                tables=[table()], catalog=CATALOG,
            )
        ]
    )  # fmt: skip

    assert bare["job"]["name"] == full["job"]["name"] == "load.shop"
    assert bare["run"]["runId"] == full["run"]["runId"]
    assert [(each["namespace"], each["name"]) for each in bare["inputs"]] == [
        ("file", folder.as_posix())
    ]
    assert bare["outputs"][0]["name"] == full["outputs"][0]["name"] == "wh.shop_raw.orders"
    assert bare["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 4
    assert "schema" not in bare["outputs"][0]["facets"]
    assert [(each["namespace"], each["name"]) for each in full["inputs"]] == [
        ("dlt://shop", "orders")
    ]
    fields = full["outputs"][0]["facets"]["columnLineage"]["fields"]
    assert fields["id"]["inputFields"][0]["namespace"] == "dlt://shop"


def test_children_name_their_parent_and_the_run_above_it(context: RunContext) -> None:
    above = parent_from("airflow/dag.task/01a1fdc7-9472-7e13-86cd-fa71253377f6")
    assert above is not None
    context = replace(context, parent_run=above)

    (run,) = plain([run_event(context, RunState.START, START)])
    child = of(context, node(MART))[0]["run"]["facets"]["parent"]

    assert run["run"]["facets"]["parent"]["job"]["name"] == "dag.task"
    assert (child["job"]["name"], child["run"]["runId"]) == ("run", run["run"]["runId"])
    assert child["root"]["run"]["runId"] == "01a1fdc7-9472-7e13-86cd-fa71253377f6"


@pytest.mark.parametrize("text", [None, "", "a/b", "a/b/c", "//"])
def test_parent_that_is_none_is_ignored(text: str | None) -> None:
    assert parent_from(text) is None


def test_raw_table_that_no_one_made_is_not_told_of(context: RunContext) -> None:
    event = load_event(context, "shop", RunState.FAIL, END, started_at=START, error="no file")

    (plain_event,) = plain([event])
    assert plain_event["outputs"] == []
    assert plain_event["run"]["facets"]["errorMessage"]["message"] == "no file"
    assert RAW not in json.dumps(plain_event)


# ── places, versions, schedules ─────────────────────────────────────────────


def test_published_copy_and_the_database_read_are_other_names(context: RunContext) -> None:
    names = replace(
        NAMES,
        published=Path("/srv/my data/published.duckdb"),
        published_schemas=("marts",),
        sources={
            "shop": {
                "url": "postgresql+psycopg://reader@db.example.org/sales",
                "tables": {"orders": {}},
            }
        },
    )
    context = replace(context, names=names)
    (_, end) = of(context, node(MART))
    loaded = load_event(
        context, "shop", RunState.OTHER, END, started_at=START, tables=[table()], catalog=CATALOG
    )
    (loaded_plain,) = plain([loaded])

    mart = end["outputs"][0]["facets"]["symlinks"]["identifiers"]
    assert [(each["namespace"], each["name"], each["type"]) for each in mart] == [
        ("duckdb:///srv/my%20data/published.duckdb", "published.marts.fct_orders", "TABLE")
    ]
    assert "symlinks" not in loaded_plain["outputs"][0]["facets"]  # raw tables are not published
    (resource,) = [each for each in loaded_plain["inputs"] if each["namespace"] == "dlt://shop"]
    (origin,) = resource["facets"]["symlinks"]["identifiers"]
    assert (origin["namespace"], origin["name"]) == (
        "postgres://db.example.org:5432",
        "sales.public.orders",
    )
    assert end["outputs"][0]["facets"]["storage"]["storageLayer"] == "duckdb"
    assert end["outputs"][0]["facets"]["datasetType"]["datasetType"] == "TABLE"


@pytest.mark.parametrize(
    ("options", "namespace", "name"),
    [
        ({"url": "postgresql://u@h:6543/d", "schema": "s"}, "postgres://h:6543", "d.s.t"),
        ({"url": "postgresql+psycopg://u:p@h/d?x=1"}, "postgres://h:5432", "d.public.t"),
        ({"url": "mysql+pymysql://h/d"}, "mysql://h:3306", "d.t"),
        ({"url": "mysql://h/d", "schema": "other"}, "mysql://h:3306", "other.t"),
        ({"url": "mssql+pyodbc://h/d"}, "mssql://h:1433", "d.dbo.t"),
        ({"url": "sqlite:///file.db"}, None, None),
        ({"url": "postgresql://h"}, None, None),
        ({"url": "postgresql://h:port/d"}, None, None),
        ({"path": "data"}, None, None),
    ],
)
def test_names_of_tables_in_databases(
    options: dict[str, Any], namespace: str | None, name: str | None
) -> None:
    found = table_origin({"tables": {}} | options, "t")
    assert (found and found.namespace, found and found.name) == (namespace, name)


@pytest.mark.parametrize(
    ("path", "namespace", "name"),
    [
        ("s3://bucket/in/orders/", "s3://bucket", "in/orders"),
        ("s3a://bucket", "s3://bucket", "/"),
        ("gs://bucket/x", "gs://bucket", "x"),
        (Path("/srv/in"), "file", "/srv/in"),
    ],
)
def test_names_of_folders(path: Path | str, namespace: str, name: str) -> None:
    found = Names.folder(path)
    assert (found.namespace, found.name) == (namespace, name)


def test_dataset_that_a_run_wrote_has_the_run_as_its_version(context: RunContext) -> None:
    (_, end) = of(context, node(MART))
    assert end["outputs"][0]["facets"]["version"]["datasetVersion"] == "run-1"
    assert all("version" not in each["facets"] for each in end["inputs"])


def test_time_that_a_scheduler_meant_is_on_every_run(context: RunContext) -> None:
    context = replace(context, nominal=START - timedelta(days=1))
    events = [*of(context, node(MART)), *plain([run_event(context, RunState.START, START)])]
    times = [each["run"]["facets"]["nominalTime"]["nominalStartTime"] for each in events]
    assert times == ["2024-05-31T08:00:00.000000Z"] * 3


def test_outermost_run_is_the_root(context: RunContext) -> None:
    above = parent_from("airflow/dag.task/0190163d-8694-7a30-9d84-7d2ce9c5ed0e")
    top = parent_from("airflow/dag/0190163d-8694-7a30-9d84-7d2ce9c5ed0f")
    context = replace(context, parent_run=above, root_run=top)
    (event,) = plain([run_event(context, RunState.START, START)])
    assert event["run"]["facets"]["parent"]["root"]["job"]["name"] == "dag"


def test_error_has_its_stack_and_no_secret(context: RunContext) -> None:
    context = replace(context, hide=lambda text: text.replace("hunter2", "***"))
    (event,) = plain(
        [run_event(context, RunState.FAIL, END, error="no hunter2", stack="line 1 hunter2")]
    )
    facet = event["run"]["facets"]["errorMessage"]
    assert (facet["message"], facet["stackTrace"]) == ("no ***", "line 1 ***")


def test_node_that_was_told_of_when_it_began_is_not_begun_again(context: RunContext) -> None:
    began = START - timedelta(seconds=1)
    (first,) = plain([node_event(context, MART, RunState.START, began, began=began)])
    (end,) = plain(node_events(context, CATALOG, [node(MART)], ended_at=END, began={MART: began}))
    assert first["run"]["runId"] == end["run"]["runId"]
    assert first["job"]["facets"]["jobType"] == end["job"]["facets"]["jobType"]
    assert end["eventType"] == "COMPLETE"


def test_profiles_and_alarms_are_what_a_run_saw_of_a_table(context: RunContext) -> None:
    found = plain(
        quality_events(
            context, CATALOG, {MART: profile_of_mart(), "model.demo.gone": profile_of_mart()},
            [alarm(), alarm(asset_id=RAW, metric="rows", high=None, status="over")],
            began=START, at=END,
        )
    )  # fmt: skip

    assert [(one["job"]["name"], one["eventType"]) for one in found] == [
        (f"{MART}.quality", "START"), (f"{MART}.quality", "COMPLETE"),
        (f"{RAW}.quality", "START"), (f"{RAW}.quality", "COMPLETE"),
    ]  # fmt: skip
    assert found[0]["inputs"] == []
    (mart,) = found[1]["inputs"]
    assert mart["name"] == "wh.marts.fct_orders"
    metrics = mart["inputFacets"]["dataQualityMetrics"]
    assert metrics["rowCount"] == 400
    columns = metrics["columnMetrics"]
    assert columns["n"]["nullCount"] == 100
    assert (columns["amount"]["min"], columns["amount"]["max"]) == (0.0, 4.0)
    assert columns["amount"]["distinctCount"] == 5
    assert columns["amount"]["quantiles"]["0.5"] == 2.0
    assert not {"min", "max"} & set(columns["email"])
    (assertion,) = mart["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (assertion["assertion"], assertion["column"]) == ("monitor(amount.mean)", "amount")
    assert (assertion["success"], assertion["severity"]) == (False, "warn")
    assert (assertion["expected"], assertion["actual"]) == ("10 to 20", "3")
    (raw,) = found[3]["inputs"]
    assert set(raw["inputFacets"]) == {"dataQualityAssertions"}
    (assertion,) = raw["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert (assertion["success"], assertion["expected"]) == (True, "at least 10")
    assert assertion.get("column") is None
