"""A project without sources and models, a target of numbers, and a manifest of marts."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts import Manifest
from headrace.artifacts.dbt_nodes import Node
from headrace.artifacts.formats import Metadata
from headrace.pipeline.reports import NodeReport, NodeStatus
from headrace.pipeline.state import build_state
from headrace.pipeline.state.build_state import BuildState
from headrace.settings import Resolved, resolve
from headrace.targets import Target


def project(root: Path, config: str = "{}\n", *flags: str) -> Resolved:
    """The settings of a project that has a dbt project and nothing else."""
    for name, text in {
        "config/default.yml": config,
        "dlt_pipelines/__init__.py": "",
        "dbt_project/dbt_project.yml": "name: p\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return resolve(root, flags=list(flags), environ={})


class NumbersTarget:
    """Stands in for a target: rows by ``schema.table``, and a signature."""

    name = "duckdb"
    dialect = "duckdb"
    adapter = "dbt-duckdb"
    location = "warehouse.duckdb"
    load_memory_limit = "512MB"
    database_file = None

    def __init__(self, rows: dict[str, int], signature: str | None = "now") -> None:
        self.rows = rows
        self.now = signature

    def check(self) -> None:
        raise AssertionError("the target is opened")

    def count_rows(self, relations: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
        return {key: self.rows[".".join(key)] for key in relations if ".".join(key) in self.rows}

    def signature(self) -> str | None:
        return self.now

    def publisher(self) -> None:
        return


def target(rows: dict[str, int] | None = None, signature: str | None = "now") -> Target:
    stand_in: Any = NumbersTarget(rows or {}, signature)
    found: Target = stand_in
    return found


def mart(name: str, **fields: Any) -> Node:
    return Node(
        unique_id=f"model.p.{name}", name=name, resource_type="model", schema_name="marts", **fields
    )


def manifest_of(*nodes: Node) -> Callable[[Path], Manifest]:
    """A reader that finds these nodes in any folder."""
    found = Manifest(
        metadata=Metadata(dbt_schema_version="https://schemas.getdbt.com/dbt/manifest/v12.json"),
        nodes={node.unique_id: node for node in nodes},
    )
    return lambda _: found


def node(name: str, status: NodeStatus = "success", kind: str = "model", **more: Any) -> NodeReport:
    return NodeReport(
        unique_id=f"{kind}.p.{name}",
        name=name,
        label=name,
        resource_type=kind,
        status=status,
        **more,
    )


def built(resolved: Resolved, on: Target, *nodes: NodeReport, **differs: Any) -> BuildState:
    """Keep the state of a good build of what there is, but for what differs."""
    fields: dict[str, Any] = {
        "passed": True,
        "inputs": build_state.inputs(resolved, on),
        "day": build_state.today(),
        "signature": on.signature(),
        "nodes": nodes,
        "finished_at": datetime.now(UTC),
    }
    state = BuildState(**fields | differs)
    build_state.write(resolved, state)
    return state


def stand_in(patch: pytest.MonkeyPatch, name: str, function: Callable[..., Any]) -> None:
    """Put a function in the place of another, by its path below ``headrace.pipeline``."""
    patch.setattr(f"headrace.pipeline.{name}", function)
