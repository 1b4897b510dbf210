"""What must hold of any two tables: a table does not differ from itself, and edits are counted."""

import math
import tempfile
from pathlib import Path
from typing import Any

import duckdb
from diff_lab import DatabasePair
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.quality.diff import TableDiff

_TEXT = st.characters(codec="utf-8", exclude_characters="\0")
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "varchar": st.none() | st.text(_TEXT, max_size=5),
    "bigint": st.none() | st.integers(-(2**40), 2**40),
    "double": st.none() | st.floats(width=32),
    "integer[]": st.none() | st.lists(st.none() | st.integers(-5, 5), max_size=3),
    "boolean": st.none() | st.booleans(),
    "timestamp": st.none() | st.datetimes(),
}  # fmt: skip
Row = tuple[Any, ...]


def differ(one: Any, other: Any) -> bool:
    """Whether two values of a column do; NaN is NaN."""
    if isinstance(one, float) and isinstance(other, float):
        return not (one == other or (math.isnan(one) and math.isnan(other)))
    return bool(one != other)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], dict[int, Row], dict[int, Row]]:
    """Types of columns, and the rows of a table by key before and after some edits."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    row = st.tuples(*(KINDS[kind] for kind in kinds))
    before = draw(st.dictionaries(st.integers(0, 60), row, max_size=12))
    kept = {key: values for key, values in before.items() if draw(st.integers(0, 3))}
    edited = {key: draw(row) if draw(st.booleans()) else values for key, values in kept.items()}
    return kinds, before, edited | draw(st.dictionaries(st.integers(61, 90), row, max_size=4))


def write(pair: DatabasePair, side: str, kinds: list[str], rows: dict[int, Row]) -> None:
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(kinds))
    with duckdb.connect(str(pair.folder / f"{side}.duckdb")) as connection:
        connection.execute(f"create schema marts; create table marts.t (id bigint, {columns})")
        if rows:
            marks = ", ".join("?" for _ in range(len(kinds) + 1))
            connection.execute(
                f"insert into marts.t values {', '.join([f'({marks})'] * len(rows))}",
                [value for key, row in rows.items() for value in (key, *row)],
            )


def compared(
    kinds: list[str], before: dict[int, Row], after: dict[int, Row], *keys: tuple[str, ...]
) -> list[TableDiff]:
    """By each of these keys."""
    with tempfile.TemporaryDirectory() as folder:
        pair = DatabasePair(Path(folder))
        write(pair, "a", kinds, before)
        write(pair, "b", kinds, after)
        reports = [pair.diff(keys={"marts.t": key} if key else None, tolerance=0.0) for key in keys]
    return [table for report in reports for table in report.tables]


@settings(max_examples=25, deadline=None)
@given(tables())
def test_edits_are_counted_exactly(case: tuple[list[str], dict[int, Row], dict[int, Row]]) -> None:
    kinds, before, after = case

    (found,) = compared(kinds, before, after, ("id",))

    both = before.keys() & after.keys()
    cells = {
        f"c{place}": sum(differ(before[key][place], after[key][place]) for key in both)
        for place in range(len(kinds))
    }
    rows = sum(any(map(differ, before[key], after[key])) for key in both)
    assert (found.rows_added, found.rows_removed, found.rows_changed) == (
        len(after.keys() - before.keys()),
        len(before.keys() - after.keys()),
        rows,
    )
    assert {c.name: c.rows for c in found.columns_changed} == {k: n for k, n in cells.items() if n}
    same = before.keys() == after.keys() and rows == 0
    assert found.status == ("same" if same else "changed")


@settings(max_examples=10, deadline=None)
@given(tables())
def test_a_table_does_not_differ_from_itself(
    case: tuple[list[str], dict[int, Row], dict[int, Row]],
) -> None:
    kinds, before, _ = case
    again = dict(reversed(before.items()))
    by_rows_and_by_key = compared(kinds, before, again, (), ("id",))
    assert len(by_rows_and_by_key) == 2
    for found in by_rows_and_by_key:
        assert (found.status, found.rows_added, found.rows_removed) == ("same", 0, 0)
        assert found.columns_changed == ()
        assert found.samples == ()
