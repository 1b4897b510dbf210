"""Files as the world has them: names, folders, shapes, line ends. Nothing is lost in silence."""

import gzip
import json
import os
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lab import Lab, Rows, Shop, partly_loaded, refused

from headrace.errors import SourceError
from headrace.ingest import stage
from headrace.pipeline.reports import TableReport

NAMES = [
    "orders[1].csv", "orders1.csv", "a*.csv", "a?.csv", "ab.csv", "[x].csv", "x.csv", "[!x].csv",
    "[[]1].csv", "**.csv", "{a,b}.csv", "it's.csv", 'say "hi".csv', "a b.csv", "a\nb.csv",
    "a%20b.csv", "a#b.csv", "größe 名.csv", "-dash.csv", "~.csv", "$x.csv", "k=v.csv", "a;b.csv",
    "back\\slash.csv", "[d]/f.csv", "d/f.csv", "UPPER.CSV", "[z].csv.gz",
]  # fmt: skip
SHAPES = [
    {"event_id": number, **{f"k{number % 40:02d}_{part}": number for part in range(8)}}
    for number in range(120)
]
SPARSE = [
    {"event_id": number, **{f"s{(number * 7 + part * 31) % 200}": part for part in range(3)}}
    for number in range(300)
]
TABLES = {
    "names": "{pattern: '**/*', primary_key: [id]}",
    "csv_hive": "{pattern: '**/*.csv', primary_key: [id]}",
    "jsonl_hive": "{pattern: '**/*.jsonl'}",
    "parquet_hive": "{pattern: '**/*.parquet'}",
    "no_hive": "{pattern: '**/*.csv', hive_partitioning: false}",
    "cases": "{pattern: '*'}",
    "shapes": "{pattern: '*', primary_key: [event_id]}",
    "sparse": "{pattern: '*', primary_key: [event_id]}",
    "values": "{pattern: '*', primary_key: [id]}",
    "arrays": "{pattern: '*'}",
    "gaps": "{pattern: '*'}",
    "renamed": "{pattern: '*', primary_key: [Name], rename: {Name: title, goals_2: away}}",
    "ragged": "{pattern: '*', primary_key: [sku]}",
    "quoted": "{pattern: '*'}",
    "ends": "{pattern: '*'}",
    "nul_byte": "{pattern: '*'}",
}


def write_all(shop: Shop) -> None:
    for number, name in enumerate(NAMES):
        text = f"id,v\n{number},{number}\n".encode()
        shop.write(f"names/{name}", gzip.compress(text) if name.endswith(".gz") else text)
    folder = "region=EU/year=2023"
    shop.write(f"csv_hive/{folder}/a.csv", "id,region\n1,US\n2,FR\n")
    shop.write("csv_hive/region=EU/year=02024/a.csv", "id,region\n3,US\n")
    shop.write("no_hive/year=2024/a.csv", "id\n1\n")
    shop.write(f"jsonl_hive/{folder}/a.jsonl", '{"id": 1, "region": "US"}\n')
    path = shop.write(f"parquet_hive/{folder}/a.parquet", "")
    pq.write_table(pa.table({"id": [1], "region": ["US"]}), path)
    shop.write(
        "cases/a.jsonl", '{"id": 1, "V": "a", "name": "x", "Name": "y"}\n{"id": 2, "v": "b"}\n'
    )
    shop.write("shapes/a.jsonl", "".join(json.dumps(row) + "\n" for row in SHAPES))
    shop.write("sparse/a.jsonl", "".join(json.dumps(row) + "\n" for row in SPARSE))
    shop.write(
        "values/a.jsonl",
        '{"id": 1}\n\n[1, 2]\n5\nnull\n"text"\n{"id": 2, "a": {"b": 1}}\r\n   \n'
        '{"id": 3, "id": 4}\n{"id": 5, "a": 7}',
    )
    shop.write("arrays/compact.json", '[{"id":1,"part":{"a":1},"note":null},{"id":2,"note":"x"}]')
    shop.write("arrays/pretty.json", json.dumps([{"id": 3}, {"id": 4}], indent=2))
    shop.write("arrays/one.json", json.dumps({"id": 5}, indent=2))
    shop.write("gaps/a.csv", "station,,Goals,Visitor,Goals,,Goals\nNorth,a,1,South,2,b,3\n")
    shop.write("renamed/a.csv", "name,Name,goals,goals\nx,y,1,2\n")
    shop.write("ragged/a.csv", 'sku,stock\nA1,3\nB2\nC3,5,Oslo\nD4,"6\n7"\nE5,8\nF6,9\n')
    shop.write("quoted/a.csv", b'id,"two\nlines"\r\n1,"a\nb"\r\n2,"c\r\nd"\r\n')
    shop.write("ends/a.csv", b"id,v\n1,a\r\n2,b\n3,c\rd\n\n4,e\r\n")
    shop.write("nul_byte/a.csv", b"id,v\n1,be\x00fore\n2,after\n")


@pytest.fixture(scope="module", params=["by row", "whole"])
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Lab, dict[str, TableReport]]:
    """Everything loaded once: row by row, or as it is where that is possible."""
    root = tmp_path_factory.mktemp("hostile")
    (root / "files").mkdir()
    shop = Shop(Lab(root / "data[1] *", observes=True), root / "files")
    write_all(shop)
    tables = ", ".join(
        f"{name}: {{pattern: '{name}/" + options.removeprefix("{pattern: '")
        for name, options in TABLES.items()
    )
    lab = shop.lab_with(f"{{{tables}}}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "BULK_BYTES", 0 if request.param == "whole" else 1 << 40)
        reports = lab.load().tables
    return lab, {report.table: report for report in reports}


Loaded = tuple[Lab, dict[str, TableReport]]


def rows(loaded: Loaded, table: str, columns: str = "* exclude (_dlt_load_id)") -> Rows:
    return loaded[0].query(f"select {columns} from store_raw.{table} order by all")


def test_a_file_name_is_no_pattern(loaded: Loaded) -> None:
    assert rows(loaded, "names", "id, v") == [(number, number) for number in range(len(NAMES))]
    assert loaded[1]["names"].files_read == len(NAMES)


def test_folders_give_columns_that_the_file_lacks(loaded: Loaded) -> None:
    assert rows(loaded, "csv_hive", "id, region, year") == [
        (1, "US", "2023"), (2, "FR", "2023"), (3, "US", "02024"),
    ]  # fmt: skip
    for table in ("jsonl_hive", "parquet_hive"):
        assert rows(loaded, table, "id, region, year") == [(1, "US", "2023")]
    assert loaded[1]["parquet_hive"].notes == (
        (
            "the column 'region' of parquet_hive/region=EU/year=2023/a.parquet is read from the "
            "file, not from its folder region=EU"
        ),
    )
    assert "year" not in loaded[0].schema("store_raw.no_hive")


def test_keys_that_differ_in_case_are_columns_of_their_own(loaded: Loaded) -> None:
    assert rows(loaded, "cases", "id, v, v_2, name, name_2") == [
        (1, None, "a", "x", "y"), (2, "b", None, None, None),
    ]  # fmt: skip
    assert loaded[1]["cases"].notes == (
        "'V' is v_2, because 'v' is v",
        "'Name' is name_2, because 'name' is name",
    )


@pytest.mark.parametrize(("table", "sent"), [("shapes", SHAPES), ("sparse", SPARSE)])
def test_json_of_many_shapes_is_read_by_its_fields(
    loaded: Loaded, table: str, sent: list[dict[str, int]]
) -> None:
    lab, _ = loaded
    columns = [name for name in lab.schema(f"store_raw.{table}") if name != "_file_name"]
    assert set(columns) == {key for row in sent for key in row}
    found = lab.query(f"select {', '.join(columns)} from store_raw.{table} order by event_id")
    got = [
        {key: value for key, value in zip(columns, row, strict=True) if value is not None}
        for row in found
    ]
    assert got == sent


def test_lines_that_are_no_objects_go_to_quarantine(loaded: Loaded) -> None:
    lab, reports = loaded
    assert [row[0] for row in rows(loaded, "values", "id")] == [1, 2, 5]
    assert (reports["values"].rows_new, reports["values"].rows_quarantined) == (3, 5)
    assert [row[2:] for row in lab.quarantine() if row[0] == "values"] == [
        (2, "malformed", "line 3: a JSON array, not an object"),
        (3, "malformed", "line 4: a number, not an object"),
        (4, "malformed", "line 5: null, not an object"),
        (5, "malformed", "line 6: a text, not an object"),
        (7, "malformed", "line 9: an object that has a key twice"),
    ]
    assert lab.query(
        "select row_json from store_raw._quarantine where table_name = 'values' order by row_number"
    )[0] == ("[1, 2]",)


def test_arrays_and_single_objects(loaded: Loaded) -> None:
    assert rows(loaded, "arrays", "id, note") == [
        (1, None), (2, "x"), (3, None), (4, None), (5, None),
    ]  # fmt: skip


def test_header_with_gaps_and_repeats(loaded: Loaded) -> None:
    lab, reports = loaded
    assert list(lab.schema("store_raw.gaps")) == [
        "station", "column_2", "goals", "visitor", "goals_2", "column_6", "goals_3", "_file_name",
    ]  # fmt: skip
    assert rows(loaded, "gaps", "column_2, goals, goals_2, column_6, goals_3") == [
        ("a", 1, 2, "b", 3)
    ]
    assert len(reports["gaps"].notes) == 4


def test_rename_gives_names(loaded: Loaded) -> None:
    assert rows(loaded, "renamed", "name, title, goals, away") == [("x", "y", 1, 2)]
    assert loaded[1]["renamed"].notes == ()


def test_rows_that_do_not_fit_the_header_go_to_quarantine(loaded: Loaded) -> None:
    lab, reports = loaded
    assert [row[0] for row in rows(loaded, "ragged", "sku")] == ["A1", "D4", "E5", "F6"]
    assert (reports["ragged"].rows_new, reports["ragged"].rows_quarantined) == (4, 2)
    assert [row[1:] for row in lab.quarantine() if row[0] == "ragged"] == [
        ("ragged/a.csv", 2, "malformed", "line 3: 1 value, but the header has 2"),
        ("ragged/a.csv", 3, "malformed", "line 4: 3 values, but the header has 2"),
    ]


def test_line_ends_and_nul(loaded: Loaded) -> None:
    assert rows(loaded, "quoted", "id, two_lines") == [(1, "a\nb"), (2, "c\r\nd")]
    assert rows(loaded, "ends", "id, v") == [(1, "a"), (2, "b"), (3, "c\rd"), (4, "e")]
    assert rows(loaded, "nul_byte", "id, v") == [(1, "be\x00fore"), (2, "after")]


def test_no_row_and_no_file_is_unaccounted_for(loaded: Loaded) -> None:
    lab, reports = loaded
    assert set(reports) == set(TABLES)
    kept = Counter(row[0] for row in lab.quarantine())
    assert {name: report.rows_quarantined for name, report in reports.items() if name in kept} == {
        "values": 5, "ragged": 2,
    }  # fmt: skip
    assert {table.files_read for table in lab.load().tables} == {0}


def test_a_name_that_was_given_stays(shop: Shop) -> None:
    lab = shop.lab_with("{people: {pattern: '*', primary_key: [id]}}")
    shop.write("a.jsonl", '{"id": 1, "Name": "x"}\n')
    lab.load()
    shop.write("b.jsonl", '{"name": "y", "Name": "z", "id": 2}\n')
    assert lab.load_one().notes == ("'name' is name_2, because 'Name' is name",)
    shop.write("c.jsonl", '{"NAME": "w", "id": 3, "Name": "v", "name": "u"}\n')
    assert lab.load_one().notes == ("'NAME' is name_3, because 'Name' is name",)

    assert lab.query("select id, name, name_2, name_3 from store_raw.people order by id") == [
        (1, "x", None, None), (2, "z", "y", None), (3, "v", "u", "w"),
    ]  # fmt: skip


def test_a_file_that_cannot_be_read_blocks_no_other(shop: Shop) -> None:
    text = "id,v\n" + "".join(f"{n},value {n * 7919 % 100_003}\n" for n in range(50_000))
    shop.write("cut.csv.gz", gzip.compress(text.encode())[:60_000])
    shop.write("good.csv", "id,v\n1,a\n")
    (shop.folder / "dangling.csv").symlink_to("nowhere.csv")
    os.mkfifo(shop.folder / "pipe.csv")
    shop.write("a\\b[1].csv", "id,v\n2,b\n")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id]}}")
    words = [
        "store.orders: cut.csv.gz cannot be read: it ends before", "dangling.csv is a link to",
        "pipe.csv is a pipe", "a\\b[1].csv has a backslash beside",
    ]  # fmt: skip
    for _ in range(2):  # as long as they are there
        partly_loaded(lab, "load", words=words)
        assert lab.query("select id, v from store_raw.orders") == [(1, "a")]

    for name in ("dangling.csv", "pipe.csv", "a\\b[1].csv"):
        (shop.folder / name).unlink()
    shop.write("cut.csv.gz", gzip.compress(text.encode()))
    assert lab.load_one().rows_new == 49_999


def test_mostly_ragged_files_and_unknown_suffixes_are_refused(shop: Shop) -> None:
    shop.write("orders.csv", "printed 2024-05-06\nA1,3\nB2,4\nC3,5\n")
    lab = shop.lab_with("{orders: {pattern: '*'}}")
    refused(lab, "load", kind=SourceError, words=[
        "orders.csv line 2: 2 values, but the header has 1", "3 of 3 rows", "`delimiter`",
    ])  # fmt: skip
    (shop.folder / "orders.csv").rename(shop.folder / "orders.doc")
    refused(lab, "load", kind=SourceError, words=["orders.doc", ".jsonl"])


def test_a_table_that_no_file_can_be_named_after_is_refused(shop: Shop) -> None:
    lab = shop.lab_with("{nul: {pattern: '*'}}")
    refused(lab, "load", kind=SourceError, words=["sources.store.tables: 'nul' cannot be the name"])
