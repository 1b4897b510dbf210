"""Rows compared: equal by hash, else by key, else as bags of rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.quality.diff.by_key import ByKey
from headrace.quality.diff.columns import Common
from headrace.quality.diff.pair import NO_KEY, Pair, is_safe_to_join, why_no_key
from headrace.quality.diff.report import ColumnChange, Rows, Sample


@dataclass(frozen=True)
class ByRow:
    """A comparison of rows as wholes.

    Attributes:
        pair: the tables.
    """

    pair: Pair

    def rows(self, notes: tuple[str, ...]) -> Rows:
        """Compare; ``notes`` say why there is no key."""
        self._count_rows()
        row = self.pair.connection.execute(
            "select sum(greatest(b - a, 0)), sum(greatest(a - b, 0)) from __rows"
        ).fetchone()
        added, removed = row if row is not None else (0, 0)
        return Rows(
            method="rows",
            added=int(added or 0),
            removed=int(removed or 0),
            changed=None,
            columns=self._columns_that_differ(),
            samples=tuple(self._whole_samples()) if self.pair.limit else (),
            notes=notes,
        )

    def _count_rows(self) -> None:
        """``__rows``: each row that differs in number, and how often it is in either."""
        self.pair.connection.execute(
            f"create or replace temp table __rows as select {self._hash} as h, "
            "count(*) filter (side = 0) as a, count(*) filter (side = 1) as b "
            f"from {self._both} group by h having a <> b"
        )

    @property
    def _hash(self) -> str:
        """SQL of 64 bits that stand for a row of ``_both``."""
        return f"hash({', '.join(self._hashed)})"

    @property
    def _hashed(self) -> list[str]:
        return [one.hash_of(f"c{number}") for number, one in enumerate(self.pair.columns.common)]

    @property
    def _both(self) -> str:
        """SQL of all rows, where DuckDB finds a type for both sides: ``c0`` to ``cN``, ``side``."""
        sides = []
        for side, table in enumerate(table for table, _ in self.pair.sides):
            values = ", ".join(
                f"{one.comparable('t', of_after=bool(side), tolerance=self.pair.tolerance)} "
                f"as c{number}"
                for number, one in enumerate(self.pair.columns.common)
            )
            sides.append(f"select {values}, {side} as side from {table} as t")
        return f"({' union all '.join(sides)})"

    def _columns_that_differ(self) -> tuple[ColumnChange, ...]:
        sums = ", ".join(
            f"sum(hash({value})::hugeint) filter (side = {side})"
            for value in self._hashed
            for side in (0, 1)
        )
        row = self.pair.connection.execute(f"select {sums} from {self._both}").fetchone()
        assert row is not None  # an aggregate
        return tuple(
            ColumnChange(name=one.after, rows=None)
            for number, one in enumerate(self.pair.columns.common)
            if row[2 * number] != row[2 * number + 1]
        )

    def _whole_samples(self) -> list[Sample]:
        shown = ", ".join(
            self.pair.text(f"c{number}", one) for number, one in enumerate(self.pair.columns.common)
        )
        samples = []
        for side, condition in ((1, "b > a"), (0, "a > b")):
            rows = self.pair.connection.execute(
                f"select {shown} from {self._both} where side = {side} and {self._hash} in "
                f"(select h from __rows where {condition} order by h limit {self.pair.limit}) "
                f"order by all limit {self.pair.limit}"
            ).fetchall()
            for row in rows:
                values = {
                    one.after: value
                    for one, value in zip(self.pair.columns.common, row, strict=True)
                }
                samples.append(
                    Sample(kind="added", key={}, after=values)
                    if side
                    else Sample(kind="removed", key={}, before=values)
                )
        return samples


def compare_rows(pair: Pair, key: Sequence[Common]) -> Rows:
    """Compare the rows; by key where there is one that tells them apart.

    Args:
        pair: the tables.
        key: columns of both; empty when none is known.
    """
    if not pair.columns.common:
        return Rows(changed=None, notes=("they have no column in common",))
    if pair.is_equal():
        return Rows()
    if not key:
        return ByRow(pair).rows((NO_KEY,))
    notes = () if is_safe_to_join(pair, key) else why_no_key(pair, key)
    if not notes:
        found = ByKey(pair, key).rows()
        if found is not None:
            return found
        notes = why_no_key(pair, key)
    return ByRow(pair).rows(notes)
