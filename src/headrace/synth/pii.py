"""Personal data by the names of columns: it is replaced, and never copied from the sample."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Pii:
    """What a column of personal data is replaced by.

    Attributes:
        kind: of personal data, such as ``email``; it becomes the tag ``pii``.
        provider: the Faker provider, such as ``first_name``; None where a pattern stands for it.
        pattern: # is a digit, ? a capital letter.
        endless: whether the provider can give different values to any number of rows.
    """

    kind: str
    provider: str | None = None
    pattern: str | None = None
    endless: bool = False


_EMAIL: Final = Pii("email", "email", endless=True)
_NAME: Final = Pii("name", "name")
_BY_NAME: Final = tuple(
    (re.compile(pattern), personal)
    for pattern, personal in (
        (r"(^|_)e?_?mail(_?address)?$", _EMAIL),
        (r"(^|_)(first|given|middle)_?name$|(^|_)forename$", Pii("first_name", "first_name")),
        (r"(^|_)(last|family|birth|maiden)_?name$|surname$", Pii("last_name", "last_name")),
        ((r"(^|_)(full|contact|person|customer|patient|employee|holder|recipient|author|client)"
         r"_?name$"), _NAME),
        (r"(phone|mobile|(^|_)fax|(^|_)tel)(_?(number|no))?$",
         Pii("phone", pattern="+1-###-555-####")),
        (r"(^|_)(ssn|social_security(_number)?|national_id|tax_id)$",
         Pii("ssn", pattern="###-##-####")),
        (r"(^|_)(passport|licen[cs]e)(_?(number|no))?$", Pii("passport", pattern="?########")),
        (r"(^|_)iban$", Pii("iban", pattern="??####################")),
        (r"(^|_)(credit_?)?card_?(number|no)$",
         Pii("card_number", pattern="4###############")),
        (r"(^|_)(user_?name|login|nick_?name|handle)$",
         Pii("user_name", "user_name", endless=True)),
        (r"(^|_)ip(_?addr(ess)?)?$", Pii("ip_address", "ipv4")),
        (r"(^|_)(street|address(_?line)?_?[0-9]?|street_?address)$",
         Pii("address", "street_address")),
        (r"(^|_)(zip|post(al)?)_?(code)?$", Pii("postcode", "postcode")),
        (r"(^|_)(birth_?(date|day)|date_of_birth|dob|born(_on)?)$", Pii("birth_date")),
    )
)  # fmt: skip
_PEOPLE: Final = re.compile(
    r"(customer|user|employee|person|people|member|patient|contact|student|teacher|author|guest|"
    r"driver|client|subscriber|staff|worker|applicant|lead)s?$"
)


def find_pii(table: str, name: str, column: "pa.ChunkedArray", names: Sequence[str]) -> Pii | None:
    """What a column is replaced by; None if it does not look like personal data.

    Args:
        table: its table's name.
        name: its name.
        column: its values; text in which most hold an @ counts as e-mail, whatever the name.
        names: all columns of the table: ``name`` is a person's where an e-mail, a telephone
            number or the like stands beside it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found = _by_name(name)
    if found is not None:
        is_date = pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)
        if pa.types.is_string(column.type) or pa.types.is_null(column.type):
            return found if found.kind != "birth_date" else None
        if found.kind == "birth_date":
            return found if is_date else None
        is_number = pa.types.is_integer(column.type) and found.pattern is not None
        return found if is_number else None
    if not pa.types.is_string(column.type):
        return None
    if _is_persons_name(table, name, names):
        return _NAME
    values = column.drop_null().unique()
    mails = pc.sum(pc.match_substring_regex(values, r"^\S+@\S+\.\S+$")).as_py() or 0
    return _EMAIL if mails > len(values) / 2 else None


def is_about_people(table: str) -> bool:
    """Whether the rows of a table are persons, by its name."""
    return bool(_PEOPLE.search(table.lower()))


def kind_by_name(name: str) -> str | None:
    """The kind of personal data that a column's name tells of, such as ``email``."""
    found = _by_name(name)
    return found.kind if found is not None else None


def _by_name(name: str) -> Pii | None:
    lower = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return next((personal for pattern, personal in _BY_NAME if pattern.search(lower)), None)


def _is_persons_name(table: str, name: str, names: Sequence[str]) -> bool:
    if name.lower() != "name":
        return False
    beside = {found.kind for other in names if (found := _by_name(other)) is not None}
    return is_about_people(table) or bool(
        beside & {"email", "phone", "ssn", "birth_date", "first_name", "last_name"}
    )
