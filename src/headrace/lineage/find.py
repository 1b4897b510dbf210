"""From what a user types (``orders.amount``) to an asset and a column of the catalog.

A node may be named by its id, dbt's ``unique_id``, ``database.schema.name``, ``schema.name``,
``source.name`` or its bare name. Of assets that share a bare name the one that dbt's ``ref`` would
find comes first (model, snapshot, seed), then exposures, raw tables, dlt resources, tests; two of
the same rank are ambiguous. Names may hold dots: the longest name of a node wins, and what follows
it is the column. A versioned model without a version is its latest one, as in dbt's ``ref``;
``dim.v1`` and ``dim_v1`` name a version.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from headrace.catalog.model import Asset, AssetKind, Catalog
from headrace.errors import LineageError
from headrace.formatting import first_few

_RANK: dict[AssetKind, int] = {
    "model": 0,
    "snapshot": 0,
    "seed": 0,
    "semantic_model": 1,
    "metric": 1,
    "saved_query": 1,
    "exposure": 1,
    "table": 2,
    "resource": 3,
    "test": 4,
    "unit_test": 4,
}


@dataclass(frozen=True, slots=True)
class NodeRef:
    """A node of the catalog's graph, or a column of it.

    Attributes:
        asset: id.
        column: as the catalog spells it; None for the whole node.
    """

    asset: str
    column: str | None = None


def find(catalog: Catalog, text: str) -> NodeRef:
    """The asset or column that a text names.

    Args:
        catalog: to look in.
        text: ``NODE`` or ``NODE.COLUMN``.

    Raises:
        LineageError: there is none, or more than one; says which names are near.
    """
    if not text.strip():
        raise LineageError("name a node, like orders, or a column of it, like orders.order_id")
    for wanted in dict.fromkeys((text, _without_quotes(text))):
        ref = _by_id(catalog, wanted)
        if ref is not None:
            return ref
    index = _index(catalog)
    first: list[str] = []
    lacking: tuple[list[str], str] | None = None
    for wanted in dict.fromkeys((text, _without_quotes(text))):
        for node, column in _splits(wanted):
            found = index.get(node.casefold(), [])
            best = _best(catalog, found, node)
            if column is None:
                first = best
            else:
                with_column = [key for key in best if _spelling(catalog, key, column)]
                if best and not with_column:
                    lacking = lacking or (found, column)
                    continue
                first = with_column
            if len(first) == 1:
                return NodeRef(first[0], column and _spelling(catalog, first[0], column))
            if first:
                raise LineageError(_ambiguous(catalog, text, first, column))
    if lacking is not None:
        raise LineageError(_no_column(catalog, *lacking))
    raise LineageError(_no_node(catalog, index, text))


def version_meant(catalog: Catalog, text: str, ref: NodeRef) -> str | None:
    """Which version of a model a text without one means, in words; None of any other text."""
    asset = catalog.assets[ref.asset]
    name = asset.latest_of
    if name is None:
        return None
    named = {node.casefold() for one in (text, _without_quotes(text)) for node, _ in _splits(one)}
    if not named & {name.casefold(), f"{asset.package}.{name}".casefold()}:
        return None
    others = sorted(
        one.name
        for one in catalog.assets.values()
        if one.package == asset.package and one.name.rpartition(".v")[0] == name and one != asset
    )
    also = f"; there is also {', '.join(others)}" if others else ""
    return f"{name} means {asset.name}, its latest version{also}"


def known_columns(catalog: Catalog, key: str) -> dict[str, None]:
    """The columns of an asset, those that only its column lineage knows at the end."""
    names = dict.fromkeys(column.name for column in catalog.assets[key].columns)
    folded = {name.casefold() for name in names}
    edges = [edge.child_column for edge in catalog.edges_by_child.get(key, ())]
    edges += [edge.parent_column for edge in catalog.edges_by_parent.get(key, ())]
    for name in edges:
        if name and name.casefold() not in folded:
            folded.add(name.casefold())
            names[name] = None
    return names


def _by_id(catalog: Catalog, text: str) -> NodeRef | None:
    """Ids need no index: the way of links in a page."""
    for node, column in _splits(text):
        key = node if node in catalog.assets else catalog.by_dbt_id.get(node)
        if key is None:
            continue
        if column is None:
            return NodeRef(key)
        spelling = _spelling(catalog, key, column)
        if spelling is not None:
            return NodeRef(key, spelling)
    return None


def _splits(text: str) -> Iterator[tuple[str, str | None]]:
    """Node and column, the longest node first."""
    yield text, None
    at = text.rfind(".")
    while at > 0:
        if at + 1 < len(text):
            yield text[:at], text[at + 1 :]
        at = text.rfind(".", 0, at)


def _without_quotes(text: str) -> str:
    """``"my schema"."a""b"`` as SQL would read it: ``my schema.a"b``."""
    return text.replace('""', "\0").replace('"', "").replace("\0", '"')


def _labels(asset: Asset) -> Iterator[str]:
    yield from _own_labels(asset)
    if asset.package:
        yield f"{asset.package}.{asset.name}"
    if asset.identifier:
        yield asset.identifier
    if asset.kind == "model" and ".v" in asset.name:
        name, _, version = asset.name.rpartition(".v")
        yield f"{name}_v{version}"
    if asset.latest_of and asset.package:
        yield f"{asset.package}.{asset.latest_of}"


def _own_labels(asset: Asset) -> Iterator[str]:
    """Those that go before a name that is only put together."""
    yield asset.id
    yield asset.name
    if asset.latest_of:
        yield asset.latest_of
    if asset.dbt_id:
        yield asset.dbt_id
    if asset.relation:
        yield asset.relation
        if asset.database:
            yield f"{asset.database}.{asset.relation}"


def _index(catalog: Catalog) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, asset in catalog.assets.items():
        for label in dict.fromkeys(label.casefold() for label in _labels(asset)):
            found.setdefault(label, []).append(key)
    return found


def _best(catalog: Catalog, keys: list[str], node: str) -> list[str]:
    """Those of the first rank; of these those spelled just so, where there are any."""
    if not keys:
        return []
    folded = node.casefold()
    own = [
        key
        for key in keys
        if any(label.casefold() == folded for label in _own_labels(catalog.assets[key]))
    ]
    keys = own or keys
    rank = min(_RANK[catalog.assets[key].kind] for key in keys)
    kept = [key for key in keys if _RANK[catalog.assets[key].kind] == rank]
    exact = [key for key in kept if node in _labels(catalog.assets[key])]
    return sorted(exact or kept)


def _spelling(catalog: Catalog, key: str, column: str) -> str | None:
    names = known_columns(catalog, key)
    if column in names:
        return column
    folded = column.casefold()
    return next((name for name in names if name.casefold() == folded), None)


def _ambiguous(catalog: Catalog, text: str, keys: list[str], column: str | None) -> str:
    ending = f".{column}" if column else ""
    names = [f"{key}{ending} ({catalog.assets[key].kind})" for key in keys]
    return f"{text!r} names {len(keys)} nodes, say which: {first_few(names)}"


def _no_column(catalog: Catalog, found: list[str], column: str) -> str:
    key = min(found, key=lambda key: (_RANK[catalog.assets[key].kind], key))
    asset = catalog.assets[key]
    names = list(known_columns(catalog, key))
    others = [other for other in found if other != key and _spelling(catalog, other, column)]
    if others:
        hint = f"; did you mean {' or '.join(f'{other}.{column}' for other in others[:3])}?"
    elif not names:
        hint = "; no columns of it are known, `headrace run` refreshes the catalog"
    else:
        near = difflib.get_close_matches(column, names, n=5) or names
        hint = f"; it has {first_few(near)}"
    return f"{asset.kind} {asset.name} has no column {column!r}{hint}"


def _no_node(catalog: Catalog, index: dict[str, list[str]], text: str) -> str:
    node = text.casefold()
    names = [label for label in index if abs(len(label) - len(node)) <= 5]
    near = difflib.get_close_matches(node, names, n=5)
    if not near and "." in node:
        near = difflib.get_close_matches(node.rpartition(".")[0], list(index)[:20_000], n=5)
    if not near:
        near = [label for label in index if node in label][:5]
    shown = dict.fromkeys(
        min((label for label in _labels(asset)), key=lambda label: label.casefold() != name)
        for name in near
        for asset in [catalog.assets[index[name][0]]]
    )
    hint = "; `headrace serve` lists what there is"
    if shown:
        hint = f"; did you mean {', '.join(shown)}?"
    if not catalog.assets:
        hint = "; the catalog is empty: `headrace run` fills it"
    return f"the catalog has no node {text!r}{hint}"
