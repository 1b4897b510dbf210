"""Models that the extra ``anomaly`` installs: Prophet, and an Isolation Forest.

Both are slower than the baseline, and see one series at a time: for a metric of which somebody
knows that they fit it better.
"""

import logging
from collections.abc import Sequence

import numpy as np

from headrace.errors import MonitorError
from headrace.extras import how_to_install
from headrace.quality.monitors.model import (
    MIN_HISTORY,
    Bands,
    Floats,
    Grain,
    MonitorOptions,
    Times,
)
from headrace.quality.monitors.scales import Scale
from headrace.quality.monitors.seasons import PeriodCalendar

_REFIT: dict[Grain, int] = {"hour": 168, "day": 28, "week": 8, "month": 6, "run": 10}
_TREES = 100


def prophet(
    times: Times,
    values: Floats,
    errors: Floats,
    options: Sequence[MonitorOptions],
    *,
    start: int,
) -> Bands:
    """Bands by Prophet (Taylor and Letham, The American Statistician 72, 2018).

    Its seasons, trend with changes, and holidays; the width is that of its residuals.

    Args:
        times: as for `baseline.bands`, as is all else.
        values: periods x series.
        errors: periods x series.
        options: of each series.
        start: the first period that is judged.

    Raises:
        MonitorError: it is not installed.
    """
    try:
        import pandas as pd
        from prophet import Prophet
    except ModuleNotFoundError as error:
        raise _missing("prophet", error) from error
    for name in ("prophet", "cmdstanpy"):
        logging.getLogger(name).setLevel(logging.ERROR)
    grain, window, country = options[0].grain, options[0].window, options[0].country
    PeriodCalendar.of(times[:1], grain, country)  # says in one line where a country is unknown
    scale = Scale.of(values, options)
    y, least = scale.to(values), scale.errors(values, errors)
    expected, usual = np.full(y.shape, np.nan), np.full(y.shape, np.nan)
    stamps = pd.Series(times.astype("datetime64[ns]"))
    for begin in range(max(start, MIN_HISTORY[grain]), len(times), _REFIT[grain]):
        rows = slice(max(0, begin - window), begin)
        coming = slice(begin, min(begin + _REFIT[grain], len(times)))
        for column in range(y.shape[1]):
            past = y[rows, column]
            if np.isfinite(past).sum() < MIN_HISTORY[grain]:
                continue
            model = Prophet(uncertainty_samples=0, daily_seasonality=grain == "hour")
            if country and grain in {"hour", "day"}:
                model.add_country_holidays(country_name=country.partition("-")[0])
            model.fit(pd.DataFrame({"ds": stamps[rows].to_numpy(), "y": past}))
            asked = pd.DataFrame({"ds": stamps[rows.start : coming.stop].to_numpy()})
            found = model.predict(asked)["yhat"].to_numpy(dtype=np.float64)
            here = begin - rows.start
            residuals = abs(past - found[:here])
            residuals = residuals[np.isfinite(residuals)]
            spread = max(
                1.4826 * float(np.median(residuals)), float(np.quantile(residuals, 0.95)) / 1.96
            )
            expected[coming, column] = found[here:]
            usual[coming, column] = np.maximum(spread, least[coming, column])
    half = usual * np.array([one.sensitivity for one in options])
    score = np.where(np.isfinite(y - expected), (y - expected) / usual, 0.0)
    low, high = scale.back(expected - half), scale.back(expected + half)
    return Bands(scale.back(expected), low, high, score)


def isolation_forest(
    times: Times,
    values: Floats,
    errors: Floats,
    options: Sequence[MonitorOptions],
    *,
    start: int,
) -> Bands:
    """Bands by an Isolation Forest (Liu, Ting and Zhou, ICDM 2008).

    It sees each value beside the one before, the one a season before, and its place in the week.
    What it isolates faster than nearly all of the history is outside; the band is the range of the
    values that it would not.

    Args:
        times: as for `baseline.bands`, as is all else.
        values: periods x series.
        errors: periods x series.
        options: of each series.
        start: the first period that is judged.

    Raises:
        MonitorError: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import IsolationForest  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise _missing("scikit-learn", error) from error
    grain, window = options[0].grain, options[0].window
    scale = Scale.of(values, options)
    y, least = scale.to(values), scale.errors(values, errors)
    calendar = PeriodCalendar.of(times, grain, options[0].country)
    place = calendar.weekday * 24 + calendar.hour
    expected, low, high, score = (np.full(y.shape, np.nan) for _ in range(4))
    for begin in range(max(start, MIN_HISTORY[grain]), len(times), _REFIT[grain]):
        rows = slice(max(0, begin - window), begin)
        coming = range(begin, min(begin + _REFIT[grain], len(times)))
        for column in range(y.shape[1]):
            known = np.flatnonzero(np.isfinite(y[rows, column])) + rows.start
            if len(known) < MIN_HISTORY[grain]:
                continue
            past = y[known, column]
            forest = IsolationForest(n_estimators=_TREES, random_state=0)
            forest.fit(np.column_stack([past, place[known]]))
            usual = forest.score_samples(np.column_stack([past, place[known]]))
            # as rare as a normal value beyond the band would be, by the tail that was seen
            limit = float(usual.min() - (options[column].sensitivity - 3) * usual.std() / 2)
            reach = max(float(past.max() - past.min()), 8 * float(least[begin, column]))
            grid = np.linspace(past.min() - reach, past.max() + reach, 121)
            for index in coming:
                at = np.full(len(grid), place[index])
                inside = grid[forest.score_samples(np.column_stack([grid, at])) >= limit]
                inside = inside if len(inside) else past
                margin = 2 * least[index, column]
                expected[index, column] = float(np.median(past))
                low[index, column] = min(inside.min(), past.min()) - margin
                high[index, column] = max(inside.max(), past.max()) + margin
                width = max(high[index, column] - low[index, column], 1e-12)
                away = (y[index, column] - expected[index, column]) / width
                score[index, column] = away * 2 * options[column].sensitivity
    return Bands(scale.back(expected), scale.back(low), scale.back(high), np.nan_to_num(score))


def _missing(name: str, error: ModuleNotFoundError) -> MonitorError:
    return MonitorError(
        f"this model needs {error.name or name}: install it, `{how_to_install('anomaly')}`, or set "
        "monitors.model to baseline"
    )
