"""A wide file is loaded with the usual settings; its header alone has more than 64 KiB."""

from dataclasses import replace

from lab import Shop

COLUMNS = [
    f"a_name_of_a_column_that_is_as_long_as_those_of_a_survey_{number}" for number in range(1_200)
]
VALUES = ["7", "1.5", "text", "2024-01-31", "007", "true"]
ROWS = 2_000


def test_1200_columns_and_thousands_of_rows(shop: Shop) -> None:
    """DuckDB counts what it reserves, which is more than a load may take of memory."""
    line = ",".join(VALUES[number % 6] for number in range(len(COLUMNS)))
    header = ",".join(COLUMNS)
    assert len(header) > 1 << 16
    shop.write("orders.csv", f"{header}\n" + f"{line}\n" * ROWS)
    lab = replace(shop.lab_with("{orders: {pattern: 'orders*'}}"), observes=True)
    table = lab.load_one()

    assert (table.rows_given, table.rows_new) == (ROWS, ROWS)
    kinds = lab.schema("store_raw.orders")
    assert [kinds[name] for name in COLUMNS[-6:]] == [
        "BIGINT", "DOUBLE", "VARCHAR", "DATE", "VARCHAR", "BOOLEAN",
    ]  # fmt: skip
    assert len(kinds) == 1_201
    last = ", ".join(f"cast({name} as varchar)" for name in COLUMNS[-6:])
    assert lab.query(f"select distinct {last} from store_raw.orders") == [tuple(VALUES)]

    # a table that has rows is loaded row by row
    shop.write("orders.csv", f"{header}\n" + f"{line}\n" * (ROWS + 1))
    assert lab.load_one().rows_given == ROWS + 1
    assert lab.query("select count(*) from store_raw.orders") == [(ROWS + 1,)]
