"""dbt's ``manifest.json``: the part of it that Headrace uses.

Source: dbt's manifest schema v12 (dbt 1.8 to 1.12; dbt v2 writes the same or a newer number).
"""

from pathlib import Path
from typing import Any

import msgspec

from headrace.artifacts.dbt_nodes import (
    DependsOn,
    DisabledNode,
    Exposure,
    Node,
    NodeGroup,
    OtherNode,
    SourceNode,
    UnitTest,
)
from headrace.artifacts.files import DbtFile, read_file
from headrace.artifacts.reading import ArtifactPart, Notes, Read
from headrace.errors import TransformError

_BY_ID = (
    "nodes", "sources", "exposures", "groups", "unit_tests",
    "metrics", "semantic_models", "saved_queries", "functions",
)  # fmt: skip


class Macro(ArtifactPart, frozen=True, kw_only=True):
    """A macro, and the macros that it calls."""

    depends_on: DependsOn = DependsOn()


class Manifest(DbtFile, frozen=True, kw_only=True):
    """The manifest.

    Attributes:
        nodes: models, tests, seeds, snapshots, analyses and operations, by id.
        sources: tables of dbt's sources, by id.
        exposures: by id.
        groups: by id.
        unit_tests: by id.
        metrics: by id.
        semantic_models: by id.
        saved_queries: by id.
        functions: by id (dbt 1.11).
        disabled: what is disabled, by id.
        parent_map: id to the ids of its parents.
        macros: by id.
    """

    nodes: dict[str, Node]
    sources: dict[str, SourceNode] = msgspec.field(default_factory=dict)
    exposures: dict[str, Exposure] = msgspec.field(default_factory=dict)
    groups: dict[str, NodeGroup] = msgspec.field(default_factory=dict)
    unit_tests: dict[str, UnitTest] = msgspec.field(default_factory=dict)
    metrics: dict[str, OtherNode] = msgspec.field(default_factory=dict)
    semantic_models: dict[str, OtherNode] = msgspec.field(default_factory=dict)
    saved_queries: dict[str, OtherNode] = msgspec.field(default_factory=dict)
    functions: dict[str, OtherNode] = msgspec.field(default_factory=dict)
    disabled: dict[str, list[DisabledNode]] = msgspec.field(default_factory=dict)
    parent_map: dict[str, list[str]] = msgspec.field(default_factory=dict)
    macros: dict[str, Macro] = msgspec.field(default_factory=dict)

    def relations(self, schemas: tuple[str, ...]) -> list[Node]:
        """The nodes whose relation is in one of ``schemas``, sorted by schema and name."""
        found = [
            node
            for node in self.nodes.values()
            if node.is_relation and node.config.enabled and node.schema_name in schemas
        ]
        return sorted(found, key=lambda node: (node.schema_name or "", node.relation_name))

    def label(self, unique_id: str, name: str) -> str:
        """The label of a node, or ``name`` when the manifest does not know it."""
        node = self.nodes.get(unique_id) or self.unit_tests.get(unique_id)
        return node.label if node else name


def load_manifest(path: Path) -> Read[Manifest]:
    """Read a manifest and say how it was read.

    Raises:
        TransformError: there is none, or it cannot be read as one.
    """
    try:
        return read_file(path, Manifest, "delete it and run `headrace build`", _agree_on_ids)
    except FileNotFoundError as error:
        raise TransformError(f"there is no {path} yet: run `headrace build` first") from error


def _agree_on_ids(manifest: Manifest, notes: Notes) -> Manifest:
    """Give each entry the id of its key, which others refer to, where the two differ."""
    changed: dict[str, dict[str, Any]] = {}
    for name in _BY_ID:
        entries: dict[str, Any] = getattr(manifest, name)
        odd = [key for key, entry in entries.items() if entry.unique_id != key]
        for key in odd:
            notes.add(f"`{key}` in `{name}` calls itself `{entries[key].unique_id}`")
            entry = msgspec.structs.replace(entries[key], unique_id=key)
            changed.setdefault(name, dict(entries))[key] = entry
    return msgspec.structs.replace(manifest, **changed) if changed else manifest


def read_manifest(directory: Path) -> Manifest:
    """Read ``manifest.json`` from dbt's target directory.

    Raises:
        TransformError: there is none, or it cannot be read as one.
    """
    return load_manifest(directory / "manifest.json").value
