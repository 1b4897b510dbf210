"""Casts lose nothing: what does not fit exactly becomes null."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.ingest.casts import exact_cast


def cast(value: str, read: str, stored: str) -> Any:
    with duckdb.connect() as connection:
        row = connection.execute(
            f"select {exact_cast('x', read, stored)} from (select cast(? as {read}) as x)", [value]
        ).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("value", "read", "stored", "expected"),
    [
        ("12", "VARCHAR", "BIGINT", 12),
        ("12.0", "VARCHAR", "BIGINT", 12),
        ("-7", "VARCHAR", "BIGINT", -7),
        ("12.5", "VARCHAR", "BIGINT", None),
        ("abc", "VARCHAR", "BIGINT", None),
        ("99999999999999999999", "VARCHAR", "BIGINT", None),
        ("2.5", "DOUBLE", "BIGINT", None),
        ("2.0", "DOUBLE", "BIGINT", 2),
        ("2.50", "VARCHAR", "DECIMAL(10,2)", Decimal("2.50")),
        ("2.505", "VARCHAR", "DECIMAL(10,2)", None),
        ("2024-02-29", "VARCHAR", "DATE", date(2024, 2, 29)),
        ("2024-02-30", "VARCHAR", "DATE", None),
        ("2024-02-29 10:00:00", "VARCHAR", "DATE", None),
        ("2024-02-29 00:00:00", "TIMESTAMP", "DATE", date(2024, 2, 29)),
        ("2024-02-29 10:00:00", "TIMESTAMP", "DATE", None),
        ("2024-02-29", "VARCHAR", "TIMESTAMP", datetime(2024, 2, 29)),  # noqa: DTZ001
        ("true", "VARCHAR", "BOOLEAN", True),
        ("5", "BIGINT", "VARCHAR", "5"),
    ],
)
def test_a_value_fits_or_is_null(value: str, read: str, stored: str, expected: Any) -> None:
    assert cast(value, read, stored) == expected


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_integer_survives(number: int) -> None:
    assert cast(str(number), "VARCHAR", "BIGINT") == number


@given(st.decimals(-(10**7), 10**7, places=2))
def test_every_amount_survives(amount: Decimal) -> None:
    assert cast(str(amount), "VARCHAR", "DECIMAL(10,2)") == amount
