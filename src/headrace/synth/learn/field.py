"""Fields of a schema file that are learned from the columns of a sample."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth.learn.pii import Pii, find_pii
from headrace.synth.learn.relations import Relation, Relations
from headrace.synth.learn.sample_data import LearningSample

QUANTILES: Final = 101
MOST_CATEGORIES: Final = 500
"""Of a text column, the most frequent values that are written."""
FEWEST_ROWS: Final = 3
"""A text that fewer rows hold is never written: it may be about one person."""
FEW_NUMBERS: Final = 20
"""Numbers of so few different values keep exactly these."""
ROOM: Final = 10_000
"""Unique patterns have room for so many times the rows of the sample."""
_UUID: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"


@dataclass(frozen=True, slots=True)
class LearnedField:
    """A field as it will be written.

    Attributes:
        name: the column's.
        settings: the YAML mapping.
        comment: what somebody should know about it.
        classes: the class of each row in the engine's order, -1 for null; None if the column
            takes no part in the correlation.
        labels: the categories in the order of the classes, where that order is free to choose.
    """

    name: str
    settings: Mapping[str, Any]
    comment: str = ""
    classes: NDArray[np.int64] | None = None
    labels: tuple[tuple[Any, float], ...] | None = field(default=None)


@dataclass(frozen=True, slots=True)
class SampleColumn:
    """A column of a sample, its table's name, and the names of all columns beside it."""

    table: str
    name: str
    data: pa.ChunkedArray
    beside: tuple[str, ...]

    @property
    def values(self) -> pa.ChunkedArray:
        """Without null."""
        return self.data.drop_null()

    @property
    def nulls(self) -> dict[str, float]:
        """The share of rows that are null, if any are."""
        share = self.data.null_count / len(self.data)
        return {"null_rate": short(share)} if share else {}

    @property
    def is_unique(self) -> bool:
        """Whether no value comes twice, in enough rows to tell."""
        values = self.values
        return len(values) >= 20 and pc.count_distinct(values).as_py() == len(values)


def make_field(
    column: SampleColumn, relations: Relations, relation: Relation | None, sample: LearningSample
) -> LearnedField:
    """The field that gives values like a column's."""
    is_primary = relations.keys.get(column.table) == column.name
    if relation is not None:
        return _foreign_key(column, relation, sample, is_primary=is_primary)
    personal = find_pii(column.table, column.name, column.data, column.beside)
    if is_primary:
        return _key(column, personal)
    kind = column.data.type
    if pa.types.is_null(kind):
        return LearnedField(column.name, {"type": "text", "null_rate": 1}, "no row had a value")
    if personal is not None and personal.kind != "birth_date":
        return _personal(column, personal)
    tag = {"pii": personal.kind} if personal else {}
    if pa.types.is_boolean(kind):
        return _boolean(column)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _datetime(column, tag)
    if pa.types.is_string(kind):
        return _text(column)
    return _number(column)


def _key(column: SampleColumn, personal: Pii | None) -> LearnedField:
    primary: dict[str, Any] = {"primary_key": True}
    if pa.types.is_integer(column.data.type):
        return _serial(column, primary)
    if personal is not None and personal.endless:
        return LearnedField(
            column.name,
            {"type": "unique", "generator": f"faker.{personal.provider}", "pii": personal.kind,
             **primary},
        )  # fmt: skip
    found = _unique_text(column, primary)
    if found is not None:
        return found
    return LearnedField(
        column.name, {"type": "uuid", **primary}, "keys of no form that was recognised"
    )


def _serial(
    column: SampleColumn, more: Mapping[str, Any], *, as_text: bool = False
) -> LearnedField:
    numbers = column.values.cast(pa.int64()) if as_text else column.values
    data = np.sort(numbers.to_numpy())
    step = int(np.median(np.diff(data))) if len(data) > 1 else 1
    settings: dict[str, Any] = {"type": "serial", "start": int(data[0])}
    # with a larger step, a table 10,000 times as large must still fit 64 bits
    if step > 1 and step * len(data) < 2**62 // ROOM:
        settings["step"] = step
    comment = ""
    if settings["start"] > 2**62:
        settings |= {"start": 1, "step": 1}
        comment = "the sample's are too large to go on from"
    if as_text:
        settings["as"] = "text"
    return LearnedField(column.name, {**settings, **more}, comment)


def _unique_text(column: SampleColumn, more: Mapping[str, Any]) -> LearnedField | None:
    values = column.values
    if _all(values, _UUID):
        return LearnedField(column.name, {"type": "uuid", **more})
    if _all(values, r"^[1-9][0-9]{0,17}$"):
        return _serial(column, more, as_text=True)
    pattern = _pattern(values)
    if pattern is None:
        return None
    from headrace.synth.draw_text import capacity

    wider = pattern
    while capacity(wider) < len(column.data) * ROOM:
        place = wider.rfind("#") if "#" in wider else wider.rfind("?")
        wider = f"{wider[:place]}#{wider[place:]}"
    comment = f"as {pattern}, and room for more rows" if wider != pattern else ""
    return LearnedField(column.name, {"type": "unique", "pattern": wider, **more}, comment)


def _foreign_key(
    column: SampleColumn, relation: Relation, sample: LearningSample, *, is_primary: bool
) -> LearnedField:
    parents = len(sample.tables[relation.parent])
    settings: dict[str, Any] = {
        "type": "foreign_key",
        "references": f"{relation.parent}.{relation.parent_column}",
    }
    values = column.values
    counts = np.sort(pc.value_counts(values.combine_chunks()).field("counts").to_numpy())[::-1]
    if is_primary or (column.is_unique and not column.nulls and relation.parent != column.table):
        settings["distribution"] = "cover"
    elif relation.parent != column.table:
        exponent = zipf_exponent(counts, parents)
        if exponent is not None:
            settings |= {"distribution": "zipf", "exponent": exponent}
    settings |= column.nulls
    if relation.parent == column.table:
        settings["optional"] = True
    if is_primary:
        settings["primary_key"] = True
    return LearnedField(column.name, settings)


def zipf_exponent(counts: NDArray[np.int64], parents: int) -> float | None:
    """How unevenly parents are chosen; None if it may as well be evenly.

    The chance that two rows have one parent, ``sum(n (n - 1)) / (N (N - 1))`` (Simpson, 1949),
    has no bias from ranking by luck; the exponent makes it the same in the engine's law.
    """
    total = int(counts.sum())
    if total < 50 or parents < 2:
        return None
    together = float(np.sum(counts * (counts - 1.0))) / (total * (total - 1.0))
    # the count of pairs is about Poisson where parents are chosen evenly
    pairs = total * (total - 1.0) / 2
    if together < 1 / parents + 4 * np.sqrt(1 / parents / pairs):
        return None
    low, high = 0.01, 5.0
    for _ in range(40):
        middle = (low + high) / 2
        if _together(middle, parents) < together:
            low = middle
        else:
            high = middle
    return round(low, 3) if low >= 0.05 else None


def _together(exponent: float, parents: int) -> float:
    edges = np.arange(1, parents + 2, dtype=np.float64)
    if abs(exponent - 1) < 1e-9:
        places = np.log(edges)
    else:
        places = (edges ** (1 - exponent) - 1) / (1 - exponent)
    shares = np.diff(places) / places[-1]
    return float(np.sum(shares * shares))


def _personal(column: SampleColumn, personal: Pii) -> LearnedField:
    tags = {"pii": personal.kind, **column.nulls}
    comment = "looks like personal data by its name: replaced, nothing of it is copied"
    if personal.pattern is not None:
        if pa.types.is_integer(column.data.type):
            digits = len(str(pc.max(pc.abs(column.values)).as_py()))
            bounds = [10 ** (digits - 1), 10**digits - 1]
            return LearnedField(
                column.name, {"type": "numerical", "range": bounds, "round": 0, **tags}, comment
            )
        return LearnedField(
            column.name, {"type": "text", "pattern": personal.pattern, **tags}, comment
        )
    kind = "unique" if personal.endless and column.is_unique else "categorical"
    return LearnedField(
        column.name, {"type": kind, "generator": f"faker.{personal.provider}", **tags}, comment
    )


def _boolean(column: SampleColumn) -> LearnedField:
    share = pc.mean(column.values.cast(pa.int8())).as_py()
    # the engine draws true first: true is class 0
    false = pc.invert(column.data).cast(pa.int64())
    return LearnedField(
        column.name,
        {"type": "boolean", "probability": short(share), **column.nulls},
        classes=_gapless(pc.fill_null(false, -1).to_numpy()),
    )


def _datetime(column: SampleColumn, tag: Mapping[str, str]) -> LearnedField:
    if pa.types.is_date(column.data.type):
        numbers = column.data.cast(pa.int32()).cast(pa.int64())
        precision = "day"
    else:
        numbers = column.data.cast(pa.int64())
        steps = {"second": 1_000_000, "millisecond": 1_000, "microsecond": 1}
        known = numbers.drop_null().to_numpy()
        precision = next(name for name, step in steps.items() if not bool((known % step).any()))
    low, high = (getattr(pc, end)(column.values).as_py() for end in ("min", "max"))
    settings: dict[str, Any] = {
        "type": "datetime",
        "range": [_iso(low), _iso(_last(high, low))],
    }
    if precision != "second":
        settings["precision"] = precision
    settings |= {**tag, **column.nulls}
    values = column.values
    if len(values) >= 2 * QUANTILES:
        places = np.linspace(0, len(values) - 1, QUANTILES).astype(np.int64)
        ordered = values.take(pc.sort_indices(values)).take(pa.array(places))
        settings["quantiles"] = [_iso(timestamp) for timestamp in ordered.to_pylist()]
    return LearnedField(column.name, settings, classes=_ranks(numbers, column.data))


def _last(high: date, low: date) -> date:
    """The end of a range; the engine takes midnight there for the whole day, so not midnight."""
    if isinstance(high, datetime) and high.time() == datetime.min.time() and high > low:
        return high - timedelta(seconds=1)
    return high


def _iso(value: date) -> str:
    return (value.replace(tzinfo=None) if isinstance(value, datetime) else value).isoformat()


def _number(column: SampleColumn) -> LearnedField:
    kind = column.data.type
    more: dict[str, Any] = {}
    data = column.data
    if pa.types.is_decimal(kind):
        decimals: int | None = max(0, kind.scale)
        data = data.cast(pa.float64())
        if _fit(data.drop_null().to_numpy(), kind.scale):
            more["as"] = "decimal"
        else:
            decimals = None
    elif pa.types.is_integer(kind):
        decimals = 0
    else:
        decimals = _decimals(data.drop_null().to_numpy())
    values = data.drop_null().to_numpy()
    if pa.types.is_integer(kind) and column.is_unique and (
        re.search(r"(^|_)(id|key|no|nr|number)$", column.name.lower())
        or int(values.max()) - int(values.min()) + 1 == len(values)
    ):  # fmt: skip
        return _serial(column, column.nulls)
    classes = _ranks(data, column.data)
    distinct, counts = np.unique(values, return_counts=True)
    is_integral = pa.types.is_integer(kind)
    if len(distinct) <= min(FEW_NUMBERS, len(values) // 5) and (
        is_integral or (pa.types.is_floating(kind) and decimals != 0)
    ):
        settings: dict[str, Any] = {
            "type": "categorical",
            "values": [number_of(value, decimals) for value in distinct],
            "weights": [int(count) for count in counts],
        }
        return LearnedField(column.name, {**settings, **column.nulls}, classes=classes)
    quantiles = np.quantile(values.astype(np.float64), np.linspace(0, 1, QUANTILES))
    quantiles = np.maximum.accumulate([number_of(value, None) for value in quantiles])
    low, high = (
        # the largest of 64 bits that is exact in floating point, too
        min(number_of(end, decimals), 2**63 - 1024) if is_integral else number_of(end, decimals)
        for end in (distinct[0], distinct[-1])
    )
    settings = {
        "type": "numerical",
        "distribution": "empirical",
        "min": low,
        "max": high,
        "round": decimals,
        **more,
        **column.nulls,
        "quantiles": [number_of(value, None) for value in np.clip(quantiles, low, high)],
    }
    return LearnedField(column.name, settings, classes=classes)


def _decimals(values: NDArray[np.float64]) -> int | None:
    """The decimals that give all values back; None if it takes more than six."""
    for decimals in range(7):
        if _fit(values, decimals) and np.allclose(
            np.round(values, decimals), values, rtol=1e-12, atol=0
        ):
            return decimals
    return None


def _fit(values: NDArray[np.float64], decimals: int) -> bool:
    """Whether numbers can be counted in units of the last decimal exactly."""
    return bool(np.abs(values).max() < 2**53 / 10.0**decimals)


def _text(column: SampleColumn) -> LearnedField:
    values = column.values
    total = len(values)
    if column.is_unique or total < FEWEST_ROWS:
        if total >= FEWEST_ROWS:
            found = _unique_text(column, column.nulls)
            if found is not None:
                return found
        return _words(column)
    counted = pc.value_counts(values.combine_chunks())
    labels = counted.field("values").to_pylist()
    counts = counted.field("counts").to_pylist()
    ranked = sorted(zip(labels, counts, strict=True), key=lambda pair: (-pair[1], pair[0]))
    kept = [pair for pair in ranked if pair[1] >= FEWEST_ROWS][:MOST_CATEGORIES]
    share = sum(count for _, count in kept) / total
    words = sum(len(label.split()) for label in labels) / len(labels)
    if share < 0.5 or (words > 8 and len(labels) > 50):
        pattern = _pattern(values)
        if pattern is not None:
            return LearnedField(column.name, {"type": "text", "pattern": pattern, **column.nulls})
        return _words(column)
    lost = len(ranked) - len(kept)
    comment = f"{lost} rarer values are left out" if lost else ""
    place = {label: number for number, (label, _) in enumerate(kept)}
    codes = np.array([place.get(value, -1) for value in column.data.to_pylist()], dtype=np.int64)
    settings = {"type": "categorical", **column.nulls}
    return LearnedField(
        column.name, settings, comment, classes=codes,
        labels=tuple((label, float(count)) for label, count in kept),
    )  # fmt: skip


def _words(column: SampleColumn) -> LearnedField:
    counts = [len(text.split()) for text in column.values.to_pylist()]
    low, high = (int(number) for number in np.quantile(counts, [0.05, 0.95]))
    low = min(max(1, low), 200)
    words = [low, min(max(low, high), 200)]
    return LearnedField(
        column.name,
        {"type": "text", "words": words, **column.nulls},
        "free text: as many words, none of the sample's",
    )


def _pattern(values: pa.ChunkedArray) -> str | None:
    """# for digits and ? for capitals, where all values have one form; None if they do not."""
    texts: list[str] = values.unique().to_pylist()
    if _all(values, r"^[^0-9#?]*[0-9]+$"):
        # a prefix and a number, which may have any length
        starts = {text.rstrip("0123456789") for text in texts}
        if len(starts) == 1:
            start = starts.pop()
            return start + "#" * (max(len(text) for text in texts) - len(start))
    if len({len(text) for text in texts}) != 1 or not 1 <= len(texts[0]) <= 64:
        return None
    pattern = ""
    for marks in zip(*texts, strict=True):
        different = set(marks)
        if all(mark in "0123456789" for mark in different):
            pattern += "#"
        elif len(different) == 1 and marks[0] not in "#?":
            pattern += marks[0]
        elif all("A" <= mark <= "Z" for mark in different):
            pattern += "?"
        else:
            return None
    return pattern if "#" in pattern or "?" in pattern else None


def _ranks(numbers: pa.ChunkedArray, original: pa.ChunkedArray) -> NDArray[np.int64]:
    """Classes of numbers: the place of each among the different ones."""
    valid = pc.is_valid(original).to_numpy()
    filled = pc.fill_null(numbers, 0).to_numpy()
    result = np.full(len(filled), -1, dtype=np.int64)
    result[valid] = np.unique(filled[valid], return_inverse=True)[1]
    return result


def _gapless(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Classes numbered without gaps, -1 aside."""
    result = np.full(len(classes), -1, dtype=np.int64)
    known = classes >= 0
    result[known] = np.unique(classes[known], return_inverse=True)[1]
    return result


def _all(values: pa.ChunkedArray, pattern: str) -> bool:
    return len(values) > 0 and bool(pc.all(pc.match_substring_regex(values, pattern)).as_py())


def short(share: float) -> float:
    """A share with six digits that count."""
    return float(f"{share:.6g}")


def number_of(value: Any, decimals: int | None) -> int | float:
    """A number without needless digits; an integer where it is one."""
    if isinstance(value, int | np.integer):
        return int(value)
    number = round(float(value), decimals) if decimals is not None else float(value)
    if decimals is None and abs(number) < 1e9:
        number = float(f"{number:.12g}")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
