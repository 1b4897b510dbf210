"""What exports ask of the graph: datasets and columns that an asset reads, and alarms on it.

Ephemeral models hold no data; what they read is read through them.
"""

from collections.abc import Iterator

from headrace.catalog.model import DIRECT, Asset, Catalog, ColumnEdge, EdgeKind

_STRENGTH: tuple[EdgeKind, ...] = ("copied", "renamed", "computed", "aggregated")


def holds_data(asset: Asset) -> bool:
    """Whether it is a dataset: a relation in the warehouse, or a dlt resource."""
    return asset.kind == "resource" or (asset.is_relation and not _is_ephemeral(asset))


def datasets_read(catalog: Catalog, asset_id: str) -> Iterator[Asset]:
    """The datasets that an asset reads, through ephemeral models, nearest first."""
    seen: set[str] = set()
    waiting = list(reversed(catalog.parents.get(asset_id, ())))
    while waiting:
        parent = catalog.assets[waiting.pop()]
        if parent.id in seen:
            continue
        seen.add(parent.id)
        if _is_ephemeral(parent):
            waiting += reversed(catalog.parents.get(parent.id, ()))
        elif holds_data(parent):
            yield parent


def edges_read(catalog: Catalog, asset_id: str) -> Iterator[ColumnEdge]:
    """The column edges that end in an asset, each from a dataset.

    An edge from an ephemeral model is followed to what that column is made from; what decides the
    rows of the ephemeral model decides those of the asset. Each edge comes once.
    """
    seen: set[ColumnEdge] = set()
    waiting = list(reversed(catalog.edges_by_child.get(asset_id, ())))
    for ephemeral in _ephemeral_read(catalog, asset_id):
        inner = catalog.edges_by_child.get(ephemeral, ())
        waiting[:0] = [
            ColumnEdge(edge.parent, edge.parent_column, asset_id, "", edge.kind)
            for edge in inner
            if not edge.child_column
        ]
    while waiting:
        edge = waiting.pop()
        if edge in seen:
            continue
        seen.add(edge)
        if not _is_ephemeral(catalog.assets[edge.parent]):
            yield edge
            continue
        waiting += [
            ColumnEdge(
                before.parent,
                before.parent_column,
                asset_id,
                edge.child_column,
                _joined(before.kind, edge.kind),
            )
            for before in reversed(catalog.edges_by_child.get(edge.parent, ()))
            if before.child_column and before.child_column == edge.parent_column
        ]


def _is_ephemeral(asset: Asset) -> bool:
    return asset.materialized == "ephemeral"


def _ephemeral_read(catalog: Catalog, asset_id: str) -> Iterator[str]:
    seen: set[str] = set()
    waiting = list(catalog.parents.get(asset_id, ()))
    while waiting:
        parent = waiting.pop()
        if parent not in seen and _is_ephemeral(catalog.assets[parent]):
            seen.add(parent)
            yield parent
            waiting += catalog.parents.get(parent, ())


def _joined(first: EdgeKind, then: EdgeKind) -> EdgeKind:
    """Two steps as one: what only decides in either only decides; else the step that did more."""
    if then not in DIRECT:
        return then
    if first not in DIRECT:
        return first
    return max(first, then, key=_STRENGTH.index)


def column_of(metric: str, asset: Asset) -> str | None:
    """The column that a metric is of: ``amount`` of ``amount.mean``; None of the table's own."""
    parts = metric.split(".")
    for end in range(len(parts) - 1, 0, -1):
        column = asset.column(".".join(parts[:end]))
        if column is not None:
            return column.name
    return None
