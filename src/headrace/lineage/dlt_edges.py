"""From a dlt resource's fields to the columns of its raw tables, the nested ones too."""

from collections.abc import Iterator
from itertools import pairwise

from headrace.catalog.model import Asset, Catalog, ColumnEdge, field_of

_SEPARATOR = "__"
_OWN = "_dlt_"


def dlt_edges(catalog: Catalog) -> Iterator[ColumnEdge]:
    """The edges into raw tables.

    dlt's own columns come from nothing, except those that point at another table's row.
    """
    for key, asset in catalog.assets.items():
        if asset.kind != "table":
            continue
        line = _line(catalog, asset)
        yield from _keys(key, asset, line)
        resource = _resource(catalog, (key, *(one.id for one in line)))
        if resource is not None:
            yield from _fields(key, asset, resource, _path([asset, *line]))


def _line(catalog: Catalog, asset: Asset) -> list[Asset]:
    """The tables that a table is nested in, from the nearest to the root."""
    found: list[Asset] = []
    seen = {asset.id}
    while asset.parent_table and asset.parent_table not in seen:
        seen.add(asset.parent_table)
        parent = catalog.assets.get(asset.parent_table)
        if parent is None:
            break
        found.append(parent)
        asset = parent
    return found


def _resource(catalog: Catalog, tables: tuple[str, ...]) -> Asset | None:
    """The resource that a table, or the table it is nested in, is loaded by."""
    for table in tables:
        for parent in catalog.parents.get(table, ()):
            asset = catalog.assets.get(parent)
            if asset is not None and asset.kind == "resource":
                return asset
    return None


def _path(line: list[Asset]) -> list[str]:
    """The nested lists that lead to a table, outermost first."""
    names = [one.identifier or one.name for one in line]
    return [
        child.removeprefix(parent + _SEPARATOR) for child, parent in reversed(list(pairwise(names)))
    ]


def _fields(key: str, asset: Asset, resource: Asset, path: list[str]) -> Iterator[ColumnEdge]:
    known = {column.name for column in resource.columns}
    for column in asset.columns:
        field = field_of(path, column.name)
        if not column.name.startswith(_OWN) and (field in known or not known):
            yield ColumnEdge(resource.id, field, key, column.name, "copied")


def _keys(key: str, asset: Asset, line: list[Asset]) -> Iterator[ColumnEdge]:
    if not line:
        return
    for column, parent in (("_dlt_parent_id", line[0]), ("_dlt_root_id", line[-1])):
        if asset.column(column) is not None:
            yield ColumnEdge(parent.id, "_dlt_id", key, column, "renamed")
