"""The nodes of dbt's manifest (models, seeds, snapshots, tests), their columns and configs.

Source: dbt's manifest schema v12 (dbt 1.8 to 1.12). Keys that are not named here are skipped. A
missing key is read as the field's default.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headrace.artifacts.reading import ArtifactPart

COMBINATION = "unique_combination_of_columns"  # dbt_utils', and that of this project


class Constraint(ArtifactPart, frozen=True, kw_only=True):
    """A constraint of a column or a model.

    Attributes:
        type: ``not_null``, ``unique``, ``primary_key``, ``foreign_key``, ``check``, ``custom``.
        name: as the warehouse calls it.
        expression: of a check.
        columns: of a model's constraint.
        to: the relation that a foreign key points to.
        to_columns: its columns.
    """

    type: str
    name: str | None = None
    expression: str | None = None
    columns: list[str] = msgspec.field(default_factory=list)
    to: str | None = None
    to_columns: list[str] = msgspec.field(default_factory=list)


class TagsMeta(ArtifactPart, frozen=True, kw_only=True):
    """Tags and meta below a ``config`` key, where dbt 1.10 and later have them.

    Attributes:
        tags: one, or several.
        meta: the user's own keys.
        enabled: whether dbt includes it.
    """

    tags: list[str] | str | None = None
    meta: dict[str, Any] | None = None
    enabled: bool = True


class _Labelled(ArtifactPart, frozen=True, kw_only=True):
    tags: list[str] = msgspec.field(default_factory=list)
    meta: dict[str, Any] = msgspec.field(default_factory=dict)
    config: TagsMeta = TagsMeta()

    @property
    def all_tags(self) -> tuple[str, ...]:
        """Its tags, those below ``config`` too, each once."""
        more = self.config.tags or []
        return tuple(dict.fromkeys([*self.tags, *([more] if isinstance(more, str) else more)]))

    @property
    def all_meta(self) -> dict[str, Any]:
        """Its meta, that below ``config`` too, which wins."""
        return {**self.meta, **(self.config.meta or {})}


class ColumnInfo(_Labelled, frozen=True, kw_only=True):
    """A documented column.

    Attributes:
        name: as in the yml.
        description: Markdown.
        data_type: as in the yml, often None.
        constraints: of a contract.
        quote: whether its name must be quoted.
    """

    name: str
    description: str = ""
    data_type: str | None = None
    constraints: list[Constraint] = msgspec.field(default_factory=list)
    quote: bool | None = None


class DbtContract(ArtifactPart, frozen=True, kw_only=True):
    """Whether a model's columns are enforced."""

    enforced: bool = False
    alias_types: bool = True
    checksum: str | None = None


class Hook(ArtifactPart, frozen=True, kw_only=True):
    """SQL, or a macro, that dbt runs before or after a node; ``sql`` as written."""

    sql: str = ""


class NodeConfig(TagsMeta, frozen=True, kw_only=True):
    """A node's resolved config.

    Attributes:
        materialized: ``table``, ``view``, ``incremental``, ``ephemeral``, ``snapshot``, ...
        severity: of a test: ``ERROR`` or ``warn``, as written.
        schema_name: the custom schema, not the resolved one.
        unique_key: of an incremental model or a snapshot.
        incremental_strategy: ``merge``, ``append``, ``delete+insert``, ...
        strategy: of a snapshot: ``timestamp`` or ``check``.
        updated_at: of a snapshot: the column.
        check_cols: of a snapshot: the columns, or ``all``.
        snapshot_meta_column_names: ``dbt_valid_from`` and others, where renamed.
        hard_deletes: of a snapshot: ``ignore``, ``invalidate`` or ``new_record``.
        pre_hook: SQL that runs before it is built.
        post_hook: SQL that runs after it was built.
        dbt_valid_to_current: of a snapshot: the value of ``dbt_valid_to`` in current rows.
        contract: whether columns are enforced.
        group: dbt's group.
        access: ``public``, ``protected`` or ``private``.
        store_failures: of a test.
        where: of a test.
        event_time: the column that says when what a row tells of happened.
    """

    materialized: str | None = None
    severity: str | None = None
    schema_name: str | None = msgspec.field(default=None, name="schema")
    unique_key: str | list[str] | None = None
    incremental_strategy: str | None = None
    strategy: str | None = None
    updated_at: str | None = None
    check_cols: str | list[str] | None = None
    snapshot_meta_column_names: dict[str, str | None] | None = None
    hard_deletes: str | None = None
    pre_hook: list[Hook] = msgspec.field(default_factory=list, name="pre-hook")
    post_hook: list[Hook] = msgspec.field(default_factory=list, name="post-hook")
    dbt_valid_to_current: str | None = None
    contract: DbtContract | None = None
    group: str | None = None
    access: str | None = None
    store_failures: bool | None = None
    where: str | None = None
    event_time: str | None = None


class DependsOn(ArtifactPart, frozen=True, kw_only=True):
    """What a node reads, and the macros that it calls: ids."""

    nodes: list[str] = msgspec.field(default_factory=list)
    macros: list[str] = msgspec.field(default_factory=list)


class TestMetadata(ArtifactPart, frozen=True, kw_only=True):
    """What a generic test is made from.

    Attributes:
        name: ``unique``.
        arguments: with ``column_name`` and ``model``.
        namespace: the package of a test that is not dbt's or the project's own.
    """

    __test__ = False  # pytest would collect it by its name

    name: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict, name="kwargs")
    namespace: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is about: one, or those of a ``unique_combination_of_columns``."""
        given = self.arguments
        found = given.get("column_name") or given.get("combination_of_columns")
        found = found or given.get("columns")
        names = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        return tuple(name for name in names if isinstance(name, str))


class Resource(_Labelled, frozen=True, kw_only=True):
    """What all resources of a manifest have in common.

    Attributes:
        unique_id: ``model.shop.orders``.
        name: short.
        resource_type: ``model``, ``test``, ``seed``, ``snapshot``, ``source``, ...
        package_name: the dbt project that it comes from.
        original_file_path: in that project.
        description: Markdown.
        patch_path: of the yml that describes it: ``project://models/orders.yml``.
    """

    unique_id: str
    name: str
    resource_type: str
    package_name: str = ""
    original_file_path: str | None = None
    description: str = ""
    patch_path: str | None = None
    fqn: list[str] = msgspec.field(default_factory=list)


class Node(Resource, frozen=True, kw_only=True):
    """A model, seed, snapshot, test, analysis or operation.

    Attributes:
        database: of its relation.
        schema_name: of its relation.
        alias: its relation's name.
        relation: quoted, as SQL names it; None where it has no relation.
        columns: by name, in the order of the yml.
        depends_on: what it reads.
        raw_code: as written.
        compiled_code: as the engine runs it; None where dbt did not compile it.
        language: ``sql`` or ``python``.
        test_metadata: of a generic test.
        attached_node: of a generic test: the id of what it tests.
        column_name: of a generic test.
        version: of a versioned model.
        latest_version: of a versioned model.
        primary_key: as dbt infers it from constraints and tests.
        unrendered_config: what was configured, as written: defaults are not in it.
    """

    database: str | None = None
    schema_name: str | None = msgspec.field(default=None, name="schema")
    alias: str | None = None
    relation: str | None = msgspec.field(default=None, name="relation_name")
    columns: dict[str, ColumnInfo] = msgspec.field(default_factory=dict)
    config: NodeConfig = NodeConfig()
    depends_on: DependsOn = DependsOn()
    raw_code: str | None = None
    compiled_code: str | None = None
    language: str | None = None
    group: str | None = None
    access: str | None = None
    contract: DbtContract | None = None
    constraints: list[Constraint] = msgspec.field(default_factory=list)
    primary_key: list[str] = msgspec.field(default_factory=list)
    test_metadata: TestMetadata | None = None
    attached_node: str | None = None
    column_name: str | None = None
    version: str | int | float | None = None
    latest_version: str | int | float | None = None
    deprecation_date: str | None = None
    unrendered_config: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def label(self) -> str:
        """Of a generic test ``unique(order_id) on orders``; the name of anything else."""
        metadata = self.test_metadata
        if metadata is None:
            return self.name
        return _test_label(self.name, metadata.name, metadata.arguments, self.attached_node)

    @property
    def relation_name(self) -> str:
        """Its table's or view's name."""
        return self.alias or self.name

    @property
    def is_relation(self) -> bool:
        """Whether it is a table or a view in the warehouse."""
        return (
            self.resource_type in {"model", "seed", "snapshot"}
            and self.config.materialized != "ephemeral"
        )

    @property
    def severity(self) -> str:
        """Of a test: ``error`` or ``warn``; dbt writes it in upper or lower case."""
        return (self.config.severity or "error").lower()

    def key(self, tests: Iterable["Node"]) -> tuple[str, ...]:
        """The columns of its key: of a constraint, a test, or the config; empty if it says none.

        Args:
            tests: the generic tests of all its rows.
        """
        if not self.is_relation:
            return ()
        for constraint in self.constraints:
            if constraint.type == "primary_key" and constraint.columns:
                return tuple(constraint.columns)
        for column in self.columns.values():
            if any(constraint.type == "primary_key" for constraint in column.constraints):
                return (column.name,)
        metadata = [test.test_metadata for test in tests if test.test_metadata is not None]
        unique, not_null = (
            [one.columns[0] for one in metadata if one.name == name and one.columns]
            for name in ("unique", "not_null")
        )
        combined = [one.columns for one in metadata if one.name == COMBINATION and one.columns]
        keys: list[tuple[str, ...]] = [(name,) for name in unique if name in not_null]
        keys += [*combined, *((name,) for name in unique)]
        if keys:
            return keys[0]
        # a snapshot has several versions of the row that its unique_key names
        given = None if self.resource_type == "snapshot" else self.config.unique_key
        given = given or self.primary_key
        return (given,) if isinstance(given, str) else tuple(given)

    @property
    def is_contracted(self) -> bool:
        """Whether its columns are enforced."""
        contract = self.contract or self.config.contract
        return contract is not None and contract.enforced


def _test_label(
    name: str, generic: str, arguments: Mapping[str, Any], attached_node: str | None
) -> str:
    if not name.startswith(generic):  # a custom name says more than one composed here
        return name
    column = arguments.get("column_name")
    attached = attached_node.rpartition(".")[2] if attached_node else None
    words = f"{generic}({column})" if column else generic
    return f"{words} on {attached}" if attached else words


def dbt_label(node: Any) -> str:
    """The same label, of a node or a unit test of dbt's own manifest object."""
    if str(node.resource_type) == "unit_test":
        return f"{node.name} on {node.model}"
    metadata = getattr(node, "test_metadata", None)
    if metadata is None:
        return str(node.name)
    return _test_label(node.name, metadata.name, metadata.kwargs, node.attached_node)
