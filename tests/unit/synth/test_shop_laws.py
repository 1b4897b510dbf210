"""The laws of a shop hold at any moment, and for who merges what changed."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.synth.view import View
from headrace.synth.world import World

pytestmark = pytest.mark.slow

SCHEMA = Path(__file__).parents[3] / "data" / "schemas" / "shop.yml"
START = datetime(2024, 1, 1, tzinfo=UTC)
ZERO = Decimal(0)

Row = dict[str, Any]
Tables = dict[str, list[Row]]

moments = st.integers(min_value=1, max_value=300 * 24 * 60).map(
    lambda minutes: START + timedelta(minutes=minutes)
)
seeds = st.integers(min_value=0, max_value=5)


@cache
def world(seed: int, scale: float = 0.15) -> World:
    return World.from_file(SCHEMA, seed=seed, scale=scale)


def snapshot(seed: int, moment: datetime) -> Tables:
    view = View.of(world(seed), moment)
    return {plan.name: view.table(plan.name).to_pylist() for plan in world(seed).tables}


def merged(seed: int, first: datetime, *later: datetime) -> Tables:
    """What a warehouse holds that merged deltas on the keys."""
    tables = snapshot(seed, first)
    since = first
    for moment in later:
        delta = View.of(world(seed), moment).delta(since)
        for plan in world(seed).tables:
            rows = {key(plan.table.key, row): row for row in tables[plan.name]}
            for row in delta.table(plan.name).to_pylist():
                rows[key(plan.table.key, row)] = row
            tables[plan.name] = list(rows.values())
        since = moment
    return tables


def key(columns: tuple[str, ...], row: Row) -> tuple[Any, ...]:
    return tuple(row[column] for column in columns)


def total(rows: list[Row], by: str, amount: Any) -> dict[Any, Any]:
    result: dict[Any, Any] = defaultdict(Decimal)
    for row in rows:
        result[row[by]] += amount(row)
    return result


def check_orders(tables: Tables) -> None:
    lines = total(tables["order_line"], "order_id", lambda row: row["price"] * row["quantity"])
    discounts = total(tables["order_line"], "order_id", lambda row: row["total_discount"])
    order_of = {row["id"]: row["order_id"] for row in tables["order_line"]}
    taxed = [row | {"order_id": order_of[row["order_line_id"]]} for row in tables["tax_line"]]
    taxes = total(taxed, "order_id", lambda row: row["price"])
    shipping = total(tables["order_shipping_line"], "order_id", lambda row: row["price"])
    done = [row for row in tables["transaction"] if row["status"] == "success"]
    paid = total(
        [row for row in done if row["kind"] in {"sale", "capture"}],
        "order_id",
        lambda row: row["amount"],
    )
    refunded = total(
        [row for row in done if row["kind"] == "refund"], "order_id", lambda row: row["amount"]
    )
    moved = total(tables["tender_transaction"], "order_id", lambda row: row["amount"])
    for order in tables["order"]:
        number = order["id"]
        assert order["total_line_items_price"] == lines[number]
        assert order["total_discounts"] == discounts[number]
        assert order["total_tax"] == taxes[number]
        assert order["total_shipping"] == shipping[number]
        assert order["total_price"] == (
            lines[number] - discounts[number] + taxes[number] + shipping[number]
        )
        assert order["total_received"] == paid[number]
        assert order["total_refunded"] == refunded[number]
        assert ZERO <= refunded[number] <= paid[number] <= order["total_price"]
        assert moved[number] == paid[number] - refunded[number]
        wanted = {
            "pending": (ZERO, ZERO),
            "authorized": (ZERO, ZERO),
            "voided": (ZERO, ZERO),
            "paid": (order["total_price"], ZERO),
            "refunded": (order["total_price"], order["total_price"]),
        }.get(order["financial_status"])
        if wanted is not None:
            assert (paid[number], refunded[number]) == wanted
        elif order["financial_status"] == "partially_paid":
            assert ZERO < paid[number] < order["total_price"]
        else:
            assert order["financial_status"] == "partially_refunded"
            assert ZERO < refunded[number] < paid[number]
        if order["fulfillment_status"] in {"partial", "fulfilled"}:
            assert paid[number] == order["total_price"]
        assert (order["cancelled_at"] is not None) == (order["financial_status"] == "voided")


def check_refunds(tables: Tables) -> None:
    bought = {row["id"]: row["quantity"] for row in tables["order_line"]}
    back = total(tables["order_line_refund"], "order_line_id", lambda row: row["quantity"])
    assert all(0 < back[line] <= bought[line] for line in back)
    for_lines = total(
        tables["order_line_refund"], "refund_id", lambda row: row["subtotal"] + row["total_tax"]
    )
    for_others = total(
        tables["order_adjustment"], "refund_id", lambda row: row["amount"] + row["tax_amount"]
    )
    paid_back = total(
        [row for row in tables["transaction"] if row["kind"] == "refund"],
        "refund_id",
        lambda row: row["amount"],
    )
    assert set(paid_back) == {row["id"] for row in tables["refund"]}
    for number, amount in paid_back.items():
        assert amount == for_lines[number] - for_others[number] > 0


def check_customers(tables: Tables) -> None:
    counts = Counter(row["customer_id"] for row in tables["order"])
    spent = total(
        tables["order"],
        "customer_id",
        lambda row: row["total_received"] - row["total_refunded"],
    )
    for customer in tables["customer"]:
        assert customer["orders_count"] == counts[customer["id"]]
        assert customer["total_spent"] == spent[customer["id"]]


def check_inventory(tables: Tables) -> None:
    """The stock follows from lines, refunds and cancelled orders, as the models compute it."""
    orders = {row["id"]: row for row in tables["order"]}
    item_of = {row["id"]: row["inventory_item_id"] for row in tables["product_variant"]}
    lines = {row["id"]: row for row in tables["order_line"]}
    sold: Counter[tuple[int, int]] = Counter()
    back: Counter[tuple[int, int]] = Counter()

    def level(line: Row) -> tuple[int, int]:
        return item_of[line["variant_id"]], orders[line["order_id"]]["location_id"]

    for line in lines.values():
        sold[level(line)] += line["quantity"]
        if orders[line["order_id"]]["cancelled_at"] is not None:
            back[level(line)] += line["quantity"]
    for row in tables["order_line_refund"]:
        if row["restock_type"] == "return":
            back[level(lines[row["order_line_id"]])] += row["quantity"]
    levels = {
        (row["inventory_item_id"], row["location_id"]): row for row in tables["inventory_level"]
    }
    assert set(sold) <= set(levels)
    for place, row in levels.items():
        received = sold[place] // row["reorder_quantity"] * row["reorder_quantity"]
        wanted = row["opening_quantity"] + received - sold[place] + back[place]
        assert row["available"] == wanted >= 0


PARENTS = {
    "product_variant": [("product_id", "product")],
    "order": [("customer_id", "customer")],
    "refund": [("order_id", "order")],
    "fulfillment": [("order_id", "order")],
    "transaction": [("order_id", "order"), ("refund_id", "refund"), ("parent_id", "transaction")],
    "abandoned_checkout": [("customer_id", "customer")],
}


def check_time(tables: Tables, moment: datetime) -> None:
    for name, rows in tables.items():
        for row in rows:
            if "updated_at" in row:
                assert row["created_at"] <= row["updated_at"], name
            for column, value in row.items():
                if isinstance(value, datetime):
                    assert value <= moment, f"{name}.{column}"
    for name, links in PARENTS.items():
        for column, parent in links:
            began = {row["id"]: row["created_at"] for row in tables[parent]}
            for row in tables[name]:
                if row[column] is not None:
                    assert began[row[column]] <= row["created_at"], f"{name}.{column}"
    for name, column, parent in (
        ("order_line", "order_id", "order"),
        ("order_line", "product_id", "product"),
        ("order_line", "variant_id", "product_variant"),
        ("order_line_refund", "refund_id", "refund"),
        ("order_line_refund", "order_line_id", "order_line"),
        ("order_adjustment", "refund_id", "refund"),
        ("tax_line", "order_line_id", "order_line"),
        ("tender_transaction", "transaction_id", "transaction"),
        ("inventory_level", "location_id", "location"),
        ("inventory_level", "inventory_item_id", "inventory_item"),
    ):
        assert {row[column] for row in tables[name]} <= {row["id"] for row in tables[parent]}


def check_shapes_agree(tables: Tables) -> None:
    """The nested objects hold what the relational tables hold."""
    orders = {row["id"]: row for row in tables["order"]}
    lines = total(tables["order_line"], "order_id", lambda row: Decimal(row["quantity"]))
    assert len(tables["orders"]) == len(orders)
    for nested in tables["orders"]:
        flat = orders[nested["id"]]
        assert Decimal(nested["total_price"]) == flat["total_price"]
        assert nested["total_price_set"]["shop_money"] == {
            "amount": nested["total_price"],
            "currency_code": flat["currency"],
        }
        assert nested["updated_at"] == flat["updated_at"]
        items = nested["line_items"]
        assert sum(item["quantity"] for item in items) == lines[nested["id"]]
        taxes = sum(
            (Decimal(tax["price"]) for item in items for tax in item["tax_lines"]), start=ZERO
        )
        assert taxes == flat["total_tax"]
        back = sum(
            (
                Decimal(line["subtotal"]) + Decimal(line["total_tax"])
                for refund in nested["refunds"]
                for line in refund["refund_line_items"]
            ),
            start=ZERO,
        ) - sum(
            (
                Decimal(adjustment["amount"]) + Decimal(adjustment["tax_amount"])
                for refund in nested["refunds"]
                for adjustment in refund["order_adjustments"]
            ),
            start=ZERO,
        )
        assert back == flat["total_refunded"]
    spent = {row["id"]: row["total_spent"] for row in tables["customer"]}
    assert {row["id"]: Decimal(row["total_spent"]) for row in tables["customers"]} == spent


def check(tables: Tables, moment: datetime) -> None:
    check_orders(tables)
    check_refunds(tables)
    check_customers(tables)
    check_inventory(tables)
    check_time(tables, moment)
    check_shapes_agree(tables)


@settings(max_examples=8, deadline=None)
@given(seed=seeds, moment=moments)
def test_the_laws_hold_at_any_moment(seed: int, moment: datetime) -> None:
    check(snapshot(seed, moment), moment)


@settings(max_examples=4, deadline=None)
@given(seed=seeds, times=st.lists(moments, min_size=2, max_size=3, unique=True).map(sorted))
def test_the_laws_hold_after_merges(seed: int, times: list[datetime]) -> None:
    tables = merged(seed, *times)
    check(tables, times[-1])
    fresh = snapshot(seed, times[-1])
    for plan in world(seed).tables:
        rows = sorted(tables[plan.name], key=lambda row: key(plan.table.key, row))
        assert rows == sorted(fresh[plan.name], key=lambda row: key(plan.table.key, row)), plan.name


def test_every_status_occurs() -> None:
    tables = snapshot(1, datetime(2024, 10, 1, tzinfo=UTC))
    seen = {row["financial_status"] for row in tables["order"]}
    assert {"paid", "partially_refunded", "refunded", "voided"} <= seen
    assert {"fulfilled", "restocked"} <= {row["fulfillment_status"] for row in tables["order"]}
    assert {"shipping_refund", "refund_discrepancy"} <= {
        row["kind"] for row in tables["order_adjustment"]
    }
    kinds = {row["kind"] for row in tables["transaction"]}
    assert kinds == {"authorization", "capture", "sale", "void", "refund"}


@pytest.mark.parametrize("days", [366])
def test_about_twenty_orders_a_day(days: int) -> None:
    full = World.from_file(SCHEMA)
    orders = View.of(full, START + timedelta(days=days)).table("order")
    assert 20 * days < orders.num_rows < 32 * days
    assert 160 <= View.of(full, START + timedelta(days=days)).table("product").num_rows <= 240


def test_everything_is_described() -> None:
    for plan in world(0).tables:
        assert plan.table.description, plan.name
        for name in plan.columns:
            assert plan.table.fields[name].description, f"{plan.name}.{name}"
