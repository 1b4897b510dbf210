"""The laws of web analytics hold at any moment, and for who merges what changed."""

import io
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.synth.view import View
from headrace.synth.world import World

pytestmark = pytest.mark.slow

SCHEMAS = Path(__file__).parents[3] / "data" / "schemas"
START = datetime(2024, 1, 1, tzinfo=UTC)
SCALE = 0.1
FUNNEL = ("view_item", "add_to_cart", "begin_checkout", "purchase")
LATEST = timedelta(days=3)

Row = dict[str, Any]
Key = tuple[Any, ...]

moments = st.integers(min_value=24 * 60, max_value=40 * 24 * 60).map(
    lambda minutes: START + timedelta(minutes=minutes)
)
seeds = st.integers(min_value=0, max_value=3)


@cache
def world(name: str, seed: int) -> World:
    return World.from_file(SCHEMAS / f"{name}.yml", seed=seed, scale=SCALE)


def events(seed: int, moment: datetime, *, since: datetime | None = None) -> list[Row]:
    view = View.of(world("web_analytics", seed), moment)
    return list((view.delta(since) if since else view).table("events").to_pylist())


def keyed(rows: list[Row]) -> dict[Key, Row]:
    columns = world("web_analytics", 0).plans["events"].table.key
    return {tuple(row[column] for column in columns): row for row in rows}


def parameters(row: Row) -> dict[str, Any]:
    found = {}
    for parameter in row["event_params"]:
        (value,) = (value for value in parameter["value"].values() if value is not None)
        assert parameter["key"] not in found
        found[parameter["key"]] = value
    return found


def micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def sessions(rows: list[Row]) -> dict[Key, list[Row]]:
    """The events of each session, in their order."""
    found: dict[Key, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["batch_ordering_id"]):
        found[row["user_pseudo_id"], row["batch_page_id"]].append(row)
    return found


@settings(max_examples=6, deadline=None)
@given(seed=seeds, moment=moments)
def test_the_funnel_has_no_gaps_and_time_does_not_run_back(seed: int, moment: datetime) -> None:
    old = micros(moment - LATEST - timedelta(hours=3))
    for session in sessions(events(seed, moment)).values():
        times = [row["event_timestamp"] for row in session]
        assert times == sorted(times)
        assert times[-1] <= micros(moment)
        assert len({parameters(row)["ga_session_id"] for row in session}) == 1
        assert len({parameters(row)["ga_session_number"] for row in session}) == 1
        assert all(row["user_first_touch_timestamp"] <= row["event_timestamp"] for row in session)
        if times[-1] >= old:
            continue  # some of its events may be on their way still
        names = [row["event_name"] for row in session]
        assert [row["batch_ordering_id"] for row in session] == list(range(len(session)))
        assert names[0] == "session_start"
        assert ("first_visit" in names) == (parameters(session[0])["ga_session_number"] == 1)
        for before, step in pairwise(FUNNEL):
            if step in names:
                assert before in names[: names.index(step)], names


@settings(max_examples=5, deadline=None)
@given(seed=seeds, moment=moments)
def test_a_purchase_is_an_order_of_the_shop(seed: int, moment: datetime) -> None:
    view = View.of(world("shop", seed), moment)
    orders = {str(row["id"]): row for row in view.table("order").to_pylist()}
    lines: dict[str, list[Row]] = defaultdict(list)
    for line in view.table("order_line").to_pylist():
        lines[str(line["order_id"])].append(line)
    bought: dict[str, Row] = {}
    for row in events(seed, moment):
        assert (row["event_name"] == "purchase") == (row["event_value_in_usd"] is not None)
        if row["event_name"] == "purchase":
            order = orders[row["ecommerce"]["transaction_id"]]
            assert str(order["id"]) not in bought
            bought[str(order["id"])] = row
            assert order["source_name"] == "web"
            assert row["user_id"] == str(order["customer_id"])
            assert parameters(row)["transaction_id"] == str(order["id"])
            delay = row["event_timestamp"] - micros(order["created_at"])
            assert 0 <= delay < 10 * 60 * 1_000_000
            money = {
                "purchase_revenue": order["total_price"],
                "tax_value": order["total_tax"],
                "shipping_value": order["total_shipping"],
            }
            for name, amount in money.items():
                assert round(Decimal(row["ecommerce"][name]), 2) == amount
            items = [
                (int(item["item_variant"]), item["quantity"], round(Decimal(item["price"]), 2))
                for item in row["items"]
            ]
            assert items == [
                (line["variant_id"], line["quantity"], line["price"])
                for line in lines[str(order["id"])]
            ]
    settled = [
        name
        for name, order in orders.items()
        if order["source_name"] == "web" and order["created_at"] < moment - LATEST
    ]
    assert set(settled) <= set(bought)


@settings(max_examples=5, deadline=None)
@given(
    seed=seeds,
    first=moments,
    hours=st.lists(st.integers(min_value=1, max_value=300), min_size=1, max_size=2),
)
def test_merged_deltas_are_the_whole(seed: int, first: datetime, hours: list[int]) -> None:
    held = keyed(events(seed, first))
    assert len(held) == len(events(seed, first))
    moment = first
    for step in hours:
        since, moment = moment, moment + timedelta(hours=step)
        held |= keyed(events(seed, moment, since=since))
    assert held == keyed(events(seed, moment))


@settings(max_examples=5, deadline=None)
@given(seed=seeds, first=moments, hours=st.integers(min_value=1, max_value=300))
def test_what_is_new_is_at_most_three_days_old(seed: int, first: datetime, hours: int) -> None:
    """So that a source may look for it by the time of the event, with a lag of three days."""
    delta = events(seed, first + timedelta(hours=hours), since=first)
    oldest = min((row["event_timestamp"] for row in delta), default=micros(first))
    assert oldest >= micros(first - LATEST)


def test_some_events_are_late() -> None:
    delta = events(1, START + timedelta(days=21), since=START + timedelta(days=20))
    late = [row for row in delta if row["event_timestamp"] < micros(START + timedelta(days=19))]
    assert 0 < len(late) < len(delta) / 10


@pytest.mark.parametrize(
    ("struct", "column", "of"),
    [("geo", "country", "continent"), ("geo", "city", "country"), ("traffic_source", "medium", "")],
)
def test_what_belongs_together_does(struct: str, column: str, of: str) -> None:
    """A city has one country and a country one continent; a visitor has one first source."""
    owners: dict[Any, set[Any]] = defaultdict(set)
    for row in events(1, START + timedelta(days=20)):
        name, owner = row[struct][column], row[struct].get(of)
        if of:
            owners[name].add(owner)
        else:
            owners[row["user_pseudo_id"]].add(name)
    assert len(owners) > 5
    assert {len(found) for found in owners.values()} == {1}


def test_the_columns_are_those_of_the_export() -> None:
    """By the names of GA4's export; each has a description, nested ones too."""
    plan = world("web_analytics", 0).plans["events"]
    schema = View.of(world("web_analytics", 0), START + timedelta(days=2)).table("events").schema
    assert schema.names == plan.columns
    assert all(plan.table.fields[name].description for name in plan.columns)
    wanted = ["key", "value"]
    assert [field.name for field in schema.field("event_params").type.value_type] == wanted
    device = schema.field("device").type
    assert pa.types.is_struct(device.field("web_info").type)
    for name in ("user_id", "user_pseudo_id"):
        assert plan.table.fields[name].pii


def test_batches_can_be_written_as_parquet() -> None:
    """Dictionaries hold no null, which Parquet does not take."""
    plan = world("web_analytics", 0).plans["events"]
    for batch in View.of(world("web_analytics", 0), START + timedelta(days=2)).batches(plan):
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_batches([batch]), sink)
        names = pq.read_table(sink)["event_name"]
        assert set(names.to_pylist()) >= {"session_start", *FUNNEL}
