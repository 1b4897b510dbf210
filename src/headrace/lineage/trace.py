"""Walks up and down the graph of assets or columns, and over any map of neighbours.

At column level a *column node* is a column of an asset, or its rows (the column ``""``, see
``headrace.catalog.model``). Steps downstream from one:

- along each column edge that starts there;
- from the rows of an asset to the rows of all that read it;
- from any column node to each exposure that reads the asset, for an exposure shows every column.

Upstream they are the same steps taken backwards, and from a column to the rows of its own asset,
which costs no depth. (Downstream that step is left out: rows stand for all columns of the
asset, which lead nowhere that the rows do not lead.) Without indirect edges there are no rows.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from headrace.catalog.model import CONSUMERS, Catalog, ColumnEdge
from headrace.lineage.find import NodeRef, known_columns
from headrace.lineage.report import (
    Direction,
    LineageGraph,
    LineageLink,
    LineageNode,
    LineageProblem,
)


def reachable(neighbours: Mapping[str, Iterable[str]], start: Iterable[str]) -> dict[str, None]:
    """Every node that some nodes lead to, in the order found; the first ones come first.

    Args:
        neighbours: node id to the ids one step away; nodes that lead nowhere may be missing.
        start: ids; they are part of the result.
    """
    seen = dict.fromkeys(start)
    todo = list(seen)
    while todo:
        for other in neighbours.get(todo.pop(), ()):
            if other not in seen:
                seen[other] = None
                todo.append(other)
    return seen


def topological_order(parents: Mapping[str, Collection[str]]) -> tuple[list[str], list[str]]:
    """All nodes, each after its parents.

    Args:
        parents: node id to the ids that must come before it; others than its keys do not count.

    Returns:
        The order, and the nodes that have none because they are in a cycle or behind one. Both are
        in the order of ``parents`` where nothing else decides.
    """
    waiting: dict[str, int] = {}
    children: dict[str, list[str]] = {}
    for key, found in parents.items():
        before = (set(found) - {key}) & parents.keys()
        waiting[key] = len(before)
        for parent in before:
            children.setdefault(parent, []).append(key)
    ready = [key for key, count in waiting.items() if not count]
    for key in ready:
        for child in children.get(key, ()):
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    done = set(ready)
    return ready, [key for key in parents if key not in done]


ROWS = ""
READS = "reads"

ColumnNode = tuple[str, str]
Way = Literal["upstream", "downstream"]
_Link = tuple[str, str, str, str, str]  # as the fields of LineageLink, in their order
_Step = tuple[ColumnNode, _Link | None]


@dataclass
class _Walk:
    """What a walk has seen.

    Attributes:
        distance: asset id to how many assets away, the root 0.
        column_nodes: all that were reached (column level).
        links: taken.
        truncated: whether the depth ended it.
    """

    distance: dict[str, int]
    column_nodes: set[ColumnNode] = field(default_factory=set)
    links: dict[_Link, None] = field(default_factory=dict)
    truncated: bool = False


def trace(
    catalog: Catalog,
    ref: NodeRef,
    *,
    direction: Direction,
    depth: int | None,
    indirect: bool = True,
    tests: bool = False,
) -> LineageGraph:
    """What a node or column is made from, or what is made from it.

    Args:
        catalog: to walk in.
        ref: from ``find``. Without a column the walk is at table level.
        direction: which way.
        depth: how many assets away at most; None for all.
        indirect: whether columns that only decide (filtered, joined, ...) count; column level.
        tests: whether tests are in the graph.
    """
    ways: tuple[Way, ...] = ("upstream", "downstream") if direction == "both" else (direction,)
    walks: dict[Way, _Walk] = {}
    for way in ways:
        if ref.column is None:
            walks[way] = _walk_assets(catalog, ref.asset, way, depth, tests=tests)
        else:
            start = (ref.asset, ref.column)
            steps = _Columns(catalog, way, indirect=indirect, tests=tests)
            walks[way] = _walk_columns(start, depth, steps)
    return LineageGraph(
        root=ref.asset,
        column=ref.column,
        direction=direction,
        depth=depth,
        nodes=_nodes(catalog, walks, at_columns=ref.column is not None),
        links=_links(walks.values()),
        problems=_problems(catalog, walks) if ref.column is not None else (),
        truncated=any(walk.truncated for walk in walks.values()),
    )


def closure(
    catalog: Catalog, start: Iterable[ColumnNode], way: Way, *, indirect: bool = True
) -> set[ColumnNode]:
    """All columns and rows that some of them reach, themselves included; tests too.

    Downstream, ``(asset, "")`` in it means every column of the asset.
    """
    steps = _Columns(catalog, way, indirect=indirect, tests=True)
    seen = set(start)
    todo = list(seen)
    while todo:
        for column_node, _ in steps.of(todo.pop()):
            if column_node not in seen:
                seen.add(column_node)
                todo.append(column_node)
    return seen


def asset_distances(catalog: Catalog, root: str, way: Way, *, tests: bool = True) -> dict[str, int]:
    """Each asset that one reaches, itself included, and how many assets away it is."""
    return _walk_assets(catalog, root, way, None, tests=tests).distance


def _walk_assets(catalog: Catalog, root: str, way: Way, depth: int | None, *, tests: bool) -> _Walk:
    walk = _Walk({root: 0})
    todo = deque([root])
    next_to = catalog.parents if way == "upstream" else catalog.children
    while todo:
        key = todo.popleft()
        near = [other for other in next_to.get(key, ()) if _shown(catalog, other, tests=tests)]
        if depth is not None and walk.distance[key] >= depth:
            walk.truncated |= any(other not in walk.distance for other in near)
            continue
        for other in near:
            parent, child = (other, key) if way == "upstream" else (key, other)
            walk.links[parent, ROWS, child, ROWS, READS] = None
            if other not in walk.distance:
                walk.distance[other] = walk.distance[key] + 1
                todo.append(other)
    return walk


def _walk_columns(start: ColumnNode, depth: int | None, steps: "_Columns") -> _Walk:
    """Level by level; a step within an asset stays on its level."""
    walk = _Walk({start[0]: 0}, {start})
    level = [start]
    distance = 0
    while level:
        farther: dict[ColumnNode, None] = {}
        for column_node in level:  # grows as it goes
            for other, link in steps.of(column_node):
                if other[0] == column_node[0]:
                    if other not in walk.column_nodes:
                        walk.column_nodes.add(other)
                        level.append(other)
                elif depth is not None and distance >= depth:
                    walk.truncated |= other not in walk.column_nodes
                    continue
                else:
                    farther[other] = None
                if link is not None:
                    walk.links[link] = None
        level = [column_node for column_node in farther if column_node not in walk.column_nodes]
        distance += 1
        walk.column_nodes.update(level)
        for key, _ in level:
            walk.distance.setdefault(key, distance)
    return walk


class _Columns:
    """The steps at column level."""

    def __init__(self, catalog: Catalog, way: Way, *, indirect: bool, tests: bool) -> None:
        self._catalog = catalog
        self._way = way
        self._indirect = indirect
        self._tests = tests
        self._by_asset: dict[str, dict[str, list[ColumnEdge]]] = {}

    def of(self, column_node: ColumnNode) -> Iterator[_Step]:
        """The columns and rows one step away."""
        asset, column = column_node
        downstream = self._way == "downstream"
        for edge in self._edges(asset).get(column, ()):
            parent, child = (edge.parent, edge.parent_column), (edge.child, edge.child_column)
            yield (child if downstream else parent), _link(parent, child, edge.kind)
        if self._indirect and not downstream and column != ROWS:
            yield (asset, ROWS), None
        next_to = self._catalog.children if downstream else self._catalog.parents
        for other in next_to.get(asset, ()):
            if not _shown(self._catalog, other, tests=self._tests):
                continue
            if column == ROWS and self._is_lookup(asset, other):
                if self._indirect and downstream:
                    yield from self._looked_up(asset, other)
                continue
            is_exposure = self._catalog.assets[other].kind in CONSUMERS
            if (self._indirect and column == ROWS) or (downstream and is_exposure):
                ends = (column_node, (other, ROWS)) if downstream else ((other, ROWS), column_node)
                yield (other, ROWS), _link(*ends, READS)

    def _is_lookup(self, asset: str, other: str) -> bool:
        """Whether the rows of the one that is read decide no row of the other."""
        parent, child = (asset, other) if self._way == "downstream" else (other, asset)
        return parent in self._catalog.lookups.get(child, ())

    def _looked_up(self, asset: str, other: str) -> Iterator[_Step]:
        """The columns of an asset, which its rows decide, that another one looks up."""
        for column, edges in self._edges(asset).items():
            if column != ROWS and any(edge.child == other for edge in edges):
                yield (asset, column), None

    def _edges(self, asset: str) -> dict[str, list[ColumnEdge]]:
        """The edges that start (upstream: end) in an asset, by column."""
        found = self._by_asset.get(asset)
        if found is None:
            found = {}
            downstream = self._way == "downstream"
            catalog = self._catalog
            edges = catalog.edges_by_parent if downstream else catalog.edges_by_child
            for edge in edges.get(asset, ()):
                other = edge.child if downstream else edge.parent
                if other not in catalog.assets or not _shown(catalog, other, tests=self._tests):
                    continue
                if self._indirect or (edge.is_direct and edge.parent_column and edge.child_column):
                    column = edge.parent_column if downstream else edge.child_column
                    found.setdefault(column, []).append(edge)
            self._by_asset[asset] = found
        return found


def _link(parent: ColumnNode, child: ColumnNode, kind: str) -> _Link:
    return (*parent, *child, kind)


def _shown(catalog: Catalog, key: str, *, tests: bool) -> bool:
    return tests or not catalog.assets[key].is_test


def _nodes(
    catalog: Catalog, walks: dict[Way, _Walk], *, at_columns: bool
) -> tuple[LineageNode, ...]:
    distance: dict[str, int] = {}
    columns: dict[str, set[str]] = {}
    for way, walk in walks.items():
        for key, steps in walk.distance.items():
            signed = -steps if way == "upstream" else steps
            if key not in distance or steps < abs(distance[key]):
                distance[key] = signed
        for key, column in walk.column_nodes:
            columns.setdefault(key, set()).add(column)
    nodes = [
        _node(catalog, key, steps, columns.get(key, set()), at_columns=at_columns)
        for key, steps in distance.items()
    ]
    return tuple(sorted(nodes, key=lambda node: (node.distance, node.id)))


def _node(
    catalog: Catalog, key: str, distance: int, reached: set[str], *, at_columns: bool
) -> LineageNode:
    asset = catalog.assets[key]
    names = tuple(name for name in known_columns(catalog, key) if name in reached)
    return LineageNode(
        id=key,
        kind=asset.kind,
        name=asset.name,
        relation=asset.relation,
        distance=distance,
        columns=names,
        rows=ROWS in reached and at_columns,
        pii=tuple(
            column.name
            for column in asset.columns
            if column.pii and (not at_columns or column.name in reached)
        ),
        owners=asset.owners,
    )


def _links(walks: Iterable[_Walk]) -> tuple[LineageLink, ...]:
    links = {link for walk in walks for link in walk.links}
    return tuple(
        LineageLink(
            parent=parent,
            parent_column=parent_column or None,
            child=child,
            child_column=child_column or None,
            kind=kind,
        )
        for parent, parent_column, child, child_column, kind in sorted(
            links, key=lambda link: (link[0], link[2], link[1], link[3], link[4])
        )
    )


def _problems(catalog: Catalog, walks: dict[Way, _Walk]) -> tuple[LineageProblem, ...]:
    """Of what was reached, and downstream of what reads it: its reading may go unseen."""
    near: set[str] = set()
    for way, walk in walks.items():
        near.update(walk.distance)
        if way == "downstream":
            near.update(child for key in walk.distance for child in catalog.children.get(key, ()))
    return tuple(
        LineageProblem(asset=problem.asset, message=problem.message)
        for problem in catalog.problems
        if problem.asset in near
    )
