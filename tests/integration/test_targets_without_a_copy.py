"""What works on each target, with no published file on this machine: all reads go to the target.

On Spark it takes Java and minutes: each night (``HEADRACE_TEST_ON_SPARK=1``).
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, copy_project

from headrace.catalog import RunStore
from headrace.errors import StateError, TransformError, WarehouseError
from headrace.lineage.verify import VerifyOptions, in_duckdb, verify, warehouse_alias
from headrace.pipeline.building.slim_build import Selection
from headrace.pipeline.catalog import current
from headrace.pipeline.checking import contract
from headrace.pipeline.diff import compare, compare_published
from headrace.pipeline.doctor import doctor
from headrace.pipeline.publishing import publications
from headrace.pipeline.quality import kept_profiles, monitor_status
from headrace.pipeline.quality.profile import profile, profile_all
from headrace.pipeline.quarantine import listing
from headrace.pipeline.quarantine import replay as quarantine_replay
from headrace.pipeline.quarantine.rows import Chosen
from headrace.pipeline.query import database, query
from headrace.pipeline.run import run
from headrace.pipeline.state.folder import read_state, write_state
from headrace.pipeline.status import status
from headrace.pipeline.strength import measure_strength
from headrace.quality.diff import DiffOptions
from headrace.quality.strength.measure import StrengthOptions
from headrace.server.queries import sample
from headrace.server.state import open_state
from target_places import PLACES

pytestmark = pytest.mark.slow

SOURCES = """\
sources:
  - name: store
    schema: store_raw
    tables: [{name: orders}, {name: _dlt_loads}]
"""
STAGING = """\
select orders.id, orders.amount
from {{ source('store', 'orders') }} as orders
where orders._dlt_load_id in ({{ completed_loads('store') }})
"""
MART = "select * from {{ ref('stg_store__orders') }}\n"
MART_YML = """\
models:
  - name: store_orders
    description: One row per order.
    columns: [{name: id, description: Key., data_tests: [unique, not_null]}, {name: amount}]
"""
INCREMENTAL = """\
{{ config(materialized='incremental', unique_key='id') }}
select orders.id, orders.amount, 'run' as made_in
from {{ ref('stg_store__orders') }} as orders
{% if is_incremental() %}
where orders.id > (select max(this.id) from {{ this }} as this)
{% endif %}
"""
SNAPSHOT = """\
{% snapshot orders_over_time %}
{{ config(target_schema='snapshots', unique_key='id', strategy='check', check_cols='all') }}
select orders.id, orders.amount from {{ ref('stg_store__orders') }} as orders
{% endsnapshot %}
"""
ORDERS = Chosen("store", "orders")
MODEL = "model.headrace.store_orders"


TARGETS = ["ducklake", "lake", "postgres", "sail"]
if os.environ.get("HEADRACE_TEST_ON_SPARK"):
    TARGETS.append("spark")


@contextmanager
def _lab(folder: Path, place_name: str) -> Iterator[Lab]:
    """After two runs; the second changed a row, and brought one and another for the quarantine."""
    root = copy_project(folder / "project")
    models = root / "dbt_project" / "models"
    for path in models.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    (models / "staging" / "store").mkdir(parents=True)
    (models / "marts").mkdir()
    (models / "staging" / "store" / "_store__sources.yml").write_text(SOURCES)
    (models / "staging" / "store" / "stg_store__orders.sql").write_text(STAGING)
    (models / "marts" / "store_orders.sql").write_text(MART)
    (models / "marts" / "store_orders.yml").write_text(MART_YML)
    files = root / "store"
    files.mkdir()
    (files / "a.csv").write_text("id,amount\n1,10\n2,20\n")
    (root / "config" / "default.yml").write_text(
        "sources:\n  jaffle_shop: {enabled: false}\n"
        "  store: {kind: files, path: store, tables: {orders: {pattern: '*', primary_key: [id]}}}\n"
    )
    with PLACES[place_name](root) as place:
        flags = (f"target={place.target}", *place.flags, "publish.local_copy=never")
        lab = Lab(root / "data", root, flags, observes=True)
        can = lab.resolved.target.capabilities
        if can.incremental:
            (models / "marts" / "later_orders.sql").write_text(INCREMENTAL)
        if can.snapshots:
            (root / "dbt_project" / "snapshots").mkdir()
            (root / "dbt_project" / "snapshots" / "over_time.sql").write_text(SNAPSHOT)
        assert (report := lab.run()).status == "success", report
        (files / "a.csv").write_text("id,amount\n1,10\n2,25\n")
        (files / "b.csv").write_text('id,amount\n3,"1,5"\n4,40\n')
        assert (report := lab.run()).status == "success", report
        assert not lab.resolved.published.exists()
        yield lab


@pytest.fixture(scope="module", params=TARGETS)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with _lab(tmp_path_factory.mktemp("without"), request.param) as found:
        yield found


def _amounts(lab: Lab, on: str, table: str) -> list[Any]:
    rows = query(database(lab.resolved, on), f"select id, amount from {table} order by id").rows
    return [tuple(row) for row in rows]


BUILT = [(1, 10), (2, 25), (4, 40)]


def test_what_is_published_is_read_from_the_target(lab: Lab) -> None:
    found = lab.resolved
    report = status(found, limit=5)
    (now, _) = publications.published(found, is_history=True).publications
    assert report.published_at == now.since
    assert report.published_path == publications.published(found).location
    moods = {one.name: one.mood for one in report.tables}
    assert moods["marts.store_orders"] == "unsure"  # a row of it is in quarantine
    checks = {one.name: one for one in doctor(found).checks}
    assert checks["published"].good
    assert checks["published"].found == report.published_path
    assert _amounts(lab, "published", "marts.store_orders") == BUILT
    profiled = profile(found, "store_orders")
    assert profiled.on == report.published_path
    assert profiled.tables[0].rows == 3
    every = {one.name: one.rows for one in profile_all(found).tables}
    assert (every["marts.store_orders"], every["store_raw.orders"]) == (3, 3)
    changes = {table.name: table for table in compare_published(DiffOptions(), found).tables}
    changed = changes["marts.store_orders"]
    assert (changed.rows_added, changed.rows_removed, changed.rows_changed) == (1, 0, 1)
    for same in compare(Path("published"), Path("warehouse"), DiffOptions(), found).tables:
        assert (same.rows_added, same.rows_removed, same.rows_changed) == (0, 0, 0)


def test_incremental_models_and_snapshots_go_on_or_are_refused(lab: Lab) -> None:
    """The second snapshot is where dbt-duckdb fails on DuckLake without `snapshot_merge_sql`."""
    can = lab.resolved.target.capabilities
    if can.incremental:  # what was there is left as it is
        assert _amounts(lab, "warehouse", "marts.later_orders") == [(1, 10), (2, 20), (4, 40)]
    if can.snapshots:
        sql = "select id, amount, dbt_valid_to is null from snapshots.orders_over_time order by all"
        found = query(database(lab.resolved, "warehouse"), sql).rows
        assert [tuple(row) for row in found] == [
            (1, 10, True), (2, 20, False), (2, 25, True), (4, 40, True),
        ]  # fmt: skip
        return
    for path, text, kind in (
        ("models/marts/later_orders.sql", INCREMENTAL, "incremental model"),
        ("snapshots/over_time.sql", SNAPSHOT, "snapshot"),
    ):
        file = lab.root / "dbt_project" / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        with pytest.raises(TransformError, match=f"builds no {kind}s, and there is 1 {kind}"):
            lab.run("build")
        file.unlink()
    with pytest.raises(StateError, match="the last build was stopped or refused: run `headrace"):
        write_state(lab.resolved, lab.root / "state")
    assert lab.run().status == "success"


def test_snapshots_go_on_with_a_catalog_in_postgresql(tmp_path: Path) -> None:
    with _lab(tmp_path, "ducklake on servers") as found:
        test_incremental_models_and_snapshots_go_on_or_are_refused(found)


def test_lineage_is_read_in_its_dialect_and_proved(lab: Lab) -> None:
    found = lab.resolved
    catalog = in_duckdb(current(found), found.target.dialect)
    report = verify(
        catalog, lambda connection: found.target.attach(connection, warehouse_alias()),
        options=VerifyOptions(workers=1, marts=[MODEL]),
    )  # fmt: skip
    assert report.ok, report


def test_contracts_monitors_and_kept_profiles_read_the_target(lab: Lab) -> None:
    found, file = lab.resolved, lab.root / "store_orders.yaml"
    contract.export_contract(found, "store_orders", out=file)
    for on in (None, "published", "warehouse"):
        report = contract.check_file(found, file, on=on)
        assert report.passed
        assert {one.status for one in report.checks} == {"pass"}
    file.write_text(file.read_text().replace("name: amount", "name: price"))
    assert not contract.check_file(found, file).passed
    with closing(RunStore(found.run_store_url)) as store:
        kept = kept_profiles.kept(store)
        measured = {key: runs[-1].rows for key, runs in store.run_metrics(1).items()}
    assert measured == dict.fromkeys(kept, 3)
    later = {"marts.later_orders"} if found.target.capabilities.incremental else set()
    assert {one.name for one in kept.values()} == {"marts.store_orders", "store_raw.orders", *later}


def test_the_page_shows_rows_and_what_a_publish_would_change(lab: Lab) -> None:
    with closing(open_state(lab.resolved, allow_pii=True)) as state:
        snapshot = state.snapshot()
        assert snapshot.publication.status == "published"
        rows = sample(state, MODEL, pii=True)
        assert len(rows.rows) == 3
        assert state.comparison is not None
        view = state.comparison.view(wait=60)
        assert (view.status, view.why) == ("ready", None)
        assert view.report is not None
        names = {one.name for one in view.report.tables}
        assert names - {"marts.later_orders"} == {"marts.store_orders"}
        assert state.comparison.view().compared_at == view.compared_at


def test_a_target_that_cannot_be_reached_is_told_of(lab: Lab, tmp_path: Path) -> None:
    if lab.resolved.target.name != "postgres":
        return
    away = lab.set("targets.postgres.url=postgresql://nobody:geheim@127.0.0.1:1/none")
    report = status(away.resolved, limit=5)
    assert len(report.runs) == 2
    assert report.published_at is None
    assert report.published_problem is not None
    assert "geheim" not in report.model_dump_json()
    with closing(open_state(away.resolved)) as state:
        publication = state.snapshot().publication
        assert (publication.status, "127.0.0.1" in str(publication.problem)) == ("unreadable", True)


def test_a_state_is_written_and_built_on(lab: Lab, tmp_path: Path) -> None:
    found = lab.resolved
    write_state(found, tmp_path / "state")
    state = read_state(tmp_path / "state")
    assert lab.query("select count(*) from marts.store_orders", path=state.warehouse) == [(3,)]
    mart = lab.root / "dbt_project" / "models" / "marts" / "store_orders.sql"
    mart.write_text(MART.replace("*", "id, amount + 1 as amount"))
    # here and in an empty DuckDB file, whichever target the state is of
    elsewhere = replace(lab, data_dir=tmp_path / "other", flags=("target=duckdb",))
    for where in (lab, elsewhere):
        selection = Selection(("state:modified+",), (), tmp_path / "state", defer=True)
        report = run(where.resolved, steps=("build",), selection=selection)
        assert report.build is not None
        assert report.build.selection is not None
        reads_state = where.resolved.target.capabilities.reads_duckdb
        assert report.build.selection.deferred == reads_state
        assert bool(report.build.selection.not_deferred) == (not reads_state)
        (node,) = [one for one in report.build.nodes if one.unique_id == MODEL]
        assert node.status == "success", node.message
        assert _amounts(where, "warehouse", "marts.store_orders") == [(1, 11), (2, 26), (4, 41)]
    assert _amounts(lab, "published", "marts.store_orders") == BUILT


def test_a_build_runs_what_changed_where_results_are_kept(lab: Lab) -> None:
    mart = lab.root / "dbt_project" / "models" / "marts" / "store_orders.sql"
    lab.run("build")
    mart.write_text(MART.replace("*", "id, amount + 2 as amount"))
    report = lab.run("build")
    assert report.build is not None
    tests = {"unique_store_orders_id", "not_null_store_orders_id"}
    found = {one.name for one in report.build.nodes if not one.reused}
    if lab.resolved.target.name in {"ducklake", "lake"}:
        assert found == {"store_orders", *tests}
    else:
        assert found > {"store_orders", *tests}
    assert _amounts(lab, "warehouse", "marts.store_orders") == [(1, 12), (2, 27), (4, 42)]


def test_rows_in_quarantine_are_replayed_where_there_are_transactions(lab: Lab) -> None:
    assert listing.listed(lab.resolved, ORDERS).rows_open == 1
    corrections = ["amount = replace(amount, ',', '')"]
    if lab.resolved.target.name not in {"ducklake", "postgres"}:
        with pytest.raises(WarehouseError, match="correct the rows in their file"):
            quarantine_replay.replay(lab.resolved, ORDERS, corrections=corrections)
        return
    report = quarantine_replay.replay(lab.resolved, ORDERS, corrections=corrections)
    assert (report.rows_new, report.left) == (1, ())
    assert _amounts(lab, "warehouse", "store_raw.orders")[2] == (3, 15)
    assert listing.listed(lab.resolved, ORDERS).rows_open == 0
    with (lab.root / "store" / "b.csv").open("a") as file:
        file.write("6,60\n")
    table = lab.load_one()
    assert (table.rows_new, table.rows_quarantined) == (1, 0)
    assert len(_amounts(lab, "warehouse", "store_raw.orders")) == 5


def test_tests_are_tried_in_a_copy(lab: Lab) -> None:
    report = measure_strength(lab.resolved, lab.resolved.target, options=StrengthOptions(workers=1))
    assert report.killed + report.survived > 3


def test_quality_is_told_of_event_times_and_a_full_refresh_builds_anew(lab: Lab) -> None:
    days = [datetime(2025, 1, 6, tzinfo=UTC) + timedelta(days=one) for one in range(60)]
    rows = [
        f"{place}-{one},{day + timedelta(minutes=one * 7):%Y-%m-%d %H:%M:%S},{one % 9}"
        for place, day in enumerate(days)
        for one in range(200 if place == 56 else 40)
    ]
    (lab.root / "visits").mkdir()
    (lab.root / "visits" / "a.csv").write_text("\n".join(["id,placed_at,pages", *rows, ""]))
    with (lab.root / "config" / "default.yml").open("a") as file:
        file.write(
            "  visits: {kind: files, path: visits, "
            "tables: {visits: {pattern: '*', primary_key: [id]}}}\n"
        )
    is_sail = lab.resolved.target.name == "sail"  # replaces no table by one in another folder
    if is_sail:
        (lab.root / "store" / "b.csv").write_text("id,amount\n3,30\n4,40\n")
    report = lab.run(full_refresh=is_sail)
    assert report.status == "success"
    if is_sail:
        later = [(1, 10), (2, 25), (3, 30), (4, 40)]
        assert _amounts(lab, "published", "marts.later_orders") == later
    assert report.quality is not None
    assert report.quality.notes == ()
    found = lab.resolved
    told = monitor_status.quality_status(found)
    (alarm,) = [one for one in told.alarms + told.ended if one.metric == "rows"]
    assert (alarm.table, alarm.grain, alarm.value) == ("visits_raw.visits", "day", 200)
    assert alarm.since.date() == days[56].date()
    kept = monitor_status.history(found, "visits.rows")
    assert [one.value for one in kept.points if not one.is_alarm] == [40.0] * 58
    assert monitor_status.history(found, "visits.pages.mean").points[0].value == 3.75
    closed = monitor_status.expect(found, alarm.number, note="a campaign", undo=False)
    assert (closed.status, closed.note) == ("expected", "a campaign")
    assert alarm.number not in {one.number for one in monitor_status.quality_status(found).alarms}
