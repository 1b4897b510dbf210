"""Columns that stand for days and clock times: values that are possible, and parts of one date."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.synth.learn.dependencies import DependencyRule, Numbers

Floats = NDArray[np.float64]

FEWEST_DIFFERENT: Final = 20
"""So many different values never look like clock times by chance."""
DAY_MINUTES: Final = 1440
DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the values of a column stand for a running number, and the way back.

    Attributes:
        what: such as ``clock times, hhmm``.
        numbers: the running number of each row, NaN for null.
        expression: of the schema file, with ``{}`` for the running number.
        written_as: the ``as`` of the derived field, if it needs one.
        day: how many running numbers a day has; 0 where it is no clock.
        first: the smallest running number of a day; 1 where midnight is 2400.
    """

    what: str
    numbers: Floats
    expression: str
    written_as: str | None = None
    day: int = 0
    first: int = 0


def encoding_of(column: pa.ChunkedArray) -> Encoding | None:
    """What a column's values stand for; None for what are just numbers or texts."""
    if pa.types.is_integer(column.type):
        return _clock(column) or _days(column)
    if pa.types.is_string(column.type):
        return _clock_text(column)
    return None


def _clock(column: pa.ChunkedArray) -> Encoding | None:
    values = column.drop_null().unique().to_numpy()
    if len(values) < FEWEST_DIFFERENT or values.min() < 0 or values.max() > 240_000:
        return None
    numbers = _floats(column)
    if values.max() <= 2400:
        if (values % 100 >= 60).any() or len(np.unique(values % 100)) < 10:
            return None
        if len(np.unique(values // 100)) < 3 or ((values == 2400).any() and (values < 1).any()):
            return None
        first = int(values.max() == 2400)
        return Encoding(
            "clock times, hhmm",
            numbers // 100 * 60 + numbers % 100,
            "{0} // 60 * 100 + {0} % 60",
            None,
            DAY_MINUTES,
            first,
        )
    minutes = values // 100 % 100
    if (values % 100 >= 60).any() or (minutes >= 60).any() or values.max() >= 240_000:
        return None
    if len(np.unique(minutes)) < 10 or len(values) < 3 * FEWEST_DIFFERENT:
        return None
    return Encoding(
        "clock times, hhmmss",
        numbers // 10_000 * 3600 + numbers // 100 % 100 * 60 + numbers % 100,
        "{0} // 3600 * 10000 + {0} // 60 % 60 * 100 + {0} % 60",
        None,
        DAY_SECONDS,
    )


def _days(column: pa.ChunkedArray) -> Encoding | None:
    """Integers such as 20240131."""
    values = column.drop_null().unique().to_numpy()
    if len(values) < FEWEST_DIFFERENT or values.min() < 10_000_101 or values.max() > 99_991_231:
        return None
    days = days_of(values // 10_000, values // 100 % 100, values % 100)
    if days is None:
        return None
    numbers = _floats(column)
    valid = ~np.isnan(numbers)
    known = numbers[valid].astype(np.int64)
    found = days_of(known // 10_000, known // 100 % 100, known % 100)
    assert found is not None
    result = np.full(len(numbers), np.nan)
    result[valid] = found
    return Encoding(
        "days, yyyymmdd", result, "year({0}) * 10000 + month({0}) * 100 + day({0})", "date"
    )


def days_of(
    year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Days since 1970; None if any is not a day of the calendar."""
    if (month < 1).any() or (month > 12).any() or (day < 1).any() or (day > 31).any():
        return None
    if (year < 1).any() or (year > 9999).any():
        return None
    months = (year - 1970) * 12 + month - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    following = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    result: NDArray[np.int64] = first + day - 1
    return None if (result >= following).any() else result


def _clock_text(column: pa.ChunkedArray) -> Encoding | None:
    values = column.drop_null().unique()
    if len(values) < FEWEST_DIFFERENT:
        return None
    for pattern, seconds in ((r"^([01]\d|2[0-3]):[0-5]\d$", False),
                             (r"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d$", True)):  # fmt: skip
        if not pc.all(pc.match_substring_regex(values, pattern)).as_py():
            continue
        parts = [
            _floats(pc.utf8_slice_codeunits(column, start, start + 2).cast(pa.int64()))
            for start in ((0, 3, 6) if seconds else (0, 3))
        ]
        if seconds:
            return Encoding(
                "clock times, hh:mm:ss",
                parts[0] * 3600 + parts[1] * 60 + parts[2],
                "pad({0} // 3600, 2) + ':' + pad({0} // 60 % 60, 2) + ':' + pad({0} % 60, 2)",
                None,
                DAY_SECONDS,
            )
        return Encoding(
            "clock times, hh:mm",
            parts[0] * 60 + parts[1],
            "pad({0} // 60, 2) + ':' + pad({0} % 60, 2)",
            None,
            DAY_MINUTES,
        )
    return None


def _floats(column: pa.ChunkedArray) -> Floats:
    result: Floats = pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()
    return result


_DAY_US: Final = 86_400_000_000
_HOUR_US: Final = 3_600_000_000
_MOST_OFFSETS: Final = 12


@dataclass(frozen=True, slots=True)
class DateParts:
    """A date that several columns are parts of.

    Attributes:
        value: what the hidden date is called.
        days: since 1970, of each row.
        rules: of the columns that are its parts, and of timestamps that follow from them.
    """

    value: str
    days: NDArray[np.int64]
    rules: tuple[DependencyRule, ...]

    def as_numbers(self) -> Numbers:
        """The hidden date as a column."""
        return Numbers(self.value, self.value, self.days.astype(np.float64) * _DAY_US, "date", 0)


def find_calendars(
    columns: Sequence[Numbers], free: Collection[str], fresh: Callable[[str], str]
) -> list[DateParts]:
    """The dates of which a month and a day are there, and perhaps a year.

    Args:
        columns: of the table.
        free: the names of those without rules so far.
        fresh: makes a name for a hidden field.
    """
    known = {each.name.lower(): each for each in columns if each.valid.all()}
    result = []
    for name, month in known.items():
        found = re.fullmatch(r"(.*?)(month|mon|mm)", name)
        if found is None or month.kind != "integer" or month.name not in free:
            continue
        before = found[1]
        day = next((known[before + x] for x in ("day", "dd", "mday", "day_of_month")
                    if before + x in known), None)  # fmt: skip
        year = next(
            (known[before + x] for x in ("year", "yr", "yyyy") if before + x in known), None
        )
        if day is None or not {day.name, year.name if year else day.name} <= set(free):
            continue
        if {day.kind, year.kind if year else "integer"} != {"integer"}:
            continue
        numbers = [each.data.astype(np.int64) for each in (month, day)]
        years = year.data.astype(np.int64) if year else np.full(len(numbers[0]), 2000)
        days = days_of(years, *numbers)
        if days is None:
            continue
        value = fresh(f"{before}date_drawn")
        rules = [
            DependencyRule(
                part.name, f"{function}({value})", (value,), f"is the {function} of a date"
            )
            for part, function in ((year, "year"), (month, "month"), (day, "day"))
            if part is not None
        ]
        hour = known.get(before + "hour")
        if year is not None:
            rules += _timestamps([x for x in columns if x.name in free], value, days, hour)
        result.append(DateParts(value, days, tuple(rules)))
    return result


def _timestamps(
    columns: Sequence[Numbers], value: str, days: NDArray[np.int64], hour: Numbers | None
) -> list[DependencyRule]:
    """Timestamps that are the date and the hour, in another time zone."""
    rules = []
    for target in columns:
        if target.kind != "timestamp" or not target.valid.all() or hour is None:
            continue
        local = days * _DAY_US + hour.data.astype(np.int64) * _HOUR_US
        offset = target.data.astype(np.int64) - local
        if len(np.unique(offset)) > 3 or np.abs(offset).max() > 15 * _HOUR_US:
            continue
        order = np.argsort(local, kind="stable")
        changes = np.flatnonzero(np.diff(offset[order]))
        if len(changes) > _MOST_OFFSETS:
            continue
        clock = f"{value} + hours({hour.value})"
        last = order[-1]
        text = str(int(offset[last]) // 1_000_000)
        for change in reversed(changes):
            limit = int(local[order[change + 1]])
            seconds = int(offset[order[change]]) // 1_000_000
            text = f"({seconds} if micros({clock}) < {limit} else {text})"
        rules.append(
            DependencyRule(
                target.name,
                f"{clock} + seconds({text})",
                (value, hour.name),
                "is the date and the hour, in another time zone",
            )
        )
    return rules
