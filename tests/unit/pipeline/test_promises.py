"""What contracts and dbt's meta promise of a table: whether it holds, and who is told."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from msgspec import structs
from step_lab import built, manifest_of, mart, node, project, stand_in
from typer.testing import CliRunner

from headrace.artifacts import Manifest
from headrace.catalog import Catalog, RunStore
from headrace.catalog.metric_tables import StoredPlan, StoredRunMetrics
from headrace.catalog.model import Asset, Column
from headrace.cli.main import app
from headrace.pipeline.checking import raw_checks
from headrace.pipeline.checking.audit import audit
from headrace.pipeline.checking.promises import Promises
from headrace.pipeline.quality.monitor_status import QualityStatus, quality_status
from headrace.pipeline.run_record import RunRecord
from headrace.pipeline.verdict import Verdicts, evidence_of
from headrace.server import pages, quality, queries
from headrace.server.rendering import PageFrame, ServerLinks
from headrace.server.state import open_state
from headrace.settings import Resolved

ORDERS = "model.p.orders"
NOW = datetime.now(UTC)
CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: x
name: orders for finance
schema:
  - name: orders
    physicalName: marts.orders
    properties: [{name: id, required: true}, {name: placed_at}]
    quality: [{name: many, metric: rowCount, mustBeGreaterThan: 9, severity: warning}]
customProperties: [{property: consumer, value: Finance}]
slaProperties:
  - {property: latency, value: 2, unit: d, element: orders.placed_at}
  - {property: availability, value: 99.9, unit: percent}
"""
LEVELS = [
    {"property": "latency", "value": 2, "unit": "d", "element": "orders.placed_at"},
    {"property": "retention", "value": 1, "unit": "y", "element": "orders.placed_at"},
]
BY_NINE = {"property": "timeOfAvailability", "value": "09:00"}


def manifest(levels: Any) -> Manifest:
    """Of one mart whose meta has service levels."""
    orders = mart("orders")
    config = structs.replace(orders.config, meta={"sla": levels})
    return manifest_of(structs.replace(orders, config=config))(Path())


@pytest.fixture
def resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resolved:
    """A built mart: two orders, one without an id, the newest three days old."""
    for module in ("checking.audit", "quality.monitor_tables"):
        stand_in(monkeypatch, f"{module}.read_manifest", lambda _: manifest(LEVELS))
    found = project(tmp_path)
    found.data_dir.mkdir()
    assert found.target.database_file is not None
    now = f"timestamptz '{NOW.isoformat()}'"
    with duckdb.connect(str(found.target.database_file)) as connection:
        connection.execute("create schema marts")
        connection.execute(
            f"create table marts.orders as select * from (values (1, {now} - interval 3 days), "
            f"(null, {now} - interval 2 years)) as t(id, placed_at)"
        )
    built(found, found.target, node("orders"))
    return found


@pytest.fixture
def store(resolved: Resolved) -> Iterator[RunStore]:
    columns = (Column("id"), Column("placed_at"))
    orders = Asset(
        id=ORDERS, kind="model", name="orders", schema="marts", identifier="orders",
        columns=columns, dbt_id=ORDERS,
    )  # fmt: skip
    with closing(RunStore(resolved.run_store_url)) as made:
        made.begin_run("r1", command="c", target="t", lock="l", code_version="v")
        made.save_catalog(Catalog(assets={ORDERS: orders}, parents={ORDERS: ()}), None)
        yield made


def contract(resolved: Resolved) -> None:
    path = resolved.root / "contracts" / "orders.yaml"
    path.parent.mkdir()
    path.write_text(CONTRACT)
    built(resolved, resolved.target, node("orders"))


def looked_at(resolved: Resolved, store: RunStore) -> None:
    """Audit, and keep what it found, as a run does."""
    report = audit(resolved, resolved.target, listen=lambda _: None)
    RunRecord(store, "r1").add_promises(report, ())


def test_what_was_imported_is_checked_without_the_file(resolved: Resolved) -> None:
    levels = manifest([*LEVELS, BY_NINE])
    found = Promises(resolved).check(levels, of="models", part="service levels")
    assert [(one.label, one.status) for one in found] == [
        ("orders: marts.orders.placed_at: latency 2 d", "warn"),
        ("orders: marts.orders.placed_at: retention 1 y", "warn"),
        ("orders: marts.orders: timeOfAvailability 09:00", "skipped"),
    ]
    assert [one.attached_to for one in found] == [ORDERS] * 3


def test_a_level_of_a_file_and_of_meta_is_one_promise(resolved: Resolved) -> None:
    contract(resolved)
    found = Promises(resolved).levels(manifest([*LEVELS, BY_NINE]))[ORDERS]
    assert [(one.level.contract, one.level.kind, one.to) for one in found] == [
        ("orders for finance", "freshness", "Finance"),
        ("orders", "retention", ""),
        ("orders", "availability", ""),
    ]


def test_each_file_that_cannot_be_read_has_a_result_of_its_own(resolved: Resolved) -> None:
    (resolved.root / "contracts").mkdir()
    for name in ("a.yaml", "b.yaml"):
        (resolved.root / "contracts" / name).write_text("a: [")
    nodes, excluded = raw_checks._contracts(resolved, manifest([]))
    assert [(one.unique_id, one.status) for one in nodes] == [
        ("contract.contracts/a.yaml", "error"), ("contract.contracts/b.yaml", "error"),
    ]  # fmt: skip
    assert excluded == []


@pytest.mark.parametrize("levels", [3, ["latency"], {"latency": 2}])
def test_meta_that_is_no_list_of_levels_is_told_in_one_line(
    resolved: Resolved, levels: object
) -> None:
    promises = Promises(resolved)
    assert promises.check(manifest(levels), of="models", part="service levels") == []
    (said,) = promises.broken_files.values()
    assert "meta.sla of marts.orders: write a list" in said


def test_an_audit_tells_of_broken_promises_and_keeps_them(
    resolved: Resolved, store: RunStore
) -> None:
    contract(resolved)
    report = audit(resolved, resolved.target, listen=lambda _: None)
    assert report.problems == (
        "contract orders for finance: marts.orders.id: required: 1 null; promised to Finance",
    )
    newest = f"{NOW - timedelta(days=3):%Y-%m-%d}"
    many, latency, retention = report.warnings[:3]
    assert "marts.orders: many: it is 2, promised more than 9; promised to Finance" in many
    assert f"latency 2 d: the newest is of {newest}" in latency
    assert "contract orders: marts.orders.placed_at: retention 1 y: the oldest" in retention
    looked_at(resolved, store)
    kept = {one.label.rpartition(": ")[2]: one for one in store.promises()}
    assert kept["required"].status == "fail"
    assert kept["required"].promised_to == "Finance"
    assert kept["exists"].status == "pass"
    assert "availability 99.9 percent" not in kept, "it is not measured"
    (resolved.root / "contracts" / "orders.yaml").unlink()
    built(resolved, resolved.target, node("orders"))
    looked_at(resolved, store)
    assert {one.part for one in store.promises() if one.kind == "contract"} == {
        "freshness", "retention",
    }  # fmt: skip


def status_of(resolved: Resolved, store: RunStore) -> QualityStatus:
    """With six updates, each at six in the morning, the last one of today."""
    looked_at(resolved, store)
    store.keep_plan(StoredPlan(ORDERS, "marts.orders", "{}", "r1"))
    for days in range(6):
        at = NOW - timedelta(days=5 - days)
        store.keep_run_metrics(
            [StoredRunMetrics(ORDERS, "r1", at, rows=days, newest=at - timedelta(days=1))]
        )
    return quality_status(resolved, now=NOW)


def test_the_forecast_knows_what_contracts_promise(resolved: Resolved, store: RunStore) -> None:
    contract(resolved)
    found = status_of(resolved, store)
    (orders,) = found.freshness
    assert (orders.promise, orders.promised_to) == (
        "latency 2 d of contract orders for finance", "Finance",
    )  # fmt: skip
    # the next update is expected in a day, when the newest data are two days old
    assert orders.misses_at == NOW + timedelta(days=1)
    later = quality_status(resolved, now=NOW + timedelta(days=3)).freshness[0]
    assert later.status == "missed"
    assert "(latency 2 d of contract orders for finance): missed" in later.text
    assert "promised to Finance" in later.text
    assert not found.passed
    broken = [one for one in found.promises if one.status == "fail"]
    assert [(one.asset, one.table, one.promised_to) for one in broken] == [
        (ORDERS, "marts.orders", "Finance")
    ]


def test_broken_promises_are_in_the_status_on_the_page_and_in_the_verdict(
    resolved: Resolved, store: RunStore
) -> None:
    contract(resolved)
    status_of(resolved, store)
    run = CliRunner().invoke(
        app, ["quality", "status", "--project-dir", str(resolved.root)], env={"COLUMNS": "200"}
    )
    assert run.exit_code == 1
    assert (
        "orders for finance: marts.orders.id: required: 1 null; promised to Finance" in run.output
    )
    assert "promises kept" in run.output
    catalog = store.load_catalog()
    assert catalog is not None
    evidence = evidence_of(store, catalog, store.latest_nodes(), published=(), published_at=None)
    verdict = Verdicts(evidence).of(ORDERS)
    assert verdict is not None
    assert verdict.status == "failing"
    assert "1 broken promise of contract orders for finance" in verdict.text
    with closing(open_state(resolved)) as state:
        frame = PageFrame(ServerLinks(), "lab")
        view = quality.quality(state)
        assert (view.broken, view.unknown) == (3, 0)
        assert "1 null; promised to Finance" in pages.quality(state, frame)
        page = pages.asset(state, frame, queries.asset(state, ORDERS))
        assert 'id="promises"' in page
        assert "1 null; promised to Finance" in page


def test_a_promise_of_which_nothing_is_known_is_not_counted_as_kept(
    resolved: Resolved, store: RunStore
) -> None:
    looked_at(resolved, store)
    store.keep_plan(StoredPlan(ORDERS, "marts.orders", "{}", "r1"))
    store.keep_run_metrics([StoredRunMetrics(ORDERS, "r1", NOW, changed=False)])
    (orders,) = quality_status(resolved, now=NOW).freshness
    assert (orders.status, orders.promise) == ("unknown", "latency 2 d of contract orders")
    with closing(open_state(resolved)) as state:
        view = quality.quality(state)
        assert view.unknown == 1
        assert "1 unknown" in pages.quality(state, PageFrame(ServerLinks(), "lab"))
