"""The tables of a source as dlt loaded them, read from the schema files of its pipeline."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from headrace.artifacts import DltColumn, DltSchema, DltTable
from headrace.artifacts.dlt_schema import load_schema
from headrace.errors import ScaffoldError, UserError
from headrace.formatting import did_you_mean
from headrace.settings import Resolved

ColumnKind = Literal["id", "text", "number", "boolean", "date", "timestamp"]

LOAD_ID = "_dlt_load_id"

ROW_ID = "_dlt_id"

PARENT_ID = "_dlt_parent_id"

ROOT_ID = "_dlt_root_id"

LIST_INDEX = "_dlt_list_idx"

_KINDS: Mapping[str, ColumnKind] = {
    "bigint": "number",
    "double": "number",
    "decimal": "number",
    "wei": "number",
    "bool": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "time": "timestamp",
}

_OURS = "_quarantine"  # rows in quarantine; not a table of the source

_BOOKKEEPING = "_dlt_file_"  # which file a row came from: for the next load alone


@dataclass(frozen=True)
class RawColumnSchema:
    """A column of a raw table.

    Attributes:
        name: its name in the raw table.
        data_type: dlt's: text, double, bool, timestamp, bigint, binary, json, decimal, wei, date
            or time.
        is_nullable: what dlt says; a column that is not nullable is ``not null`` in the table too.
        is_primary_key: part of the primary key.
        is_unique: dlt's hint.
        description: what the source says of it, or empty.
    """

    name: str
    data_type: str
    is_nullable: bool = True
    is_primary_key: bool = False
    is_unique: bool = False
    description: str = ""

    @property
    def kind(self) -> ColumnKind:
        """Its group in a model's column order, except for ids."""
        return _KINDS.get(self.data_type, "text")


@dataclass(frozen=True)
class RawTableSchema:
    """A raw table that holds, or has held, rows.

    Attributes:
        name: its name in the raw schema.
        columns: those that exist in the warehouse, in dlt's order.
        parent: the table whose rows' lists became this child table; None for a root table.
        description: what the source says of it, or empty.
        keeps_key_unique: whether dlt, or the source, keeps one row per primary key; rows that are
            appended, or kept as versions (scd2), repeat it.
    """

    name: str
    columns: tuple[RawColumnSchema, ...]
    parent: str | None = None
    description: str = ""
    keeps_key_unique: bool = True

    @property
    def primary_key(self) -> tuple[RawColumnSchema, ...]:
        """The columns of the primary key."""
        return tuple(column for column in self.columns if column.is_primary_key)

    def column(self, name: str) -> RawColumnSchema | None:
        """A column by name."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True)
class RawSchema:
    """All tables of a source.

    Attributes:
        tables: parents before their children, else in dlt's order; dlt's own are left out.
        known: every table of the schema with every column, those that never held a value among
            them: what is in here did not vanish.
    """

    tables: tuple[RawTableSchema, ...]
    known: Mapping[str, frozenset[str]]

    def table(self, name: str) -> RawTableSchema | None:
        """A table by name."""
        return next((table for table in self.tables if table.name == name), None)

    def ancestors(self, table: RawTableSchema) -> tuple[RawTableSchema, ...]:
        """From the root table down to the table's parent; empty for a root table."""
        found: list[RawTableSchema] = []
        parent = table.parent
        while parent is not None:
            above = self.table(parent)
            if above is None or above in found:
                break
            found.insert(0, above)
            parent = above.parent
        return tuple(found)

    def has_children(self, table: RawTableSchema) -> bool:
        """Whether a child table hangs on it."""
        return any(other.parent == table.name for other in self.tables)


def read_schema(resolved: Resolved, source: str) -> RawSchema:
    """The tables of a source, as the last load left them.

    Raises:
        ScaffoldError: there is no such source, it was not loaded yet, or dlt's schema cannot be
            read.
    """
    _check_name(resolved, source)
    folder = resolved.data_dir / "dlt" / source / "schemas"
    paths = sorted(folder.glob("*.schema.json"))
    if not paths:
        raise ScaffoldError(
            f"the source {source} is not loaded yet: run `headrace load --source {source}` first"
        )
    schemas = []
    for path in paths:
        try:
            schemas.append(load_schema(path, f"{source}/{path.name}").value)
        except (UserError, FileNotFoundError) as error:
            raise ScaffoldError(
                f"{error}; then `headrace load --source {source}`, then this command again"
            ) from error
    found = _raw_schema(schemas)
    if not found.tables:
        raise ScaffoldError(
            f"the source {source} has loaded no rows yet, so there is no table to write a model "
            f"for: look at what `headrace load --source {source}` says"
        )
    return found


def _check_name(resolved: Resolved, source: str) -> None:
    known = sorted(resolved.settings.sources)
    if source in known:
        return
    hint = did_you_mean(source, known, most=3) or f"known: {', '.join(known) or '-'}"
    raise ScaffoldError(
        f"{source!r} is not a source in the settings; {hint} "
        "A new one is a folder in dlt_pipelines/ and a key below `sources` in config/default.yml"
    )


def _raw_schema(schemas: Iterable[DltSchema]) -> RawSchema:
    seen: dict[str, RawTableSchema] = {}
    known: dict[str, frozenset[str]] = {}
    for schema in schemas:
        for name, table in schema.tables.items():
            if table.is_internal or name.startswith(_OURS):
                continue
            known[name] = known.get(name, frozenset()) | set(table.columns)
            if table.is_seen and table.columns:
                seen[name] = _table(schema, table)
    return RawSchema(tuple(_parents_first(seen)), known)


def _parents_first(tables: dict[str, RawTableSchema]) -> Iterator[RawTableSchema]:
    children: dict[str | None, list[RawTableSchema]] = {}
    for table in tables.values():
        parent = table.parent if table.parent in tables else None
        children.setdefault(parent, []).append(table)
    waiting = children.get(None, [])[::-1]
    while waiting:
        table = waiting.pop()
        yield table
        waiting += children.get(table.name, [])[::-1]


def _table(schema: DltSchema, table: DltTable) -> RawTableSchema:
    root = schema.tables.get(schema.root(table.name), table)
    versions = root.hints.get("x-merge-strategy") == "scd2"
    return RawTableSchema(
        name=table.name,
        columns=tuple(
            _column(column)
            for column in table.columns.values()
            if column.data_type is not None and not column.name.startswith(_BOOKKEEPING)
        ),
        parent=table.parent,
        description=_line(table.description),
        keeps_key_unique=root.write_disposition != "append" and not versions,
    )


def _column(column: DltColumn) -> RawColumnSchema:
    return RawColumnSchema(
        name=column.name,
        data_type=column.data_type or "text",
        is_nullable=column.nullable,
        is_primary_key=column.primary_key,
        is_unique=column.unique,
        description="" if column.name == LOAD_ID else _line(column.description),
    )


def _line(text: str | None) -> str:
    """A description as one line; what jinja would read as code is left out."""
    words = " ".join((text or "").split())
    is_code = any(mark in words for mark in ("{{", "{%", "{#"))
    return "" if is_code or not words.isprintable() else words
