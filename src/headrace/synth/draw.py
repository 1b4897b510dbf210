"""What a field holds in each row: values by weight, numbers, timestamps, keys and statuses.

Each is a pure function of the field, of numbers in [0, 1), and of the rows' addresses.
"""

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from headrace.synth import maths, pools
from headrace.synth.hashing import Permutation, below, bits, key, unit
from headrace.synth.maths import rounded
from headrace.synth.population import PRECISION_US, to_us
from headrace.synth.schema.base import as_datetime, duration_us
from headrace.synth.schema.fields import (
    Boolean,
    Case,
    Categorical,
    Datetime,
    ForeignKey,
    Listed,
    Numerical,
    Status,
)
from headrace.synth.schema.schema_file import Count
from headrace.synth.values import DAY_US, NEVER, Kind, Pool, Values

if TYPE_CHECKING:
    from collections.abc import Sequence

Units = NDArray[np.float64]
Rows = NDArray[np.int64]

Level = tuple[NDArray[np.int32], NDArray[np.int64]]
"""The status of each row, as its number among the statuses, and when it came into it."""


class Choices:
    """Values by weight: which of them a number in [0, 1) stands for.

    For nearly all numbers a table tells the value's place without a search.
    """

    _CELLS = 1 << 15

    def __init__(self, values: tuple[Any, ...], thresholds: "Sequence[float]") -> None:
        self._pool = Pool(values)
        self._thresholds = np.array(thresholds, dtype=np.float64)
        self._thresholds[-1] = 1.0
        edges = np.arange(self._CELLS + 1, dtype=np.float64) / self._CELLS
        place = np.searchsorted(self._thresholds, edges, side="right")
        last = len(self._thresholds) - 1
        self._first = np.minimum(place[:-1], last).astype(np.int32)
        end = np.minimum(np.searchsorted(self._thresholds, edges[1:], side="left"), last)
        self._is_known = self._first == end
        self._all_known = bool(self._is_known.all())

    def pick(self, units: Units) -> Values:
        """For each number the first value whose cumulative share is above it."""
        cell = (units * self._CELLS).astype(np.int32)
        codes = self._first[cell]
        if not self._all_known:
            unknown = np.flatnonzero(~self._is_known[cell])
            found = np.searchsorted(self._thresholds, units[unknown], side="right")
            codes[unknown] = np.minimum(found, len(self._thresholds) - 1)
        return Values(Kind.POOLED, codes, None, self._pool)


def listed_choices(field: Categorical | Case) -> Choices:
    """The values that a field lists."""
    assert field.values is not None
    if isinstance(field.values, dict):
        values: tuple[Any, ...] = tuple(field.values)
        weights: Sequence[float] = list(field.values.values())
    else:
        values = tuple(field.values)
        weights = field.weights or [1.0] * len(values)
    total = math.fsum(weights)
    running, thresholds = 0.0, []
    for weight in weights:
        running += weight
        thresholds.append(running / total)
    return Choices(values, thresholds)


def listed(field: Listed, rows: Rows) -> Values:
    """One value after another; numbers and booleans as such."""
    codes = (rows % len(field.values)).astype(np.int32)
    return Values(Kind.POOLED, codes, None, Pool(tuple(field.values)))


def generator_choices(provider: str, locale: str, beside: Path | None) -> Choices:
    """The strings of a frozen pool; read again when its file was changed."""
    return _pool_choices(provider, locale, beside, pools.stamp(provider, locale, beside))


@cache
def _pool_choices(provider: str, locale: str, beside: Path | None, stamp: int) -> Choices:
    del stamp
    frozen = pools.load(provider, locale, beside)
    return Choices(frozen.values, frozen.thresholds)


# numbers


def numerical(field: Numerical, units: Units) -> Values:
    """A number by the field's distribution; integers where ``round`` is 0."""
    low, high = field.bounds
    number = _DISTRIBUTIONS[field.distribution](field, units)
    if low is not None or high is not None:
        number = np.clip(number, low, high)
    if field.step is not None:
        assert low is not None
        number = low + np.rint((number - low) / field.step) * field.step
    if field.round is None:
        return Values(Kind.NUMBER, number)
    if field.round == 0 or field.distribution in {"poisson", "zipf"}:
        return Values(Kind.INTEGER, np.rint(number).astype(np.int64))
    return Values(Kind.NUMBER, rounded(number, field.round))


def _uniform(field: Numerical, units: Units) -> Units:
    low, high = field.bounds
    assert low is not None
    assert high is not None
    if field.round == 0:
        # every integer of the range with the same probability, both ends among them
        return np.floor(low + units * (high - low + 1)).clip(low, high)
    return low + units * (high - low)


def _gaussian(field: Numerical, units: Units) -> Units:
    assert field.mean is not None
    assert field.stddev is not None
    low, high = field.bounds
    if field.clip and low is None and high is None:
        low = field.mean - 4 * field.stddev
        high = field.mean + 4 * field.stddev
        if field.mean > 0:
            low = max(low, 0.0)
    first = 0.0 if low is None else float(_below(low, field)[0])
    last = 1.0 if high is None else float(_below(high, field)[0])
    # a truncated normal: nothing piles up at the ends
    share = np.maximum(units, 2.0**-54)
    share *= last - first
    share += first
    np.minimum(share, 1 - 2.0**-53, out=share)
    number = maths.normal_quantile(share)
    number *= field.stddev
    number += field.mean
    return number


def _below(bound: float, field: Numerical) -> Units:
    assert field.mean is not None
    assert field.stddev is not None
    return maths.normal_cdf((bound - field.mean) / field.stddev)


def _lognormal(field: Numerical, units: Units) -> Units:
    """``mean`` and ``stddev`` are those of the number itself, not of its logarithm."""
    assert field.mean is not None
    assert field.stddev is not None
    variance = float(maths.log(1.0 + (field.stddev / field.mean) ** 2))
    centre = float(maths.log(field.mean)) - variance / 2
    return maths.exp(centre + math.sqrt(variance) * maths.normal_quantile(_open(units)))


def _exponential(field: Numerical, units: Units) -> Units:
    assert field.mean is not None
    return -field.mean * maths.log(1.0 - units)


def _poisson(field: Numerical, units: Units) -> Units:
    assert field.mean is not None
    return _poisson_class(field.mean, units).astype(np.float64)


def _poisson_class(mean: float, units: Units) -> NDArray[np.int64]:
    if mean > 500:
        normal = maths.normal_quantile(_open(units))
        return np.maximum(0, np.rint(mean + math.sqrt(mean) * normal)).astype(np.int64)
    return np.searchsorted(_poisson_table(mean), units, side="right")


@cache
def _poisson_table(mean: float) -> Units:
    share = float(maths.exp(-mean))
    running, sums, number = share, [share], 0
    while running < 1 - 1e-15 and number < 2_000:
        number += 1
        share *= mean / number
        if running + share == running and number > mean:
            break
        running += share
        sums.append(running)
    return np.array(sums)


def _zipf(field: Numerical, units: Units) -> Units:
    _, high = field.bounds
    assert high is not None
    return 1.0 + zipf(units, np.full(len(units), high), field.exponent)


def zipf(units: Units, size: NDArray[Any], exponent: float) -> Units:
    """A rank in [0, size), by a continuous power law: rank *r* about ``(r + 1) ** -exponent``."""
    limit = np.asarray(size, dtype=np.float64) + 1.0
    if abs(exponent - 1.0) < 1e-9:
        place = maths.exp(units * maths.log(limit))
    else:
        power = 1.0 - exponent
        place = maths.power(1.0 + units * (maths.power(limit, power) - 1.0), 1.0 / power)
    return np.clip(np.floor(place) - 1.0, 0.0, np.maximum(0.0, limit - 2.0))


def _empirical(field: Numerical, units: Units) -> Units:
    assert field.quantiles is not None
    knots = np.array(field.quantiles, dtype=np.float64)
    if field.probabilities is not None:
        shares = np.array(field.probabilities, dtype=np.float64)
        cell = np.searchsorted(shares, units, side="right").clip(1, len(knots) - 1) - 1
        part = (units - shares[cell]) / (shares[cell + 1] - shares[cell])
        between: Units = knots[cell] + (knots[cell + 1] - knots[cell]) * part
        return between
    place = units * (len(knots) - 1)
    cell = np.minimum(place.astype(np.int64), len(knots) - 2)
    result: Units = knots[cell] + (knots[cell + 1] - knots[cell]) * (place - cell)
    return result


def _open(units: Units) -> Units:
    """Without 0, for which a quantile has no end."""
    return np.maximum(units, 2.0**-54)


_DISTRIBUTIONS: Final = {
    "uniform": _uniform,
    "gaussian": _gaussian,
    "lognormal": _lognormal,
    "exponential": _exponential,
    "poisson": _poisson,
    "zipf": _zipf,
    "empirical": _empirical,
}


def count_of(count: Count, units: Units) -> NDArray[np.int64]:
    """How many children each parent has."""
    if count.distribution == "uniform":
        drawn = count.min + (units * (count.max - count.min + 1)).astype(np.int64)
    elif count.distribution == "poisson":
        assert count.mean is not None
        drawn = _poisson_class(count.mean, units)
    else:
        # geometric from min on, with this mean
        assert count.mean is not None
        above = max(count.mean - count.min, 1e-9)
        ratio = float(maths.log(above / (1.0 + above)))
        drawn = count.min + np.floor(maths.log(1.0 - units) / ratio).astype(np.int64)
    return np.clip(drawn, count.min, count.max)


# timestamps


def timestamp(field: Datetime, units: Units) -> Values:
    """A timestamp within the field's range; the last day is part of it where it is a date."""
    assert field.range is not None
    first, last = (to_us(as_datetime(bound)) for bound in field.range)
    step = PRECISION_US[field.precision]
    if last % DAY_US == 0:
        last += DAY_US - step if field.precision != "day" else 0
    kind = Kind.DATE if field.precision == "day" else Kind.TIMESTAMP
    if field.quantiles is not None:
        return Values(kind, np.clip(_between_quantiles(field, units, first, step), first, last))
    places = (last - first) // step + 1
    drawn = first + (units * places).astype(np.int64) * step
    return Values(kind, np.minimum(drawn, last))


def _between_quantiles(field: Datetime, units: Units, first: int, step: int) -> Rows:
    assert field.quantiles is not None
    knots = np.array([to_us(as_datetime(knot)) for knot in field.quantiles], dtype=np.int64)
    place = units * (len(knots) - 1)
    cell = np.minimum(place.astype(np.int64), len(knots) - 2)
    drawn = knots[cell] + (np.diff(knots)[cell] * (place - cell)).astype(np.int64)
    result: Rows = first + (drawn - first + step // 2) // step * step
    return result


def boolean(field: Boolean, units: Units) -> Values:
    """True with the field's probability."""
    return Values(Kind.BOOLEAN, units < field.probability)


def parent_rows(
    field: ForeignKey, seed: int, path: tuple[str, ...], rows: Rows, limit: NDArray[np.int64]
) -> Rows:
    """The address of a parent for each row, among the first ``limit`` of it.

    ``limit`` is one number for each row, or one for all; where it is 0, the row has no parent.
    """
    safe = np.maximum(limit, 1)
    if field.distribution == "cover":
        size = int(safe[0]) if len(safe) else 1
        turn = rows // size
        shift = below(bits(key(seed, *path), turn), size)
        return Permutation(seed, *path, size=size)((rows + shift) % size)
    if field.distribution == "zipf":
        rank = zipf(unit(key(seed, *path), rows), safe, field.exponent)
        return rank.astype(np.int64)
    if len(safe) and int(safe.max()) < 2**32:
        return below(bits(key(seed, *path), rows), safe)
    many: Rows = np.minimum((unit(key(seed, *path), rows) * safe).astype(np.int64), safe - 1)
    return many


def climb_ladder(
    item: Status, seed: int, path: tuple[str, ...], rows: NDArray[np.int64], at: NDArray[np.int64]
) -> list[Level]:
    """Every level of the ladder, the first status first; ``NEVER`` where a row stays below.

    Args:
        item: the field.
        seed: of the world.
        path: table and column.
        rows: addresses.
        at: when each row came into being; ``NEVER`` for rows that do not exist.
    """
    statuses = item.statuses
    codes = np.zeros(len(rows), dtype=np.int32)
    times = at.copy()
    levels = [(codes, times)]
    active = times != NEVER
    while bool(active.any()) or len(levels) == 1:
        level = str(len(levels))
        share = unit(key(seed, *path, "next", level), rows)
        place = unit(key(seed, *path, "delay", level), rows)
        next_codes, next_times = codes.copy(), np.full(len(rows), NEVER, dtype=np.int64)
        moved = np.zeros(len(rows), dtype=bool)
        for code, status in enumerate(statuses):
            step = item.ladder.get(status)
            if step is None:
                continue
            here = np.flatnonzero(active & (codes == code))
            if not here.size:
                continue
            low, high = duration_us(step.delay.min), duration_us(step.delay.max)
            running = 0.0
            rest = here
            for to, probability in step.to.items():
                running += probability
                goes = share[rest] < running
                going = rest[goes]
                next_codes[going] = statuses.index(to)
                delay = low + (place[going] * (high - low)).astype(np.int64)
                delay -= delay % 1_000_000
                next_times[going] = times[going] + np.maximum(delay, 1_000_000)
                moved[going] = True
                rest = rest[~goes]
        if not bool(moved.any()):
            break
        levels.append((next_codes, next_times))
        codes, times, active = next_codes, next_times, moved
    return levels
