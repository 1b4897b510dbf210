"""What the calendar says of a period: its hour, weekday, day of the month, public holidays."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from headrace.errors import MonitorError
from headrace.formatting import did_you_mean
from headrace.quality.monitors.model import Grain, Times

Classes = NDArray[np.int64]
_WEEK_H = 168


@dataclass(frozen=True)
class PeriodCalendar:
    """The calendar of some periods.

    Attributes:
        hour: of their start, 0 to 23.
        weekday: 0 is Monday.
        day: of the month, 1 to 31; the last of a month is 0.
        month: 1 to 12.
        is_holiday: a public holiday of the country; never of periods longer than a day.
    """

    hour: Classes
    weekday: Classes
    day: Classes
    month: Classes
    is_holiday: NDArray[np.bool_]

    @classmethod
    def of(cls, times: Times, grain: Grain, country: str | None) -> "PeriodCalendar":
        """The calendar of periods that begin at these times (UTC).

        Raises:
            MonitorError: no holidays of such a country are known.
        """
        days = times.astype("datetime64[D]")
        months = days.astype("datetime64[M]")
        day = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
        day[(days + np.timedelta64(1, "D")).astype("datetime64[M]") != months] = 0
        holidays = np.zeros(len(times), dtype=bool)
        if country and grain in {"hour", "day"} and len(times):
            first, last = (int(str(edge)[:4]) for edge in (days.min(), days.max()))
            holidays = np.isin(days, _holidays(country, first, last))
        return cls(
            hour=((times - days).astype("timedelta64[h]")).astype(np.int64),
            weekday=(days.astype(np.int64) + 3) % 7,  # 1970-01-01 was a Thursday
            day=day,
            month=months.astype(np.int64) % 12 + 1,
            is_holiday=holidays,
        )

    def part(self, rows: slice) -> "PeriodCalendar":
        """The calendar of some of the periods."""
        return PeriodCalendar(
            self.hour[rows], self.weekday[rows], self.day[rows], self.month[rows],
            self.is_holiday[rows],
        )  # fmt: skip

    def like(self, index: int, grain: Grain) -> NDArray[np.bool_]:
        """The later periods at the same place of the month, of longer ones of the year."""
        later = np.arange(len(self.day)) > index
        if grain in {"month", "week"}:
            return np.asarray(later & (self.month == self.month[index]))
        is_same = self.hour == self.hour[index] if grain == "hour" else later
        return np.asarray(later & (self.day == self.day[index]) & is_same)

    def seasons(self, grain: Grain, periods: int) -> list[Classes]:
        """The seasons that so many periods of history can tell, as classes of the periods."""
        if grain == "hour":
            if periods >= 3 * _WEEK_H:
                return [self.weekday * 24 + self.hour]
            return [self.hour, *([self.weekday] if periods >= 2 * _WEEK_H else [])]
        if grain == "day":
            return [self.weekday] if periods >= 14 else []
        if grain == "month":
            return [self.month] if periods >= 24 else []
        return []

    def special_days(self, grain: Grain, periods: int) -> Classes | None:
        """Classes of which a few may differ, such as the first of a month; None where unknown."""
        if grain == "day" and periods >= 90:
            return self.day
        if grain == "week" and periods >= 26:
            return np.where(self.day == 0, 5, (self.day - 1) // 7)
        return None


@lru_cache(maxsize=16)
def _holidays(country: str, first: int, last: int) -> Times:
    """The public holidays of a country, from one year to another."""
    import holidays

    code, _, part = country.partition("-")
    try:
        found = holidays.country_holidays(
            code.upper(), subdiv=part or None, years=range(first, last + 1)
        )
    except NotImplementedError:
        known = holidays.list_supported_countries()
        meant = did_you_mean(
            country.upper(), [*known, *(f"{c}-{p}" for c, parts in known.items() for p in parts)]
        )
        raise MonitorError(
            f"no holidays of {country!r} are known: set monitors.country to an ISO code such as DE "
            f"or US-CA{f'; {meant}' if meant else ''}"
        ) from None
    return np.array(sorted(found), dtype="datetime64[D]")
