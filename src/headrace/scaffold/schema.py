"""The tables of a source as dlt loaded them: the part of dlt's schema that models are made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["id", "text", "number", "boolean", "date", "timestamp"]

LOAD_ID = "_dlt_load_id"
ROW_ID = "_dlt_id"
PARENT_ID = "_dlt_parent_id"
ROOT_ID = "_dlt_root_id"
LIST_INDEX = "_dlt_list_idx"

_KINDS: Mapping[str, Kind] = {
    "bigint": "number",
    "double": "number",
    "decimal": "number",
    "wei": "number",
    "bool": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "time": "timestamp",
}


@dataclass(frozen=True)
class Column:
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
    def kind(self) -> Kind:
        """Where it stands in a model's column order, but for ids."""
        return _KINDS.get(self.data_type, "text")


@dataclass(frozen=True)
class Table:
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
    columns: tuple[Column, ...]
    parent: str | None = None
    description: str = ""
    keeps_key_unique: bool = True

    @property
    def primary_key(self) -> tuple[Column, ...]:
        """The columns of the primary key."""
        return tuple(column for column in self.columns if column.is_primary_key)

    def column(self, name: str) -> Column | None:
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

    tables: tuple[Table, ...]
    known: Mapping[str, frozenset[str]]

    def table(self, name: str) -> Table | None:
        """A table by name."""
        return next((table for table in self.tables if table.name == name), None)

    def ancestors(self, table: Table) -> tuple[Table, ...]:
        """From the root table down to the table's parent; empty for a root table."""
        found: list[Table] = []
        parent = table.parent
        while parent is not None:
            above = self.table(parent)
            if above is None or above in found:
                break
            found.insert(0, above)
            parent = above.parent
        return tuple(found)

    def has_children(self, table: Table) -> bool:
        """Whether a child table hangs on it."""
        return any(other.parent == table.name for other in self.tables)
