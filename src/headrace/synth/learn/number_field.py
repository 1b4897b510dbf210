"""Columns of a sample as numbers, and the fields of numbers and times learned from them."""

import keyword
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth.learn.calendars import Encoding
from headrace.synth.learn.combinations import Categories
from headrace.synth.learn.dependencies import Numbers
from headrace.synth.learn.learned_field import (
    FEW_INTEGERS,
    FEW_NUMBERS,
    FEWEST_ROWS,
    QUANTILES,
    ROOM,
    LearnedField,
    SampleColumn,
    number_of,
    ranks,
)


def serial(column: SampleColumn, more: Mapping[str, Any], *, as_text: bool = False) -> LearnedField:
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


def datetime_field(column: SampleColumn, tag: Mapping[str, str]) -> LearnedField:
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
    return LearnedField(column.name, settings, classes=ranks(numbers, column.data))


def _last(high: date, low: date) -> date:
    """The end of a range; the engine takes midnight there for the whole day, so not midnight."""
    if isinstance(high, datetime) and high.time() == datetime.min.time() and high > low:
        return high - timedelta(seconds=1)
    return high


def _iso(value: date) -> str:
    return (value.replace(tzinfo=None) if isinstance(value, datetime) else value).isoformat()


def number_field(column: SampleColumn) -> LearnedField:
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
        decimals = decimals_of(data.drop_null().to_numpy())
    values = data.drop_null().to_numpy()
    if pa.types.is_integer(kind) and column.is_unique and (
        re.search(r"(^|_)(id|key|no|nr|number)$", column.name.lower())
        or int(values.max()) - int(values.min()) + 1 == len(values)
    ):  # fmt: skip
        return serial(column, column.nulls)
    classes = ranks(data, column.data)
    distinct, counts = np.unique(values, return_counts=True)
    exact = distinct.astype(np.float64) if float(np.abs(distinct).max()) < 1e150 else None
    is_integral = pa.types.is_integer(kind)
    listed = _value_set(distinct, counts, decimals)
    if listed is not None and not pa.types.is_decimal(kind):
        kept, weights = listed
        settings: dict[str, Any] = {
            "type": "categorical",
            "values": [number_of(value, decimals) for value in kept],
            "weights": [int(count) for count in weights],
        }
        return LearnedField(
            column.name, {**settings, **column.nulls}, classes=classes, numbers=exact
        )
    probabilities = _probabilities(len(values))
    quantiles = np.quantile(values.astype(np.float64), probabilities)
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
    if len(probabilities) > QUANTILES:
        settings["probabilities"] = [float(f"{share:.9g}") for share in probabilities]
    step = _step(distinct, decimals)
    if step is not None:
        settings["step"] = number_of(step, decimals)
    return LearnedField(column.name, settings, classes=classes, numbers=exact)


def _probabilities(size: int) -> NDArray[np.float64]:
    """Where the quantiles lie: every hundredth, and closer at both ends.

    Between two of them are at least ten rows where they are closer than a hundredth.
    """
    ends = [10.0**-power * part for power in (2, 3, 4, 5) for part in (0.5, 0.25, 0.1)]
    close = [share for share in ends if share * size >= 10]
    even = np.linspace(0, 1, QUANTILES)
    return np.unique(np.concatenate([even, close, 1 - np.array(close)]))


def _value_set(
    distinct: NDArray[Any], counts: NDArray[np.int64], decimals: int | None
) -> tuple[NDArray[Any], NDArray[np.int64]] | None:
    """The values and how often they come, where few are possible; None where any is.

    A value that too few rows have counts for the one next to it.
    """
    total = int(counts.sum())
    each = 5 if len(distinct) <= FEW_INTEGERS else 20 if len(distinct) <= 200 else 100
    if len(distinct) > min(FEW_NUMBERS, total // each):
        return None
    often = counts >= FEWEST_ROWS
    is_rare = counts[~often].sum() > 0.005 * total
    if not often.any() or (is_rare and decimals is not None and _is_filled(distinct, decimals)):
        return None
    kept = distinct[often]
    places = np.searchsorted(kept, distinct).clip(0, len(kept) - 1)
    before = (places - 1).clip(0)
    nearer = np.abs(kept[before] - distinct) < np.abs(kept[places] - distinct)
    weights = np.bincount(np.where(nearer, before, places), weights=counts, minlength=len(kept))
    return kept, weights.astype(np.int64)


def _step(distinct: NDArray[Any], decimals: int | None) -> float | None:
    """What all values are multiples of, counted from the least; None if that is 1 decimal."""
    if decimals is None or len(distinct) < 3 or float(np.abs(distinct).max()) > 1e15:
        return None
    scaled = np.rint(distinct.astype(np.float64) * 10.0**decimals).astype(np.int64)
    step = int(np.gcd.reduce(np.diff(scaled)))
    return step / 10.0**decimals if step > 1 else None


def _is_filled(distinct: NDArray[Any], decimals: int) -> bool:
    """Whether most numbers between two that occur occur, too; the ends aside."""
    step = _step(distinct, decimals) or 10.0**-decimals
    low, high = np.quantile(distinct, [0.1, 0.9])
    inside = int(((distinct >= low) & (distinct <= high)).sum())
    return bool(inside >= 0.75 * ((high - low) / step + 1))


def decimals_of(values: NDArray[np.float64]) -> int | None:
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


_RESERVED: Final = frozenset({"null", "true", "false", "number"})


def encoded(encoding: Encoding) -> pa.ChunkedArray:
    numbers = pa.array(encoding.numbers, from_pandas=True)
    if encoding.written_as == "date":
        return pa.chunked_array([numbers.cast(pa.int32()).view(pa.date32())])
    return pa.chunked_array([numbers.cast(pa.int64())])


def may_be_encoded(field: LearnedField) -> bool:
    """Whether a column is neither a key nor personal data."""
    return "pii" not in field.settings and field.settings["type"] in {
        "categorical", "numerical", "text",
    }  # fmt: skip


def as_numbers(name: str, column: pa.ChunkedArray) -> Numbers | None:
    kind = column.type
    if is_time(kind):
        is_date = pa.types.is_date(kind)
        raw = column.cast(pa.int32()).cast(pa.float64()) if is_date else (
            column.cast(pa.int64()).cast(pa.float64(), safe=False)
        )  # fmt: skip
        data = pc.fill_null(raw, float("nan")).to_numpy()
        if is_date:
            return Numbers(name, name, data * 86_400_000_000, "date", 0)
        return Numbers(name, name, data, "timestamp", 0)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    data = pc.fill_null(column.cast(pa.float64(), safe=False), float("nan")).to_numpy()
    if np.nanmax(np.abs(data)) > 1e15:
        return None
    if pa.types.is_integer(kind):
        return Numbers(name, name, data, "integer", 0)
    if pa.types.is_decimal(kind):
        return Numbers(name, name, data, "decimal", kind.scale)
    return Numbers(name, name, data, "number", decimals_of(data[~np.isnan(data)]))


def is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def is_word(name: str) -> bool:
    """Whether an expression can name a column."""
    return name.isidentifier() and not keyword.iskeyword(name) and name not in _RESERVED


def decides(code: Categories, other: Categories) -> bool:
    pairs = np.unique(code.codes * len(other.values) + other.codes)
    return len(pairs) == len(np.unique(code.codes))
