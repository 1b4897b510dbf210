"""What a file holds: its columns, its rows, and what is no row."""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dlt.common.normalizers.naming.snake_case import NamingConvention
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.errors import SourceError
from headrace.ingest.csv_reader import CsvReader, without_bad_rows
from headrace.ingest.discover import SourceFile
from headrace.ingest.json_reader import JsonReader, with_all_digits
from headrace.ingest.model import FileTable
from headrace.ingest.scan import FileScan, folder_columns, name_scans, scan_file

normalize = NamingConvention().normalize_identifier
Look = Callable[..., tuple[FileScan, list[tuple[Any, ...]]]]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@pytest.fixture
def look(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> Look:
    """Writes a file, and gives its scan and its rows with their number in front."""

    def looked(
        name: str, content: bytes | str, **options: Any
    ) -> tuple[FileScan, list[tuple[Any, ...]]]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read(connection, path, name, **options)

    return looked


def read(
    connection: duckdb.DuckDBPyConnection, path: Path, name: str, **options: Any
) -> tuple[FileScan, list[tuple[Any, ...]]]:
    file = SourceFile(path, name, path.stat().st_size, "digest")
    scratch = path.parent / "scratch"
    scan = scan_file(connection, file, FileTable("*", **options), normalize, scratch)
    if isinstance(scan.reader, CsvReader):
        scan = replace(scan, reader=without_bad_rows(connection, scan.reader, scratch))
    elif isinstance(scan.reader, JsonReader):
        scan = replace(scan, reader=with_all_digits(connection, scan.reader, scratch))
    columns = ", ".join(f'"{name}"' for name in scan.columns)
    rows = connection.execute(f"select {scan.row_number}, {columns} from {scan.sql}").fetchall()
    return scan, rows


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("inner", ["\n", "\r\n", "\r"])
def test_line_breaks_in_quotes_are_values_whatever_ends_a_line(
    look: Look, end: str, inner: str
) -> None:
    content = f'id,"two{inner}lines"{end}1,"a{inner}b"{end}2,c{end}'
    scan, rows = look("a.csv", content.encode())
    assert scan.header == ("id", f"two{inner}lines")
    assert rows == [(1, "1", f"a{inner}b"), (2, "2", "c")]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"id,v\n1,a\r\n2,b\n", ["a", "b"]),
        (b"id,v\r\n1,a\n2,b\r\n", ["a", "b"]),
        (b"id,v\r1,a\n2,b\r\n", ["a", "b"]),
        (b"id,v\n1,a\rz\n2,b\n", ["a\rz", "b"]),
        (b"id,v\r\r\n1,a\r\r\n2,b\r\r\n", ["a", "b"]),
        (b"\xef\xbb\xbfid,v\n1,a\r\n2,b", ["a", "b"]),
        (b"id,v\n1,a\x00z\n2,b\n", ["a\x00z", "b"]),
        (b"id,v\n\n1,a\r\n\n2,b\n\n", ["a", "b"]),
    ],
)
def test_mixed_line_ends_and_control_characters(
    look: Look, content: bytes, rows: list[str]
) -> None:
    scan, found = look("a.csv", content)
    assert scan.columns == {"id": "id", "v": "v"}
    assert found == [(1, "1", rows[0]), (2, "2", rows[1])]
    assert scan.rejected == ()


def test_rows_that_do_not_fit_are_told_by_their_line(look: Look) -> None:
    content = (
        'sku,stock,place\nA1,3,"two\nlines"\nB2,4\n\nC3,5,Oslo,left\nD4,6,"Ro"me"\nE5,7,Bern\n'
        'F6,8,Rom\nG7,9,Genf\nH8,1,"open\nI9,2,Nice\n'
    )
    scan, rows = look("a.csv", content)
    assert rows == [
        (1, "A1", "3", "two\nlines"), (5, "E5", "7", "Bern"), (6, "F6", "8", "Rom"),
        (7, "G7", "9", "Genf"), (9, "I9", "2", "Nice"),
    ]  # fmt: skip
    assert [(row.number, row.message) for row in scan.rejected] == [
        (2, "line 4: 2 values, but the header has 3"),
        (3, "line 6: 4 values, but the header has 3"),
        (4, "line 7: text after the closing quote of a value"),
        (8, "line 11: a quoted value does not end"),
    ]
    assert scan.rejected[3].text == 'H8,1,"open'


def test_encoding_that_is_another_is_told_by_its_line(look: Look) -> None:
    content = b"id,v\n" + b'1,"a"\n' * 30_000 + b"2,b\n3,\xe9\n"
    with pytest.raises(SourceError, match=r"a.csv line 30003: it is not UTF-8; set .*`encoding`"):
        look("a.csv", content, encoding="utf-8")


def test_a_header_may_be_long(look: Look) -> None:
    names = [f"a_rather_long_name_of_a_column_{number}" for number in range(3000)]
    scan, rows = look("a.csv", ",".join(names) + "\n" + ",".join("1" * 3000) + "\n")
    assert list(scan.columns) == names
    assert rows == [(1, *("1" * 3000))]


LINES = st.lists(
    st.sampled_from(
        [
            "1,a\n",
            "2,b\r\n",
            '3,"x\ny"\n',
            "4\n",
            "5,a,b\n",
            '6,"open\n',
            '7,"a"b"\n',
            "\n",
            "8,a\rb\n",
        ]
    ),
    max_size=12,
)


@given(lines=LINES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_each_row_is_read_or_rejected(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, lines: list[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(("id,v\n" + "".join(lines)).encode())
    try:
        scan, rows = read(connection, path, "a.csv")
    except SourceError as error:
        assert "rows do not fit the header" in str(error)  # noqa: PT017
        return
    numbers = sorted([row[0] for row in rows] + [row.number for row in scan.rejected])
    assert numbers == list(range(1, len(numbers) + 1))
    if "open" not in "".join(lines):
        assert len(numbers) == sum(line != "\n" for line in lines)


def test_json_keys_are_told_apart_by_every_letter(look: Look) -> None:
    keys = ["", "a/b", "a~b", 'a"b', "a'b", "V", "v", "order", "a.b", "名", "0", "$x", " v"]
    scan, rows = look("a.jsonl", json.dumps({key: n for n, key in enumerate(keys)}) + '\n{"w":1}\n')
    assert scan.header == (*keys, "w")
    assert rows == [(1, *map(str, range(len(keys))), None), (2, *[None] * len(keys), "1")]


JSON_LINES = st.lists(
    st.sampled_from(
        ['{"a":1}', '{"A":2,"a":"x"}', '{"b":{"c":1}}', "{}", "[1]", "5", "null", '"x"', "true",
         '{"a":1,"a":2}', '{"a":0.12345678901234567890}', "", "  ", '{"a":1}\r']
    ),
    max_size=12,
)  # fmt: skip


@given(lines=JSON_LINES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_each_line_of_json_is_read_or_rejected(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, lines: list[str]
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines), newline="")
    try:
        scan, rows = read(connection, path, "a.jsonl")
    except SourceError as error:
        assert "no object with a key" in str(error) or "is empty" in str(error)  # noqa: PT017
        return
    filled = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    is_row = [line.startswith("{") and line.count('"a"') < 2 for _, line in filled]
    assert [row[0] for row in rows] == [n for n, good in enumerate(is_row, start=1) if good]
    assert [row.message.partition(":")[0] for row in scan.rejected] == [
        f"line {line}" for (line, _), good in zip(filled, is_row, strict=True) if not good
    ]


def test_json_lines_that_are_not_json(look: Look) -> None:
    scan, rows = look("a.jsonl", b'{"id":1}\n\n{"id":\n{"id":"\xff"}\n{"id":2}\n')
    assert rows == [(1, "1"), (4, "2")]
    assert [(row.number, row.line, row.text) for row in scan.rejected] == [
        (2, 3, '{"id":'), (3, 4, '{"id":"\\xff"}'),
    ]  # fmt: skip
    assert scan.rejected[0].message == "line 3: not JSON (Expecting value)"


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_json_numbers_keep_their_digits(look: Look, form: str) -> None:
    values = [
        '{"id":1,"dec":12345678901234567.89,"deep":{"x":[0.1234567890123456789,1.5]},"s":"é"}',
        '{"id":123456789012345678901234567890,"dec":0.1}',
    ]
    text = "\n".join(values) if form == "jsonl" else f"[{','.join(values)}]"
    _, rows = look(f"a.{form}", text)
    assert rows == [
        (1, "1", "12345678901234567.89", '{"x":[0.1234567890123456789,1.5]}', '"é"'),
        (2, "123456789012345678901234567890", "0.1", None, None),
    ]


def test_json_with_a_mark_at_its_beginning(look: Look) -> None:
    for name in ("a.jsonl", "a.json"):
        assert look(name, b'\xef\xbb\xbf{"id":1}\n{"id":2}\n')[1] == [(1, "1"), (2, "2")]


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_json_in_two_or_four_bytes_a_character(look: Look, encoding: str) -> None:
    lines = '{"id":1,"v":"é"}\r\n7\r\n{"id":2}\r\n'
    scan, rows = look("a.jsonl", lines.encode(encoding))
    assert rows == [(1, "1", '"é"'), (3, "2", None)]
    assert [row.message for row in scan.rejected] == ["line 2: a number, not an object"]
    assert look("a.json", '[\n{"id":1},\n{"id":2}]'.encode(encoding))[1] == [(1, "1"), (2, "2")]
    packed = gzip.compress(lines.encode(encoding))
    assert len(look("a.jsonl.gz", packed)[1]) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"id":1}\n\n{"id":\n{\n', r"a.jsonl line 3: not JSON \(Expecting.*; 2 of its"),
        ("a.jsonl", '[{"id":1}]', "no object with a key .line 1: a JSON array, not an object"),
        ("a.jsonl", "null\nnull\n", "no object with a key .line 1: null"),
        ("a.json", '[{"id":1},\n {"id"]', "a.json line 2: not JSON"),
        ("a.json", "[]", "no object with a key .no value"),
        ("a.json", '{"id":1}'.encode("utf-16-le") + b"x", "begins as UTF-16-LE, and is not"),
        ("a.csv", "\n\n", "has no header line"),
        ("a.csv", 'id,"v\n1,a\n', "line 1: the header cannot be read"),
        ("a.csv", "", "is empty"),
        ("a.csv.gz", "id\n1\n", "cannot be read"),
        ("a.parquet.gz", "PAR1PAR1", "compressed as a whole: unpack it"),
        ("a.parquet", "PAR1PAR1", "cannot be read as Parquet"),
    ],
)
def test_files_that_cannot_be_read(
    look: Look, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        look(name, content)


def test_parquet_columns_that_differ_in_case(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table([[1], [2], [3]], names=["name", "Name", "_dlt_id"]), path)
    scan, rows = read(connection, path, "year=2024/a.parquet")
    assert scan.types == {
        "name": "BIGINT", "name_2": "BIGINT", "dlt_id": "BIGINT", "year": "VARCHAR",
    }  # fmt: skip
    assert rows == [(1, 1, 2, 3, "2024")]


def test_a_key_that_is_missing_is_told_with_some_of_the_columns(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(f"c{n}" for n in range(3000)) + "\n")
    table = FileTable("*", primary_key=("id",))
    file = SourceFile(path, "a.csv", path.stat().st_size, "digest")
    scan = scan_file(connection, file, table, normalize, tmp_path)
    with pytest.raises(SourceError, match=r"lacks the key column 'id'.*'c19'\] and 2,980 more$"):
        name_scans([scan], table, normalize, {})


def test_folders_that_differ_between_files_stay_text(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    scans = [
        scan_file(
            connection, SourceFile(path, name, 5, "digest"), FileTable("*"), normalize, tmp_path
        )
        for name in ("month=11/a.csv", "month=01/a.csv", "Month=x/day=1/a.csv")
    ]
    named, _ = name_scans(scans, FileTable("*"), normalize, {})
    assert [scan.names for scan in named] == [
        ("id", "month"),
        ("id", "month"),
        ("id", "month", "day"),
    ]
    assert folder_columns(named) == {"day": "VARCHAR", "month": "VARCHAR"}
