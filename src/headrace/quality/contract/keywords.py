"""What the standard's keywords mean: units of time, options of types, operators of rules."""

import operator
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from headrace.sql_text import literal

if TYPE_CHECKING:
    from open_data_contract_standard.model import DataQuality, ServiceLevelAgreementProperty

LOGICAL = {
    "string": ("VARCHAR", "ENUM", "UUID"),
    "number": ("DECIMAL", "DOUBLE", "FLOAT", "INT", "UBIGINT", "UINTEGER", "USMALLINT"),
    "integer": ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT", "UBIGINT", "UINTEGER",
                "USMALLINT", "UTINYINT", "UHUGEINT"),
    "date": ("DATE",),
    "timestamp": ("TIMESTAMP",),
    "time": ("TIME",),
    "boolean": ("BOOLEAN",),
    "object": ("STRUCT", "JSON", "MAP", "VARCHAR"),
    "array": ("[]", "JSON"),
}  # fmt: skip
"""DuckDB's types, by how they begin, that a logical type of the standard can be."""
UNITS = {
    "y": "year", "yr": "year", "year": "year", "years": "year",
    "mo": "month", "month": "month", "months": "month",
    "w": "week", "week": "week", "weeks": "week",
    "d": "day", "day": "day", "days": "day",
    "h": "hour", "hr": "hour", "hour": "hour", "hours": "hour",
    "m": "minute", "min": "minute", "minute": "minute", "minutes": "minute",
    "s": "second", "sec": "second", "second": "second", "seconds": "second",
}  # fmt: skip


def severity_of(promise: "ServiceLevelAgreementProperty") -> str:
    """Of a service level: the custom property of that name, else a warning."""
    given = [one.value for one in promise.customProperties or () if one.property == "severity"]
    return str(given[0]) if given else "warn"


def options(quoted: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Conditions that are true of rows beyond the options of a logical type."""
    for name, sign, measure in (
        ("minimum", "<", quoted), ("maximum", ">", quoted),
        ("exclusiveMinimum", "<=", quoted), ("exclusiveMaximum", ">=", quoted),
        ("minLength", "<", f"length({quoted})"), ("maxLength", ">", f"length({quoted})"),
    ):  # fmt: skip
        value = options.get(name)
        if isinstance(value, bool) or value is None:
            continue
        text = str(value) if isinstance(value, (int, float)) else literal(str(value))
        yield f"{name} {value}", f"{measure} {sign} {text}"
    if options.get("pattern"):
        pattern = literal(str(options["pattern"]))
        yield f"pattern {options['pattern']}", f"not regexp_matches({quoted}::varchar, {pattern})"


def _compares(holds: Callable[[float, float], bool], value: float, number: float) -> bool:
    return holds(number, value)


Expected = tuple[str, Callable[[float], bool]]
"""What must be, in words, and whether a number is so."""
NONE: Expected = ("0", partial(_compares, operator.eq, 0))
MORE_THAN_0: Expected = ("more than 0", partial(_compares, operator.gt, 0))
_OPERATORS: tuple[tuple[str, str, Callable[[float, float], bool]], ...] = (
    ("mustBe", "{}", operator.eq),
    ("mustNotBe", "not {}", operator.ne),
    ("mustBeGreaterThan", "more than {}", operator.gt),
    ("mustBeGreaterOrEqualTo", "at least {}", operator.ge),
    ("mustBeLessThan", "less than {}", operator.lt),
    ("mustBeLessOrEqualTo", "at most {}", operator.le),
)


def expected(rule: "DataQuality") -> Iterator[Expected]:
    """The operators of a rule: in words, and as a function of the number that was measured."""
    for name, words, holds in _OPERATORS:
        value = getattr(rule, name)
        if isinstance(value, (int, float)):
            yield words.format(shown(value)), partial(_compares, holds, value)
    for name, words, is_inside in (
        ("mustBeBetween", "{} to {}", True),
        ("mustNotBeBetween", "not {} to {}", False),
    ):
        bounds = getattr(rule, name)
        if bounds:
            low, high = bounds
            said = words.format(shown(low), shown(high))
            yield said, partial(_lies, low, high, is_inside)


def _lies(low: float, high: float, is_inside: bool, number: float) -> bool:
    return (low <= number <= high) == is_inside


def shown(number: float) -> str:
    """At most ten digits, with commas: 1,000,000 and 0.25."""
    return f"{number:,.10g}" if abs(number) < 1e10 else f"{number:,.0f}"
