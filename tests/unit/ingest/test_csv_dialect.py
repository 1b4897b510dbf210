"""How a CSV file is written: what is found, what is said, and what has to be set."""

import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from headrace.errors import SourceError
from headrace.ingest.csv_dialect import find_dialect
from headrace.ingest.discover import HashCache, SourceFile, find_files
from headrace.ingest.model import FileChanges, FileTable
from headrace.ingest.stage import stage
from ingest_lab import connect, first_load

CASES = Path(__file__).parents[4] / "shared" / "cases" / "files"
Rows = list[tuple[Any, ...]]


def dialect(folder: Path, content: bytes | str, name: str = "a.csv", **options: Any) -> Any:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return find_dialect(SourceFile(path, name, 1, "d"), FileTable("*", **options))


def load(folder: Path, pattern: str = "*", **options: Any) -> tuple[list[str], Rows, list[str]]:
    """Columns, rows and notes of a first load of the files in a folder."""
    context = first_load(folder.parent)
    table = FileTable(pattern, **options)
    found = find_files(folder, pattern, HashCache(context.cache_path))
    assert not found.unreadable, found.unreadable
    with connect() as connection:
        staged = stage(
            connection, "t", table, FileChanges(found.files, found.files), context, str.lower
        )
        assert staged.rows_given == staged.rows_new + staged.rows_quarantined
        names = [column.name for column in staged.columns if not column.name.startswith("_")]
        selected = ", ".join(f'"{name}"' for name in names)
        rows = connection.execute(f"select {selected} from ({staged.select}) order by all")
        return names, rows.fetchall(), list(staged.notes)


@pytest.fixture
def put(tmp_path: Path) -> Any:
    """Write files into a folder of their own, which is given."""
    folder = tmp_path / "in"
    folder.mkdir()

    def written(**files: bytes | str) -> Path:
        for name, content in files.items():
            path = folder / name.replace("_", ".")
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return written


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("id;name\n1;a\n", ";"),
        ("id\tname\n1\ta\n", "\t"),
        ("id|name\n1|a\n", "|"),
        ("id,name\n1,a\n", ","),
        ("id\n1\n", ","),
        ("id;name\n", ";"),
        ("id;price\n1;1,5\n2;2,5\n", ";"),
        ("Name;Price, net;Share\nA;1,5;2\nB;2,5;3\n", ";"),
        ("id,tags\n1,a;b;c\n2,d\n", ","),
        ("id,note\n1,\"a;b\"\n2,c|d\n", ","),
        ("sku,stock\nA,1\nB\nC,1,2\nD,4\n", ","),
        ("id;name\n1;a\n2;b;c\n" + "3;d\n" * 20, ";"),
    ],
)  # fmt: skip
def test_the_delimiter_that_makes_all_rows_alike(
    tmp_path: Path, content: str, delimiter: str
) -> None:
    found = dialect(tmp_path, content)
    assert found.delimiter == delimiter
    assert bool(found.notes) == (delimiter != ",")


def test_settings_overrule_what_a_file_looks_like(tmp_path: Path) -> None:
    found = dialect(tmp_path, "id;name\n1;a\n", delimiter=",", encoding="Latin1")
    assert (found.delimiter, found.encoding, found.notes) == (",", "latin-1", ())


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("id,é\n1,ü\n".encode(), "utf-8"),
        ("\ufeffid,é\n".encode(), "utf-8"),
        ("id,é\n1,ü\n".encode("utf-16"), "utf-16"),
        ("id,name\n1,ü\n".encode("utf-16-le"), "utf-16-le"),
        ("id,name\n1,ü\n".encode("utf-16-be"), "utf-16-be"),
        ("id,é\n1,ü\n".encode("latin-1"), "cp1252"),
        ("id,name\n1,10 € “so”\n".encode("cp1252"), "cp1252"),
        (("id,name\n" + "1,Санкт-Петербург и Москва\n" * 50).encode("cp1251"), "cp1251"),
        (b"id,name\n1,be\0fore\n", "utf-8"),
    ],
)
def test_the_encoding(tmp_path: Path, content: bytes, encoding: str) -> None:
    found = dialect(tmp_path, content)
    assert found.encoding == encoding
    assert bool(found.notes) == (encoding != "utf-8")


@pytest.mark.parametrize(
    "content",
    [
        "10,Lisbon,2024-02-01\n11,Oslo,2024-02-02\n",
        "Oslo,2024-02-01\nRome,2024-02-02\n",
        "1;2,5\n2;3,5\n",
        "01/02/2024,x\n02/02/2024,y\n",
    ],
)
def test_a_first_line_of_data_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(SourceError, match=r"first line seems to be data.*`header: false`.*`names`"):
        dialect(tmp_path, content)
    assert dialect(tmp_path, content, header=True)
    assert dialect(tmp_path, content, header=False)


@pytest.mark.parametrize(
    "content",
    [
        "sku,2019,2020\na,1,2\n",
        "sku,2024-01-01,2024-02-01\na,1,2\n",
        "id,name\n1,a\n",
        "id,1\n1,a\n",
        "a,b\nc,d\n",
        "2024\n",
        "day,1\n,\n",
    ],
)
def test_a_header_is_none_of_the_data(tmp_path: Path, content: str) -> None:
    assert dialect(tmp_path, content)


def test_names_of_the_settings_show_that_a_line_is_the_header(tmp_path: Path) -> None:
    assert dialect(tmp_path, "1,2\n3,4\n", primary_key=("1",))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("Stock list\n\nsku,stock\nA,3\nB,4\n", "'sku,stock' in line 3: set `skip: 2`"),
        ("Report,x\nof today\nsku,stock,at\nA,3,x\nB,4,y\n", "in line 3: set `skip: 2`"),
        ("List\nsku,stock\nA,3\nTotal,3\n", "`skip_footer: 1` if its last line, 'Total,3'"),
    ],
)
def test_lines_above_the_header_are_told(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(SourceError) as caught:
        dialect(tmp_path, content)
    assert told in str(caught.value)


def test_a_total_at_the_end_is_said(tmp_path: Path) -> None:
    (note,) = dialect(tmp_path, "sku,stock\nA,3\nTotal,3\n").notes
    assert "`skip_footer: 1`" in note
    assert not dialect(tmp_path, "sku,stock\nA,3\nTotal,3\n", skip_footer=1).notes
    assert not dialect(tmp_path, "sku,stock\nA,3\nSummer dress,3\n").notes


def test_what_stands_above_below_and_instead_of_a_header(put: Any) -> None:
    folder = put(a_csv="list\n\nsku,stock\nA,3\nB,4\nTotal,7\n\n")
    names, rows, _ = load(folder, skip=2, skip_footer=1)
    assert (names, rows) == (["sku", "stock"], [("A", 3), ("B", 4)])
    folder = put(a_csv='10,Oslo\n11,"Rome,\nIT"\n')
    assert load(folder, header=False)[:2] == (
        ["column_1", "column_2"],
        [(10, "Oslo"), (11, "Rome,\nIT")],
    )
    assert load(folder, names=("id", "city"))[0] == ["id", "city"]
    folder = put(a_csv="a,b\n10,Oslo\n")
    assert load(folder, names=("id", "city"), header=True)[:2] == (["id", "city"], [(10, "Oslo")])
    with pytest.raises(SourceError, match="has 2 columns, and `names` of its table has 1"):
        load(folder, names=("id",))


def test_a_line_is_counted_in_the_file_not_in_its_copy(put: Any) -> None:
    folder = put(a_csv="x\ny\nid,p\n1,2\n2\n3,4\n")
    context = first_load(folder.parent)
    files = find_files(folder, "*", HashCache(context.cache_path)).files
    with connect() as connection:
        table = FileTable("*", skip=2)
        staged = stage(connection, "t", table, FileChanges(files, files), context, str.lower)
    assert staged.quarantine is not None
    assert staged.quarantine["message"].to_pylist() == ["line 5: 1 value, but the header has 2"]


@pytest.mark.parametrize(
    ("options", "is_refused"),
    [
        ({}, False),
        ({"bad_rows": "fail"}, True),
        ({"bad_rows_limit": 0.4}, True),
        ({"bad_rows_limit": 0.5}, False),
    ],
)
def test_how_many_bad_rows_a_file_may_have(
    put: Any, options: dict[str, Any], is_refused: bool
) -> None:
    folder = put(a_csv="id,n\n1,2\n,3\n4\n5,6\n", b_csv="id,n\n7,8\n")
    if not is_refused:
        assert load(folder, primary_key=("id",), **options)[1] == [(1, 2), (5, 6), (7, 8)]
        return
    with pytest.raises(SourceError) as caught:
        load(folder, primary_key=("id",), **options)
    assert str(caught.value).startswith("a.csv line 3: id is null; 2 of 4 rows of the file cannot")


def test_values_that_are_written_in_another_way(put: Any) -> None:
    folder = put(a_csv="d;p;n;b\n31/12/2024;1.234,50;N/A;yes\n01/02/2025;-9,5;7;no\n")
    _, rows, _ = load(
        folder,
        columns={"d": "date %d/%m/%Y", "p": "decimal(12,2)", "b": "boolean"},
        decimal=",",
        null_values=("N/A", "-"),
    )
    assert rows == [
        (date(2024, 12, 31), Decimal("1234.50"), None, True),
        (date(2025, 2, 1), Decimal("-9.50"), 7, False),
    ]


@pytest.mark.parametrize(
    ("value", "options"),
    [
        ("2024/13/01", {"columns": {"x": "date %Y/%m/%d"}}),
        ("31/12/2024 10:00", {"columns": {"x": "date %d/%m/%Y %H:%M"}}),
        ("1.5", {"columns": {"x": "double"}, "decimal": ","}),
        ("1.23,4", {"columns": {"x": "double"}, "decimal": ","}),
        ("maybe", {"columns": {"x": "boolean"}}),
    ],
)
def test_a_value_that_is_not_written_so_is_quarantined(
    put: Any, value: str, options: dict[str, Any]
) -> None:
    folder = put(a_csv=f"id;x\n1;{value}\n2;\n")
    _, rows, notes = load(folder, **options)
    assert [row[0] for row in rows] == [2]
    assert any("in quarantine: a.csv row 1: x is " in note for note in notes)
    with pytest.raises(SourceError, match=r"a\.csv line 2: x is not a "):
        load(folder, bad_rows="fail", **options)


def test_a_sheet_of_a_workbook(put: Any) -> None:
    if not CASES.is_dir():
        pytest.skip("the cases are not beside the repository")
    folder = put(book_xlsx=(CASES / "workbook.xlsx").read_bytes())
    names, rows, _ = load(folder, sheet="Stock")
    assert names[:2] == ["sku", "stock"]
    assert rows == [("A1", 3, date(2025, 3, 1)), ("B2", 4, None)]
    assert load(folder, sheet="Places")[1] == [("Oslo", True)]
    for options, told in (({}, "has 2 sheets: set `sheet`"), ({"sheet": "x"}, "has no sheet 'x'")):
        with pytest.raises(SourceError, match=told):
            load(folder, **options)


def test_what_is_no_workbook_is_told(put: Any) -> None:
    with pytest.raises(SourceError, match=r"book\.xlsx cannot be read as a workbook"):
        load(put(book_xlsx=b"nothing"))


def zipped(path: Path, **members: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name.replace("_", "."), text)


def test_files_in_a_zip_archive_are_files_of_the_table(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    zipped(
        folder / "a.zip", a_csv="sku,stock\nA,1\n", b_csv="stock,sku\n2,B\n", c_json='{"sku":"C"}',
        readme_md="x",
    )  # fmt: skip
    assert load(folder)[1] == [("A", 1), ("B", 2), ("C", None)]
    found = find_files(folder, "*", HashCache(tmp_path / "cache"))
    assert found.ignored == ("a.zip/readme.md",)


def test_an_archive_that_cannot_be_read_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and no more")
    zipped(tmp_path / "b.zip", readme_md="x")
    zipped(tmp_path / "c.zip", **{"x_csv.gz": "x"})
    told = find_files(tmp_path, "*.zip", HashCache(tmp_path / "cache")).unreadable
    assert [line.partition(" cannot be read: ")[0] for line in told] == ["a.zip", "b.zip", "c.zip"]


def test_a_text_file_is_read_where_it_is_meant(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("id\n1\n")
    cache = HashCache(tmp_path / "cache")
    assert [file.name for file in find_files(tmp_path, "*", cache).files] == ["a.txt"]
    (tmp_path / "b.csv").write_text("id\n1\n")
    found = find_files(tmp_path, "*", cache)
    assert ([file.name for file in found.files], found.ignored) == (["b.csv"], ("a.txt",))
    assert [file.name for file in find_files(tmp_path, "*.txt", cache).files] == ["a.txt"]
