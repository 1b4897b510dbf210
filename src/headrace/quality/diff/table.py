"""The comparison of one table: its rows, the profiles of its columns, and renamed columns."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from headrace.errors import DiffError
from headrace.quality.diff.columns import Columns, SharedColumn, TablePair, side_by_side
from headrace.quality.diff.report import ColumnChange, DiffColumn, Profile, RenamedColumn, TableDiff
from headrace.quality.diff.rows import compare_rows
from headrace.quality.diff.side import AttachedTable, DiffOptions, Side
from headrace.sql_text import identifier

if TYPE_CHECKING:
    import duckdb


def compare_table(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    first: AttachedTable | None,
    second: AttachedTable | None,
    *,
    before: Side,
    after: Side,
    options: DiffOptions,
    key: tuple[str, ...] | None,
) -> TableDiff:
    """Compare a table.

    Args:
        connection: has both files attached.
        name: ``schema.table``.
        first: the table in the first file; None where it has none.
        second: the table in the second file.
        before: the first file.
        after: the second file.
        options: how to compare.
        key: the columns of a key that the user named.

    Raises:
        DiffError: ``key`` names a column that is not in both.
    """
    for relation in (first, second):
        if relation is not None and relation.unread is not None:
            return TableDiff(name=name, status="not compared", notes=(relation.unread,))
    if first is None or second is None:
        return _one_sided(connection, name, first, second, after)
    columns = side_by_side(first.columns, second.columns, ignored=options.ignored)
    shown = None if options.personal else _shown(name, columns, before, after)
    pair = TablePair(
        connection, first.quoted, second.quoted, columns,
        options.tolerance, options.limit, shown,
    )  # fmt: skip
    asked = key or after.keys.get(name) or before.keys.get(name) or ()
    found = columns.key(asked)
    if key and found is None:
        raise DiffError(
            f"--key {name}={','.join(key)}: it has no such column in both; it has "
            f"{', '.join(one.after for one in columns.common)}"
        )
    rows = compare_rows(pair, found or ())
    rows_before, rows_after = pair.count
    different = columns.differ or rows.differ
    hidden = () if shown is None else tuple(
        one.after for one in columns.common if one.after.casefold() not in shown
    )  # fmt: skip
    return TableDiff(
        name=name,
        status="changed" if different else "same",
        rows_before=rows_before,
        rows_after=rows_after,
        columns_added=columns.added,
        columns_removed=columns.removed,
        columns_retyped=columns.retyped,
        columns_renamed=find_renamed(pair, found or ()) if rows.method != "rows" else (),
        method=rows.method,
        key=tuple(one.after for one in found or ()),
        rows_matched=rows.matched,
        rows_added=rows.added,
        rows_removed=rows.removed,
        rows_changed=rows.changed,
        columns_changed=with_profiles(pair, rows.columns),
        samples=rows.samples,
        hidden=hidden if rows.samples or rows.columns else (),
        notes=rows.notes,
    )


def _one_sided(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    first: AttachedTable | None,
    second: AttachedTable | None,
    after: Side,
) -> TableDiff:
    if second is not None:
        return TableDiff(name=name, status="added", rows_after=second.count(connection))
    assert first is not None  # it is in one of the two
    is_declared = after.declared is not None and name in after.declared
    return TableDiff(
        name=name,
        status="not built" if is_declared else "removed",
        rows_before=first.count(connection),
    )


def _shown(name: str, columns: Columns, before: Side, after: Side) -> set[str]:
    """Folded names of the columns that are harmless on every side that knows the table."""
    every = {one.after.casefold() for one in columns.common}
    known = [
        {column.casefold() for column in side.harmless[name]}
        for side in (before, after)
        if side.harmless is not None and name in side.harmless
    ]
    return every.intersection(*known) if known else set()


_AGGREGATES = 4


def with_profiles(pair: TablePair, changes: Sequence[ColumnChange]) -> tuple[ColumnChange, ...]:
    """The columns that changed, with a profile of their values on each side.

    Nulls are counted in every column; the smallest, largest and mean value are given for numbers
    and times, if the column may be shown.
    """
    if not changes:
        return ()
    by_name = {one.after: one for one in pair.columns.common}
    columns = [by_name[change.name] for change in changes]
    before, after = (
        _profiles(pair, table, columns, of_after=of_after) for table, of_after in pair.sides
    )
    return tuple(
        change.model_copy(update={"before": one, "after": other})
        for change, one, other in zip(changes, before, after, strict=True)
    )


def _profiles(
    pair: TablePair, table: str, columns: Sequence[SharedColumn], *, of_after: bool
) -> list[Profile]:
    aggregates: list[str] = []
    for one in columns:
        value = identifier(one.after if of_after else one.before)
        kind = one.kind  # of both sides: the smallest number does not compare with the first text
        aggregates.append(f"count(*) - count({value})")
        extremes = kind != "other" and pair.is_shown(one)
        aggregates += [f"{f}({value})::varchar" if extremes else "null" for f in ("min", "max")]
        finite = f"case when isfinite({value}::double) then {value}::double end"
        is_mean = extremes and kind != "time"
        aggregates.append(f"avg({finite})" if is_mean else "null")
    row = pair.connection.execute(f"select {', '.join(aggregates)} from {table}").fetchone()
    assert row is not None  # an aggregate
    return [_profile(row[at : at + _AGGREGATES]) for at in range(0, len(row), _AGGREGATES)]


def _profile(values: Sequence[Any]) -> Profile:
    nulls, minimum, maximum, mean = values
    return Profile(nulls=int(nulls), minimum=minimum, maximum=maximum, mean=mean)


_MOST_PAIRS = 200  # with more pairs to try, renames are not looked for
_ENOUGH = 0.99  # share of equal values, among those that are not null on both sides


def find_renamed(pair: TablePair, key: Sequence[SharedColumn]) -> tuple[RenamedColumn, ...]:
    """Pairs of removed and added columns of one type with the same values, row for row.

    Args:
        pair: the tables.
        key: what the rows were matched by; if it is empty, nothing is found.
    """
    columns = pair.columns
    pairs = [
        (one, other)
        for one, other in product(columns.removed, columns.added)
        if one.data_type == other.data_type
    ]
    if not key or not pairs or len(pairs) > _MOST_PAIRS:
        return ()
    found = []
    taken: set[str] = set()
    for (one, other), share in sorted(
        zip(pairs, _shares(pair, key, pairs), strict=True), key=lambda each: -each[1]
    ):
        if share >= _ENOUGH and not taken & {f"-{one.name}", f"+{other.name}"}:
            taken |= {f"-{one.name}", f"+{other.name}"}
            found.append(RenamedColumn(before=one.name, after=other.name, share=share))
    return tuple(found)


def _shares(
    pair: TablePair, key: Sequence[SharedColumn], pairs: Sequence[tuple[DiffColumn, DiffColumn]]
) -> list[float]:
    """The share of equal values of each pair; 0 for a column of nulls or of a single value."""
    on = " and ".join("{} = {}".format(*one.values("a", "b")) for one in key)
    sql = []
    for one, other in pairs:
        old, new = f"a.{identifier(one.name)}", f"b.{identifier(other.name)}"
        filled = f"count_if({old} is not null or {new} is not null)"
        sql.append(
            f"case when min({old}::varchar) is distinct from max({old}::varchar) "
            f"then count_if({old} = {new}) / {filled} else 0 end"
        )
    row = pair.connection.execute(
        f"select {', '.join(sql)} from {pair.before} as a join {pair.after} as b on {on}"
    ).fetchone()
    assert row is not None  # an aggregate
    return [float(value or 0) for value in row]
