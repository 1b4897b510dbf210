"""How many rows a table without a parent has at a timestamp, and when each came into being."""

from datetime import UTC, datetime
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from headrace.synth import maths
from headrace.synth.functions import civil
from headrace.synth.hashing import Key, key, unit
from headrace.synth.schema.base import as_datetime, duration_us
from headrace.synth.schema.fields import Datetime
from headrace.synth.values import ALWAYS, DAY_US, NEVER

_SEARCHED: Final = 1 << 14
"""So many rows are looked through at once; more are halved first."""
_HORIZON_DAYS: Final = 60_000
"""No rate is followed for longer than about 160 years."""

Timestamps = NDArray[np.int64]
PRECISION_US: Final = {"day": DAY_US, "second": 1_000_000, "millisecond": 1_000, "microsecond": 1}


def to_us(timestamp: datetime) -> int:
    """A timestamp in UTC as microseconds since 1970."""
    delta = as_datetime(timestamp) - datetime(1970, 1, 1)  # noqa: DTZ001
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_us(timestamp: int) -> datetime:
    """Microseconds since 1970 as a timestamp in UTC."""
    return datetime.fromtimestamp(timestamp / 1_000_000, UTC)


class Population(Protocol):
    """The rows of a table: addresses from 0, oldest first."""

    def total(self, timestamp: int) -> int:
        """How many rows there are at a timestamp, in microseconds since 1970."""

    def at(self, rows: NDArray[Any]) -> Timestamps:
        """When these rows came into being; never falls from one row to the next."""

    def before(self, timestamps: Timestamps) -> NDArray[np.int64]:
        """How many rows there were before each timestamp, to the day."""


class Fixed:
    """So many rows, there from the beginning."""

    def __init__(self, count: int) -> None:
        self.count = count

    def total(self, timestamp: int) -> int:
        """How many rows there are."""
        del timestamp
        return self.count

    def at(self, rows: NDArray[Any]) -> Timestamps:
        """From the beginning."""
        return np.full(len(rows), ALWAYS, dtype=np.int64)

    def before(self, timestamps: Timestamps) -> NDArray[np.int64]:
        """All of them, at any timestamp."""
        return np.full(len(timestamps), self.count, dtype=np.int64)


class Rate:
    """Rows that come into being by a rate: so many a day, by season, weekday and hour.

    The rate of a day is the product of the daily rate, growth, the weights of its month and its
    weekday, and its noise. Counts are the whole part of the running sum, so the first *n* days
    have the same rows however long one looks. Within a day, row *k* of *n* comes in the *k*-th
    of *n* equal shares of the day's hourly profile, at a random place in it.
    """

    def __init__(self, field: Datetime, seed: int, table: str, scale: float, count: int | None):
        self._jitter: Key = key(seed, table, "", "rate")
        self._precision = PRECISION_US[field.precision]
        if field.range is None:
            assert field.start is not None
            assert field.per_day is not None
            start, days = to_us(as_datetime(field.start)), _HORIZON_DAYS
        else:
            first, last = (to_us(as_datetime(timestamp)) for timestamp in field.range)
            start, days = first, max(1, -(-(last - first) // DAY_US))
        self.start = start - start % DAY_US
        per_day = (field.per_day or 1.0) * scale
        expected = self._expected(field, seed, table, days) * per_day
        sums = np.cumsum(expected)
        if count is not None:
            sums *= count / sums[-1]
            sums[-1] = count
        # a rate without an end stops where no machine could hold its rows
        sums = sums[: int(np.searchsorted(sums, 2.0**42))]
        self._sums = np.concatenate(([0], np.floor(sums + 1e-9).astype(np.int64)))
        self.initial = round(field.initial * scale)
        self._span = duration_us(field.initial_span)
        hours = np.array(field.hour or [1.0] * 24, dtype=np.float64)
        self._hours = np.concatenate(([0.0], np.cumsum(hours) / hours.sum()))
        self._hours[-1] = 1.0

    def _expected(self, field: Datetime, seed: int, table: str, days: int) -> NDArray[np.float64]:
        number = np.arange(days, dtype=np.int64)
        timestamps = self.start + number * DAY_US
        rate = maths.exp(maths.log(1.0 + field.growth) * (number / 365.25))
        if field.weekday is not None:
            weights = np.array(field.weekday, dtype=np.float64)
            rate = rate * (weights * (7 / weights.sum()))[(timestamps // DAY_US + 3) % 7]
        if field.season is not None:
            weights = np.array(field.season, dtype=np.float64)
            rate = rate * (weights * (12 / weights.sum()))[civil(timestamps)[1] - 1]
        if field.noise:
            draws = unit(key(seed, table, "", "noise"), number)
            normal = maths.normal_quantile(np.clip(draws, 1e-12, 1 - 1e-12))
            rate = rate * np.maximum(0.0, 1.0 + field.noise * normal)
        return rate

    def total(self, timestamp: int) -> int:
        """How many rows there are at a timestamp."""
        if timestamp == ALWAYS:
            return 0
        if timestamp == NEVER:
            return self.initial + int(self._sums[-1])
        low, high = 0, self.initial + int(self._sums[-1])
        day = (timestamp - self.start) // DAY_US
        if 0 <= day < len(self._sums) - 1:
            low = self.initial + int(self._sums[day])
            high = self.initial + int(self._sums[day + 1])
        elif day >= len(self._sums) - 1:
            return high
        else:
            high = self.initial
        while high - low > _SEARCHED:
            middle = (low + high) // 2
            if int(self.at(np.array([middle]))[0]) <= timestamp:
                low = middle + 1
            else:
                high = middle
        timestamps = self.at(np.arange(low, high, dtype=np.int64))
        return low + int(np.searchsorted(timestamps, timestamp, side="right"))

    def at(self, rows: NDArray[Any]) -> Timestamps:
        """When these rows came into being."""
        place = unit(self._jitter, rows)
        number = rows.astype(np.int64) - self.initial
        if len(rows) and number[0] >= 0 and number[-1] - number[0] == len(rows) - 1:
            return self._in_days(number, place)
        old = number < 0
        if not bool(old.any()):
            return self._in_days(number, place)
        result = np.empty(len(rows), dtype=np.int64)
        result[~old] = self._in_days(number[~old], place[~old])
        share = (rows[old] + place[old]) / max(1, self.initial)
        early = self.start - self._span + (share * self._span).astype(np.int64)
        result[old] = np.minimum(early - early % self._precision, self.start - self._precision)
        return result

    def _in_days(self, number: NDArray[np.int64], place: NDArray[np.float64]) -> Timestamps:
        day = np.searchsorted(self._sums, number, side="right") - 1
        day = np.clip(day, 0, max(0, len(self._sums) - 2))
        first = self._sums[day]
        size = np.maximum(self._sums[np.minimum(day + 1, len(self._sums) - 1)] - first, 1)
        share = (number - first + place) / size
        hour = np.clip(np.searchsorted(self._hours, share, side="right") - 1, 0, 23)
        low = self._hours[hour]
        width = np.maximum(self._hours[hour + 1] - low, 1e-300)
        inside = np.minimum((share - low) / width, 1.0 - 2.0**-40)
        offset = (np.clip(hour + inside, 0.0, 24.0 - 1e-9) * 3_600_000_000).astype(np.int64)
        offset -= offset % self._precision
        timestamps: Timestamps = self.start + day * DAY_US + offset
        return timestamps

    def before(self, timestamps: Timestamps) -> NDArray[np.int64]:
        """How many rows there were when the day of each timestamp began."""
        day = np.clip((timestamps - self.start) // DAY_US, 0, len(self._sums) - 1)
        result: NDArray[np.int64] = self.initial + self._sums[day]
        early = timestamps < self.start
        if bool(early.any()):
            share = (timestamps[early] - (self.start - self._span)) / self._span
            count = np.floor(np.clip(share, 0.0, 1.0) * self.initial).astype(np.int64) - 1
            result[early] = np.maximum(0, count)
        return result
