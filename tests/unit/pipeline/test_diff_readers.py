"""Who reads a table, by dbt's manifest."""

from headrace.artifacts import Exposure, Manifest
from headrace.artifacts.dbt_manifest import Owner
from headrace.artifacts.dbt_nodes import DependsOn, Node
from headrace.artifacts.formats import Metadata
from headrace.pipeline.diff import readers_of


def model(name: str, *reads: str) -> Node:
    return Node(
        unique_id=f"model.p.{name}",
        name=name,
        resource_type="model",
        schema_name="marts",
        depends_on=DependsOn(nodes=[f"model.p.{each}" for each in reads]),
    )


def manifest(*nodes: Node, exposures: tuple[Exposure, ...] = ()) -> Manifest:
    return Manifest(
        metadata=Metadata(dbt_schema_version="https://schemas.getdbt.com/dbt/manifest/v12.json"),
        nodes={node.unique_id: node for node in nodes},
        exposures={one.unique_id: one for one in exposures},
    )


def test_all_that_hangs_on_a_table_nearest_first() -> None:
    sales = Exposure(
        unique_id="exposure.p.sales",
        name="sales",
        resource_type="exposure",
        label="Sales",
        owner=Owner(name="Ann"),
        depends_on=DependsOn(nodes=["model.p.b"]),
    )
    found = readers_of(manifest(model("a"), model("b", "a"), model("c", "b"), exposures=(sales,)))
    assert found == {
        "marts.a": ("model b", "exposure Sales (Ann)", "model c"),
        "marts.b": ("exposure Sales (Ann)", "model c"),
        "marts.c": (),
    }


def test_stacked_diamonds_are_walked_once() -> None:
    """With each path walked for itself, forty of them would be 2 to the 40 steps."""
    nodes = [model("top0")]
    for level in range(40):
        nodes += [model(f"left{level}", f"top{level}"), model(f"right{level}", f"top{level}")]
        nodes.append(model(f"top{level + 1}", f"left{level}", f"right{level}"))
    assert len(readers_of(manifest(*nodes))["marts.top0"]) == 120


def test_nobody_is_known_without_a_manifest() -> None:
    assert readers_of(None) == {}
