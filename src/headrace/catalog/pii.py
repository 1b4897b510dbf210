"""Which columns hold personal data: those that are declared, and what is made from them."""

from collections.abc import Mapping

from headrace.catalog.model import Catalog

UNKNOWN = "its origin is not known"


def inherited(catalog: Catalog) -> Mapping[tuple[str, str], str]:
    """Columns whose values are made from a column that is declared to hold personal data.

    Args:
        catalog: the graph; walked along its direct column edges.

    Returns:
        (asset id, column name) to ``asset.column`` of a declared column that it is made from.
        Declared columns themselves are not in it.
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


def why_masked(
    catalog: Catalog,
    made_from: Mapping[tuple[str, str], str],
    asset_id: str,
    name: str,
    *,
    is_read: bool,
) -> str | None:
    """Why a column's values are not shown without asking; None where they are.

    A column that the catalog does not know, or whose origin could not be read, is masked as well:
    what is not known to be harmless is not shown.

    Args:
        catalog: the graph.
        made_from: what ``inherited`` gave for it.
        asset_id: an asset's id.
        name: a column as the published file names it.
        is_read: whether the column lineage of the asset is known, all of it.
    """
    asset = catalog.assets[asset_id]
    column = asset.column(name)
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
