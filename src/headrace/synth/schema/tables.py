"""A schema file and its tables: how many rows they have, and how these change over time.

Pydantic models of the parsed YAML. What one model cannot see, such as references between tables
and expressions, is checked by ``headrace.synth.planner`` and ``headrace.synth.checks``.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from headrace.synth.schema.base import Duration, Name, Share, Strict, Timestamp
from headrace.synth.schema.fault import AnyFault
from headrace.synth.schema.fields import AnyField, Datetime, Expression


class Count(Strict):
    """How many rows each parent has."""

    distribution: Literal["uniform", "poisson", "geometric"] = "uniform"
    mean: Annotated[float, Field(gt=0)] | None = None
    min: Annotated[int, Field(ge=0)] = 0
    max: Annotated[int, Field(ge=1, le=65_536)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"impossible range: min {self.min} is above max {self.max}")
        if self.distribution != "uniform" and self.mean is None:
            raise ValueError(f"distribution: {self.distribution} needs mean")
        return self


class Per(Strict):
    """The rows of this table are children of the rows of another."""

    table: Name
    count: Annotated[int, Field(ge=1, le=65_536)] | Count | str = Field(
        1, description="A number, a distribution, or an expression over the parent's row."
    )
    max: Annotated[int, Field(ge=1, le=65_536)] | None = Field(
        None, description="The most that an expression gives."
    )
    at: Expression | None = Field(
        None,
        description="When the row comes into being; where it is null, there is no such row. "
        "Without it, when its parent does.",
    )
    within: Duration | None = Field(
        None, description="at is at most this long after the parent came into being."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if isinstance(self.count, str) and self.max is None:
            raise ValueError("a count that is an expression needs max")
        if self.at is not None and self.within is None:
            raise ValueError("at needs within, so that changes can be found")
        return self


class Late(Strict):
    """Rows that arrive after they came into being."""

    rate: Share
    max: Duration


class Corrections(Strict):
    """Rows of which some columns are given other values, once."""

    rate: Share
    within: Duration
    columns: Annotated[list[str], Field(min_length=1)]


class Deletions(Strict):
    """Rows that go away; a delta holds them as tombstones."""

    rate: Share
    within: Duration
    column: Name = Field("_deleted", description="The column that is true in a tombstone.")


class Correlation(Strict):
    """A Gaussian copula over numerical, datetime and categorical columns."""

    columns: Annotated[list[str], Field(min_length=2)]
    matrix: list[list[Annotated[float, Field(ge=-1, le=1)]]]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        size = len(self.columns)
        if len(self.matrix) != size or any(len(row) != size for row in self.matrix):
            raise ValueError(f"the matrix must have {size} rows of {size} numbers, one a column")
        if any(abs(self.matrix[k][k] - 1) > 1e-6 for k in range(size)):
            raise ValueError("the matrix must have 1 on its diagonal")
        return self


class Table(Strict):
    """A table: how many rows, and its fields."""

    description: str = ""
    count: Annotated[int, Field(ge=0, le=10**12)] | None = Field(
        None, description="Number of rows."
    )
    per: Per | None = Field(None, description="The rows are children of another table's rows.")
    scale: bool = Field(True, description="Whether --scale applies.")
    hidden: bool = Field(False, description="For others to use; not written.")
    group: str | None = Field(None, description="What --group selects by.")
    primary_key: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="The columns of a composite key; else the fields that say so."
    )
    late: Late | None = Field(None, description="Rows that arrive late.")
    corrections: Corrections | None = Field(None, description="Rows that are put right later.")
    deletions: Deletions | None = Field(None, description="Rows that go away.")
    correlation: Correlation | None = Field(
        None, description="A Gaussian copula: columns, and the matrix of their correlations."
    )
    fields: Annotated[dict[Name, AnyField], Field(min_length=1)]

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the primary key; empty if there is none."""
        if self.primary_key is not None:
            return tuple(self.primary_key)
        return tuple(name for name, field in self.fields.items() if field.primary_key)

    @property
    def clock(self) -> tuple[str, Datetime] | None:
        """The field by whose rate the rows come into being."""
        for name, field in self.fields.items():
            if isinstance(field, Datetime) and field.distribution == "rate":
                return name, field
        return None


class Schema(Strict):
    """A schema file."""

    description: str = ""
    seed: int = Field(0, description="What --seed is without the option.")
    as_of: Timestamp | None = Field(None, description="What --as-of is without the option.")
    locale: str = Field("en_US", description="Faker's locale where a field names none.")
    uses: list[str] = Field(
        [], description="Other schema files, beside this one, whose tables this one refers to."
    )
    faults: list[AnyFault] = Field([], description="Faults to overlay; see --faults.")
    tables: Annotated[dict[Name, Table], Field(min_length=1)] = Field(
        alias="schema", description="The tables by name."
    )
