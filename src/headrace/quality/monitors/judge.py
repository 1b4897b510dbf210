"""Series in, bands and alarms out, by whichever model the options name."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike

from headrace.errors import MonitorError
from headrace.quality.monitors import baseline, other_models
from headrace.quality.monitors.model import (
    Alarm,
    Band,
    Bands,
    Floats,
    Judgement,
    MonitorOptions,
    Times,
)

_LARGEST = 1e150  # the square of a larger value is no number any more
_MODELS: dict[str, Callable[..., Bands]] = {
    "baseline": baseline.bands,
    "prophet": other_models.prophet,
    "isolation_forest": other_models.isolation_forest,
}


def judge(
    times: Sequence[datetime] | Times,
    values: ArrayLike,
    options: MonitorOptions | None = None,
    *,
    errors: ArrayLike | None = None,
    since: datetime | None = None,
) -> Judgement:
    """Judge one series: a band for each period, drawn from what came before it, and the alarms.

    Args:
        times: starts of its periods, ascending, UTC. A period that is missing is a gap.
        values: one for each; NaN, None or an infinity where there is none.
        options: how; by default two-sided, of days, of any number.
        errors: of each value the standard error, where it is known; of shares the number of rows
            that they are shares of.
        since: the first period that is judged; by default as soon as there is enough history.

    Raises:
        MonitorError: the options cannot be followed: an unknown country, a model that is not
            installed; or the times are not ascending.
    """
    one = np.asarray(values, dtype=np.float64).reshape(-1, 1)
    known = None if errors is None else np.asarray(errors, dtype=np.float64).reshape(-1, 1)
    return judge_many(times, one, [options or MonitorOptions()], errors=known, since=since)[0]


def judge_many(
    times: Sequence[datetime] | Times,
    values: Floats,
    options: Sequence[MonitorOptions],
    *,
    errors: Floats | None = None,
    since: datetime | None = None,
) -> list[Judgement]:
    """Judge series of the same periods at once, which is far faster than one by one.

    Args:
        times: starts of the periods, ascending, UTC.
        values: periods x series.
        options: of each series; all of one grain, country, training window and model.
        errors: periods x series, as for `judge`.
        since: likewise.

    Returns:
        A judgement of each series.

    Raises:
        MonitorError: see `judge`.
    """
    if not options:
        return []
    if len({(one.grain, one.country, one.window, one.model) for one in options}) > 1:
        raise MonitorError("series are judged at once if grain, country, window and model are one")
    at = as_times(times)
    if len(at) != len(values) or values.shape[1:] != (len(options),):
        raise MonitorError(
            f"{len(at)} periods and {len(options)} series do not fit values of {values.shape}"
        )
    # times are in seconds, and two runs may begin in one
    if not (at[1:] >= at[:-1] if options[0].grain == "run" else at[1:] > at[:-1]).all():
        raise MonitorError("the periods of a series must be ascending, each of them once")
    given = np.where(abs(values) < _LARGEST, values, np.nan)  # no infinities, either
    known = np.full(given.shape, np.nan) if errors is None else errors
    start = 0 if since is None else int(np.searchsorted(at, as_times([since])[0]))
    grain = options[0].grain
    full, places = _without_gaps(at, grain)
    if len(full) != len(at):
        whole, of = (np.full((len(full), given.shape[1]), np.nan) for _ in range(2))
        whole[places], of[places] = given, known
        first = int(places[start]) if start < len(places) else len(full)
        found = _MODELS[options[0].model](full, whole, of, options, start=first)
        found = Bands(
            found.expected[places], found.low[places], found.high[places], found.score[places]
        )
    else:
        found = _MODELS[options[0].model](at, given, known, options, start=start)
    return [
        _judgement(at[start:], given[start:, column], found, column, start, one)
        for column, one in enumerate(options)
    ]


def as_times(times: Iterable[datetime] | Times) -> Times:
    """Times as numpy has them, UTC, in seconds; those without a zone are taken for UTC."""
    if isinstance(times, np.ndarray):
        return times.astype("datetime64[s]")
    plain = [
        one.astimezone(UTC).replace(tzinfo=None) if one.tzinfo is not None else one for one in times
    ]
    return np.array(plain, dtype="datetime64[s]")


def _without_gaps(
    times: Times, grain: str
) -> tuple[Times, "np.ndarray[tuple[int], np.dtype[np.int64]]"]:
    """All periods from the first to the last, and the places of the given ones among them."""
    units = {"hour": "h", "day": "D", "week": "W", "month": "M"}
    if grain == "run" or len(times) < 2:
        return times, np.arange(len(times))
    if grain == "week":  # numpy's begin on a Thursday
        days = times.astype("datetime64[D]").astype(np.int64)
        numbers = (days - days[0]) // 7
        full = times[0] + np.arange(numbers[-1] + 1) * np.timedelta64(7 * 86400, "s")
    else:
        numbers = times.astype(f"datetime64[{units[grain]}]").astype(np.int64)
        numbers = numbers - numbers[0]
        steps = np.arange(numbers[-1] + 1).astype(f"timedelta64[{units[grain]}]")
        whole = times[0].astype(f"datetime64[{units[grain]}]") + steps
        full = whole.astype("datetime64[s]")
    return (full, numbers) if len(full) > len(times) else (times, np.arange(len(times)))


def _judgement(
    times: Times, values: Floats, bands: Bands, column: int, start: int, options: MonitorOptions
) -> Judgement:
    moments = [one.replace(tzinfo=UTC) for one in times.astype("datetime64[s]").tolist()]
    expected = {as_times([one])[0] for one in options.expected}
    rows = slice(start, start + len(moments))
    bounds = (bands.expected, bands.low, bands.high, bands.score)
    columns = (values, *(each[rows, column] for each in bounds))
    made = []
    for index, (at, value, middle, low, high, score) in enumerate(
        zip(moments, *(each.tolist() for each in columns), strict=True)
    ):
        is_low = options.direction != "up" and value < low
        is_high = options.direction != "down" and value > high
        is_alarm = abs(score) > 0 and (is_low or is_high) and times[index] not in expected
        band = Band(
            at=at,
            value=_or_none(value),
            expected=_or_none(middle),
            low=None if options.direction == "up" else _or_none(low),
            high=None if options.direction == "down" else _or_none(high),
            score=score if isfinite(value) else 0.0,
            is_alarm=is_alarm,
        )
        made.append(band)
    return Judgement(tuple(made), tuple(alarms_of(made)))


def _or_none(value: float) -> float | None:
    return value if isfinite(value) else None


def alarms_of(bands: Iterable[Band]) -> Iterable[Alarm]:
    """The alarms among bands in the order of time; a gap does not end one."""
    found: Alarm | None = None
    for band in bands:
        if band.is_alarm:
            side = "up" if band.score > 0 else "down"
            if found is not None and found.side != side:
                yield replace(found, is_over=True)
                found = None
            if found is None:
                found = Alarm(band.at, band.at, side, band, is_over=False)  # type: ignore[arg-type]
            else:
                worst = max(found.worst, band, key=lambda one: abs(one.score))
                found = replace(found, last=band.at, worst=worst)
        elif found is not None and band.value is not None:
            yield replace(found, is_over=True)
            found = None
    if found is not None:
        yield found
