"""dbt's ``catalog.json``: relations and their columns as they are in the warehouse.

Source: dbt's catalog schema v1. Written by ``dbt docs generate``.
"""

from pathlib import Path

import msgspec

from headrace.artifacts.formats import DbtFile, read_file
from headrace.artifacts.reading import ArtifactPart, Read


class CatalogColumn(ArtifactPart, frozen=True, kw_only=True):
    """A column of the warehouse.

    Attributes:
        name: as the warehouse names it.
        type: the engine's.
        index: its position, from 1.
        comment: in the warehouse.
    """

    name: str
    type: str
    index: int
    comment: str | None = None


class TableMetadata(ArtifactPart, frozen=True, kw_only=True):
    """A relation of the warehouse.

    Attributes:
        name: of the relation.
        schema_name: its schema.
        type: ``BASE TABLE``, ``VIEW``, ...
        database: its database.
        comment: in the warehouse.
        owner: in the warehouse.
    """

    name: str
    schema_name: str = msgspec.field(name="schema")
    type: str | None = None
    database: str | None = None
    comment: str | None = None
    owner: str | None = None


class Statistic(ArtifactPart, frozen=True, kw_only=True):
    """A figure of a relation, such as its rows, where the adapter gives one."""

    id: str
    label: str = ""
    value: bool | int | float | str | None = None
    include: bool = True


class CatalogTable(ArtifactPart, frozen=True, kw_only=True):
    """A relation and its columns.

    Attributes:
        metadata: of the relation.
        columns: by name.
        stats: by id.
        unique_id: dbt's id of the node or source.
    """

    metadata: TableMetadata
    columns: dict[str, CatalogColumn]
    stats: dict[str, Statistic] = msgspec.field(default_factory=dict)
    unique_id: str | None = None

    @property
    def ordered(self) -> list[CatalogColumn]:
        """The columns in the relation's order."""
        return sorted(self.columns.values(), key=lambda column: column.index)


class DbtCatalog(DbtFile, frozen=True, kw_only=True):
    """The catalog.

    Attributes:
        nodes: by id.
        sources: by id.
        errors: what the adapter could not read.
    """

    nodes: dict[str, CatalogTable]
    sources: dict[str, CatalogTable] = msgspec.field(default_factory=dict)
    errors: list[str] | None = None


def load_catalog(path: Path) -> Read[DbtCatalog]:
    """Read a ``catalog.json``.

    Raises:
        FileNotFoundError: there is none.
        TransformError: it cannot be read as one.
    """
    return read_file(path, DbtCatalog, "delete it and run `dbt docs generate`")
