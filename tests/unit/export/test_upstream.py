"""What an asset reads when models between stand nowhere."""

from small_catalog import CATALOG, EXPOSURE, ITEMS, MART, RAW, TOTALS

from headrace.catalog.model import Asset, Catalog, ColumnEdge, EdgeKind
from headrace.export.upstream import datasets_read, edges_read


def test_datasets_are_found_through_ephemeral_models() -> None:
    assert [asset.id for asset in datasets_read(CATALOG, MART)] == [RAW, ITEMS]
    assert [asset.id for asset in datasets_read(CATALOG, EXPOSURE)] == [MART]
    assert [asset.id for asset in datasets_read(CATALOG, TOTALS)] == [MART, RAW]


def through(first: EdgeKind, then: EdgeKind) -> set[ColumnEdge]:
    """The edges of a mart over two ephemeral models, each with one step."""
    kinds = {"raw": "table", "a": "ephemeral", "b": "ephemeral", "mart": "table"}
    assets = {
        name: Asset(name, "model", name, materialized=materialized)
        for name, materialized in kinds.items()
    }
    parents = {"raw": (), "a": ("raw",), "b": ("a",), "mart": ("b", "a")}
    edges = (
        ColumnEdge("raw", "x", "a", "x", first),
        ColumnEdge("raw", "d", "a", "", "filtered"),
        ColumnEdge("a", "x", "b", "x", then),
        ColumnEdge("b", "x", "mart", "x", "copied"),
        ColumnEdge("a", "x", "mart", "", "joined"),
    )
    found = list(edges_read(Catalog(assets, parents, edges), "mart"))
    assert len(found) == len(set(found))
    return set(found)


def test_edges_go_on_to_what_the_ephemeral_column_is_made_from() -> None:
    rows = {
        ColumnEdge("raw", "d", "mart", "", "filtered"),
        ColumnEdge("raw", "x", "mart", "", "joined"),
    }
    steps: list[tuple[EdgeKind, EdgeKind, EdgeKind]] = [
        ("copied", "copied", "copied"),
        ("renamed", "copied", "renamed"),
        ("aggregated", "computed", "aggregated"),
        ("computed", "windowed", "windowed"),
        ("windowed", "computed", "windowed"),
    ]
    for first, then, both in steps:
        assert through(first, then) == {ColumnEdge("raw", "x", "mart", "x", both), *rows}


def test_a_circle_ends() -> None:
    assets = {name: Asset(name, "model", name, materialized="ephemeral") for name in ("a", "b")}
    edges = (ColumnEdge("a", "x", "b", "x", "copied"), ColumnEdge("b", "x", "a", "x", "copied"))
    catalog = Catalog(assets, {"a": ("b",), "b": ("a",)}, edges)

    assert list(edges_read(catalog, "a")) == []
    assert list(datasets_read(catalog, "a")) == []
