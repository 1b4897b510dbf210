"""Numbers as people write them: read exactly, or not at all."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.ingest.model import FileTable
from headrace.ingest.value_formats import NumberForm, written_columns


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def read(value: str, kind: str = "decimal(12,2)", **settings: Any) -> str | None:
    """A value as it is handed on: as a plain number where it is one, else marked or as it is."""
    table = FileTable("*", columns={"v": kind}, **settings)
    sql = written_columns(table, {"v": "VARCHAR"}).get("v", "v")
    with duckdb.connect() as connection:
        row = connection.execute(f"select {sql} from (select ? as v)", [value]).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize(
    ("value", "settings", "plain"),
    [
        ("$1,234.50", {"currency": ("$",), "thousands": ","}, "1234.50"),
        ("-$5", {"currency": ("$",)}, "-5"),
        ("$-5", {"currency": ("$",)}, "-5"),
        ("- $5", {"currency": ("$",)}, "- $5"),
        ("5 Fr.", {"currency": ("Fr.",)}, "5"),
        ("Fr. 5.50", {"currency": ("Fr.",)}, "5.50"),
        ("€5", {"currency": ("$",)}, "€5"),
        ("($5)", {"currency": ("$",), "accounting": True}, "-5"),
        ("$(5)", {"currency": ("$",), "accounting": True}, "-5"),
        ("(-5)", {"accounting": True}, "(-5)"),
        ("(5", {"accounting": True}, "(5"),
        ("(5)", {}, "(5)"),
        ("1,23", {"thousands": ","}, "1,23"),
        ("1,2345", {"thousands": ","}, "1,2345"),
        ("1234,567", {"thousands": ","}, "1234,567"),
        ("1.5", {"decimal": ","}, '"1.5"'),
        ("1 234", {"decimal": ",", "thousands": " "}, "1234"),
        ("1.234", {"decimal": ",", "thousands": " "}, '"1.234"'),
    ],
)
def test_numbers_by_settings(value: str, settings: dict[str, Any], plain: str) -> None:
    assert read(value, **settings) == plain


@pytest.mark.parametrize(
    ("value", "plain"),
    [("12.5%", "0.1250000000"), ("-3 %", "-0.0300000000"), ("0.5", '"0.5"'),
     ("1.123456789%", '"1.123456789%"'), ("5%%", '"5%%"')],
)  # fmt: skip
def test_a_percentage_has_its_sign(value: str, plain: str) -> None:
    assert read(value, "decimal(12,4) percent") == plain


@given(
    st.integers(-(10**10), 10**10),
    st.sampled_from([(".", ","), (",", "."), (".", "'"), (",", " ")]),
    st.sampled_from(["{sign}€ {number}", "€{sign}{number}", "{sign}{number} €", "{sign}{number}"]),
)
def test_every_amount_is_read_as_it_was_meant(
    connection: duckdb.DuckDBPyConnection, cents: int, form: tuple[str, str], written: str
) -> None:
    decimal, thousands = form
    whole, fraction = divmod(abs(cents), 100)
    number = f"{whole:,}".replace(",", thousands) + f"{decimal}{fraction:02}"
    sign = "-" if cents < 0 else ""
    value = written.format(sign=sign, number=number)
    found = NumberForm(decimal, thousands, ("€",)).rewritten("v")
    row = connection.execute(f"select {found} from (select ? as v)", [value]).fetchone()
    assert row == (f"{sign}{whole}.{fraction:02}",)


def test_settings_that_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="decimal and thousands cannot both be ','"):
        FileTable("*", decimal=",", thousands=",")
