"""A comparison on a terminal of a hundred columns."""

import pytest
from diff_lab import DatabasePair

from headrace.cli.render_diff import show_diff
from headrace.quality.diff import DiffOptions, Side, diff


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_what_changed_and_how(pair: DatabasePair, capsys: pytest.CaptureFixture[str]) -> None:
    before = "select range as id, 10.0::double as amount, 'x' as gone from range(4)"
    after = """
        select range as id, case when range = 1 then 30.0::double else 10.0 end as amount,
            7 as fresh from range(5)
    """
    pair.write("a", f"create table marts.t as {before}")
    pair.write("b", f"create table marts.t as {after}")
    known = Side(
        pair.folder / "a.duckdb", "a", keys={"marts.t": ("id",)}, readers={"marts.t": ["model m"]}
    )

    show_diff(diff(known, Side(pair.folder / "b.duckdb", "b"), DiffOptions(personal=True)))

    assert lines(capsys)[:-1] == [
        "a → b",
        "   table    rows before  after  added  removed  changed",
        "~  marts.t            4      5      1        0        1",
        "",
        "marts.t (changed)",
        "  column added: fresh (INTEGER)",
        "  column removed: gone (VARCHAR)",
        "  amount: 1 value changed (25.0%); mean 10 → 14; max 10.0 → 30.0",
        "  read by: model m",
        "  + id=4",
        "  ~ id=1  amount: 10.0 → 30.0",
        "",
    ]


def test_rows_without_a_value_that_may_be_shown_take_one_line(
    pair: DatabasePair, capsys: pytest.CaptureFixture[str]
) -> None:
    for side, add in (("a", 0), ("b", 1)):
        pair.write(side, f"create table marts.t as select range as id, {add} as v from range(50)")
    known = Side(pair.folder / "a.duckdb", "a", keys={"marts.t": ("id",)})

    show_diff(diff(known, Side(pair.folder / "b.duckdb", "b")))

    shown = lines(capsys)
    assert shown[5:8] == [
        "  v: 50 values changed (100.0%)",
        "  ••• hides values of id, v: personal data, or not known (--personal shows them)",
        "  ~ id=•••  v: ••• → •••",
    ]
    assert shown[8] == ""


def test_values_stay_on_their_line_and_have_no_control_characters(
    pair: DatabasePair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.write("a", "create table marts.t as select 1 as id, 'old' as v")
    pair.write(
        "b", "create table marts.t as select 1 as id, 'a' || chr(10) || chr(27) || '[2J[red]' as v"
    )

    show_diff(pair.diff(keys={"marts.t": ("id",)}))

    assert "  ~ id=1  v: old → a �[2J[red]" in lines(capsys)
