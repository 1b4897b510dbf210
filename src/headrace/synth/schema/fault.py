"""The faults that generated data can have: a model for each kind."""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, model_validator

from headrace.synth.schema.base import Duration, Name, Share, Strict, Timestamp, tags

Type = Literal["text", "integer", "number", "boolean", "datetime", "date"]
Scalar = str | int | float | bool


class FaultBase(Strict):
    """What every fault has."""

    table: Name


class TimedFault(FaultBase):
    """A fault of rows that came into being within some time."""

    from_: Timestamp | None = Field(None, alias="from", description="The first timestamp, UTC.")
    to: Timestamp | None = Field(None, description="The timestamp before which it ends, UTC.")


class RowFault(TimedFault):
    """A fault of some rows: a share of them, or the listed ones."""

    share: Share | None = Field(None, description="Share of the rows; 0.01 without it.")
    rows: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = Field(
        None, description="Addresses of rows, from 0, instead of a share."
    )

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.share is not None and self.rows is not None:
            raise ValueError("give share or rows, not both")
        return self


class OrphanKeys(RowFault):
    """A foreign key refers to a row that does not exist."""

    kind: Literal["orphan_keys"]
    column: Name


class Duplicates(RowFault):
    """A row is repeated, right after itself."""

    kind: Literal["duplicates"]
    copies: Annotated[int, Field(ge=1, le=100)] = Field(1, description="How many more there are.")


class Nulls(RowFault):
    """A value is null."""

    kind: Literal["nulls"]
    column: Name


class OutOfRange(RowFault):
    """A number or a timestamp lies outside the column's range."""

    kind: Literal["out_of_range"]
    column: Name
    value: float | None = Field(None, description="This number; one outside without it.")


class TypeFlip(RowFault):
    """A value is of another type; the column is written as text."""

    kind: Literal["type_flip"]
    column: Name


class LateRows(RowFault):
    """A row arrives later than it should; its values stay the same."""

    kind: Literal["late_rows"]
    max: Duration = Field("2d", description="How much later at most.")


class OutOfOrder(RowFault):
    """Two rows have changed places."""

    kind: Literal["out_of_order"]
    distance: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="How many rows lie between the two, in addresses of the topmost table."
    )


class DayFault(FaultBase):
    """A fault of a day's rows."""

    day: Timestamp = Field(description="A day, UTC.")
    column: Name | None = Field(
        None, description="The datetime that says which day; by when the row came without it."
    )


class MissingDay(DayFault):
    """A day has no rows."""

    kind: Literal["missing_day"]


class VolumeSpike(DayFault):
    """A day has many times its rows: copies with new keys."""

    kind: Literal["volume_spike"]
    factor: Annotated[float, Field(gt=1, le=100)] = 3.0


class VolumeDrop(DayFault):
    """A day has a fraction of its rows."""

    kind: Literal["volume_drop"]
    factor: Annotated[float, Field(ge=0, lt=1)] = 0.3


class Drift(TimedFault):
    """From some time on, a column is distributed differently."""

    kind: Literal["drift"]
    column: Name
    scale: float = Field(1.0, description="What numbers are multiplied by.")
    shift: float = Field(0.0, description="What is added to them then.")
    weights: dict[Scalar, Annotated[float, Field(ge=0)]] | None = Field(
        None, description="The weights of a categorical column's values."
    )

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        moved = self.scale != 1.0 or self.shift != 0.0
        if moved == (self.weights is not None):
            raise ValueError("give scale or shift for a number, or weights for a category")
        if self.weights is not None and sum(self.weights.values()) <= 0:
            raise ValueError("one of the weights must be above 0")
        return self


class StaleFeed(FaultBase):
    """Nothing arrives after a timestamp: neither rows nor changes of them."""

    kind: Literal["stale_feed"]
    from_: Timestamp = Field(alias="from", description="The last time of which it knows, UTC.")


class SchemaChange(FaultBase):
    """A change of the columns that are written."""

    column: Name
    from_: Timestamp | None = Field(
        None, alias="from", description="The change is made as of this timestamp or later, UTC."
    )


class ColumnAdded(SchemaChange):
    """There is one more column, after the others."""

    kind: Literal["column_added"]
    type: Type = "text"
    value: Scalar | None = Field(None, description="What it holds; null without it.")


class ColumnDropped(SchemaChange):
    """A column is missing."""

    kind: Literal["column_dropped"]


class ColumnRenamed(SchemaChange):
    """A column has another name."""

    kind: Literal["column_renamed"]
    to: Name


class ColumnRetyped(SchemaChange):
    """A column has another type."""

    kind: Literal["column_retyped"]
    type: Type = "text"


class ColumnNested(SchemaChange):
    """A column is moved into a struct."""

    kind: Literal["column_nested"]
    into: Name = Field(description="The struct's name; columns with the same one share it.")


AnyFault = Annotated[
    OrphanKeys
    | Duplicates
    | Nulls
    | OutOfRange
    | TypeFlip
    | LateRows
    | OutOfOrder
    | MissingDay
    | VolumeSpike
    | VolumeDrop
    | Drift
    | StaleFeed
    | ColumnAdded
    | ColumnDropped
    | ColumnRenamed
    | ColumnRetyped
    | ColumnNested,
    Discriminator("kind"),
]

FAULT_KINDS = tags(AnyFault, "kind")


def model_of(kind: str) -> type[FaultBase]:
    """The model of a kind of fault."""
    name = "".join(word.capitalize() for word in kind.split("_"))
    model: type[FaultBase] = globals()[name]
    return model


class FaultFile(Strict):
    """A file of faults."""

    faults: list[AnyFault]
