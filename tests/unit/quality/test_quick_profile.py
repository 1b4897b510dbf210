"""The quick profile that runs keep: exact where it says so, near elsewhere, and never a value."""

from pathlib import Path

import duckdb
import pytest

from headrace.quality.profile import TableProfile, profile_quickly, profile_table, without_values
from headrace.sql_text import literal

ROWS = 60_000
LARGE = (
    "select i as id, i % 7 as few, i % 9000 as some, case when i % 10 = 0 then null else "
    "i * 1.5 end as amount, 'v' || (i % 3) as status, date '2020-01-01' + cast(i % 1500 as int) "
    "as day, case when i = 5 then 'infinity'::double else i end as wild, "
    f"i < 30000 as is_early, 'p' || i || '@example.org' as mail from range({ROWS}) as rows(i)"
)


def quick(select: str, *, personal: tuple[str, ...] = (), is_stored: bool = True) -> TableProfile:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"create table t as {select}")
        found = profile_quickly(connection, "t", "t", personal=personal, is_stored=is_stored)
    text = found.model_dump_json(exclude_defaults=True)
    assert TableProfile.model_validate_json(text) == found
    return found


@pytest.mark.parametrize("kind", ["date", "timestamp", "timestamptz", "time"])
def test_a_list_of_times_is_no_time(kind: str) -> None:
    value = "time '10:00'" if kind == "time" else f"('2024-01-0' || i)::{kind}"
    found = quick(f"select i, [{value}] as times from range(1, 6) as rows(i)").column("times")
    assert (found.kind, found.nulls, found.min) == ("nested", 0, None)


@pytest.fixture(scope="module")
def large() -> TableProfile:
    return quick(LARGE)


def test_nulls_range_and_mean_are_of_all_rows(large: TableProfile) -> None:
    assert (large.rows, large.sample_rows < ROWS) == (ROWS, True)
    assert "the rest is of a sample" in large.notes[0]
    amount = large.column("amount")
    assert (amount.nulls, amount.min, amount.max) == (ROWS // 10, "1.5", "89998.5")
    assert amount.mean == pytest.approx(45000, rel=1e-4)
    wild = large.column("wild")
    assert (wild.min, wild.max) == ("0.0", "59999.0")
    assert wild.mean == pytest.approx(29999.9, rel=1e-4)
    early = large.column("is_early")
    assert (early.min, early.max) == ("false", "true")
    assert (large.newest, large.newest_column) == ("2024-02-08", "day")


@pytest.mark.parametrize(
    ("column", "distinct", "off"),
    [("id", ROWS, 0), ("few", 7, 0), ("status", 3, 0), ("some", 9000, 0.2), ("day", 1500, 0.2)],
)
def test_the_number_of_values_is_near(
    large: TableProfile, column: str, distinct: int, off: float
) -> None:
    assert large.column(column).distinct == pytest.approx(distinct, rel=off or 1e-9)


def test_the_sample_tells_shares_and_quantiles(large: TableProfile) -> None:
    few = large.column("few")
    assert {one.value for one in few.top} == {str(n) for n in range(7)}
    assert all(one.share == pytest.approx(1 / 7, abs=0.02) for one in few.top)
    assert float(large.column("id").quantiles["50"]) == pytest.approx(30000, rel=0.05)
    assert sum(bar.rows for bar in large.column("id").histogram) == large.sample_rows


def test_personal_columns_have_shapes_alone(large: TableProfile) -> None:
    mail = large.column("mail")
    assert mail.personal is not None
    assert mail.personal.kind == "email"
    assert (mail.min, mail.max, mail.top, mail.histogram) == (None, None, (), ())
    assert mail.shapes
    declared = quick(LARGE, personal=("amount",)).column("amount")
    assert (declared.min, declared.mean, declared.quantiles, declared.top) == (None, None, {}, ())
    assert declared.nulls == ROWS // 10


def test_a_sample_of_many_row_groups_takes_little_memory(tmp_path: Path) -> None:
    place = literal(str(tmp_path / "large.duckdb"))
    with duckdb.connect() as connection:
        connection.execute(
            f"attach {place} as large (row_group_size 2048)"
        )  # as of 100 million rows
        connection.execute(
            "create table large.t as select i, 'a longer text than twelve ' || i as a, "
            "'another long text than ' || i as b from range(800_000) as r(i)"
        )
    with duckdb.connect(config={"memory_limit": "25MB", "threads": "2"}) as connection:
        connection.execute("set temp_directory = ''")
        connection.execute(f"attach {place} as large (read_only)")
        found = profile_quickly(connection, "large.t", "t", personal=(), is_stored=True)
    assert found.column("i").max == "799999"
    assert 9_000 < found.sample_rows < 11_000


def test_a_small_table_is_measured_whole() -> None:
    select = "select i % 12 as n, 'a' || i as word from range(50) as rows(i)"
    found = quick(select)
    assert (found.sample_rows, found.notes) == (50, ())
    with duckdb.connect() as connection:
        connection.execute(f"create table t as {select}")
        whole = profile_table(connection, "t", "t")
    assert found.column("n").histogram == whole.column("n").histogram
    assert found.column("word").distinct == 50


@pytest.mark.parametrize(
    "select",
    [
        "select 1 as a where false",
        "select 1 as a",
        "select null::int as a, null as b from range(3)",
        (
            "select {'x': 1} as a, [1] as b, '\\xAA'::blob as c, 12345678901234567890::hugeint "
            "as d, 'nan'::double as e, '-infinity'::timestamp as f from range(4)"
        ),
        f"select null::int as a, null::varchar as b, [i] as c from range({ROWS}) r(i)",
        (
            "select 12345678901234567890123456789012345678::hugeint + i as a, "
            f"123456789012345678901234567890.5::decimal(38, 1) + i as b from range({ROWS}) r(i)"
        ),
    ],
    ids=["empty", "one row", "nulls", "odd types", "many nulls", "38 digits"],
)
@pytest.mark.parametrize("is_stored", [True, False])
def test_awkward_tables(select: str, *, is_stored: bool) -> None:
    assert quick(select, is_stored=is_stored).columns


def test_so_many_columns_are_profiled() -> None:
    found = quick("select " + ", ".join(f"i as c{n}" for n in range(301)) + " from range(3) r(i)")
    assert len(found.columns) == 300
    assert "the first 300 of 301 columns only" in found.notes


def test_values_that_became_personal_are_removed(large: TableProfile) -> None:
    masked = without_values(large, {"day", "status"})
    assert masked.newest is None
    day = masked.column("day")
    assert day.personal is not None
    assert (day.personal.kind, day.min, day.histogram, day.quantiles) == ("declared", None, (), {})
    assert masked.column("status").top == ()
    assert masked.column("few") == large.column("few")
    assert without_values(masked, {"day"}) is masked
