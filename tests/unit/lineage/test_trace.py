"""Walks over hand-made graphs, the awkward ones among them."""

import pytest

from headrace.catalog.model import (
    Asset,
    Catalog,
    Column,
    ColumnEdge,
    ColumnLineageProblem,
    EdgeKind,
)
from headrace.lineage.find import NodeRef
from headrace.lineage.report import LineageGraph
from headrace.lineage.trace import ROWS, closure, reachable, topological_order, trace

Edge = tuple[str, str, str, str, EdgeKind]


def _catalog(
    parents: dict[str, str],
    edges: list[Edge] | None = None,
    problems: tuple[ColumnLineageProblem, ...] = (),
) -> Catalog:
    """Assets by name; ``e_`` is an exposure, ``t_`` a test; each model has columns x and y."""
    names = dict.fromkeys([*parents, *(name for text in parents.values() for name in text.split())])
    kinds = {"e": "exposure", "t": "test", "r": "table"}
    assets = {
        name: Asset(
            id=name,
            kind=kinds.get(name.split("_")[0], "model"),  # type: ignore[arg-type]
            name=name,
            columns=(Column("x", pii="email"), Column("y")),
        )
        for name in names
    }
    return Catalog(
        assets,
        {name: tuple(sorted(parents.get(name, "").split())) for name in names},
        tuple(ColumnEdge(*edge) for edge in edges or []),
        problems,
    )


def _reached(graph: LineageGraph) -> dict[str, int]:
    return {node.id: node.distance for node in graph.nodes}


def _links(graph: LineageGraph) -> list[str]:
    return [
        f"{link.parent}.{link.parent_column or '*'} > {link.child}.{link.child_column or '*'} "
        f"{link.kind}"
        for link in graph.links
    ]


CHAIN = _catalog(
    {"a": "r_1", "b": "a", "c": "b r_2", "e_1": "c", "t_1": "c", "side": "r_2"},
    [
        ("r_1", "x", "a", "x", "renamed"),
        ("r_1", "y", "a", ROWS, "filtered"),
        ("a", "x", "b", "x", "copied"),
        ("b", "x", "c", "x", "aggregated"),
        ("b", "y", "c", "y", "computed"),
        ("r_2", "x", "c", ROWS, "joined"),
        ("r_2", "y", "side", "y", "copied"),
        ("c", "x", "t_1", ROWS, "filtered"),
    ],
)


def test_a_table_is_traced_both_ways_by_distance() -> None:
    graph = trace(CHAIN, NodeRef("b"), direction="both", depth=None)
    assert _reached(graph) == {"r_1": -2, "a": -1, "b": 0, "c": 1, "e_1": 2}
    assert "b.* > c.* reads" in _links(graph)
    assert [node.id for node in graph.nodes] == ["r_1", "a", "b", "c", "e_1"]


def test_tests_are_shown_when_asked() -> None:
    place = NodeRef("b", "x")
    without = trace(CHAIN, place, direction="downstream", depth=None)
    asked = trace(CHAIN, place, direction="downstream", depth=None, tests=True)
    assert set(_reached(asked)) - set(_reached(without)) == {"t_1"}


def test_a_column_reaches_what_it_makes_and_the_exposures() -> None:
    graph = trace(CHAIN, NodeRef("r_1", "x"), direction="downstream", depth=None, indirect=False)
    assert _links(graph) == [
        "a.x > b.x copied",
        "b.x > c.x aggregated",
        "c.x > e_1.* reads",
        "r_1.x > a.x renamed",
    ]
    assert {node.id: node.pii for node in graph.nodes}["a"] == ("x",)


def test_what_filters_reaches_all_rows_downstream_and_so_all_columns() -> None:
    reached = closure(CHAIN, [("r_1", "y")], "downstream")
    assert {("a", ROWS), ("b", ROWS), ("c", ROWS), ("e_1", ROWS), ("t_1", ROWS)} <= reached
    direct = closure(CHAIN, [("r_1", "y")], "downstream", indirect=False)
    assert direct == {("r_1", "y")}


def test_upstream_a_column_has_its_values_and_what_chose_the_rows() -> None:
    graph = trace(CHAIN, NodeRef("c", "x"), direction="upstream", depth=None)
    links = _links(graph)
    assert "r_2.x > c.* joined" in links
    assert "r_1.y > a.* filtered" in links
    assert "b.y > c.y computed" not in links  # of another column
    direct = trace(CHAIN, NodeRef("c", "x"), direction="upstream", depth=None, indirect=False)
    assert set(_reached(direct)) == {"c", "b", "a", "r_1"}


def test_up_and_down_agree() -> None:
    spots = [(key, column) for key in CHAIN.assets for column in ("x", "y")]
    for upper in spots:
        down = closure(CHAIN, [upper], "downstream")
        for lower in spots:
            is_down = lower in down or (lower[0], ROWS) in down
            up = closure(CHAIN, [lower], "upstream")
            is_exposure = CHAIN.assets[lower[0]].kind == "exposure"
            if not is_exposure and not CHAIN.assets[lower[0]].is_test:
                assert is_down == (upper in up), (upper, lower)


def test_depth_counts_assets_and_says_that_there_is_more() -> None:
    for column in (None, "x"):
        graph = trace(CHAIN, NodeRef("c", column), direction="upstream", depth=1)
        assert {abs(node.distance) for node in graph.nodes} == {0, 1}
        assert graph.truncated
        whole = trace(CHAIN, NodeRef("c", column), direction="upstream", depth=9)
        assert not whole.truncated


def test_cycles_end() -> None:
    cyclic = _catalog(
        {"a": "c", "b": "a", "c": "b"},
        [("a", "x", "b", "x", "copied"), ("b", "x", "c", "x", "copied"),
         ("c", "x", "a", "x", "copied"), ("a", "y", "a", "x", "computed")],
    )  # fmt: skip
    graph = trace(cyclic, NodeRef("a", "x"), direction="both", depth=None)
    assert {node.id for node in graph.nodes} == {"a", "b", "c"}
    assert len(trace(cyclic, NodeRef("a"), direction="downstream", depth=None).nodes) == 3


def test_an_unread_model_next_to_the_path_is_told() -> None:
    catalog = _catalog(
        {"a": "r_1", "b": "a", "far": "b"},
        [("r_1", "x", "a", "x", "copied")],
        (ColumnLineageProblem("b", "no parser reads it"), ColumnLineageProblem("far", "nor this")),
    )
    graph = trace(catalog, NodeRef("r_1", "x"), direction="downstream", depth=None, indirect=False)
    assert [problem.asset for problem in graph.problems] == ["b"]


def test_a_ladder_of_diamonds_is_walked_asset_by_asset_and_not_path_by_path() -> None:
    parents = {"m0": ""}
    edges: list[Edge] = []
    for step in range(0, 9_999, 3):  # each rung has two ways to the next: 2 ** 3,333 paths
        top, left, right, bottom = (f"m{step + n}" for n in range(4))
        parents |= {left: top, right: top, bottom: f"{left} {right}"}
        for parent, child in ((top, left), (top, right), (left, bottom), (right, bottom)):
            edges.append((parent, "x", child, "x", "computed"))
            edges.append((parent, "y", child, ROWS, "filtered"))
    catalog = _catalog(parents, edges)
    assert len(trace(catalog, NodeRef("m0"), direction="downstream", depth=None).nodes) == 10_000
    assert len(closure(catalog, [("m0", "x")], "downstream", indirect=False)) == 10_000
    graph = trace(catalog, NodeRef("m9999", "x"), direction="upstream", depth=50)
    assert graph.truncated


def test_all_that_can_be_reached_once_whatever_the_cycles() -> None:
    children = {"a": ("b", "c"), "b": ("d",), "c": ("d",), "d": ("b",), "e": ("a",)}
    assert list(reachable(children, ["a"])) == ["a", "b", "c", "d"]
    assert list(reachable(children, ["d", "unknown"])) == ["d", "unknown", "b"]
    assert not reachable(children, [])


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ({}, ([], [])),
        ({"c": ["b"], "b": ["a"], "a": []}, (["a", "b", "c"], [])),
        ({"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": []}, (["a", "b", "c", "d"], [])),
        ({"a": ["outside", "a"]}, (["a"], [])),  # neither waits for anything
        ({"x": ["y"], "a": [], "y": ["x"], "z": ["y"]}, (["a"], ["x", "y", "z"])),
    ],
)
def test_parents_come_first_and_cycles_apart(
    parents: dict[str, list[str]], expected: tuple[list[str], list[str]]
) -> None:
    assert topological_order(parents) == expected
