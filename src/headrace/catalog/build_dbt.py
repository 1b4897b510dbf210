"""dbt's part of the graph: sources, models, seeds, snapshots, metrics, exposures and tests.

A hook may change a model's table besides its compiled SQL. It is judged by its text alone: SQL that
cannot change the table does not count; a macro does, since what it runs is not known.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from headrace.artifacts import Artifacts
from headrace.artifacts.dbt_manifest import (
    Exposure,
    Manifest,
    OtherNode,
    Owner,
    SourceNode,
    UnitTest,
)
from headrace.artifacts.dbt_nodes import ColumnInfo, Constraint, Node
from headrace.catalog.model import Asset, AssetKind, Column, SnapshotInfo, TestInfo, table_id
from headrace.formatting import one_line

_KINDS: Mapping[str, AssetKind] = {
    "model": "model",
    "seed": "seed",
    "snapshot": "snapshot",
    "test": "test",
}
_NOT_NULL = {"not_null", "primary_key"}


class DbtPart:
    """The assets and edges of dbt's artifacts; without a manifest, none."""

    def __init__(self, artifacts: Artifacts) -> None:
        """Map dbt's ids to those of the graph."""
        self._artifacts = artifacts
        manifest = artifacts.manifest
        self._nodes: dict[str, Node] = {}
        self._sources: dict[str, SourceNode] = {}
        self._exposures: dict[str, Exposure] = {}
        self._unit_tests: dict[str, UnitTest] = {}
        self._owners: dict[str, tuple[str, ...]] = {}
        self._semantic: dict[str, OtherNode] = {}
        self._others: dict[str, Sequence[str]] = {}
        self._hooks_and_macros = HooksAndMacros(manifest)
        if manifest is not None:
            self._nodes = {
                key: node
                for key, node in manifest.nodes.items()
                if node.resource_type in _KINDS and node.config.enabled
            }
            self._sources = manifest.sources
            self._exposures = manifest.exposures
            self._unit_tests = manifest.unit_tests
            self._owners = {
                group.name: _owner_names(group.owner) for group in manifest.groups.values()
            }
            self._semantic = {
                **manifest.semantic_models,
                **manifest.metrics,
                **manifest.saved_queries,
            }
            self._others = {
                key: other.depends_on.nodes
                for key, other in {**self._semantic, **manifest.functions}.items()
            }
        self._table_ids = self._ids_of_sources()
        self._keys = manifest.keys() if manifest is not None else {}
        self._compiled = (
            {result.unique_id: result.compiled_code for result in artifacts.run_results.results}
            if artifacts.run_results is not None
            else {}
        )

    def _ids_of_sources(self) -> dict[str, str]:
        """dbt's id to the graph's; a second database with the same names gets its own ids."""
        ids: dict[str, str] = {}
        databases: dict[str, str | None] = {}
        for key, source in sorted(self._sources.items()):
            found = table_id(source.schema_name, source.relation_name)
            if databases.setdefault(found, source.database) != source.database:
                found = table_id(f"{source.database}.{source.schema_name}", source.relation_name)
            ids[key] = found
        return ids

    def tables(self) -> Iterator[Asset]:
        """A raw table for each table of a dbt source; one that two sources name comes once."""
        seen: set[str] = set()
        for key, source in sorted(self._sources.items()):
            asset_id = self._table_ids[key]
            if asset_id in seen:
                continue
            seen.add(asset_id)
            meta = {**source.source_meta, **source.all_meta}
            yield Asset(
                id=asset_id,
                kind="table",
                name=source.name,
                database=source.database,
                schema=source.schema_name,
                identifier=source.relation_name,
                description=source.description,
                owners=_owners_of(meta),
                tags=source.all_tags,
                columns=self._columns(key, source.columns),
                path=source.original_file_path,
                package=source.source_name,
                dbt_id=key,
                meta=meta,
            )

    def nodes(self) -> Iterator[Asset]:
        """Models, seeds, snapshots, tests and exposures."""
        for key, node in self._nodes.items():
            yield self._test(key, node) if node.resource_type == "test" else self._node(key, node)
        for key, test in self._unit_tests.items():
            tested = next(iter(self._resolved(test.depends_on.nodes)), None)
            yield Asset(
                id=key,
                kind="unit_test",
                name=test.label,
                description=test.description,
                tags=test.all_tags,
                path=test.original_file_path,
                package=test.package_name,
                dbt_id=key,
                meta=test.all_meta,
                test=TestInfo("unit", tested, None, "error"),
            )
        for key, exposure in self._exposures.items():
            yield Asset(
                id=key,
                kind="exposure",
                name=exposure.label or exposure.name,
                description=exposure.description,
                owners=_owner_names(exposure.owner),
                tags=exposure.all_tags,
                materialized=exposure.type,
                path=exposure.original_file_path,
                package=exposure.package_name,
                dbt_id=key,
                url=exposure.url,
                meta=exposure.all_meta,
            )

        for key, other in self._semantic.items():
            yield Asset(
                id=key,
                kind=cast("AssetKind", other.resource_type),
                name=other.name,
                description=other.description or "",
                path=other.original_file_path,
                package=other.package_name,
                dbt_id=key,
            )

    def _node(self, key: str, node: Node) -> Asset:
        meta = node.all_meta
        group = node.group or node.config.group
        return Asset(
            id=key,
            kind=_KINDS[node.resource_type],
            name=node.name if node.version is None else f"{node.name}.v{node.version}",
            database=node.database,
            schema=node.schema_name,
            identifier=node.relation_name,
            description=node.description,
            owners=_owners_of(meta) or self._owners.get(group or "", ()),
            group=group,
            tags=node.all_tags,
            columns=self._columns(key, node.columns, node.constraints),
            materialized=node.config.materialized,
            path=node.original_file_path,
            package=node.package_name,
            raw_code=node.raw_code or None,
            compiled_code=node.compiled_code or self._compiled.get(key) or None,
            dbt_id=key,
            primary_key=self._keys.get(key, ()),
            access=node.access or node.config.access,
            contract=node.is_contracted,
            meta=meta if node.language in {None, "sql"} else {**meta, "language": node.language},
            snapshot=_snapshot(node) if node.resource_type == "snapshot" else None,
            latest_of=node.name if _is_latest(node) else None,
            beyond_sql=self._hooks_and_macros.of(node),
        )

    def _test(self, key: str, node: Node) -> Asset:
        metadata = node.test_metadata
        read = self._resolved(node.depends_on.nodes)
        attached = self._asset_id(node.attached_node) if node.attached_node else None
        if attached is None and len(read) == 1:
            attached = read[0]
        if metadata is None:
            name, arguments, column = "singular", {}, node.column_name
        else:
            name = f"{metadata.namespace}.{metadata.name}" if metadata.namespace else metadata.name
            column = node.column_name or metadata.arguments.get("column_name")
            arguments = {
                word: value
                for word, value in metadata.arguments.items()
                if word not in {"model", "column_name"}
            }
        return Asset(
            id=key,
            kind="test",
            name=node.label,
            description=node.description,
            tags=node.all_tags,
            path=node.original_file_path,
            package=node.package_name,
            raw_code=node.raw_code or None,
            compiled_code=node.compiled_code or self._compiled.get(key) or None,
            dbt_id=key,
            meta=node.all_meta,
            test=TestInfo(
                name,
                attached,
                str(column) if column else None,
                (node.config.severity or "error").lower(),
                arguments,
            ),
        )

    def parents(self) -> dict[str, set[str]]:
        """Id to the ids of its parents."""
        readers: list[tuple[str, Sequence[str]]] = [
            *((key, node.depends_on.nodes) for key, node in self._nodes.items()),
            *((key, test.depends_on.nodes) for key, test in self._unit_tests.items()),
            *((key, exposure.depends_on.nodes) for key, exposure in self._exposures.items()),
            *((key, other.depends_on.nodes) for key, other in self._semantic.items()),
        ]
        # what reads a metric reads what it is made from, too
        return {
            key: {*self._resolved(read), *(one for one in read if one in self._semantic)}
            for key, read in readers
        }

    def _resolved(self, ids: Sequence[str]) -> list[str]:
        """The assets behind dbt's ids; a metric is replaced by what it is made from."""
        found: dict[str, None] = {}
        seen: set[str] = set()
        stack = list(reversed(ids))
        while stack:
            key = stack.pop()
            if key in seen:
                continue
            seen.add(key)
            asset = self._asset_id(key)
            if asset is not None:
                found[asset] = None
            else:
                stack += reversed(self._others.get(key, ()))
        return list(found)

    def _asset_id(self, dbt_id: str) -> str | None:
        if dbt_id in self._table_ids:
            return self._table_ids[dbt_id]
        known = dbt_id in self._nodes or dbt_id in self._exposures
        return dbt_id if known else None

    def _columns(
        self,
        key: str,
        described: Mapping[str, ColumnInfo],
        constraints: Sequence[Constraint] = (),
    ) -> tuple[Column, ...]:
        """The relation's columns as in the warehouse; without dbt's catalog, as in the yml."""
        by_name = {info.name.casefold(): info for info in described.values()}
        not_null = {
            name.casefold()
            for constraint in constraints
            if constraint.type in _NOT_NULL
            for name in constraint.columns
        }
        catalog = self._artifacts.catalog
        table = (catalog.nodes.get(key) or catalog.sources.get(key)) if catalog else None
        if table is not None and table.columns:
            columns = [
                _column(found.name, found.type, by_name.get(found.name.casefold()))
                for found in table.ordered
            ]
        else:
            columns = [_column(info.name, info.data_type, info) for info in described.values()]
        return tuple(
            replace(column, nullable=False) if column.name.casefold() in not_null else column
            for column in columns
        )


def _column(name: str, data_type: str | None, info: ColumnInfo | None) -> Column:
    if info is None:
        return Column(name, data_type)
    tags, meta = info.all_tags, info.all_meta
    required = any(
        constraint.type in {"not_null", "primary_key"} for constraint in info.constraints
    )
    return Column(
        name,
        data_type or info.data_type,
        info.description,
        tags,
        _pii(meta.get("pii"), tags),
        False if required else None,
    )


def _pii(value: Any, tags: Sequence[str]) -> str | None:
    """What personal data a column holds: ``meta.pii``, or a tag ``pii`` or ``pii:<kind>``."""
    if isinstance(value, str) and value.strip():
        return None if value.strip().lower() in {"no", "none", "false"} else value.strip()
    if value is True:
        return "pii"
    for tag in tags:
        word, _, kind = tag.partition(":")
        if word.strip().lower() == "pii":
            return kind.strip() or "pii"
    return None


def _owners_of(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """``meta.owner`` or ``meta.owners``: a name, a list of names, or name and email."""
    found: list[str] = []
    for value in (meta.get("owner"), meta.get("owners")):
        for item in value if isinstance(value, list) else [value]:
            text = item.get("name") or item.get("email") if isinstance(item, dict) else item
            if isinstance(text, str) and text.strip():
                found.append(text.strip())
    return tuple(dict.fromkeys(found))


def _owner_names(owner: Owner) -> tuple[str, ...]:
    return (owner.name,) if owner.name else owner.emails


def _is_latest(node: Node) -> bool:
    return node.version is not None and node.version == node.latest_version


def _snapshot(node: Node) -> SnapshotInfo:
    config = node.config
    names = config.snapshot_meta_column_names or {}
    return SnapshotInfo(
        unique_key=_listed(config.unique_key),
        strategy=config.strategy or "timestamp",
        updated_at=config.updated_at,
        check_cols="all" if config.check_cols == "all" else _listed(config.check_cols),
        column_names={name: renamed for name, renamed in names.items() if renamed},
        marks_deleted=config.hard_deletes == "new_record",
        valid_to_current=config.dbt_valid_to_current,
    )


def _listed(value: str | Sequence[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


_QUERIES = frozenset({"macro.dbt.run_query", "macro.dbt.statement"})
"""Macros that run a query while a model is compiled."""
_HARMLESS = re.compile(
    r"(grant|revoke|analyze|vacuum|comment|checkpoint|select|set|use|pragma|install|load|attach|"
    r"create\s+(unique\s+)?index)\b",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"\{#.*?#\}|--[^\n]*|/\*.*?\*/", re.DOTALL)
_JINJA = re.compile(r"\{\{(.*?)\}\}|\{%.*?%\}", re.DOTALL)
_NAME = re.compile(
    r"\s*-?\s*(this\b[\w.]*|target\.\w+|(?:ref|source|var|env_var)\s*\([^()]*\))\s*-?\s*"
)
_WRITES = re.compile(
    r"\b(?:update|into|delete\s+from|truncate(?:\s+table)?|(?:alter|drop|create(?:\s+or\s+replace)?)"
    r"\s+(?:table|view))\s+(?:if\s+(?:not\s+)?exists\s+)?(\{\{.*?\}\}|[\w.\"]+)",
    re.IGNORECASE | re.DOTALL,
)
_SHOWN = 60  # characters of a hook in a message


class HooksAndMacros:
    """The hooks and macros of a project."""

    def __init__(self, manifest: Manifest | None) -> None:
        """Index the manifest."""
        self._macros = manifest.macros if manifest is not None else {}
        self._query: dict[str, bool] = {}
        self._operations: dict[str, list[Node]] = {}
        for node in manifest.nodes.values() if manifest is not None else ():
            if node.resource_type == "operation":
                for key in node.depends_on.nodes:
                    self._operations.setdefault(key, []).append(node)

    def of(self, node: Node) -> tuple[str, ...]:
        """Why a node's table may hold other rows than its SQL yields, one clause per reason."""
        return tuple(dict.fromkeys(self._clauses(node)))

    def _clauses(self, node: Node) -> Iterator[str]:
        for kind, hooks in (("pre", node.config.pre_hook), ("post", node.config.post_hook)):
            for hook in hooks:
                if _may_change(hook.sql, node):
                    yield f"its {kind}-hook `{one_line(hook.sql, _SHOWN)}` may change its rows"
        for operation in self._operations.get(node.unique_id, ()):
            sql = operation.raw_code or ""
            if _may_change(sql, node):
                kind = "on-run-start" if "on-run-start" in operation.all_tags else "on-run-end"
                yield f"the {kind} hook `{one_line(sql, _SHOWN)}` may change its rows"
        if any(map(self._runs_a_query, node.depends_on.macros)):
            yield "a macro wrote its SQL from the result of a query"

    def _runs_a_query(self, macro: str) -> bool:
        known = self._query.get(macro)
        if known is None:
            self._query[macro] = False  # ends the recursion of macros that call each other
            called = self._macros[macro].depends_on.macros if macro in self._macros else ()
            known = macro in _QUERIES or any(map(self._runs_a_query, called))
            self._query[macro] = known
        return known


def _may_change(sql: str, node: Node) -> bool:
    text = _COMMENT.sub(" ", sql).strip()
    if not text:
        return False
    calls = [found for found in _JINJA.finditer(text) if not _NAME.fullmatch(found[1] or "")]
    if calls:
        return True
    statements = [one.strip() for one in text.split(";") if one.strip()]
    changing = [one for one in statements if not _HARMLESS.match(one)]
    return any(_writes(one, node) for one in changing)


def _writes(statement: str, node: Node) -> bool:
    """Whether it writes to the node's table; a statement of an unknown kind may."""
    targets = _WRITES.findall(statement)
    if not targets:
        return True
    return any(
        _refers(target, node) if target.startswith("{{")
        else target.rpartition(".")[2].strip('"').casefold() == node.relation_name.casefold()
        for target in targets
    )  # fmt: skip


def _refers(expression: str, node: Node) -> bool:
    name = re.search(r"ref\s*\(\s*(?:['\"]\w+['\"]\s*,\s*)?['\"](\w+)['\"]", expression)
    return "this" in expression or (name is not None and name[1] == node.name)
