"""A period of the past that is to be loaded again, and what it comes to in a cursor's values."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from headrace.errors import SettingsError, SourceError
from headrace.ingest.cursor import CursorError, Key, Kind, find, key


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
