"""What a comparison reports: shown in the terminal, written as Markdown and printed as JSON."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TableStatus = Literal["same", "changed", "added", "removed", "not built", "not compared"]
Method = Literal["key", "rows"]
DIFFERENT: frozenset[str] = frozenset({"changed", "added", "removed"})


class DiffModel(BaseModel):
    """Base of the models of a comparison: frozen."""

    model_config = ConfigDict(frozen=True)


class DiffColumn(DiffModel):
    """A column of one of the two tables."""

    name: str
    data_type: str


class RetypedColumn(DiffModel):
    """A column of both tables, with another type."""

    name: str
    before: str
    after: str


class RenamedColumn(DiffModel):
    """A removed and an added column with the same values: probably a rename."""

    before: str
    after: str
    share: float = Field(description="of the values that are the same, 0 to 1")


class Profile(DiffModel):
    """A profile of a column's values in one of the two tables, over all rows."""

    nulls: int
    minimum: str | None = Field(None, description="of numbers and times; none where not shown")
    maximum: str | None = None
    mean: float | None = Field(None, description="of numbers")


class ColumnChange(DiffModel):
    """A column of both tables whose values differ."""

    name: str
    rows: int | None = Field(
        description="rows of both whose value differs; none where whole rows were compared"
    )
    before: Profile | None = Field(None, description="its values in the first")
    after: Profile | None = None


class SampleRow(DiffModel):
    """A row that differs. Values are text, cut to 200 characters; None is null."""

    kind: Literal["added", "removed", "changed"]
    key: dict[str, str | None] = Field(description="its key; empty where there is none")
    before: dict[str, str | None] = Field(
        default_factory=dict, description="of a changed row, the columns that differ"
    )
    after: dict[str, str | None] = Field(default_factory=dict)


class TableDiff(DiffModel):
    """One table."""

    name: str = Field(description="`schema.table`")
    status: TableStatus
    rows_before: int | None = None
    rows_after: int | None = None
    columns_added: tuple[DiffColumn, ...] = ()
    columns_removed: tuple[DiffColumn, ...] = ()
    columns_retyped: tuple[RetypedColumn, ...] = ()
    columns_renamed: tuple[RenamedColumn, ...] = Field(
        (), description="pairs of the columns removed and added that hold the same values"
    )
    method: Method | None = Field(
        None,
        description="rows are matched by key, or whole rows counted; none when all are equal",
    )
    key: tuple[str, ...] = ()
    rows_matched: int | None = Field(
        None, description="rows of both with the same key; none where they are not matched by key"
    )
    rows_added: int = 0
    rows_removed: int = 0
    rows_changed: int | None = Field(0, description="none where there is no key to match rows by")
    columns_changed: tuple[ColumnChange, ...] = ()
    samples: tuple[SampleRow, ...] = ()
    hidden: tuple[str, ...] = Field(
        (), description="columns whose values are not shown: personal data, or not known"
    )
    readers: tuple[str, ...] = Field(
        (), description="of a table that differs: the models and exposures that read it, by dbt"
    )
    notes: tuple[str, ...] = ()


class DiffReport(DiffModel):
    """The whole comparison."""

    before: str = Field(description="what the first is")
    after: str = Field(description="what the second is")
    schemas: tuple[str, ...]
    tables: tuple[TableDiff, ...]
    notes: tuple[str, ...] = ()
    seconds: float

    def with_status(self, *statuses: TableStatus) -> tuple[TableDiff, ...]:
        """The tables with one of ``statuses``."""
        return tuple(table for table in self.tables if table.status in statuses)

    @property
    def is_different(self) -> bool:
        """Whether any table differs."""
        return any(table.status in DIFFERENT for table in self.tables)


@dataclass(frozen=True)
class RowDifferences:
    """The differences between the rows of two tables.

    Attributes:
        method: how they were compared; None when they are equal.
        matched: rows of both with the same key; None where no key matches them.
        added: rows of the second alone.
        removed: rows of the first alone.
        changed: rows of both that differ; None where no key matches them.
        columns: the columns that differ.
        samples: a few of the rows.
        notes: why this method was used.
    """

    method: Method | None = None
    matched: int | None = None
    added: int = 0
    removed: int = 0
    changed: int | None = 0
    columns: tuple[ColumnChange, ...] = ()
    samples: tuple[SampleRow, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def differ(self) -> bool:
        """Whether any row differs."""
        return bool(self.added or self.removed or self.changed)
