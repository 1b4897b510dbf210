"""What became of one table."""

from typing import TYPE_CHECKING

from headrace.errors import DiffError
from headrace.quality.diff.columns import Columns, side_by_side
from headrace.quality.diff.compare import compare_rows
from headrace.quality.diff.pair import Pair
from headrace.quality.diff.profile import with_profiles
from headrace.quality.diff.relations import Relation
from headrace.quality.diff.renames import find_renamed
from headrace.quality.diff.report import TableDiff
from headrace.quality.diff.side import Options, Side

if TYPE_CHECKING:
    import duckdb


def compare_table(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    first: Relation | None,
    second: Relation | None,
    *,
    before: Side,
    after: Side,
    options: Options,
    key: tuple[str, ...] | None,
) -> TableDiff:
    """Compare a table.

    Args:
        connection: has both files attached.
        name: ``schema.table``.
        first: the table in the first file; None where there is none.
        second: in the second.
        before: the first file.
        after: the second.
        options: how to compare.
        key: the columns of a key that somebody named.

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
    pair = Pair(
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
    first: Relation | None,
    second: Relation | None,
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
    """Folded names of the columns that are harmless on each side that knows of the table."""
    every = {one.after.casefold() for one in columns.common}
    known = [
        {column.casefold() for column in side.harmless[name]}
        for side in (before, after)
        if side.harmless is not None and name in side.harmless
    ]
    return every.intersection(*known) if known else set()
