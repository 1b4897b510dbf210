"""The default model: a robust baseline of level, trend, season, special days and level shifts.

    values ─► a scale on which changes are alike ─► minus season ─► level, followed in time ─► band

All series of a table are judged at once, as arrays of periods x series. A band is drawn from what
came before its period only. Medians and clipped residuals keep earlier faults out of it:
Rousseeuw and Croux, "Alternatives to the median absolute deviation", JASA 88 (1993); Gelper, Fried
and Croux, "Robust forecasting with exponential and Holt-Winters smoothing", J. Forecasting 29
(2010).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from headrace.quality.monitors.model import (
    MIN_HISTORY,
    Bands,
    Floats,
    Grain,
    MonitorOptions,
    Times,
)
from headrace.quality.monitors.scales import Scale, median
from headrace.quality.monitors.seasons import Classes, PeriodCalendar

_MAD = 1.4826  # of a normal distribution: deviation = 1.4826 x median of absolute residuals
_ALPHAS = (0.02, 0.1, 0.25, 0.5, 0.9)  # of how fast the level follows; each series has its own
_CLIP = 2.5  # deviations: what is farther moves the level no more than this
_PATIENCE: dict[Grain, int] = {"hour": 36, "day": 7, "week": 4, "month": 3, "run": 5}
"""Periods outside, on one side, after which that is the level."""
_REFIT: dict[Grain, int] = {"hour": 168, "day": 14, "week": 8, "month": 6, "run": 10}
_REMEMBER = 90  # periods in which a former level may come back without an alarm
_REMEMBER_WITHIN = 4  # usual deviations from that level
_MANY = 100  # values that tell of the farthest fiftieth
_CLASSES = 168  # of the largest season: hours of a week

Mask = NDArray[np.bool_]


@dataclass
class _Level:
    """Where each series is, on its scale and without its season.

    Attributes:
        level: now.
        former: a level that it had before, or that a person expected; NaN without one.
        former_age: periods since then.
        away: periods outside of the band, one after the other.
        side: on which side, -1 or 1.
        missed: periods without a value, one after the other.
        recent: the newest values, the oldest first: patience x series.
    """

    level: Floats
    former: Floats
    former_age: Floats
    away: Floats
    side: Floats
    missed: Floats
    recent: Floats

    @classmethod
    def at(cls, level: Floats, patience: int) -> "_Level":
        """A beginning."""
        zero = np.zeros_like(level)
        recent = np.full((patience, len(level)), np.nan)
        return cls(level, np.full_like(level, np.nan), zero, zero, zero, zero, recent)

    def predict(self, slope: Floats, alpha: Floats, scale: Floats, least: Floats) -> "_Guess":
        """What the next period is expected to be; less certain after a gap."""
        usual = np.maximum(scale * np.sqrt(1 + alpha**2 * self.missed), least)
        return _Guess(self.level + slope, usual)

    def step(
        self,
        value: Floats,
        guess: "_Guess",
        alpha: Floats,
        slope: Floats,
        is_out: Mask,
        expected: Mask,
    ) -> Mask:
        """Go on by a period.

        Args:
            value: that came, without season.
            guess: for it.
            alpha: how fast the level follows.
            slope: of the trend, by period.
            is_out: whether the value is outside of the band.
            expected: whether a person expected it.

        Returns:
            Which series are outside, and not back at a level that they had before.
        """
        there = np.isfinite(value)
        away = value - guess.middle
        near = abs(value - self.former) <= _REMEMBER_WITHIN * guess.usual
        returned = is_out & near & (self.former_age < _REMEMBER)
        out = is_out & ~returned & ~expected
        side = np.sign(away)
        same = out & (side == self.side)
        self.away = np.where(out, np.where(same, self.away + 1, 1), np.where(there, 0, self.away))
        self.side = np.where(out, side, self.side)
        self.recent[:-1] = self.recent[1:]
        self.recent[-1] = np.where(there, value, np.nan)
        moved = self.away >= len(self.recent)
        limit = _CLIP * guess.usual
        followed = guess.middle + alpha * _clipped(away, limit)
        level = np.where(there & ~out, followed, guess.middle)
        level = np.where(returned, value, level)
        if moved.any():
            ahead = np.arange(len(self.recent))[::-1, None] * slope
            level = np.where(moved, np.median(self.recent + ahead, axis=0), level)
        left = moved | returned
        former = np.where(left, guess.middle, np.where(expected & is_out, value, self.former))
        self.former_age = np.where(left | (expected & is_out), 0, self.former_age + 1)
        self.former, self.level = former, level
        self.away = np.where(moved, 0, self.away)
        self.missed = np.where(there, 0, self.missed + 1)
        return out


def _clipped(values: Floats, limit: Floats) -> Floats:
    """As `np.clip`, which takes much longer for the few series of a period."""
    return np.minimum(np.maximum(values, -limit), limit)


@dataclass(frozen=True)
class _Guess:
    """What is expected of each series, and its usual deviation, on the scale, without season."""

    middle: Floats
    usual: Floats


@dataclass(frozen=True)
class _Fit:
    """What was learned from the periods before one.

    Attributes:
        season: to be added, of each period of the history and those that are predicted.
        widen_low: what is also expected below: days of which too little is known; 0 or less.
        widen_high: likewise above.
        alpha: how fast each level follows.
        slope: of the trend, by period.
        scale: the usual deviation.
        factor: by how much the band is wider, as few values are known.
        known: how many values of each series are known.
        level: at the end of the history.
    """

    season: Floats
    widen_low: Floats
    widen_high: Floats
    alpha: Floats
    slope: Floats
    scale: Floats
    factor: Floats
    known: NDArray[np.int64]
    level: _Level


def bands(
    times: Times,
    values: Floats,
    errors: Floats,
    options: Sequence[MonitorOptions],
    *,
    start: int,
) -> Bands:
    """The bands of series of the same periods, each drawn from the periods before.

    Args:
        times: starts of the periods, ascending, UTC.
        values: periods x series; NaN where there is none.
        errors: see `Scale.errors`.
        options: of each series; grain, country and training window are those of the first.
        start: the index of the first period that is judged.

    Returns:
        The bands; NaN before ``start``, and where too little is known.
    """
    grain, window = options[0].grain, options[0].window
    scale = Scale.of(values, options)
    y = scale.to(values)
    usual_least = scale.errors(values, errors)
    least = usual_least.copy()
    width = np.array([one.sensitivity for one in options])
    expected = _expected(times, options)
    calendar = PeriodCalendar.of(times, grain, options[0].country)
    centre, half, below, above = (np.full(y.shape, np.nan) for _ in range(4))
    for begin in range(max(start, MIN_HISTORY[grain]), len(times), _REFIT[grain]):
        end = min(begin + _REFIT[grain], len(times))
        first = max(0, begin - window)
        rows = slice(first, end)
        is_rare, reach_of_rare = scale.rare(
            values[rows], errors[rows], width, history=begin - first
        )
        least[rows] = np.where(is_rare, reach_of_rare / width, usual_least[rows])
        fit = _fit(
            y[rows], least[rows], calendar.part(rows), grain,
            history=begin - first, expected=expected[rows], width=width, is_rare=is_rare,
        )  # fmt: skip
        is_known = fit.known >= MIN_HISTORY[grain]
        for index in range(begin, end):
            season = fit.season[index - first]
            guess = fit.level.predict(fit.slope, fit.alpha, fit.scale, least[index])
            reach = guess.usual * width * fit.factor
            low, high = fit.widen_low[index - first], fit.widen_high[index - first]
            away = y[index] - season - guess.middle
            former = fit.level.former - guess.middle
            is_out = (away < low - reach) | (away > high + reach)
            out = fit.level.step(
                y[index] - season, guess, fit.alpha, fit.slope, is_out, expected[index]
            )
            back = np.where(is_out & ~out & ~expected[index], former, 0.0)
            centre[index] = np.where(is_known, guess.middle + season, np.nan)
            half[index] = reach
            below[index], above[index] = np.minimum(low, back), np.maximum(high, back)
    low, high = centre + below - half, centre + above + half
    usual = half / width
    beyond = np.maximum(y - centre - above, 0) + np.minimum(y - centre - below, 0)
    score = np.where(np.isfinite(beyond), beyond / usual, 0.0)
    return Bands(scale.back(centre), scale.back(low), scale.back(high), score)


def _expected(times: Times, options: Sequence[MonitorOptions]) -> Mask:
    """Which periods of which series a person expected."""
    found = np.zeros((len(times), len(options)), dtype=bool)
    for column, one in enumerate(options):
        if one.expected:
            at = [np.datetime64(when.replace(tzinfo=None), "s") for when in one.expected]
            found[:, column] = np.isin(times, np.array(at, dtype=times.dtype))
    return found


def _fit(
    y: Floats,
    least: Floats,
    calendar: PeriodCalendar,
    grain: Grain,
    *,
    history: int,
    expected: Mask,
    width: Floats,
    is_rare: Mask,
) -> _Fit:
    """Learn from the first ``history`` periods, for those that follow."""
    past = y[:history]
    is_there = np.isfinite(past)
    known = is_there.sum(axis=0)
    ordinary = np.where(expected[:history] | calendar.is_holiday[:history, None], np.nan, past)
    smooth = _smoothed(ordinary, grain)
    season = np.zeros_like(y)
    classes = calendar.seasons(grain, history)
    for _ in range(2 if classes else 0):
        for groups in classes:
            rest = ordinary - smooth - season[:history]
            season += _effects(rest, groups[:history], is_strong=False)[groups]
        smooth = _smoothed(ordinary - season[:history], grain)
    special = calendar.special_days(grain, history)
    if special is not None:
        rest = ordinary - smooth - season[:history]
        season += _effects(rest, special[:history], is_strong=True)[special]
    flat = past - season[:history]
    slope = _slope(flat, grain)
    alpha, scale = _speed(flat, slope, least[:history], grain)
    scale = np.where(is_rare, 0.0, scale)  # what is known of them is in ``least``
    level = _Level.at(_beginning(flat, slope), _PATIENCE[grain])
    residuals = _follow(
        level, flat, slope, alpha, scale, least[:history], width, expected[:history]
    )
    widen_low, widen_high = _widened(season, residuals, calendar, grain, expected, history)
    parameters = sum(int(groups.max()) for groups in classes) + 2
    factor = _of_few(width, np.maximum(known - parameters, 3))
    factor = factor * np.sqrt(1 + 1.57 * parameters / np.maximum(known, 1))
    factor = np.where(is_rare, 1.0, factor)
    return _Fit(season, widen_low, widen_high, alpha, slope, scale, factor, known, level)


def _smoothed(y: Floats, grain: Grain) -> Floats:
    """Running medians over a season; NaN nowhere but where a series has no value at all."""
    span = min({"hour": 169, "day": 15, "week": 9, "month": 13, "run": 9}[grain], len(y))
    filled = _filled(y)
    edge = span // 2
    padded = np.vstack([filled[:edge][::-1], filled, filled[len(filled) - edge :][::-1]])
    medians = np.median(sliding_window_view(padded, 2 * edge + 1, axis=0), axis=-1)
    return np.asarray(medians, dtype=np.float64)


def _filled(y: Floats) -> Floats:
    """Gaps filled by the value before, those at the beginning by the first."""
    index = np.where(np.isfinite(y), np.arange(len(y))[:, None], -1)
    index = np.maximum.accumulate(index, axis=0)
    first = np.argmax(np.isfinite(y), axis=0)
    return np.take_along_axis(y, np.where(index < 0, first, index), axis=0)


def _effects(rest: Floats, groups: Classes, *, is_strong: bool) -> Floats:
    """The median of each class: classes x series; 0 where it may as well be chance.

    Shrunk as James and Stein do, by the noise of the medians against the spread of the effects; or
    only those taken that are beyond three times their noise.
    """
    size = _CLASSES
    noise = _deviation(rest)
    found = np.zeros((size, rest.shape[1]))
    counts = np.zeros((size, rest.shape[1]))
    for one in np.unique(groups):
        part = rest[groups == one]
        counts[one] = np.isfinite(part).sum(axis=0)
        found[one] = np.nan_to_num(median(part))
    error = 1.2533 * noise / np.sqrt(np.maximum(counts, 1))  # of a median: sqrt(pi/2) of a mean's
    if is_strong:
        return np.where((abs(found) > 3 * error) & (counts >= 3), found, 0.0)
    used = counts > 0
    seen = np.maximum(used.sum(axis=0), 1)
    spread = (found**2).sum(axis=0) / seen
    chance = (np.where(used, error, 0) ** 2).sum(axis=0) / seen
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(spread > 0, np.maximum(0, 1 - chance / spread), 0.0)
    return found * kept


def _slope(flat: Floats, grain: Grain) -> Floats:
    """The trend by period: the median of differences; 0 where it may as well be chance."""
    lag = min(len(flat) // 4, 8 * _PATIENCE[grain])
    if lag < 4:
        return np.zeros(flat.shape[1])
    steps = flat[lag:] - flat[:-lag]
    middle = np.nan_to_num(median(steps))
    error = 1.2533 * _deviation(steps) / np.sqrt(max(1, len(steps) / lag))
    return np.where(abs(middle) > 2.5 * error, middle / lag, 0.0)


def _beginning(flat: Floats, slope: Floats) -> Floats:
    """A first level: the median of the first values, without their trend."""
    first = _filled(flat)[: max(5, min(15, len(flat) // 3))]
    return np.nan_to_num(median(first - np.arange(1, len(first) + 1)[:, None] * slope))


def _speed(flat: Floats, slope: Floats, least: Floats, grain: Grain) -> tuple[Floats, Floats]:
    """How fast the level of each series follows, by what predicts it best; its usual deviation."""
    # of what was still for long, and moves since, most differences are 0
    rough = np.maximum(_deviation(np.diff(flat, axis=0)) / np.sqrt(2), median(least))
    series = flat.shape[1]
    alphas = np.repeat(np.array(_ALPHAS), series)
    many = np.tile(flat, (1, len(_ALPHAS)))
    slopes, limits = np.tile(slope, len(_ALPHAS)), _CLIP * np.tile(rough, len(_ALPHAS))
    level = np.tile(_beginning(flat, slope), len(_ALPHAS))
    residuals = np.empty_like(many)
    away, patience = np.zeros_like(level), _PATIENCE[grain]
    for index, value in enumerate(many):
        middle = level + slopes
        found = value - middle
        residuals[index] = found
        there = np.isfinite(found)
        away = np.where(abs(found) > 2 * limits, away + 1, np.where(there, 0, away))
        level = np.where(there, middle + alphas * _clipped(found, limits), middle)
        moved = away >= patience
        if moved.any():  # what it took to see that the level is another tells nothing of the noise
            level = np.where(moved, value, level)
            residuals[max(0, index + 1 - patience) : index + 1, moved] = np.nan
    counted = residuals[min(len(flat) // 4, 30) :]
    clipped = np.minimum(abs(counted), 2 * limits)
    with np.errstate(invalid="ignore"):
        sums, seen = np.nansum(clipped**2, axis=0), np.isfinite(clipped).sum(axis=0)
    loss = (sums / np.maximum(seen, 1)).reshape(len(_ALPHAS), series)
    best = np.argmin(loss * (1 + 0.01 * np.arange(len(_ALPHAS)))[:, None], axis=0)
    chosen = counted.reshape(len(counted), len(_ALPHAS), series)[:, best, np.arange(series)]
    return np.array(_ALPHAS)[best], _spread(chosen)


def _spread(residuals: Floats) -> Floats:
    """The usual deviation: of the middle half, or by the tails without the farthest, if larger."""
    sizes = abs(residuals)
    order = np.sort(np.where(np.isfinite(sizes), sizes, np.inf), axis=0)
    count = np.isfinite(sizes).sum(axis=0)
    columns = np.arange(sizes.shape[1])

    def at(share: float) -> Floats:
        place = np.clip(np.ceil(share * count).astype(np.int64) - 1, 0, len(order) - 1)
        found = order[place, columns]
        return np.where(np.isfinite(found), found, 0.0)

    tails = np.maximum(at(0.95) / 1.96, np.where(count >= _MANY, at(0.98) / 2.326, 0))
    return np.maximum(_MAD * at(0.5), tails)


def _follow(
    level: _Level,
    flat: Floats,
    slope: Floats,
    alpha: Floats,
    scale: Floats,
    least: Floats,
    width: Floats,
    expected: Mask,
) -> Floats:
    """Follow the levels through the history; gives the residuals."""
    residuals = np.empty_like(flat)
    for index, value in enumerate(flat):
        guess = level.predict(slope, alpha, scale, least[index])
        residuals[index] = value - guess.middle
        is_out = abs(residuals[index]) > width * guess.usual
        level.step(value, guess, alpha, slope, is_out, expected[index])
    return residuals


def _widened(
    season: Floats,
    residuals: Floats,
    calendar: PeriodCalendar,
    grain: Grain,
    expected: Mask,
    history: int,
) -> tuple[Floats, Floats]:
    """What else may come on holidays, and where a person expected an alarm before."""
    low, high = np.zeros_like(season), np.zeros_like(season)
    off = calendar.is_holiday
    if off.any():
        before = residuals[off[:history]]
        if len(before) and np.isfinite(before).any():
            filled = np.nan_to_num(before)
            low[off] = np.minimum(filled.min(axis=0), 0)
            high[off] = np.maximum(filled.max(axis=0), 0)
        week = season[max(0, history - 7 * (24 if grain == "hour" else 1)) : history]
        low[off] = np.minimum(low[off], week.min(axis=0) - season[off])
        high[off] = np.maximum(high[off], week.max(axis=0) - season[off])
    for index, column in np.argwhere(expected[:history]):
        if np.isfinite(residuals[index, column]):
            again = calendar.like(int(index), grain)
            size = residuals[index, column]
            low[again, column] = np.minimum(low[again, column], size)
            high[again, column] = np.maximum(high[again, column], size)
    return low, high


def _of_few(width: Floats, freedom: NDArray[np.int64]) -> Floats:
    """How much farther a quantile of Student's t is than the normal one, by its expansion.

    Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.5.
    """
    square = width**2
    return 1 + (square + 1) / (4 * freedom) + (5 * square**2 + 16 * square + 3) / (96 * freedom**2)


def _deviation(values: Floats) -> Floats:
    """The robust standard deviation of each column, around its median."""
    return _MAD * np.nan_to_num(median(abs(values - median(values))))
