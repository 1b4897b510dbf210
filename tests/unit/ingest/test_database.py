"""Tables of a database: what is not of its column's type, and cursors that are text."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from dlt.sources.sql_database import sql_table
from sqlalchemy import Column, Integer, MetaData, NullPool, String, Table

from headrace.errors import SourceError
from headrace.ingest.database import DatabaseLoader, check_cursor


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("integer", "'five'", "parts.size is bigint, and a row has 'five' there (id 7): correct"),
        ("integer", "3.5", "parts.size is bigint, and a row has 3.5 there (id 7)"),
        ("numeric(12, 2)", "1e30", "parts.size is decimal, and a row has Decimal('1000000000"),
        ("numeric(12, 2)", "12345678901", "parts.size is decimal, and a row has Decimal('123456"),
        ("numeric(12, 2)", "9e999", "parts.size is decimal, and a row has Decimal('Infinity')"),
        ("numeric(12, 2)", "'five'", "table parts: a value is not of its column's type"),
    ],
)
def test_a_value_that_is_not_of_its_columns_type(
    kind: str, value: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "parts.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"create table parts (id integer primary key, size {kind})")
        connection.execute(f"insert into parts values (1, 5), (7, {value})")
    resource = sql_table(
        credentials=f"sqlite:///{path}",
        table="parts",
        backend="pyarrow",
        engine_kwargs={"poolclass": NullPool},
        table_loader_class=DatabaseLoader,
    )
    with pytest.raises(Exception, match="correct it in the database") as caught:
        list(resource)
    cause = caught.value.__cause__
    assert isinstance(cause, SourceError)
    assert str(cause).startswith(message)


def test_a_text_is_no_cursor() -> None:
    table = Table("parts", MetaData(), Column("id", Integer), Column("code", String))
    check_cursor("erp", table, "id")
    with pytest.raises(SourceError, match="the cursor code of table parts is text") as caught:
        check_cursor("erp", table, "code")
    assert "set cursor_type: text at parts" in str(caught.value)
    check_cursor("erp", table, "code", "text")
