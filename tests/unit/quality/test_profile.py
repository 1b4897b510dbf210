"""Profiles of tables: numbers against what is known, findings, and awkward tables."""

import json
import math
import random
import re
from collections.abc import Iterator

import duckdb
import pytest

from headrace.quality.profile import (
    KeyOfTable,
    TableProfile,
    compare,
    is_likely_key,
    keys_of,
    profile_table,
)
from headrace.quality.profile.findings import RULES
from headrace.quality.profile.model import Finding


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


def of(connection: duckdb.DuckDBPyConnection, select: str, **options: object) -> TableProfile:
    connection.execute(f"create or replace table t as {select}")
    found = profile_table(connection, "t", "t", **options)  # type: ignore[arg-type]
    assert TableProfile.model_validate_json(found.model_dump_json()) == found
    return found


def finding(profile: TableProfile, rule: str, column: str | None = None) -> Finding:
    found = [
        one
        for one in profile.findings
        if one.rule == rule and (column is None or column in one.columns)
    ]
    assert len(found) == 1, [one.seen for one in profile.findings]
    return found[0]


def test_numbers_are_those_of_the_engine(connection: duckdb.DuckDBPyConnection) -> None:
    profile = of(
        connection,
        "select i as id, i % 7 as n, case when i % 10 = 0 then null else i * 1.5 end as amount, "
        "['new', 'paid', 'sent'][1 + (i * i) % 3] as status, date '2024-01-01' + cast(i as int) as "
        "day from range(1000) as rows(i)",
    )
    assert (profile.rows, profile.rows_looked_at, profile.sample_rows) == (1000, 1000, 1000)
    assert profile.keys == (("id",), ("day",))
    assert (profile.duplicates, profile.newest, profile.newest_column) == (0, "2026-09-26", "day")
    number = profile.column("n")
    assert (number.distinct, number.zeros, number.negatives, number.outliers) == (7, 143, 0, 0)
    assert (number.min, number.max, number.nulls) == ("0", "6", 0)
    assert sum(one.rows for one in number.top) == 1000
    amount = profile.column("amount")
    exact = connection.execute(
        "select count(*) - count(amount), avg(amount), stddev_samp(amount), "
        "count(distinct amount) from t"
    ).fetchone()
    assert exact is not None
    assert (amount.nulls, amount.distinct) == (exact[0], exact[3])
    assert amount.mean == pytest.approx(exact[1], rel=1e-5)
    assert amount.deviation == pytest.approx(exact[2], rel=1e-5)
    assert float(amount.quantiles["50"]) == pytest.approx(750, rel=0.02)
    assert sum(bar.rows for bar in amount.histogram) == 900
    assert profile.column("id").order == "rising"
    status = profile.column("status")
    assert [(one.value, one.rows) for one in status.top] == [("paid", 666), ("new", 334)]
    assert (status.min_length, status.max_length) == (3, 4)


def test_a_large_column_has_its_top_values_counted_exactly(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    profile = of(
        connection,
        "select case when i % 4 = 0 then 'often' else 'v' || (i % 2500) end as word "
        "from range(20000) as rows(i)",
    )
    (first, *_) = profile.column("word").top
    assert (first.value, first.rows) == ("often", 5000)


def test_a_shape_becomes_a_regular_expression(connection: duckdb.DuckDBPyConnection) -> None:
    profile = of(
        connection,
        "select case when i = 3 then 'x' else 'AB-' || (100 + i) end as a from range(400) r(i)",
    )
    (test,) = finding(profile, "mixed_shapes").tests
    assert test.arguments == {"regex": r"^[A-Za-z]{2}\-[0-9]{3}$"}


def test_a_histogram_is_not_flattened_by_an_outlier(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    profile = of(
        connection, "select case when i = 5 then 1e9 else i % 100 end as n from range(1000) r(i)"
    )
    column = profile.column("n")
    assert column.outliers == 1
    assert max(bar.rows for bar in column.histogram) < 200
    assert sum(bar.rows for bar in column.histogram) == 1000
    assert "1 value far from all others" in finding(profile, "outliers").seen


FAULTS: tuple[tuple[str, int, str, str | None, tuple[str, ...]], ...] = (
    ("duplicate_rows", 40, "i // 2 as a, 'x' as b", None, ()),
    ("no_key", 400, "i % 5 as a, i % 3 as b", None, ()),
    ("no_key", 400,
     "case when i = 3 then 4 else i end as order_id, 1 as b",
     "order_id", ("unique",)),
    ("all_null", 40, "i, null::int as a", "a", ()),
    ("few_nulls", 40, "i, nullif(i, 7) as a", "a", ("not_null",)),
    ("empty_texts", 40, "i, case when i % 9 = 0 then ' ' else 'x' end as a", "a",
     ("not_empty_string",)),
    ("padded_texts", 40, "i, case when i % 9 = 0 then 'x ' else 'x' end as a", "a",
     ("expect_column_values_to_not_match_regex",)),
    ("placeholders", 40, "i, case when i % 9 = 0 then 'N/A' else 'x' || i end as a", "a",
     ("not_accepted_values",)),
    ("placeholders", 40,
     "i, case when i % 9 = 0 then date '1900-01-01' else date '2024-01-01' end as a",
     "a", ()),
    ("placeholders", 400, "i, case when i % 9 = 0 then -999 else i % 10 end as a", "a", ()),
    ("letter_case", 40, "i, ['Paid', 'paid', 'open'][1 + i % 3] as a", "a",
     ("expect_column_values_to_have_consistent_casing",)),
    ("not_finite", 40, "i, case when i = 3 then 'nan'::double else i end as a", "a", ()),
    ("rounded_numbers", 40, "i, 12345678901234567890::double + i as order_id", "order_id", ()),
    ("rounded_numbers", 40, "i, -(123456789 + i)::float as a_key", "a_key", ()),
    ("few_negatives", 400,
     "i, case when i % 90 = 3 then -i else i end as a",
     "a", ("expect_column_values_to_be_between",)),
    ("future_times", 400,
     "i, now()::timestamp + interval (case when i = 3 then 9 else -i end) day as a",
     "a", ("expect_column_values_to_be_between",)),
    ("stored_as_text", 40, "i, cast(i * 2 as varchar) as a", "a", ()),
    ("stored_as_text", 40, "i, cast(date '2024-01-01' + cast(i as int) as varchar) as a", "a", ()),
    ("mixed_shapes", 400, "i, case when i = 3 then 'x' else 'AB-' || (100 + i) end as a", "a",
     ("expect_column_values_to_match_regex",)),
    ("constant", 40, "i, 'x' as a", "a", ()),
    ("few_values", 40, "i, ['new', 'paid'][1 + i % 2] as a", "a", ("accepted_values",)),
    ("key", 400,
     "i // 4 as order_id, i % 4 as line, 'x' as c",
     "line", ("unique_combination_of_columns",)),
    ("never_null", 400, "i as a", "a", ("not_null",)),
    ("follows", 400, "i, i % 9 as city, 'C' || (i % 9 % 4) as country", "country", ()),
    ("go_together", 400, "i, i * i % 97 as a, a * 2 + i % 3 as b", "b", ()),
    ("go_together", 400, "i, i * i % 97 as a, exp(a) * (1 + i % 3) as b", "b", ()),
)  # fmt: skip


@pytest.mark.parametrize(("rule", "rows", "columns", "column", "tests"), FAULTS)
def test_what_stands_out_is_found_and_explained(
    connection: duckdb.DuckDBPyConnection,
    rule: str,
    rows: int,
    columns: str,
    column: str | None,
    tests: tuple[str, ...],
) -> None:
    profile = of(connection, f"select {columns} from range({rows}) as rows(i)")
    found = finding(profile, rule, column)
    assert tuple(test.name for test in found.tests) == tests
    assert len(found.why) > 40
    assert found.advice


def test_each_rule_has_a_table_that_it_speaks_of() -> None:
    asked = {rule for rule, *_ in FAULTS}
    others = {"empty_table", "outliers", "reference", "personal_data"}  # in tests of their own
    assert asked | others == {rule.__name__ for rule in RULES}


def test_a_good_table_has_no_warning(connection: duckdb.DuckDBPyConnection) -> None:
    profile = of(
        connection,
        "select i as order_id, 1 + i * 7919 % 90 as customer_id, ['new', 'paid'][1 + i % 2] "
        "as status, timestamp '2024-01-01' + interval (i * 40) minute as ordered_at, "
        "cast(5 + i * 31 % 700 / 10 as decimal(12, 2)) as amount from range(2000) as rows(i)",
    )
    assert [one.seen for one in profile.findings if one.level == "warn"] == []


PERSONAL = {
    "email": ["ada@example.org", "b.c+d@sub.example.co", "x_y@example.net", "q@example.com"],
    "phone": ["+49 30 1234567", "+1 (212) 555-0100", "(020) 7946 0958", "212-555-0144"],
    "card_number": ["4111111111111111", "5500 0055 5555 5559", "340000000000009",
                    "6011000000000004"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432",
             "FR1420041010050500013M02606", "NL91ABNA0417164300"],
    "ip_address": ["10.0.0.1", "192.168.178.20", "2001:db8::1", "::1"],
    "name": ["Mary Jones", "James Smith", "Jürgen Müller", "Laura Rossi"],
}  # fmt: skip


@pytest.mark.parametrize("kind", PERSONAL)
def test_personal_data_is_told_by_its_look_and_never_shown(
    connection: duckdb.DuckDBPyConnection, kind: str
) -> None:
    values = PERSONAL[kind]
    listed = ", ".join(f"('{value}')" for value in values for _ in range(9))
    profile = of(connection, f"select v as field from (values {listed}) as rows(v)")
    personal = profile.column("field").personal
    assert personal is not None
    assert (personal.kind, personal.share) == (kind, 1.0)
    assert finding(profile, "personal_data").level == "note"
    text = profile.model_dump_json()
    assert not [value for value in values if value in text]


@pytest.mark.parametrize(
    "values",
    [
        ["4111111111111112", "5500005555555558", "4000000000000000"],  # wrong check digits
        ["DE89370400440532013001", "GB82WEST12345698765431", "FR1420041010050500013M02605"],
        ["2024-01-02", "2024-11-12", "2023-05-06"],
        ["10234", "99812", "55501"],
        ["1.2", "3.4", "5.6"],
        ["Oslo 12", "Quarterly report", "blue"],
        ["a@b", "@home", "me@"],
    ],
)
def test_what_only_looks_alike_is_no_personal_data(
    connection: duckdb.DuckDBPyConnection, values: list[str]
) -> None:
    listed = ", ".join(f"('{value}')" for value in values)
    assert of(connection, f"select v as x from (values {listed}) r(v)").column("x").personal is None


def test_what_the_project_declares_is_not_shown(connection: duckdb.DuckDBPyConnection) -> None:
    profile = of(
        connection,
        "select 'secret' || i % 3 as x, i % 3 + 70000 as pay, i as n from range(90) r(i)",
        personal={"x", "pay"},
    )
    assert "secret" not in profile.model_dump_json()
    assert "7000" not in profile.model_dump_json()
    assert profile.column("n").personal is None


def test_references_to_other_tables(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create table customers as select i + 1 as id from range(50) r(i)")
    connection.execute(
        "create table products as select 'SKU' || i as sku, i as n from range(60) r(i)"
    )
    assert keys_of(connection, "products", "products") == []
    keys = [
        *keys_of(connection, "customers", "customers"),
        KeyOfTable("products", "sku", "products", True),
    ]
    profile = of(
        connection,
        "select i as id, case when i = 3 then 99 else 1 + i % 50 end as billing_customer_id, "
        "'SKU' || (i % 40) as item, i % 20 + 1 as stars from range(300) r(i)",
        keys=keys,
    )
    assert [(r.column, r.table, r.field, r.orphans) for r in profile.references] == [
        ("billing_customer_id", "customers", "id", 1), ("item", "products", "sku", 0),
    ]  # fmt: skip
    assert finding(profile, "reference", "billing_customer_id").level == "warn"
    assert finding(profile, "reference", "item").level == "note"


AWKWARD = {
    "empty": "select 1 as a, 'x' as b, date '2024-01-01' as c, 1.5 as d where false",
    "one row": "select 1 as a, null as b, 'x' as c, [1] as d",
    "all null": "select null::varchar a, null::int b, null::timestamp c, null::double d, "
    "null::struct(a int) e from range(30)",
    "one value": "select 5 as a, 'x' as b, date '2024-01-01' as c from range(30)",
    "no finite number": "select 'nan'::double as a, 'inf'::float as b from range(30)",
    "numbers at the edge": "select case i when 3 then 'nan' when 4 then '-inf' when 5 then "
    "'1e308' when 6 then '-1e308' else i::varchar end::double as a from range(30) r(i)",
    "infinite times": "select case when i = 3 then date 'infinity' else date '2024-01-01' "
    "end as a, case when i = 2 then '-infinity'::timestamp else timestamp '2020-01-01' + "
    "interval (i) day end as b from range(30) r(i)",
    "ids of 20 digits": "select 12345678901234567890::hugeint + i as a, "
    "12345678901234567890.5::decimal(38, 1) + i as b from range(30) r(i)",
    "every type": "select {'a': i} as s, [i] as l, map {'a': i} as m, ('x' || i)::blob as b, "
    "(i % 2)::bool as bo, interval (i) day as iv, time '10:00' + interval (i) minute as t, "
    "'2024-01-01 00:00:00+00'::timestamptz + interval (i) day as tz, uuid() as u, "
    """('{"a":' || i || '}')::json as j, 'a'::enum('a', 'b') as e, i::utinyint as ut, """
    "'101'::bit as bi, '10:00:00+02'::timetz as tt, "
    "'2024-01-01 00:00:00.123456789'::timestamp_ns as ns from range(50) r(i)",
    "names": 'select i as "a""b", i as "select", i as "a b; drop", 1 as "", i as "ü" '
    "from range(30) r(i)".replace('1 as "", ', ""),
    "long texts": "select repeat('x', 100000) || i as a from range(30) r(i)",
    "control signs": "select 'a' || chr(27) || chr(10) || i % 3 as a from range(30) r(i)",
}  # fmt: skip


@pytest.mark.parametrize("case", AWKWARD)
def test_awkward_tables_have_a_profile(connection: duckdb.DuckDBPyConnection, case: str) -> None:
    profile = of(connection, AWKWARD[case])
    described = connection.execute("describe t").fetchall()
    assert [column.name for column in profile.columns] == [row[0] for row in described]
    text = profile.model_dump_json()
    assert not re.search(r":(NaN|-?Infinity)", text)
    assert len(text) < 20_000
    for column in profile.columns:
        for number in (column.mean, column.deviation, *column.quantiles.values()):
            assert not isinstance(number, float) or math.isfinite(number)
    json.loads(text)


@pytest.mark.parametrize(
    ("select", "key"),
    [
        ("select range as amount, range + 7 as order_id from range(50)", ("order_id",)),
        ("select range as other_id, range as order_id from range(50)", ("order_id",)),
        ("select date '2024-01-01' + range::int as day, 1 as n from range(50)", ("day",)),
        ("select range as position, 1 as n from range(50)", ("position",)),
        ("select 1 as n, range as amount from range(50)", ()),
        ("select range as last_order_id, 1 as n from range(50)", ()),
        ("select range / 2.0 as order_id from range(50)", ("order_id",)),
        ("select if(range = 3, null, range) as order_id from range(50)", ()),
        (
            "select range % 5 as a_id, date '2024-01-01' + (range // 5)::int as day from range(50)",
            ("a_id", "day"),
        ),
        (
            "select range % 5 as a_id, range // 5 % 2 as b_id, range // 10 as c_id from range(50)",
            ("a_id", "b_id", "c_id"),
        ),
        ("select 1 as order_id", ()),
        ("select 1 as order_id where false", ()),
    ],
)
def test_the_likely_key_is_named_or_typed_like_one(
    connection: duckdb.DuckDBPyConnection, select: str, key: tuple[str, ...]
) -> None:
    connection.execute(f"create table t as {select}")
    found = profile_table(connection, "t", "marts.fct_orders")
    likely = [one for one in found.keys if is_likely_key(found.name, found.columns, one)]
    assert next(iter(likely), ()) == key


def test_an_estimate_that_is_off_does_not_make_a_key(connection: duckdb.DuckDBPyConnection) -> None:
    """Of 20,000 rows one is there twice; the estimate cannot tell."""
    found = of(connection, "select greatest(range, 1) as order_id from range(20000)")
    assert (found.keys, found.duplicates) == ((), 1)


def test_ids_of_20_digits_are_exact(connection: duckdb.DuckDBPyConnection) -> None:
    profile = of(connection, AWKWARD["ids of 20 digits"])
    assert (profile.column("a").min, profile.column("a").max) == (
        "12345678901234567890", "12345678901234567919",
    )  # fmt: skip
    assert profile.keys[0] == ("a",)


def test_numbers_that_a_double_holds_are_not_rounded(connection: duckdb.DuckDBPyConnection) -> None:
    profile = of(
        connection,
        "select i::double as order_id, 1e300 as amount, 123456789::float as price, "
        "case when i = 3 then 'inf'::double else i end as item_id from range(40) r(i)",
    )
    assert "rounded_numbers" not in {one.rule for one in profile.findings}


def test_many_columns(connection: duckdb.DuckDBPyConnection) -> None:
    columns = ", ".join(f"i % {n + 2} as c{n}" for n in range(100))
    profile = of(connection, f"select {columns} from range(50) r(i)")
    assert len(profile.columns) == 100
    assert profile.notes == ("pairs of columns were looked for among the first 60 of 100 only",)


def test_a_sample_says_that_it_is_one(connection: duckdb.DuckDBPyConnection) -> None:
    select = "select i as id, i % 5 as n from range(5000) r(i)"
    profile = of(connection, select, sample=300)
    assert (profile.rows, profile.rows_looked_at, profile.sample_rows) == (5000, 300, 300)
    assert finding(profile, "key").seen.endswith("in the sample")
    assert of(connection, select, sample=300) == profile, "the same rows each time"
    whole = of(connection, select, sample=9000)
    assert (whole.rows_looked_at, whole) == (5000, of(connection, select))


def test_a_view_is_read_once_and_has_no_order(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create view v as select i as id, random() as r from range(50) t(i)")
    profile = profile_table(connection, "v", "v", is_table=False)
    assert profile.column("id").order is None
    assert sum(bar.rows for bar in profile.column("r").histogram) == 50


def test_what_differs_between_two_profiles(connection: duckdb.DuckDBPyConnection) -> None:
    draw = random.Random(1)
    values = ", ".join(f"({n}, {draw.gauss(50, 5):.2f})" for n in range(200))
    base = (
        f"select n as id, v as amount, ['a', 'b'][1 + n % 2] as kind from (values {values}) r(n, v)"
    )
    before = of(connection, base)
    assert compare(before, before) == ()
    after = of(
        connection,
        f"select id, amount * 100 as amount, case when id = 5 then 'c' else kind end as kind, "
        f"nullif(id % 3, 0) as part from ({base}) where id < 199",
    )
    changes = {(one.column, one.what): one for one in compare(before, after)}
    assert changes[None, "rows"].is_large is False
    assert (changes["amount", "mean"].is_large, changes["kind", "values"].after) == (True, "c")
    assert (changes["part", "column"].before, changes["part", "column"].is_large) == (
        "not there", True,
    )  # fmt: skip
    assert ("kind", "type") not in changes
