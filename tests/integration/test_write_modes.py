"""``write`` of a table of files: what becomes of rows that later files no longer have."""

from typing import Any

import pytest
from lab import Lab, Shop, partly_loaded, refused

from headrace.errors import SourceError

KEYED = "{orders: {pattern: 'orders*.csv', primary_key: [id], write: snapshot}}"
KEYLESS = "{orders: {pattern: 'orders*.csv', write: snapshot}}"


def day(number: int, **rows: int) -> tuple[str, str]:
    """The name and content of a full export; ``a=1`` is the row a,1."""
    lines = "".join(f"{key},{value}\n" for key, value in rows.items())
    return f"orders_2024-01-{number:02}.csv", f"id,n\n{lines}"


def counts(lab: Lab) -> tuple[int, ...]:
    table = lab.load_one()
    return (table.rows_new, table.rows_changed, table.rows_unchanged, table.rows_deleted)


def rows(lab: Lab) -> list[tuple[Any, ...]]:
    """As staging sees them: of completed loads."""
    return lab.query(
        "select id, n from store_raw.orders where _dlt_load_id in "
        "(select load_id from store_raw._dlt_loads where status = 0) order by all"
    )


def test_a_snapshot_with_a_key_deletes_what_it_lacks_and_touches_only_what_changed(
    shop: Shop,
) -> None:
    lab = shop.lab_with(KEYED)
    shop.write(*day(1, a=1, b=2, c=3))
    shop.write(*day(2, a=1, b=5, d=4))
    table = lab.load_one()
    assert rows(lab) == [("a", 1), ("b", 5), ("d", 4)]
    assert table.notes == ("the snapshot is orders_2024-01-02.csv; 1 older file was not read",)
    first = lab.query("select _dlt_load_id from store_raw.orders where id = 'a'")

    shop.write(*day(3, a=1, b=6, e=7))
    assert counts(lab) == (1, 1, 1, 1)
    assert rows(lab) == [("a", 1), ("b", 6), ("e", 7)]
    assert lab.query("select _dlt_load_id from store_raw.orders where id = 'a'") == first
    assert lab.load_one().files_read == 0

    # an older file that changes says nothing, and a correction of the newest counts
    shop.write(*day(1, x=1))
    assert lab.load_one().files_read == 0
    shop.write(*day(3, a=1, b=5))
    assert counts(lab) == (0, 1, 1, 1)
    # the newest is what is there
    (shop.folder / "orders_2024-01-03.csv").unlink()
    table = lab.load_one()
    assert "orders_2024-01-03.csv is gone: the newest snapshot is an older one again" in table.notes
    assert rows(lab) == [("a", 1), ("b", 5), ("d", 4)]
    for path in shop.folder.glob("*.csv"):
        path.unlink()
    assert lab.load_one().notes == ("its files are gone, and its rows are kept",)
    assert rows(lab) == [("a", 1), ("b", 5), ("d", 4)]


def test_a_snapshot_without_a_key_takes_the_place_of_all_rows(shop: Shop) -> None:
    lab = shop.lab_with(KEYLESS)
    shop.write("orders.csv", "id,n\na,1\na,1\nb,2\n")
    lab.load()
    shop.write("orders.csv", "id,n\na,1\nc,3\n")
    assert counts(lab) == (0, 2, 0, 0)
    assert rows(lab) == [("a", 1), ("c", 3)]
    shop.write("orders_us.csv", "id,n\nd,4\n")  # parts, as no name has a date
    assert counts(lab) == (1, 2, 0, 0)
    (shop.folder / "orders.csv").unlink()
    assert counts(lab) == (0, 1, 0, 2)
    assert rows(lab) == [("d", 4)]


@pytest.mark.parametrize("tables", [KEYED, KEYLESS])
def test_a_snapshot_that_would_delete_everything_is_refused(shop: Shop, tables: str) -> None:
    lab = shop.lab_with(tables)
    shop.write(*day(1, a=1, b=2))
    lab.load()
    shop.write(*day(2))
    refused(
        lab, "load", kind=SourceError, words=["orders_2024-01-02.csv", "no rows", "allow_empty"]
    )
    shop.write("orders_2024-01-02.csv", "id,n\na,1,2\n")  # and one whose rows are all bad
    refused(lab, "load", kind=SourceError, words=["orders_2024-01-02.csv"])
    shop.write("orders_2024-01-02.csv.gz", b"\x1f\x8b cut")
    assert rows(lab) == [("a", 1), ("b", 2)]
    (shop.folder / "orders_2024-01-02.csv.gz").unlink()

    shop.write(*day(2))
    allowed = shop.lab_with(tables.replace("write", "allow_empty: true, write"))
    assert counts(allowed) == (0, 0, 0, 2)
    assert rows(lab) == []


def test_a_snapshot_may_not_delete_more_than_its_limit_and_is_read_as_a_whole(shop: Shop) -> None:
    lab = shop.lab_with(KEYED.replace("write", "deleted_rows_limit: 0.5, write"))
    shop.write(*day(1, a=1, b=2, c=3))
    lab.load()
    shop.write(*day(2, a=1))
    words = ["orders_2024-01-02.csv: the snapshot lacks 2 of the table's 3 rows", "50%"]
    refused(lab, "load", kind=SourceError, words=words)
    shop.write(*day(2, a=1, b=2))
    assert counts(lab) == (0, 0, 2, 1)
    # a part that cannot be read must not be taken for rows that are gone
    lab = shop.lab_with(KEYED.replace("*.csv", "*"))
    shop.write("orders_2024-01-02_b.csv.gz", b"\x1f\x8b cut")
    words = ["orders_2024-01-02_b.csv.gz cannot be read", "as a whole or not at all"]
    refused(lab, "load", kind=SourceError, words=words)
    assert rows(lab) == [("a", 1), ("b", 2)]


def test_a_row_of_a_snapshot_that_is_in_quarantine_keeps_its_last_good_version(shop: Shop) -> None:
    lab = shop.lab_with(KEYED, schema_contract="{data_type: discard_row}")
    shop.write(*day(1, a=1, b=2, c=3))
    lab.load()
    shop.write("orders_2024-01-02.csv", "id,n\na,1\nb,many\n")
    table = lab.load_one()
    assert (table.rows_quarantined, table.rows_deleted) == (1, 1)
    assert rows(lab) == [("a", 1), ("b", 2)]


def test_append_keeps_the_rows_of_each_file_once(shop: Shop) -> None:
    lab = shop.lab_with("{orders: {pattern: 'orders*.csv', write: append}}")
    shop.write(*day(1, a=1, b=2))
    shop.write(*day(2, a=1))
    lab.load()
    shop.write(*day(2, a=1))  # delivered again
    assert lab.load_one().files_read == 0
    shop.write(*day(2, a=2, c=3))  # corrected
    assert counts(lab) == (0, 2, 0, 0)
    assert rows(lab) == [("a", 1), ("a", 2), ("b", 2), ("c", 3)]
    (shop.folder / "orders_2024-01-01.csv").rename(shop.folder / "orders_old.csv")
    table = lab.load_one()
    assert (table.rows_new, table.rows_deleted) == (2, 2)
    assert (
        "orders_old.csv has the content of orders_2024-01-01.csv, which is gone" in table.notes[0]
    )
    assert len(rows(lab)) == 4
    (shop.folder / "orders_2024-01-02.csv").unlink()
    assert "rows that no other file holds are kept" in lab.load_one().notes[0]
    assert len(rows(lab)) == 4

    keyed = "{orders: {pattern: '*', primary_key: [id], write: append}}"
    refused(shop.lab_with(keyed), "load", kind=SourceError, words=["takes no primary_key"])


def test_a_table_that_becomes_a_snapshot_loses_what_the_newest_file_lacks(shop: Shop) -> None:
    shop.write(*day(1, a=1, b=2))
    shop.write(*day(2, a=1, c=3))
    merged = shop.lab_with(KEYED.replace("snapshot", "merge"))
    merged.load()
    assert rows(merged) == [("a", 1), ("b", 2), ("c", 3)]
    assert counts(shop.lab_with(KEYED)) == (0, 0, 2, 1)
    assert counts(merged)[0] == 1
    assert rows(merged) == [("a", 1), ("b", 2), ("c", 3)]


def test_one_bad_snapshot_does_not_stop_other_tables(shop: Shop) -> None:
    tables = KEYED.replace("}}", "}, other: {pattern: 'other.csv'}}")
    shop.write(*day(1, a=1))
    shop.write("orders.csv", "id,n\na,1\n")
    shop.write("other.csv", "id\n1\n")
    report = partly_loaded(shop.lab_with(tables), words=["orders.csv has no date in its name"])
    assert [table.rows_total for table in report.tables if table.table == "other"] == [1]
