"""What a profile of a table says: the table, its columns, how they belong together, findings."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["number", "text", "time", "boolean", "nested", "binary"]
Level = Literal["warn", "note"]


class ProfilePart(BaseModel):
    """A part of a profile; it is written as JSON."""

    model_config = ConfigDict(frozen=True)


class ValueCount(ProfilePart):
    """A value and the rows that have it."""

    value: str
    rows: int
    share: float = Field(description="of the rows that have a value")


class Bin(ProfilePart):
    """A bar of a histogram: values above `low` (the first bar: from it on), up to `high`."""

    low: str
    high: str
    rows: int


class Personal(ProfilePart):
    """Personal data that a column seems to hold."""

    kind: str = Field(description="like `email`, `phone` or `iban`")
    share: float | None = Field(description="of the values looked at; null: told by the name")


class ColumnProfile(ProfilePart):
    """A column.

    Numbers that do not apply to its kind are null. Where it holds personal data, no value of it is
    here: `min`, `max`, `top`, `histogram` and the quantiles are empty, and shapes remain.
    """

    name: str
    data_type: str = Field(description="in DuckDB's words")
    kind: Kind
    nulls: int
    null_share: float
    distinct: int = Field(description="an estimate, within a few percent; exact up to 1,000")
    is_unique: bool = Field(False, description="no value comes twice; counted exactly")
    empty: int | None = Field(None, description="texts without a character, or of blanks alone")
    padded: int | None = Field(None, description="texts that begin or end in a blank")
    min: str | None = None
    max: str | None = None
    mean: float | None = None
    deviation: float | None = Field(None, description="standard deviation of the sample")
    quantiles: dict[str, float | str] = Field({}, description="by percent: `1`, `5`, `25`, `50`, …")
    zeros: int | None = None
    negatives: int | None = None
    not_finite: int | None = Field(None, description="NaN and infinities; other numbers skip them")
    outliers: int | None = Field(
        None, description="further than 3 quartile ranges from the quartiles"
    )
    min_length: int | None = None
    mean_length: float | None = None
    max_length: int | None = None
    future: int | None = Field(None, description="dates and times after now")
    order: Literal["rising", "falling"] | None = Field(
        None, description="whether values rise or fall from row to row, as the table is stored"
    )
    top: tuple[ValueCount, ...] = Field((), description="the values that come most")
    histogram: tuple[Bin, ...] = ()
    shapes: tuple[ValueCount, ...] = Field(
        (), description="forms of texts in the sample: `A` a letter, `9` a digit"
    )
    reads_as: str | None = Field(
        None, description="what all texts of the sample are: `integer`, `decimal`, `date`, …"
    )
    personal: Personal | None = None


class Reference(ProfilePart):
    """Values of a column that are those of another table's key."""

    column: str
    table: str
    field: str
    orphans: int = Field(description="rows whose value the other table lacks")


class Dependency(ProfilePart):
    """A column that follows from another: each value of the one goes with one of the other."""

    column: str
    follows_from: str


class ColumnCorrelation(ProfilePart):
    """Two columns that go together, in the sample."""

    one: str
    other: str
    method: Literal["pearson", "spearman", "cramers_v"]
    value: float = Field(description="-1 to 1; Cramér's V is 0 to 1")


class TestProposal(ProfilePart):
    """A dbt test that guards against what was found."""

    __test__ = False  # no test case, whatever pytest thinks of the name

    column: str | None = Field(description="null: a test of the table")
    name: str = Field(description="of the generic test")
    arguments: dict[str, Any] = {}


class Finding(ProfilePart):
    """Something that a reader of the table should know."""

    rule: str
    level: Level
    columns: tuple[str, ...] = ()
    seen: str
    why: str
    advice: str
    tests: tuple[TestProposal, ...] = Field((), description="that guard against it")


class TableProfile(ProfilePart):
    """A table."""

    name: str
    rows: int
    bytes: int | None = Field(None, description="on disk; null: not known, as of a view")
    rows_looked_at: int = Field(description="fewer than `rows`: everything here is of a sample")
    sample_rows: int = Field(description="rows of the sample behind shapes and correlations")
    newest: str | None = Field(None, description="the newest time in it that is not in the future")
    newest_column: str | None = None
    duplicates: int | None = Field(
        None, description="rows that another row equals in all columns; null: not looked at"
    )
    keys: tuple[tuple[str, ...], ...] = Field(
        (), description="columns, or pairs, that identify a row; the likeliest first"
    )
    references: tuple[Reference, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    correlations: tuple[ColumnCorrelation, ...] = ()
    columns: tuple[ColumnProfile, ...]
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = Field((), description="what was left out, and why")

    def column(self, name: str) -> ColumnProfile:
        """A column by its name."""
        return next(column for column in self.columns if column.name == name)
