"""The fields of a schema file: what each column holds, a model for each type."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, model_validator

from headrace.synth.patterns import overlap
from headrace.synth.schema.base import (
    Duration,
    Name,
    Share,
    Strict,
    Timestamp,
    as_datetime,
    duration_us,
    tags,
)

Scalar = str | int | float | bool | None
Weights = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]
Patterns = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=200)], Annotated[float, Field(ge=0)]],
    Field(min_length=1, max_length=200),
]
Expression = Annotated[
    str | int | float,
    Field(description="An expression over the row's and its parents' columns."),
]


class FieldBase(Strict):
    """What every field may have."""

    description: str = ""
    primary_key: bool = Field(False, description="Part of the table's primary key.")
    pii: bool | str | list[str] = Field(
        False, description="Personal data: true, or its kinds, such as email or name."
    )
    null_rate: Share = Field(0.0, description="Share of rows that hold null.")
    hidden: bool = Field(False, description="Computed for others to use, and not written.")


class Serial(FieldBase):
    """A running number; in a table with per the numbers have gaps."""

    type: Literal["serial"]
    start: int = 1
    step: Annotated[int, Field(ge=1)] = 1
    as_: Literal["integer", "text"] = Field("integer", alias="as")


class Uuid(FieldBase):
    """A version 4 UUID as text, unique within the table."""

    type: Literal["uuid"]


class Case(Strict):
    """Values for the rows where ``if`` holds."""

    if_: Expression | None = Field(None, alias="if")
    values: list[Scalar | list[Scalar]] | dict[str, float]
    weights: Weights | None = None

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        _check_weights(self.values, self.weights)
        return self


class Categorical(FieldBase):
    """One of some values, by weight; or one of a pool, by generator."""

    type: Literal["categorical"]
    values: list[Scalar | list[Scalar]] | dict[str, float] | None = Field(
        None, description="The values, or a mapping of value to weight."
    )
    weights: Weights | None = None
    cases: Annotated[list[Case], Field(min_length=1)] | None = Field(
        None, description="Other values for rows of which an expression holds; the first wins."
    )
    generator: Annotated[str, Field(pattern=r"^faker\.[a-z_0-9]+$")] | None = Field(
        None, description="faker.<provider>: any provider of Faker that takes no arguments."
    )
    locale: str | None = Field(None, description="Faker's locale, such as de_DE.")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        given = [n for n in ("values", "cases", "generator") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of: values, cases, generator")
        if self.values is not None:
            _check_weights(self.values, self.weights)
        elif self.weights is not None:
            raise ValueError("weights go with values")
        return self


class Unique(FieldBase):
    """Text that no two rows of the table share, by construction."""

    type: Literal["unique"]
    generator: Annotated[str, Field(pattern=r"^faker\.[a-z_0-9]+$")] | None = Field(
        None, description="faker.<provider>, such as faker.email or faker.user_name."
    )
    pattern: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="# is a digit, ? a capital letter, everything else stands: SKU-####-??"
    )
    patterns: Patterns | None = Field(
        None,
        description="Several patterns by weight, of which no two can give the same text; rows "
        "beyond what one can give take the last. Here & is a small letter, * a capital or a "
        "digit, % a small letter or a digit, and ~ a hexadecimal digit, too.",
    )
    locale: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        given = [n for n in ("generator", "pattern", "patterns") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of: generator, pattern, patterns")
        texts = list(self.patterns or ())
        for number, one in enumerate(texts):
            for other in texts[:number]:
                if overlap(one, other):
                    raise ValueError(f"{other!r} and {one!r} can give the same text")
        return self


class Listed(FieldBase):
    """One of some values after another: the first row has the first, and so on, round and round."""

    type: Literal["listed"]
    values: Annotated[list[Scalar], Field(min_length=1)]


class Datetime(FieldBase):
    """A timestamp in UTC, or a date."""

    type: Literal["datetime"]
    distribution: Literal["uniform", "rate", "created", "updated"] = Field(
        "uniform",
        description="uniform within range; rate: the row comes into being at it, by so many "
        "a day; created: when the row of a table with per came into being; "
        "updated: when the row last changed.",
    )
    range: Annotated[list[Timestamp], Field(min_length=2, max_length=2)] | None = None
    quantiles: Annotated[list[Timestamp], Field(min_length=2)] | None = Field(
        None, description="uniform: evenly spaced quantiles, between which the rows are spread."
    )
    precision: Literal["day", "second", "millisecond", "microsecond"] = "second"
    start: Timestamp | None = Field(None, description="rate: the first day.")
    per_day: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        None, description="rate: rows a day, on average, at the start."
    )
    growth: Annotated[float, Field(gt=-1, le=1_000)] = Field(
        0.0, description="rate: growth in a year, 0.2 for a fifth more."
    )
    weekday: Annotated[Weights, Field(min_length=7, max_length=7)] | None = Field(
        None, description="rate: weights of Monday to Sunday."
    )
    hour: Annotated[Weights, Field(min_length=24, max_length=24)] | None = Field(
        None, description="rate: weights of the hours of the day, UTC."
    )
    season: Annotated[Weights, Field(min_length=12, max_length=12)] | None = Field(
        None, description="rate: weights of January to December."
    )
    noise: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="rate: standard deviation of a day's rows, as a share of them."
    )
    initial: Annotated[int, Field(ge=0, le=10**12)] = Field(
        0, description="rate: rows that came before the start."
    )
    initial_span: Duration = Field("365d", description="rate: how long before it they began.")

    @model_validator(mode="after")
    def _has_quantiles_that_rise(self) -> Self:
        if self.quantiles is not None and self.distribution != "uniform":
            raise ValueError("quantiles goes with distribution: uniform")
        knots = [as_datetime(knot) for knot in self.quantiles or ()]
        if knots != sorted(knots):
            raise ValueError("quantiles must not fall")
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        rate_only = {"start", "per_day", "growth", "weekday", "hour", "season", "noise",
                     "initial", "initial_span"} & self.model_fields_set  # fmt: skip
        if self.distribution != "rate" and rate_only:
            raise ValueError(f"{min(rate_only)} goes with distribution: rate")
        if self.distribution == "uniform":
            if self.range is None:
                raise ValueError("distribution: uniform needs a range: [from, to]")
            first, last = map(as_datetime, self.range)
            if first > last:
                raise ValueError(f"impossible range: {self.range[0]} is after {self.range[1]}")
        elif self.distribution in {"created", "updated"} and self.range is not None:
            raise ValueError(f"range does not go with distribution: {self.distribution}")
        if self.distribution == "rate":
            if self.range is None and (self.per_day is None or self.start is None):
                raise ValueError(
                    "distribution: rate needs start and per_day, or a range and the table's count"
                )
            if self.range is not None and {"start", "per_day", "initial"} & rate_only:
                raise ValueError("give range, or start and per_day")
            if self.range is not None and as_datetime(self.range[0]) >= as_datetime(self.range[1]):
                raise ValueError(f"impossible range: {self.range[0]} is not before {self.range[1]}")
            for name in ("weekday", "hour", "season"):
                weights = getattr(self, name)
                if weights is not None and sum(weights) == 0:
                    raise ValueError(f"a rate of zero: the weights of {name} are all 0")
        return self


class Numerical(FieldBase):
    """A number by a distribution."""

    type: Literal["numerical"]
    distribution: Literal[
        "uniform", "gaussian", "lognormal", "exponential", "poisson", "zipf", "empirical"
    ] = "uniform"
    mean: float | None = None
    stddev: Annotated[float, Field(gt=0)] | None = None
    min: float | None = None
    max: float | None = None
    range: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        None, description="[min, max] in one."
    )
    exponent: Annotated[float, Field(gt=0)] = Field(1.1, description="zipf: the skew.")
    quantiles: Annotated[list[float], Field(min_length=2)] | None = Field(
        None, description="empirical: quantiles, from the minimum to the maximum; evenly spaced."
    )
    probabilities: Annotated[list[Share], Field(min_length=2)] | None = Field(
        None, description="empirical: where the quantiles lie, from 0 to 1, if not evenly spaced."
    )
    step: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Only values that are min and a multiple of this."
    )
    round: Annotated[int, Field(ge=0, le=15)] | None = Field(
        2, description="Decimals; 0 gives integers, null leaves the number as it is."
    )
    clip: bool = Field(
        True,
        description="gaussian, without min and max: keep within 4 standard deviations, and above "
        "zero where the mean is.",
    )
    as_: Literal["number", "decimal", "text"] = Field(
        "number", alias="as", description="decimal is exact; text is the decimal as a string."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        needs = {
            "gaussian": ("mean", "stddev"),
            "lognormal": ("mean", "stddev"),
            "exponential": ("mean",),
            "poisson": ("mean",),
            "empirical": ("quantiles",),
        }.get(self.distribution, ())
        for name in needs:
            if getattr(self, name) is None:
                raise ValueError(f"distribution: {self.distribution} needs {name}")
        if self.range is not None and (self.min is not None or self.max is not None):
            raise ValueError("give range, or min and max")
        low, high = self.bounds
        if self.distribution == "uniform" and (low is None or high is None):
            raise ValueError("distribution: uniform needs min and max")
        if low is not None and high is not None and low > high:
            raise ValueError(f"impossible range: min {low:g} is above max {high:g}")
        if self.distribution in {"lognormal", "exponential", "poisson"} and (self.mean or 0) <= 0:
            raise ValueError(f"distribution: {self.distribution} needs a mean above 0")
        if self.distribution == "poisson" and (self.mean or 0) > 100_000:
            raise ValueError("distribution: poisson takes a mean up to 100000; use gaussian")
        if self.distribution == "zipf" and (high is None or high < 1):
            raise ValueError("distribution: zipf needs max, the number of ranks")
        if self.quantiles is not None and sorted(self.quantiles) != list(self.quantiles):
            raise ValueError("quantiles must not fall")
        if self.as_ != "number" and self.round is None:
            raise ValueError(f"as: {self.as_} needs round, its decimals")
        return self

    @model_validator(mode="after")
    def _has_probabilities_that_rise(self) -> Self:
        if self.probabilities is not None:
            shares = self.probabilities
            if self.quantiles is None or len(self.quantiles) != len(shares):
                raise ValueError("probabilities are as many as quantiles")
            if shares[0] != 0 or shares[-1] != 1 or sorted(set(shares)) != shares:
                raise ValueError("probabilities rise from 0 to 1")
        if self.step is not None and self.bounds[0] is None:
            raise ValueError("step needs min, from where it counts")
        return self

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The smallest and the largest value that were asked for."""
        return (self.range[0], self.range[1]) if self.range else (self.min, self.max)


class Boolean(FieldBase):
    """True or false."""

    type: Literal["boolean"]
    probability: Share = Field(0.5, description="Share of rows that are true.")


class Text(FieldBase):
    """Words, or a pattern filled in."""

    type: Literal["text"]
    words: Annotated[
        list[Annotated[int, Field(ge=1, le=200)]], Field(min_length=2, max_length=2)
    ] = Field([3, 12])
    pattern: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="# is a digit, ? a capital letter."
    )
    patterns: Patterns | None = Field(
        None, description="Several patterns by weight, with the marks of patterns of unique."
    )
    distinct: Annotated[int, Field(ge=1, le=10**12)] | None = Field(
        None, description="patterns: how many different texts there are; without it, any number."
    )
    exponent: Annotated[float, Field(gt=0)] | None = Field(
        None, description="distinct: few texts come often, with this skew; without it, evenly."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.pattern is not None and self.patterns is not None:
            raise ValueError("give pattern or patterns")
        if self.distinct is not None and self.patterns is None:
            raise ValueError("distinct goes with patterns")
        if self.exponent is not None and self.distinct is None:
            raise ValueError("exponent goes with distinct")
        if self.words[0] > self.words[1]:
            raise ValueError(f"impossible range: {self.words[0]} words to {self.words[1]}")
        return self


class ForeignKey(FieldBase):
    """The key of a row of another table, or of this one."""

    type: Literal["foreign_key"]
    references: Annotated[
        str, Field(pattern=r"^[A-Za-z_]\w*\.[A-Za-z_]\w*$", description="table.column")
    ]
    distribution: Literal["uniform", "zipf", "cover"] = Field(
        "uniform",
        description="zipf: few parents have most rows; cover: every parent once before any twice.",
    )
    exponent: Annotated[float, Field(gt=0)] = Field(0.8, description="zipf: the skew.")
    row: Expression | None = Field(
        None, description="Which row: an expression such as child(order_line, order, number)."
    )
    optional: bool = Field(
        False, description="A row may have no parent; null_rate says how many do not."
    )

    @property
    def table(self) -> str:
        """The table it points at."""
        return self.references.split(".")[0]

    @property
    def column(self) -> str:
        """The column it holds a copy of."""
        return self.references.split(".")[1]

    @property
    def may_be_null(self) -> bool:
        """Whether a row can be without a parent."""
        return self.optional or self.null_rate > 0 or self.row is not None


class Derived(FieldBase):
    """An expression over the row's, its parents' and its children's columns."""

    type: Literal["derived"]
    expression: Expression
    round: Annotated[int, Field(ge=0, le=15)] | None = None
    as_: Literal["number", "integer", "decimal", "text", "datetime", "date", "boolean"] | None = (
        Field(None, alias="as", description="What the result is written as.")
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.as_ == "decimal" and self.round is None:
            raise ValueError("as: decimal needs round, its decimals")
        return self


class Struct(FieldBase):
    """A nested record."""

    type: Literal["struct"]
    fields: "Annotated[dict[Name, AnyField], Field(min_length=1)]"
    if_: Expression | None = Field(None, alias="if", description="Null where this does not hold.")


class Item(Strict):
    """One element of a list, in the rows where ``if`` holds."""

    if_: Expression | None = Field(None, alias="if")
    fields: "Annotated[dict[Name, AnyField], Field(min_length=1)]"


class ListOf(FieldBase):
    """A list: of a child table's rows, or of items written out."""

    type: Literal["list"]
    of: Name | None = Field(
        None, description="A table whose per names this table, or this table's parent."
    )
    fields: "Annotated[dict[Name, AnyField], Field(min_length=1)] | None" = Field(
        None, description="of: what an element holds; all columns of the table without it."
    )
    items: "Annotated[list[Item], Field(min_length=1)] | None" = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.of is None) == (self.items is None):
            raise ValueError("give exactly one of: of, items")
        if self.items is not None and self.fields is not None:
            raise ValueError("fields goes with of")
        return self


class Delay(Strict):
    """How long a row stays in a status; bounded, so that changes can be found."""

    min: Duration = "0s"
    max: Duration

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if duration_us(self.min) > duration_us(self.max):
            raise ValueError(f"impossible range: min {self.min} is above max {self.max}")
        return self


class Step(Strict):
    """What follows a status."""

    to: Annotated[dict[str, Annotated[float, Field(ge=0, le=1)]], Field(min_length=1)] = Field(
        description="Probability of each next status; what is left to 1 stays for good."
    )
    delay: Delay

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if sum(self.to.values()) > 1 + 1e-9:
            raise ValueError(f"probabilities add up to {sum(self.to.values()):g}, above 1")
        return self


class Status(FieldBase):
    """A ladder of statuses that a row climbs with bounded delays."""

    type: Literal["status"]
    start: str = Field(description="The first status.")
    ladder: dict[str, Step] = Field(description="From a status: what follows it, and when.")
    no_value: str | None = Field(None, description="A status that is written as null.")

    @model_validator(mode="after")
    def _is_a_ladder(self) -> Self:
        seen: dict[str, int] = {}

        def depth(status: str, path: tuple[str, ...]) -> int:
            if status in path:
                raise ValueError(f"the ladder has a cycle: {' > '.join([*path, status])}")
            if status not in seen:
                step = self.ladder.get(status)
                nexts = step.to if step else {}
                seen[status] = max((1 + depth(to, (*path, status)) for to in nexts), default=0)
            return seen[status]

        depth(self.start, ())
        lost = [status for status in self.ladder if status not in seen]
        if lost:
            raise ValueError(f"{lost[0]!r} is never reached from {self.start!r}")
        return self

    @property
    def statuses(self) -> tuple[str, ...]:
        """Every status, the first one first."""
        names = [self.start]
        for name in names:
            step = self.ladder.get(name)
            names += [to for to in (step.to if step else {}) if to not in names]
        return tuple(names)


AnyField = Annotated[
    Serial
    | Uuid
    | Categorical
    | Unique
    | Listed
    | Datetime
    | Numerical
    | Boolean
    | Text
    | ForeignKey
    | Derived
    | Struct
    | ListOf
    | Status,
    Discriminator("type"),
]

FIELD_TYPES = tags(AnyField, "type")


def _check_weights(values: list[Any] | dict[str, float], weights: list[float] | None) -> None:
    if isinstance(values, dict):
        if weights is not None:
            raise ValueError("a mapping of value to weight needs no weights")
        weights, count = list(values.values()), len(values)
    else:
        count = len(values)
    if count == 0:
        raise ValueError("values is empty")
    if weights is None:
        return
    if len(weights) != count:
        raise ValueError(f"{len(weights)} weights for {count} values")
    if any(weight < 0 for weight in weights) or sum(weights) <= 0:
        raise ValueError("weights must not be negative, and one must be above 0")
