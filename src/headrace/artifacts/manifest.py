"""dbt's ``manifest.json``: the part of it that Headrace uses.

Source: dbt's manifest schema v12 (dbt 1.8 to 1.12). Unknown keys are ignored, so a manifest of a
neighbouring version reads as well; a missing key that is needed is an error that names it.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.errors import TransformError


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class ColumnInfo(_Part):
    """A documented column."""

    name: str
    description: str = ""
    data_type: str | None = None


class NodeConfig(_Part):
    """A node's resolved config."""

    enabled: bool = True
    materialized: str | None = None
    severity: str | None = None


class TestMetadata(_Part):
    """What a generic test is made from."""

    __test__ = False  # no test case, whatever pytest thinks of the name

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict, alias="kwargs")


class Node(_Part):
    """A model, seed, snapshot, test or unit test."""

    unique_id: str
    name: str
    resource_type: str
    schema_name: str | None = Field(None, alias="schema")
    alias: str | None = None
    description: str = ""
    columns: dict[str, ColumnInfo] = Field(default_factory=dict)
    config: NodeConfig = NodeConfig()
    test_metadata: TestMetadata | None = None
    attached_node: str | None = None
    model: str | None = Field(None, description="of a unit test: the model it tests")

    @property
    def label(self) -> str:
        """A test in words, ``unique(order_id) on orders``; the name of anything else."""
        if self.resource_type == "unit_test" and self.model:
            return f"{self.name} on {self.model}"
        metadata = self.test_metadata
        # a name that somebody chose says more than what could be put together here
        if metadata is None or not self.name.startswith(metadata.name):
            return self.name
        column = metadata.arguments.get("column_name")
        attached = self.attached_node.rpartition(".")[2] if self.attached_node else None
        words = f"{metadata.name}({column})" if column else metadata.name
        return f"{words} on {attached}" if attached else words

    @property
    def relation_name(self) -> str:
        """Its table's or view's name."""
        return self.alias or self.name

    @property
    def is_relation(self) -> bool:
        """Whether it stands in the warehouse as a table or a view."""
        return (
            self.resource_type in {"model", "seed", "snapshot"}
            and self.config.materialized != "ephemeral"
        )


class SourceNode(_Part):
    """A table of a dbt source."""

    unique_id: str
    source_name: str
    name: str
    schema_name: str = Field(alias="schema")
    resource_type: Literal["source"] = "source"


class Manifest(_Part):
    """The manifest."""

    nodes: dict[str, Node]
    sources: dict[str, SourceNode]
    unit_tests: dict[str, Node] = Field(default_factory=dict)

    def relations(self, schemas: tuple[str, ...]) -> list[Node]:
        """The nodes that stand in one of ``schemas``, sorted by schema and name."""
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


def read_manifest(directory: Path) -> Manifest:
    """Read ``manifest.json`` from dbt's target directory.

    Raises:
        TransformError: there is none, or it cannot be read as one.
    """
    path = directory / "manifest.json"
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise TransformError(f"there is no {path} yet: run `headrace build` first") from error
    except (OSError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise TransformError(
            f"{path} cannot be read ({first}): delete it and run `headrace build`"
        ) from error
