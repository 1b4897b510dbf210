"""The laws of simulated sources, for schemas and moments drawn at random."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import headrace.synth.view as view_module
from headrace.synth.schema.schema_file import parse
from headrace.synth.view import View
from headrace.synth.world import World
from synth_lab import START, Rows, merged, moments, rows, worlds

pytestmark = pytest.mark.slow

quick = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@given(world=worlds(), first=moments(), second=moments())
@quick
def test_a_snapshot_and_a_delta_are_the_next_snapshot(
    world: World, first: datetime, second: datetime
) -> None:
    earlier, later = sorted((first, second))
    before, after = View.of(world, earlier), View.of(world, later)
    delta = after.delta(earlier)
    for plan in world.tables:
        assert merged(rows(before, plan.name), delta, plan.name) == rows(after, plan.name)


@given(world=worlds(0.4), first=moments(40))
@settings(quick, max_examples=3)
def test_thirty_days_in_a_chain(world: World, first: datetime) -> None:
    states: dict[str, Rows] = {p.name: rows(View.of(world, first), p.name) for p in world.tables}
    for day in range(1, 31):
        moment = first + timedelta(days=day)
        delta = View.of(world, moment).delta(moment - timedelta(days=1))
        states = {name: merged(state, delta, name) for name, state in states.items()}
    last = View.of(world, first + timedelta(days=30))
    assert states == {plan.name: rows(last, plan.name) for plan in world.tables}


@given(world=worlds(), moment=moments())
@quick
def test_no_child_before_its_parent_and_every_key_is_valid(world: World, moment: datetime) -> None:
    view = View.of(world, moment)
    found = {plan.name: rows(view, plan.name) for plan in world.tables}
    times = {
        name: {key[0]: row["created_at"] for key, row in found[name].items()}
        for name in ("customer", "product", "order")
    }
    for order in found["order"].values():
        assert times["customer"][order["customer_id"]] <= order["created_at"]
        assert order["place_id"] is None or (order["place_id"],) in found["place"]
        assert order["created_at"] <= order["updated_at"]
    for line in found["line"].values():
        assert times["product"][line["product_id"]] <= times["order"][line["order_id"]]
    for customer in found["customer"].values():
        if customer["invited_by"] is not None:
            assert times["customer"][customer["invited_by"]] <= customer["created_at"]
    for refund in found["refund"].values():
        assert times["order"][refund["order_id"]] < refund["created_at"]
    assert {(review["line_id"],) for review in found["review"].values()} <= set(found["line"])


@given(world=worlds(), moment=moments())
@quick
def test_what_is_added_up_agrees(world: World, moment: datetime) -> None:
    view = View.of(world, moment)
    found = {plan.name: rows(view, plan.name) for plan in world.tables}
    lines: Counter[int] = Counter()
    spent: Counter[int] = Counter()
    orders: Counter[int] = Counter()
    for line in found["line"].values():
        lines[line["order_id"]] += line["amount"]
    for (number,), order in found["order"].items():
        assert order["total"] == lines[number]
        assert order["refunded"] == (order["total"] if order["status"] == "refunded" else 0)
        assert [item["amount"] for item in order["items"]] == [
            str(line["amount"]) for line in found["line"].values() if line["order_id"] == number
        ]
        orders[order["customer_id"]] += 1
        spent[order["customer_id"]] += order["total"]
    for (number,), customer in found["customer"].items():
        assert customer["orders"] == orders[number]
        assert customer["spent"] == spent[number]
        assert (customer["first_order_at"] is None) == (orders[number] == 0)


@given(world=worlds(), moment=moments())
@quick
def test_statuses_climb_their_ladder(world: World, moment: datetime) -> None:
    """An order that was paid has a time for it, and its status never goes back."""
    before, after = (
        rows(View.of(world, moment), "order"),
        rows(View.of(world, moment + timedelta(2)), "order"),
    )
    onward = {
        "pending": {"pending", "paid", "voided", "refunded"},
        "paid": {"paid", "refunded"},
        "voided": {"voided"},
        "refunded": {"refunded"},
    }
    for key, order in before.items():
        assert after[key]["status"] in onward[order["status"]]
        assert (order["paid_at"] is not None) == (order["status"] in {"paid", "refunded"})


@given(world=worlds(), moment=moments(), count=st.integers(2, 5))
@quick
def test_the_parts_are_the_whole(world: World, moment: datetime, count: int) -> None:
    from headrace.synth.writer import Share

    view = View.of(world, moment)
    for plan in world.tables:
        whole = view.table(plan.name).to_pylist()
        total = view.root_total(plan)
        parts: list[Any] = []
        for number in range(1, count + 1):
            for batch in view.batches(plan, Share(number, count).rows(total)):
                parts += batch.to_pylist()
        assert parts == whole


@given(world=worlds(), moment=moments(), size=st.sampled_from([16, 64, 1_000]))
@quick
def test_the_size_of_blocks_changes_nothing(
    world: World, moment: datetime, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {plan.name: View.of(world, moment).table(plan.name) for plan in world.tables}
    with monkeypatch.context() as patch:
        patch.setattr(view_module, "BLOCK_ROWS", size)
        patch.setattr(view_module, "SMALL", 0)
        for plan in world.tables:
            assert View.of(world, moment).table(plan.name).equals(whole[plan.name])


@given(world=worlds(1.0), first=moments())
@quick
def test_rows_keep_what_does_not_change(world: World, first: datetime) -> None:
    """A later snapshot has the same rows, but for what evolves."""
    before, after = View.of(world, first), View.of(world, first + timedelta(days=9))
    for name, still in {"product": ["price"], "order": ["created_at", "customer_id"]}.items():
        later = rows(after, name)
        for key, row in rows(before, name).items():
            assert {column: row[column] for column in still} == {
                column: later[key][column] for column in still
            }


def test_rates_follow_their_profile() -> None:
    text = """
schema:
  event:
    fields:
      id: {type: serial, primary_key: true}
      at:
        type: datetime
        distribution: rate
        start: 2024-01-01
        per_day: 400
        growth: 1.0
        weekday: [1, 1, 1, 1, 1, 0, 2]
        hour: [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
        season: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3]
"""
    view = View.of(World(parse(text)), START.replace(year=2026))
    times = view.table("event")["at"].to_pylist()
    assert times == sorted(times)
    weekdays = Counter(time.weekday() for time in times)
    hours = Counter(time.hour for time in times)
    years = Counter(time.year for time in times)
    months = Counter((time.year, time.month) for time in times)
    assert weekdays[5] == 0
    assert weekdays[6] / weekdays[2] == pytest.approx(2.0, rel=0.05)
    assert hours[3] == hours[23] == 0
    assert hours[12] / hours[15] == pytest.approx(3.0, rel=0.05)
    assert years[2025] / years[2024] == pytest.approx(2.0, rel=0.05)
    assert 2.7 < months[2024, 12] / months[2024, 11] < 3.8  # growth and five Sundays on top


def test_distributions_are_what_they_say() -> None:
    text = """
schema:
  t:
    count: 100000
    fields:
      gaussian: {type: numerical, distribution: gaussian, mean: 150.00, stddev: 50.00}
      free: {type: numerical, distribution: gaussian, mean: 1, stddev: 5, clip: false, round: null}
      lognormal: {type: numerical, distribution: lognormal, mean: 40, stddev: 30, round: 4}
      exponential: {type: numerical, distribution: exponential, mean: 7, round: null}
      poisson: {type: numerical, distribution: poisson, mean: 3.5}
      uniform: {type: numerical, min: -5, max: 5, round: 0}
      zipf: {type: numerical, distribution: zipf, max: 1000, exponent: 1.2}
      empirical: {type: numerical, distribution: empirical, quantiles: [0, 1, 10], round: 3}
      boolean: {type: boolean, probability: 0.2, null_rate: 0.1}
      category: {type: categorical, values: {a: 1, b: 2, c: 7}}
"""
    table = View.of(World(parse(text))).table("t")
    number = {
        name: np.array(table[name].to_pylist(), dtype=float) for name in table.column_names[:8]
    }
    assert number["gaussian"].min() > 0
    assert number["gaussian"].mean() == pytest.approx(150, abs=0.6)
    assert number["gaussian"].std() == pytest.approx(50, abs=0.6)
    assert (number["gaussian"] == 0).mean() == 0  # cut off, with nothing piled up at the end
    assert number["free"].min() < -10
    assert number["lognormal"].mean() == pytest.approx(40, abs=0.5)
    assert number["lognormal"].std() == pytest.approx(30, abs=1)
    assert number["exponential"].mean() == pytest.approx(7, abs=0.1)
    assert number["poisson"].var() == pytest.approx(3.5, abs=0.1)
    assert set(number["uniform"]) == set(range(-5, 6))
    counts = Counter(number["uniform"])
    assert max(counts.values()) / min(counts.values()) < 1.1
    ranks = Counter(number["zipf"])
    assert 1 <= min(ranks) < max(ranks) <= 1000
    assert ranks[1] / ranks[10] == pytest.approx(10**1.2, rel=0.35)
    assert np.median(number["empirical"]) == pytest.approx(1, abs=0.05)
    assert number["empirical"].max() <= 10
    flags = table["boolean"].to_pylist()
    assert flags.count(None) / len(flags) == pytest.approx(0.1, abs=0.01)
    assert flags.count(True) / (len(flags) - flags.count(None)) == pytest.approx(0.2, abs=0.01)
    shares = Counter(table["category"].to_pylist())
    assert shares["c"] / len(flags) == pytest.approx(0.7, abs=0.01)


def test_a_copula_correlates_what_it_names() -> None:
    text = """
schema:
  t:
    count: 50000
    correlation: {columns: [a, b, c], matrix: [[1, 0.8, -0.5], [0.8, 1, 0], [-0.5, 0, 1]]}
    fields:
      a: {type: numerical, distribution: gaussian, mean: 0, stddev: 1, clip: false, round: null}
      b: {type: numerical, distribution: exponential, mean: 3, round: null}
      c: {type: numerical, min: 0, max: 1, round: null}
      d: {type: numerical, min: 0, max: 1, round: null}
"""
    table = View.of(World(parse(text))).table("t")
    ranks = [np.argsort(np.argsort(table[name].to_numpy())) for name in "abcd"]
    found = np.atleast_2d(np.corrcoef(ranks))
    # a rank correlation is 6 / pi * asin(r / 2) of the copula's
    assert found[0, 1] == pytest.approx(0.786, abs=0.02)
    assert found[0, 2] == pytest.approx(-0.483, abs=0.02)
    assert abs(found[1, 2]) < 0.02
    assert abs(found[0, 3]) < 0.02


def test_unique_is_unique_by_construction() -> None:
    text = """
schema:
  t:
    count: 1500000
    fields:
      email: {type: unique, generator: faker.email}
      sku: {type: unique, pattern: "SKU-######-?"}
      id: {type: uuid}
"""
    table = View.of(World(parse(text))).table("t")
    for name in table.column_names:
        assert len(table[name].unique()) == 1_500_000, name


def test_before_the_start_there_is_nothing() -> None:
    from headrace.synth.errors import SynthError
    from synth_lab import SHOP

    text = SHOP.format(
        seed=0, growth=0, distribution="uniform", late="", corrections="", deletions=""
    )
    world = World(parse(text))
    with pytest.raises(SynthError, match="starts at 2024-01-01"):
        View.of(world, START - timedelta(seconds=1))
    assert View.of(world, START).table("order").num_rows == 0


def test_a_row_that_is_still_to_come_can_be_named() -> None:
    text = """
schema:
  day:
    fields:
      id: {type: serial, primary_key: true}
      at: {type: datetime, distribution: rate, start: 2024-01-01, per_day: 1}
  plan:
    count: 5
    fields:
      id: {type: serial, primary_key: true}
      day_id: {type: foreign_key, references: day.id, row: id * 10}
"""
    table = View.of(World(parse(text)), START + timedelta(days=3)).table("plan")
    assert table["day_id"].to_pylist() == [11, 21, 31, 41, 51]
