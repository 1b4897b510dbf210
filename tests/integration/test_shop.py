"""The simulated shop through the whole job: loaded, built, tested, published, and loaded again."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.compute as pc
import pytest
from lab import ROOT, Lab

from headrace.errors import SourceError
from headrace.pipeline.reports import RunReport
from headrace.synth.view import View
from headrace.synth.world import World

SCHEMA = ROOT / "data" / "schemas" / "shop.yml"
SCALE = 0.05
FIRST = datetime(2024, 5, 1, tzinfo=UTC)
LATER = datetime(2024, 5, 8, 15, tzinfo=UTC)


def run(lab: Lab, as_of: datetime) -> RunReport:
    moment = as_of.strftime("%Y-%m-%dT%H:%M:%SZ")
    report = lab.set(f"sources.shop.scale={SCALE}", f"sources.shop.as_of={moment}").run(
        sources=("shop",)
    )
    assert report.build is not None
    bad = [node for node in report.build.nodes if node.status not in {"success", "pass"}]
    assert bad == []
    assert report.status == "success"
    return report


def loaded(report: RunReport) -> dict[str, tuple[int, int, int]]:
    assert report.load is not None
    return {
        table.table: (table.rows_new, table.rows_changed, table.rows_total)
        for table in report.load.tables
    }


def test_a_shop_lives_on(whole_lab: Lab) -> None:
    world = World.from_file(SCHEMA, seed=0, scale=SCALE)
    names = [plan.name for plan in world.tables if plan.table.group == "relational"]
    then, now = View.of(world, FIRST), View.of(world, LATER)

    first = loaded(run(whole_lab, FIRST))
    before = {name: then.table(name).num_rows for name in names}
    assert first == {name: (rows, 0, rows) for name, rows in before.items() if rows}
    check_marts(whole_lab.published, then)

    second = loaded(run(whole_lab, LATER))
    changes = now.delta(FIRST)
    expected = {}
    for name in names:
        rows, total = changes.table(name).num_rows, now.table(name).num_rows
        if rows:
            expected[name] = (total - before[name], rows - (total - before[name]), total)
    assert second == expected
    assert 0 < second["order"][0] < before["order"]
    assert second["order"][1] > 0, "orders of the first load went on"
    check_marts(whole_lab.published, now)


def test_another_shop_is_not_mixed_into_one(lab: Lab) -> None:
    lab = lab.set("sources.shop.scale=0.01", "sources.shop.as_of=2024-02-01")
    lab.load("shop")
    other = lab.set("sources.shop.as_of=2024-02-02", "sources.shop.seed=3")
    with pytest.raises(SourceError, match=r"with seed 0 and scale 0.01, and now .* 3 and 0.01"):
        other.load("shop")
    other.load("shop", full_refresh=True)
    wanted = View.of(World.from_file(SCHEMA, seed=3, scale=0.01), datetime(2024, 2, 2, tzinfo=UTC))
    with duckdb.connect(str(lab.warehouse), read_only=True) as connection:
        emails = connection.execute("select email from shop_raw.customer order by id").fetchall()
    assert [email for (email,) in emails] == wanted.table("customer")["email"].to_pylist()


def test_the_nested_shape_loads_under_another_name(lab: Lab) -> None:
    lab = lab.set(
        "sources.nested={kind: shop, shape: api, scale: 0.02}",
        "sources.nested.as_of=2024-06-01",
    )
    view = View.of(World.from_file(SCHEMA, seed=0, scale=0.02), datetime(2024, 6, 1, tzinfo=UTC))
    tables = {table.table: table.rows_total for table in lab.load("nested").tables}
    assert tables == {
        name: view.table(name).num_rows for name in ("products", "customers", "orders")
    }
    with duckdb.connect(str(lab.warehouse), read_only=True) as connection:
        rows = connection.execute(
            "select total_price, total_price_set, line_items, refunds "
            "from nested_raw.orders order by id"
        ).fetchall()
    wanted = view.table("orders").to_pylist()
    assert [price for price, *_ in rows] == [order["total_price"] for order in wanted]
    for (_, money, lines, refunds), order in zip(rows, wanted, strict=True):
        assert json.loads(money) == order["total_price_set"]
        assert json.loads(lines) == order["line_items"]
        assert len(json.loads(refunds)) == len(order["refunds"])


def check_marts(published: Path, view: View) -> None:
    """What the marts add up to is what the generator made."""
    tables = {
        name: view.table(name)
        for name in ("order", "order_line", "customer", "refund", "transaction", "inventory_level")
    }

    def total(name: str, column: str) -> Decimal:
        return Decimal(pc.sum(tables[name][column]).as_py() or 0)

    refunds = pc.equal(tables["transaction"]["kind"], "refund")
    refunded = pc.sum(tables["transaction"].filter(refunds)["amount"]).as_py() or 0
    lines = tables["order_line"]
    with duckdb.connect(str(published), read_only=True) as connection:

        def one(query: str) -> tuple[Any, ...]:
            row = connection.execute(query).fetchone()
            assert row is not None
            return row

        assert one(
            "select count(*), sum(total_amount), sum(paid_amount), sum(refunded_amount) "
            "from marts.fct_orders"
        ) == (
            tables["order"].num_rows,
            total("order", "total_price"),
            total("order", "total_received"),
            refunded,
        )
        assert one(
            "select count(*), sum(quantity), sum(net_amount) from marts.fct_order_lines"
        ) == (
            lines.num_rows,
            total("order_line", "quantity"),
            total("order_line", "pre_tax_price"),
        )
        assert one("select count(*), sum(refunded_amount) from marts.fct_refunds") == (
            tables["refund"].num_rows,
            refunded,
        )
        assert one(
            "select count(*), sum(number_of_orders), sum(lifetime_amount) from marts.dim_customers"
        ) == (
            tables["customer"].num_rows,
            total("customer", "orders_count"),
            total("customer", "total_spent"),
        )
        assert one("select sum(ordered_quantity) from marts.dim_products") == (
            total("order_line", "quantity"),
        )
        assert one(
            "select sum(available_quantity) from marts.fct_inventory_by_day "
            "where inventory_date = (select max(inventory_date) from marts.fct_inventory_by_day)"
        ) == (total("inventory_level", "available"),)
        assert one("select sum(number_of_customers) from marts.fct_cohort_retention "
                   "where months_since_first_order = 0") == (
            pc.count_distinct(tables["order"]["customer_id"]).as_py(),
        )  # fmt: skip
