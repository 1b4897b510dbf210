"""Moments as dbt and dlt write them."""

from datetime import UTC, datetime
from typing import Any

# dlt marks texts that stand for another type by a letter of Unicode's private area in front.
_MARKS = "".join(chr(number) for number in range(0xF026, 0xF030))


def moment(text: str | None) -> datetime | None:
    """ISO 8601 as a time in UTC; one without a zone is UTC. None where it is no time."""
    if not text:
        return None
    try:
        read = datetime.fromisoformat(text.lstrip(_MARKS))
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def plain_text(value: Any) -> Any:
    """A text without dlt's mark of its type; anything else as it is."""
    return value.lstrip(_MARKS) if isinstance(value, str) else value
