"""Personal data by the look of values: e-mail, phone, card (Luhn), IBAN, IP address, names."""

import ipaddress
import re
from collections.abc import Callable, Collection
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from headrace.quality.profile.model import Kind, Personal, TableProfile
from headrace.sql_text import identifier
from headrace.synth.pii import kind_by_name

if TYPE_CHECKING:
    import duckdb

_LOOKED_AT = 200  # different values of a column
_FEWEST = 3
_SHARE = 0.6  # of the values that must match
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_PHONE: Final = re.compile(r"(\+|00|\()[0-9][0-9 ().\-/x]{5,20}|[0-9]{3}[-. ][0-9]{3}[-. ][0-9]{4}")
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_CARD: Final = re.compile(r"[3-6][0-9]{12,18}")
# words with a capital; it also saves the import of lists of names for a table without any
_NAME: Final = re.compile(r"[^\W\d_a-z][^\W\d_]+([-' ]+[^\W\d_][\w.'-]*){0,4}")


def find_personal(
    connection: "duckdb.DuckDBPyConnection",
    table: str,
    column: str,
    kind: Kind,
    *,
    declared: bool = False,
) -> Personal | None:
    """The personal data that a column seems to hold; None if it seems to hold none.

    Args:
        connection: in which the table is.
        table: in SQL; a sample is enough.
        column: its name.
        kind: what sort of values it has.
        declared: the project says that it holds such data: only of which kind is looked for.
    """
    found, share = None, None
    if kind in {"text", "number"}:
        name = identifier(column)
        values = [
            str(value).strip()
            for (value,) in connection.execute(
                f"select cast({name} as varchar) from {table} where {name} is not null "
                f"group by 1 order by hash(1), 1 limit {_LOOKED_AT}"
            ).fetchall()
        ]
        values = [value for value in values if value]
        matched = {one: sum(map(test, values)) for one, test in _TESTS.items()}
        best = max(matched, key=lambda one: matched[one])
        if len(values) >= _FEWEST and matched[best] >= _SHARE * len(values):
            found, share = best, matched[best] / len(values)
    by_name = kind_by_name(column)
    if found is None and by_name is not None and (kind == "text" or by_name == "birth_date"):
        found = by_name
    if found is None and declared:
        found = "declared"
    return None if found is None else Personal(kind=found, share=share)


def without_values(profile: TableProfile, personal: Collection[str]) -> TableProfile:
    """A profile without the values of some columns, of which shapes and counts remain.

    Args:
        profile: of a table.
        personal: the columns; those that the profile knows to be personal have no values anyway.
    """
    nothing: dict[str, Any] = {
        "min": None, "max": None, "mean": None, "deviation": None,
        "quantiles": {}, "top": (), "histogram": (),
    }  # fmt: skip
    columns = tuple(
        column.model_copy(
            update={**nothing, "personal": column.personal or Personal(kind="declared", share=None)}
        )
        if column.name in personal
        else column
        for column in profile.columns
    )
    if columns == profile.columns:
        return profile
    newest = {"newest": None, "newest_column": None} if profile.newest_column in personal else {}
    return profile.model_copy(update={"columns": columns, **newest})


def _is_email(value: str) -> bool:
    return _EMAIL.fullmatch(value) is not None


def _is_phone(value: str) -> bool:
    return _PHONE.fullmatch(value) is not None and 7 <= sum(map(str.isdigit, value)) <= 15


def _is_card(value: str) -> bool:
    """Of the length and first digit of a card's number, with a right check digit (Luhn)."""
    digits = re.sub(r"[ -]", "", value)
    if not _CARD.fullmatch(digits):
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 * (number > 9)
    return total % 10 == 0


def _is_iban(value: str) -> bool:
    """Of the form of an IBAN, with right check digits (ISO 7064, mod 97)."""
    text = value.replace(" ", "")
    if not _IBAN.fullmatch(text):
        return False
    return int("".join(str(int(sign, 36)) for sign in text[4:] + text[:4])) % 97 == 1


def _is_ip(value: str) -> bool:
    if not {".", ":"} & set(value):
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_name(value: str) -> bool:
    """A first name, alone or before others: ``Ada``, ``Ada M. Lovelace``."""
    return (
        _NAME.fullmatch(value) is not None
        and value.split(maxsplit=1)[0].casefold() in _first_names()
    )


@cache
def _first_names() -> frozenset[str]:
    """First names of some countries, of Faker."""
    import importlib

    found: set[str] = set()
    for locale in ("en_US", "de_DE", "fr_FR", "es_ES", "it_IT"):
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
        for kind in ("first_names", "first_names_male", "first_names_female"):
            found |= {str(name).casefold() for name in getattr(provider, kind, ())}
    return frozenset(found)


_TESTS: Final[dict[str, Callable[[str], bool]]] = {
    "email": _is_email,
    "iban": _is_iban,
    "card_number": _is_card,
    "ip_address": _is_ip,
    "phone": _is_phone,
    "name": _is_name,
}
