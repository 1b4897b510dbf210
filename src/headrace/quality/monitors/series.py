"""The series of a table: what its stored periods say of each metric, and how that is judged.

periods of a table ─► rows, nulls, distinct, mean, quantiles, shares, drift ─► judge_many
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from headrace.quality.monitors.drift import drift_by_period
from headrace.quality.monitors.judge import as_times
from headrace.quality.monitors.measure import ColumnValues, PeriodMetrics
from headrace.quality.monitors.model import Direction, Floats, Grain, Judgement, Kind, Times
from headrace.quality.monitors.plan import ColumnPlan, Plan

Unit = Literal["rows", "share", "number", "seconds", "distance", "values"]

_REFERENCE: dict[Grain, int] = {"hour": 336, "day": 56, "week": 26, "month": 12, "run": 20}
"""Periods that a distribution is compared with."""
_HLL = 0.02  # the error of an approximate count of values; Heule et al., EDBT 2013
_ONE_VALUE = 0.19  # five times that is less than one
_FEW_VALUES = 50  # up to which the number of values is a metric, beyond it their share of the rows
_SMALL_DRIFT = 0.02  # of the Jensen-Shannon distance: what is below four times this is no alarm
_LEAST_ROWS = 20  # of which a share says something
_QUANTILES = (25, 50, 75)
_MINOR = frozenset({"share", "drift", "distinct", "unique", "p25", "p50", "p75"})
_SPREAD = 3  # times the usual deviation: with more, a period's own says nothing of its mean
_SPREAD_PERIODS = 28
_GAP = 20  # typical distances between events, after which a period counts as ended
_RUNS = 5  # after which it is known how late a table usually is
_FACTOR = 0.25  # of durations and ages: below 2.7 times as long nothing is an alarm


@dataclass(frozen=True)
class Series:
    """The values of one metric of a table, by period.

    Attributes:
        column: the column; None of the table.
        metric: ``rows``, ``nulls``, ``distinct``, ``unique``, ``mean``, ``p25``, ``p50``,
            ``p75``, ``share``,
            ``drift``, ``repeated``, ``total``, ``growth``, ``freshness``, ``lateness``,
            ``duration``.
        value: the category of a ``share``.
        kind: how changes are compared.
        unit: what it counts.
        direction: which side is an alarm, unless the settings say.
        values: one for each period; NaN where there is none.
        errors: as `judge` takes them.
    """

    column: str | None
    metric: str
    value: str | None
    kind: Kind
    unit: Unit
    direction: Direction
    values: Floats
    errors: Floats

    @property
    def is_minor(self) -> bool:
        """Whether it is one of very many, whose bands are wider for that."""
        return self.metric in _MINOR

    @property
    def name(self) -> str:
        """``rows``, ``amount.mean``, ``status.share(paid)``."""
        of = f"({self.value})" if self.value is not None else ""
        return f"{self.column}.{self.metric}{of}" if self.column else f"{self.metric}{of}"


@dataclass(frozen=True)
class RunValues:
    """What a run knew of a table as a whole.

    Attributes:
        at: when the run began, UTC.
        rows: of the table; None where it was not counted.
        newest: the newest event, UTC.
        late: seconds, see `Whole`.
        seconds: how long its load or build took; None where it was neither.
        changed: whether it was loaded or built with another content.
    """

    at: datetime
    rows: int | None = None
    newest: datetime | None = None
    late: float | None = None
    seconds: float | None = None
    changed: bool = True


@dataclass(frozen=True)
class Judged:
    """The metrics of a table, judged.

    Attributes:
        plan: how it is measured.
        grain: of these series: that of its periods, or ``run``.
        times: starts of the periods.
        periods: what was measured in each; None where there is no row. Empty of runs.
        series: by period.
        judgements: of each series.
    """

    plan: Plan
    grain: Grain
    times: Times
    periods: tuple[PeriodMetrics | None, ...]
    series: tuple[Series, ...]
    judgements: tuple[Judgement, ...]


_DAY = timedelta(days=1)
_LENGTHS = {"hour": timedelta(hours=1), "week": timedelta(days=7)}


def length_of(grain: Grain, at: datetime) -> timedelta:
    """How long the period is that begins at a time."""
    if grain == "month":
        return (at.replace(day=1) + timedelta(days=32)).replace(day=1) - at
    return _LENGTHS.get(grain, _DAY)


def complete_until(
    plan: Plan, periods: Sequence[PeriodMetrics], runs: Sequence[RunValues], now: datetime
) -> datetime:
    """The time up to which all events have come; a period that ends later is not judged.

    Everything before the period of the newest event has come, and that period too, if it ended and
    the newest event is near its end. Once it is known how late the newest event usually is, what is
    older than that has come as well, or should have.

    Args:
        plan: of the table.
        periods: ascending.
        runs: of the table, ascending; the newest is this one.
        now: UTC.
    """
    if plan.event_time is None or not periods:
        return now
    newest = max((one.newest for one in runs if one.newest is not None), default=periods[-1].at)
    begin = next((one.at for one in reversed(periods) if one.at <= newest), periods[-1].at)
    end = begin + length_of(plan.grain, begin)
    until = begin
    if end <= now:
        typical = float(np.median([one.rows for one in periods])) or 1.0
        gap = (end - begin) / typical * _GAP
        is_near = plan.is_date and plan.grain == "day"
        if is_near or end - newest <= min(gap, (end - begin) / 8):
            until = end
    ages = [one.at - one.newest for one in runs[:-1] if one.newest is not None and one.changed]
    if len(ages) >= _RUNS:
        usual = sorted(ages)[-max(1, len(ages) // 10)]
        until = max(until, now - usual - length_of(plan.grain, begin) / 24)
    return until


def periods_between(
    plan: Plan, periods: Sequence[PeriodMetrics], until: datetime
) -> tuple[list[datetime], list[PeriodMetrics | None]]:
    """The starts of all periods that are complete, and what is known of each; None: no row."""
    if plan.event_time is None:
        return [one.at for one in periods], list(periods)
    known = {one.at: one for one in periods}
    times: list[datetime] = []
    at = periods[0].at if periods else until
    while at + length_of(plan.grain, at) <= until:
        times.append(at)
        at += length_of(plan.grain, at)
    return times, [known.get(one) for one in times]


def series_of(plan: Plan, periods: Sequence[PeriodMetrics | None]) -> list[Series]:
    """The series of a table's periods, without what is known by run.

    Args:
        plan: of the table.
        periods: ascending, complete; None where there is no row.
    """
    rows = _array(None if one is None else one.rows for one in periods)
    seen = _array(None if one is None else one.seen for one in periods)
    nothing = np.full(len(periods), np.nan)
    found: list[Series] = []
    if plan.event_time is not None:
        all_rows = np.nan_to_num(rows)
        found.append(Series(None, "rows", None, "count", "rows", "both", all_rows, nothing))
    if plan.key:
        repeated = _array(None if one is None else one.repeated for one in periods)
        share = _divided(repeated, seen)
        found.append(Series(None, "repeated", None, "share", "share", "up", share, seen))
    for column in plan.columns:
        if column.name == plan.event_time:
            continue
        of_it = [None if one is None else one.columns.get(column.name) for one in periods]
        if any(one is not None for one in of_it):
            found += _of_column(plan, column, of_it, seen)
    return found


def _of_column(
    plan: Plan, column: ColumnPlan, values: Sequence[ColumnValues | None], seen: Floats
) -> list[Series]:
    filled = _array(None if one is None else one.filled for one in values)
    nulls = 1 - _divided(filled, np.where(np.isfinite(filled), seen, np.nan))
    found = [Series(column.name, "nulls", None, "share", "share", "up", nulls, seen)]
    if column.role in {"value", "category"}:
        distinct = _array(None if one is None else one.distinct for one in values)
        few = np.nanmedian(np.append(distinct, 0)) <= _FEW_VALUES
        alike = np.nanmedian(np.append(_divided(distinct, filled), 0)) < 0.5
        if column.role == "category" or (few and alike):
            # one value more or less is an alarm, unless their number has changed before
            error = error_of_few(distinct) if plan.is_exact else _HLL * distinct
            found.append(
                Series(
                    column.name, "distinct", None, "number", "values", "both", distinct,
                    np.maximum(_ONE_VALUE, error),
                )
            )  # fmt: skip
        else:
            unique = np.minimum(_divided(distinct, filled), 1)
            kind: Kind = "share" if plan.is_exact else "number"
            error = filled if plan.is_exact else 2 * _HLL * unique
            found.append(Series(column.name, "unique", None, kind, "share", "both", unique, error))
    if column.role == "number":
        mean = _array(None if one is None else one.mean for one in values)
        deviation = _array(None if one is None else one.deviation for one in values)
        error = usual_deviation(deviation) / np.sqrt(np.maximum(filled, 1))
        found.append(Series(column.name, "mean", None, "number", "number", "both", mean, error))
        found += _quantiles(column, values, filled)
    counts = np.array(
        [one.counts if one is not None and one.counts else [0] * column.bins for one in values],
        dtype=np.float64,
    ).reshape(len(values), -1)
    if column.role == "category":
        for index, value in enumerate(column.values):
            share = _divided(counts[:, index], np.where(filled >= _LEAST_ROWS, filled, np.nan))
            found.append(
                Series(column.name, "share", value, "share", "share", "both", share, filled)
            )
        counts = np.column_stack([counts, np.maximum(np.nan_to_num(filled) - counts.sum(1), 0)])
    if column.role in {"number", "category"}:
        distance = _drift(counts, plan.grain, is_ordered=column.role == "number")
        least = np.maximum(_SMALL_DRIFT, 0.5 / np.sqrt(np.maximum(np.nan_to_num(filled), 1)))
        found.append(
            Series(column.name, "drift", None, "number", "distance", "up", distance, least)
        )
    return found


def usual_deviation(deviation: Floats) -> Floats:
    """The deviations of periods, none above a few times what the periods before had.

    A day in another unit has a deviation that hides it. Where numbers differed from nothing before,
    or little is known, a period's own stands.
    """
    padded = np.concatenate([np.full(_SPREAD_PERIODS, np.nan), deviation])
    before = sliding_window_view(padded, _SPREAD_PERIODS)[: len(deviation)]
    known = np.isfinite(before).sum(axis=1) >= _SPREAD_PERIODS // 4
    usual = np.full(len(deviation), np.nan)
    usual[known] = np.nanmedian(before[known], axis=1)
    return np.where(usual > 0, np.minimum(deviation, _SPREAD * usual), deviation)


def error_of_few(distinct: Floats) -> Floats:
    """Of a number of values: one more or less is usual once a period before had another number."""
    there = np.flatnonzero(np.isfinite(distinct))
    changes = there[1:][np.diff(distinct[there]) != 0]
    before = np.arange(len(distinct)) > (changes[0] if len(changes) else len(distinct))
    return np.where(before, 2 * _ONE_VALUE, _ONE_VALUE)


def _quantiles(
    column: ColumnPlan, values: Sequence[ColumnValues | None], filled: Floats
) -> Iterable[Series]:
    """Quantiles by linear interpolation within bins; none of numbers that have few values."""
    if len(column.edges) < 10:
        return
    edges = np.array(column.edges)
    ends = np.concatenate([[0.0], edges, [0.0]])
    shares = [percent / 100 for percent in _QUANTILES]
    found = np.full((len(shares), len(values)), np.nan)
    for index, one in enumerate(values):
        if one is None or one.low is None or one.high is None or sum(one.counts) == 0:
            continue
        ends[0], ends[-1] = min(one.low, edges[0]), max(one.high, edges[-1])
        sums = np.concatenate([[0], np.cumsum(one.counts)]) / sum(one.counts)
        found[:, index] = np.interp(shares, sums, ends)
    width = (edges[-1] - edges[0]) / 0.9
    for share, percent, of_it in zip(shares, _QUANTILES, found, strict=True):
        error = np.sqrt(share * (1 - share) / np.maximum(filled, 1)) * width
        yield Series(column.name, f"p{percent}", None, "number", "number", "both", of_it, error)


def _drift(counts: Floats, grain: Grain, *, is_ordered: bool) -> Floats:
    """The Jensen-Shannon distance of each period to the periods before it."""
    if not len(counts):
        return np.zeros(0)
    sums = np.vstack([np.zeros(counts.shape[1]), np.cumsum(counts, axis=0)])
    here = np.arange(len(counts))
    reference = sums[here] - sums[np.maximum(here - _REFERENCE[grain], 0)]
    _, _, distance = drift_by_period(reference, counts, is_ordered)
    return np.where(here >= 5, distance, np.nan)


def reference_counts(
    values: Sequence[ColumnValues | None], index: int, grain: Grain
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Rows of each bin in the periods before one, and in that one."""
    before = [one for one in values[max(0, index - _REFERENCE[grain]) : index] if one is not None]
    now = values[index]
    sums = tuple(sum(column) for column in zip(*(one.counts for one in before), strict=False))
    return sums, now.counts if now is not None else ()


def series_of_runs(plan: Plan | None, runs: Sequence[RunValues]) -> tuple[Times, list[Series]]:
    """The series that have one value for each run: their times, and the series.

    Args:
        plan: of the table; None where it was never measured.
        runs: ascending.
    """
    times = as_times([one.at for one in runs])
    nothing = np.full(len(runs), np.nan)
    factor = np.full(len(runs), np.nan)
    found: list[Series] = []
    rows = _array(one.rows for one in runs)
    age = _array(
        None if one.newest is None else (one.at - one.newest).total_seconds() for one in runs
    )
    late = _array(one.late if one.changed else None for one in runs)
    seconds = _array(one.seconds for one in runs)
    if plan is None or plan.event_time is None:
        found.append(Series(None, "total", None, "count", "rows", "both", rows, nothing))
        found.append(
            Series(None, "growth", None, "number", "rows", "both", _growth(runs), np.sqrt(rows))
        )
    for metric, values in (("freshness", age), ("lateness", late), ("duration", seconds)):
        least = _FACTOR * (1 + np.maximum(np.nan_to_num(values), 60))
        factor = np.where(np.isfinite(values), least, np.nan)
        found.append(
            Series(
                None, metric, None, "count", "seconds", "up", np.maximum(values, 0),
                np.full(len(runs), np.nanmedian(np.append(factor, 15.0))),
            )
        )  # fmt: skip
    return times, found


def _growth(runs: Sequence[RunValues]) -> Floats:
    """Rows that were added since the run before, by day."""
    found = np.full(len(runs), np.nan)
    for index in range(1, len(runs)):
        one, before = runs[index], runs[index - 1]
        days = (one.at - before.at).total_seconds() / 86_400
        if one.rows is not None and before.rows is not None and days > 0:
            found[index] = (one.rows - before.rows) / max(days, 1 / 24)
    return found


def _array(values: Iterable[float | None]) -> Floats:
    return np.array([np.nan if one is None else one for one in values], dtype=np.float64)


def _divided(part: Floats, whole: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def at_utc(time: "np.datetime64") -> datetime:
    """A time of numpy, UTC."""
    found: datetime = time.astype("datetime64[s]").item()
    return found.replace(tzinfo=UTC)
