"""Which assets a search finds first."""

import pytest

from headrace.catalog.model import Asset, AssetKind
from headrace.server.search import SearchIndex


def _asset(kind: AssetKind, name: str, path: str = "", description: str = "") -> Asset:
    return Asset(
        id=f"{kind}.{name}", kind=kind, name=name, path=path or None, description=description
    )


ASSETS = (
    _asset("resource", "orders"),
    _asset("table", "raw_orders"),
    _asset("model", "stg_shop__orders", "models/staging/stg_shop__orders.sql"),
    _asset("model", "int_orders_joined", "models/intermediate/int_orders_joined.sql"),
    _asset("model", "order_items", "models/marts/order_items.sql"),
    _asset("model", "orders", "models/marts/orders.sql"),
    _asset("model", "customers", "models/marts/customers.sql", "With the sum of all orders."),
    _asset("exposure", "Orders by day"),
    _asset("unit_test", "orders"),
)
CHILDREN = {"model.orders": ("exposure.Orders by day", "test.orders"), "model.order_items": ("x",)}


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("orders", ["model.orders", "resource.orders", "exposure.Orders by day"]),
        ("order", ["model.orders", "model.order_items", "exposure.Orders by day"]),
        ("Orders_by", ["exposure.Orders by day"]),
        ("stg_shop__orders", ["model.stg_shop__orders"]),
        ("joined", ["model.int_orders_joined"]),
    ],
)
def test_names_then_marts_then_what_is_read_most(text: str, first: list[str]) -> None:
    found = [ASSETS[position].id for position in SearchIndex(ASSETS, CHILDREN).find(text)]

    assert found[: len(first)] == first


def test_marts_that_only_mention_a_word_come_before_sources_and_tests_come_last() -> None:
    found = [ASSETS[position].id for position in SearchIndex(ASSETS, CHILDREN).find("orders")]

    assert found.index("model.customers") < found.index("table.raw_orders")
    assert found[-1] == "unit_test.orders"
