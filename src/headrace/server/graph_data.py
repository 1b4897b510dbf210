"""The graph as the page's scripts read it: columns of numbers and names, compact and sorted."""

from collections.abc import Callable, Mapping
from typing import Any

from headrace.catalog.model import Asset, Catalog
from headrace.lineage.find import known_columns
from headrace.server.rendering import Links
from headrace.server.snapshot import ProjectSnapshot

KINDS = (
    "resource",
    "table",
    "model",
    "snapshot",
    "seed",
    "semantic_model",
    "metric",
    "saved_query",
    "exposure",
)
EDGES = (
    "copied", "renamed", "computed", "aggregated",
    "filtered", "joined", "grouped", "sorted", "windowed",
)  # fmt: skip
ROWS = -1


def graph_assets(catalog: Catalog) -> list[Asset]:
    """The assets of the graph, tests left out, in the catalog's order."""
    return [asset for asset in catalog.assets.values() if not asset.is_test]


def graph_data(
    catalog: Catalog,
    *,
    page: Callable[[str], str],
    failing: Mapping[str, int],
    ranks: Mapping[str, int],
) -> dict[str, Any]:
    """Nodes and edges.

    Args:
        catalog: the graph.
        page: of an asset's id the address of its page, from the site's root.
        failing: asset id to how many of its tests fail now.
        ranks: asset id to its place in lists: marts first, then what is read most.

    Returns:
        ``ids``, ``names``, ``kinds`` (numbers into ``kind_names``), ``relations``, ``pages``,
        ``ranks`` and ``failing`` by node; ``edges``: parent, child, parent, child, ...
    """
    assets = graph_assets(catalog)
    number = {asset.id: index for index, asset in enumerate(assets)}
    return {
        "kind_names": KINDS,
        "ids": [asset.id for asset in assets],
        "names": [asset.name for asset in assets],
        "kinds": [KINDS.index(asset.kind) for asset in assets],
        "relations": [asset.relation for asset in assets],
        "pages": [page(asset.id) for asset in assets],
        "ranks": [ranks[asset.id] for asset in assets],
        "failing": [failing.get(asset.id, 0) for asset in assets],
        "edges": [
            place
            for asset in assets
            for parent in catalog.parents[asset.id]
            if parent in number
            for place in (number[parent], number[asset.id])
        ],
    }


def column_data(catalog: Catalog) -> dict[str, Any]:
    """Columns and the edges between them.

    Returns:
        ``names``: a list by node; ``pii``: ``"node column"`` of personal data; ``edges``: parent,
        its column, child, its column, how (a number into ``kind_names``), and so on; a column of
        -1 is the rows of the asset.
    """
    assets = graph_assets(catalog)
    number = {asset.id: index for index, asset in enumerate(assets)}
    names = [tuple(known_columns(catalog, asset.id)) for asset in assets]
    columns = [
        {name.casefold(): place for place, name in enumerate(known)} | {"": ROWS} for known in names
    ]
    edges: list[int] = []
    for edge in catalog.column_edges:
        parent, child = number.get(edge.parent), number.get(edge.child)
        if parent is None or child is None:
            continue
        start = columns[parent].get(edge.parent_column.casefold())
        end = columns[child].get(edge.child_column.casefold())
        if start is not None and end is not None:
            edges += (parent, start, child, end, EDGES.index(edge.kind))
    return {
        "kind_names": EDGES,
        "names": names,
        "pii": [
            f"{index} {place}"
            for index, asset in enumerate(assets)
            for place, column in enumerate(asset.columns)
            if column.pii
        ],
        "edges": edges,
    }


def graph_json(now: ProjectSnapshot, *, links: Links) -> bytes:
    """`graph_data` of a snapshot as JSON."""
    failing = {key: fails for key, (fails, _) in now.test_counts.items() if fails}
    ranks = {asset.id: place for place, asset in enumerate(now.index.order)}
    data = graph_data(now.index.catalog, page=links.asset, failing=failing, ranks=ranks)
    return _json({**data, "overlays": overlays(now)})


def overlays(now: ProjectSnapshot) -> dict[str, list[Any]]:
    """What the graph can show of each node, None where it is not known.

    Returns:
        By node ``verdict`` and its ``mood``, ``freshness`` (when its rows were loaded or built,
        seconds since 1970), ``rows`` (published, else of the newest load), ``seconds`` (run time).
    """
    found: dict[str, list[Any]] = {
        name: [] for name in ("verdict", "mood", "freshness", "rows", "seconds")
    }
    for asset in graph_assets(now.index.catalog):
        verdict, node = now.verdicts.of(asset.id), now.newest(asset)
        load, table = now.verdicts.loads.get(asset.id), now.table_of(asset.id)
        built = node if node is not None and asset.kind != "table" else None
        at = load.started_at if load else built.started_at if built else None
        found["verdict"].append(verdict.status if verdict else None)
        found["mood"].append(verdict.mood if verdict else None)
        found["freshness"].append(round(at.timestamp()) if at else None)
        found["rows"].append(table.rows if table else load.rows_total if load else None)
        found["seconds"].append(built.seconds if built else None)
    return found


def column_json(now: ProjectSnapshot) -> bytes:
    """`column_data` of a snapshot as JSON."""
    return _json(column_data(now.index.catalog))


def _json(content: Mapping[str, Any]) -> bytes:
    import msgspec

    return msgspec.json.encode(content)
