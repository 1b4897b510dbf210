"""Real runs as OpenLineage events: all of them valid, and true."""

import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openlineage.client", reason="uv sync --extra openlineage")
pytest.importorskip("datahub", reason="uv sync --extra datahub")

from lab import ROOT, Lab, copy_project
from openlineage_spec import problems
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.errors import SourceError
from headrace.pipeline.reports import Event
from headrace.pipeline.run import run
from headrace.pipeline.state import build_state

Events = list[dict[str, Any]]
ENABLED = "openlineage.enabled=true"
ORDERS = "model.headrace.orders"


@pytest.fixture(autouse=True, scope="module")
def no_configuration_of_the_machine() -> Iterator[None]:
    today = build_state.today()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_state, "today", lambda: today)  # one day for all that share a run
        for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE_PARENT_ID"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def done_once(tmp_path_factory: pytest.TempPathFactory, jaffle_root: Path) -> Lab:
    """The jaffle shop, run once with events to the file in the data directory."""
    place = tmp_path_factory.mktemp("lineage") / "data"
    lab = Lab(place, jaffle_root, flags=(ENABLED,), observes=True)
    report = lab.run()
    assert report.status == "success"
    assert report.notes == ()
    return lab


@pytest.fixture(scope="module")
def events(done_once: Lab) -> Events:
    return of(done_once)


def of(lab: Lab) -> Events:
    """All that was sent."""
    text = (lab.data_dir / "openlineage.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def invalid(events: Events) -> list[str]:
    return [problem for event in events for problem in problems(event)]


def states(events: Events) -> list[tuple[str, str]]:
    return [(event["job"]["name"], event["eventType"]) for event in events]


def last_of(events: Events, job: str) -> dict[str, Any]:
    return [event for event in events if event["job"]["name"] == job][-1]


def flat(inputs: list[dict[str, Any]]) -> set[tuple[str, str, str, str]]:
    return {
        (each["name"].partition(".")[2], each["field"], how["type"], how["subtype"])
        for each in inputs
        for how in each["transformations"]
    }


def test_every_event_fits_the_specification(events: Events) -> None:
    assert len(events) > 25
    assert invalid(events) == []


def test_specification_has_teeth(events: Events) -> None:
    event = json.loads(json.dumps(last_of(events, ORDERS)))
    event["run"]["runId"] = "1"
    event["eventTime"] = "2024-06-01T00:00:00"
    del event["job"]["facets"]["jobType"]["integration"]
    event["outputs"][0]["facets"]["colunmLineage"] = event["outputs"][0]["facets"]["columnLineage"]
    event["outputs"][0]["facets"]["schema"]["fields"][0]["ordinal_position"] = "1"
    event["inputs"][0]["facets"]["sql"] = event["job"]["facets"]["sql"]

    found = " ".join(problems(event))

    for word in ("uuid", "date-time", "'integration'", "colunmLineage", "ordinal", "DatasetFacet"):
        assert word in found, found


def test_run_is_the_parent_of_all_and_each_begins_and_ends_once(events: Events) -> None:
    assert states(events)[0] == ("run", "START")
    assert states(events)[-1] == ("run", "COMPLETE")
    parent = events[0]["run"]["runId"]
    seen: dict[str, list[str]] = {}
    for event in events:
        seen.setdefault(event["run"]["runId"], []).append(event["eventType"])
        if event["run"]["runId"] != parent:
            assert event["run"]["facets"]["parent"]["run"]["runId"] == parent
    for kinds in seen.values():
        assert kinds in (["START", "COMPLETE"], ["START", "COMPLETE", "OTHER"])
    jobs = {event["job"]["name"] for event in events}
    assert {"load.jaffle_shop", ORDERS, f"{ORDERS}.test"} <= jobs
    models = {str(job) for job in jobs if job.startswith("model.")}
    assert len([job for job in models if not job.endswith((".test", ".quality"))]) == 6
    (mart,) = last_of(events, f"{ORDERS}.quality")["inputs"]
    assert mart["inputFacets"]["dataQualityMetrics"]["rowCount"] == 99


def test_times_are_those_of_the_run(events: Events) -> None:
    began, ended = events[0]["eventTime"], events[-1]["eventTime"]
    assert all(began <= event["eventTime"] <= ended for event in events)
    builds = [event for event in events if event["job"]["name"] == ORDERS]
    assert builds[0]["eventTime"] < builds[1]["eventTime"]
    loaded = last_of(events[:3], "load.jaffle_shop")
    assert loaded["eventType"] == "COMPLETE"
    assert loaded["eventTime"] < builds[0]["eventTime"]


def test_models_begin_before_any_of_them_is_told_to_have_ended(events: Events) -> None:
    """Events come in the order they were sent: START as dbt begins, the end with the catalog."""
    models = [
        state
        for name, state in states(events)
        if re.fullmatch(r"model\.[\w.]+(?<!\.test)(?<!\.quality)", name)
    ]
    assert models == ["START"] * 6 + ["COMPLETE"] * 6


def test_marts_tell_their_rows_and_their_published_names(done_once: Lab, events: Events) -> None:
    (output,) = last_of(events, ORDERS)["outputs"]
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 99
    (other,) = output["facets"]["symlinks"]["identifiers"]
    assert other["name"] == "published.marts.orders"
    assert other["namespace"] == f"duckdb://{(done_once.data_dir / 'published.duckdb').as_posix()}"


def test_load_tells_files_rows_and_columns(done_once: Lab, events: Events) -> None:
    full = last_of(events, "load.jaffle_shop")
    outputs = {each["name"].rpartition(".")[2]: each for each in full["outputs"]}

    assert full["eventType"] == "OTHER"
    files = [each["name"] for each in full["inputs"] if each["namespace"] == "file"]
    assert files == [(done_once.data_dir / "jaffle_shop").as_posix()]
    assert set(outputs) == {"raw_customers", "raw_orders", "raw_payments"}
    raw = outputs["raw_orders"]
    assert raw["outputFacets"]["outputStatistics"]["rowCount"] == 99
    assert [field["name"] for field in raw["facets"]["schema"]["fields"]][:2] == ["id", "user_id"]
    assert raw["facets"]["columnLineage"]["fields"]["user_id"]["inputFields"][0]["namespace"] == (
        "dlt://jaffle_shop"
    )


def test_columns_of_orders_come_from_where_the_sql_says(events: Events) -> None:
    (output,) = last_of(events, ORDERS)["outputs"]
    facet = output["facets"]["columnLineage"]
    payments = "intermediate.int_payments_pivoted_to_orders"

    assert flat(facet["fields"]["order_id"]["inputFields"]) == {
        ("staging.stg_jaffle_shop__orders", "order_id", "DIRECT", "IDENTITY")
    }
    by_key = {
        ("staging.stg_jaffle_shop__orders", "order_id", "INDIRECT", "JOIN"),
        (payments, "order_id", "INDIRECT", "JOIN"),
    }
    # the join finds one row at most: it decides this value, and no row
    amount = flat(facet["fields"]["amount"]["inputFields"])
    assert amount == {(payments, "amount", "DIRECT", "TRANSFORMATION"), *by_key}
    assert "dataset" not in facet or not flat(facet["dataset"])
    customers = last_of(events, "model.headrace.customers")["outputs"][0]["facets"]["columnLineage"]
    value = flat(customers["fields"]["customer_lifetime_value"]["inputFields"])
    assert ("marts.orders", "amount", "DIRECT", "AGGREGATION") in value


def test_column_lineage_names_columns_that_schemas_have(events: Events) -> None:
    """Marquez joins the two; a field that no schema has would be dropped there."""
    for event in events:
        fields = {
            (each["name"], field["name"])
            for each in (*event["inputs"], *event["outputs"])
            for field in each["facets"].get("schema", {}).get("fields", ())
        }
        for output in event["outputs"]:
            lineage = output["facets"].get("columnLineage", {"fields": {}, "dataset": []})
            assert {(output["name"], name) for name in lineage["fields"]} <= fields
            used = [*lineage["dataset"]]
            for field in lineage["fields"].values():
                used += field["inputFields"]
            assert {(each["name"], each["field"]) for each in used} <= fields


def test_tests_are_assertions_with_their_results(events: Events) -> None:
    end = last_of(events, f"{ORDERS}.test")
    (dataset,) = end["inputs"]
    assertions = dataset["inputFacets"]["dataQualityAssertions"]["assertions"]
    on_key = {each["assertion"] for each in assertions if each.get("column") == "order_id"}

    assert dataset["name"].endswith(".marts.orders")
    assert {"unique", "not_null"} <= on_key
    assert all(each["success"] and each["actual"] == "0" for each in assertions)


def test_names_are_what_marquez_takes(events: Events) -> None:
    """Letters, digits and ``:;=/_-.@+``; it replaces all else in a namespace."""
    for event in events:
        namespaces = [event["job"]["namespace"]]
        namespaces += [each["namespace"] for each in (*event["inputs"], *event["outputs"])]
        assert [name for name in namespaces if not re.fullmatch(r"[\w:;=/\-.@+]+", name)] == []


def test_second_run_with_nothing_new_tells_of_no_node(done_once: Lab, events: Events) -> None:
    report = done_once.run()

    assert report.build is not None
    assert report.build.reused
    assert states(of(done_once)[len(events) :]) == [
        ("run", "START"),
        ("load.jaffle_shop", "START"),
        ("load.jaffle_shop", "COMPLETE"),
        ("load.jaffle_shop", "OTHER"),
        ("run", "COMPLETE"),
    ]


def test_export_writes_valid_events_and_proposals(done_once: Lab, tmp_path: Path) -> None:
    from datahub.ingestion.source.file import read_metadata_file

    lineage, proposals = tmp_path / "events.jsonl", tmp_path / "datahub.json"
    where = ("--json", "--set", f"data_dir={done_once.data_dir}")
    first = CliRunner().invoke(app, ["export", "openlineage", "--out", str(lineage), *where])
    second = CliRunner().invoke(app, ["export", "datahub", "--out", str(proposals), *where])

    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    static = [json.loads(line) for line in lineage.read_text("utf-8").splitlines()]
    assert invalid(static) == []
    assert json.loads(first.stdout)["records"] == len(static)
    found = list(read_metadata_file(proposals))
    assert json.loads(second.stdout)["records"] == len(found)
    kinds = json.loads(second.stdout)["kinds"]
    assert kinds["dashboardInfo"] >= 1
    assert kinds["assertionInfo"] > 25
    # the last build was reused: the results are those of the build before it
    assert kinds["assertionRunEvent"] > 20
    assert kinds["upstreamLineage"] >= 9


def test_failures_are_told_as_they_are(tmp_path: Path) -> None:
    root = copy_project(tmp_path / "project")
    shutil.copytree(ROOT / "data" / "schemas", root / "data" / "schemas")
    models = root / "dbt_project" / "models" / "marts"
    loose = "{{ config(contract={'enforced': false}) }} "
    (models / "broken.sql").write_text(f"{loose}select error('no luck') as x", encoding="utf-8")
    (models / "after.sql").write_text(f"{loose}select x from {{{{ ref('broken') }}}}", "utf-8")
    tests = root / "dbt_project" / "tests"
    tests.mkdir(exist_ok=True)
    (tests / "no_orders.sql").write_text(
        "select order_id from {{ ref('orders') }} limit 3", encoding="utf-8"
    )
    lab = Lab(tmp_path / "data", root=root, flags=(ENABLED,))

    assert lab.run().status == "failed"

    events = of(lab)
    assert invalid(events) == []
    broken = last_of(events, "model.headrace.broken")
    assert broken["eventType"] == "FAIL"
    assert "no luck" in broken["run"]["facets"]["errorMessage"]["message"]
    assert "model.headrace.after" not in dict(states(events)), "it was skipped"
    test = last_of(events, f"{ORDERS}.test")
    assert test["eventType"] == "FAIL"
    assertions = test["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    (failed,) = [each for each in assertions if not each["success"]]
    assert (failed["name"], failed["actual"]) == ("test.headrace.no_orders", "3")
    assert states(events)[-1] == ("run", "FAIL")
    assert "no_orders" in events[-1]["run"]["facets"]["errorMessage"]["message"]


def test_source_that_fails_fails_its_load_and_the_run(lab: Lab) -> None:
    lab = lab.set(ENABLED, f"sources.jaffle_shop.path={lab.data_dir / 'nowhere'}")
    with pytest.raises(SourceError):
        lab.run()

    events = of(lab)
    assert invalid(events) == []
    assert states(events) == [
        ("run", "START"),
        ("load.jaffle_shop", "START"),
        ("load.jaffle_shop", "FAIL"),
        ("run", "FAIL"),
    ]
    assert "nowhere" in events[-2]["run"]["facets"]["errorMessage"]["message"]


def test_stopped_run_is_aborted(lab: Lab) -> None:
    def stop(event: Event) -> None:
        if event.name == "jaffle_shop.raw_orders":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(lab.set(ENABLED).resolved, listen=stop)

    events = of(lab)
    assert invalid(events) == []
    assert states(events)[-2:] == [("load.jaffle_shop", "ABORT"), ("run", "ABORT")]


def test_run_without_its_backend_is_good_and_says_so(lab: Lab) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        flags = ("openlineage.transport.type=http", f"openlineage.transport.url={url}")
        report = lab.set(ENABLED, *flags).run("load")

    assert report.status == "success"
    (note,) = report.notes
    assert "OpenLineage events are missing (0 were sent)" in note


def test_console_leaves_stdout_to_the_report(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    report = lab.set(ENABLED, "openlineage.transport.type=console").run("load")

    out, err = capfd.readouterr()
    assert (report.status, out) == ("success", "")
    sent = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert invalid(sent) == []
    assert states(sent)[-1] == ("load", "COMPLETE")
    assert not (lab.data_dir / "openlineage.jsonl").exists()
