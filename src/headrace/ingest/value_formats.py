"""Values that people write in another way than DuckDB reads them: SQL that rewrites them.

``1.234,50 €``, ``(12.50)``, ``12.5%``, ``31/12/2024``, ``yes``: the settings of a table say how
they are written, and each column that declares a type is rewritten while it is read. A value that
is not written so either stays as it is, and does not fit its type.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from headrace.ingest.model import FileTable
from headrace.sql_text import identifier, literal

_NUMERIC = re.compile(r"decimal|numeric|double|float|real|\w*int")
_BLANK = "[ \u00a0\u202f]"  # also those that do not break
_PLACES = 8  # of a percentage


@dataclass(frozen=True)
class NumberForm:
    """How the numbers of a column are written.

    Attributes:
        decimal: the sign before a fraction: ``.`` or ``,``.
        thousands: the sign between groups of three digits; empty for none.
        currency: signs or words that may stand before or after the number.
        accounting: whether a number in parentheses is negative.
        percent: whether a number has a percent sign, and means a hundredth.
    """

    decimal: str = "."
    thousands: str = ""
    currency: tuple[str, ...] = ()
    accounting: bool = False
    percent: bool = False

    @property
    def pattern(self) -> str:
        """A regular expression of all numbers that are written so."""
        point = re.escape(self.decimal)
        mark = _BLANK if self.thousands == " " else re.escape(self.thousands)
        whole = rf"\d+|\d{{1,3}}({mark}\d{{3}})+" if self.thousands else r"\d+"
        places = rf"\d{{1,{_PLACES}}}" if self.percent else r"\d+"
        number = rf"({whole})({point}{places})?"
        if self.percent:
            return rf"[+-]?{number}{_BLANK}?%"
        if not self.currency:
            return rf"[+-]?{number}" + (rf"|\({number}\)" if self.accounting else "")
        signs = "|".join(re.escape(sign) for sign in self.currency)
        before, after = rf"(({signs}){_BLANK}?)?", rf"({_BLANK}?({signs}))?"
        plain = rf"([+-]?{before}|({signs}){_BLANK}?[+-]){number}{after}"
        return plain + (rf"|{before}\({before}{number}{after}\){after}" if self.accounting else "")

    def plain(self, column: str) -> str:
        """SQL of a number that is written so, as ``-1234.50``.

        Args:
            column: SQL of the text.
        """
        bare = column
        for sign in sorted(self.currency, key=len, reverse=True):
            bare = f"replace({bare}, {literal(sign)}, '')"
        bare = f"regexp_replace({bare}, {literal(f'[^0-9+{re.escape(self.decimal)}-]')}, '', 'g')"
        if self.decimal != ".":
            bare = f"replace({bare}, {literal(self.decimal)}, '.')"
        if self.accounting:
            bare = f"case when contains({column}, '(') then '-' else '' end || {bare}"
        if self.percent:  # exact: 8 and 2 places
            bare = (
                f"cast(cast({bare} as decimal(30,{_PLACES})) * cast('0.01' as decimal(3,2)) "
                "as varchar)"
            )
        return bare

    def rewritten(self, column: str) -> str:
        """SQL of a column: numbers that are written so in plain form, all else as it is."""
        return (
            f"case when regexp_full_match({column}, {literal(self.pattern)}) "
            f"then {self.plain(column)} {self._other(column)}else {column} end"
        )

    def _other(self, column: str) -> str:
        """What must not be read in DuckDB's way, as 1.5 for one and a half is marked as text."""
        if self.percent:
            return f"when {column} is not null then '\"' || {column} || '\"' "
        if self.decimal == ",":
            return f"when contains({column}, '.') then '\"' || {column} || '\"' "
        return ""


def number_form(table: FileTable, *, percent: bool = False) -> NumberForm:
    """How a table writes its numbers."""
    thousands = table.thousands
    if thousands is None:
        thousands = "." if table.decimal == "," else ""
    return NumberForm(table.decimal, thousands, table.currency, table.accounting, percent)


def written_columns(table: FileTable, types: Mapping[str, str]) -> dict[str, str]:
    """SQL of the columns whose values are to be rewritten, by their raw names.

    Args:
        table: declares them, and what stands for null.
        types: of the columns as they are read: text is rewritten, and the texts of JSON.
    """
    found = {}
    declared = _declared(table, {name: _text(name, kind) for name, kind in types.items()})
    nulls = ", ".join(map(literal, table.null_values))
    for name, kind in types.items():
        column, text = identifier(name), _text(name, kind)
        if kind not in {"VARCHAR", "JSON"} or not (nulls or name in declared):
            continue
        value = declared.get(name, text)
        if nulls:
            value = f"case when {text} in ({nulls}) then null else {value} end"
        if kind == "JSON":  # what is no text stays as it is
            value = (
                f"case when json_type({column}) = 'VARCHAR' then to_json({value}) else {column} end"
            )
        found[name] = value
    return found


def _text(name: str, kind: str) -> str:
    return f"({identifier(name)} ->> '$')" if kind == "JSON" else identifier(name)


def _declared(table: FileTable, texts: Mapping[str, str]) -> dict[str, str]:
    """SQL of the columns that declare a type whose values are written in another way."""
    found = {}
    form = number_form(table)
    for name, declared in table.types.items():
        if name not in texts:
            continue
        column, kind = texts[name], declared.lower()
        if name in table.formats:
            found[name] = _day(column, kind, table.formats[name])
        elif name in table.percentages:
            found[name] = number_form(table, percent=True).rewritten(column)
        elif form != NumberForm() and _NUMERIC.match(kind):
            found[name] = form.rewritten(column)
        elif kind in {"boolean", "bool"}:
            found[name] = (
                f"case when lower({column}) in ('yes', 'y', 'on') then 'true' "
                f"when lower({column}) in ('no', 'n', 'off') then 'false' else {column} end"
            )
    return found


def _day(column: str, kind: str, form: str) -> str:
    at = f"try_strptime({column}, {literal(form)})"
    day = f"when {at} = date_trunc('day', {at}) then cast(cast({at} as date) as varchar) "
    return (
        f"case {day if kind == 'date' else ''}"
        f"when {at} is not null then cast({at} as varchar) else {column} end"
    )
