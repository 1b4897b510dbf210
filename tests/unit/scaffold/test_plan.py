"""Names by the house's rules, and only where they are safe."""

import duckdb
import pytest

from headrace.scaffold.plan import (
    MAX_NAME,
    entity_of,
    is_plain,
    is_writable,
    model_name,
    output_names,
    quoted_name,
)
from headrace.scaffold.raw_schema import RawColumnSchema


@pytest.mark.parametrize(
    ("table", "entity"),
    [
        ("orders", "order"),
        ("raw_customers", "customer"),
        ("orders__lines", "line"),
        ("categories", "category"),
        ("movies", "movie"),
        ("boxes", "box"),
        ("addresses", "address"),
        ("address", "address"),
        ("order_status", "order_status"),
        ("news", "news"),
        ("bus", "bus"),
        ("people", "person"),
        ("order_lines", "order_line"),
        ("order", "order"),
        ("Orders", "order"),
    ],
)
def test_entities(table: str, entity: str) -> None:
    assert entity_of(table) == entity


@pytest.mark.parametrize(
    ("name", "data_type", "output"),
    [
        ("id", "bigint", "order_id"),
        ("active", "bool", "is_active"),
        ("email_verified", "bool", "is_email_verified"),
        ("is_paid", "bool", "is_paid"),
        ("has_wifi", "bool", "has_wifi"),
        ("accepts_marketing", "bool", "accepts_marketing"),
        ("wifi", "bool", "wifi"),
        ("created", "timestamp", "created_at"),
        ("created_on", "timestamp", "created_at"),
        ("created_at", "timestamp", "created_at"),
        ("event_timestamp", "timestamp", "event_at"),
        ("start_time", "timestamp", "start_time"),
        ("shipped", "date", "shipped_date"),
        ("birth_dt", "date", "birth_date"),
        ("day", "date", "day"),
        ("created", "text", "created"),
        ("_fivetran_synced", "timestamp", "_fivetran_synced"),
        ("group", "text", "order_group"),
        ("OrderTotal", "double", "order_total"),
        ("SKU", "text", "sku"),
        ("ship to", "text", "ship_to"),
        ("größe", "text", "größe"),
        ("1st", "text", "1st"),
    ],
)
def test_columns(name: str, data_type: str, output: str) -> None:
    assert output_names("orders", (RawColumnSchema(name, data_type),)) == {name: output}


@pytest.mark.parametrize(
    ("columns", "outputs"),
    [
        (["id", "order_id"], ["id", "order_id"]),
        (["order_id", "id"], ["order_id", "id"]),
        (["ID", "id2"], ["order_id", "id2"]),
        (["group", "order_group"], ["group", "order_group"]),
        (["Ship To", "ship_to"], ["Ship To", "ship_to"]),
        (["ship to", "Ship-To"], ["ship_to", "Ship-To"]),
    ],
)
def test_a_name_that_is_taken_is_left_to_its_column(columns: list[str], outputs: list[str]) -> None:
    found = output_names("orders", tuple(RawColumnSchema(name, "text") for name in columns))
    assert list(found.values()) == outputs


def test_every_word_that_duckdb_reserves_is_quoted() -> None:
    with duckdb.connect() as connection:
        rows = connection.execute(
            "select keyword_name from duckdb_keywords() where keyword_category = 'reserved'"
        ).fetchall()
    assert rows
    assert [word for (word,) in rows if is_plain(word)] == []


@pytest.mark.parametrize(
    "name",
    ["a", "order", "Größe", 'a"b', "with space", "1st", "x" * 200, "a.b", "日本", "A"],
)
def test_quoted_names_are_those_columns(name: str) -> None:
    quoted = quoted_name(name)
    with duckdb.connect() as connection:
        connection.execute(f"create table raw_rows ({quoted} integer)")
        (column,) = connection.execute("describe raw_rows").fetchall()
    assert column[0] == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a{b}", True),
        ("{{ a }}", False),
        ("a{%", False),
        ("a\nb", False),
        ("", False),
        ("%}", False),
    ],
)
def test_what_jinja_would_read_is_not_written(name: str, expected: bool) -> None:
    assert is_writable(name) is expected


def test_model_names_are_short_plain_and_never_anothers() -> None:
    tables = ["raw_orders", "Orders", "orders ", "größe", "a/../../b", "x" * 80, "x" * 81, "9"]
    found = [model_name("store", table) for table in tables]
    assert found[0] == "stg_store__orders"
    assert len(set(found)) == len(tables)
    assert all(name.replace("_", "").isalnum() and name.isascii() for name in found)
    assert max(map(len, found)) <= MAX_NAME
