"""Walks and orders over a graph."""

import pytest

from headrace.lineage.graph import reachable, topological_order


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
