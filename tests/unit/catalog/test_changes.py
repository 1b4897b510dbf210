"""Spellings of types that are the same type, or are not."""

import pytest

from headrace.catalog.changes import same_spelling


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("string", "VARCHAR"),
        ("varchar(20)", "TEXT"),
        ("bigint", "BIGINT"),
        ("decimal(18, 2)", "DECIMAL(18,2)"),
        ("numeric(18,2)", "DECIMAL(18,2)"),
        ("timestamptz", "TIMESTAMP WITH TIME ZONE"),
        ("int[]", "INTEGER[]"),
        ("struct(a text, b int)", 'STRUCT(a VARCHAR, b INTEGER)'),
    ],
)  # fmt: skip
def test_two_spellings_of_one_type(one: str, other: str) -> None:
    assert same_spelling(one) == same_spelling(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("decimal(18,2)", "decimal(18,3)"),
        ("integer", "bigint"),
        ("timestamp", "timestamptz"),
        ("varchar", "varchar[]"),
        ("date", "timestamp"),
    ],
)
def test_two_types(one: str, other: str) -> None:
    assert same_spelling(one) != same_spelling(other)
