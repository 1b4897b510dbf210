"""The catalog written as rows of the run store's tables, and read from them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

import xxhash

from headrace.artifacts.reading import Reading
from headrace.catalog.model import Asset, Catalog, Column, ColumnEdge, ColumnLineageProblem

COLUMN_FIELDS = ("name", "data_type", "description", "tags", "pii", "nullable")


@dataclass(frozen=True)
class CatalogRows:
    """A catalog as rows of the tables, by key."""

    assets: Mapping[tuple[str, ...], dict[str, Any]]
    columns: Mapping[tuple[str, ...], dict[str, Any]]
    lineage: Mapping[tuple[str, ...], dict[str, Any]]
    readings: str
    digest: str

    @classmethod
    def of(cls, catalog: Catalog) -> "CatalogRows":
        """The rows of a catalog, without ``since``."""
        import msgspec

        encode = msgspec.json.Encoder(order="deterministic").encode
        problems: dict[str, list[str]] = {}
        for problem in catalog.problems:
            problems.setdefault(problem.asset, []).append(problem.message)
        assets: dict[tuple[str, ...], dict[str, Any]] = {}
        columns: dict[tuple[str, ...], dict[str, Any]] = {}
        lineage: dict[tuple[str, ...], dict[str, Any]] = {}
        whole = xxhash.xxh3_128()
        for key, asset in sorted(catalog.assets.items()):
            payload = encode(_compact(replace(asset, columns=()))).decode()
            assets[(key,)] = {
                "asset_id": key,
                "until": None,
                "kind": asset.kind,
                "name": asset.name,
                "description": asset.description,
                "digest": _digest(payload),
                "payload": payload,
            }
            for position, column in enumerate(asset.columns):
                row = {
                    "asset_id": key,
                    "until": None,
                    "name": column.name,
                    "position": position,
                    "data_type": column.data_type,
                    "description": column.description,
                    "tags": json.dumps(column.tags) if column.tags else "[]",
                    "pii": column.pii,
                    "nullable": column.nullable,
                }
                columns[key, column.name] = row
                whole.update(repr(tuple(row.values())).encode())
            edges = sorted(
                (edge.parent, edge.parent_column, edge.child_column, edge.kind)
                for edge in catalog.edges_by_child.get(key, ())
            )
            content: dict[str, Any] = {
                "parents": catalog.parents.get(key, ()),
                "edges": edges,
                "problems": sorted(problems.get(key, ())),
            }
            if catalog.lookups.get(key):
                content["lookups"] = catalog.lookups[key]
            graph = encode(content).decode()
            lineage[key,] = {
                "asset_id": key,
                "until": None,
                "digest": _digest(graph),
                "payload": graph,
            }
            whole.update(payload.encode())
            whole.update(graph.encode())
        readings = encode(catalog.readings).decode()
        whole.update(readings.encode())
        return cls(assets, columns, lineage, readings, whole.hexdigest())


def _compact(asset: Asset) -> dict[str, Any]:
    """An asset's fields whose value is not the default."""
    return {
        field.name: value
        for field in fields(Asset)
        if (value := getattr(asset, field.name)) not in (None, (), "", False, {})
    }


def _digest(text: str) -> str:
    return xxhash.xxh3_128_hexdigest(text.encode())


def readings_of(text: str) -> tuple[Reading, ...]:
    """The readings of a version, from their JSON."""
    import msgspec

    return msgspec.json.decode(text, type=tuple[Reading, ...])


def assemble(
    version: int,
    created_at: datetime,
    readings: tuple[Reading, ...],
    asset_rows: Iterable[Any],
    column_rows: Iterable[Any],
    lineage_rows: Iterable[Any],
) -> Catalog:
    """A catalog from its rows.

    Args:
        version: its number.
        created_at: UTC.
        readings: what it was built from.
        asset_rows: (asset id, payload).
        column_rows: (asset id, position, and ``COLUMN_FIELDS``).
        lineage_rows: (asset id, payload).
    """
    import msgspec

    columns: dict[str, list[tuple[int, Column]]] = {}
    for asset_id, position, name, data_type, description, tags, pii, nullable in column_rows:
        column = Column(
            name,
            data_type,
            description,
            tuple(json.loads(tags)) if tags != "[]" else (),
            pii,
            None if nullable is None else bool(nullable),
        )
        columns.setdefault(asset_id, []).append((position, column))
    decode_asset = msgspec.json.Decoder(Asset).decode
    assets: dict[str, Asset] = {}
    for key, payload in asset_rows:
        found = sorted(columns.get(key, ()), key=lambda item: item[0])
        asset = decode_asset(payload)
        assets[key] = replace(asset, columns=tuple(column for _, column in found))
    decode_graph = msgspec.json.Decoder(_Graph).decode
    parents: dict[str, tuple[str, ...]] = {}
    edges: list[ColumnEdge] = []
    problems: list[ColumnLineageProblem] = []
    lookups: dict[str, tuple[str, ...]] = {}
    for key, payload in lineage_rows:
        graph = decode_graph(payload)
        parents[key] = graph.parents
        edges += [
            ColumnEdge(parent, parent_column, key, child_column, kind)  # type: ignore[arg-type]
            for parent, parent_column, child_column, kind in graph.edges
        ]
        problems += [ColumnLineageProblem(key, message) for message in graph.problems]
        if graph.lookups:
            lookups[key] = graph.lookups
    return Catalog(
        assets=assets,
        parents=parents,
        column_edges=tuple(edges),
        problems=tuple(problems),
        lookups=lookups,
        readings=readings,
        version=version,
        created_at=created_at,
    )


@dataclass(frozen=True)
class _Graph:
    """The payload of a row of ``catalog_lineage``."""

    parents: tuple[str, ...]
    edges: list[tuple[str, str, str, str]]
    problems: tuple[str, ...]
    lookups: tuple[str, ...] = ()
