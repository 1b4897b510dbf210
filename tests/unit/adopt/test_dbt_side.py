"""Which models of a dbt project are for readers."""

from dataclasses import dataclass, field

import pytest

from headrace.adopt.dbt_side import published_models


@dataclass
class Node:
    name: str
    folders: tuple[str, ...] = ()
    fqn: list[str] = field(init=False)
    unique_id: str = field(init=False)

    def __post_init__(self) -> None:
        self.fqn = ["shop", *self.folders, self.name]
        self.unique_id = ".".join(self.fqn)


@pytest.mark.parametrize(
    ("nodes", "chosen", "patterns"),
    [
        (
            [Node("stg_a", ("staging",)), Node("a", ("marts", "core")), Node("b", ("marts",))],
            {"a", "b"},
            ("marts/*",),
        ),
        (
            [Node("a", ("gold",)), Node("b", ("x", "Reports"))],
            {"a", "b"},
            ("gold/*", "x/Reports/*"),
        ),
        (
            [Node("stg_a"), Node("int_a"), Node("orders"), Node("a")],
            {"orders", "a"},
            ("a", "orders"),
        ),
        ([Node("x", ("silver",)), Node("y", ("core",))], {"y"}, ("y",)),
        ([Node("stg_a"), Node("stg_b")], {"stg_a", "stg_b"}, ("stg_a", "stg_b")),
        ([], set(), ()),
    ],
)
def test_marts_else_what_is_no_step(
    nodes: list[Node], chosen: set[str], patterns: tuple[str, ...]
) -> None:
    found, names = published_models(nodes)
    assert {node.name for node in found} == chosen
    assert names == patterns
