"""The monitors of a run on a warehouse written by hand: metrics, alarms, reasons."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from step_lab import project

from headrace.catalog import Catalog, RunStore
from headrace.catalog.model import Asset, Column
from headrace.errors import MonitorError
from headrace.pipeline.observation import blocked
from headrace.pipeline.quality import monitor
from headrace.pipeline.quality.monitor_explain import Explainer
from headrace.pipeline.quality.monitor_status import expect, history, quality_status
from headrace.pipeline.reports import AuditReport, Event, QualityReport
from headrace.quality.monitors.plan import Plan
from headrace.settings import Resolved

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("error")]

RAW = "table.shop_raw.orders"
MART = "model.p.daily"
EXPOSURE = "exposure.p.report"
FIRST = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
DAYS = 60
COLUMNS = (
    "id", "placed_at", "country", "amount", "discount", "note", "_dlt_load_id",
)  # fmt: skip
ORDERS = """
    create or replace table shop_raw.orders as
    select
        row_number() over () as id,
        timestamp '2026-03-02' + to_days(day::int) + to_seconds(number * 86400 // rows)
            as placed_at,
        ['DE', 'FR', 'IT'][1 + (hash(day, number) % 3)::int] as country,
        20 + (hash(day, number, 1) % 1000) / 50.0 as amount,
        case when hash(day, number, 2) % 10 = 0 then 1.5::double end as discount,
        'n' || number as note,
        '1.5' as _dlt_load_id
    from (
        select day, 300 + (hash(day) % 40)::int - case when day % 7 >= 5 then 100 else 0 end as rows
        from range({days}) d(day)
    ), lateral (select unnest(range(rows::bigint)) as number)
    order by day, number
"""


def asset(key: str, kind: str, columns: tuple[str, ...] = (), schema: str | None = None) -> Asset:
    name = key.rpartition(".")[2]
    return Asset(
        id=key, kind=kind, name=name, schema=schema, identifier=name if schema else None,  # type: ignore[arg-type]
        columns=tuple(Column(one) for one in columns),
    )  # fmt: skip


class Shop:
    """A project whose warehouse is written by hand."""

    def __init__(self, root: Path, config: str = "{}\n") -> None:
        self.resolved: Resolved = project(root, config)
        self.resolved.data_dir.mkdir(parents=True, exist_ok=True)
        self.store = RunStore(self.resolved.run_store_url)
        self.runs = 0
        self.now = FIRST + timedelta(days=DAYS, minutes=10)
        assets = (
            asset(RAW, "table", COLUMNS, "shop_raw"),
            asset("table.shop_raw.gone", "table", ("id",), "shop_raw"),
            asset(MART, "model", ("day",), "marts"),
            asset(EXPOSURE, "exposure"),
        )
        parents = {one.id: () for one in assets} | {MART: (RAW,), EXPOSURE: (MART,)}
        self.store.save_catalog(
            Catalog(assets={one.id: one for one in assets}, parents=parents), None
        )
        self.sql("create schema shop_raw", ORDERS.format(days=DAYS))

    def sql(self, *statements: str) -> None:
        file = self.resolved.target.database_file
        assert file is not None
        with duckdb.connect(str(file)) as connection:
            for one in statements:
                connection.execute(one)

    def rows(self) -> int:
        with duckdb.connect(str(self.resolved.target.database_file), read_only=True) as connection:
            return len(connection.execute("select id from shop_raw.orders").fetchall())

    def load(self, *statements: str) -> QualityReport:
        """Change raw rows as a load does, and look."""
        self.sql(
            *statements,
            f"update shop_raw.orders set _dlt_load_id = '{self.runs + 2}' "
            f"where placed_at >= timestamp '{self.now - timedelta(days=2):%Y-%m-%d}'",
        )
        return self.watch()

    def watch(self) -> QualityReport:
        self.runs += 1
        run_id = f"r{self.runs}"
        version = f"v{self.runs // 4}"
        self.store.begin_run(run_id, command="c", target="t", lock="l", code_version=version)
        told: list[Event] = []
        found = monitor.watch(self.resolved, self.store, run_id, now=self.now, listen=told.append)
        assert {(one.step, one.state) for one in told} <= {("monitors", "phase")}
        assert {one.name for one in told} >= {f"measuring {name}" for name in found.measured}
        self.store.end_run(
            run_id, status="success", seconds=1.0, error=None, rows_loaded=0, published_path=None
        )
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    with closing(made.store):
        yield made


LAST_DAY = f"placed_at >= timestamp '{FIRST + timedelta(days=DAYS - 1):%Y-%m-%d}'"


def test_a_good_table_is_measured_by_day_and_has_no_alarm(shop: Shop) -> None:
    found = shop.watch()
    assert found.alarms == ()
    assert found.notes == ()
    assert found.measured == ("shop_raw.orders",)
    plan = Plan.from_json(json.loads(shop.store.plans()[RAW].plan))
    assert (plan.event_time, plan.grain) == ("placed_at", "day")
    roles = {one.name: one.role for one in plan.columns}
    assert roles == {
        "id": "value", "placed_at": "rows", "country": "category", "amount": "number",
        "discount": "number", "note": "value", "_dlt_load_id": "rows",
    }  # fmt: skip
    moved = history(shop.resolved, "orders.rows", now=shop.now)
    assert len(moved.points) == DAYS
    assert moved.points[-1].value == sum(
        one.rows for one in shop.store.periods(RAW) if one.at == moved.points[-1].at
    )
    assert moved.points[-1].low is not None
    assert shop.watch().measured == ()  # nothing was loaded since


def test_of_a_column_upstream_only_the_worst_alarm_is_named_as_a_cause(shop: Shop) -> None:
    shop.watch()
    shop.load(f"update shop_raw.orders set amount = amount * 100 where {LAST_DAY}")
    raw = [one for one in shop.store.alarms("open") if one.metric.startswith("amount.")]
    assert len(raw) > 2
    rows = replace(raw[0], metric="rows", text="few rows")
    catalog = Catalog(assets={}, parents={RAW: (), MART: (RAW,)})
    with duckdb.connect() as connection:
        explainer = Explainer(
            shop.resolved, shop.store, "r2", catalog, {}, connection, now=shop.now
        )
        mart = replace(raw[0], asset_id=MART, table="marts.daily", explanation={})
        told = explainer.related(mart, [*raw, rows]).explanation["causes"]
    first, second = told
    assert first == f"shop_raw.orders: {raw[0].text}"[: len(first)]
    assert second == "shop_raw.orders: few rows"


def test_an_alarm_says_what_came_which_rows_carry_it_and_what_is_downstream(shop: Shop) -> None:
    found = shop.load(f"delete from shop_raw.orders where {LAST_DAY} and country = 'FR'")
    alarm = next(one for one in found.alarms if one.metric == "rows")
    assert alarm.is_new
    assert "rows on Thursday 2026-04-30, expected" in alarm.text
    assert alarm.segment is not None
    assert "missing rows have country = 'FR': 0, usually" in alarm.segment
    assert alarm.downstream == ("exposure report",)
    assert alarm.low is not None
    assert alarm.value is not None
    assert alarm.value < alarm.low
    status = quality_status(shop.resolved, now=shop.now)
    assert [one.number for one in status.alarms] == [one.number for one in found.alarms]


def test_nulls_a_unit_and_a_category_are_found_in_their_columns(shop: Shop) -> None:
    shop.watch()
    found = shop.load(
        f"update shop_raw.orders set amount = null where {LAST_DAY} and country = 'IT'",
        f"update shop_raw.orders set discount = 150 where discount is not null and {LAST_DAY}",
    )
    texts = {one.metric: one for one in found.alarms}
    assert "amount is null in" in texts["amount.nulls"].text
    assert "country = 'IT'" in (texts["amount.nulls"].segment or "")
    assert texts["discount.mean"].text.startswith("the mean of discount is 150 on Thursday")
    swapped = shop.load(
        ORDERS.format(days=DAYS),
        f"update shop_raw.orders set country = 'XX' where {LAST_DAY} and country = 'IT'",
    )
    texts = {one.metric: one for one in swapped.alarms}
    assert "country is 'IT' in 0% of the rows on Thursday" in texts["country.share(IT)"].text
    assert "country.drift" in texts


def test_a_fault_that_was_corrected_ends_its_alarm_and_one_that_stays_is_not_new(
    shop: Shop,
) -> None:
    first = shop.load(f"delete from shop_raw.orders where {LAST_DAY} and hash(id) % 2 = 0")
    again = shop.load("select 1")
    assert [one.is_new for one in again.alarms] == [False] * len(first.alarms)
    assert {one.number for one in again.alarms} == {one.number for one in first.alarms}
    healed = shop.load(ORDERS.format(days=DAYS))
    assert healed.alarms == ()
    assert {one.number for one in healed.ended} == {one.number for one in first.alarms}


def test_what_was_expected_does_not_alarm_again(shop: Shop) -> None:
    found = shop.load(f"delete from shop_raw.orders where {LAST_DAY} and hash(id) % 2 = 0")
    number = next(one.number for one in found.alarms if one.metric == "rows")
    said = expect(shop.resolved, number, note="a public holiday", undo=False)
    assert (said.status, said.note) == ("expected", "a public holiday")
    assert "rows" not in {one.metric for one in shop.load("select 1").alarms}
    assert not history(shop.resolved, "orders.rows", now=shop.now).points[-1].is_alarm
    expect(shop.resolved, number, note=None, undo=True)
    assert history(shop.resolved, "orders.rows", now=shop.now).points[-1].is_alarm
    with pytest.raises(MonitorError, match="there is no alarm 999"):
        expect(shop.resolved, 999, note=None, undo=False)


def test_the_last_unfinished_day_is_not_judged(shop: Shop) -> None:
    shop.now = FIRST + timedelta(days=DAYS - 1, hours=3)
    found = shop.load(
        f"delete from shop_raw.orders where placed_at > timestamp '{shop.now:%Y-%m-%d %H:%M}'"
    )
    assert found.alarms == ()
    assert len(history(shop.resolved, "orders.rows", now=shop.now).points) == DAYS - 1


def test_only_days_that_changed_are_measured_again(shop: Shop) -> None:
    shop.watch()
    shop.sql(
        "update shop_raw.orders set _dlt_load_id = '9' where id in (select min(id) from "
        "shop_raw.orders where placed_at >= timestamp '2026-04-01')",
        "delete from shop_raw.orders where placed_at < timestamp '2026-03-03'",
    )
    shop.watch()
    with shop.store.begin() as connection:
        rows = connection.exec_driver_sql(
            "select run_id, count(*), min(at) from metric_periods group by 1 order by 1"
        ).fetchall()
    assert [(run, number) for run, number, _ in rows] == [("r1", DAYS - 2), ("r2", 1)]


def test_a_table_that_has_grown_tenfold_is_measured_as_what_it_is_now(shop: Shop) -> None:
    def grain() -> tuple[str, bool]:
        plan = Plan.from_json(json.loads(shop.store.plans()[RAW].plan))
        return plan.grain, plan.rows == shop.rows()

    shop.sql("delete from shop_raw.orders where id % 20 <> 0")
    shop.watch()
    assert grain() == ("week", True)
    assert shop.load(ORDERS.format(days=DAYS)).alarms == ()
    assert grain() == ("day", True)
    shop.load("delete from shop_raw.orders where id % 2 = 0")
    assert grain() == ("day", False)


def test_a_column_that_is_gone_is_an_alarm_until_the_next_load(shop: Shop) -> None:
    shop.watch()
    found = shop.load("alter table shop_raw.orders drop discount")
    assert [(one.metric, one.text) for one in found.alarms] == [
        ("schema", "column discount is gone")
    ]
    assert shop.load("select 1").alarms == ()


def test_columns_that_still_change_are_judged_when_they_have_settled(shop: Shop) -> None:
    """Orders are paid within five days; before, `paid` is null, in the newest days of all runs."""
    late = "alter table shop_raw.orders add column paid_at timestamp"
    paid = (
        "update shop_raw.orders set paid_at = placed_at + interval 5 day "
        "where placed_at < timestamp '{until}'"
    )
    shop.sql(late, paid.format(until="2026-04-26"))
    assert [one.metric for one in shop.watch().alarms] == []


@pytest.mark.parametrize(
    "table",
    [
        "select 1 as id where false",
        "select 1 as id, timestamp '2026-04-01' as at",
        "select i as id, null::timestamp as placed_at, null::double as amount from range(99) r(i)",
        (
            "select i as id, timestamp '2026-03-02' + to_hours(i::int) as placed_at, "
            "['nan', 'inf', '-inf', '1'][1 + i % 4]::double as amount, 7 as one "
            "from range(1400) r(i)"
        ),
        (
            "select i as id, timestamp '2026-03-02' + to_hours(i::int) as at, {'a': i} as nested, "
            "[i] as list, 'x'::blob as bytes, (10::hugeint ** 19 + i)::decimal(20, 0) as big, "
            "i % 2 = 0 as flag, time '12:00' as hour, 'infinity'::timestamp as never, "
            "uuid() as tag from range(1400) r(i)"
        ),
        (
            'select i as "odd ""name"".x", '
            "timestamptz '2026-03-02 00:00:00+00' + to_hours(i::int) "
            "as \"At\", 1 as value, 'b' as type, 2 as rows from range(1400) r(i)"
        ),
    ],
)
def test_awkward_tables_are_measured_without_a_word(shop: Shop, table: str) -> None:
    shop.sql(f"create or replace table shop_raw.orders as {table}")
    for _ in range(2):
        found = shop.watch()
        assert found.notes == ()
        assert found.alarms == ()


def test_a_table_of_2000_columns_is_measured(shop: Shop) -> None:
    columns = ", ".join(f"(i * {n}) % 97 as c{n}" for n in range(2000))
    shop.sql(
        "create or replace table shop_raw.orders as select timestamp '2026-03-02' + "
        f"to_hours(i::int) as placed_at, {columns} from range(720) r(i)"
    )
    assert shop.watch().notes == ()
    assert history(shop.resolved, "orders.c1999.nulls", now=shop.now).points[-1].value == 0


def test_a_clock_that_went_back_leaves_the_history_in_order(shop: Shop) -> None:
    for hours in (0, 1, -5, -4, 2):
        shop.now += timedelta(hours=hours)
        assert shop.load("select 1").notes == ()
    moved = history(shop.resolved, "orders.freshness", now=shop.now)
    times = [one.at for one in moved.points]
    assert times == sorted(set(times))


def test_settings_choose_time_grain_and_what_never_alarms(tmp_path: Path) -> None:
    config = """
monitors:
  country: DE
  tables:
    shop_raw.orders: {grain: week, ignore: ["*"], columns: [amount]}
    shop_raw.none: {grain: day}
"""
    made = Shop(tmp_path, config)
    with closing(made.store):
        found = made.load(f"delete from shop_raw.orders where {LAST_DAY}")
        assert found.alarms == ()
        assert found.notes == ("monitors.tables.shop_raw.none: there is no such raw table or mart",)
        assert history(made.resolved, "shop_raw.orders.amount.mean").grain == "week"
        with pytest.raises(MonitorError, match="has no metric 'country"):
            history(made.resolved, "orders.country.nulls")


def test_a_wrong_setting_of_one_table_is_said_and_the_run_goes_on(tmp_path: Path) -> None:
    made = Shop(tmp_path, "monitors: {tables: {shop_raw.orders: {event_time: placed}}}\n")
    with closing(made.store):
        assert made.watch().notes == (
            (
                "shop_raw.orders is not monitored: its event_time 'placed' is no column: "
                "did you mean 'placed_at'?"
            ),
        )


def test_a_late_source_is_told_though_nothing_was_loaded(shop: Shop) -> None:
    for _ in range(8):
        shop.now += timedelta(days=1)
        day = f"{shop.now - timedelta(days=1):%Y-%m-%d}"
        shop.load(
            f"insert into shop_raw.orders select id + 1000000 * {shop.runs + 1}, "
            f"date_trunc('day', timestamp '{day}') + (placed_at - date_trunc('day', placed_at)), "
            f"country, amount, discount, note, '{shop.runs + 2}' from shop_raw.orders "
            f"where {LAST_DAY}"
        )
    shop.now += timedelta(days=4)
    found = shop.watch()
    assert [one.metric for one in found.alarms if one.is_new] == ["freshness"]
    assert "its newest data were 4 d" in found.alarms[0].text
    status = quality_status(shop.resolved, now=shop.now)
    assert status.freshness == ()  # a raw table that promises nothing


def test_names_of_metrics_are_proposed(shop: Shop) -> None:
    with pytest.raises(MonitorError, match="nothing was measured yet: run `headrace run` first"):
        history(shop.resolved, "orders.rows")
    shop.watch()
    for name, said in {
        "order.rows": "names no monitored table: write TABLE.METRIC",
        "orders": "name a metric of shop_raw.orders: there are rows",
        "orders.amount.men": "did you mean 'amount.mean'?",
    }.items():
        with pytest.raises(MonitorError) as error:
            history(shop.resolved, name)
        assert said in str(error.value)


def test_an_alarm_blocks_where_the_settings_say_so_unless_nothing_is_made_from_it(
    shop: Shop,
) -> None:
    found = shop.load(f"delete from shop_raw.orders where {LAST_DAY} and hash(id) % 2 = 0")
    one = found.alarms[0]
    for alarm, blocks in {
        one: True,
        one.model_copy(update={"downstream": ()}): False,
        one.model_copy(update={"metric": "duration"}): False,
        one.model_copy(update={"metric": "schema", "downstream": ()}): True,
        one.model_copy(update={"asset": MART, "downstream": ()}): True,
    }.items():
        watched = found.model_copy(update={"alarms": (alarm,)})
        audited = blocked(AuditReport(passed=True, problems=(), seconds=0.0), watched)
        assert (audited is not None) is blocks
        if audited is not None:
            assert not audited.passed
            assert f"`headrace quality expected {alarm.number}`" in audited.problems[0]
