"""The types of columns: those declared in the settings, and those that all values fit exactly.

What fits is decided by ``roundtrip`` alone, with the SQL that later loads cast with.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from headrace.errors import SourceError
from headrace.ingest.model import FileTable
from headrace.ingest.types import (
    DECIMAL_DIGITS,
    decimal_for,
    decimal_parts,
    exact_cast,
    is_always_exact,
    is_numeral,
    stored_type,
)
from headrace.sql_text import batches, identifier, identifiers

if TYPE_CHECKING:
    import duckdb

SAMPLE_ROWS = 20_480
_SAMPLE_VALUES = 50 * SAMPLE_ROWS
_LEAST_SAMPLE_ROWS = 500
_MANY = 1_000  # columns and kinds that are asked about
_TOGETHER = 250  # columns in one query
_TYPE = re.compile(r"[A-Za-z_ ]+(\(\d+(, *\d+)?\))?")
_SOME_DECIMAL = "DECIMAL"  # of 38 digits, with the scale that the values have
_TYPED = frozenset({"parquet", "avro"})  # formats with types of their own
_TIMES = ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS")
TEXT_KINDS = ("BIGINT", "DOUBLE", "BOOLEAN", *_TIMES)
JSON_KINDS = ("BIGINT", "DOUBLE", _SOME_DECIMAL, "BOOLEAN", *_TIMES, "VARCHAR")


@dataclass(frozen=True)
class Question:
    """Which type does a column have?

    Attributes:
        name: the raw column.
        read: the type that the reader gives.
        kinds: the types that come into question, the best first.
        otherwise: the type if none of them holds all values.
        is_fixed: whether the only kind stands: asked is whether all values fit it.
        is_declared: whether the settings declare it.
    """

    name: str
    read: str
    kinds: tuple[str, ...]
    otherwise: str = "VARCHAR"
    is_fixed: bool = False
    is_declared: bool = False

    def cast(self, kind: str) -> str:
        """SQL of the value in a type, null where it does not fit."""
        if kind == _SOME_DECIMAL:
            return f"case when {is_numeral(self.name, self.read)} then true end"
        return exact_cast(self.name, self.read, kind, utc=self.is_declared, first=not self.is_fixed)


@dataclass
class Answers:
    """What was found.

    Attributes:
        types: the type of each column.
        misfits: fixed columns that have a value which does not fit.
        further: values of the further aggregates.
    """

    types: dict[str, str] = field(default_factory=dict)
    misfits: list[str] = field(default_factory=list)
    further: tuple[Any, ...] = ()


def questions_of(kinds: set[tuple[str, str]], name: str, read: str) -> Question:
    """What to ask about a column of files.

    Args:
        kinds: format and type in each file that has a value of it.
        name: the raw column.
        read: the type of all files together.
    """
    if read == "JSON":
        return Question(name, read, JSON_KINDS, otherwise="JSON")
    formats = {form for form, _ in kinds}
    stored = {stored_type(kind) for form, kind in kinds if form in _TYPED}
    if formats <= _TYPED:
        return Question(name, read, _common(stored))
    # CSV and JSON say nothing that the values do not say, Parquet and Avro know what is text
    typed = _common(stored) if stored else ()
    return Question(name, read, () if "VARCHAR" in stored else (*typed, *TEXT_KINDS))


def fixed_question(name: str, read: str, kind: str, *, is_declared: bool) -> Question:
    """Whether all values of a column fit the type that it has already."""
    return Question(name, read, (kind,), is_fixed=True, is_declared=is_declared)


def _common(kinds: set[str]) -> tuple[str, ...]:
    """Types that may hold the values of all these types, the best first."""
    if len(kinds) == 1:
        return tuple(kinds)
    if kinds <= {"DATE", "TIMESTAMP", "TIMESTAMP_NS"}:
        return ("TIMESTAMP_NS",) if "TIMESTAMP_NS" in kinds else ("TIMESTAMP",)
    decimal = decimal_for(kinds - {"DOUBLE"})
    if "DOUBLE" in kinds and (decimal or kinds <= {"BIGINT", "DOUBLE"}):
        return ("DOUBLE", _SOME_DECIMAL)
    return (decimal,) if decimal else ()


def sample_rows(columns: int) -> int:
    """How many rows a sample has: of a wide file fewer, as each value is tried as all types."""
    return min(SAMPLE_ROWS, max(_LEAST_SAMPLE_ROWS, _SAMPLE_VALUES // max(columns, 1)))


def infer_types(
    connection: "duckdb.DuckDBPyConnection",
    rows: str,
    sample: str,
    questions: Iterable[Question],
    further: Sequence[str] = (),
) -> Answers:
    """The types of columns, in one pass over the rows where the sample is like the rest.

    A column gets the first of its kinds that every value fits exactly. A column of nothing but
    nulls is text.

    Args:
        connection: a local DuckDB.
        rows: SQL of all rows, to select from.
        sample: SQL of some of them: what they rule out need not be asked of all.
        questions: the columns.
        further: aggregates to compute in the same pass.
    """
    answers = Answers()
    left: list[Question] = []
    for each in questions:
        if len(each.kinds) == 1 and is_always_exact(each.read, each.kinds[0]):
            answers.types[each.name] = each.kinds[0]
        else:
            left.append(each)
    open_kinds = {each.name: list(each.kinds) for each in left}
    tried = [(each, kind) for each in left if len(each.kinds) > 1 for kind in each.kinds]
    found, _ = _count(connection, sample, tried)
    for (each, kind), (filled, fitting) in zip(tried, found, strict=True):
        if fitting < filled:
            open_kinds[each.name].remove(kind)
    while left or further:
        tried = [(each, open_kinds[each.name][0]) for each in left if open_kinds[each.name]]
        answers.types |= {each.name: each.otherwise for each in left if not open_kinds[each.name]}
        found, values = _count(connection, rows, tried, further)
        answers.further, further = values or answers.further, ()
        left = []
        for (each, kind), (filled, fitting) in zip(tried, found, strict=True):
            if each.is_fixed or (fitting == filled != 0 and kind != _SOME_DECIMAL):
                answers.types[each.name] = kind
                answers.misfits += [each.name] if fitting < filled else []
            elif not filled:
                answers.types[each.name] = kind if len(each.kinds) == 1 else "VARCHAR"
            elif fitting < filled:
                open_kinds[each.name].pop(0)
                left.append(each)
            else:  # nothing but numbers, and some of them wider than a double
                open_kinds[each.name] = _decimals(connection, rows, each)
                left.append(replace(each, otherwise="VARCHAR"))
    return answers


def _decimals(connection: "duckdb.DuckDBPyConnection", rows: str, question: Question) -> list[str]:
    """The decimal that may hold all values of a column of numbers, else text."""
    whole, scale = decimal_parts(question.name)
    row = connection.execute(f"select max({whole}), max({scale}) from {rows}").fetchone()
    digits, places = row or (0, 0)
    fits = digits + places <= DECIMAL_DIGITS
    return [f"DECIMAL({DECIMAL_DIGITS},{places})"] if fits else []


def _count(
    connection: "duckdb.DuckDBPyConnection",
    rows: str,
    tried: Sequence[tuple[Question, str]],
    further: Sequence[str] = (),
) -> tuple[list[tuple[int, int]], tuple[Any, ...]]:
    """How many values there are, and how many of them fit a kind; further aggregates."""
    if len(tried) > _MANY and not further:
        return _count_many(connection, rows, tried), ()
    found: list[tuple[int, int]] = []
    values: tuple[Any, ...] = ()
    for batch in list(batches(tried)) or ([()] if further else []):
        counts = [
            f"count({what})"
            for question, kind in batch
            for what in (identifier(question.name), question.cast(kind))
        ]
        asked = [*counts, *further] if not found else counts
        row = connection.execute(f"select {', '.join(asked)} from {rows}").fetchone() or ()
        numbers = row[: len(counts)]
        values = values or tuple(row[len(counts) :])
        found += zip(numbers[::2], numbers[1::2], strict=True)
    return found, values


def _count_many(
    connection: "duckdb.DuckDBPyConnection", rows: str, tried: Sequence[tuple[Question, str]]
) -> list[tuple[int, int]]:
    """The same for very many columns: those of one kind as one column, grouped by their names.

    A query that asks about many columns takes longer to plan than to run.
    """
    groups: dict[tuple[str, str, bool, bool], list[str]] = {}
    for question, kind in tried:
        key = (question.read, kind, question.is_fixed, question.is_declared)
        groups.setdefault(key, []).append(question.name)
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for (read, kind, is_fixed, is_declared), names in groups.items():
        alike = Question("value", read, (kind,), is_fixed=is_fixed, is_declared=is_declared)
        for start in range(0, len(names), _TOGETHER):
            columns = identifiers(names[start : start + _TOGETHER])
            query = (
                f"select name, count(value), count({alike.cast(kind)}) from "
                f"(unpivot (select {columns} from {rows}) on columns(*) "
                "into name name value value) group by name"
            )
            for name, filled, fitting in connection.execute(query).fetchall():
                found[name, kind] = filled, fitting
    return [found.get((question.name, kind), (0, 0)) for question, kind in tried]


def declared_types(connection: "duckdb.DuckDBPyConnection", table: FileTable) -> dict[str, str]:
    """The declared column types as they are stored: ``int`` becomes ``BIGINT``.

    Raises:
        SourceError: one of them is no type of DuckDB.
    """
    import duckdb

    types = {}
    for column, declared in table.types.items():
        if not _TYPE.fullmatch(declared):
            raise SourceError(f"columns.{column}: {declared!r} is not a type, like bigint or text")
        try:
            row = connection.execute(f"describe select cast(null as {declared}) as x").fetchone()
        except duckdb.Error as error:
            raise SourceError(
                f"columns.{column}: DuckDB has no type {declared!r}; use one like bigint, text, "
                "double, decimal(12,2), boolean, date or timestamp"
            ) from error
        types[column] = stored_type(str(row[1]) if row else "VARCHAR")
    return types
