"""Which models of a dbt project are for readers."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headrace.adopt.dbt_side import DbtSide, chosen_output, published_models
from headrace.adopt.file_texts import settings


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


def test_another_output_of_duckdb_is_used_and_the_target_is_said(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yml"
    path.write_text(
        "shop:\n  target: prod\n  outputs:\n"
        "    prod: {type: snowflake}\n    local: {type: duckdb, path: x.duckdb}\n"
    )
    assert chosen_output(path, "shop", tmp_path) == (
        "local",
        {"type": "duckdb", "path": "x.duckdb"},
        "prod (snowflake)",
    )


def test_a_profile_of_the_home_folder_is_named_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    root = tmp_path / "repo"
    profiles = tmp_path / ".dbt" / "profiles.yml"
    side = DbtSide(root / "transform", "shop", profiles, "shop", "dev", tmp_path / "w.duckdb")
    text = settings({}, root=root, dbt=side, queries=None)
    assert '    path: "~/.dbt/profiles.yml"\n' in text
    assert "    path: ../w.duckdb\n" in text
    assert "  project_dir: transform\n" in text
