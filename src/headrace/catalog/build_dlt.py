"""dlt's part of the graph: resources, the raw tables that they fill, and nested tables."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from headrace.artifacts import DltArtifacts, DltColumn, DltSchema, DltTable
from headrace.catalog.model import Asset, Column, field_of, resource_id, table_id

# Rows that were not loaded, and what became of them: not tables of the source.
_QUARANTINE = frozenset({"_quarantine", "_quarantine_history"})

_OWN = "_dlt_"  # what dlt's own tables and columns begin with


@dataclass(frozen=True)
class _Table:
    """A raw table.

    Attributes:
        id: of its asset.
        table: as dlt's schema has it.
        path: the names that lead to it from its root table; empty of a root table.
        resource: the name of the resource that fills it.
    """

    id: str
    table: DltTable
    path: tuple[str, ...]
    resource: str


class DltPart:
    """The assets and edges of dlt's schemas."""

    def __init__(self, dlt: Mapping[str, DltArtifacts], raw_schema: Callable[[str], str]) -> None:
        """Find each source's tables and how they are nested."""
        self._datasets = {
            source: found.dataset_name or raw_schema(source) for source, found in dlt.items()
        }
        self._tables = {
            source: [
                table
                for _, schema in sorted(found.schemas.items())
                for table in _tables_of(schema, self._datasets[source])
                if table.table.name not in _QUARANTINE
            ]
            for source, found in sorted(dlt.items())
        }
        self._internal = {
            source: [
                _Table(table_id(self._datasets[source], table.name), table, (), table.name)
                for schema in found.schemas.values()
                for table in schema.tables.values()
                if table.is_internal or table.name in _QUARANTINE
            ]
            for source, found in dlt.items()
        }

    def assets(self) -> Iterator[Asset]:
        """Resources and raw tables."""
        for source, tables in self._tables.items():
            by_resource: dict[str, list[_Table]] = {}
            for table in tables:
                by_resource.setdefault(table.resource, []).append(table)
            for name, filled in sorted(by_resource.items()):
                yield _resource(source, name, filled)
            for table in tables:
                yield self._table(source, table)

    def internal(self) -> dict[str, Asset]:
        """dlt's own tables (``_dlt_loads``) and the quarantine; assets if dbt sources name them."""
        return {
            table.id: self._table(source, table)
            for source, tables in self._internal.items()
            for table in tables
        }

    def _table(self, source: str, table: _Table) -> Asset:
        dataset = self._datasets[source]
        parent = table.table.parent
        columns = _columns_of(table.table)
        return Asset(
            id=table.id,
            kind="table",
            name=table.table.name,
            schema=dataset,
            identifier=table.table.name,
            description=table.table.description or "",
            columns=tuple(
                Column(
                    column.name,
                    column.data_type,
                    column.description or "",
                    nullable=column.nullable,
                )
                for column in columns
            ),
            package=source,
            parent_table=table_id(dataset, parent) if parent else None,
            primary_key=table.table.primary_key,
        )

    def parents(self) -> dict[str, set[str]]:
        """A table has its resource as a parent; a nested one its parent table, too."""
        found: dict[str, set[str]] = {}
        for source, tables in self._tables.items():
            for table in tables:
                above = {resource_id(source, table.resource)}
                if table.table.parent:
                    above.add(table_id(self._datasets[source], table.table.parent))
                found[table.id] = above
        return found


def _resource(source: str, name: str, filled: list[_Table]) -> Asset:
    """A resource with the fields that its tables are made from."""
    fields: dict[str, Column] = {}
    for table in filled:
        for column in _columns_of(table.table):
            if not column.name.startswith(_OWN):
                field = field_of(table.path, column.name)
                fields.setdefault(field, Column(field, column.data_type, column.description or ""))
    roots = [table.table for table in filled if not table.path]
    return Asset(
        id=resource_id(source, name),
        kind="resource",
        name=f"{source}.{name}",
        description=next((table.description for table in roots if table.description), ""),
        columns=tuple(fields.values()),
        package=source,
        primary_key=tuple(dict.fromkeys(key for table in roots for key in table.primary_key)),
    )


def _columns_of(table: DltTable) -> list[DltColumn]:
    """The columns of the warehouse: one that was only declared has no type yet."""
    return [column for column in table.columns.values() if column.data_type is not None]


def _tables_of(schema: DltSchema, dataset: str) -> Iterator[_Table]:
    """All tables that received data, except dlt's own."""
    for table in schema.data_tables:
        if not table.is_seen:
            continue
        yield _Table(
            id=table_id(dataset, table.name),
            table=table,
            path=_path(schema, table.name),
            resource=schema.resource(table.name) or table.name,
        )


def _path(schema: DltSchema, name: str) -> tuple[str, ...]:
    """The names that lead here from the root table: ``lines`` for ``orders__lines``."""
    chain = (name, *schema.ancestors(name))
    return tuple(
        table.removeprefix(f"{parent}__")
        for table, parent in reversed(list(itertools.pairwise(chain)))
    )
