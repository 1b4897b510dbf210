"""The rule for types: a value has a type only if writing it back gives what was there."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.ingest.types import exact_cast

TZ = "TIMESTAMP WITH TIME ZONE"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


def cast(
    connection: duckdb.DuckDBPyConnection, value: str, read: str, stored: str, **options: bool
) -> Any:
    row = connection.execute(
        f"select {exact_cast('x', read, stored, **options)} from (select cast(? as {read}) as x)",
        [value],
    ).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("value", "stored", "expected"),
    [
        ("12", "BIGINT", 12),
        ("-7", "BIGINT", -7),
        ("0", "BIGINT", 0),
        ("9223372036854775807", "BIGINT", 9223372036854775807),
        ("9223372036854775808", "BIGINT", None),
        ("01067", "BIGINT", None),
        ("00", "BIGINT", None),
        ("+41791234570", "BIGINT", None),
        ("-0", "BIGINT", None),
        ("1_000", "BIGINT", None),
        ("0x10", "BIGINT", None),
        (" 5", "BIGINT", None),
        ("12.5", "BIGINT", None),
        ("abc", "BIGINT", None),
        ("true", "BIGINT", None),
        ("1e3", "BIGINT", None),
        ("", "BIGINT", None),
        ("1.5", "DOUBLE", 1.5),
        ("1.50", "DOUBLE", 1.5),
        (".5", "DOUBLE", 0.5),
        ("2", "DOUBLE", 2.0),
        ("-0.25", "DOUBLE", -0.25),
        ("0.30000000000000004", "DOUBLE", 0.30000000000000004),
        ("1e-07", "DOUBLE", 1e-07),
        ("1e-7", "DOUBLE", 1e-07),
        ("1.5e+20", "DOUBLE", 1.5e20),
        ("1.5E+20", "DOUBLE", 1.5e20),
        ("100000000000000000000.0", "DOUBLE", 1e20),
        ("9007199254740991", "DOUBLE", 9007199254740991.0),
        ("9007199254740993", "DOUBLE", None),
        ("10000000000000000", "DOUBLE", None),
        ("12345678901234567.89", "DOUBLE", None),
        ("3.14159265358979323846", "DOUBLE", None),
        ("007.10", "DOUBLE", None),
        ("+1.5", "DOUBLE", None),
        ("1E5", "DOUBLE", None),
        ("1e5", "DOUBLE", None),
        ("12E-3", "DOUBLE", None),
        ("1e+400", "DOUBLE", None),
        ("1e-400", "DOUBLE", None),
        ("nan", "DOUBLE", None),
        ("inf", "DOUBLE", None),
        ("5.", "DOUBLE", None),
        ("1,5", "DOUBLE", None),
        ("2.50", "DECIMAL(10,2)", Decimal("2.50")),
        ("2.5", "DECIMAL(10,2)", Decimal("2.50")),
        ("2.500", "DECIMAL(10,2)", Decimal("2.50")),
        ("2.505", "DECIMAL(10,2)", None),
        ("02.50", "DECIMAL(10,2)", None),
        ("123456789.00", "DECIMAL(10,2)", None),
        ("1e-02", "DECIMAL(10,2)", Decimal("0.01")),
        ("1e-03", "DECIMAL(10,2)", None),
        ("true", "BOOLEAN", True),
        ("FALSE", "BOOLEAN", False),
        ("1", "BOOLEAN", None),
        ("yes", "BOOLEAN", None),
        ("t", "BOOLEAN", None),
        ("2024-02-29", "DATE", date(2024, 2, 29)),
        ("2024-02-30", "DATE", None),
        ("2024-2-3", "DATE", None),
        ("2024/01/05", "DATE", None),
        ("01/02/2024", "DATE", None),
        ("104500-3-1", "DATE", None),
        ("104500-11-12", "DATE", None),
        ("0000-01-01", "DATE", None),
        ("infinity", "DATE", None),
        ("2024-02-29 10:00:00", "DATE", None),
        ("2024-02-29 10:30:00", "TIMESTAMP", moment("2024-02-29T10:30:00")),
        ("2024-02-29T10:30:00.120", "TIMESTAMP", moment("2024-02-29T10:30:00.120000")),
        ("2024-02-29T10:30", "TIMESTAMP", moment("2024-02-29T10:30:00")),
        ("2024-02-29", "TIMESTAMP", moment("2024-02-29T00:00:00")),
        ("2024-02-29T10:30:00.1234560", "TIMESTAMP", moment("2024-02-29T10:30:00.123456")),
        ("2024-02-29T10:30:00.1234567", "TIMESTAMP", None),
        ("2024-02-29 24:00:00", "TIMESTAMP", None),
        ("2024-02-30 10:00:00", "TIMESTAMP", None),
        ("2024-02-29  10:00:00", "TIMESTAMP", None),
        ("2024-02-29 10:00:00Z", "TIMESTAMP", None),
        ("2024-02-29 10:00:00-05", "TIMESTAMP", None),
        ("104500-11-12", "TIMESTAMP", None),
        ("104500-11-12 00:00:00", "TIMESTAMP", None),
        ("0001-01-01 (BC) 00:00:00", "TIMESTAMP", None),
        ("2024-02-29T12:00:00+02:00", TZ, datetime(2024, 2, 29, 10, tzinfo=UTC)),
        ("2024-02-29 12:00:00+0200", TZ, datetime(2024, 2, 29, 10, tzinfo=UTC)),
        ("2024-02-29 05:00:00-05", TZ, datetime(2024, 2, 29, 10, tzinfo=UTC)),
        ("2024-02-29T10:00Z", TZ, datetime(2024, 2, 29, 10, tzinfo=UTC)),
        ("2024-02-29T10:00:00.1234567Z", TZ, None),
        ("2024-02-29 10:00:00", TZ, None),
        ("2024-02-29", TZ, None),
        ("2500-01-01 00:00:00.000000001", "TIMESTAMP_NS", None),
        ("07:05", "TIME", time(7, 5)),
        ("7:05", "TIME", None),
        ("24:00", "TIME", None),
        ("01067", "VARCHAR", "01067"),
    ],
)
def test_text_is_kept_or_null(
    connection: duckdb.DuckDBPyConnection, value: str, stored: str, expected: Any
) -> None:
    """A later load, and every first load but for the forms of the next test."""
    assert cast(connection, value, "VARCHAR", stored) == expected
    assert cast(connection, value, "VARCHAR", stored, first=True) == expected


@pytest.mark.parametrize(
    ("value", "read", "stored", "expected"),
    [
        ("2.0", "VARCHAR", "BIGINT", 2),
        ("2024-02-29 00:00:00", "VARCHAR", "DATE", date(2024, 2, 29)),
        ('"12"', "JSON", "BIGINT", 12),
        ('"true"', "JSON", "BOOLEAN", True),
    ],
)
def test_forms_that_count_in_a_column_that_is_there_already(
    connection: duckdb.DuckDBPyConnection, value: str, read: str, stored: str, expected: Any
) -> None:
    assert cast(connection, value, read, stored) == expected
    assert cast(connection, value, read, stored, first=True) is None


@pytest.mark.parametrize(
    ("value", "stored", "expected"),
    [
        ("2024-02-29 10:00:00", TZ, datetime(2024, 2, 29, 10, tzinfo=UTC)),
        ("2024-02-29", TZ, datetime(2024, 2, 29, tzinfo=UTC)),
        ("2024-02-29 12:00:00+02:00", "TIMESTAMP", moment("2024-02-29T10:00:00")),
    ],
)
def test_a_time_without_offset_is_utc_where_the_type_is_declared(
    connection: duckdb.DuckDBPyConnection, value: str, stored: str, expected: Any
) -> None:
    assert cast(connection, value, "VARCHAR", stored, utc=True) == expected
    assert cast(connection, value, "VARCHAR", stored) is None


@pytest.mark.parametrize(
    ("value", "read", "stored", "expected"),
    [
        ("2.5", "DOUBLE", "BIGINT", None),
        ("2.0", "DOUBLE", "BIGINT", 2),
        ("1e300", "DOUBLE", "BIGINT", None),
        ("9007199254740993", "BIGINT", "DOUBLE", None),
        ("9007199254740992", "BIGINT", "DOUBLE", 9007199254740992.0),
        ("2.505", "DOUBLE", "DECIMAL(10,2)", None),
        ("2.5", "DOUBLE", "DECIMAL(10,2)", Decimal("2.50")),
        ("1.234", "DECIMAL(12,3)", "DECIMAL(10,2)", None),
        ("5", "BIGINT", "VARCHAR", "5"),
        ("1", "BIGINT", "BOOLEAN", None),
        ("true", "BOOLEAN", "BIGINT", None),
        ("2024-02-29 00:00:00", "TIMESTAMP", "DATE", date(2024, 2, 29)),
        ("2024-02-29 10:00:00", "TIMESTAMP", "DATE", None),
        ("2024-02-29 10:00:00", "TIMESTAMP", TZ, None),
        ("2024-02-29 10:00:00.123456789", "TIMESTAMP_NS", "TIMESTAMP", None),
        ("2024-02-29 10:00:00.123456", "TIMESTAMP_NS", "TIMESTAMP",
         moment("2024-02-29T10:00:00.123456")),
        ("12", "JSON", "BIGINT", 12),
        ("1E5", "JSON", "DOUBLE", 100_000.0),
        ("1e400", "JSON", "DOUBLE", None),
        ("12", "JSON", "VARCHAR", "12"),
        ('"a\\n\\u00e9"', "JSON", "VARCHAR", "a\né"),
        ('{"a": 1}', "JSON", "VARCHAR", '{"a": 1}'),
        ("20240229", "JSON", "DATE", None),
        ('"2024-02-29"', "JSON", "DATE", date(2024, 2, 29)),
        ("true", "JSON", "BOOLEAN", True),
        ("[1]", "JSON", "BIGINT", None),
    ],
)  # fmt: skip
def test_typed_values_are_kept_or_null(
    connection: duckdb.DuckDBPyConnection, value: str, read: str, stored: str, expected: Any
) -> None:
    assert cast(connection, value, read, stored) == expected


def test_nanoseconds_are_kept(connection: duckdb.DuckDBPyConnection) -> None:
    sql = exact_cast("x", "VARCHAR", "TIMESTAMP_NS")
    row = connection.execute(
        f"select cast({sql} as varchar) from (select '2024-02-29T10:00:00.123456789' as x)"
    ).fetchone()
    assert row == ("2024-02-29 10:00:00.123456789",)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_integer_survives(connection: duckdb.DuckDBPyConnection, number: int) -> None:
    assert cast(connection, str(number), "VARCHAR", "BIGINT") == number


@given(st.decimals(-(10**7), 10**7, places=2))
def test_every_amount_survives(connection: duckdb.DuckDBPyConnection, amount: Decimal) -> None:
    assert cast(connection, str(amount), "VARCHAR", "DECIMAL(10,2)") == amount


@given(st.text(alphabet="0123456789.eE+-", max_size=24))
def test_a_number_is_what_python_reads_exactly(
    connection: duckdb.DuckDBPyConnection, text: str
) -> None:
    """Nothing that is kept differs in value from what was written, but for the shortest digits."""
    whole = cast(connection, text, "VARCHAR", "BIGINT", first=True)
    double = cast(connection, text, "VARCHAR", "DOUBLE")
    assert whole is None or str(whole) == text
    assert double is None or Decimal(repr(double)) == Decimal(text)
