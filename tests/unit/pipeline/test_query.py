"""Queries of a DuckDB file: what is returned, what is written, and what is refused."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from headrace.errors import QueryError
from headrace.pipeline.query import Database, database, export, names, query


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Database:
    path = tmp_path_factory.mktemp("query") / "it's [1].duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema marts")
        connection.execute(
            "create table marts.orders as select i as order_id, cast(i * 1.25 as decimal(12, 2)) "
            "as amount, case when i % 2 = 0 then 'größe, \"x\"' end as note, 'ab'::blob as raw, "
            "timestamptz '2024-01-01 12:00:00+02' as seen_at, [i, null] as pair "
            "from range(250) as rows(i)"
        )
    return Database(path, "file")


def test_rows_and_types(source: Database) -> None:
    report = query(source, "from marts.orders order by order_id limit 1")

    assert [column.data_type for column in report.columns] == [
        "BIGINT", "DECIMAL(12,2)", "VARCHAR", "BLOB", "TIMESTAMP WITH TIME ZONE", "BIGINT[]",
    ]  # fmt: skip
    assert json.loads(report.model_dump_json())["rows"] == [
        [0, "0.00", 'größe, "x"', "6162", "2024-01-01T10:00:00Z", [0, None]]
    ]
    assert not report.truncated


def test_the_last_of_several_statements_is_returned(source: Database) -> None:
    report = query(source, "set variable n = 7; select getvariable('n') as n, 1 as n;")

    assert ([column.name for column in report.columns], report.rows) == (["n", "n"], ((7, 1),))


@pytest.mark.parametrize("limit", [None, 2])
def test_what_is_infinite_is_told_from_the_last_day(source: Database, limit: int | None) -> None:
    times = ["date", "timestamp", "timestamptz", "timestamp_s"]
    every = ", ".join(f"x::{kind} as x" for kind in times)
    report = query(
        source,
        f"select {every}, 'inf'::float as f, [null, 1.5] as l "
        "from (values ('infinity'), ('9999-12-31'), ('-infinity')) as t(x) -- the last word",
        limit=limit,
    )

    assert [column.name for column in report.columns] == ["x"] * 4 + ["f", "l"]
    rows = json.loads(report.model_dump_json())["rows"]
    assert rows[0][:5] == ["infinity"] * 4 + ["inf"]
    assert rows[1][:2] == ["9999-12-31", "9999-12-31T00:00:00"]
    assert len(rows) == (limit or 3)
    assert limit or rows[2][:4] == ["-infinity"] * 4
    assert report.truncated == bool(limit)


def test_the_last_day_of_what_is_no_select_is_shown(source: Database) -> None:
    sql = "summarize select date '9999-12-31' as day, 'nan'::double as number"
    assert json.loads(query(source, sql).model_dump_json())["rows"][0][2:4] == ["9999-12-31"] * 2
    (row,) = query(source, "select date '9999-12-31', 'nan'::double, date '0001-01-01'").rows
    assert (str(row[0]), row[1], str(row[2])) == ("9999-12-31", "nan", "0001-01-01")


@pytest.mark.parametrize(("limit", "rows", "truncated"), [(249, 249, True), (250, 250, False),
                                                           (None, 250, False)])  # fmt: skip
def test_a_limit_says_that_there_are_more(
    source: Database, limit: int | None, rows: int, *, truncated: bool
) -> None:
    report = query(source, "from marts.orders", limit=limit)

    assert (len(report.rows), report.truncated) == (rows, truncated)


def _csv(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as stream:
        return [row["note"] for row in csv.DictReader(stream)]


def _json_lines(path: Path) -> list[str]:
    return [json.loads(line)["note"] or "" for line in path.read_text("utf-8").splitlines()]


def _parquet(path: Path) -> list[str]:
    return [note or "" for note in pq.read_table(path).column("note").to_pylist()]


def _json(path: Path) -> list[str]:
    return [row["note"] or "" for row in json.loads(path.read_text("utf-8"))]


@pytest.mark.parametrize(
    ("suffix", "read"),
    [(".csv", _csv), (".jsonl", _json_lines), (".json", _json), (".Parquet", _parquet)],
)
def test_all_rows_are_written(
    source: Database, tmp_path: Path, suffix: str, read: Callable[[Path], list[str]]
) -> None:
    out = tmp_path / f"o'rders [1]{suffix}"
    out.write_text("an older file")

    assert export(source, "select order_id, note from marts.orders order by 1;", out) == 250
    notes = read(out)
    assert (len(notes), notes[:2]) == (250, ['größe, "x"', ""])
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_parquet_keeps_all_digits(source: Database, tmp_path: Path) -> None:
    """DuckDB alone writes integers of 128 bits, as sums are, as doubles."""
    out = tmp_path / "wide.parquet"
    sql = (
        "select sum(9007199254740993) as sum, [12345678901234567890] as many, 'a' as a, 'b' as a, "
        "{'id': 12345678901234567890} as one, (2 ** 120)::uhugeint as text, row(1, 'x') as pair"
    )
    assert export(source, sql, out) == 1
    written = pq.read_table(out, columns=["sum", "many", "one", "text"])
    assert written.to_pylist() == [
        {
            "sum": 9007199254740993,
            "many": [12345678901234567890],
            "one": {"id": 12345678901234567890},
            "text": str(2**120),
        }
    ]


def test_a_number_that_parquet_cannot_hold_is_refused(source: Database, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="DECIMAL"):
        export(
            source, "select 170141183460469231731687303715884105727 as n", tmp_path / "n.parquet"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_limit_of_a_file(source: Database, tmp_path: Path) -> None:
    assert export(source, "from marts.orders -- all", tmp_path / "o.csv", limit=3) == 3


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("drop table marts.orders", "may only read"),
        ("insert into marts.orders by name select 1 as order_id", "may only read"),
        ("copy marts.orders to '/tmp/headrace-never.csv'", "may only read"),
        ("attach '/tmp/headrace-never.duckdb' as other", "may only read"),
        ("select * from read_csv('/etc/passwd')", "may only read"),
        ("set enable_external_access = true", "external access"),
        ("selct 1", "syntax error"),
        ("select nothing from marts.orders", '"nothing" not found'),
        ("from marts.order", '"orders"'),
        ("  ;; -- nothing", "no SQL"),
        ("select 'x'::integer", "Could not convert"),
    ],
)
def test_what_is_refused(source: Database, sql: str, words: str) -> None:
    before = source.path.read_bytes()
    with pytest.raises(QueryError) as caught:
        query(source, sql)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert source.path.read_bytes() == before
    assert not Path("/tmp/headrace-never.csv").exists()  # noqa: S108


def test_an_error_points_at_its_place(source: Database) -> None:
    with pytest.raises(QueryError) as caught:
        query(source, "select\n  nothing\nfrom marts.orders")

    assert caught.value.detail is not None
    assert caught.value.detail.excerpt.splitlines() == ["LINE 2:   nothing", "          ^"]


def test_a_file_that_fails_leaves_the_old_one(source: Database, tmp_path: Path) -> None:
    out = tmp_path / "orders.csv"
    out.write_text("old")
    with pytest.raises(QueryError, match="Could not convert"):
        export(source, "select cast(note as integer) from marts.orders", out)
    with pytest.raises(QueryError, match="end the name in"):
        export(source, "select 1", tmp_path / "orders.xls")
    with pytest.raises(QueryError, match="none"):
        export(source, "select 1", tmp_path / "none" / "orders.csv")

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("orders.csv", "old")]


def test_names_for_completion(source: Database) -> None:
    assert {"marts.orders", "order_id", "seen_at"} <= set(names(source))


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="no such file"):
        database(None, str(tmp_path / "none.duckdb"))
    with pytest.raises(QueryError, match="needs a project"):
        database(None, "published")
    text = tmp_path / "text.duckdb"
    text.write_text("not a database at all " * 500)
    with pytest.raises(QueryError, match="not a readable DuckDB file"):
        query(database(None, str(text)), "select 1")
