"""The tables of the run store, the upgrade of an older store, and the catalog as their rows."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import xxhash

from headrace.artifacts.reading import Reading
from headrace.catalog.metric_tables import metric_tables
from headrace.catalog.model import Asset, Catalog, Column, ColumnEdge, ColumnLineageProblem

if TYPE_CHECKING:
    from sqlalchemy import Column as SqlColumn
    from sqlalchemy import Connection, Table


SCHEMA_VERSION = 9

# Columns that came after version 1, by the version that brought them.
_NEW_COLUMNS = {
    2: (("steps", "started_at"), ("nodes", "started_at"), ("nodes", "thread")),
    3: (("loads", "rows_given"), ("loads", "rows_unchanged")),
    4: (("runs", "number"),),
    5: (("runs", "detail"), ("nodes", "detail")),
    6: (("steps", "message"),),  # and the tables of what is known of each table, see below
    # 7: the profiles; 8: the tables of metrics and alarms; 9: the promises
}


def upgrade(connection: "Connection", tables: "dict[str, Table]", found: int) -> None:
    """Add the columns that a store of version ``found`` lacks; they are null in its rows."""
    from sqlalchemy import inspect, text

    for version in range(found + 1, SCHEMA_VERSION + 1):
        for table, column in _NEW_COLUMNS.get(version, ()):
            there = {info["name"] for info in inspect(connection).get_columns(table)}
            if column not in there:  # else: an upgrade was interrupted before it wrote the version
                kind = tables[table].c[column].type.compile(connection.dialect)
                connection.execute(text(f'alter table {table} add column "{column}" {kind}'))
    for made in tables.values():
        for index in made.indexes:
            index.create(connection, checkfirst=True)


def tables() -> "dict[str, Table]":
    """All tables by name; a function, since SQLAlchemy is imported late."""
    from sqlalchemy import (
        BigInteger,
        Column,
        DateTime,
        Float,
        ForeignKey,
        Index,
        Integer,
        MetaData,
        String,
        Table,
        Text,
    )

    metadata: MetaData = MetaData()
    timestamp = DateTime(timezone=True)

    def run_column() -> "SqlColumn[Any]":
        return Column("run_id", String(40), ForeignKey("runs.run_id"), nullable=False, index=True)

    def identity() -> "SqlColumn[Any]":
        return Column(
            "id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
        )

    Table(
        "meta",
        metadata,
        Column("key", String(40), primary_key=True),
        Column("value", Text, nullable=False),
    )
    Table(
        "runs",
        metadata,
        Column("run_id", String(40), primary_key=True),
        Column("command", String(200), nullable=False),
        Column("status", String(20), nullable=False),
        Column("target", String(80), nullable=False),
        Column("lock", Text, nullable=False),
        Column("started_at", timestamp, nullable=False),
        Column("seconds", Float),
        Column("rows_loaded", BigInteger),
        Column("published_path", Text),
        Column("error", Text),
        Column("code_version", String(80), nullable=False),
        Column("detail", Text),  # of the error: JSON
        Column("number", BigInteger),  # in the order of their start, whatever the clock says
        Index("ix_runs_started_at", "started_at"),
    )
    Table(
        "steps",
        metadata,
        identity(),
        run_column(),
        Column("step", String(20), nullable=False),
        Column("status", String(20), nullable=False),
        Column("seconds", Float, nullable=False),
        Column("started_at", timestamp),
        Column("message", Text),  # why it failed
    )
    Table(
        "loads",
        metadata,
        identity(),
        run_column(),
        Column("source", String(200), nullable=False),
        Column("table", String(200), nullable=False),
        Column("rows_given", BigInteger),
        Column("rows_new", BigInteger, nullable=False),
        Column("rows_changed", BigInteger, nullable=False),
        Column("rows_unchanged", BigInteger),
        Column("rows_total", BigInteger, nullable=False),
        Column("rows_quarantined", BigInteger, nullable=False),
        Column("new_columns", Text),
    )
    Table(
        "nodes",
        metadata,
        identity(),
        run_column(),
        Column("unique_id", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("label", Text, nullable=False),
        Column("resource_type", String(40), nullable=False),
        Column("status", String(20), nullable=False),
        Column("seconds", Float, nullable=False),
        Column("failures", BigInteger),
        Column("message", Text),
        Column("detail", Text),  # of the message: JSON
        Column("started_at", timestamp),
        Column("thread", String(80)),
        Index("ix_nodes_unique_id", "unique_id", "id"),
    )
    Table(
        "load_failures",
        metadata,
        identity(),
        run_column(),
        Column("source", String(200), nullable=False),
        Column("table", String(200)),  # null: the whole source
        Column("message", Text, nullable=False),
    )
    Table(
        "row_counts",  # of models that are published, when they were audited
        metadata,
        identity(),
        run_column(),
        Column("unique_id", Text, nullable=False),
        Column("rows", BigInteger, nullable=False),
        Column("rows_new", BigInteger),  # these two are null where they were not compared
        Column("rows_changed", BigInteger),
        Index("ix_row_counts_unique_id", "unique_id", "id"),
    )
    Table(
        "quarantine",  # as it is now; what each load quarantined is in its row of `loads`
        metadata,
        identity(),
        Column("run_id", String(40)),
        Column("source", String(200), nullable=False, index=True),
        Column("table", String(200), nullable=False),
        Column("reason", String(80), nullable=False),
        Column("rows", BigInteger, nullable=False),
        Column("sample", Text, nullable=False),  # a few of the rows, masked: JSON
    )
    Table(
        "profiles",
        metadata,
        identity(),
        run_column(),
        Column("asset_id", Text, nullable=False),
        Column("rows", BigInteger, nullable=False),
        Column("stamp", String(80), nullable=False),  # of the table's content
        Column("payload", Text, nullable=False),  # JSON
        Index("ix_profiles_asset_id", "asset_id", "id"),
    )
    Table(
        "promises",
        metadata,
        identity(),
        run_column(),
        Column("unique_id", Text, nullable=False),
        Column("attached_to", Text),  # dbt's id of the table; null: of none
        Column("kind", String(40), nullable=False),
        Column("part", String(40)),
        Column("label", Text, nullable=False),
        Column("status", String(20), nullable=False),
        Column("message", Text),
        Column("promised_to", Text, nullable=False),
    )
    metric_tables(metadata)
    _catalog_tables(metadata)
    return dict(metadata.tables)


def _catalog_tables(metadata: Any) -> None:
    """The catalog by version: a row is valid from version ``since`` until before ``until``.

    A row whose ``until`` is null is valid now.
    """
    from sqlalchemy import (
        BigInteger,
        Boolean,
        Column,
        DateTime,
        Index,
        Integer,
        String,
        Table,
        Text,
    )

    def span() -> "list[Column[Any]]":
        return [
            Column(
                "id",
                BigInteger().with_variant(Integer, "sqlite"),
                primary_key=True,
                autoincrement=True,
            ),
            Column("asset_id", Text, nullable=False),
            Column("since", Integer, nullable=False),
            Column("until", Integer),
        ]

    Table(
        "catalog_versions",
        metadata,
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("run_id", String(40)),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("digest", String(32), nullable=False),
        Column("readings", Text, nullable=False),
    )
    Table(
        "catalog_assets",
        metadata,
        *span(),
        Column("kind", String(20), nullable=False),
        Column("name", Text, nullable=False),
        Column("description", Text, nullable=False),
        Column("digest", String(32), nullable=False),
        Column("payload", Text, nullable=False),
        Index("ix_catalog_assets_until", "until"),
        Index("ix_catalog_assets_since", "since"),
    )
    Table(
        "catalog_columns",
        metadata,
        *span(),
        Column("name", Text, nullable=False),
        Column("position", Integer, nullable=False),
        Column("data_type", Text),
        Column("description", Text, nullable=False),
        Column("tags", Text, nullable=False),
        Column("pii", Text),
        Column("nullable", Boolean),
        Index("ix_catalog_columns_until", "until"),
        Index("ix_catalog_columns_since", "since"),
    )
    Table(
        "catalog_lineage",
        metadata,
        *span(),
        Column("digest", String(32), nullable=False),
        Column("payload", Text, nullable=False),
        Index("ix_catalog_lineage_until", "until"),
    )


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
