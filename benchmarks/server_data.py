"""A project of any size as the server sees it: a catalog, a history of runs, a published file.

Everything is made from the position of an asset, so that two calls make the same. In layers of
equal size: resource, raw table, staging, intermediate, mart; every asset has one test, a tenth of
the marts has an exposure, and every column is made from one or two columns of the layer before.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headrace.catalog import Asset, Catalog, Column, ColumnEdge, Reading, RunStore, TestInfo
from headrace.sql_text import identifier, literal

LAYERS = ("resource", "raw", "staging", "intermediate", "marts")
_TEXT = """
    account address agent amount article asset balance bank batch bill booking brand budget
    campaign carrier cart category channel city claim client code comment company contact contract
    country coupon created credit currency customer date day deal debit delivery department deposit
    device discount district due duration email employee event exchange expense fee file first flag
    forecast gender goal gross group height hour identifier income index inventory invoice item job
    journey kind label last latitude lead level line link list loan location login longitude margin
    market media member merchant message method metric month name net note number offer office
    opened option order origin owner package page parent partner payment percent person phone plan
    platform point policy position post price priority product profile profit project promotion
    province quantity quarter query rank rate rating reason receipt record referral refund region
    region rental report request response result return revenue review role route salary sale
    schedule score season seat segment seller service session share shift shipment site size source
    stage start state station status stock store street subscription supplier target task tax team
    term ticket time title total tour track trade transfer type unit update usage user value vendor
    version visit volume wage warehouse week weight year zone
"""
_WORDS = tuple(dict.fromkeys(_TEXT.split()))
_SOURCES = 20


@dataclass(frozen=True)
class Size:
    """How large it is.

    Attributes:
        assets: those that are no tests.
        columns: of each of them.
        runs: that are recorded, each with all nodes.
        published: marts that are in the published file.
    """

    assets: int = 5000
    columns: int = 20
    runs: int = 20
    published: int = 50


@dataclass(frozen=True)
class Place:
    """Where it was written."""

    run_store_url: str
    published: Path


def write(directory: Path, size: Size) -> Place:
    """Write the run store and the published file into a directory."""
    place = Place(f"sqlite:///{directory / 'headrace.sqlite'}", directory / "published.duckdb")
    catalog = make_catalog(size)
    store = RunStore(place.run_store_url)
    try:
        store.save_catalog(_before(catalog), "run-000")
        for number in range(size.runs):
            write_run(store, catalog, f"run-{number:03d}", number)
        store.save_catalog(catalog, f"run-{size.runs - 1:03d}")
    finally:
        store.close()
    write_published(place.published, marts(catalog)[: size.published], rows=100)
    return place


def make_catalog(size: Size) -> Catalog:
    """The catalog."""
    per_layer = max(1, size.assets // len(LAYERS))
    assets: dict[str, Asset] = {}
    parents: dict[str, tuple[str, ...]] = {}
    edges: list[ColumnEdge] = []
    before: list[Asset] = []
    for layer in LAYERS:
        here = [_asset(layer, position, size.columns) for position in range(per_layer)]
        for position, asset in enumerate(here):
            assets[asset.id] = asset
            read = before[position : position + 2] if layer in {"intermediate", "marts"} else (
                before[position : position + 1]
            )  # fmt: skip
            parents[asset.id] = tuple(sorted(parent.id for parent in read))
            edges += _edges(asset, read)
            test = _test(asset)
            assets[test.id] = test
            parents[test.id] = (asset.id,)
        before = here
    for position, mart in enumerate(before):
        if position % 10 == 0:
            exposure = Asset(
                id=f"exposure.lab.board_{position}", kind="exposure", name=f"board_{position}",
                owners=(f"team_{position % 7}@example.com",), url="https://example.com/board",
            )  # fmt: skip
            assets[exposure.id] = exposure
            parents[exposure.id] = (mart.id,)
    reading = Reading("manifest.json", "v12", "strict")
    return Catalog(assets, parents, column_edges=tuple(edges), readings=(reading,))


def marts(catalog: Catalog) -> list[Asset]:
    """The assets of the last layer."""
    return [asset for asset in catalog.assets.values() if asset.schema == "marts"]


def write_run(store: RunStore, catalog: Catalog, run_id: str, number: int) -> None:
    """Record a run with all nodes; every hundredth test fails in it, others in turn warn."""
    store.begin_run(run_id, command="headrace run", target="duckdb", lock="x", code_version="1")
    loads = [
        {
            "source": f"source_{source}", "table": "t", "rows_new": 10, "rows_changed": number,
            "rows_total": 100, "rows_quarantined": 0, "new_columns": None,
        }
        for source in range(_SOURCES)
    ]  # fmt: skip
    store.add_loads(run_id, loads)
    store.add_step(run_id, "load", "success", 1.5)
    store.add_nodes(run_id, list(_nodes(catalog, number)))
    store.add_step(run_id, "build", "success", 12.5)
    store.add_step(run_id, "publish", "success", 0.5)
    store.end_run(
        run_id, status="success", seconds=14.5, error=None, rows_loaded=10, published_path=None
    )


def write_published(path: Path, assets: list[Asset], *, rows: int) -> None:
    """Write a file as ``headrace publish`` does, with made-up values."""
    import duckdb

    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema _headrace")
        connection.execute(
            "create table _headrace.publication as select 'run-000' as run_id, "
            "timestamptz '2026-01-01 00:00:00+00' as published_at, 'v' as code_version, "
            "'duckdb' as target"
        )
        connection.execute(
            "create table _headrace.tables "
            "(name varchar, row_count bigint, unique_id varchar, fingerprint varchar)"
        )
        for asset in assets:
            schema, table = asset.schema or "main", asset.identifier or asset.name
            connection.execute(f"create schema if not exists {identifier(schema)}")
            chosen = ", ".join(
                f"{literal(column.name + ' ')} || i as {identifier(column.name)}"
                for column in asset.columns
            )
            connection.execute(
                f"create table {identifier(schema)}.{identifier(table)} as "
                f"select {chosen} from range({rows}) as numbers(i)"
            )
            connection.execute(
                "insert into _headrace.tables values (?, ?, ?, 'f')",
                [f"{schema}.{table}", rows, asset.id],
            )


def _asset(layer: str, position: int, columns: int) -> Asset:
    draw = random.Random(f"{layer}.{position}")
    name = f"{draw.choice(_WORDS)}_{draw.choice(_WORDS)}_{position}"
    words = draw.sample(_WORDS, columns) if columns <= len(_WORDS) else list(_WORDS) * columns
    described = f"One row per {name.replace('_', ' ')}, as the layer {layer} has it."
    source = f"source_{position % _SOURCES}"
    made = tuple(
        Column(
            f"{words[number]}_{number}",
            "VARCHAR" if number % 3 else "BIGINT",
            f"What the {words[number]} of {name} is.",
            pii="email" if layer == "resource" and number == 3 else None,
        )
        for number in range(columns)
    )
    common: dict[str, Any] = {
        "name": name, "description": described, "columns": made,
        "owners": (f"team_{position % 7}@example.com",), "tags": (f"tag_{position % 11}",),
    }  # fmt: skip
    if layer == "resource":
        return Asset(id=f"resource.{source}.{name}", kind="resource", package=source, **common)
    if layer == "raw":
        schema = f"{source}_raw"
        return Asset(
            id=f"table.{schema}.{name}", kind="table", schema=schema, identifier=name,
            package=source, **common,
        )  # fmt: skip
    names = ",\n    ".join(column.name for column in made)
    return Asset(
        id=f"model.lab.{layer}_{name}", kind="model", schema=layer, identifier=name,
        package="lab", materialized="table", path=f"models/{layer}/{name}.sql",
        raw_code=f"select\n    {names}\nfrom {{{{ ref('x') }}}}",
        compiled_code=f"select\n    {names}\nfrom warehouse.x", access="public", **common,
    )  # fmt: skip


def _test(asset: Asset) -> Asset:
    column = asset.columns[0].name
    return Asset(
        id=f"test.lab.not_null_{asset.id}", kind="test", name=f"not_null({column}) on {asset.name}",
        test=TestInfo("not_null", asset.id, column, "error"),
    )  # fmt: skip


def _edges(asset: Asset, read: list[Asset]) -> Iterator[ColumnEdge]:
    for number, parent in enumerate(read):
        for above, column in zip(parent.columns, asset.columns, strict=True):
            if number == 0:
                yield ColumnEdge(parent.id, above.name, asset.id, column.name, "renamed")
        yield ColumnEdge(parent.id, parent.columns[0].name, asset.id, "", "joined")
        if number:
            first, last = parent.columns[-1].name, asset.columns[-1].name
            yield ColumnEdge(parent.id, first, asset.id, last, "computed")


def _nodes(catalog: Catalog, number: int) -> Iterator[dict[str, Any]]:
    for position, asset in enumerate(catalog.assets.values()):
        if asset.kind not in {"model", "test"}:
            continue
        good = "pass" if asset.is_test else "success"
        failed = asset.is_test and position % 200 == 1
        warned = asset.is_test and position % 200 == 101 + number % 2
        yield {
            "unique_id": asset.id,
            "name": asset.name,
            "label": asset.name,
            "resource_type": asset.kind,
            "status": "fail" if failed else "warn" if warned else good,
            "seconds": 0.1 + (position * 7 + number) % 50 / 100,
            "failures": 3 if failed or warned else None,
            "message": "Got 3 results, configured to fail if != 0" if failed else None,
            "started_at": None,
            "thread": "Thread-1",
        }


def _before(catalog: Catalog) -> Catalog:
    """The catalog as it was: a column of each tenth mart less, and another type."""
    assets = dict(catalog.assets)
    for position, asset in enumerate(marts(catalog)):
        if position % 10 == 0 and len(asset.columns) > 2:
            first, *rest = asset.columns
            changed = (replace(first, data_type="INTEGER"), *rest[:-1])
            assets[asset.id] = replace(asset, columns=changed)
    return replace(catalog, assets=assets, column_edges=())
