"""Which part of the rows carries most of a change: one value of one column.

    rows by value, before and now ─► what each added to the change ─► the value that stands out

A change of a sum is that of its parts. A mean moves because parts have other means, or because
their shares of the rows are others; a part's contribution has both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_LEAST = 0.3  # of the change; below, no single part carries it
_STANDS_OUT = 1.5  # times its share of the rows before
_ALL_ALIKE = 0.9  # a value that holds so much of all rows says nothing


@dataclass(frozen=True)
class ValueRows:
    """Rows with one value of a column.

    Attributes:
        rows: how many.
        total: of the metric over them: of a mean the sum; of rows, nulls and so on a count.
    """

    rows: float
    total: float


@dataclass(frozen=True)
class Segment:
    """The value of a column that carries most of a change.

    Attributes:
        column: the column.
        value: its value as text; None of null.
        share: of the whole change, 0 to 1; above 1 where other parts changed against it.
        before: of the metric over its rows: a count, or a mean.
        now: likewise.
    """

    column: str
    value: str | None
    share: float
    before: float
    now: float


Parts = Mapping[str | None, ValueRows]


def carries_most(
    dimensions: Iterable[tuple[str, Parts, Parts]], *, is_mean: bool
) -> Segment | None:
    """The value of a column that stands out in a change.

    Args:
        dimensions: of each column its name, its parts as they were expected (an average of
            periods), and as they are.
        is_mean: whether the metric is total by rows, a mean or a share; else it is the total.

    Returns:
        None where no part carries at least three tenths of the change, and much more than its
        share of the rows.
    """
    best: tuple[float, Segment] | None = None
    for column, before, now in dimensions:
        found = _of(column, before, now, is_mean=is_mean)
        if found is not None and (best is None or found[0] > best[0]):
            best = found
    return best[1] if best else None


def _of(column: str, before: Parts, now: Parts, *, is_mean: bool) -> tuple[float, Segment] | None:
    empty = ValueRows(0.0, 0.0)
    rows_before = sum(part.rows for part in before.values())
    rows_now = sum(part.rows for part in now.values())
    if rows_before <= 0 or len(before.keys() | now.keys()) < 2:
        return None
    sizes = (rows_before, rows_now) if is_mean else (1.0, 1.0)
    centre = sum(part.total for part in before.values()) / rows_before if is_mean else 0.0
    added: dict[str | None, float] = {}
    for value in before.keys() | now.keys():
        old, new = before.get(value, empty), now.get(value, empty)
        if is_mean and rows_now > 0:
            # around the mean before: a part that only grew, with that mean, moves nothing
            then = (old.total - centre * old.rows) / sizes[0]
            added[value] = (new.total - centre * new.rows) / sizes[1] - then
        else:
            added[value] = new.total - old.total
    change = sum(added.values())
    if change == 0:
        return None
    value = max(added, key=lambda one: added[one] / change)
    share = added[value] / change
    old, new = before.get(value, empty), now.get(value, empty)
    weight = max(old.rows / rows_before, new.rows / rows_now if rows_now else 0.0)
    if share < _LEAST or weight > _ALL_ALIKE or share < _STANDS_OUT * old.rows / rows_before:
        return None
    segment = Segment(column, value, share, _level(old, is_mean), _level(new, is_mean))
    return share / (old.rows / rows_before + 0.1), segment


def _level(part: ValueRows, is_mean: bool) -> float:
    if not is_mean:
        return part.total
    return part.total / part.rows if part.rows else 0.0
