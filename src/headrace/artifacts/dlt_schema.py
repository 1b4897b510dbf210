"""dlt's ``schemas/<name>.schema.json``: tables, child tables and columns of a source.

Source: dlt's schema, engine version 11 (dlt 1.4 to 1.31). Versions 9 (dlt 0.5) and 10 have the same
tables and columns except for dlt's own keys, and are read as well.
"""

from pathlib import Path
from typing import Any

import msgspec

from headrace.artifacts.decoding import BadFileError
from headrace.artifacts.formats import ADVICE, fitted, read_dlt_file
from headrace.artifacts.reading import ArtifactPart, Notes, Read

OLDEST_ENGINE, ENGINE = 9, 11
INTERNAL = "_dlt"
_ROW_KEY = "_dlt_id"


class DltColumn(ArtifactPart, frozen=True, kw_only=True):
    """A column.

    Attributes:
        name: in the warehouse.
        data_type: dlt's: ``text``, ``bigint``, ``timestamp``, ...; None of a column that was
            declared and never seen.
        nullable: False where dlt or the source says so.
        description: of the source.
        primary_key: whether it is part of the key.
        merge_key: whether rows are merged by it.
        unique: whether its values are unique.
        incremental: whether it is the cursor of an incremental load.
        cluster: whether the table is clustered by it.
        partition: whether the table is partitioned by it.
        sort: whether the table is sorted by it.
        row_key: dlt's key of the row.
        parent_key: points to the row key of the parent table.
        root_key: points to the row key of the root table.
        variant: added because a value did not fit the type of another column.
        precision: of a decimal, a text, a binary or a timestamp.
        scale: of a decimal.
        timezone: of a timestamp.
        hints: all other hints, such as ``x-pii``.
    """

    name: str
    data_type: str | None = None
    nullable: bool = True
    description: str | None = None
    primary_key: bool = False
    merge_key: bool = False
    unique: bool = False
    incremental: bool = False
    cluster: bool = False
    partition: bool = False
    sort: bool = False
    row_key: bool = False
    parent_key: bool = False
    root_key: bool = False
    variant: bool = False
    precision: int | None = None
    scale: int | None = None
    timezone: bool | None = None
    hints: dict[str, Any] = msgspec.field(default_factory=dict)


class DltTable(ArtifactPart, frozen=True, kw_only=True):
    """A table.

    Attributes:
        name: in the warehouse.
        columns: by name, in the order in which dlt found them.
        parent: of a child table: the table that it is nested in.
        resource: of a root table: the resource that yields it.
        write_disposition: of a root table: ``append``, ``merge``, ``replace`` or ``skip``.
        description: of the source.
        hints: all other hints, such as ``x-merge-strategy``.
    """

    name: str
    columns: dict[str, DltColumn] = msgspec.field(default_factory=dict)
    parent: str | None = None
    resource: str | None = None
    write_disposition: str | None = None
    description: str | None = None
    table_format: str | None = None
    hints: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def is_internal(self) -> bool:
        """Whether it is one of dlt's own tables (``_dlt_loads``)."""
        return self.name.startswith(INTERNAL)

    @property
    def is_seen(self) -> bool:
        """Whether it received data; a table that is only declared is not in the warehouse."""
        normalizer = self.hints.get("x-normalizer")
        seen = isinstance(normalizer, dict) and bool(normalizer.get("seen-data"))
        return seen or self.is_internal

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns of its key."""
        return tuple(name for name, column in self.columns.items() if column.primary_key)


class DltSchema(ArtifactPart, frozen=True, kw_only=True):
    """A schema.

    Attributes:
        name: of the schema, most often of the source.
        version: goes up with each change.
        version_hash: of its content.
        engine_version: of the format.
        tables: by name.
        normalizers: how names and nested data become tables and columns.
        previous_hashes: of earlier versions, newest first.
    """

    name: str
    engine_version: int
    tables: dict[str, DltTable]
    version: int = 0
    version_hash: str = ""
    description: str | None = None
    normalizers: dict[str, Any] = msgspec.field(default_factory=dict)
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    previous_hashes: list[str] = msgspec.field(default_factory=list)

    @property
    def data_tables(self) -> tuple[DltTable, ...]:
        """The tables of the source, without dlt's own, sorted by name."""
        return tuple(self.tables[name] for name in sorted(self.tables) if self._is_data(name))

    def ancestors(self, table: str) -> tuple[str, ...]:
        """The tables that ``table`` is nested in, the nearest first; empty of a root table."""
        found: list[str] = []
        known = self.tables.get(table)
        while known is not None and known.parent and known.parent not in {table, *found}:
            found.append(known.parent)
            known = self.tables.get(known.parent)
        return tuple(found)

    def depth(self, table: str) -> int:
        """How deep it is nested: 0 for a root table."""
        return len(self.ancestors(table))

    def root(self, table: str) -> str:
        """The root table that it belongs to; itself if it is one."""
        return (table, *self.ancestors(table))[-1]

    def children(self, table: str) -> tuple[str, ...]:
        """The tables nested directly in it, sorted."""
        return tuple(sorted(name for name, each in self.tables.items() if each.parent == table))

    def resource(self, table: str) -> str | None:
        """The resource that yields it; of a child table, that of its root."""
        root = self.tables.get(self.root(table))
        return (root.resource or root.name) if root else None

    def _is_data(self, name: str) -> bool:
        return not self.tables[name].is_internal


_COLUMN_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(DltColumn))
_TABLE_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(DltTable))


def load_schema(path: Path, name: str) -> Read[DltSchema]:
    """Read a schema.

    Args:
        path: the file.
        name: what to call it in the reading: ``shop/shop.schema.json``.

    Raises:
        FileNotFoundError: there is none.
        UserError: it cannot be read.
    """
    return read_dlt_file(path, _read, name=name, advice=ADVICE)


def _read(document: dict[str, Any], notes: Notes) -> tuple[DltSchema, str]:
    engine = document.get("engine_version")
    if not isinstance(engine, int) or isinstance(engine, bool) or "tables" not in document:
        raise BadFileError("is not a schema of dlt: it has no `engine_version` and `tables`")
    if engine < OLDEST_ENGINE:
        read = f"{OLDEST_ENGINE} to {ENGINE}"
        raise BadFileError(f"has dlt's schema engine version {engine}; Headrace reads {read}")
    if engine != ENGINE:
        kind = "newer" if engine > ENGINE else "older"
        notes.add(f"its engine version {engine} is {kind} than {ENGINE}, the one that is known")
    prepare_tables(document["tables"], notes)
    schema = fitted(document, DltSchema, notes)
    for table in schema.tables.values():
        if table.parent is not None and table.parent not in schema.tables:
            notes.add(f"`{table.name}` is nested in `{table.parent}`, which is missing")
    return schema, f"engine {engine}, version {schema.version}"


def prepare_tables(tables: Any, notes: Notes) -> None:
    """Give tables and columns their names, and put keys without a field into ``hints``."""
    if not isinstance(tables, dict):
        return
    for name, table in tables.items():
        if not isinstance(table, dict):
            continue
        _prepare(table, name, known=_TABLE_FIELDS, notes=notes)
        columns = table.get("columns")
        if isinstance(columns, dict):
            for column, hints in columns.items():
                if isinstance(hints, dict):
                    _upgrade_column(hints, column)
                    _prepare(hints, column, known=_COLUMN_FIELDS, notes=notes)


def _upgrade_column(column: dict[str, Any], name: str) -> None:
    """Write dlt's own keys as engine 11 does."""
    if "foreign_key" in column:
        column.setdefault("parent_key", column.pop("foreign_key"))
    if name == _ROW_KEY:
        column.setdefault("row_key", True)


def _prepare(part: dict[str, Any], name: str, *, known: frozenset[str], notes: Notes) -> None:
    if part.setdefault("name", name) != name:
        notes.add(f"`{name}` calls itself `{part['name']}`")
        part["name"] = name
    part["hints"] = {key: part.pop(key) for key in [key for key in part if key not in known]}
