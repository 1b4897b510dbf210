"""The tables that the files of a folder make."""

from pathlib import Path

import pytest

from headrace.add.folder import find_tables
from headrace.errors import AddError

ROWS = "order_id,total,updated_at\n1,10,2024-01-01\n2,10,2024-01-02\n"


def write(folder: Path, *names: str, text: str = ROWS) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("names", "patterns"),
    [
        (["orders.csv"], {"orders": "orders.csv"}),
        (["orders_2024-01-01.csv", "orders_2024-01-02.csv"], {"orders": "orders*.csv"}),
        (["orders1.csv", "orders-2.csv", "orders.csv"], {"orders": "orders*.csv"}),
        (["Sales Report 2024.csv"], {"sales_report": "Sales Report*.csv"}),
        (
            ["orders_1.csv", "orders_archive_1.csv"],
            {"orders": "orders[-_. ][0-9]*.csv", "orders_archive": "orders_archive*.csv"},
        ),
        (["a/orders.csv", "b/orders.csv"], {"orders": "a/orders.csv", "orders_2": "b/orders.csv"}),
        (["events/1.csv", "events/2.csv"], {"events": "events/*.csv"}),
        (["year=2023/a.csv", "year=2024/a.csv"], {"a": "*/a*.csv"}),
        (["2024.csv", "2025.csv"], {"in": "*.csv"}),
        (["x[1].csv", "x[2].csv"], {"x_1": "x[[]1].csv", "x_2": "x[[]2].csv"}),
        (["orders.csv", "orders.tsv"], {"orders": "orders.csv", "orders_2": "orders.tsv"}),
        (["orders.csv", "README.md", ".hidden.csv", ".x/a.csv"], {"orders": "orders.csv"}),
    ],
)
def test_names_without_their_dates_and_numbers(
    tmp_path: Path, names: list[str], patterns: dict[str, str]
) -> None:
    folder = tmp_path / "in"
    write(folder, *names)
    assert {table.name: table.pattern for table in find_tables(folder)} == patterns


def test_keys_and_cursors_have_their_reason(tmp_path: Path) -> None:
    write(tmp_path, "orders.csv")
    write(tmp_path, "events.csv", text="at,kind\n2024-01-01,a\n2024-01-02,b\n")
    write(tmp_path, "twice.csv", text="id,n\n1,a\n1,b\n")
    events, orders, twice = find_tables(tmp_path)
    assert (orders.primary_key, orders.cursor) == (("order_id",), "updated_at")
    assert orders.reasons == (
        "orders: the key is order_id, which differs in all 2 rows",
        "orders: the cursor is updated_at, by its name and type",
    )
    assert (events.primary_key, events.cursor, events.reasons) == ((), "", ())
    assert twice.primary_key == ()


def test_what_the_files_need_is_set_and_said(tmp_path: Path) -> None:
    write(tmp_path, "list.csv", text="Stock list\n\nsku,stock\nA,1\nB,2\n")
    (table,) = find_tables(tmp_path)
    assert table.settings == {"skip": 2}
    assert table.primary_key == ("sku",)
    assert "set `skip: 2`" in table.reasons[0]


def test_a_file_that_cannot_be_read_is_a_table_that_says_so(tmp_path: Path) -> None:
    write(tmp_path, "bad.parquet", text="nothing")
    (table,) = find_tables(tmp_path)
    assert table.reasons[0].startswith("bad: not read: bad.parquet")


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    for folder, told in ((tmp_path / "no", "is not a folder"), (tmp_path, "no file in")):
        with pytest.raises(AddError, match=told):
            find_tables(folder)
    write(tmp_path, *(f"{chr(97 + n % 26)}{chr(97 + n // 26)}.csv" for n in range(51)))
    with pytest.raises(AddError, match="51 names, more than 50 tables"):
        find_tables(tmp_path)


def test_full_exports_become_snapshots(tmp_path: Path) -> None:
    write(tmp_path, "orders_2024-01-01.csv", "orders_2024-01-02.csv")
    (table,) = find_tables(tmp_path)
    assert (table.primary_key, table.settings) == (("order_id",), {"write": "snapshot"})
    assert "each file is the whole table, with the key order_id" in table.reasons[0]
