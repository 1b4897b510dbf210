"""What a user types, and the place that it names."""

from dataclasses import replace

import pytest

from headrace.catalog.model import Asset, Catalog, Column
from headrace.errors import LineageError
from headrace.lineage.find import NodeRef, find, version_meant


def _asset(key: str, kind: str, name: str, *columns: str, schema: str | None = None) -> Asset:
    return Asset(
        id=key,
        kind=kind,  # type: ignore[arg-type]
        name=name,
        database="warehouse" if schema else None,
        schema=schema,
        identifier=name if schema else None,
        columns=tuple(Column(column) for column in columns),
        dbt_id=f"source.shop.{name}" if kind == "table" else key,
    )


def _catalog(*assets: Asset) -> Catalog:
    return Catalog({asset.id: asset for asset in assets}, {asset.id: () for asset in assets})


CATALOG = _catalog(
    _asset("resource.shop.orders", "resource", "orders", "id", "lines[].taxes[].rate"),
    _asset("table.shop_raw.orders", "table", "orders", "id", "placed_at", schema="shop_raw"),
    _asset("table.shop_raw.events", "table", "events", "id", schema="shop_raw"),
    _asset("table.web_raw.events", "table", "events", "id", schema="web_raw"),
    _asset("model.p.orders", "model", "orders", "order_id", "Amount", schema="marts"),
    _asset("model.p.a.b", "model", "a.b", "c.d", 'say "hi"', schema="odd schema"),
    _asset("model.p.sla/sh", "model", "sla/sh", "../x", schema="marts"),
    _asset("model.p.שלום", "model", "שלום", "<b>", schema="marts"),
    _asset("model.p.bare", "model", "bare", schema="marts"),
    _asset("resource.till.sales", "resource", "till.sales", "id"),
    replace(_asset("table.till_raw.sales", "table", "sales", "id"), package="till"),
)


@pytest.mark.parametrize(
    ("text", "asset", "column"),
    [
        ("orders", "model.p.orders", None),  # what ref() finds goes before a raw table
        ("ORDERS.amount", "model.p.orders", "Amount"),
        ("marts.orders", "model.p.orders", None),
        ("marts.orders.order_id", "model.p.orders", "order_id"),
        ("warehouse.marts.orders.order_id", "model.p.orders", "order_id"),
        ("model.p.orders.order_id", "model.p.orders", "order_id"),
        ("shop_raw.orders.placed_at", "table.shop_raw.orders", "placed_at"),
        ("source.shop.orders.id", "table.shop_raw.orders", "id"),
        ("table.web_raw.events", "table.web_raw.events", None),
        (
            "resource.shop.orders.lines[].taxes[].rate",
            "resource.shop.orders",
            "lines[].taxes[].rate",
        ),
        ("till.sales", "resource.till.sales", None),  # its own name, not one put together
        ("sales", "table.till_raw.sales", None),
        ("a.b", "model.p.a.b", None),
        ("a.b.c.d", "model.p.a.b", "c.d"),
        ('a.b.say "hi"', "model.p.a.b", 'say "hi"'),
        ('"odd schema"."a.b"."say ""hi"""', "model.p.a.b", 'say "hi"'),
        ("sla/sh.../x", "model.p.sla/sh", "../x"),
        ("שלום.<b>", "model.p.שלום", "<b>"),
    ],
)
def test_a_name_finds_its_place(text: str, asset: str, column: str | None) -> None:
    assert find(CATALOG, text) == NodeRef(asset, column)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["name a node"]),
        (" ", ["name a node"]),
        ("ordres", ["no node 'ordres'", "did you mean orders"]),
        ("evnts.id", ["no node", "events"]),
        ("events", ["names 2 nodes", "table.shop_raw.events", "table.web_raw.events"]),
        ("events.id", ["names 2 nodes", "table.web_raw.events.id (table)"]),
        ("orders.amuont", ["model orders has no column 'amuont'", "it has Amount"]),
        ("orders.placed_at", ["no column 'placed_at'", "table.shop_raw.orders.placed_at"]),
        ("bare.x", ["no columns of it are known", "headrace run"]),
        ("x\ny", ["'x\\ny'"]),
        (".", ["no node"]),
        ("..", ["no node", "`headrace serve` lists"]),
        ("orders.", ["no node 'orders.'"]),
    ],
)
def test_what_is_not_there_is_told_with_what_is_near(text: str, words: list[str]) -> None:
    with pytest.raises(LineageError) as caught:
        find(CATALOG, text)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


def test_an_empty_catalog_says_what_fills_it() -> None:
    with pytest.raises(LineageError, match="headrace run"):
        find(_catalog(), "orders")


def test_one_of_50000_nodes_is_found_and_a_miss_ends() -> None:
    many = _catalog(*(_asset(f"model.p.m{n}", "model", f"m{n}", "x") for n in range(50_000)))
    assert find(many, "M49999.X") == NodeRef("model.p.m49999", "x")
    with pytest.raises(LineageError, match="did you mean"):
        find(many, "m499999")


VERSIONS = _catalog(
    *(
        replace(
            _asset(f"model.p.dim.v{number}", "model", f"dim.v{number}", "id", schema="marts"),
            identifier=f"dim_v{number}" if number < 3 else "dim_next",
            package="p",
            latest_of="dim" if number == 2 else None,
        )
        for number in (1, 2, 3)
    ),
    _asset("table.raw.dim", "table", "dim", "id", schema="raw"),
)


@pytest.mark.parametrize(
    ("text", "asset"),
    [
        ("dim", "model.p.dim.v2"),
        ("DIM.id", "model.p.dim.v2"),
        ("p.dim", "model.p.dim.v2"),
        ("dim.v1", "model.p.dim.v1"),
        ("dim_v1", "model.p.dim.v1"),
        ("dim.v1.id", "model.p.dim.v1"),
        ("dim_v3.id", "model.p.dim.v3"),
        ("dim_next", "model.p.dim.v3"),
        ("marts.dim_v2", "model.p.dim.v2"),
        ("raw.dim", "table.raw.dim"),
    ],
)
def test_a_versioned_model_is_its_latest_version(text: str, asset: str) -> None:
    place = find(VERSIONS, text)
    assert place.asset == asset
    said = version_meant(VERSIONS, text, place)
    bare = text.casefold() in {"dim", "dim.id", "p.dim"}
    also = "there is also dim.v1, dim.v3"
    assert said == (f"dim means dim.v2, its latest version; {also}" if bare else None)
