"""The bulk way and the careful way give the same types and the same rows, for every file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.errors import SourceError
from headrace.ingest import stage as staging
from headrace.ingest.discover import SourceFile
from headrace.ingest.model import FROM_FILE, FileChanges, FileTable
from ingest_lab import first_load

pytestmark = pytest.mark.slow

# what looks like a type and is none, beside what is one
NASTY = [
    "1", "2", "-3", "0", "007", "007.10", "01067", "+41791234570", "104500-3-1", "104500-11-12",
    "2024/01/05", "2024-01-05", "2024-01-05 10:00", "2024-01-05T10:00:00.5",
    "2024-01-05T10:00:00.1234567", "2024-01-05 10:00:00+02:00", "2024-01-05T10:00Z", "07:05",
    "1.5", "1.50", "2.0", ".5", "1E5", "1e-07", "1e400", "12345678901234567.89",
    "0.30000000000000004", "9007199254740993", "123456789012345678901234567890", "true", "FALSE",
    "nan", "inf", "", " ", " 1", "null", "x", "é", 'say "hi"', "a,b", "two\nlines",
]  # fmt: skip
FAMILIES = [
    ["1", "2", "-3", "0", "", "9007199254740993"],
    ["1", "2.0", "1.5", "1.50", ".5", "-0.25", ""],
    ["true", "FALSE", "False", ""],
    ["2024-01-05", "2023-02-28", ""],
    ["2024-01-05", "2024-01-05 10:00", "2024-01-05T10:00:00.5", "2024-01-05 10:00:00"],
    ["2024-01-05 10:00:00+02:00", "2024-01-05T10:00Z", "2024-01-05T10:00:00-05"],
    ["2024-01-05T10:00:00.1234567", "2024-01-05 10:00:00", ""],
    [""],
    NASTY,
]


class Literal(float):
    """A number that JSON lines hold with all its digits."""

    def __new__(cls, digits: str) -> "Literal":
        number = super().__new__(cls, digits)
        number.digits = digits
        return number

    digits: str

    def __repr__(self) -> str:
        return self.digits


JSON_FAMILIES: list[list[Any]] = [
    [1, 2, -3, None],
    [1, 0.5, 2.0, None],
    [9007199254740993, 0.5, 10**30],
    [Literal("12345678901234567.89"), 0.1, {"a": [Literal("0.12345678901234567890")]}],
    [True, False, None],
    ["2024-01-05", "2024-01-05T10:00:00", None],
    ["2024-01-05T10:00Z", "2024-01-05T10:00:00+02:00"],
    [{"a": 1}, {"a": [1, "x"]}, None],
    [[1, 2], []],
    [None],
    [*NASTY, 1, 2.5, True, None, {"a": "007"}, [1.5]],
]


Rows = list[list[Any]]


def columns_of(families: Sequence[Sequence[Any]]) -> st.SearchStrategy[Rows]:
    """Rows of three columns; each mostly of one family, sometimes with a stranger at any place."""

    def column(rows: int) -> st.SearchStrategy[list[Any]]:
        return st.sampled_from(families).flatmap(
            lambda family: st.lists(
                st.one_of(*[st.sampled_from(family)] * 5, st.sampled_from(families[-1])),
                min_size=rows,
                max_size=rows,
            )
        )

    return st.integers(1, 12).flatmap(
        lambda rows: st.tuples(column(rows), column(rows), column(rows)).map(
            lambda columns: [list(row) for row in zip(*columns, strict=True)]
        )
    )


def write_csv(path: Path, rows: Rows, *, first: int, quoted: bool) -> None:
    def cell(value: str) -> str:
        plain = not quoted and not set(value) & set('",\n')
        return value if plain else '"' + value.replace('"', '""') + '"'

    lines = [
        ",".join([str(number), *map(cell, row)]) for number, row in enumerate(rows, start=first)
    ]
    path.write_text("\n".join(["id,a,b,c", *lines]) + "\n", encoding="utf-8", newline="")


def write_json(path: Path, rows: Rows, *, first: int) -> None:
    records = [
        {"id": number, "a": a, "b": b, "c": c} for number, (a, b, c) in enumerate(rows, start=first)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def staged(folder: Path, table: FileTable, *, bulk: bool) -> tuple[dict[str, str], list[Any]] | str:
    """The types and rows that a first load of all files of a folder gives, or what it says."""
    files = [
        SourceFile(path, path.name, path.stat().st_size, "") for path in sorted(folder.glob("*.*"))
    ]
    context = first_load(folder, thorough=not bulk)
    with duckdb.connect() as connection, patch.object(staging, "BULK_BYTES", 0):
        try:
            changes = FileChanges(files, files)
            found = staging.stage(connection, "t", table, changes, context, lambda name: name)
        except SourceError as error:
            return str(error)
    # another session, as the warehouse's is
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'Asia/Tokyo'")
        rows = connection.execute(
            "select cast(columns(*) as varchar) from (select columns(lambda name: name <> "
            f"'{FROM_FILE}') from ({found.select})) as staged order by all"
        ).fetchall()
    columns = {column.name: column.duckdb_type for column in found.columns}
    columns.pop(FROM_FILE, None)
    return columns, rows


def same_both_ways(folder: Path, table: FileTable) -> None:
    assert staged(folder, table, bulk=True) == staged(folder, table, bulk=False)


both_ways = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@both_ways
@given(rows=columns_of(FAMILIES), quoted=st.booleans(), keyed=st.booleans(), data=st.data())
def test_csv_both_ways(
    tmp_path_factory: pytest.TempPathFactory,
    rows: Rows,
    quoted: bool,
    keyed: bool,
    data: st.DataObject,
) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    sample = data.draw(st.integers(0, len(rows)))
    table = FileTable("*", primary_key=("id",) if keyed else ())
    whole, split = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("split")
    write_csv(whole / "t.csv", rows, first=0, quoted=quoted)
    write_csv(split / "t_1.csv", rows[:cut], first=0, quoted=quoted)
    write_csv(split / "t_2.csv", rows[cut:], first=cut, quoted=quoted)
    with patch("headrace.ingest.infer.SAMPLE_ROWS", sample):
        same_both_ways(whole, table)
        same_both_ways(split, table)
    if keyed and 0 < cut < len(rows):  # the cut between files says nothing
        assert staged(whole, table, bulk=True) == staged(split, table, bulk=True)


@both_ways
@given(rows=columns_of(JSON_FAMILIES), data=st.data())
def test_json_both_ways(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    sample = data.draw(st.integers(0, len(rows)))
    table = FileTable("*", primary_key=("id",))
    whole, split = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("split")
    write_json(whole / "t.jsonl", rows, first=0)
    write_json(split / "t_1.jsonl", rows[:cut], first=0)
    write_json(split / "t_2.jsonl", rows[cut:], first=cut)
    with patch("headrace.ingest.infer.SAMPLE_ROWS", sample):
        same_both_ways(whole, table)
        if 0 < cut < len(rows):
            same_both_ways(split, table)
            assert staged(whole, table, bulk=True) == staged(split, table, bulk=True)


LONG = "0.123456789012345678901234567890123456789"


@pytest.mark.parametrize("bulk", [False, True])
def test_numbers_of_json_keep_every_digit(tmp_path: Path, bulk: bool) -> None:
    lines = [
        (
            '{"id": 1, "mix": 9007199254740993, "huge": 123456789012345678901234567890, '
            '"dec": 12345678901234567.89, "far": 1e400, '
            f'"wide": {LONG}, '
            '"small": 1e-400, "note": "12345678901234567.89", '
            '"nested": {"a": [12345678901234567.89]}}'
        ),
        '{"id": 2, "mix": 0.5, "huge": 7, "dec": 0.1, "far": 1, "wide": 1e-7, "small": 1.5}',
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = staged(tmp_path, FileTable("*", primary_key=("id",)), bulk=bulk)

    assert not isinstance(found, str)
    types, rows = found
    assert types == {
        "id": "BIGINT", "mix": "DECIMAL(38,1)", "huge": "DECIMAL(38,0)", "dec": "DECIMAL(38,2)",
        "far": "VARCHAR", "wide": "VARCHAR", "small": "VARCHAR", "note": "VARCHAR",
        "nested": "JSON",
    }  # fmt: skip
    assert rows == [
        (
            "1", "9007199254740993.0", "123456789012345678901234567890",
            "12345678901234567.89", "1e400", LONG, "1e-400", "12345678901234567.89",
            '{"a":[12345678901234567.89]}',
        ),
        ("2", "0.5", "7", "0.10", "1", "1e-7", "1.5", None, None),
    ]  # fmt: skip
