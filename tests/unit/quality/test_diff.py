"""What differs between two files: tables, columns, rows by key or as a whole, and samples."""

from pathlib import Path
from uuid import UUID

import duckdb
import pytest
from diff_lab import DatabasePair

from headrace.errors import DiffError
from headrace.quality.diff import DiffOptions, Side, TableDiff, diff

pytestmark = pytest.mark.slow

PEOPLE = "select range as id, 'p' || range as name, range * 1.5 as amount from range(10)"


def counts(table: TableDiff) -> tuple[int, int, int | None]:
    return table.rows_added, table.rows_removed, table.rows_changed


def changed(table: TableDiff) -> dict[str, int | None]:
    return {column.name: column.rows for column in table.columns_changed}


# ── tables and columns ──────────────────────────────────────────────────────


def test_added_removed_and_unchanged_tables(pair: DatabasePair) -> None:
    pair.write(
        "a",
        "create table marts.stays as select 1 as id",
        "create table marts.goes as from range(3)",
    )
    pair.write(
        "b",
        "create table marts.stays as select 1 as id",
        "create table marts.comes as from range(4)",
    )

    report = pair.diff()

    found = {
        table.name: (table.status, table.rows_before, table.rows_after) for table in report.tables
    }
    assert found == {
        "marts.stays": ("same", 1, 1),
        "marts.goes": ("removed", 3, None),
        "marts.comes": ("added", None, 4),
    }
    assert report.is_different


def test_a_declared_table_that_does_not_exist_was_not_built(pair: DatabasePair) -> None:
    pair.write(
        "a", "create table marts.t as select 1 as id", "create table marts.u as select 1 as id"
    )
    pair.write("b", "create table marts.t as select 1 as id")
    before = Side(pair.folder / "a.duckdb", "a")
    after = Side(pair.folder / "b.duckdb", "b", declared={"marts.t", "marts.u"})

    report = diff(before, after)

    assert [table.status for table in report.tables] == ["same", "not built"]
    assert not report.is_different


def test_columns_added_removed_and_retyped(pair: DatabasePair) -> None:
    found = pair.table(
        "select 1 as id, 2::integer as n, 'x' as gone",
        "select 1 as id, 2::bigint as n, 'y' as fresh",
        "id",
    )

    assert [(c.name, c.data_type) for c in found.columns_added] == [("fresh", "VARCHAR")]
    assert [(c.name, c.data_type) for c in found.columns_removed] == [("gone", "VARCHAR")]
    assert [(c.name, c.before, c.after) for c in found.columns_retyped] == [
        ("n", "INTEGER", "BIGINT")
    ]
    assert found.status == "changed"
    assert counts(found) == (0, 0, 0)


def test_a_retyped_column_is_compared_by_value(pair: DatabasePair) -> None:
    found = pair.table(
        "select 1 as id, 5 as n, 'a' as word union all select 2, 6, '7'",
        "select 1 as id, '5' as n, 8 as word union all select 2, 'six', 7",
        "id",
    )
    assert changed(found) == {"n": 1, "word": 1}


def test_letter_case_and_order_of_columns_do_not_matter(pair: DatabasePair) -> None:
    assert pair.table("select 1 as Id, 2 as n", "select 2 as N, 1 as id", "ID").status == "same"


def test_only_the_requested_schemas(pair: DatabasePair) -> None:
    for side in ("a", "b"):
        pair.write(side, "create schema raw", f"create table raw.t as select '{side}' as x")
        pair.write(side, "create table marts.m as select 1 as x")
    assert [table.name for table in pair.diff().tables] == ["marts.m"]
    assert [table.name for table in pair.diff(schemas=("raw",)).tables] == ["raw.t"]
    with pytest.raises(DiffError, match="neither a nor b has a table in nowhere"):
        pair.diff(schemas=("nowhere",))


# ── rows by key ─────────────────────────────────────────────────────────────


def test_rows_by_key(pair: DatabasePair) -> None:
    after = f"""
        select id, case when id < 3 then upper(name) else name end as name,
            case when id = 2 then amount + 1 else amount end as amount
        from ({PEOPLE}) where id <> 9
        union all select 100, 'new', 0
    """

    found = pair.table(PEOPLE, after, "id")

    assert found.method == "key"
    assert found.key == ("id",)
    assert (found.rows_before, found.rows_after) == (10, 10)
    assert counts(found) == (1, 1, 3)
    assert changed(found) == {"name": 3, "amount": 1}
    by_kind = {
        kind: [s for s in found.samples if s.kind == kind]
        for kind in ("added", "removed", "changed")
    }
    assert [s.key for s in by_kind["added"]] == [{"id": "100"}]
    assert [s.key for s in by_kind["removed"]] == [{"id": "9"}]
    assert [(s.key, s.before, s.after) for s in by_kind["changed"]] == [
        ({"id": "0"}, {"name": "p0"}, {"name": "P0"}),
        ({"id": "1"}, {"name": "p1"}, {"name": "P1"}),
        ({"id": "2"}, {"name": "p2", "amount": "3.0"}, {"name": "P2", "amount": "4.0"}),
    ]


def test_a_key_of_two_columns_and_the_limit(pair: DatabasePair) -> None:
    before = "select x.range as a, y.range as b, 0 as n from range(5) as x, range(4) as y"
    found = pair.table(before, before.replace("0 as n", "1 as n"), "a", "b", limit=2)
    assert counts(found) == (0, 0, 20)
    assert [sample.key for sample in found.samples] == [{"a": "0", "b": "0"}, {"a": "0", "b": "1"}]
    assert pair.diff(keys={"marts.t": ("a", "b")}, limit=0).tables[0].samples == ()


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        ("null", "null", False),
        ("null", "0", True),
        ("''", "null", True),
        ("'nan'::double", "'nan'::double", False),
        ("'nan'::double", "1::double", True),
        ("'nan'::double", "null::double", True),
        ("'inf'::double", "'inf'::double", False),
        ("'inf'::double", "1e300::double", True),
        ("'inf'::double", "'-inf'::double", True),
        ("0.0::double", "-0.0::double", False),
        ("0.1::double + 0.2::double", "0.3::double", False),
        ("1.0::double", "1.000001::double", True),
        ("0::double", "1e-5::double", True),
        ("1.10::decimal(4,2)", "1.10::decimal(4,2)", False),
        ("1.10::decimal(18,2)", "1.11::decimal(18,2)", True),
        ("1.1::decimal(4,2)", "1.1::decimal(18,4)", False),
        ("2::hugeint ^ 120 + 1", "2::hugeint ^ 120", False),  # as doubles
        ("1::hugeint << 120", "(1::hugeint << 120) + 1", True),
        ("[1, null]", "[1, null]", False),
        ("[1, null]", "[1, 2]", True),
        ("{'a': 1, 'b': null}", "{'a': 1, 'b': null}", False),
        ("{'a': 1, 'b': [1]}", "{'a': 1, 'b': [2]}", True),
        ("map {'a': 1}", "map {'a': 2}", True),
        ("map {'a': 1}", "map {'a': 1}", False),
        ("'{\"a\": 1}'::json", "'{\"a\": 2}'::json", True),
        ("'\\xAA'::blob", "'\\xAB'::blob", True),
        ("timestamp '2026-01-01 00:00:00.000001'", "timestamp '2026-01-01 00:00:00.000001'", False),
        ("timestamp '2026-01-01 00:00:00.000001'", "timestamp '2026-01-01 00:00:00.000002'", True),
        ("timestamptz '2026-01-01 00:00:00+00'", "timestamptz '2026-01-01 01:00:00+01'", False),
        ("timestamptz '2026-01-01 00:00:00+00'", "timestamp '2026-01-01 00:00:00'", False),
        ("date '2026-01-01'", "timestamp '2026-01-01 00:00:01'", True),
        ("time '10:00:00'", "time '10:00:01'", True),
        ("interval 1 day", "interval 2 day", True),
        (f"uuid '{UUID(int=1)}'", f"uuid '{UUID(int=2)}'", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", [("id",), ()])
def test_values(
    pair: DatabasePair, before: str, after: str, differs: bool, key: tuple[str, ...]
) -> None:
    def rows(value: str) -> str:
        return f"select 1 as id, {value} as v union all select 2, null"

    found = pair.table(rows(before), rows(after), *key)

    if key:
        assert counts(found) == (0, 0, int(differs))
        assert changed(found) == ({"v": 1} if differs else {})
    else:
        assert counts(found) == (int(differs), int(differs), None if found.method else 0)


def test_tolerance_of_none_sees_the_last_bit(pair: DatabasePair) -> None:
    before = "select 1 as id, 0.1::double + 0.2::double as v"
    after = "select 1 as id, 0.3::double as v"
    assert pair.table(before, after, "id").status == "same"
    assert pair.table(before, after, "id", tolerance=0.0).status == "changed"


# ── without a key that holds ────────────────────────────────────────────────


@pytest.mark.parametrize(
    "broken", ["select 3 as id, 'twice' as name, 0 as amount", "select null, 'no key', 0"]
)
@pytest.mark.parametrize("side", ["first", "second"])
def test_a_key_that_is_not_unique_is_reported_and_not_used(
    pair: DatabasePair, broken: str, side: str
) -> None:
    whole = f"{PEOPLE} union all {broken}"
    before, after = (whole, PEOPLE) if side == "first" else (PEOPLE, whole)

    found = pair.table(before, after, "id")

    assert found.method == "rows"
    assert counts(found) == ((0, 1, None) if side == "first" else (1, 0, None))
    (note,) = found.notes
    assert f"the key (id) does not identify the rows of the {side}" in note


def test_rows_without_a_key_are_compared_whole(pair: DatabasePair) -> None:
    before = "select * from (values (1, 'a'), (1, 'a'), (2, 'b')) as t(n, word)"
    after = "select * from (values (1, 'a'), (2, 'b'), (2, 'b'), (3, 'c')) as t(n, word)"

    found = pair.table(before, after)

    assert found.method == "rows"
    assert counts(found) == (2, 1, None)
    assert changed(found) == {"n": None, "word": None}
    assert {(s.kind, *(s.after or s.before).values()) for s in found.samples} == {
        ("added", "2", "b"),
        ("added", "3", "c"),
        ("removed", "1", "a"),
    }


def test_the_order_of_rows_does_not_matter(pair: DatabasePair) -> None:
    found = pair.table(f"{PEOPLE} order by id", f"{PEOPLE} order by id desc")
    assert (found.status, found.method) == ("same", None)


def test_no_column_in_common(pair: DatabasePair) -> None:
    found = pair.table("select 1 as a", "select 1 as b")
    assert found.status == "changed"
    assert found.notes == ("they have no column in common",)


# ── keys that somebody names, and bad input ─────────────────────────────────


def test_a_key_that_the_user_names_wins(pair: DatabasePair) -> None:
    pair.write("a", f"create table marts.t as {PEOPLE}")
    pair.write(
        "b", f"create table marts.t as select * replace (amount + 1 as amount) from ({PEOPLE})"
    )
    before = Side(pair.folder / "a.duckdb", "a")
    after = Side(pair.folder / "b.duckdb", "b", keys={"marts.t": ("amount",)})
    for named in ("t", "marts.t"):
        (found,) = diff(before, after, DiffOptions(keys={named: ("id",)})).tables
        assert found.key == ("id",)
        assert counts(found) == (0, 0, 10)
    with pytest.raises(DiffError, match=r"--key marts\.t=nope: it has no such column in both"):
        diff(before, after, DiffOptions(keys={"t": ("nope",)}))
    with pytest.raises(DiffError, match=r"--key u=id: there is no table u; there are marts\.t"):
        diff(before, after, DiffOptions(keys={"u": ("id",)}))


def test_files_that_cannot_be_opened(pair: DatabasePair, tmp_path: Path) -> None:
    good = Side(pair.write("a", "create table marts.t as select 1 as x"), "a")
    text = tmp_path / "text.duckdb"
    text.write_text("no database", encoding="utf-8")
    with pytest.raises(
        DiffError, match=r"text\.duckdb is not a readable DuckDB file .*: name another"
    ):
        diff(good, Side(text, "text"))
    with pytest.raises(DiffError, match="there is no file"):
        diff(Side(tmp_path / "nothing.duckdb", "nothing"), good)


def test_odd_names_and_paths(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "folder"'
    folder.mkdir()
    odd = DatabasePair(folder)
    table = 'marts."a.b ""c"" | \'d\'"'
    for side, value in (("a", 1), ("b", 2)):
        odd.write(side, f'create table {table} as select 1 as "the \'key\'", {value} as "v""w"')
    (found,) = odd.diff(keys={"marts.a.b \"c\" | 'd'": ("the 'key'",)}).tables
    assert changed(found) == {'v"w': 1}


def test_a_view_of_the_file_itself_is_not_compared(pair: DatabasePair) -> None:
    for side in ("a", "b"):
        pair.write(
            side,
            "create table marts.t as select 1 as x",
            f"create view marts.v as from {side}.marts.t",
        )
    found = {table.name: table for table in pair.diff().tables}
    assert found["marts.v"].status == "not compared"
    assert "names its own database" in found["marts.v"].notes[0]


def test_a_view_that_names_no_database_is_compared(pair: DatabasePair) -> None:
    for side, value in (("a", 1), ("b", 2)):
        pair.write(
            side,
            f"create table marts.t as select {value} as x",
            "create view marts.v as from marts.t",
        )
    assert {table.name: table.status for table in pair.diff().tables} == {
        "marts.t": "changed",
        "marts.v": "changed",
    }


def test_the_files_are_left_alone(pair: DatabasePair) -> None:
    paths = [pair.write(side, "create table marts.t as select 1 as x") for side in ("a", "b")]
    before = [path.read_bytes() for path in paths]
    pair.diff()
    assert [path.read_bytes() for path in paths] == before
    with duckdb.connect(str(paths[0])) as connection:  # nothing holds it
        connection.execute("select 1")


# ── values that are not for everybody ───────────────────────────────────────


def test_only_columns_known_to_be_harmless_are_shown(pair: DatabasePair) -> None:
    before = "select 1 as id, 'ann@example.org' as email, 'paid' as status"
    after = "select 1 as id, 'bob@example.org' as email, 'open' as status"
    pair.write("a", f"create table marts.t as {before}")
    pair.write("b", f"create table marts.t as {after}")
    known = Side(
        pair.folder / "a.duckdb",
        "a",
        keys={"marts.t": ("id",)},
        harmless={"marts.t": ("id", "status")},
    )
    (found,) = diff(known, Side(pair.folder / "b.duckdb", "b")).tables

    (sample,) = found.samples
    assert sample.key == {"id": "1"}
    assert sample.before == {"email": "•••", "status": "paid"}
    assert sample.after == {"email": "•••", "status": "open"}
    assert found.hidden == ("email",)
    assert "example.org" not in found.model_dump_json()

    unknown = Side(pair.folder / "a.duckdb", "a", keys={"marts.t": ("id",)})
    (found,) = diff(unknown, Side(pair.folder / "b.duckdb", "b")).tables
    assert set(found.hidden) == {"id", "email", "status"}
    assert "paid" not in found.model_dump_json()


def test_samples_of_whole_rows_hide_them_too(pair: DatabasePair) -> None:
    pair.write("a", "create table marts.t as select 'ann@example.org' as email, 1 as n")
    pair.write("b", "create table marts.t as select 'bob@example.org' as email, null as n")
    one, other = (Side(pair.folder / f"{x}.duckdb", x, harmless={"marts.t": ("n",)}) for x in "ab")
    (found,) = diff(one, other).tables
    assert {s.kind: s.after or s.before for s in found.samples} == {
        "added": {"email": "•••", "n": None},
        "removed": {"email": "•••", "n": "1"},
    }


# ── what a reviewer asks next ───────────────────────────────────────────────


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[]::integer[]", "null::integer[]"),
        ("[null]::integer[]", "[]::integer[]"),
        ("[[]]::integer[][]", "[null]::integer[][]"),
        ("{'a': null::integer}", "null::struct(a integer)"),
        ("{'a': []::integer[]}", "{'a': null::integer[]}"),
        ("map {}::map(integer, integer)", "null::map(integer, integer)"),
    ],
)
@pytest.mark.parametrize("key", [("id",), ()])
def test_null_and_an_empty_list_are_two_values(
    pair: DatabasePair, before: str, after: str, key: tuple[str, ...]
) -> None:
    """DuckDB has one hash for both, and hashes are compared first."""
    found = pair.table(f"select 1 as id, {before} as v", f"select 1 as id, {after} as v", *key)
    assert found.status == "changed"
    assert changed(found) == ({"v": 1} if key else {"v": None})


@pytest.mark.parametrize("copies", [(2, 2), (2, 3), (1, 2), (500, 500)])
def test_rows_that_are_duplicates_on_both_sides_have_no_key(
    pair: DatabasePair, copies: tuple[int, int]
) -> None:
    """Also where the copies are alike, and so many that a join of them would not end."""
    before, after = (
        f"select 7 as id, 'x' as name, 0 as amount from range({n}) union all {PEOPLE}"
        for n in copies
    )

    found = pair.table(before, f"{after} union all select 100, 'new', 0", "id")

    assert found.method == "rows"
    assert found.rows_matched is None
    assert counts(found) == (1 + copies[1] - copies[0], 0, None)


def test_a_key_of_another_type_matches(pair: DatabasePair) -> None:
    before = PEOPLE.replace("range as id", "range::integer as id")
    after = PEOPLE.replace("range as id", "range::bigint as id").replace("1.5", "2.5")
    found = pair.table(before, after, "id")
    assert (found.method, counts(found)) == ("key", (0, 0, 9))
    assert [one.name for one in found.columns_retyped] == ["id"]


def test_a_widened_column_has_no_changed_value(pair: DatabasePair) -> None:
    found = pair.table(PEOPLE, f"select * replace (id::hugeint as id) from ({PEOPLE})", "id")
    assert found.method is None  # equal at a glance
    assert found.status == "changed"


def test_profiles_of_a_changed_column(pair: DatabasePair) -> None:
    after = f"""
        select id, case when id = 3 then null else name end as name,
            case when id = 9 then 100 else amount end as amount from ({PEOPLE})
    """

    found = pair.table(PEOPLE, after, "id")

    by_name = {change.name: change for change in found.columns_changed}
    assert found.rows_matched == 10
    name, amount = by_name["name"], by_name["amount"]
    assert name.before is not None
    assert name.after is not None
    assert (name.before.nulls, name.after.nulls) == (0, 1)
    assert (name.before.minimum, name.before.mean) == (None, None)  # of text, nothing is told
    assert amount.before is not None
    assert amount.after is not None
    assert (amount.before.minimum, amount.before.mean, amount.before.maximum) == (
        "0.0",
        6.75,
        "13.5",
    )
    assert (amount.after.minimum, amount.after.mean, amount.after.maximum) == ("0.0", 15.4, "100.0")


def test_a_mean_is_of_finite_values(pair: DatabasePair) -> None:
    before = "select * from (values (1, 1.0::double), (2, 3.0)) as t(id, v)"
    after = "select * from (values (1, 'nan'::double), (2, 'inf'::double)) as t(id, v)"
    (change,) = pair.table(before, after, "id").columns_changed
    assert change.before is not None
    assert change.after is not None
    assert (change.before.mean, change.after.mean) == (2.0, None)


def test_numbers_that_became_text_have_no_extremes(pair: DatabasePair) -> None:
    (change,) = pair.table(
        "select 1 as id, 5 as v", "select 1 as id, 'x' as v", "id"
    ).columns_changed
    assert change.before is not None
    assert change.before == change.after
    assert change.before.minimum is None


def test_values_that_may_not_be_shown_have_no_extremes(pair: DatabasePair) -> None:
    pair.write("a", "create table marts.t as select 1 as id, 5000 as salary")
    pair.write("b", "create table marts.t as select 1 as id, 6000 as salary")
    key = {"marts.t": ("id",)}
    one, other = (Side(pair.folder / f"{x}.duckdb", x, keys=key, harmless=key) for x in "ab")
    (found,) = diff(one, other, DiffOptions(limit=0)).tables
    assert found.hidden == ("salary",)
    text = found.model_dump_json()
    assert "5000" not in text
    assert "6000" not in text


def test_a_column_that_was_renamed_is_recognized_by_its_values(pair: DatabasePair) -> None:
    after = f"select id, name as full_name, amount + 1 as price, null as empty from ({PEOPLE})"

    found = pair.table(PEOPLE, after, "id")

    assert [(one.before, one.after, one.share) for one in found.columns_renamed] == [
        ("name", "full_name", 1.0)
    ]
    assert [one.name for one in found.columns_removed] == ["name", "amount"]  # they are listed, too


def test_downstream_assets_of_a_table_that_differs(pair: DatabasePair) -> None:
    for side, value in (("a", 1), ("b", 2)):
        pair.write(
            side,
            f"create table marts.t as select {value} as x",
            "create table marts.same as select 1 as x",
        )
    readers = {"marts.t": ("model orders", "exposure Sales (Ann)"), "marts.same": ("model other",)}
    before = Side(pair.folder / "a.duckdb", "a", readers=readers)

    found = {
        table.name: table for table in diff(before, Side(pair.folder / "b.duckdb", "b")).tables
    }

    assert found["marts.t"].readers == ("model orders", "exposure Sales (Ann)")
    assert found["marts.same"].readers == ()


def test_ignored_columns_are_not_compared(pair: DatabasePair) -> None:
    before = "select 1 as id, 'x' as name, timestamp '2026-01-01' as Loaded_At"
    after = "select 1 as id, 'x' as name, timestamp '2026-01-02' as loaded_at"
    assert pair.table(before, after, "id").status == "changed"
    assert pair.table(before, after, "id", ignored=("LOADED_AT",)).status == "same"
    assert pair.table(before, after, ignored=("loaded_at",)).status == "same"
    with pytest.raises(DiffError, match="--ignore loadedat: no table has a column of that name"):
        pair.table(before, after, "id", ignored=("loadedat",))


@pytest.mark.parametrize("key", [("id",), ()])
def test_many_columns(pair: DatabasePair, key: tuple[str, ...]) -> None:
    """With a `filter` in each aggregate, 2,000 columns took DuckDB more than 20 GB."""
    columns = ", ".join(f"range * {n} as c{n}" for n in range(1_500))
    before = f"select range as id, {columns} from range(5)"
    after = f"select * replace (case when id = 3 then -1 else c7 end as c7) from ({before})"
    found = pair.table(before, after, *key)
    assert changed(found) == {"c7": 1 if key else None}
    if key:
        assert [(s.key, s.before, s.after) for s in found.samples] == [
            ({"id": "3"}, {"c7": "21"}, {"c7": "-1"})
        ]
    else:
        assert counts(found) == (1, 1, None)
