"""How an artifact was read, with notes, and what all readers share: one base class, timestamps."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

import msgspec

from headrace.formatting import count

Mode = Literal["strict", "lenient", "missing", "unreadable"]
T = TypeVar("T")

MAX_NOTES = 1_000


class ArtifactPart(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all parts of an artifact."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How an artifact was read.

    Attributes:
        artifact: ``manifest.json``, ``jaffle_shop/state.json``, ...
        version: of its format, and of the tool that wrote it: ``v12, dbt 1.12.6``.
        mode: ``strict``: every field is of its type; ``lenient``: some are not, or the format is
            not a known one, see the notes; ``missing`` or ``unreadable``: nothing was read.
        notes: what was left out or is not as it should be, one sentence each; at most
            ``MAX_NOTES`` and one that counts the rest.
    """

    artifact: str
    version: str | None
    mode: Mode
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """An artifact and how it was read.

    Attributes:
        value: the artifact.
        reading: how it was read.
    """

    value: T
    reading: Reading


@dataclass(slots=True)
class Notes:
    """Collects what a lenient reader leaves out.

    Attributes:
        lines: one sentence each.
        nulls: field name to how often it is null and should not be.
        more: how many lines were dropped after ``MAX_NOTES``.
    """

    lines: list[str] = field(default_factory=list)
    nulls: dict[str, int] = field(default_factory=dict)
    more: int = 0

    def add(self, note: str) -> None:
        """Add one sentence, without its full stop."""
        if len(self.lines) < MAX_NOTES:
            self.lines.append(shown(note))
        else:
            self.more += 1

    def null(self, name: str) -> None:
        """Count a field that is null and should not be, by its name."""
        self.nulls[name] = self.nulls.get(name, 0) + 1

    def merge(self, other: "Notes") -> None:
        """Add the notes of another reader of the same file."""
        for line in other.lines:
            self.add(line)
        for name, nulls in other.nulls.items():
            self.nulls[name] = self.nulls.get(name, 0) + nulls
        self.more += other.more

    def __bool__(self) -> bool:
        return bool(self.lines or self.nulls)

    def reading(self, artifact: str, version: str | None) -> Reading:
        """The reading of an artifact: strict where there is no note."""
        return Reading(artifact, version, "lenient" if self else "strict", self.done())

    def done(self) -> tuple[str, ...]:
        """All notes."""
        null_fields = [
            f"`{name}` is null {count(nulls, 'time')}: read as not given"
            for name, nulls in sorted(self.nulls.items())
        ]
        more = [f"and {self.more} more notes like these"] if self.more else []
        return (*self.lines, *null_fields[:MAX_NOTES], *more)


def shown(text: str, limit: int = 300) -> str:
    """A text from a file, as one line: cut, and without control characters."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[: limit + 1])
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


# dlt puts a private-use character in front of a text that encodes a value of another type.
_MARKS = "".join(chr(number) for number in range(0xF026, 0xF030))


def parse_timestamp(text: str | None) -> datetime | None:
    """An ISO 8601 timestamp in UTC; without a zone it is UTC. None where it is not a timestamp."""
    if not text:
        return None
    try:
        read = datetime.fromisoformat(text.lstrip(_MARKS))
        return utc(read)
    except (ValueError, OverflowError):
        return None


def utc(at: datetime) -> datetime:
    """A timestamp in UTC; one without a time zone, as SQLite gives it, is UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def without_type_mark(value: Any) -> Any:
    """A text without dlt's mark of its type; anything else as it is."""
    return value.lstrip(_MARKS) if isinstance(value, str) else value
