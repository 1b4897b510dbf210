"""The types of columns are those that all values fit."""

from typing import Any

import pytest

from headrace.ingest.infer import Question, infer_types, questions_of
from headrace.ingest.types import common_read, decimal_for
from ingest_lab import connect


def inferred(values: list[Any], question: Question, *, sample: int = 1000) -> str:
    """The type of a column of values, of which the first are the sample."""
    table = f'create temp table rows as select null::{question.read} as "value" limit 0'
    with connect() as connection:
        connection.execute(f"set TimeZone = 'UTC'; {table}")
        connection.executemany("insert into rows values (?)", [[value] for value in values])
        some = f"(select * from rows limit {sample})"
        answers = infer_types(connection, "rows", some, [question])
    return answers.types["value"]


CSV = questions_of({("csv", "VARCHAR")}, "value", "VARCHAR")
JSON = questions_of({("jsonl", "JSON")}, "value", "JSON")


CASES: list[tuple[list[Any], str]] = [
    (["1", "-2"], "BIGINT"),
    (["1", "+3"], "VARCHAR"),
    (["1", None], "BIGINT"),
    (["01", "2"], "VARCHAR"),
    (["0", "10"], "BIGINT"),
    (["1.5", "2"], "DOUBLE"),
    (["2.0", "3.0"], "DOUBLE"),
    (["1e-03", ".5"], "DOUBLE"),
    (["1e3", ".5"], "VARCHAR"),
    (["0.30000000000000004"], "DOUBLE"),
    (["12345678901234567890"], "VARCHAR"),
    (["9007199254740993", "1.5"], "VARCHAR"),
    (["3.14159265358979323846"], "VARCHAR"),
    (["NaN"], "VARCHAR"),
    (["1,5"], "VARCHAR"),
    (["true", "FALSE"], "BOOLEAN"),
    (["true", "1"], "VARCHAR"),
    (["yes", "no"], "VARCHAR"),
    (["2024-02-29"], "DATE"),
    (["2023-02-29"], "VARCHAR"),
    (["01/02/2024"], "VARCHAR"),
    (["2024/01/05"], "VARCHAR"),
    (["104500-3-1"], "VARCHAR"),
    (["104500-11-12"], "VARCHAR"),
    (["07:05"], "VARCHAR"),
    (["2024-01-01 10:00:00"], "TIMESTAMP"),
    (["2024-01-01", "2024-01-01 10:00:00"], "TIMESTAMP"),
    (["2024-01-01T10:00:00.123456"], "TIMESTAMP"),
    (["2024-01-01T10:00:00.123456789"], "TIMESTAMP_NS"),
    (["2024-01-01T10:00:00Z"], "TIMESTAMP WITH TIME ZONE"),
    (["2024-01-01T10:00:00.123456789Z"], "VARCHAR"),
    (["2024-01-01 10:00:00+02:00", "2024-01-01 10:00:00-05"], "TIMESTAMP WITH TIME ZONE"),
    (["2024-01-01 10:00:00+02:00", "2024-01-01 10:00:00"], "VARCHAR"),
    ([None, None], "VARCHAR"),
    (["a"], "VARCHAR"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "kind"), CASES)
@pytest.mark.parametrize("sample", [0, 1, 1000])
def test_type_of_text(values: list[str | None], kind: str, sample: int) -> None:
    assert inferred(values, CSV, sample=sample) == kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2"], "BIGINT"),
        (["1", "0.5"], "DOUBLE"),
        (["1E5"], "DOUBLE"),
        (["1.0"], "DOUBLE"),
        (["9007199254740993", "0.5"], "DECIMAL(38,1)"),
        (["123456789012345678901234567890"], "DECIMAL(38,0)"),
        (["12345678901234567.89", "0.1"], "DECIMAL(38,2)"),
        (["1" * 40], "VARCHAR"),
        (["1e400", "5"], "VARCHAR"),
        (["9007199254740993", "1e-300"], "VARCHAR"),
        (['"1"', '"2"'], "VARCHAR"),
        (['"1"', "2"], "JSON"),
        (["true", "false"], "BOOLEAN"),
        (['"true"'], "VARCHAR"),
        (["true", "1"], "JSON"),
        (['"2024-01-31"'], "DATE"),
        (['"2024-01-31"', '"2024-01-31T10:00:00"'], "TIMESTAMP"),
        (['"2024-01-31T10:00:00Z"'], "TIMESTAMP WITH TIME ZONE"),
        (["20240131"], "BIGINT"),
        (['"07:05"'], "VARCHAR"),
        (['"ABCDEF12-1234-1234-1234-1234567890AB"'], "VARCHAR"),
        (["[1]", "2"], "JSON"),
        (['{"a": 1}'], "JSON"),
        ([None], "VARCHAR"),
    ],
)
@pytest.mark.parametrize("sample", [0, 1, 1000])
def test_type_of_json(values: list[str | None], kind: str, sample: int) -> None:
    assert inferred(values, JSON, sample=sample) == kind


@pytest.mark.parametrize(
    ("kinds", "values", "kind"),
    [
        ({"DECIMAL(10,2)", "DECIMAL(12,3)"}, ["1.50", "2.125"], "DECIMAL(12,3)"),
        ({"BIGINT", "DECIMAL(10,2)"}, ["7", "1.50"], "DECIMAL(21,2)"),
        ({"DECIMAL(38,0)", "DECIMAL(10,2)"}, ["1" * 38, "1.50"], "VARCHAR"),
        ({"BIGINT", "DOUBLE"}, ["7", "0.5"], "DOUBLE"),
        ({"BIGINT", "DOUBLE"}, ["9007199254740993", "0.5"], "DECIMAL(38,1)"),
        ({"DOUBLE", "DECIMAL(20,2)"}, ["0.5", "12345678901234567.89"], "DECIMAL(38,2)"),
        ({"DATE", "TIMESTAMP"}, ["2024-01-01", "2024-01-01 10:00:00"], "TIMESTAMP"),
        ({"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"},
         ["2024-01-01 10:00:00", "2024-01-01 10:00:00+00"], "VARCHAR"),
        ({"BIGINT", "BOOLEAN"}, ["1", "true"], "VARCHAR"),
        ({"BIGINT", "VARCHAR"}, ["1", "2"], "VARCHAR"),
        ({"BIGINT"}, ["1"], "BIGINT"),
    ],
)  # fmt: skip
def test_type_of_parquet_files_that_differ(kinds: set[str], values: list[str], kind: str) -> None:
    question = questions_of({("parquet", each) for each in kinds}, "value", "VARCHAR")
    assert inferred(values, question) == kind


def test_a_type_of_parquet_and_csv_that_says_the_same() -> None:
    kinds = {("parquet", "DECIMAL(10,2)"), ("csv", "VARCHAR")}
    assert inferred(["1.50", "2.5"], questions_of(kinds, "value", "VARCHAR")) == "DECIMAL(10,2)"
    assert inferred(["1.50", "2.505"], questions_of(kinds, "value", "VARCHAR")) == "DOUBLE"
    assert inferred(["1.50", "x"], questions_of(kinds, "value", "VARCHAR")) == "VARCHAR"


@pytest.mark.parametrize(
    ("kinds", "read"),
    [
        ({"INTEGER", "BIGINT"}, "BIGINT"),
        ({"TIMESTAMP_MS", "TIMESTAMP"}, "TIMESTAMP"),
        ({"BIGINT", "VARCHAR"}, "VARCHAR"),
        ({"STRUCT(a BIGINT)", "VARCHAR"}, "JSON"),
        ({"STRUCT(a BIGINT)"}, "STRUCT(a BIGINT)"),
    ],
)
def test_type_that_files_are_read_in(kinds: set[str], read: str) -> None:
    assert common_read(kinds) == read


def test_no_decimal_holds_more_than_38_digits() -> None:
    assert decimal_for({"DECIMAL(38,2)", "BIGINT"}) == "DECIMAL(38,2)"
    assert decimal_for({"DECIMAL(38,2)", "DECIMAL(10,3)"}) is None
    assert decimal_for({"DOUBLE", "BIGINT"}) is None


def test_very_many_columns_get_the_types_that_each_alone_would() -> None:
    columns = [(f"c{number}", *case) for number, case in enumerate(CASES * 3)]
    longest = max(len(values) for _, values, _ in columns)
    names = ", ".join(f'"{name}" varchar' for name, _, _ in columns)
    rows = [
        [values[row] if row < len(values) else None for _, values, _ in columns]
        for row in range(longest)
    ]
    marks = ", ".join("?" for _ in columns)
    with connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"create temp table rows ({names})")
        connection.executemany(f"insert into rows values ({marks})", rows)
        questions = [questions_of({("csv", "VARCHAR")}, name, "VARCHAR") for name, _, _ in columns]
        answers = infer_types(connection, "rows", "(select * from rows limit 1)", questions)

    assert answers.types == {name: kind for name, _, kind in columns}
