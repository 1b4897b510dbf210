"""Ahead of time: when a table will be fresh again, and whether it misses a promise.

times at which its newest event moved ─► usual intervals, usual age ─► next, promise
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise

_APART = timedelta(minutes=15)  # of runs that are nearer, somebody repeats one by hand
_DAY = timedelta(days=1)
_EVENING = timedelta(hours=12)  # before a time of day: an update is that of the day after
_FEW = 4  # updates that tell of the next
_LATE = 0.9  # of the intervals are shorter; past that an update is late


@dataclass(frozen=True)
class Update:
    """A run that brought newer data.

    Attributes:
        at: when readers had them, UTC.
        newest: the newest event then, UTC; None where the table has no event time.
    """

    at: datetime
    newest: datetime | None


@dataclass(frozen=True)
class Promise:
    """How fresh a table has to be.

    Attributes:
        within: how old its newest data may be; None of a time of day.
        by: by when newer data come each day, with the offset from UTC.
        of_events: whether the age is that of the newest event, where there is one; else of the
            update that brought it.
        said: where it was said: ``latency 2 d of contract orders``.
        to: who relies on it.
    """

    within: timedelta | None = None
    by: time | None = None
    of_events: bool = True
    said: str = ""
    to: str = ""

    def missed_at(self, last: Update) -> datetime:
        """When it is broken if nothing newer comes, UTC.

        By a time of day, on the clock of the promise, an update is that of its day until then, or
        that of the next if it comes in the twelve hours before: in the evening, for the morning.
        """
        if self.within is not None:
            return ((last.newest if self.of_events else None) or last.at) + self.within
        assert self.by is not None  # it is either
        zone = self.by.tzinfo or UTC
        day = last.at.astimezone(zone).date()
        due = datetime.combine(day, self.by, zone)
        if due < last.at:
            due += _DAY
        is_in_time = due.date() == day or due - last.at <= _EVENING
        return (due + _DAY if is_in_time else due).astimezone(UTC)


@dataclass(frozen=True)
class Forecast:
    """What is to be expected of a table.

    Attributes:
        next_at: when newer data are expected; None where too few updates are known.
        next_by: by when they come nine times of ten.
        is_late: whether that has passed.
        misses_at: when the promise is broken unless newer data come before; None without one.
        will_miss: whether they are not expected before.
        is_broken: whether the promise is broken now.
        usual_age: of the newest event when readers get it.
    """

    next_at: datetime | None
    next_by: datetime | None
    is_late: bool
    misses_at: datetime | None
    will_miss: bool
    is_broken: bool
    usual_age: timedelta | None


def forecast(
    updates: Sequence[Update],
    *,
    now: datetime,
    promise: Promise | None = None,
    upstream: Sequence[datetime] = (),
) -> Forecast:
    """When a table will be fresh, from when it was.

    Intervals are compared with those of the same number of days, so that a table that has no update
    at weekends is not late on a Sunday: from the update before, the interval that followed updates
    of the same weekday is expected, where three of them are known.

    Args:
        updates: ascending; only runs that brought newer data.
        now: UTC.
        promise: how fresh it has to be.
        upstream: when newer data of what it is made from are expected; it cannot be fresh before.
    """
    last = updates[-1] if updates else None
    apart = [
        one
        for one, after in pairwise([*updates, None])
        if one is not None and (after is None or after.at - one.at >= _APART)
    ]
    intervals = [(before.at.weekday(), after.at - before.at) for before, after in pairwise(apart)]
    ages = sorted(one.at - one.newest for one in updates if one.newest is not None)
    usual_age = ages[len(ages) // 2] if ages else None
    next_at = next_by = None
    if last is not None and len(intervals) >= _FEW - 1:
        same = sorted(length for day, length in intervals if day == last.at.weekday())
        chosen = same if len(same) >= 3 else sorted(length for _, length in intervals)
        middle = chosen[len(chosen) // 2]
        longest = chosen[min(len(chosen) - 1, int(_LATE * len(chosen)))]
        next_at = max([last.at + middle, *upstream])
        next_by = max(last.at + longest + max(longest, middle) / 10, next_at)
    is_late = next_by is not None and now > next_by
    misses_at = None
    will_miss = is_broken = False
    if promise is not None and last is not None:
        misses_at = promise.missed_at(last)
        is_broken = now > misses_at
        will_miss = is_broken or (next_at is not None and max(next_at, now) > misses_at)
    return Forecast(
        next_at=next_at,
        next_by=next_by,
        is_late=is_late,
        misses_at=misses_at,
        will_miss=will_miss,
        is_broken=is_broken,
        usual_age=usual_age,
    )


def updates_of(looks: Sequence[tuple[datetime, datetime | None, bool]]) -> list[Update]:
    """The runs that brought newer data.

    Args:
        looks: of each run, ascending: when it began, the newest event then, whether the content of
            the table had changed.
    """
    found: list[Update] = []
    for at, newest, changed in looks:
        moved = newest is not None and (
            not found or found[-1].newest is None or newest > found[-1].newest
        )
        if moved or (newest is None and changed):
            found.append(Update(at, newest))
    return found
