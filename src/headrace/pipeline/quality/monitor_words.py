"""Alarms in words: what came, what was expected, since when."""

from datetime import datetime

from headrace.quality.monitors import Band
from headrace.quality.monitors.series import Series

_ONE_SIDED = 1e-12


def described(series: Series, band: Band, grain: str) -> str:
    """An alarm in a sentence: ``312 rows on Friday 2026-11-27, expected 900 to 1,150``.

    Args:
        series: the metric.
        band: of the period that is farthest outside.
        grain: of its periods.
    """
    came = _came(series, band)
    return f"{came}{when(band.at, grain)}, expected {_expected(series, band)}"


def _came(series: Series, band: Band) -> str:
    value = number(series, band.value or 0.0)
    column = series.column or ""
    said = {
        "rows": f"{value} rows",
        "repeated": f"{value} of the rows repeat a key",
        "nulls": f"{column} is null in {value} of the rows",
        "distinct": f"{column} has {value} values",
        "unique": f"{column} has another value in {value} of the rows",
        "mean": f"the mean of {column} is {value}",
        "p25": f"a quarter of {column} is below {value}",
        "p50": f"the median of {column} is {value}",
        "p75": f"a quarter of {column} is above {value}",
        "share": f"{column} is {series.value!r} in {value} of the rows",
        "drift": f"the values of {column} are distributed in another way, at a distance of {value}",
        "total": f"{value} rows in the table",
        "growth": f"{value} more rows a day",
        "freshness": f"its newest data were {value} old",
        "lateness": f"its rows came {value} after their events",
        "duration": f"its build took {value}",
    }
    return said.get(series.metric, f"{series.name} is {value}")


def _expected(series: Series, band: Band) -> str:
    low = None if band.low is None else number(series, band.low)
    high = None if band.high is None else number(series, band.high)
    if low is None:
        return f"at most {high}"
    if high is None:
        return f"at least {low}"
    if low == high:
        return low
    return f"{low} to {high}"


def when(at: datetime, grain: str) -> str:
    """`` on Friday 2026-11-27``, `` in the week of …``."""
    if grain == "hour":
        return f" in the hour from {at:%Y-%m-%d %H:%M} UTC"
    if grain == "day":
        return f" on {at:%A %Y-%m-%d}"
    if grain == "week":
        return f" in the week of {at:%Y-%m-%d}"
    if grain == "month":
        return f" in {at:%B %Y}"
    return f" in the run of {at:%Y-%m-%d %H:%M} UTC"


def number(series: Series, value: float) -> str:
    """A value of a metric with its unit: ``1,203``, ``12.3%``, ``2 h 10 min``."""
    if series.unit == "share":
        return percent(value)
    if series.unit in {"rows", "values"}:
        return f"{value:,.0f}"
    if series.unit == "seconds":
        return length(value)
    return plain(value)


def percent(share: float) -> str:
    """``12.3%``; with more digits of a small one."""
    digits = 1 if abs(share) >= 0.01 or share == 0 else 3
    text = f"{100 * share:.{digits}f}".rstrip("0").rstrip(".")
    return f"{text}%"


def plain(value: float) -> str:
    """A number with about four digits: ``12,340``, ``98.5``, ``0.0123``."""
    if value == 0 or abs(value) < _ONE_SIDED:
        return "0"
    if abs(value) >= 1e12:
        return f"{value:.3g}"
    digits = 0 if abs(value) >= 1000 else 2 if abs(value) >= 1 else 4
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def length(seconds: float) -> str:
    """``42 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days:,} d {hours} h" if hours and days < 10 else f"{days:,} d"
