"""Periods of time: one that is loaded again, and those that the names of files tell."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from headrace.errors import SettingsError, SourceError
from headrace.ingest.cursor import CursorError, Key, Kind, find, key
from headrace.ingest.discover import SourceFile


@dataclass(frozen=True)
class Backfill:
    """What of the past is to be loaded again; cursors stay where they are.

    Attributes:
        since: a date, a time or a number, as it was typed; inclusive. UTC without an offset.
        until: the same; exclusive. Without it, all up to the last load is meant.
        is_named: whether the tables were named; if not, those without a time are left out.
    """

    since: str
    until: str | None = None
    is_named: bool = True

    def __post_init__(self) -> None:
        """Check what was typed.

        Raises:
            SettingsError: it is no date, time or number, or no range.
        """
        for option, text in (("--since", self.since), ("--until", self.until)):
            try:
                good = text is None or find([text]) in {"date", "timestamp", "number"}
            except CursorError:
                good = False
            if not good:
                raise SettingsError(
                    f"{option} {text}: not a date, a time or a number; write it like 2024-12-31, "
                    "2024-12-31T06:00:00Z or 1000"
                )
        if self.until is not None:
            try:
                kind = find([self.since, self.until]) or "text"
                is_range = key(self.since, kind) < key(self.until, kind)
            except CursorError:
                is_range = False
            if not is_range:
                raise SettingsError(
                    f"--since {self.since} --until {self.until}: not a range; it is from --since "
                    "to just before --until"
                )

    def __str__(self) -> str:
        """``2024-01-01 to 2024-02-01``, ``since 2024-01-01``."""
        return f"{self.since} to {self.until}" if self.until else f"since {self.since}"

    @property
    def is_time(self) -> bool:
        """Whether it is a period of time, and not a range of numbers."""
        return find([self.since]) != "number"

    def period(self) -> tuple[datetime, datetime | None]:
        """Its beginning and end in UTC; only of a period of time."""
        return _utc(self.since), _utc(self.until) if self.until else None

    def keys(self, kind: Kind) -> tuple[Key, Key | None]:
        """Its beginning and end as they are ordered among a cursor's values.

        Raises:
            CursorError: the cursor has values of another kind.
        """
        return key(self.since, kind), key(self.until, kind) if self.until else None

    def like(self, value: Any, where: str) -> tuple[Any, Any]:
        """Its beginning and end in the type of a cursor's value; the end is None without one.

        Args:
            value: a value of the cursor, such as the last one that was loaded.
            where: the table and the cursor, for messages.

        Raises:
            SourceError: the cursor has values of another kind.
        """
        try:
            return _like(self.since, value), _like(self.until, value) if self.until else None
        except (ValueError, InvalidOperation) as error:
            raise SourceError(
                f"{where} has values like {value}: give --since and --until as such"
            ) from error


def _like(text: str, value: Any) -> Any:
    if isinstance(value, datetime):
        time = _utc(text)
        return time if value.tzinfo else time.replace(tzinfo=None)
    if isinstance(value, date):
        return date.fromisoformat(text)
    if isinstance(value, int | float | Decimal):
        return type(value)(Decimal(text))
    return text


def _utc(text: str) -> datetime:
    time = datetime.fromisoformat(text.replace(" ", "T", 1))
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


_HIVE_KEY = re.compile(r"(?<![^/])[A-Za-z_]\w*=")
_DATE = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d{2})"
    r"(?:[-_.]?(?P<month>\d{2})|/(?P<month_folder>\d{1,2})(?=/))?"
    r"(?:(?<=\d\d)[-_.]?(?P<day>\d{2})|/(?P<day_folder>\d{1,2})(?=/))?"
    r"(?:(?:T(?P<t>\d{2}[-_.:]?\d{2}(?:[-_.:]?\d{2})?)"
    r"|[-_ .](?P<c>\d{2}[-_.:]?\d{2}[-_.:]?\d{2})(?![-_.]?\d))Z?)?(?!\d)"
)
_DAY_FIRST = re.compile(r"(?<!\d)(?<!\d[-_.])\d{1,2}[-_.]\d{1,2}[-_.](?:19|20)\d{2}(?!\d)")


@dataclass(frozen=True, order=True)
class Period:
    """A period in UTC, from its beginning to just before its end.

    Attributes:
        begin: inclusive.
        end: exclusive; of a name with a time, a second later.
    """

    begin: datetime
    end: datetime

    def overlaps(self, since: datetime | None, until: datetime | None) -> bool:
        """Whether a part of it lies in a range from ``since`` to just before ``until``."""
        return (until is None or self.begin < until) and (since is None or self.end > since)


def period_of(name: str) -> Period | None:
    """The day, month, year or second that a path speaks of; None if it has no such date.

    ``orders_2024-01-02.csv``, ``20240102/orders.csv``, ``year=2024/month=1/day=2/orders.csv`` are
    days, ``2024-01`` and ``202401`` months, ``2024-01-02T063000`` a second; of two equally precise
    dates (``2024-01-01_2024-01-07``), it is the period from the first to the last. Dates that begin
    with the day or the month are none, as nobody can tell which it is.
    """
    plain = _DAY_FIRST.sub("", _HIVE_KEY.sub("", name))
    found = [dated for match in _DATE.finditer(plain) if (dated := _dated(match)) is not None]
    if not found:
        return None
    finest = max(parts for parts, _ in found)
    periods = sorted(period for parts, period in found if parts == finest)
    return Period(periods[0].begin, periods[-1].end)


def _dated(match: re.Match[str]) -> tuple[int, Period] | None:
    """How many parts a date has, and the period that it is; None where there is no such date."""
    month = match["month"] or match["month_folder"]
    day = match["day"] or match["day_folder"]
    clock = re.sub(r"\D", "", match["t"] or match["c"] or "") if day else ""
    numbers = [int(part) for part in (match["year"], month, day) if part]
    numbers += [int(clock[place : place + 2]) for place in range(0, len(clock), 2)]
    try:
        begin = datetime(*[*numbers, 1, 1][: max(len(numbers), 3)], tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:
        return None
    if len(numbers) > 3:
        return len(numbers), Period(begin, begin + timedelta(seconds=1))
    if len(numbers) == 3:
        return 3, Period(begin, begin + timedelta(days=1))
    if len(numbers) == 2:
        after = begin.replace(day=28) + timedelta(days=4)
        return 2, Period(begin, after.replace(day=1))
    return 1, Period(begin, begin.replace(year=begin.year + 1))


def newest_snapshot(files: Sequence[SourceFile]) -> tuple[list[SourceFile], list[SourceFile]]:
    """The files that are the newest snapshot, and the older ones.

    Files whose names have the same date are one snapshot in parts; files without a date are all
    parts of one. The times of the file system have no say: a copy changes them.

    Raises:
        SourceError: some names have a date and others have none, or one that begins with the day.
    """
    periods = {file.name: period_of(file.name) for file in files}
    undated = [name for name, period in periods.items() if period is None]
    unclear = [name for name in undated if _DAY_FIRST.search(name)]
    if len(files) > 1 and unclear:
        raise SourceError(
            f"{unclear[0]} has a date that begins with the day or the month, so which snapshot is "
            "the newest is not known: name the files like orders_2024-12-31.csv, or keep only one"
        )
    if files and not undated:
        last = max((period.end, period.begin) for period in periods.values() if period)
        newest = [file for file in files if _key(periods[file.name]) == last]
        return newest, [file for file in files if file not in newest]
    if len(undated) < len(files):
        dated = next(name for name, period in periods.items() if period)
        raise SourceError(
            f"{undated[0]} has no date in its name, and {dated} has one, so which snapshot is the "
            "newest is not known: name them alike, or let `pattern` find those with a date alone"
        )
    return list(files), []


def _key(period: Period | None) -> tuple[datetime, datetime] | None:
    return (period.end, period.begin) if period else None


def newest_period(names: Iterable[str]) -> Period | None:
    """The newest period that some of the names speak of."""
    return max((period for name in names if (period := period_of(name))), default=None)
