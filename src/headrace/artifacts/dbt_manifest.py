"""dbt's ``manifest.json``, as far as Headrace uses it: sources, exposures, unit tests and groups.

Source: dbt's manifest schemas v7 to v12 (dbt 1.3 to 1.12; dbt v2 writes v12 or a newer number).
"""

import stat
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from headrace.artifacts.dbt_nodes import ColumnInfo, DependsOn, Node, Resource, TagsMeta
from headrace.artifacts.formats import DbtFile, read_file
from headrace.artifacts.reading import ArtifactPart, Notes, Read
from headrace.errors import TransformError

MANIFEST = "manifest.json"
_BY_ID = (
    "nodes", "sources", "exposures", "groups", "unit_tests",
    "metrics", "semantic_models", "saved_queries", "functions",
)  # fmt: skip


class UnitTest(Resource, frozen=True, kw_only=True):
    """A unit test of a model.

    Attributes:
        model: the name of the model that it tests.
        depends_on: the id of that model.
    """

    model: str
    depends_on: DependsOn = DependsOn()
    version: str | int | float | None = None

    @property
    def label(self) -> str:
        """``adds_up on orders``."""
        return f"{self.name} on {self.model}"


class FreshnessPeriod(ArtifactPart, frozen=True, kw_only=True):
    """``count`` times ``period`` (``minute``, ``hour`` or ``day``)."""

    count: int | None = None
    period: str | None = None


class Freshness(ArtifactPart, frozen=True, kw_only=True):
    """When a source counts as stale."""

    warn_after: FreshnessPeriod | None = None
    error_after: FreshnessPeriod | None = None
    filter: str | None = None


class SourceConfig(TagsMeta, frozen=True, kw_only=True):
    """A source table's config; since dbt 1.10 it has the freshness, too."""

    freshness: Freshness | None = None
    loaded_at_field: str | None = None
    loaded_at_query: str | None = None
    event_time: str | None = None


class SourceNode(Resource, frozen=True, kw_only=True):
    """A table of a dbt source.

    Attributes:
        source_name: of the source that it belongs to.
        schema_name: of its relation.
        identifier: its relation's name, where that is not ``name``.
        relation: quoted, as SQL names it.
        loader: free text: who loads it.
        loaded_at_field: the column that says when a row was loaded.
        loaded_at_query: or the query that says so (dbt 1.10).
        source_description: of the whole source.
        source_meta: of the whole source.
    """

    source_name: str
    schema_name: str = msgspec.field(name="schema")
    resource_type: str = "source"
    database: str | None = None
    identifier: str | None = None
    relation: str | None = msgspec.field(default=None, name="relation_name")
    loader: str | None = None
    loaded_at_field: str | None = None
    loaded_at_query: str | None = None
    freshness: Freshness | None = None
    source_description: str = ""
    source_meta: dict[str, Any] = msgspec.field(default_factory=dict)
    columns: dict[str, ColumnInfo] = msgspec.field(default_factory=dict)
    config: SourceConfig = SourceConfig()

    @property
    def relation_name(self) -> str:
        """Its table's name."""
        return self.identifier or self.name


class Owner(ArtifactPart, frozen=True, kw_only=True):
    """Of an exposure or a group."""

    name: str | None = None
    email: str | list[str] | None = None

    @property
    def emails(self) -> tuple[str, ...]:
        """All of its addresses."""
        if self.email is None:
            return ()
        return (self.email,) if isinstance(self.email, str) else tuple(self.email)


class Exposure(Resource, frozen=True, kw_only=True):
    """A use of the data outside dbt.

    Attributes:
        type: ``dashboard``, ``notebook``, ``analysis``, ``ml`` or ``application``.
        owner: who owns it.
        label: its display name.
        maturity: ``high``, ``medium`` or ``low``.
        url: where it is.
        depends_on: what it reads.
    """

    type: str | None = None
    owner: Owner = Owner()
    label: str | None = None
    maturity: str | None = None
    url: str | None = None
    depends_on: DependsOn = DependsOn()


class NodeGroup(ArtifactPart, frozen=True, kw_only=True):
    """A group of nodes and who owns it."""

    unique_id: str
    name: str
    owner: Owner = Owner()
    description: str | None = None


class OtherNode(ArtifactPart, frozen=True, kw_only=True):
    """A metric, semantic model, saved query or function: its id, and what it depends on."""

    unique_id: str
    name: str
    resource_type: str
    description: str | None = None
    label: str | None = None
    package_name: str | None = None
    original_file_path: str | None = None
    depends_on: DependsOn = DependsOn()


class DisabledNode(ArtifactPart, frozen=True, kw_only=True):
    """A disabled node, which dbt found but does not run."""

    unique_id: str
    name: str
    resource_type: str
    original_file_path: str | None = None


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

    def relations(self, schemas: tuple[str, ...], models: tuple[str, ...] = ()) -> list[Node]:
        """The nodes whose relation is in one of ``schemas``, sorted by schema and name.

        Args:
            schemas: of the warehouse.
            models: patterns (``*``) of names, or of paths below the models' folder; none: all.
        """
        found = [
            node
            for node in self.nodes.values()
            if node.is_relation and node.config.enabled and node.schema_name in schemas
            if not models or any(_is_called(node, pattern) for pattern in models)
        ]
        return sorted(found, key=lambda node: (node.schema_name or "", node.relation_name))

    def keys(self) -> dict[str, tuple[str, ...]]:
        """The columns whose values together are unique in each relation, by its id.

        dbt infers a key as well (``Node.primary_key``), but makes one of the columns of several
        tests, and knows no model-level test except dbt_utils'.
        """
        tests: dict[str, list[Node]] = {}
        for node in self.nodes.values():
            if node.test_metadata is not None and not node.config.where:
                about = node.attached_node or next(iter(node.depends_on.nodes), "")
                tests.setdefault(about, []).append(node)
        found = {id_: node.key(tests.get(id_, ())) for id_, node in self.nodes.items()}
        return {id_: key for id_, key in found.items() if key}

    def child_map(self) -> dict[str, list[str]]:
        """Id to the ids of its children: the parents the other way round."""
        children: dict[str, list[str]] = {}
        for child, parents in self.parent_map.items():
            for parent in parents:
                children.setdefault(parent, []).append(child)
        return children

    def label(self, unique_id: str, name: str) -> str:
        """The label of a node, or ``name`` when the manifest does not know it."""
        node = self.nodes.get(unique_id) or self.unit_tests.get(unique_id)
        return node.label if node else name


def _is_called(node: Node, pattern: str) -> bool:
    # the fqn: package, folders, name (and version)
    return fnmatchcase(node.name, pattern) or fnmatchcase("/".join(node.fqn[1:]), pattern)


def load_manifest(path: Path, *, dbt_command: str = "headrace build") -> Read[Manifest]:
    """Read a manifest and say how it was read.

    Args:
        path: the file.
        dbt_command: what writes it, for messages.

    Raises:
        TransformError: there is none, or it cannot be read as one.
    """
    try:
        content = _digest(path)
        if content is not None and content in _kept:
            return _kept[content]
        read = read_file(path, Manifest, f"delete it and run `{dbt_command}`", _agree_on_ids)
    except FileNotFoundError as error:
        raise TransformError(f"there is no {path} yet: run `{dbt_command}` first") from error
    if content is not None and content == _digest(path):  # it is what was read
        _kept.clear()
        _kept[content] = read
    return read


_kept: dict[bytes, Read[Manifest]] = {}
"""The last manifest, by the digest of its file: each step of a run reads it."""
_MOST_KEPT = 64 * 1024 * 1024  # bytes of a file; a larger one is not kept in memory


def _digest(path: Path) -> bytes | None:
    """Of the content; None of one that is not to be kept, or cannot be read."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_KEPT:
            return None
        return blake2b(path.read_bytes()).digest()
    except OSError:
        return None


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
    return load_manifest(directory / MANIFEST).value
