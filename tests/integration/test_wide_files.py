"""A file of 3,000 columns is loaded as any other; its header alone has more than 64 KiB."""

import csv
import io
from dataclasses import replace

from lab import Shop

COLUMNS = [f"a_rather_long_name_of_column_{number}" for number in range(3_000)]
VALUES = ["7", "1.5", "text", "2024-01-31", "007", "true"]


def test_3000_columns(shop: Shop) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in range(3):
        writer.writerow([VALUES[(row * 6 + number) % 6] for number in range(3_000)])
    shop.write("orders.csv", text.getvalue())
    lab = replace(shop.lab_with("{orders: {pattern: 'orders*'}}"), observes=True)
    table = lab.load_one()

    assert (table.rows_given, table.rows_new) == (3, 3)
    kinds = lab.schema("store_raw.orders")
    assert [kinds[name] for name in COLUMNS[-6:]] == [
        "BIGINT", "DOUBLE", "VARCHAR", "DATE", "VARCHAR", "BOOLEAN",
    ]  # fmt: skip
    assert len(kinds) == 3_001
    last = ", ".join(f"cast({name} as varchar)" for name in COLUMNS[-6:])
    assert lab.query(f"select distinct {last} from store_raw.orders") == [tuple(VALUES)]
