"""Which settings would read columns of text as numbers, dates or booleans: for ``inspect``."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from headrace.ingest.types import from_text
from headrace.ingest.value_formats import NumberForm
from headrace.pipeline.reports import Report
from headrace.sql_text import identifier, literal

if TYPE_CHECKING:
    import duckdb

_NULLS = ("N/A", "n/a", "NA", "-", "--", "NULL", "null", "None", "none", "#N/A", "nan", "NaN", ".")
_SIGNS = (
    "$", "€", "£", "¥", "₹", "₩", "₽", "R$", "US$", "kr", "zł", "Kč", "Ft", "Fr.",
    "EUR", "USD", "GBP", "CHF", "JPY", "SEK", "NOK", "DKK", "PLN", "CZK", "CAD", "AUD", "INR",
)  # fmt: skip
_FORMS = ((".", ""), (".", ","), (",", "."), (".", "'"), (".", " "), (",", " "), (",", "'"))
_DAYS = {
    r"\d{1,2}([./-])\d{1,2}([./-])\d{4}": (("%d", "%m", "%Y"), ("%m", "%d", "%Y")),
    r"\d{4}([./-])\d{1,2}([./-])\d{1,2}": (("%Y", "%m", "%d"),),
    r"\d{1,2}([./-])\d{1,2}([./-])\d{2}": (("%d", "%m", "%y"), ("%m", "%d", "%y")),
    r"\d{1,2}([ -])[A-Za-z]{3}([ -])\d{4}": (("%d", "%b", "%Y"),),
}
_LIKE_A_DAY = r"\d{1,4}[./ -][0-9A-Za-z]{1,3}[./ -]\d{1,4}[ :\d]*"  # each of them, as one pattern
_CLOCKS = {"": "", r" \d{1,2}:\d\d": " %H:%M", r" \d{1,2}:\d\d:\d\d": " %H:%M:%S"}


class Doubt(Report):
    """What the files do not say for certain, and the settings that would decide it."""

    reason: str
    settings: dict[str, Any] = Field(description="of the table")


_FEW = 1000  # values that are asked first: most guesses are refuted by them


@dataclass(frozen=True)
class _Texts:
    """A column of text in the table ``found``; values that may stand for null are left out.

    The first of them are in a table of their own, which is asked sooner than a wide one.
    """

    connection: "duckdb.DuckDBPyConnection"
    name: str
    are_all: bool = False  # the few are all that there are

    @staticmethod
    def of(connection: "duckdb.DuckDBPyConnection", name: str) -> "_Texts":
        """The column, with its first values in the table ``few``."""
        texts = _Texts(connection, name)
        query = f"select {texts.quoted} {texts._values} limit {_FEW}"
        (count,) = connection.execute(
            f"create or replace temp table few as {query}"
        ).fetchone() or (0,)
        return _Texts(connection, name, are_all=count < _FEW)

    @property
    def quoted(self) -> str:
        return identifier(self.name)

    @property
    def _values(self) -> str:
        nulls = ", ".join(map(literal, _NULLS))
        return f"from found where {self.quoted} is not null and {self.quoted} not in ({nulls})"

    def _holding(self, conditions: Sequence[str], rows: str) -> list[bool]:
        asked = ", ".join(f"bool_and(coalesce({one}, false))" for one in conditions)
        return [
            bool(one) for one in self.connection.execute(f"select {asked} {rows}").fetchall()[0]
        ]

    def which_hold(self, conditions: Sequence[str]) -> list[bool]:
        """Of each condition, whether there are values and it holds for all of them."""
        holds = self._holding(conditions, "from few")
        rest = [one for one, is_so in zip(conditions, holds, strict=True) if is_so]
        if self.are_all or not rest:
            return holds
        whole = dict(zip(rest, self._holding(rest, self._values), strict=True))
        return [whole.get(one, False) for one in conditions]

    def all_are(self, condition: str) -> bool:
        return self.which_hold([condition])[0]

    def all_match(self, patterns: Sequence[str]) -> list[bool]:
        """Of each pattern, whether all values match it."""
        return self.which_hold(
            [f"regexp_full_match({self.quoted}, {literal(one)})" for one in patterns]
        )

    def any_match(self, patterns: Sequence[str]) -> list[bool]:
        """Of each pattern, whether it is found in any value."""
        none = [f"not regexp_matches({self.quoted}, {literal(one)})" for one in patterns]
        return [not one for one in self.which_hold(none)]

    def first(self, expression: str) -> Any:
        query = f"select {expression} {self._values} limit 1"
        (value,) = self.connection.execute(query).fetchone() or (None,)
        return value

    @property
    def nulls(self) -> list[str]:
        query = (
            f"select distinct {self.quoted} from found where {self.quoted} in "
            f"({', '.join(map(literal, _NULLS))}) order by all"
        )
        return [value for (value,) in self.connection.execute(query).fetchall()]


def value_doubts(connection: "duckdb.DuckDBPyConnection", columns: Iterable[str]) -> list[Doubt]:
    """What columns of text may be, each with the settings that would read them so.

    Args:
        connection: with the rows in a table ``found``.
        columns: names of columns of text.
    """
    doubts: list[Doubt] = []
    form: NumberForm | None = None  # one table writes its numbers in one way
    for name in columns:
        texts = _Texts.of(connection, name)
        found, used = _doubt(texts, form)
        if found is None:
            continue
        form = used or form
        if nulls := texts.nulls:
            shown = ", ".join(map(repr, nulls))
            found = Doubt(
                reason=f"{found.reason}, but for {shown}, which may stand for null",
                settings={**found.settings, "null_values": nulls},
            )
        doubts.append(found)
    return doubts


def _doubt(texts: _Texts, form: NumberForm | None) -> tuple[Doubt | None, NumberForm | None]:
    name = texts.name
    if texts.all_are(f"lower({texts.quoted}) in ('yes', 'no', 'y', 'n', 'on', 'off')"):
        return Doubt(reason=f"{name} is yes or no", settings={"columns": {name: "boolean"}}), None
    if texts.nulls and (kind := _plain_kind(texts)):
        return Doubt(reason=f"{name} is a {kind}", settings={}), None
    number = _number(texts, form)
    if number is not None:
        return number
    return _day(texts), None


def _plain_kind(texts: _Texts) -> str | None:
    """What the values are without those that stand for null."""
    kinds = {"BIGINT": "number", "DOUBLE": "number", "DATE": "date", "TIMESTAMP": "timestamp",
             "BOOLEAN": "boolean"}  # fmt: skip
    for kind, word in kinds.items():
        if texts.all_are(f"({from_text(texts.quoted, kind, first=True)}) is not null"):
            return word
    return None


def _number(texts: _Texts, form: NumberForm | None) -> tuple[Doubt, NumberForm] | None:
    """Numbers with signs that DuckDB does not read; all of one form."""
    has_digits, has_parentheses = texts.any_match(["[0-9]", r"^\W*\(.*\)\W*$"])
    if not has_digits:
        return None
    (percent,) = texts.all_match([r".*%\s*"])
    currency = () if percent else _signs(texts)
    accounting = not percent and has_parentheses
    forms = [NumberForm(*marks, currency, accounting, percent) for marks in _FORMS]
    matched = texts.all_match([one.pattern for one in forms])
    fitting = [one for one, is_so in zip(forms, matched, strict=True) if is_so]
    if not fitting or fitting[0] == NumberForm():
        return None
    alike = [one for one in fitting if form is None or _go_together(one, form)]
    if not alike:
        return None  # another form than that of a column before it, and a table has one
    used = alike[0]
    return _described(texts, used, len({one.decimal for one in alike}) > 1), used


def _go_together(one: NumberForm, other: NumberForm) -> bool:
    both = {one.thousands, other.thousands} - {""}
    return one.decimal == other.decimal and len(both) < 2


def _signs(texts: _Texts) -> tuple[str, ...]:
    """The currency signs that values have."""
    absent = texts.which_hold([f"not contains({texts.quoted}, {literal(one)})" for one in _SIGNS])
    there = [sign for sign, is_absent in zip(_SIGNS, absent, strict=True) if not is_absent]
    if not there:
        return ()
    seen = texts.any_match([rf"(^|[\s\d(+-]){re.escape(sign)}" for sign in there])
    found = [sign for sign, is_so in zip(there, seen, strict=True) if is_so]
    return tuple(
        sign for sign in found if not any(sign != other and sign in other for other in found)
    )


def _described(texts: _Texts, form: NumberForm, is_open: bool) -> Doubt:
    name = texts.name
    fraction = literal(rf"{re.escape(form.decimal)}(\d+)")
    places = f"max(length(regexp_extract({texts.quoted}, {fraction}, 1)))"
    scale = int(texts.first(places) or 0)
    settings: dict[str, Any] = {}
    words = []
    if form.percent:
        words.append("percentages, so that 12.5% is 0.125")
    if form.currency:
        words.append(f"amounts in {', '.join(form.currency)}")
        settings["currency"] = list(form.currency)
    if form.decimal == ",":
        words.append("numbers with a decimal comma")
        settings["decimal"] = ","
    if form.thousands and not (form.decimal == "," and form.thousands == "."):
        words.append(f"numbers in groups by {form.thousands!r}")
        settings["thousands"] = form.thousands
    if form.accounting:
        words.append("numbers of which those in parentheses are negative")
        settings["accounting"] = True
    open_ = ", if the comma is not between thousands" if is_open and form.decimal == "," else ""
    open_ = open_ or (", if the comma is not a decimal one" if is_open else "")
    scale += 2 if form.percent else 0
    kind = f"decimal(18,{scale})" + (" percent" if form.percent else "")
    return Doubt(
        reason=f"{name} looks like {' and '.join(words)}{open_}",
        settings={**settings, "columns": {name: kind}},
    )


def _day(texts: _Texts) -> Doubt | None:
    if not texts.all_match([_LIKE_A_DAY])[0]:
        return None
    shapes = {
        shape + clock: (shape, orders, ending)
        for shape, orders in _DAYS.items()
        for clock, ending in _CLOCKS.items()
    }
    for is_so, (shape, orders, ending) in zip(
        texts.all_match(list(shapes)), shapes.values(), strict=True
    ):
        if is_so:
            mark, second = (
                texts.first(f"regexp_extract({texts.quoted}, {literal(shape)}, {number})")
                for number in (1, 2)
            )
            forms = [f"{a}{mark}{b}{second}{c}{ending}" for a, b, c in orders]
            fitting = [form for form in forms if texts.all_are(_parsed(texts, form))]
            if not fitting:
                return None
            open_ = " (or the month may come first: no day is above 12)"
            kind = "timestamp" if ending else "date"
            return Doubt(
                reason=f"{texts.name} looks like {kind}s{open_ if len(fitting) > 1 else ''}",
                settings={"columns": {texts.name: f"{kind} {fitting[0]}"}},
            )
    return None


def _parsed(texts: _Texts, form: str) -> str:
    return f"try_strptime({texts.quoted}, {literal(form)}) is not null"
