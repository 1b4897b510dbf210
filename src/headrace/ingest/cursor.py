"""What a cursor's values are, and which of two is newer: by their meaning, not their spelling.

A cursor is a column that tells which version of a row is newer (files), or from where on a source
has to be asked again (REST, SQL). ``2024-01-01T02:00:00+02:00`` is the same time as
``2024-01-01T00:00:00Z``, ``9`` is below ``10``, and ``31/12/2024`` cannot be told from a date that
begins with the month: it is refused. Pure functions over Python values, so that every kind of
source uses the same rule.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Literal

Kind = Literal["timestamp", "date", "number", "text"]
Key = tuple[Decimal, str]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIMESTAMP = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})[Tt ](?P<clock>\d{2}:\d{2}(:\d{2})?)([.,](?P<fraction>\d+))?"
    r" ?(?P<offset>[Zz]|UTC|GMT|[+-]\d{2}(:?\d{2})?)?",
    re.ASCII,
)
_YEAR_FIRST = re.compile(r"\d{4}[./]\d{2}[./]\d{2}([Tt ].*)?", re.ASCII)
_OTHER_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}([Tt ].*)?", re.ASCII)
_MONTH = re.compile(r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.IGNORECASE)
_CODE = re.compile(r"[0-9A-Za-z]+", re.ASCII)
_NOT_ISO = "is a date, but not in ISO form (2024-12-31)"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CursorError(ValueError):
    """A value that cannot be ordered; the text says why, for the caller to name its place."""

    def __init__(self, value: object, why: str) -> None:
        super().__init__(f"{value!r} {why}")
        self.value = value


def find(values: Iterable[object], declared: Kind | None = None) -> Kind | None:
    """The kind of a cursor, by looking at its values.

    Args:
        values: some or all of them; None is no value, and has no say.
        declared: the kind that the settings say; the values have to fit it. ``text`` compares
            whatever text there is by its characters, which nothing else does.

    Returns:
        The kind, or ``declared`` (None without one) where there is no value.

    Raises:
        CursorError: a value that cannot be ordered, or not together with the others.
    """
    examples: dict[str, object] = {}
    counts: dict[str, int] = {}
    lengths: dict[int, object] = {}
    for value in values:
        if value is None:
            continue
        kind = _kind_of(value)
        examples.setdefault(kind, value)
        counts[kind] = counts.get(kind, 0) + 1
        if isinstance(value, str) and _CODE.fullmatch(value) and kind in {"number", "code"}:
            lengths.setdefault(len(value), value)
        else:
            lengths.setdefault(-1, value)
    if not counts:
        return declared
    if declared is not None:
        return _held_to(declared, examples)
    return _common(examples, counts, lengths)


def refuse_dates_in_other_forms(values: Iterable[object]) -> None:
    """Refuse dates that begin with the day or the month, which no order of characters suits.

    Raises:
        CursorError: one of the values is such a date.
    """
    for value in values:
        if value is not None and _kind_of(value) == "date in another form":
            raise CursorError(value, _NOT_ISO)


def key(value: object, kind: Kind) -> Key:
    """What orders a value among those of its kind: the greater, the newer.

    Args:
        value: not None. A time without an offset counts as UTC, a date as its midnight.
        kind: what ``find`` gave for it.

    Returns:
        Whole seconds since 1970 in UTC with the digits of the fraction, for timestamps and dates;
        the number itself, or the text, with nothing in the other place.

    Raises:
        CursorError: the value is not of this kind.
    """
    if kind == "text":
        return Decimal(0), str(value)
    found = _kind_of(value)
    if kind == "number" and found == "number":
        return Decimal(str(value).strip()), ""
    if kind in {"timestamp", "date"} and found in {"timestamp", "date"}:
        return _seconds(value)
    raise CursorError(value, f"is not a {kind}")


def _kind_of(value: object) -> str:
    """``timestamp``, ``date``, ``number``, ``code`` (letters and digits), or why it is no kind."""
    if isinstance(value, datetime):
        return "timestamp"
    if isinstance(value, date):
        return "date"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float | Decimal):
        return "number" if Decimal(str(value)).is_finite() else "not finite"
    if not isinstance(value, str):
        return "no single value"
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return "number"
    if _DATE.fullmatch(text) or _TIMESTAMP.fullmatch(text):
        try:
            _seconds(text)
        except (ValueError, OverflowError):
            return "not a date"
        return "date" if _DATE.fullmatch(text) else "timestamp"
    if _YEAR_FIRST.fullmatch(text):
        return "date by year"
    if _OTHER_DATE.fullmatch(text) or (_MONTH.search(text) and re.search(r"\d", text)):
        return "date in another form"
    return "code" if _CODE.fullmatch(text) else "text"


def _held_to(declared: Kind, examples: dict[str, object]) -> Kind:
    fitting = {
        "timestamp": {"timestamp", "date"},
        "date": {"date"},
        "number": {"number"},
        "text": set(examples) - {"no single value"},
    }[declared]
    for kind, value in examples.items():
        if kind not in fitting:
            raise CursorError(value, f"is not a {declared}")
    return declared


def _common(
    examples: dict[str, object], counts: dict[str, int], lengths: dict[int, object]
) -> Kind:
    kinds = set(counts)
    for odd, why in (
        ("date in another form", _NOT_ISO),
        ("date by year", _NOT_ISO),
        ("not a date", "is no date that there is"),
        ("true or false", "is true or false, and has no order in time"),
        ("not finite", "is no finite number"),
        ("no single value", "is no single value"),
    ):
        if odd in kinds:
            raise CursorError(examples[odd], why)
    if kinds <= {"timestamp", "date"}:
        return "date" if kinds == {"date"} else "timestamp"
    if kinds == {"number"}:
        return "number"
    if kinds <= {"number", "code"} and len(lengths) == 1:
        return "text"  # codes of one length, such as ULIDs: their characters are their order
    if kinds == {"code"}:
        short, long = sorted(lengths)[:2]
        raise CursorError(lengths[long], f"and {lengths[short]!r} are texts of different lengths")
    if kinds == {"text"}:
        raise CursorError(examples["text"], "is neither a timestamp, a date nor a number")
    rarest = min(counts, key=lambda kind: counts[kind])
    other = max((kind for kind in counts if kind != rarest), key=lambda kind: counts[kind])
    raise CursorError(examples[rarest], f"and {examples[other]!r} are not of one kind")


def _seconds(value: object) -> Key:
    """Whole seconds since 1970 in UTC, and every digit of the fraction."""
    if isinstance(value, datetime):
        return _since_epoch(value, f"{value.microsecond:06}")
    if isinstance(value, date):
        return _since_epoch(datetime.combine(value, time()))
    text = str(value).strip()
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return _since_epoch(datetime.combine(date.fromisoformat(text), time()))
    whole = datetime.fromisoformat(f"{match['day']}T{match['clock']}")
    seconds, fraction = _since_epoch(whole, match["fraction"] or "")
    return seconds - _offset(match["offset"]), fraction


def _since_epoch(moment: datetime, fraction: str = "") -> Key:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Decimal((aware - _EPOCH) // timedelta(seconds=1)), fraction.rstrip("0")


def _offset(text: str | None) -> int:
    """An offset from UTC in seconds; none counts as UTC."""
    if text is None or text in {"Z", "z", "UTC", "GMT"}:
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if text[0] == "-" else seconds
