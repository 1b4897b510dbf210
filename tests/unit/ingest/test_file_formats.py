"""Each cell of the table of formats and settings in the docs, tried."""

import csv
import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.errors import SourceError
from headrace.ingest.discover import HashCache, find_files
from headrace.ingest.model import FileChanges, FileTable
from headrace.ingest.stage import stage
from ingest_lab import first_load

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "file-formats.md"
SUFFIXES = {"CSV": "csv", "Excel": "xlsx", "JSON lines": "jsonl", "JSON": "json",
            "Parquet": "parquet", "Avro": "avro"}  # fmt: skip
Row = dict[str, Any]
Outcome = list[Row] | str
"""The rows, in order; or the beginning of the error."""


def as_csv(rows: list[Row], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([row.values() for row in rows if any(row.values())])
    return text.getvalue().encode()


def as_excel(rows: list[Row], *sheets: str) -> bytes:
    """A workbook whose sheets have the same rows, all as text, but for the sheet's name."""

    def cell(value: Any) -> str:
        text = "" if value is None else str(value)
        return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'

    names = sheets or ("Rows",)
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    ids = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    packages = "http://schemas.openxmlformats.org/package/2006"
    numbers = range(1, len(names) + 1)
    content = {
        "[Content_Types].xml": f'<Types xmlns="{packages}/content-types"><Default Extension="xml" '
        'ContentType="application/xml"/><Default Extension="rels" ContentType="application/vnd.'
        'openxmlformats-package.relationships+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{packages}/relationships"><Relationship Id="r" '
        f'Type="{ids}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{ids}"><sheets>'
        + "".join(
            f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>'
            for n, name in zip(numbers, names, strict=True)
        )
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{packages}/relationships">'
        + "".join(
            f'<Relationship Id="r{n}" Type="{ids}/worksheet" Target="worksheets/s{n}.xml"/>'
            for n in numbers
        )
        + "</Relationships>",
    }
    for number, name in zip(numbers, names, strict=True):
        lines = [list(rows[0]), *(list(row.values()) for row in rows if any(row.values()))]
        if sheets:
            lines.append([name] * len(rows[0]))
        content[f"xl/worksheets/s{number}.xml"] = (
            f'<worksheet xmlns="{main}"><sheetData>'
            + "".join(f"<row>{''.join(map(cell, line))}</row>" for line in lines)
            + "</sheetData></worksheet>"
        )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    return packed.getvalue()


def as_parquet(rows: list[Row]) -> bytes:
    there = [row for row in rows if any(row.values())]
    kinds = {name: pa.string() if _is_text(rows, name) else pa.int64() for name in rows[0]}
    stream = io.BytesIO()
    table = pa.Table.from_pylist(there, schema=pa.schema(list(kinds.items())))
    pq.write_table(table, stream)
    return stream.getvalue()


def as_avro(rows: list[Row]) -> bytes:
    fastavro = pytest.importorskip("fastavro", reason="uv sync --extra avro")
    fields = [
        {"name": name, "type": ["null", "string" if _is_text(rows, name) else "long"]}
        for name in rows[0]
    ]
    stream = io.BytesIO()
    schema = {"type": "record", "name": "row", "fields": fields}
    fastavro.writer(stream, schema, [row for row in rows if any(row.values())])
    return stream.getvalue()


def _is_text(rows: list[Row], name: str) -> bool:
    return any(isinstance(row[name], str) for row in rows)


WRITERS: dict[str, Callable[[list[Row]], bytes]] = {
    "csv": as_csv,
    "xlsx": as_excel,
    "jsonl": lambda rows: "".join(f"{json.dumps(row)}\n" for row in rows).encode(),
    "json": lambda rows: json.dumps([row for row in rows if any(row.values())]).encode(),
    "parquet": as_parquet,
    "avro": as_avro,
}


@dataclass(frozen=True)
class Case:
    """A setting that makes a difference.

    Attributes:
        settings: it, and what it needs.
        expected: what comes of it.
        files: rows by name, ``{x}`` being the suffix.
        beside: settings that hold without it, too.
        raw: content by suffix, in place of rows.
        pattern: of the files.
    """

    settings: dict[str, Any]
    expected: Outcome
    files: dict[str, list[Row]] = field(default_factory=dict)
    beside: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, bytes] = field(default_factory=dict)
    pattern: str = "**/*"


def of_value(settings: dict[str, Any], given: str, expected: Any) -> Case:
    return Case(settings, [{"id": 1, "v": expected}], {"a.{x}": [{"id": 1, "v": given}]})


ONE: list[Row] = [{"id": 1, "v": "a"}]
ROWS: list[Row] = [{"id": 1, "v": "a"}, {"id": None, "v": "b"}, {"id": 3, "v": "c"}]
KEY = {"primary_key": ("id",)}
LINES: list[Row] = [{"Report": "id", "of": "v"}, {"Report": "1", "of": "a"}]
CASES: dict[str, Case] = {
    "`pattern: [a, b]`": Case(
        {"pattern": ("a.*", "b.*")},
        [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}],
        {"a.{x}": ONE, "b.{x}": [{"id": 2, "v": "b"}], "c.{x}": ONE},
    ),
    "`format`": Case({"format": "{x}"}, ONE, {"a.data": ONE}),
    "`primary_key`": Case(KEY, [{"id": 1, "v": "b"}], {"a.{x}": [*ONE, {"id": 1, "v": "b"}]}),
    "`cursor`": Case(
        {"cursor": "at"},
        [{"id": 1, "at": 9}],
        {"a.{x}": [{"id": 1, "at": 9}], "b.{x}": [{"id": 1, "at": 3}]},
        KEY,
    ),
    "`columns: {v: type}`": of_value({"columns": {"v": "decimal(5,2)"}}, "7.5", "7.50"),
    "`columns: {v: date %d/%m/%Y}`": of_value(
        {"columns": {"v": "date %d/%m/%Y"}}, "31/12/2024", "2024-12-31"
    ),
    "`columns: {v: decimal percent}`": of_value(
        {"columns": {"v": "decimal(5,3) percent"}}, "12.5%", "0.125"
    ),
    "`columns: {v: boolean}`, of yes and no": of_value({"columns": {"v": "boolean"}}, "Yes", True),
    "`null_values`": of_value({"null_values": ("N/A",)}, "N/A", None),
    "`decimal`": of_value(
        {"decimal": ",", "columns": {"v": "decimal(8,2)"}}, "1.234,50", "1234.50"
    ),
    "`thousands`": of_value(
        {"thousands": "'", "columns": {"v": "decimal(8,2)"}}, "1'234.50", "1234.50"
    ),
    "`currency`": of_value(
        {"currency": ("€",), "columns": {"v": "decimal(8,2)"}}, "7.50 €", "7.50"
    ),
    "`accounting`": of_value(
        {"accounting": True, "columns": {"v": "decimal(8,2)"}}, "(7.50)", "-7.50"
    ),
    "`required`": Case({"required": ("w",)}, "lacks the column 'w'", {"a.{x}": ONE}),
    "`rename`": Case({"rename": {"v": "w"}}, [{"id": 1, "w": "a"}], {"a.{x}": ONE}),
    "`hive_partitioning: false`": Case({"hive_partitioning": False}, ONE, {"year=1/a.{x}": ONE}),
    "`bad_rows: fail`": Case({"bad_rows": "fail"}, "1 of 3 rows", {"a.{x}": ROWS}, KEY),
    "`bad_rows_limit`": Case({"bad_rows_limit": 0.1}, "1 of 3 rows", {"a.{x}": ROWS}, KEY),
    "`allow_empty`": Case({"allow_empty": True}, [], {"a.{x}": [{"id": None, "v": None}]}, KEY),
    "`delimiter`": Case(
        {"delimiter": "~"}, ONE, {"a.{x}": ONE}, raw={"csv": as_csv(ONE, delimiter="~")}
    ),
    "`encoding`": Case(
        {"encoding": "cp850"},
        [{"id": 1, "v": "é"}],
        {"a.{x}": ONE},
        raw={"csv": "id,v\n1,é\n".encode("cp850")},
    ),
    "`header: false`": Case(
        {"header": False},
        [{"column_1": "1", "column_2": "a"}, {"column_1": "id", "column_2": "v"}],
        {"a.{x}": ONE},
    ),
    "`names`": Case(
        {"names": ("n", "w")}, [{"n": "1", "w": "a"}, {"n": "id", "w": "v"}], {"a.{x}": ONE}
    ),
    "`skip`": Case({"skip": 1}, ONE, {"a.{x}": LINES}),
    "`skip_footer`": Case({"skip_footer": 1}, ONE, {"a.{x}": [*ONE, {"id": 9, "v": "in all"}]}),
    "`sheet`": Case(
        {"sheet": "Two"},
        [{"id": "1", "v": "a"}, {"id": "Two", "v": "Two"}],
        {"a.{x}": ONE},
        raw={"xlsx": as_excel(ONE, "One", "Two")},
    ),
}


def table_of_the_page() -> dict[str, dict[str, str]]:
    lines = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if "|" in line]
    head, _, *rows = lines
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


TABLE = table_of_the_page()
CELLS = [
    pytest.param(setting, form, cell, id=f"{setting} of {form}")
    for setting, cells in TABLE.items()
    for form, cell in cells.items()
]


def outcome(folder: Path, pattern: Any, options: dict[str, Any]) -> Outcome:
    context = first_load(folder)
    table = FileTable(**{"pattern": pattern, **options})
    try:
        found = find_files(
            folder / "in", table.pattern, HashCache(context.cache_path), table.format
        )
        if found.unreadable or not found.files:
            return "; ".join([*found.unreadable, *found.ignored])
        with duckdb.connect() as connection:
            changes = FileChanges(found.files, found.files)
            staged = stage(connection, "t", table, changes, context, lambda name: name.lower())
            names = [c.name for c in staged.columns if not c.name.endswith("file_name")]
            columns = ", ".join(f'"{name}"' for name in names)
            query = f"select {columns} from ({staged.select}) order by all"
            rows = connection.execute(query).fetchall()
    except SourceError as error:
        return str(error)
    plain = (int, bool, type(None))
    return [
        {
            name: value if isinstance(value, plain) else str(value)
            for name, value in zip(names, row, strict=True)
        }
        for row in rows
    ]


def put(folder: Path, case: Case, suffix: str) -> None:
    for name, rows in case.files.items():
        path = folder / "in" / name.replace("{x}", suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(case.raw.get(suffix) or WRITERS[suffix](rows))


@pytest.mark.parametrize(("setting", "form", "cell"), CELLS)
def test_each_cell(tmp_path: Path, setting: str, form: str, cell: str) -> None:
    suffix = SUFFIXES[form]
    if setting not in CASES:
        assert _is_read_packed(tmp_path, setting, suffix) == (cell == "yes")
        return
    case = CASES[setting]
    put(tmp_path, case, suffix)
    settings = {
        name: value.replace("{x}", suffix) if isinstance(value, str) else value
        for name, value in case.settings.items()
    }
    before = outcome(tmp_path, case.pattern, case.beside)
    after = outcome(tmp_path, case.pattern, case.beside | settings)
    if cell == "-":
        assert after == before
        return
    assert cell == "yes"
    assert after != before
    if isinstance(case.expected, str):
        assert re.search(case.expected, str(after))
    else:
        assert after == case.expected


def _is_read_packed(folder: Path, setting: str, suffix: str) -> bool:
    """Whether a file is read that was packed as the row of the page says."""
    content = WRITERS[suffix](ONE)
    (folder / "in").mkdir()
    if "`.zip`" in setting:
        with zipfile.ZipFile(folder / "in" / "a.zip", "w") as archive:
            archive.writestr(f"a.{suffix}", content)
        return outcome(folder, "*", {}) == ONE
    (folder / "in" / f"a.{suffix}.gz").write_bytes(gzip.compress(content))
    with pa.output_stream(str(folder / "in" / f"b.{suffix}.zst"), compression="zstd") as packed:
        packed.write(content)
    found = [outcome(folder, f"*.{end}", {}) == ONE for end in ("gz", "zst")]
    assert len(set(found)) == 1
    return found[0]


def test_the_page_has_every_setting() -> None:
    named = " ".join(TABLE) + PAGE.read_text().rpartition("|")[2]
    assert [part.name for part in fields(FileTable) if part.name not in named] == []
    assert {name for name in TABLE if "`." not in name} == CASES.keys()
