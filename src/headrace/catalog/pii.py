"""Columns with personal data (PII): those declared, and those made from them."""

from collections.abc import Mapping

from headrace.catalog.model import Catalog, Column

UNKNOWN = "its origin is not known"


def inherited(catalog: Catalog) -> Mapping[tuple[str, str], str]:
    """Columns whose values are made from a column that is declared as PII.

    Args:
        catalog: the graph; its direct column edges are followed.

    Returns:
        (asset id, column name) to ``asset.column`` of a declared column that it is made from,
        without the declared columns themselves.
    """
    declared = [
        (key, column.name)
        for key, asset in catalog.assets.items()
        for column in asset.columns
        if column.pii
    ]
    found: dict[tuple[str, str], str] = {}
    seen = set(declared)
    for origin in declared:
        name = f"{catalog.assets[origin[0]].name}.{origin[1]}"
        waiting = [origin]
        while waiting:
            asset, column = waiting.pop()
            for edge in catalog.edges_by_parent.get(asset, ()):
                reached = (edge.child, edge.child_column)
                if edge.is_direct and edge.parent_column == column and reached not in seen:
                    seen.add(reached)
                    found[reached] = name
                    waiting.append(reached)
    return found


def sources_of(catalog: Catalog) -> frozenset[tuple[str, str]]:
    """Columns (asset id, name) that a column declared as PII is made from, and those themselves.

    Of a raw row nobody may have said yet what its columns hold; the models above do.
    """
    seen = {
        (key, column.name)
        for key, asset in catalog.assets.items()
        for column in asset.columns
        if column.pii
    }
    waiting = list(seen)
    while waiting:
        asset_id, name = waiting.pop()
        for edge in catalog.edges_by_child.get(asset_id, ()):
            reached = (edge.parent, edge.parent_column)
            if edge.is_direct and edge.child_column == name and reached not in seen:
                seen.add(reached)
                waiting.append(reached)
    return frozenset(seen)


def why_masked(
    catalog: Catalog,
    made_from: Mapping[tuple[str, str], str],
    asset_id: str,
    column: Column | None,
    *,
    is_read: bool,
) -> str | None:
    """Why a column's values are masked; None where they are shown.

    A column that the catalog does not know, or whose origin could not be read, is masked as well:
    only what is known to be harmless is shown.

    Args:
        catalog: the graph.
        made_from: the result of ``inherited``.
        asset_id: an asset's id.
        column: of it; None where it has no such column.
        is_read: whether all column lineage of the asset is known.
    """
    if column is None:
        return UNKNOWN
    if column.pii:
        return column.pii
    origin = made_from.get((asset_id, column.name))
    if origin is not None:
        return origin
    if not is_read and not any(
        edge.is_direct and edge.child_column == column.name
        for edge in catalog.edges_by_child.get(asset_id, ())
    ):
        return UNKNOWN
    return None
