"""How the values of columns moved: nulls, smallest, largest and mean, before and after."""

from collections.abc import Sequence
from typing import Any

from headrace.quality.diff.columns import Common
from headrace.quality.diff.pair import Pair
from headrace.quality.diff.report import ColumnChange, Profile
from headrace.sql_text import identifier

_AGGREGATES = 4


def with_profiles(pair: Pair, changes: Sequence[ColumnChange]) -> tuple[ColumnChange, ...]:
    """The columns that changed, with what is in them on each side.

    Nulls are counted of every column; values are told of numbers and times, and only of columns
    that may be shown.
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
    pair: Pair, table: str, columns: Sequence[Common], *, of_after: bool
) -> list[Profile]:
    aggregates: list[str] = []
    for one in columns:
        value = identifier(one.after if of_after else one.before)
        kind = one.kind  # of both: the smallest number says nothing beside the first of texts
        aggregates.append(f"count(*) - count({value})")
        extremes = kind != "other" and pair.is_shown(one)
        aggregates += [f"{f}({value})::varchar" if extremes else "null" for f in ("min", "max")]
        finite = f"isfinite({value}::double)"
        is_mean = extremes and kind != "time"
        aggregates.append(f"avg({value}::double) filter ({finite})" if is_mean else "null")
    row = pair.connection.execute(f"select {', '.join(aggregates)} from {table}").fetchone()
    assert row is not None  # an aggregate
    return [_profile(row[at : at + _AGGREGATES]) for at in range(0, len(row), _AGGREGATES)]


def _profile(values: Sequence[Any]) -> Profile:
    nulls, minimum, maximum, mean = values
    return Profile(nulls=int(nulls), minimum=minimum, maximum=maximum, mean=mean)
