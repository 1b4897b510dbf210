"""What the rows of a built table show: key, nulls, values, references."""

from collections.abc import Iterator

import duckdb
import pytest

from headrace.scaffold.table_facts import KeyColumn, TableFacts, read_facts

CUSTOMERS = KeyColumn("customers", "customer_id", "customers")


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("create table customers as select range as customer_id from range(5)")
        yield connection


def facts(
    connection: duckdb.DuckDBPyConnection, select: str, model: str = "fct_orders"
) -> TableFacts:
    connection.execute(f"create table t as {select}")
    return read_facts(connection, "t", model, [CUSTOMERS])


@pytest.mark.parametrize(
    ("select", "key"),
    [
        ("select range as amount, range + 7 as order_id from range(50)", ("order_id",)),
        ("select range as other_id, range as order_id from range(50)", ("order_id",)),
        ("select date '2024-01-01' + range::int as day, 1 as n from range(50)", ("day",)),
        ("select range as position, 1 as n from range(50)", ("position",)),
        ("select 1 as n, range as amount from range(50)", ()),
        ("select range as last_order_id, 1 as n from range(50)", ()),
        ("select range / 2.0 as order_id from range(50)", ("order_id",)),
        ("select if(range = 3, null, range) as order_id from range(50)", ()),
        (
            "select range % 5 as a_id, date '2024-01-01' + (range // 5)::int as day from range(50)",
            ("a_id", "day"),
        ),
        (
            "select range % 5 as a_id, range // 5 % 2 as b_id, range // 10 as c_id from range(50)",
            ("a_id", "b_id", "c_id"),
        ),
        ("select 1 as order_id", ()),
        ("select 1 as order_id where false", ()),
    ],
)
def test_the_key(connection: duckdb.DuckDBPyConnection, select: str, key: tuple[str, ...]) -> None:
    assert facts(connection, select).key == key


def test_an_estimate_that_is_off_does_not_make_a_key(connection: duckdb.DuckDBPyConnection) -> None:
    """Of 20,000 rows one is there twice; the estimate cannot tell."""
    found = facts(connection, "select greatest(range, 1) as order_id from range(20000)")
    assert found.key == ()


def test_nulls_values_and_references(connection: duckdb.DuckDBPyConnection) -> None:
    found = facts(
        connection,
        "select range as order_id, range % 5 as customer_id, "
        "['new', 'paid'][range % 2 + 1] as status, "
        "if(range < 9, 'x', null) as note, range % 7 as odd_customer_id, "
        "'text ' || range as words, {'a': 1} as nested, [1] as list from range(50)",
    )
    by_name = {column.name: column for column in found.columns}
    assert by_name["status"].values == ("new", "paid")
    assert by_name["customer_id"].refers_to == ("customers", "customer_id")
    assert by_name["note"].nulls == 41
    assert {name for name, column in by_name.items() if column.values} == {"status"}
    assert {name for name, column in by_name.items() if column.refers_to} == {"customer_id"}
    assert (by_name["nested"].distinct, by_name["list"].distinct) == (0, 0)


def test_a_reference_with_an_orphan_is_none(connection: duckdb.DuckDBPyConnection) -> None:
    found = facts(connection, "select range as order_id, range % 6 as customer_id from range(50)")
    assert [column.refers_to for column in found.columns] == [None, None]


def test_few_rows_say_nothing_about_values(connection: duckdb.DuckDBPyConnection) -> None:
    found = facts(connection, "select range as id, ['a', 'b'][range % 2 + 1] as kind from range(9)")
    assert found.columns[1].values == ()


def test_names_that_need_quotes(connection: duckdb.DuckDBPyConnection) -> None:
    found = facts(connection, 'select range as "Order ""No""", 1 as "select" from range(9)')
    assert [column.name for column in found.columns] == ['Order "No"', "select"]
