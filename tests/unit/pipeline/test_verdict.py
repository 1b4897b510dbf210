"""The verdict on each table: the worst of all that is known of it, in words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.catalog import Asset, Catalog, NodeRun, RunStore, TestInfo
from headrace.catalog.evidence import FailedLoad, MaskedRow, NewestBuild, QuarantinedTable
from headrace.pipeline.verdict import Evidence, Verdict, Verdicts, made_it_skip

NOW = datetime(2026, 11, 28, 14, 2, tzinfo=UTC)
RAW, STAGING, MART = "table.shop_raw.orders", "model.p.stg_orders", "model.p.orders"
TEST = "test.p.unique_stg_orders"


def asset(key: str, **more: Any) -> Asset:
    kind = key.partition(".")[0]
    return Asset(id=key, kind=kind, name=key.rpartition(".")[2], dbt_id=key, **more)  # type: ignore[arg-type]


def catalog() -> Catalog:
    assets = [
        asset("resource.shop.orders"),
        asset(RAW, schema="shop_raw", identifier="orders"),
        asset(STAGING),
        asset(MART),
        asset(TEST, test=TestInfo("unique", STAGING, "id", "error")),
        asset("exposure.p.board"),
    ]
    return Catalog(
        assets={one.id: one for one in assets},
        parents={
            "resource.shop.orders": (),
            RAW: ("resource.shop.orders",),
            STAGING: (RAW,),
            MART: (STAGING,),
            TEST: (STAGING,),
            "exposure.p.board": (MART,),
        },
    )


def node(key: str, status: str) -> NodeRun:
    kind = key.partition(".")[0].replace("table", "source")
    return NodeRun("r", key, key, key, kind, status, NOW, 1.0, None, None, None)


def evidence(*nodes: NodeRun, **more: Any) -> Evidence:
    return Evidence(catalog(), {one.unique_id: one for one in nodes}, **more)


def verdict(found: Evidence, key: str = MART) -> Verdict:
    made = Verdicts(found).of(key)
    assert made is not None
    return made


GOOD = (node(STAGING, "success"), node(MART, "success"), node(TEST, "pass"))
BUILD = NewestBuild("r", NOW, passed=True, is_published=True)


def test_a_table_that_was_built_and_passed_its_tests_is_healthy() -> None:
    found = verdict(evidence(*GOOD), STAGING)
    assert (found.status, found.mood) == ("healthy", "good")
    assert found.text == "healthy: built 2026-11-28 14:02 UTC, 1 test passes"


def test_what_has_no_rows_has_no_verdict() -> None:
    verdicts = Verdicts(evidence(*GOOD))
    assert verdicts.of("exposure.p.board") is None
    assert verdicts.of(TEST) is None
    loads = asset("table.shop_raw._dlt_loads")
    assert Verdicts(Evidence(Catalog({loads.id: loads}, {loads.id: ()}), {})).of(loads.id) is None
    assert verdicts.of("no.such") is None


def test_a_failing_test_says_since_when_and_what_readers_have() -> None:
    nodes = (*GOOD[:2], node(TEST, "fail"))
    found = verdict(
        evidence(
            *nodes,
            since={TEST: NOW},
            published=frozenset({STAGING}),
            published_at=NOW - timedelta(days=1),
            build=replace(BUILD, passed=False, is_published=False),
        ),
        STAGING,
    )
    assert found.text == (
        "failing: 1 test since 2026-11-28 14:02 UTC; readers have the data of 2026-11-27 14:02 UTC"
    )
    assert [one.status for one in found.reasons] == ["failing", "behind", "healthy"]


def test_a_mart_that_was_skipped_names_the_test_that_made_it_skip() -> None:
    nodes = (GOOD[0], node(TEST, "fail"), node(MART, "skipped"))
    found = verdict(evidence(*nodes))
    assert found.status == "skipped"
    assert found.text == "skipped: not built, as unique_stg_orders fails"
    assert found.reasons[0].asset == TEST


def test_what_made_it_skip_is_found_through_what_was_skipped_too() -> None:
    statuses = {RAW: "error", STAGING: "skipped", MART: "skipped"}
    assert made_it_skip(catalog(), statuses.get, MART) == RAW
    assert made_it_skip(catalog(), lambda _: None, MART) is None


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (RAW, "quarantined: 3 rows (data type, malformed)"),
        (MART, "quarantined: 3 rows of shop_raw.orders"),
    ],
)
def test_quarantine_is_told_of_the_table_and_of_all_below(key: str, text: str) -> None:
    rows = (
        QuarantinedTable("shop", "orders", "data_type", 2),
        QuarantinedTable("shop", "orders", "malformed", 1),
    )
    found = verdict(evidence(*GOOD, quarantine=rows), key)
    assert (found.status, found.mood, found.text) == ("quarantined", "unsure", text)


@pytest.mark.parametrize("table", ["orders", None])
def test_a_load_that_failed_is_told_of_the_table_and_of_all_below(table: str | None) -> None:
    failed = FailedLoad("shop", table, "no such file", "r", NOW)
    found = evidence(*GOOD, failed_loads=(failed,))
    raw = verdict(found, RAW)
    assert raw.status == "failing"
    assert raw.text == "failing: the load failed, no such file since 2026-11-28 14:02 UTC"
    assert verdict(found).status == "stale"
    assert "shop_raw.orders could not be loaded" in verdict(found).text


@pytest.mark.parametrize("status", ["warn", "error"])
def test_rows_that_are_too_old_are_told_of_the_table_and_of_all_below(status: str) -> None:
    found = evidence(*GOOD, node(RAW, status))
    assert verdict(found, RAW).text.startswith("stale: its newest rows are too old since")
    assert verdict(found).text.startswith("stale: rows of shop_raw.orders are too old since")


def test_a_good_build_that_is_not_published_is_behind() -> None:
    published = {"published": frozenset({MART}), "published_at": NOW - timedelta(days=1)}
    found = verdict(evidence(*GOOD, build=replace(BUILD, is_published=False), **published))
    assert found.text == (
        "behind: the build of 2026-11-28 14:02 UTC is not published; "
        "readers have the data of 2026-11-27 14:02 UTC"
    )
    assert found.readers_have == NOW - timedelta(days=1)
    assert verdict(evidence(*GOOD, build=BUILD, **published)).status == "healthy"


def test_the_worst_decides_and_nothing_is_unknown() -> None:
    rows = (QuarantinedTable("shop", "orders", "data_type", 2),)
    nodes = (node(STAGING, "error"), node(TEST, "warn"))
    found = verdict(evidence(*nodes, quarantine=rows), STAGING)
    assert [one.status for one in found.reasons] == ["failing", "quarantined", "warning"]
    assert verdict(evidence()).text == "unknown: it has not run yet"


@pytest.fixture
def store(tmp_path: Path) -> Any:
    found = RunStore(f"sqlite:///{tmp_path / 'runs.sqlite'}")
    yield found
    found.close()


def begin(store: RunStore, number: int, **steps: str) -> datetime:
    at = NOW + timedelta(hours=number)
    store.begin_run(
        f"r{number}", command="x", target="t", lock="l", code_version="1", started_at=at
    )
    for step, status in steps.items():
        store.add_step(f"r{number}", step, status, 1.0, at, status)
    return at


def results(store: RunStore, number: int, status: str) -> None:
    row = {
        "unique_id": TEST, "name": "t", "label": "t", "resource_type": "test", "status": status,
        "seconds": 0.0, "failures": 1, "message": None, "detail": None, "thread": None,
        "started_at": NOW + timedelta(hours=number),
    }  # fmt: skip
    store.add_nodes(f"r{number}", [row])


def test_a_failure_began_with_the_first_run_after_the_last_good_one(store: RunStore) -> None:
    for number, status in enumerate(["fail", "pass", "fail", "skipped", "error"]):
        begin(store, number)
        results(store, number, status)
    assert store.failing_since([TEST, "test.p.other"]) == {TEST: NOW + timedelta(hours=2)}


def test_a_load_fails_until_it_is_loaded(store: RunStore) -> None:
    failure = {"source": "shop", "table": "orders", "message": "no"}
    for number in range(2):
        begin(store, number)
        store.add_load_failures(f"r{number}", [failure])
    (found,) = store.failed_loads()
    assert (found.since, found.run_id) == (NOW, "r1")
    begin(store, 2)
    load = {
        "source": "shop", "table": "orders", "rows_given": 1, "rows_new": 1, "rows_changed": 0,
        "rows_unchanged": 0, "rows_total": 1, "rows_quarantined": 0, "new_columns": None,
    }  # fmt: skip
    store.add_loads("r2", [load])
    assert store.failed_loads() == []
    (loaded,) = store.loaded_tables()
    assert (loaded.run_id, loaded.rows_total) == ("r2", 1)


def test_the_newest_build_says_whether_it_passed_and_is_published(store: RunStore) -> None:
    assert store.newest_build() is None
    begin(store, 0, load="success", build="success", audit="success", publish="success")
    store.end_run(
        "r0", status="success", seconds=1.0, error=None, rows_loaded=0, published_path=None
    )
    found = store.newest_build()
    assert found is not None
    assert (found.run_id, found.passed, found.is_published) == ("r0", True, True)
    begin(store, 1, build="failed", audit="failed")
    found = store.newest_build()
    assert found is not None
    assert (found.run_id, found.passed, found.is_published) == ("r1", False, False)
    assert found.problem == "failed"


def test_the_quarantine_is_kept_as_it_is_now(store: RunStore) -> None:
    row = MaskedRow("a.csv line 2", "id is no number", {"id": "x", "name": None})
    first = QuarantinedTable("shop", "orders", "data_type", 2, (row,))
    other = QuarantinedTable("web", "events", "malformed", 1)
    store.keep_quarantine("r0", ["shop", "web"], [first, other])
    assert store.quarantine() == [first, other]
    store.keep_quarantine("r1", ["shop"], [])
    assert store.quarantine() == [other]
