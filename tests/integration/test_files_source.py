"""The ``files`` source: a user's own files by settings alone."""

import gzip
import io
import json
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from lab import Lab, Rows, Shop

from headrace.errors import SourceError
from headrace.ingest import stage
from headrace.ingest.model import FILE_COLUMN, FROM_FILE
from headrace.pipeline.loading import source_loader, sources

ORDERS = "{orders: {pattern: 'orders*', primary_key: [order_id]}}"
CSV = "order_id,customer,amount,is_paid,day\n1,ada,10,true,2024-01-31\n2,bob,20,false,2024-02-29\n"


def rows(lab: Lab, columns: str = "*", table: str = "orders") -> Rows:
    return lab.query(f"select {columns} from store_raw.{table} order by all")


def test_csv_with_types_by_looking(shop: Shop) -> None:
    shop.write("orders.csv", CSV)
    lab = shop.lab_with(ORDERS)
    table = lab.load_one()

    assert (table.source, table.table) == ("store", "orders")
    assert (table.rows_new, table.rows_changed, table.rows_total, table.files_read) == (2, 0, 2, 1)
    assert lab.schema("store_raw.orders") == {
        "order_id": "BIGINT",
        "customer": "VARCHAR",
        "amount": "BIGINT",
        "is_paid": "BOOLEAN",
        "day": "DATE",
    }
    assert rows(lab, "order_id, customer, amount, is_paid, day") == [
        (1, "ada", 10, True, date(2024, 1, 31)),
        (2, "bob", 20, False, date(2024, 2, 29)),
    ]


def test_every_format_gives_the_same_rows(shop: Shop) -> None:
    names = ["order_id", "note", "amount"]
    values: list[list[Any]] = [[1, "a, b", 1.5], [2, None, 2.0], [3, 'say "hi"', None]]
    records = [dict(zip(names, row, strict=True)) for row in values]
    csv = 'order_id,note,amount\n1,"a, b",1.5\n2,,2.0\n3,"say ""hi""",\n'
    tsv = 'order_id\tnote\tamount\n1\ta, b\t1.5\n2\t\t2.0\n3\t"say ""hi"""\t\n'
    lines = "".join(json.dumps(record) + "\n" for record in records)
    pq.write_table(pa.Table.from_pylist(records), shop.folder / "orders.parquet")
    texts = {
        "csv": csv, "csv.gz": csv, "csv.zst": csv, "tsv": tsv,
        "jsonl": lines, "ndjson": lines, "jsonl.gz": lines,
    }  # fmt: skip
    for form, text in texts.items():
        with pa.output_stream(shop.folder / f"orders.{form}") as stream:  # compresses by its ending
            stream.write(text.encode())
    patterns = {form.replace(".", "_"): f"orders.{form}" for form in (*texts, "parquet")}
    lab = shop.lab_with(one_source(patterns, "primary_key: [order_id]"))

    assert {table.table: table.rows_new for table in lab.load().tables} == dict.fromkeys(
        patterns, 3
    )
    for table in patterns:
        assert rows(lab, "order_id, note, amount", table) == [tuple(row) for row in values], table


def one_source(patterns: Mapping[str, str], options: str) -> str:
    """The tables of a source by their names and patterns, with the same options."""
    tables = (f"{name}: {{pattern: '{at}', {options}}}" for name, at in patterns.items())
    return f"{{{', '.join(tables)}}}"


def test_several_files_of_a_pattern_and_below_folders(shop: Shop) -> None:
    shop.write("2024/01/orders.csv", "order_id,amount\n1,10\n")
    shop.write("2024/02/orders.csv", "order_id,amount\n2,20\n")
    shop.write("2024/02/orders.txt", "not a table")
    lab = shop.lab_with("{orders: {pattern: '**/orders.*', primary_key: [order_id]}}")

    assert lab.load_one().files_read == 2
    shop.write("2024/03/orders.csv", "order_id,amount\n3,30\n")
    table = lab.load_one()
    assert (table.files_read, table.files_unchanged, table.rows_new) == (1, 2, 1)
    assert rows(lab, "order_id, amount") == [(1, 10), (2, 20), (3, 30)]


def test_files_that_differ_in_types_and_columns_share_the_widest(shop: Shop) -> None:
    shop.write("orders_1.csv", "order_id,amount,day\n1,10,2024-01-01\n")
    shop.write("orders_2.csv", "day,order_id,amount,note\n2024-01-02T10:30:00,2,2.5,x\n")
    lab = shop.lab_with(ORDERS)
    lab.load()

    assert lab.schema("store_raw.orders") == {
        "order_id": "BIGINT", "amount": "DOUBLE", "day": "TIMESTAMP", "note": "VARCHAR",
    }  # fmt: skip
    assert rows(lab, "order_id, amount, day, note") == [
        (1, 10.0, datetime(2024, 1, 1), None),  # noqa: DTZ001  # a time without zone
        (2, 2.5, datetime(2024, 1, 2, 10, 30), "x"),  # noqa: DTZ001
    ]


def test_two_tables_in_one_source(shop: Shop) -> None:
    shop.write("orders.csv", "order_id\n1\n")
    shop.write("events.jsonl", '{"event": "click"}\n{"event": "view"}\n')
    lab = shop.lab_with(
        "{orders: {pattern: 'orders*', primary_key: [order_id]}, events: {pattern: 'events*'}}"
    )

    assert [(table.table, table.rows_new) for table in lab.load().tables] == [
        ("orders", 1),
        ("events", 2),
    ]


def test_key_merges_and_only_what_changed_is_loaded(shop: Shop) -> None:
    shop.write("orders.csv", "order_id,amount\n1,10\n2,20\n")
    lab = shop.lab_with(ORDERS)
    lab.load()
    loads = load_ids(lab)
    shop.write("orders.csv", "order_id,amount\n1,10\n2,21\n3,30\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_changed, table.rows_total) == (1, 1, 3)
    assert rows(lab, "order_id, amount") == [(1, 10), (2, 21), (3, 30)]
    after = load_ids(lab)
    assert after[1] == loads[1]
    assert after[2] == after[3] != loads[2]


def load_ids(lab: Lab) -> dict[int, str]:
    """The load that brought each order."""
    found = lab.query("select order_id, _dlt_load_id from store_raw.orders")
    return {int(order): str(load) for order, load in found}


def test_row_that_left_its_file_stays(shop: Shop) -> None:
    shop.write("orders.csv", "order_id,amount\n1,10\n2,20\n")
    lab = shop.lab_with(ORDERS)
    lab.load()
    shop.write("orders.csv", "order_id,amount\n2,20\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_changed, table.rows_total) == (0, 0, 2)


def test_older_version_never_overwrites_a_newer_one(shop: Shop) -> None:
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id], cursor: updated_at}}")
    shop.write("a.csv", "id,state,updated_at\n1,new,2024-03-01\n2,old,2024-01-01\n")
    lab.load()
    shop.write("b.csv", "id,state,updated_at\n1,late,2024-02-01\n2,newer,2024-02-01\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_changed) == (0, 1)
    assert rows(lab, "id, state") == [(1, "new"), (2, "newer")]


def test_cursor_decides_between_files_of_one_load(shop: Shop) -> None:
    shop.write("a.csv", "id,state,updated_at\n1,newest,2024-03-01\n")
    shop.write("b.csv", "id,state,updated_at\n1,older,2024-02-01\n")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id], cursor: updated_at}}")

    assert lab.load_one().rows_new == 1
    assert rows(lab, "id, state") == [(1, "newest")]


def test_without_a_cursor_the_last_file_wins(shop: Shop) -> None:
    shop.write("a.csv", "id,state\n1,first\n")
    shop.write("b.csv", "id,state\n1,second\n")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id]}}")

    assert lab.load_one().rows_new == 1
    assert rows(lab, "id, state") == [(1, "second")]


def test_composite_key(shop: Shop) -> None:
    shop.write("orders.csv", "shop,number,amount\nA,1,10\nB,1,20\n")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [shop, number]}}")
    lab.load()
    shop.write("orders.csv", "shop,number,amount\nA,1,10\nB,1,21\nB,2,30\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_changed) == (1, 1)
    assert rows(lab, "shop, number, amount") == [("A", 1, 10), ("B", 1, 21), ("B", 2, 30)]


def test_without_a_key_a_changed_file_replaces_its_rows(shop: Shop) -> None:
    shop.write("a.csv", "event\nclick\nclick\nview\n")
    shop.write("b.csv", "event\nbuy\n")
    lab = shop.lab_with("{events: {pattern: '*.csv'}}")
    assert lab.load_one().rows_new == 4
    shop.write("a.csv", "event\nclick\n")
    shop.write("c.csv", "event\nlogin\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_changed, table.rows_total) == (1, 1, 3)
    assert rows(lab, "_file_name, event", "events") == [
        ("a.csv", "click"), ("b.csv", "buy"), ("c.csv", "login"),
    ]  # fmt: skip


def test_declared_types(shop: Shop) -> None:
    shop.write("orders.csv", "order_id,code,amount,at\n1,7,10.5,2024-01-01\n2,08,3,2024-01-02\n")
    lab = shop.lab_with(
        "{orders: {pattern: '*', primary_key: [order_id], columns: "
        "{order_id: int, code: text, amount: 'decimal(12, 2)', at: timestamp}}}"
    )
    lab.load()

    assert lab.schema("store_raw.orders") == {
        "order_id": "BIGINT", "code": "VARCHAR", "amount": "DECIMAL(12,2)", "at": "TIMESTAMP",
    }  # fmt: skip
    assert rows(lab, "code, amount") == [("08", Decimal("3.00")), ("7", Decimal("10.50"))]


def test_settings_may_name_columns_as_the_file_does(shop: Shop) -> None:
    shop.write("orders.csv", "Order ID,Last Change,Größe\n1,2024-01-01,3\n")
    lab = shop.lab_with(
        "{orders: {pattern: '*', primary_key: ['Order ID'], cursor: Last Change, "
        "columns: {Größe: text}}}"
    )
    lab.load()

    assert lab.schema("store_raw.orders") == {
        "order_id": "BIGINT", "last_change": "DATE", "gr_e": "VARCHAR",
    }  # fmt: skip


def test_times_with_an_offset_are_one_moment_in_utc(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    shop.write("orders.csv", "order_id,at\n1,2024-01-01T12:00:00+02:00\n2,2024-01-01T10:00:00Z\n")
    lab = shop.lab_with(ORDERS)
    lab.load()

    assert lab.query('select count(distinct "at"), min(epoch("at")) from store_raw.orders') == [
        (1, datetime(2024, 1, 1, 10, tzinfo=UTC).timestamp())
    ]
    shop.write("orders.csv", "order_id,at\n1,2024-01-01T13:00:00+03:00\n2,2024-01-01T10:00:00Z\n")
    assert lab.load_one().rows_changed == 0


def test_declared_encoding(shop: Shop) -> None:
    encodings = {"first": "latin-1", "second": "utf-16"}
    for name, encoding in encodings.items():
        shop.write(f"{name}.csv", "order_id,größe\n1,süß\n2,naïve\n".encode(encoding))
    tables = ", ".join(
        f"{name}: {{pattern: '{name}.csv', primary_key: [order_id], encoding: {encoding}}}"
        for name, encoding in encodings.items()
    )
    lab = shop.lab_with(f"{{{tables}}}")
    lab.load()

    for name in encodings:
        assert [text for (text, *_) in rows(lab, "columns('gr.*')", name)] == ["naïve", "süß"]


def test_byte_order_mark_and_windows_line_ends(shop: Shop) -> None:
    shop.write("orders.csv", b"\xef\xbb\xbforder_id,amount\r\n1,10\r\n2,20\r\n")
    lab = shop.lab_with(ORDERS)
    lab.load()

    assert rows(lab, "order_id, amount") == [(1, 10), (2, 20)]


def test_nested_values_become_json(shop: Shop) -> None:
    lines = [
        '{"id": 1, "address": {"city": "Bern", "lines": ["a", "b"]}, "tags": ["x"]}',
        '{"id": 2, "address": {"city": "Rom"}, "tags": []}',
    ]
    shop.write("orders.jsonl", "\n".join(lines))
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id]}}")
    lab.load()

    assert lab.schema("store_raw.orders") == {"id": "BIGINT", "address": "JSON", "tags": "JSON"}
    assert rows(lab, "id, address ->> 'city', tags ->> 0") == [(1, "Bern", "x"), (2, "Rom", None)]
    shop.write("orders.jsonl", "\n".join(reversed(lines)))
    assert lab.load_one().rows_changed == 0


def test_dates_in_json_count_only_in_iso_form(shop: Shop) -> None:
    shop.write(
        "orders.jsonl",
        '{"id": 1, "day": "2024-01-31", "us": "01/02/2024", "at": "2024-01-31T10:00:00Z", '
        '"code": "007"}\n',
    )
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id]}}")
    lab.load()

    schema = lab.schema("store_raw.orders")
    assert (schema["day"], schema["us"], schema["code"]) == ("DATE", "VARCHAR", "VARCHAR")
    assert lab.query('select epoch("at") from store_raw.orders') == [
        (datetime(2024, 1, 31, 10, tzinfo=UTC).timestamp(),)
    ]


EVERY_TYPE = pa.table(
    {
        "id": pa.array([1, 2], pa.int32()),
        "u64": pa.array([2**64 - 1, 0], pa.uint64()),
        "f32": pa.array([0.1, None], pa.float32()),
        "dec": pa.array([Decimal("1.50"), Decimal("-2.25")], pa.decimal128(10, 2)),
        "flag": pa.array([True, None]),
        "day": pa.array([date(2024, 1, 1), None]),
        "clock": pa.array([time(10, 30, 1, 250), None], pa.time64("us")),
        "at_ms": pa.array([1_700_000_000_123, None], pa.timestamp("ms")),
        "at_ns": pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns")),
        "at_tz": pa.array([1_700_000_000_123_456, None], pa.timestamp("us", "UTC")),
        "raw": pa.array([b"\x00\xff", None], pa.binary()),
        "dict": pa.array(["a", "b"]).dictionary_encode(),
        "items": pa.array([[1, 2], []], pa.list_(pa.int64())),
        "place": pa.array([{"city": "Bern"}, None]),
    }
)


@pytest.mark.parametrize("bulk", [False, True])
def test_types_of_parquet_survive_a_merge(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, bulk: bool
) -> None:
    monkeypatch.setattr(stage, "BULK_BYTES", 0 if bulk else 1 << 40)
    pq.write_table(EVERY_TYPE, shop.folder / "orders.parquet")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id]}}")
    lab.load()

    assert lab.schema("store_raw.orders") == {
        "id": "BIGINT", "u64": "DECIMAL(20,0)", "f32": "DOUBLE", "dec": "DECIMAL(10,2)",
        "flag": "BOOLEAN", "day": "DATE", "clock": "TIME", "at_ms": "TIMESTAMP",
        "at_ns": "TIMESTAMP_NS", "at_tz": "TIMESTAMP WITH TIME ZONE", "raw": "BLOB",
        "dict": "VARCHAR", "items": "JSON", "place": "JSON",
    }  # fmt: skip
    before = rows(lab, "* exclude (_dlt_load_id)")
    changed = EVERY_TYPE.set_column(1, "u64", pa.array([2**64 - 1, 7], pa.uint64()))
    pq.write_table(changed, shop.folder / "orders.parquet")
    table = lab.load_one()
    assert (table.rows_new, table.rows_changed, table.new_columns) == (0, 1, ())
    after = rows(lab, "* exclude (_dlt_load_id)")
    assert after[0] == before[0]
    assert after[1][:2] == (2, 7)
    assert after[1][2:] == before[1][2:]
    more = EVERY_TYPE.set_column(0, "id", pa.array([3, 4]))
    pq.write_table(more, shop.folder / "more.parquet")
    assert lab.load_one().rows_new == 2
    added = rows(lab, "* exclude (_dlt_load_id, _dlt_file_name)")
    assert [row[1:] for row in added[2:]] == [row[1:-1] for row in before]


def test_rows_of_parquet_have_their_number_in_the_file(shop: Shop) -> None:
    """Also where the file has a column that is called as DuckDB calls that number."""
    table = pa.table({"id": pa.array([1, 2, None, 4, 5, None, 7]), "n": range(7)})
    pq.write_table(table, shop.folder / "plain.parquet", row_group_size=2)
    named = table.rename_columns(["id", "File_Row_Number"])
    pq.write_table(named, shop.folder / "named.parquet", row_group_size=2)
    lab = shop.lab_with(
        "{plain: {pattern: plain.parquet, primary_key: [id], bad_rows_limit: 1}, "
        "named: {pattern: named.parquet, primary_key: [id], bad_rows_limit: 1}}"
    )
    lab.load()

    assert [row[:3] for row in lab.quarantine()] == [
        ("named", "named.parquet", 3),
        ("named", "named.parquet", 6),
        ("plain", "plain.parquet", 3),
        ("plain", "plain.parquet", 6),
    ]
    assert rows(lab, "id, n", "plain") == [(1, 0), (2, 1), (4, 3), (5, 4), (7, 6)]
    assert rows(lab, "id, file_row_number", "named") == rows(lab, "id, n", "plain")


FORMS = ("csv", "parquet", "jsonl")


def test_bulk_way_gives_what_the_thorough_way_gives(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of first files, and of further ones with new keys."""
    names = [f"{way}_{form}" for way in ("keyed", "keyless") for form in FORMS]
    tables = ", ".join(
        f"{way}_{form}: {{pattern: '*.{form}', {key}}}"
        for way, key in (("keyed", "primary_key: [id]"), ("keyless", ""))
        for form in FORMS
    )
    lab = shop.lab_with(f"{{{tables}}}")
    other = Shop(Lab(tmp_path / "bulk"), shop.folder).lab_with(f"{{{tables}}}")
    columns = "* exclude (_dlt_load_id)"
    for part in range(2):
        table = pa.table(
            {
                "id": pa.array(range(part * 500, part * 500 + 500)),
                "Some Text": [f"text, {n}" if n % 7 else None for n in range(500)],
                "amount": [n / 4 for n in range(500)],
                "day": [f"2024-01-{n % 28 + 1:02d}" for n in range(500)],
                "at": [f"2024-01-01T00:00:00.{n:03d}+01:00" for n in range(500)],
                "code": [f"0{n}" for n in range(500)],
                "empty": pa.array([None] * 500, pa.string()),
            }
        )
        for form in FORMS:
            write(table, shop.folder / f"orders_{part}.{form}")
        thorough = lab.load()
        with monkeypatch.context() as patch:
            patch.setattr(stage, "BULK_BYTES", 0)
            patch.setattr(stage._Stager, "run", None)  # the thorough way would fail
            bulk = other.load()

        assert [(one.table, one.rows_new, one.rows_total) for one in bulk.tables] == [
            (one.table, 500, (part + 1) * 500) for one in thorough.tables
        ]
        assert [one.table for one in bulk.tables] == names
        for name in names:
            assert other.schema(f"store_raw.{name}") == lab.schema(f"store_raw.{name}")
            assert rows(other, columns, name) == rows(lab, columns, name)


def test_large_new_files_are_appended_to_a_table_that_stays_a_merged_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dlt keeps the write disposition with the table, and what it is now is no part of that."""
    monkeypatch.setattr(stage, "BULK_BYTES", 0)
    shop.write("a.csv", "id,state\n1,a\n2,a\n")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id]}}")
    lab.load()
    shop.write("b.csv", "id,state\n2,b\n3,b\n")
    shared = lab.load_one()
    versions = lab.query("select version from store_raw._dlt_version order by all")
    shop.write("c.csv", "id,state\n4,c\n5,c\n")
    with monkeypatch.context() as patch:
        patch.setattr(stage._Stager, "run", None)
        added = lab.load_one()

    assert (shared.rows_new, shared.rows_changed, shared.rows_total) == (1, 1, 3)
    assert (added.rows_new, added.rows_changed, added.rows_total) == (2, 0, 5)
    assert rows(lab, "id, state") == [(1, "a"), (2, "b"), (3, "b"), (4, "c"), (5, "c")]
    assert lab.query("select id from store_raw_staging.orders order by id") == [(2,), (3,)]
    assert lab.query("select version from store_raw._dlt_version order by all") == versions
    shop.write("c.csv", "id,state\n4,d\n5,c\n")
    again = lab.load_one()
    assert (again.rows_new, again.rows_changed, again.rows_unchanged) == (0, 1, 1)
    assert rows(lab, "id, state")[3:] == [(4, "d"), (5, "c")]


def test_large_files_that_are_there_again_are_compared_as_they_are(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a file lacks a key that it had, which takes the other files to tell."""
    monkeypatch.setattr(stage, "BULK_BYTES", 0)
    columns = ("id", "state", "at")

    def put(name: str, *given: str) -> None:
        """Each form of a file of rows, as ``1a2``: the key 1, the state a, at 2."""
        content = [(int(row[0]), row[1], int(row[2])) for row in given]
        table = pa.table(dict(zip(columns, map(list, zip(*content, strict=True)), strict=True)))
        for form in FORMS:
            write(table, shop.folder / f"{name}.{form}")

    put("a", "1a1", "2a1", "3a1")
    put("b", "4b1")
    patterns = {f"{form}_{way}": f"*.{form}" for form in FORMS for way in ("plain", "newest")}
    tables = ", ".join(
        f"{name}: {{pattern: '{pattern}', primary_key: [id]"
        + (", cursor: at}" if name.endswith("newest") else "}")
        for name, pattern in patterns.items()
    )
    lab = shop.lab_with(f"{{{tables}}}")
    lab.load()
    monkeypatch.setattr(stage._Stager, "run", None)  # the thorough way would fail

    def load(*expected: tuple[int, str, str | None]) -> list[tuple[int, int, int, int]]:
        found = lab.load().tables
        for one in found:
            own = f"id, state, {FROM_FILE}"
            assert rows(lab, own, one.table) == [
                (key, state, file and f"{file}.{one.table.partition('_')[0]}")
                for key, state, file in expected
            ], one.table
        return [
            (one.rows_new, one.rows_changed, one.rows_unchanged, one.rows_quarantined)
            for one in found
        ]

    put("a", "1a1", "2c2", "3a1", "5a1")
    counts = load((1, "a", "a"), (2, "c", "a"), (3, "a", "a"), (4, "b", "b"), (5, "a", "a"))
    assert set(counts) == {(1, 1, 2, 0)}
    put("a", "1a1", "2c2")  # no file has 3 and 5 any more
    load((1, "a", "a"), (2, "c", "a"), (3, "a", None), (4, "b", "b"), (5, "a", None))
    put("b", "4b1", "3b9")
    load((1, "a", "a"), (2, "c", "a"), (3, "b", "b"), (4, "b", "b"), (5, "a", None))


@pytest.mark.parametrize(
    ("content", "expected", "reason"),
    [
        ("1,z,2024-01-02\n2,b,\n", [(1, "z"), (2, "b")], "null_cursor"),
        ("1,z,2024-01-02\n2,c,x\n", [(1, "z"), (2, "b")], "data_type"),
        ("1,z,2024-01-02\n,c,2024-01-02\n", [(1, "z"), (2, "b")], "null_key"),
    ],
)
def test_large_file_that_is_there_again_with_a_bad_row(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    content: str,
    expected: list[tuple[int, str]],
    reason: str,
) -> None:
    monkeypatch.setattr(stage, "BULK_BYTES", 0)
    shop.write("a.csv", "id,state,at\n1,a,2024-01-01\n2,b,2024-01-01\n")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id], cursor: at}}")
    lab.load()
    shop.write("a.csv", f"id,state,at\n{content}")
    table = lab.load_one()
    assert (table.rows_changed, table.rows_quarantined) == (1, 1)
    assert rows(lab, "id, state") == expected
    assert [found[3] for found in lab.quarantine()] == [reason]
    shop.write("a.csv", "id,state,at\n1,z,2024-01-02\n2,y,2024-01-03\n")  # it is right now
    table = lab.load_one()
    assert (table.rows_changed, table.rows_unchanged, table.rows_quarantined) == (1, 1, 0)
    assert rows(lab, "id, state") == [(1, "z"), (2, "y")]
    assert lab.query("select superseded_at is not null from store_raw._quarantine") == [(True,)]
    shop.write("a.csv", "id,state,at\n1,z,2024-01-02\n2,x,2024-01-04\n")
    monkeypatch.setattr(stage._Stager, "run", None)  # what was wrong once is not looked for again
    assert lab.load_one().rows_changed == 1


@pytest.mark.parametrize("key", ["primary_key: [id]", ""])
def test_large_new_files_replace_rows_of_a_load_that_did_not_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Else a row would be there twice as soon as that load counted as complete."""
    monkeypatch.setattr(stage, "BULK_BYTES", 0)
    shop.write("a.csv", "id,state\n1,a\n")
    lab = shop.lab_with(f"{{orders: {{pattern: '*', {key}}}}}")
    lab.load()
    with duckdb.connect(str(lab.warehouse)) as connection:
        connection.execute(
            "insert into store_raw.orders by name select * replace (2 as id, 'stopped' as "
            f"_dlt_load_id, 'b.csv' as {FROM_FILE if key else FILE_COLUMN}) from store_raw.orders"
        )
    shop.write("b.csv", "id,state\n2,b\n3,b\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_total) == (2, 3)
    assert lab.query("select id, state from store_raw.orders order by all") == [
        (1, "a"),
        (2, "b"),
        (3, "b"),
    ]


def test_large_file_that_is_back_without_its_bad_row_closes_its_quarantine(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "BULK_BYTES", 0)
    shop.write("a.csv", "id,state\n1,a\n")
    shop.write("b.csv", "id,state\n2,b\n,b\n")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id]}}")
    lab.load()
    (shop.folder / "b.csv").unlink()
    lab.load()
    shop.write("b.csv", "id,state\n3,b\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_total) == (1, 3)
    assert lab.query("select superseded_at is not null from store_raw._quarantine") == [(True,)]


UNLIKE_THE_TABLE = (
    "id,state,more\n3,b,x\n",  # a column that the table does not have
    "id\n3\n",
    "id,state\n3,b\n3,c\n",
    "id,state\n3,b\n,c\n",
    "id,state\n3,b\nx,c\n",
    "id,state\n3,b\n4\n",
)


def test_large_new_files_unlike_the_table_are_looked_at_row_by_row(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"t{number}" for number in range(len(UNLIKE_THE_TABLE))]
    tables = ", ".join(f"{name}: {{pattern: '{name}_*', primary_key: [id]}}" for name in names)
    labs = [
        shop.lab_with(f"{{{tables}}}"),
        Shop(Lab(tmp_path / "bulk"), shop.folder).lab_with(f"{{{tables}}}"),
    ]
    for name in names:
        shop.write(f"{name}_a.csv", "id,state\n1,a\n2,a\n")
    for lab in labs:
        lab.load()
    for name, content in zip(names, UNLIKE_THE_TABLE, strict=True):
        shop.write(f"{name}_b.csv", content)
    found = []
    for lab, least in zip(labs, (1 << 40, 0), strict=True):
        monkeypatch.setattr(stage, "BULK_BYTES", least)
        counts = [
            (table.table, table.rows_new, table.rows_quarantined, table.new_columns, table.notes)
            for table in lab.load().tables
        ]
        found.append((counts, [rows(lab, "* exclude (_dlt_load_id)", name) for name in names]))
    assert found[0] == found[1]
    assert [count[1:3] for count in found[0][0]] == [(1, 0), (1, 0), (1, 1), (1, 1), (1, 1), (1, 1)]


def write(table: pa.Table, path: Path) -> None:
    import pyarrow.csv

    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


def test_large_files_with_bad_keys_are_looked_at_row_by_row(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "BULK_BYTES", 0)
    patterns = {}
    for key, last in (("twice", 1), ("null", None)):
        table = pa.table({"id": pa.array([1, 2, last], pa.int64()), "state": ["a", "b", "c"]})
        for form in FORMS:
            write(table, shop.folder / f"{key}.{form}")
            patterns[f"{key}_{form}"] = f"{key}.{form}"
    lab = shop.lab_with(one_source(patterns, "primary_key: [id]"))

    for loaded in lab.load().tables:
        assert (loaded.rows_new, loaded.rows_quarantined) == (2, 1), loaded
    expected = {"twice": [(1, "c"), (2, "b")], "null": [(1, "a"), (2, "b")]}
    for name in patterns:
        assert rows(lab, "id, state", name) == expected[name.partition("_")[0]], name


UNLIKE_THE_SAMPLE: tuple[tuple[str, str, str | None], ...] = (
    ("{n}", "many", None),  # no number at all
    ("{n}", "1.5", None),  # DuckDB would round it to 2
    ("{n}", "99999999999999999999", None),
    ("1{n:05d}", "000007", None),  # a code
    ("2024-01-01", "2024-01-02T10:30:00", None),  # DuckDB would cut the time of day
    ("2024-01-01", "02/01/2024", None),
    ("2024-01-01 10:00:00", "2024-01-01 10:00:00+02:00", None),  # DuckDB drops the offset
    ("{n}.5", "", None),
    ("{n}.25", "0.125", "decimal(12, 2)"),  # DuckDB would round it
    ("{n}", "7.0", "bigint"),
    ("{n}", "x", "text"),
    ("9{n:017d}", "9007199254740993", "bigint"),  # no double holds it
)  # fmt: skip


def test_value_unlike_the_sample_deep_in_a_large_file(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = []
    for number, (usual, last, declared) in enumerate(UNLIKE_THE_SAMPLE):
        lines = "".join(f"{n},{usual.format(n=n)}\n" for n in range(21_000))
        shop.write(f"{number}.csv", f"id,value\n{lines}21000,{last}\n")
        columns = f", columns: {{value: '{declared}'}}" if declared else ""
        tables.append(f"t{number}: {{pattern: {number}.csv, primary_key: [id]{columns}}}")
    options = {"schema_contract": "{data_type: discard_value}"}
    thorough = shop.lab_with(f"{{{', '.join(tables)}}}", **options)
    other = Shop(Lab(tmp_path / "bulk"), shop.folder)
    bulk = other.lab_with(f"{{{', '.join(tables)}}}", **options)
    thorough.load()
    monkeypatch.setattr(stage, "BULK_BYTES", 0)
    bulk.load()

    for number, case in enumerate(UNLIKE_THE_SAMPLE):
        table = f"store_raw.t{number}"
        assert bulk.schema(table) == thorough.schema(table), case
        value = f"select id, value from {table} where id in (1, 21000) order by id"
        assert bulk.query(value) == thorough.query(value), case


def test_last_of_many_rows_with_one_key_wins(shop: Shop) -> None:
    text = "id,state\n" + "".join(f"{number % 1000},{number}\n" for number in range(60_000))
    shop.write("orders.csv.gz", gzip.compress(text.encode(), 1))
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id]}}")
    table = lab.load_one()

    assert (table.rows_new, table.rows_quarantined) == (1000, 59_000)
    assert rows(lab, "min(state), max(state)") == [(59_000, 59_999)]


def test_rows_are_staged_within_the_limit_that_is_set(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    build = sources.build

    def noted(resolved: Any, name: str, settings: Any, context: Any) -> Any:
        seen.append(context.memory_limit)
        return build(resolved, name, settings, context)

    monkeypatch.setattr(sources, "build", noted)
    shop.write("orders.csv", CSV)
    shop.lab_with(ORDERS).set("targets.duckdb.load_memory_limit=300MB").load_one()
    assert seen == ["300MB"]


def test_others_read_the_warehouse_while_a_source_is_made_and_read(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both may take long; a load keeps the file open for what takes a moment."""
    lab = shop.lab_with(ORDERS).set(
        "sources.other.kind=files",
        f"sources.other.path={shop.folder}",
        "sources.other.tables={orders: {pattern: 'orders*'}}",
    )
    reads: list[int] = []
    command = "import duckdb, sys; duckdb.connect(sys.argv[1], read_only=True)"

    def beside(do: Callable[..., Any]) -> Callable[..., Any]:
        def done(*args: Any, **options: Any) -> Any:
            words = [sys.executable, "-c", command, str(lab.warehouse)]
            reads.append(subprocess.run(words, check=False).returncode)
            return do(*args, **options)

        return done

    shop.write("orders.csv", CSV)
    monkeypatch.setattr(sources, "build", beside(sources.build))
    monkeypatch.setattr("headrace.ingest.resource.stage", beside(stage.stage))
    lab.load()
    assert reads == [0] * 4


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux tells what is open")
def test_nothing_reads_the_file_that_duckdb_has_open(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """POSIX would drop DuckDB's lock of it when it is closed, and another process could write."""
    seen: list[str] = []
    lab = shop.lab_with(
        "{orders: {pattern: 'orders*', primary_key: [order_id]}, other: {pattern: 'orders*'}}"
    )

    def told(file: Any, *args: Any, **options: Any) -> Any:
        links = (link for link in Path("/proc/self/fd").iterdir() if link.exists())
        if str(file) == str(lab.warehouse) and lab.warehouse in {link.readlink() for link in links}:
            seen.append("".join(traceback.format_stack(limit=8)))
        return kept(file, *args, **options)

    kept = io.open
    monkeypatch.setattr(io, "open", told)
    monkeypatch.setattr("builtins.open", told)
    for content in (CSV, CSV.replace("10", "11")):
        shop.write("orders.csv", content)
        assert lab.run().status == "success"
    assert "".join(seen) == ""


TWO_HASHES = "md5(id::varchar) || md5((id + 1)::varchar)"


def _write_parquet(shop: Shop, name: str, columns: str, first: int, last: int) -> None:
    """A file of the ids from the first to before the last."""
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (select {columns} from range({first}, {last}) as r(id)) "
            f"to '{shop.folder / name}.parquet'"
        )


def test_one_table_after_the_other_does_not_fit_in_memory(shop: Shop) -> None:
    """DuckDB cannot be told again where to write what does not fit, once it has written there."""
    for name in "ab":
        _write_parquet(shop, name, f"id, {TWO_HASHES} as text, hash(id) as more", 0, 300_000)
    tables = ", ".join(f"{name}: {{pattern: {name}.parquet, primary_key: [id]}}" for name in "ab")
    lab = shop.lab_with(f"{{{tables}}}").set("targets.duckdb.load_memory_limit=50MB")

    loaded = lab.load()

    assert [(one.table, one.rows_new) for one in loaded.tables] == [("a", 300_000), ("b", 300_000)]
    assert not any((lab.data_dir / "spill").glob("*")), "it is deleted afterwards"


def test_what_does_not_fit_into_the_limit_is_loaded_with_a_larger_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB holds 2,048 values of a column at once, and cannot spill them."""
    _write_parquet(shop, "long", "id, repeat(md5(id::varchar), 1_200) as text", 0, 4_000)
    lab = shop.lab_with("{long: {pattern: long.parquet, primary_key: [id]}}")
    lab = lab.set("targets.duckdb.load_memory_limit=60MB")
    with monkeypatch.context() as patch:
        patch.setattr(source_loader, "larger_limit", lambda _: None)
        with pytest.raises(SourceError, match="DuckDB reached its memory limit"):
            lab.load()

    report = lab.run("load")

    assert report.notes == ()
    assert rows(lab, "count(*), sum(strlen(text))", "long") == [(4_000, 4_000 * 38_400)]


def test_rows_that_do_not_fit_are_tried_once_with_each_limit(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_parquet(shop, "orders", f"id, {TWO_HASHES} as text", 0, 400_000)
    lab = shop.lab_with("{orders: {pattern: '*.parquet', primary_key: [id]}}")
    lab = lab.set("targets.duckdb.load_memory_limit=24MB")
    asked: list[str] = []
    execute = DuckDbSqlClient.execute_query

    def noted(self: DuckDbSqlClient, query: Any, *args: Any, **named: Any) -> Any:
        asked.append(query)
        return execute(self, query, *args, **named)

    monkeypatch.setattr(DuckDbSqlClient, "execute_query", noted)

    assert lab.load_one().rows_new == 400_000
    assert sum('INSERT INTO "store_raw"."orders"' in query for query in asked) == 2


def test_many_rows_for_a_table_that_has_some_need_no_memory_for_all_of_them(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither we nor dlt number the rows of each key, for which DuckDB holds all values at once."""
    lab = shop.lab_with("{orders: {pattern: '*.parquet', primary_key: [id]}}")
    lab = lab.set("targets.duckdb.load_memory_limit=80MB")
    for name, first, last in (("a", 0, 10), ("b", 0, 250_000), ("c", 250_000, 500_000)):
        columns = f"id, {TWO_HASHES} as text, md5((id + 2)::varchar) as more"
        _write_parquet(shop, name, columns, first, last)
        if name == "a":
            lab.load()
    monkeypatch.setattr(source_loader, "larger_limit", lambda _: None)

    table = lab.load_one()

    assert (table.rows_new, table.rows_changed, table.rows_total) == (499_990, 0, 500_000)


def test_a_key_that_somebody_wrote_twice_is_there_once_after_a_change(shop: Shop) -> None:
    lab = shop.lab_with(ORDERS)
    shop.write("orders.csv", "order_id,x\n1,7\n2,8\n")
    lab.load()
    with duckdb.connect(str(lab.warehouse)) as connection:
        connection.execute("insert into store_raw.orders from store_raw.orders")
    shop.write("orders.csv", "order_id,x\n1,9\n2,8\n3,1\n")
    lab.load()
    assert rows(lab, "order_id, x") == [(1, 9), (2, 8), (2, 8), (3, 1)]


def test_a_table_without_a_key_alone_has_a_quarantine(shop: Shop) -> None:
    """The first load of all, so that nothing has made the quarantine table before."""
    shop.write("orders.csv", "order_id,note\n1,a\n2\n3,c\n")
    lab = shop.lab_with("{orders: {pattern: 'orders*'}}")
    table = lab.load_one()

    assert (table.rows_given, table.rows_new, table.rows_quarantined) == (3, 2, 1)
    assert [row[3] for row in lab.quarantine()] == ["malformed"]


def test_a_file_of_nothing_but_a_malformed_line(shop: Shop) -> None:
    shop.write("orders.jsonl", '{"order_id": 1, "order_id": 2}\n')
    table = shop.lab_with(ORDERS).load_one()

    assert (table.rows_given, table.rows_new, table.rows_quarantined) == (1, 0, 1)


def test_the_quarantine_keeps_every_digit(shop: Shop) -> None:
    row = (
        '{"order_id": null, "amount": 12345678901234567.89, "more": {"huge":1e400,"list":[1,null]}}'
    )
    shop.write("orders.jsonl", '{"order_id": 1, "amount": 2}\n' + row + "\n")
    lab = shop.lab_with(ORDERS)
    lab.load()

    assert lab.query("select row_json from store_raw._quarantine") == [(row,)]


RE_READ: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("order_id;x,z\n1;7,5\n", "", "delimiter: ';'", {"order_id": 1, "x_z": "7,5"}),
    ("order_id,x\n1,é\n", "encoding: latin-1", "encoding: utf-8", {"order_id": 1, "x": "é"}),
    ("order_id,x\n1,7\n", "", "rename: {x: y}", {"order_id": 1, "y": 7}),
)


def test_a_changed_setting_reads_the_files_again(shop: Shop) -> None:
    for number, (content, *_) in enumerate(RE_READ):
        shop.write(f"{number}.csv", content)

    def lab_with(part: int) -> Lab:
        tables = (f"t{n}: {{pattern: {n}.csv, {one[part]}}}" for n, one in enumerate(RE_READ))
        return shop.lab_with(f"{{{', '.join(tables)}}}")

    lab_with(1).load()
    lab = lab_with(2)
    for table, (*_, expected) in zip(lab.load().tables, RE_READ, strict=True):
        assert (table.files_read, table.rows_given) == (1, 1)
        assert "its settings changed: all its files were read again" in table.notes
        assert rows(lab, ", ".join(expected), table.table) == [tuple(expected.values())]
    assert [table.files_read for table in lab.load().tables] == [0, 0, 0]


def test_a_changed_key_or_type_names_the_full_refresh(shop: Shop) -> None:
    shop.write("orders.csv", "order_id,x\n1,7\n")
    shop.lab_with(ORDERS).load()
    for after in ("primary_key: [x]", "", "primary_key: [order_id], columns: {x: text}"):
        lab = shop.lab_with(f"{{orders: {{pattern: 'orders*', {after}}}}}")
        with pytest.raises(SourceError, match="`headrace load --full-refresh --source store`"):
            lab.load()
        assert rows(lab, "order_id, x") == [(1, 7)]
        lab.load(full_refresh=True)
        assert len(rows(lab, "order_id, x")) == 1


def test_an_emptied_file_without_a_key_loses_its_rows(shop: Shop) -> None:
    shop.write("orders_1.csv", "x\n1\n")
    shop.write("orders_2.csv", "x\n2\n")
    lab = shop.lab_with("{orders: {pattern: 'orders*', allow_empty: true}}")
    lab.load()
    shop.write("orders_1.csv", "x\n")
    table = lab.load_one()

    assert rows(lab, "x") == [(2,)]
    assert "all rows of orders_1.csv were removed, as it has none any more" in table.notes


def test_a_cursor_of_files_is_compared_by_its_meaning(shop: Shop) -> None:
    lab = shop.lab_with("{orders: {pattern: 'orders*', primary_key: [order_id], cursor: at}}")
    shop.write("orders.csv", "order_id,x,at\n1,a,2024-10-27T02:50:00+02:00\n2,a,\n")
    lab.load()
    shop.write("orders.csv", "order_id,x,at\n1,b,2024-10-27T02:15:00+01:00\n2,b,\n")
    assert lab.load_one().rows_changed == 2
    shop.write("orders.csv", "order_id,x,at\n1,c,\n2,b,\n")
    table = lab.load_one()

    assert (table.rows_quarantined, table.rows_unchanged) == (1, 1)
    assert [row[3] for row in lab.quarantine()] == ["null_cursor"]
    assert rows(lab, "order_id, x") == [(1, "b"), (2, "b")]


def test_a_cursor_of_days_first_is_refused(shop: Shop) -> None:
    shop.write("orders.csv", "order_id,at\n1,31/12/2024\n")
    lab = shop.lab_with("{orders: {pattern: 'orders*', primary_key: [order_id], cursor: at}}")
    with pytest.raises(SourceError, match=r"orders.csv row 1: the cursor at .* set `columns: "):
        lab.load()


def test_two_tables_read_one_file_in_two_ways(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handed over as they are, both are read by the warehouse after both were staged."""
    monkeypatch.setattr("headrace.ingest.stage.BULK_BYTES", 0)
    shop.write("a.csv", "1,2\n3,4\n")
    lab = shop.lab_with(
        "{ones: {pattern: '*', names: [x, y]}, twos: {pattern: '*', header: true, names: [y, x]}}"
    )
    lab.load()
    assert lab.query("select x, y from store_raw.ones order by x") == [(1, 2), (3, 4)]
    assert lab.query("select y, x from store_raw.twos order by x") == [(3, 4)]
