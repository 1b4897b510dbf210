"""The catalog: every asset and column of a project as ids with parent and child maps.

There are two kinds of edges: between assets (what reads what), and between columns (what a value,
or the choice of rows, is made from). A column edge whose ``child_column`` is empty says what
decides the *rows* of the child; one whose ``parent_column`` is empty says that the rows of the
parent count, not a value. Every column of an asset depends on its rows, and the rows of an asset
depend on the rows of all its parents; neither is written out as an edge.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from headrace.artifacts.reading import Reading

AssetKind = Literal[
    "resource",
    "table",
    "model",
    "snapshot",
    "seed",
    "semantic_model",
    "metric",
    "saved_query",
    "exposure",
    "test",
    "unit_test",
]
# What reads models and has neither rows nor columns of its own: it reads all that it is given.
CONSUMERS = frozenset({"semantic_model", "metric", "saved_query", "exposure"})
RELATIONS: frozenset[str] = frozenset({"table", "model", "snapshot", "seed"})
TESTS: frozenset[str] = frozenset({"test", "unit_test"})

DirectKind = Literal["copied", "renamed", "computed", "aggregated"]
IndirectKind = Literal["filtered", "joined", "grouped", "sorted", "windowed"]
EdgeKind = Literal[
    "copied", "renamed", "computed", "aggregated",
    "filtered", "joined", "grouped", "sorted", "windowed",
]  # fmt: skip
DIRECT: frozenset[str] = frozenset({"copied", "renamed", "computed", "aggregated"})


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an asset.

    Attributes:
        name: as the warehouse names it.
        data_type: the engine's type (``BIGINT``), dlt's where only dlt knows it (``bigint``).
        description: Markdown.
        tags: dbt's tags.
        pii: what kind of personal data it holds (``email``), or None.
        nullable: False where a constraint or dlt's schema says so.
    """

    name: str
    data_type: str | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    pii: str | None = None
    nullable: bool | None = None


@dataclass(frozen=True, slots=True)
class TestInfo:
    """What a test checks.

    Attributes:
        name: of a generic test (``unique``); ``singular`` or ``unit`` of others.
        attached_to: id of the asset that it tests, where dbt says.
        column: the column that it tests.
        severity: ``error`` or ``warn``.
        arguments: of a generic test, without ``model`` and ``column_name``.
    """

    __test__ = False  # pytest would collect it by its name

    name: str
    attached_to: str | None
    column: str | None
    severity: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """How dbt keeps the history of a snapshot.

    Attributes:
        unique_key: columns that identify the rows of the source.
        strategy: ``timestamp`` or ``check``.
        updated_at: the column (or expression) that says when a row changed, where there is one.
        check_cols: the columns that are compared, or ``all``; empty with ``timestamp``.
        column_names: dbt's own column (``dbt_valid_from``) to its name in this snapshot
            (``snapshot_meta_column_names``); without an entry it has dbt's name.
        marks_deleted: a deleted row gets a last record (``hard_deletes: new_record``).
        valid_to_current: an expression that replaces null in ``dbt_valid_to``.
    """

    unique_key: tuple[str, ...]
    strategy: str
    updated_at: str | None = None
    check_cols: tuple[str, ...] | Literal["all"] = ()
    column_names: Mapping[str, str] = field(default_factory=dict)
    marks_deleted: bool = False
    valid_to_current: str | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """A node of the graph.

    Attributes:
        id: ``resource.<source>.<name>`` of a dlt resource, ``table.<schema>.<name>`` of a raw
            table (a dbt source or not), dbt's ``unique_id`` of everything else.
        kind: what it is.
        name: short: ``orders``; a test in words: ``unique(order_id) on orders``.
        database: of a relation.
        schema: of a relation.
        identifier: the relation's name in its schema.
        description: Markdown.
        owners: names or addresses; of a model its group's owner, too.
        group: dbt's group.
        tags: dbt's tags.
        columns: in the relation's order.
        materialized: dbt's: ``table``, ``view``, ``incremental``, ...
        path: of the file that defines it, within the dbt project.
        package: dbt's package, or dlt's source.
        raw_code: as written.
        compiled_code: what the engine runs; None where dbt did not compile it.
        dbt_id: dbt's ``unique_id``; of a raw table that of its dbt source, or None.
        parent_table: of a dlt child table, the id of the table it is nested in.
        primary_key: columns.
        access: dbt's ``public``, ``protected`` or ``private``.
        contract: whether its columns are enforced.
        url: of an exposure.
        meta: dbt's ``meta``.
        test: of a test.
        snapshot: of a snapshot, where dbt's settings say how it is kept.
        latest_of: of the latest version of a versioned model, its name without a version:
            what ``ref('dim')`` means.
        beyond_sql: why its table may hold other rows than its SQL yields, one clause per reason:
            a hook, or a query whose result is part of its SQL.
    """

    id: str
    kind: AssetKind
    name: str
    database: str | None = None
    schema: str | None = None
    identifier: str | None = None
    description: str = ""
    owners: tuple[str, ...] = ()
    group: str | None = None
    tags: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    materialized: str | None = None
    path: str | None = None
    package: str | None = None
    raw_code: str | None = None
    compiled_code: str | None = None
    dbt_id: str | None = None
    parent_table: str | None = None
    primary_key: tuple[str, ...] = ()
    access: str | None = None
    contract: bool = False
    url: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    test: TestInfo | None = None
    snapshot: SnapshotInfo | None = None
    latest_of: str | None = None
    beyond_sql: tuple[str, ...] = ()

    @property
    def is_relation(self) -> bool:
        """Whether it is in the warehouse, or would be if it were not ephemeral."""
        return self.kind in RELATIONS

    @property
    def is_test(self) -> bool:
        """Whether it is a data test or a unit test."""
        return self.kind in TESTS

    @property
    def relation(self) -> str | None:
        """``schema.identifier`` of a relation."""
        return f"{self.schema}.{self.identifier}" if self.schema and self.identifier else None

    def column(self, name: str) -> Column | None:
        """The column of that name, case-insensitively."""
        folded = name.casefold()
        return next((column for column in self.columns if column.name.casefold() == folded), None)


@dataclass(frozen=True, slots=True)
class ColumnEdge:
    """A column that another column, or the choice of rows, is made from.

    Attributes:
        parent: id of the upstream asset.
        parent_column: its column; empty: its rows.
        child: id of the downstream asset.
        child_column: its column; empty: which rows it has.
        kind: how it is used. Direct: ``copied``, ``renamed``, ``computed``, ``aggregated``.
            Indirect (the value is not in the result, but decides it): ``filtered``, ``joined``,
            ``grouped``, ``sorted``, ``windowed``.
    """

    parent: str
    parent_column: str
    child: str
    child_column: str
    kind: EdgeKind

    @property
    def is_direct(self) -> bool:
        """Whether a value flows into the child, and does not only decide its rows or values."""
        return self.kind in DIRECT


@dataclass(frozen=True, slots=True)
class ColumnLineageProblem:
    """Column lineage of an asset that could not be read.

    Attributes:
        asset: its id.
        message: one sentence: what could not be parsed or resolved.
    """

    asset: str
    message: str


@dataclass(frozen=True)
class Catalog:
    """The graph.

    Attributes:
        assets: by id, in the order of the graph's layers where known.
        parents: id to the ids of its parents, sorted; every asset has an entry.
        column_edges: the column lineage, sorted by child.
        problems: column lineage that could not be read.
        lookups: id to those of its parents whose rows do not decide its rows (a left join that
            finds one row at most, a scalar subquery); they affect it by column edges only.
        readings: how the artifacts that it was built from were read.
        version: its number in the run store; None if it is not stored.
        created_at: UTC.
    """

    assets: Mapping[str, Asset]
    parents: Mapping[str, tuple[str, ...]]
    column_edges: tuple[ColumnEdge, ...] = ()
    problems: tuple[ColumnLineageProblem, ...] = ()
    lookups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()
    version: int | None = None
    created_at: datetime | None = None

    @cached_property
    def children(self) -> Mapping[str, tuple[str, ...]]:
        """Id to the ids of its children, sorted."""
        found: dict[str, list[str]] = {key: [] for key in self.assets}
        for child, parents in self.parents.items():
            for parent in parents:
                found[parent].append(child)
        return {key: tuple(sorted(children)) for key, children in found.items()}

    @cached_property
    def by_dbt_id(self) -> Mapping[str, str]:
        """dbt's ``unique_id`` to the asset's id."""
        return {asset.dbt_id: key for key, asset in self.assets.items() if asset.dbt_id}

    @cached_property
    def edges_by_child(self) -> Mapping[str, tuple[ColumnEdge, ...]]:
        """Asset id to the column edges that end in it."""
        return _grouped(self.column_edges, by_child=True)

    @cached_property
    def edges_by_parent(self) -> Mapping[str, tuple[ColumnEdge, ...]]:
        """Asset id to the column edges that start in it."""
        return _grouped(self.column_edges, by_child=False)

    def source_of(self, asset: Asset) -> str | None:
        """The dlt source that loads a resource or a raw table; None of anything else."""
        if asset.kind == "resource":
            return asset.id.split(".", 2)[1]
        if asset.kind != "table":
            return None
        for parent in self.parents.get(asset.id, ()):
            found = self.assets.get(parent)
            if found is not None and found.kind == "resource":
                return found.id.split(".", 2)[1]
        # a child table has no resource of its own; the schema is the same
        return asset.schema.removesuffix("_raw") if asset.schema else None

    @cached_property
    def tests_of(self) -> Mapping[str, tuple[str, ...]]:
        """Asset id to the ids of the tests attached to it, sorted."""
        found: dict[str, list[str]] = {}
        for key, asset in self.assets.items():
            if asset.test is not None and asset.test.attached_to is not None:
                found.setdefault(asset.test.attached_to, []).append(key)
        return {key: tuple(sorted(tests)) for key, tests in found.items()}


def field_of(table_path: Sequence[str], column: str) -> str:
    """The name of a table's column as a field of its resource.

    Args:
        table_path: the nested lists that lead to the table (``["lines", "taxes"]``); empty for
            the root table.
        column: of that table, as the warehouse names it.

    Returns:
        ``column`` of the root table, ``lines[].taxes[].rate`` of a child table.
    """
    return "".join(f"{part}[]." for part in table_path) + column


def _grouped(
    edges: Iterable[ColumnEdge], *, by_child: bool
) -> Mapping[str, tuple[ColumnEdge, ...]]:
    found: dict[str, list[ColumnEdge]] = {}
    for edge in edges:
        found.setdefault(edge.child if by_child else edge.parent, []).append(edge)
    return {key: tuple(group) for key, group in found.items()}


def table_id(schema: str, name: str) -> str:
    """The id of a raw table: ``table.shop_raw.orders``; a part with a dot is quoted."""
    return f"table.{_part(schema)}.{_part(name)}"


def resource_id(source: str, name: str) -> str:
    """The id of a dlt resource: ``resource.shop.orders``; a part with a dot is quoted."""
    return f"resource.{_part(source)}.{_part(name)}"


def _part(name: str) -> str:
    return f'"{name}"' if "." in name else name
