"""Catalogs to look at: a thousand nodes in layers, and names that mean harm."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from headrace.catalog import Asset, Catalog, Column, ColumnEdge, RunStore, TestInfo
from headrace.catalog.model import AssetKind, EdgeKind

EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    'it\'s "quoted" & \\slashed/..\\..',
    "../../etc/passwd",
    "{{ 7 * 7 }}{% raw %}",
    "\u0645\u0631\u062d\u0628\u0627\u202e\u05e9\u05dc\u05d5\u05dd",
    "a" * 100,
    "-- ; drop table x",
    "javascript:alert(3)",
    "\u2028line\u2029</script>",
)
_MARKDOWN = "[x](javascript:alert(4)) ![y](https://tracker.example/p.png) <b>z</b>"
_LAYERS: tuple[tuple[str, AssetKind, float], ...] = (
    ("raw", "table", 0.2),
    ("stg", "model", 0.2),
    ("int", "model", 0.2),
    ("int2", "model", 0.12),
    ("fct", "model", 0.12),
    ("dim", "model", 0.08),
    ("rpt", "model", 0.06),
    ("dash", "exposure", 0.02),
)
_TOPICS = ("orders", "customers", "payments", "products", "events", "sessions", "invoices", "stock")
_WORDS = ("daily", "by_region", "by_channel", "history", "enriched", "deduplicated", "summary")
_COLUMNS = ("id", "customer_id", "email", "amount", "status", "created_at")
_PII = {"email": "email"}
_TYPES = ("BIGINT", "BIGINT", "VARCHAR", "DECIMAL(12,2)", "VARCHAR", "TIMESTAMP")
_SQL = """with source as (
    select * from raw.orders  -- as loaded
)

select id, amount * 1.2 as amount from source where status = 'paid'
"""


def layered(count: int = 1000, *, seed: int = 7) -> Catalog:
    """A catalog of ``count`` assets without tests, and some tests, like a big project's."""
    draw = random.Random(seed)
    layers: list[list[Asset]] = []
    parents: dict[str, tuple[str, ...]] = {}
    edges: list[ColumnEdge] = []
    for depth, (prefix, kind, share) in enumerate(_LAYERS):
        layer = [_asset(prefix, kind, number) for number in range(round(count * share))]
        layers.append(layer)
        for asset in layer:
            near = [_near(draw, layers, depth) for _ in range(draw.choice((1, 1, 2, 2, 3)))]
            read = sorted({parent.id for parent in near}) if depth else []
            parents[asset.id] = tuple(read)
            if asset.kind != "exposure":
                edges += _edges(asset, read)
    assets = {asset.id: asset for layer in layers for asset in layer}
    for asset in [asset for layer in layers[1:3] for asset in layer][: count // 5]:
        test = _test(asset)
        assets[test.id] = test
        parents[test.id] = (asset.id,)
    edges.sort(key=lambda edge: (edge.child, edge.child_column, edge.parent, edge.parent_column))
    return Catalog(assets=assets, parents=parents, column_edges=tuple(edges))


def _near(draw: random.Random, layers: list[list[Asset]], depth: int) -> Asset:
    layer = layers[max(0, depth - (1 if draw.random() < 0.8 else 2))]
    return draw.choice(layer)


def _asset(prefix: str, kind: AssetKind, number: int) -> Asset:
    topic, word = _TOPICS[number % len(_TOPICS)], _WORDS[number // len(_TOPICS) % len(_WORDS)]
    name = f"{prefix}_{topic}_{word}_{number}"
    key = f"table.shop_raw.{name}" if kind == "table" else f"{kind}.big.{name}"
    has_columns = kind != "exposure"
    return Asset(
        id=key,
        kind=kind,
        name=name,
        schema={"table": "shop_raw", "exposure": None}.get(kind, prefix),
        identifier=name if has_columns else None,
        description=f"One row per {topic[:-1]}, {word.replace('_', ' ')}.",
        owners=(f"team-{number % 5}@example.com",),
        tags=(topic,) if number % 3 == 0 else (),
        columns=tuple(
            Column(column, data_type, f"The {column} of it.", pii=_PII.get(column))
            for column, data_type in zip(_COLUMNS, _TYPES, strict=True)
        )
        if has_columns
        else (),
        materialized="table" if kind == "model" else None,
        raw_code=_SQL.replace("raw.orders", "{{ ref('orders') }}") if kind == "model" else None,
        compiled_code=_SQL if kind == "model" else None,
    )  # fmt: skip


def _edges(asset: Asset, parents: list[str]) -> list[ColumnEdge]:
    """Values come from the first parent; the others are joined on."""
    kinds: tuple[EdgeKind, ...] = ("copied", "copied", "copied", "computed", "renamed", "copied")
    found = [
        ColumnEdge(parents[0], column, asset.id, column, kind)
        for column, kind in zip(_COLUMNS, kinds, strict=True)
        if parents
    ]
    return found + [ColumnEdge(parent, "id", asset.id, "", "joined") for parent in parents[1:]]


def _test(asset: Asset) -> Asset:
    return Asset(
        id=f"test.big.not_null_{asset.name}",
        kind="test",
        name=f"not_null(id) on {asset.name}",
        test=TestInfo("not_null", asset.id, "id", "error"),
    )


def hostile() -> Catalog:
    """Names, texts and columns that would run, climb or break if one of them got through."""
    assets: dict[str, Asset] = {}
    parents: dict[str, tuple[str, ...]] = {}
    edges: list[ColumnEdge] = []
    last: Asset | None = None
    for number, evil in enumerate(EVIL):
        asset = Asset(
            id=f"model.evil.{evil}",
            kind="model",
            name=evil,
            schema="s<b>",
            identifier=evil,
            description=f"{evil}\n\n{_MARKDOWN}",
            owners=(evil,),
            tags=(evil,),
            columns=(Column(evil, evil, evil, (evil,), pii=evil), Column("plain", "BIGINT")),
            path=evil,
            raw_code=evil,
            compiled_code=evil,
            url="javascript:alert(5)",
            meta={evil: evil},
        )
        test = Asset(
            id=f"test.evil.{number}{evil}",
            kind="test",
            name=f"{evil} on {evil}",
            test=TestInfo(evil, asset.id, evil, "error", {evil: evil}),
        )
        assets |= {asset.id: asset, test.id: test}
        parents |= {asset.id: (last.id,) if last else (), test.id: (asset.id,)}
        if last is not None:
            edges.append(ColumnEdge(last.id, "plain", asset.id, evil, "computed"))
        last = asset
    return Catalog(assets=assets, parents=parents, column_edges=tuple(edges))


def stored(catalog: Catalog, path: Path, *, runs: int = 3, most: int = 60) -> str:
    """The URL of a run store that holds the catalog and some runs over it, the last one bad."""
    url = f"sqlite:///{path}"
    store = RunStore(url)
    now = datetime.now(UTC)
    nodes = [asset for asset in catalog.assets.values() if asset.kind in {"model", "test"}][-most:]
    for number in range(runs):
        run_id = f"run-{number}"
        start = now - timedelta(hours=runs - number)
        is_bad = number == runs - 1
        status = "failed" if is_bad else "success"
        store.begin_run(run_id, command="run", target="duckdb", lock="x", code_version="0.1.0")
        store.save_catalog(catalog, run_id)
        build = start + timedelta(seconds=4)
        store.add_step(run_id, "load", "success", 4.0, start)
        store.add_step(run_id, "build", status, 30.0, build)
        store.add_nodes(
            run_id, [_node(asset, place, build, is_bad=is_bad) for place, asset in enumerate(nodes)]
        )
        store.end_run(
            run_id,
            status=status,
            seconds=35.0,
            error=None,
            rows_loaded=1000 + number,
            published_path=None,
        )
    store.close()
    return url


def _node(asset: Asset, place: int, build: datetime, *, is_bad: bool) -> dict[str, Any]:
    """A row of the run store: every seventh test fails in a bad run."""
    fails = is_bad and asset.is_test and place % 7 == 0
    good = "pass" if asset.is_test else "success"
    return {
        "unique_id": asset.id,
        "name": asset.name,
        "label": asset.name,
        "resource_type": asset.kind,
        "status": "fail" if fails else good,
        "started_at": build + timedelta(seconds=place // 4 * 1.8),
        "seconds": 0.4 + place % 5 * 0.3,
        "thread": f"Thread-{place % 4 + 1}",
        "failures": 3 if fails else None,
        "message": "Got 3 results, configured to fail if != 0" if fails else None,
    }


def lived_in(url: str) -> None:
    """Add to the jaffle shop's run store a version with personal data, and a run that failed."""
    store = RunStore(url)
    first = store.load_catalog()
    assert first is not None
    assets = dict(first.assets)
    for key in ("table.jaffle_shop_raw.raw_customers", "model.headrace.customers"):
        assets[key] = replace(assets[key], columns=tuple(map(_personal, assets[key].columns)))
    orders = assets["model.headrace.orders"]
    gone = replace(orders.columns[-1], name="amount_before", data_type="DOUBLE")
    retyped = replace(orders.columns[0], data_type="INTEGER")
    assets[orders.id] = replace(
        orders, columns=(retyped, *orders.columns[1:], gone), description="One row per order now."
    )
    run_id = "worse"
    now = datetime.now(UTC)
    store.begin_run(run_id, command="run", target="duckdb", lock="none", code_version="0.1.0")
    store.save_catalog(replace(first, assets=assets), run_id)
    store.add_step(run_id, "build", "failed", 3.0, now)
    tests = [asset for asset in assets.values() if asset.test and asset.test.attached_to]
    chosen = [one for one in tests if one.test and one.test.attached_to == orders.id]
    store.add_nodes(
        run_id, [_node(asset, place, now, is_bad=True) for place, asset in enumerate(chosen)]
    )
    store.end_run(
        run_id, status="failed", seconds=3.4, error=None, rows_loaded=0, published_path=None
    )
    store.close()


def _personal(column: Column) -> Column:
    return replace(column, pii="name") if column.name.endswith("_name") else column
