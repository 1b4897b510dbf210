"""Columns that were renamed: one is gone, one is new, and both hold the same values."""

from collections.abc import Sequence
from itertools import product

from headrace.quality.diff.columns import Common
from headrace.quality.diff.pair import Pair
from headrace.quality.diff.report import ColumnInfo, RenamedColumn
from headrace.sql_text import identifier

_MOST_PAIRS = 200  # beyond this many pairs to try, nobody looks for one
_ENOUGH = 0.99  # of the values that are not null on both sides


def find_renamed(pair: Pair, key: Sequence[Common]) -> tuple[RenamedColumn, ...]:
    """Pairs of removed and added columns of one type with the same values, row for row.

    Args:
        pair: the tables.
        key: what the rows were matched by; empty where they were not, then nothing is found.
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
    pair: Pair, key: Sequence[Common], pairs: Sequence[tuple[ColumnInfo, ColumnInfo]]
) -> list[float]:
    """How many of the values are the same; a column of nulls, or of one value, is like no other."""
    on = " and ".join("{} = {}".format(*one.values("a", "b")) for one in key)
    sql = []
    for one, other in pairs:
        old, new = f"a.{identifier(one.name)}", f"b.{identifier(other.name)}"
        filled = f"count(*) filter ({old} is not null or {new} is not null)"
        sql.append(
            f"case when min({old}::varchar) is distinct from max({old}::varchar) "
            f"then count(*) filter ({old} = {new}) / {filled} else 0 end"
        )
    row = pair.connection.execute(
        f"select {', '.join(sql)} from {pair.before} as a join {pair.after} as b on {on}"
    ).fetchone()
    assert row is not None  # an aggregate
    return [float(value or 0) for value in row]
