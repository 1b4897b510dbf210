"""The types of columns: DuckDB's as dlt columns, and the rule by which a value has a type.

``exact_cast`` gives SQL of the typed value, or null where the value would lose something. A first
load infers a type that all values pass, a later load casts with the same SQL, and so do the bulk
way and variant columns: what counts as an integer is decided here and nowhere else.

The test is the round trip itself, ``cast(try_cast(v as T) as varchar) = v``. Of values that fail
it, those in an equal form of their type count, too; docs/explanation/types-of-files.md names them:

============  =====================================================================================
BIGINT        none; in an integer column that is there already, also a fraction of zeros (``2.0``)
DOUBLE        an integer below 2^53, zeros at the end of a fraction, no zero before the point, an
              exponent with its sign; never more digits than the double gives back
DECIMAL       as DOUBLE; never more digits than its scale
BOOLEAN       any case
DATE          none; in a date column that is there already, also midnight
TIMESTAMP     ``T``, no seconds, zeros at the end of a fraction, a date for its midnight
TIMESTAMPTZ   the same with an offset: the time is kept, not the offset
TIMESTAMP_NS  as TIMESTAMP, with up to nine digits
============  =====================================================================================

All SQL is written for a session whose time zone is UTC.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.sql_text import identifier, literal

if TYPE_CHECKING:
    from dlt.common.schema.typing import TColumnSchema


_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_BIGINT_DIGITS = 19
DECIMAL_DIGITS = 38  # of DuckDB's widest decimal
_SIMPLE: dict[str, dict[str, Any]] = {
    "BOOLEAN": {"data_type": "bool"},
    "FLOAT": {"data_type": "double"},
    "DOUBLE": {"data_type": "double"},
    "VARCHAR": {"data_type": "text"},
    "DATE": {"data_type": "date"},
    "TIME": {"data_type": "time"},
    "TIMESTAMP": {"data_type": "timestamp", "timezone": False},
    "TIMESTAMP_S": {"data_type": "timestamp", "timezone": False},
    "TIMESTAMP_MS": {"data_type": "timestamp", "timezone": False},
    "TIMESTAMP_NS": {"data_type": "timestamp", "timezone": False, "precision": 9},
    "TIMESTAMP WITH TIME ZONE": {"data_type": "timestamp", "timezone": True},
    "BLOB": {"data_type": "binary"},
    "UBIGINT": {"data_type": "decimal", "precision": 20, "scale": 0},
    "HUGEINT": {"data_type": "decimal", "precision": 38, "scale": 0},
    "UHUGEINT": {"data_type": "decimal", "precision": 38, "scale": 0},
    "JSON": {"data_type": "json"},
}
_STORED = {
    "UBIGINT": "DECIMAL(20,0)",
    "HUGEINT": "DECIMAL(38,0)",
    "UHUGEINT": "DECIMAL(38,0)",
    "FLOAT": "DOUBLE",
    "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
}


@dataclass(frozen=True)
class RawColumn:
    """A column of a raw table.

    Attributes:
        name: its name in the raw schema (normalised by dlt, for example ``order_id``).
        duckdb_type: the type it is stored with, in DuckDB's words (``DECIMAL(10,2)``).
    """

    name: str
    duckdb_type: str

    def hint(self, *, nullable: bool = True) -> "TColumnSchema":
        """The column as a dlt column schema."""
        kind = self.duckdb_type
        if match := _DECIMAL.fullmatch(kind):
            spec: dict[str, Any] = {
                "data_type": "decimal",
                "precision": int(match[1]),
                "scale": int(match[2]),
            }
        elif kind in _INTEGERS:
            spec = {"data_type": "bigint"}
        else:
            spec = dict(_SIMPLE[kind])
        return {"name": self.name, "nullable": nullable, **spec}  # type: ignore[typeddict-item]


def stored_type(duckdb_type: str) -> str:
    """The type in which a column that reads as ``duckdb_type`` is stored in the raw table.

    Nested values (struct, list, map, union) become JSON; what dlt has no type for becomes text.
    """
    if duckdb_type in _INTEGERS:
        return "BIGINT"
    if duckdb_type in _STORED:
        return _STORED[duckdb_type]
    if duckdb_type in _SIMPLE or _DECIMAL.fullmatch(duckdb_type):
        return duckdb_type
    return "JSON" if _is_nested(duckdb_type) else "VARCHAR"


def _is_nested(duckdb_type: str) -> bool:
    return duckdb_type.endswith("]") or duckdb_type.startswith(("STRUCT", "MAP", "UNION"))


def decimal_for(kinds: Collection[str]) -> str | None:
    """The decimal that holds every value of integer and decimal types; None if there is none."""
    whole, scale = 0, 0
    for kind in kinds:
        match = _DECIMAL.fullmatch(kind)
        if match is None and kind != "BIGINT":
            return None
        precision, places = map(int, match.groups()) if match else (_BIGINT_DIGITS, 0)
        whole, scale = max(whole, precision - places), max(scale, places)
    return f"DECIMAL({whole + scale},{scale})" if 0 < whole + scale <= DECIMAL_DIGITS else None


def common_read(kinds: Collection[str]) -> str:
    """The type in which a column is read that has these types in several files.

    Text, where they differ; JSON, where one of them is nested.
    """
    if len(kinds) == 1:
        return next(iter(kinds))
    stored = {stored_type(kind) for kind in kinds}
    if len(stored) == 1:
        return next(iter(stored))
    return "JSON" if any(_is_nested(kind) for kind in kinds) else "VARCHAR"


_WHOLE_DOUBLES = 1 << 53  # from here on, a double cannot tell an integer from the next
_WHOLE_FLOATS = 1 << 24
_SAFE_DIGITS = 15  # a double gives back any number of so many digits

_NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
            "UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE"}  # fmt: skip

_PLAIN = "-?(0|[1-9][0-9]*)?([.][0-9]+)?"
# as programs write them: 1e-7, 1e-07, 1.5e+20, 1.5E+20; a part number like 1E5 or 12E-3 is text
_EXPONENT = "-?[1-9]([.][0-9]+)?(e[+-][0-9]{1,3}|E[+-][0-9]{2,3})"
_NUMBER = f"{_PLAIN}|{_EXPONENT}"
_JSON_NUMBER = "-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?"

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]"
_MICROSECONDS = "(:[0-5][0-9]([.][0-9]{1,6}0*)?)?"
_NANOSECONDS = "(:[0-5][0-9]([.][0-9]{1,9}0*)?)?"
_OFFSET = "(Z|[+-][01][0-9](:?[0-5][0-9])?)"
_TIMES = {
    "TIME": f"{_CLOCK}{_MICROSECONDS}",
    "TIMESTAMP": f"{_DATE}[T ]{_CLOCK}{_MICROSECONDS}",
    "TIMESTAMP_NS": f"{_DATE}[T ]{_CLOCK}{_NANOSECONDS}",
    "TIMESTAMP WITH TIME ZONE": f"{_DATE}[T ]{_CLOCK}{_MICROSECONDS}{_OFFSET}",
}


def exact_cast(
    column: str, read: str, stored: str, *, utc: bool = False, first: bool = False
) -> str:
    """SQL that casts a column to the type it is stored with; null where it would lose something.

    Args:
        column: the column's name, unquoted.
        read: the type that the reader gives.
        stored: the type of the raw table's column.
        utc: whether a time without an offset counts as UTC, because the settings declare the type.
        first: whether the type is being inferred: forms that count only in a column that is
            there already (``2.0`` as an integer, a number in JSON's quotes) do not count.
    """
    name = identifier(column)
    if read == stored:
        return name
    if stored == "JSON":
        return f"to_json({name})"
    if read == "JSON":
        return _from_json(name, stored, utc=utc, first=first)
    if stored == "VARCHAR":
        return f"cast({name} as varchar)"
    if read == "VARCHAR":
        return from_text(name, stored, utc=utc, first=first)
    if is_number(read) and is_number(stored):
        tried = f"try_cast({name} as {stored})"
        return f"case when try_cast({tried} as {read}) = {name} then {tried} end"
    return from_text(f"cast({name} as varchar)", stored, utc=utc)


def is_always_exact(read: str, stored: str) -> bool:
    """Whether every value of a type fits the type that it is stored with."""
    if read == stored or stored in {"VARCHAR", "JSON"}:
        return True
    return stored == stored_type(read) and read not in {"HUGEINT", "UHUGEINT"}


def is_number(kind: str) -> bool:
    """Whether a DuckDB type is numeric."""
    return kind in _NUMBERS or kind.startswith("DECIMAL")


def from_text(
    text: str, stored: str, *, utc: bool = False, first: bool = False, number: str = _NUMBER
) -> str:
    """SQL of the typed value of a text, or null.

    Args:
        text: SQL of the text.
        stored: the type.
        utc: see ``exact_cast``.
        first: see ``exact_cast``.
        number: pattern of what is a number.
    """
    typed = f"try_cast({text} as {stored})"
    same = f"cast({typed} as varchar) = {text}"
    if stored == "VARCHAR":
        return text
    if stored == "BIGINT":
        if first:
            return f"case when {same} then {typed} end"
        whole = f"regexp_replace({text}, '[.]0+$', '')"
        whole_typed = f"try_cast({whole} as bigint)"
        return (
            f"case when {same} then {typed} "
            f"when cast({whole_typed} as varchar) = {whole} then {whole_typed} end"
        )
    if stored == "DOUBLE":
        return (
            # the pattern first: to write a double takes DuckDB longer than to read one
            f"case when length({text}) <= {_SAFE_DIGITS} and {_matches(text, _PLAIN)} then {typed} "
            f"when {same} and isfinite({typed}) then {typed} "
            f"when {_matches(text, number)} and isfinite({typed}) "
            f"and {_digits(text)} = {_digits(f'cast({typed} as varchar)')} "
            f"and (abs({typed}) < {_WHOLE_DOUBLES} or regexp_matches({text}, '[.eE]')) "
            f"then {typed} end"
        )
    if stored.startswith("DECIMAL"):
        return (
            f"case when {same} then {typed} when {_matches(text, number)} "
            f"and {_digits(text)} = {_digits(f'cast({typed} as varchar)')} then {typed} end"
        )
    if stored == "BOOLEAN":
        cases = (
            f"when {value} in ('true', 'false') then {value} = 'true'"
            for value in (text, f"lower({text})")
        )
        return f"case {' '.join(cases)} end"
    if stored == "DATE":
        day = f"length({text}) = 10 and {same}"
        if first:
            return f"case when {day} then {typed} end"
        midnight = _matches(text, f"{_DATE}[T ]00:00(:00([.]0+)?)?")
        return f"case when {day} then {typed} when {midnight} then {typed} end"
    if stored in _TIMES:
        return _time(text, stored, utc=utc)
    return f"case when {same} then {typed} end"


def _time(text: str, stored: str, *, utc: bool) -> str:
    typed = f"try_cast({text} as {stored})"
    cases = []
    if stored == "TIMESTAMP":  # the round trip is cheaper than the pattern
        cases.append(
            f"cast({typed} as varchar) = {text} and {text} like '____-__-__ __:__:__%' then {typed}"
        )
    cases.append(f"{_matches(text, _TIMES[stored])} then {typed}")
    zoned = "TIMESTAMP WITH TIME ZONE"
    if stored == zoned:  # which DuckDB does not read without seconds
        full = f"substr({text}, 1, 16) || ':00' || substr({text}, 17)"
        cases.insert(
            0,
            f"{_matches(text, f'{_DATE}[T ]{_CLOCK}{_OFFSET}')} then try_cast({full} as {stored})",
        )
    if stored in {"TIMESTAMP", "TIMESTAMP_NS"} or (stored == zoned and utc):
        day = from_text(text, "DATE", first=True)
        cases.append(f"({day}) is not null then {typed}")
    if stored == zoned and utc:
        cases.append(f"{_matches(text, _TIMES['TIMESTAMP'])} then {typed}")
    if stored == "TIMESTAMP" and utc:
        moment = from_text(text, zoned)
        cases.append(f"({moment}) is not null then cast(({moment}) as timestamp)")
    return f"case when {' when '.join(cases)} end"


def _from_json(name: str, stored: str, *, utc: bool, first: bool) -> str:
    """SQL of the typed value of a JSON value: what is quoted is text, a number is a number."""
    raw = f"cast({name} as varchar)"
    is_text = f"starts_with({raw}, '\"')"
    text = f"({name} ->> '$')"
    if stored == "VARCHAR":
        return f"case when {is_text} then {text} {'' if first else f'else {raw} '}end"
    plain = from_text(raw, stored, first=first, number=_JSON_NUMBER)
    quoted = from_text(text, stored, utc=utc, first=first)
    if not is_number(stored) and stored != "BOOLEAN":
        return f"case when {is_text} then {quoted} end"
    if first:
        return f"case when not {is_text} then {plain} end"
    return f"case when {is_text} then {quoted} else {plain} end"


def is_numeral(column: str, read: str) -> str:
    """SQL: whether a value is written as a number, be it as wide as it may."""
    raw = f"cast({identifier(column)} as varchar)"
    return _matches(raw, _JSON_NUMBER if read == "JSON" else _NUMBER)


def is_rounded_id(column: RawColumn, read: str) -> str | None:
    """SQL: whether a value may stand for several integers; None for columns that keep each digit.

    Args:
        column: of the raw table.
        read: the type in which the files have it.
    """
    if column.duckdb_type != "DOUBLE":
        return None
    least = _WHOLE_FLOATS if read == "FLOAT" else _WHOLE_DOUBLES
    return f"(abs({identifier(column.name)}) >= {least})"


def is_rounded(number: str) -> str:
    """SQL: whether a double does not give back the digits of a number, which is its text."""
    double = f"try_cast({number} as double)"
    return f"(isfinite({double}) and {_digits(number)} <> {_digits(f'cast({double} as varchar)')})"


def decimal_parts(column: str) -> tuple[str, str]:
    """SQL of the number of digits before and after the point of a numeral without an exponent."""
    raw = f"cast({identifier(column)} as varchar)"
    whole = f"length(ltrim(split_part({raw}, '.', 1), '-0'))"
    scale = f"length(rtrim(split_part({raw}, '.', 2), '0'))"
    return whole, scale


def _matches(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, {literal(pattern)})"


def _digits(text: str) -> str:
    """The digits of a number without its sign, point and exponent, and without zeros around."""
    digits = f"replace(regexp_replace({text}, '^-|[eE].*$', '', 'g'), '.', '')"
    return f"trim({digits}, '0')"
