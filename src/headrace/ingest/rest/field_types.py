"""The type of a field of JSON rows: one that gives back what every row has there."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

DIGITS = 38
_INT64 = 2**63
_WHOLE_DOUBLES = 2**53
_ISO = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(?P<offset>Z|[+-]\d{2}:?\d{2})?", re.ASCII
)

Scalar = str | bool | int | Decimal


@dataclass(frozen=True)
class FieldType:
    """A type, in dlt's words.

    Attributes:
        data_type: ``bigint``, ``double``, ``decimal``, ``bool``, ``timestamp`` or ``text``.
        precision: digits of a decimal.
        scale: those behind its point.
        timezone: whether a timestamp has an offset.
    """

    data_type: str
    precision: int | None = None
    scale: int | None = None
    timezone: bool = True

    def hint(self, name: str) -> dict[str, Any]:
        """The column, for dlt."""
        hint: dict[str, Any] = {"name": name, "data_type": self.data_type}
        if self.data_type == "decimal":
            hint |= {"precision": self.precision, "scale": self.scale}
        if self.data_type == "timestamp" and not self.timezone:
            hint["timezone"] = False
        return hint

    def fit(self, value: Scalar) -> Any:
        """The value in this type.

        Raises:
            ValueError: written back, it would be another.
        """
        return _FITS.get(self.data_type, _as_it_is)(self, value)


@dataclass
class FieldKinds:
    """What the values of a field are, row by row."""

    kinds: set[str] = field(default_factory=set)
    whole: int = 0
    scale: int = 0
    widest: int = 0

    def add(self, value: Scalar) -> None:
        """Take a value into account."""
        kind = kind_of(value)
        self.kinds.add(kind)
        if isinstance(value, int) and not isinstance(value, bool):
            self.widest = max(self.widest, abs(value))
            self.whole = max(self.whole, len(str(abs(value))))
        elif isinstance(value, Decimal):
            _, digits, exponent = value.as_tuple()
            places = int(exponent)
            self.whole = max(self.whole, len(digits) + places)
            self.scale = max(self.scale, -places)

    def settled(self, *, is_root: bool) -> FieldType:
        """The type that holds all values.

        Args:
            is_root: whether dlt can be told of it; decimals and local times of lists are text.
        """
        kinds = self.kinds
        text = FieldType("text")
        if len(kinds) == 1 and kinds <= {"bool", "bigint", "timestamp"}:
            return FieldType(next(iter(kinds)))
        if kinds == {"local"} and is_root:
            return FieldType("timestamp", timezone=False)
        if kinds <= {"bigint", "double"} and (self.widest <= _WHOLE_DOUBLES or kinds == {"double"}):
            return FieldType("double")
        if kinds <= {"bigint", "double", "wide"} and is_root and self.whole + self.scale <= DIGITS:
            return FieldType("decimal", DIGITS, self.scale)
        return text


def kind_of(value: Scalar) -> str:
    """``bool``, ``bigint``, ``double``, ``wide`` (a number beyond both), ``timestamp``, ``local``
    (a time without an offset) or ``text``."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "bigint" if -_INT64 <= value < _INT64 else "wide"
    if isinstance(value, Decimal):
        return "double" if _is_double(value) else "wide"
    match = _ISO.fullmatch(value) if len(value) <= 40 else None
    if match is None or _moment(value) is None:
        return "text"
    return "timestamp" if match["offset"] else "local"


def written(value: Any) -> str:
    """A value as text: a text as it is, all else as JSON writes it."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def _is_double(value: Decimal) -> bool:
    if abs(value.adjusted()) > 300:
        return not value
    return Decimal(repr(float(value))) == value


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None


def _number(value: Scalar) -> Decimal:
    """A number, also one that is written as a text."""
    if isinstance(value, bool) or (isinstance(value, str) and not re.fullmatch(
        r"-?(0|[1-9]\d*)(\.\d+)?", value, re.ASCII
    )):  # fmt: skip
        raise ValueError
    number = Decimal(value)
    if number and abs(number.adjusted()) > 300:
        raise ValueError
    return number


def _bigint(kind: FieldType, value: Scalar) -> int:
    del kind
    number = _number(value)
    if number != number.to_integral_value() or not -_INT64 <= number < _INT64:
        raise ValueError
    return int(number)


def _double(kind: FieldType, value: Scalar) -> float:
    del kind
    number = _number(value)
    if Decimal(repr(float(number))) != number:
        raise ValueError
    return float(number)


def _decimal(kind: FieldType, value: Scalar) -> Decimal:
    number = _number(value)
    _, digits, exponent = number.normalize().as_tuple()
    scale, precision = kind.scale or 0, kind.precision or DIGITS
    if -int(exponent) > scale or len(digits) + int(exponent) > precision - scale:
        raise ValueError
    return number


def _bool(kind: FieldType, value: Scalar) -> bool:
    del kind
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - of a type that it does not fit
    return value


def _timestamp(kind: FieldType, value: Scalar) -> datetime:
    is_time = isinstance(value, str) and kind_of(value) in {"timestamp", "local"}
    moment = _moment(str(value)) if is_time else None
    if moment is None or (moment.tzinfo and not kind.timezone):
        raise ValueError
    return moment.replace(tzinfo=UTC) if kind.timezone and not moment.tzinfo else moment


def _text(kind: FieldType, value: Scalar) -> str:
    del kind
    return written(value)


def _as_it_is(kind: FieldType, value: Scalar) -> Scalar:
    del kind
    return value


_FITS = {
    "bigint": _bigint,
    "double": _double,
    "decimal": _decimal,
    "bool": _bool,
    "timestamp": _timestamp,
    "text": _text,
}
