"""The rows of two tables compared: equal by hash, else matched by key, else counted as whole rows.

A join by key holds a key and a hash of each row, however many columns there are, so that it fits in
memory where the rows do not. Values are compared only where the hashes differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headrace.quality.diff.columns import (
    NO_KEY,
    SharedColumn,
    TablePair,
    is_safe_to_join,
    why_no_key,
)
from headrace.quality.diff.report import ColumnChange, RowDifferences, SampleRow
from headrace.sql_text import identifier

_SAME, _ADDED, _REMOVED, _DIFFERENT = range(4)


@dataclass(frozen=True)
class _Counts:
    """What the join found; ``different`` rows have other hashes, not always other values."""

    added: int
    removed: int
    different: int
    matched: int


@dataclass(frozen=True)
class ByKey:
    """A comparison by key.

    Attributes:
        pair: the tables.
        key: columns of both tables; at least one.
    """

    pair: TablePair
    key: Sequence[SharedColumn]

    def rows(self) -> RowDifferences | None:
        """Compare; None when the key turns out not to identify the rows of a table."""
        counts = self._join()
        if counts is None:
            return None
        names = {one.after for one in self.key}
        others = [one for one in self.pair.columns.common if one.after not in names]
        changed, columns, samples = 0, (), []  # type: int, tuple[ColumnChange, ...], list[SampleRow]
        if counts.different:
            changed, columns, samples = self._values(others)
        if self.pair.limit:
            samples = self._one_sided("added") + self._one_sided("removed") + samples
        return RowDifferences(
            method="key",
            matched=counts.matched,
            added=counts.added,
            removed=counts.removed,
            changed=changed,
            columns=columns,
            samples=tuple(samples),
        )

    @property
    def _keys(self) -> list[str]:
        return [f"k{number}" for number in range(len(self.key))]

    def _join(self) -> _Counts | None:
        """``__found``: the keys of all rows that differ, and the number of equal pairs."""
        names = {one.after for one in self.key}
        others = [one for one in self.pair.columns.common if one.after not in names]
        sides = []
        for table, of_after in self.pair.sides:
            keys = ", ".join(
                f"{one.values('t', 't')[of_after]} as {name}"
                for one, name in zip(self.key, self._keys, strict=True)
            )
            values = ", ".join(one.hashed("t", of_after=of_after) for one in others)
            row = f"hash({values})" if values else "0"
            sides.append(f"(select {keys}, {row} as h from {table} as t)")
        kept = ", ".join(
            f"case when a.h is distinct from b.h then coalesce(a.{name}, b.{name}) end as {name}"
            for name in self._keys
        )
        on = " and ".join(f"a.{name} = b.{name}" for name in self._keys)
        self.pair.connection.execute(
            f"create or replace temp table __found as select kind, {', '.join(self._keys)}, "
            f"count(*) as n from (select case when a.h is null then {_ADDED} "
            f"when b.h is null then {_REMOVED} when a.h <> b.h then {_DIFFERENT} else {_SAME} "
            f"end as kind, {kept} from {sides[0]} as a full join {sides[1]} as b on {on}) "
            "group by all"
        )
        return self._counts()

    def _counts(self) -> _Counts | None:
        """None when a key is null or not unique in a table: then the join has too many rows."""
        by_kind = ", ".join(
            f"coalesce(sum(n) filter (kind = {kind}), 0)" for kind in range(_DIFFERENT + 1)
        )
        empty = " or ".join(f"{name} is null" for name in self._keys)
        row = self.pair.connection.execute(
            f"select {by_kind}, coalesce(bool_or(kind in ({_ADDED}, {_REMOVED}) "
            f"and (n > 1 or {empty})), false) from __found"
        ).fetchone()
        assert row is not None  # an aggregate
        same, added, removed, different = (int(value) for value in row[:4])
        matched = same + different
        before, after = self.pair.count
        if row[4] or (matched + removed, matched + added) != (before, after):
            return None
        return _Counts(added, removed, different, matched)

    def _values(
        self, others: Sequence[SharedColumn]
    ) -> tuple[int, tuple[ColumnChange, ...], list[SampleRow]]:
        """How many pairs with other hashes have other values, in which columns, and samples."""
        pair = self.pair
        flags = [f"d{number}" for number in range(len(others))]
        tests = [one.differs("a", "b", pair.tolerance) for one in others]
        any_flag = " or ".join(flags)
        # no `filter`: each of them has DuckDB make room for all columns of the query
        found = [f"count_if({any_flag})", *(f"count_if({one})" for one in flags)]
        if pair.limit:
            fields = ", ".join(f"'{name}': {name}" for name in self._keys)
            found.append(f"min({{{fields}}}, {pair.limit}) filter ({any_flag})")
        named = ", ".join(f"{sql} as v{number}" for number, sql in enumerate(found))
        columns = ", ".join(f"{test} as {flag}" for test, flag in zip(tests, flags, strict=True))
        listed = ", ".join(f"k.{name}" for name in self._keys)
        pair.connection.execute(
            f"create or replace temp table __changed as select {named} from "
            f"(select {listed}, {columns} from (from __found where kind = {_DIFFERENT}) as k"
            f"{self._joins()})"
        )
        row = pair.connection.execute("from __changed").fetchone()
        assert row is not None  # an aggregate
        counts = [int(value) for value in row[1 : 1 + len(others)]]
        changed = [(one, n) for one, n in zip(others, counts, strict=True) if n]
        samples = []
        if pair.limit and changed:
            keys = f"(select unnest(v{1 + len(others)}, recursive := true) from __changed)"
            samples = self._changed(keys, [one for one, _ in changed])
        return (
            int(row[0]),
            tuple(ColumnChange(name=one.after, rows=n) for one, n in changed),
            samples,
        )

    def _joins(self) -> str:
        """Both tables, joined with keys ``k``."""
        joins = ""
        for alias, (table, of_after) in zip("ab", self.pair.sides, strict=True):
            on = " and ".join(
                f"k.{name} = {one.values(alias, alias)[of_after]}"
                for one, name in zip(self.key, self._keys, strict=True)
            )
            joins += f" join {table} as {alias} on {on}"
        return joins

    # sample rows, in the order of the key

    def _shown_key(self) -> list[str]:
        return [
            self.pair.text(f"k.{name}", one) for one, name in zip(self.key, self._keys, strict=True)
        ]

    def _one_sided(self, kind: Literal["added", "removed"]) -> list[SampleRow]:
        number = _ADDED if kind == "added" else _REMOVED
        rows = self.pair.connection.execute(
            f"select {', '.join(self._shown_key())} from (from __found where kind = {number} "
            f"order by {', '.join(self._keys)} limit {self.pair.limit}) as k "
            f"order by {', '.join(f'k.{name}' for name in self._keys)}"
        ).fetchall()
        return [SampleRow(kind=kind, key=self._named(row)) for row in rows]

    def _changed(self, keys: str, different: Sequence[SharedColumn]) -> list[SampleRow]:
        shown = self._shown_key()
        for one in different:
            shown.append(self.pair.text(f"a.{identifier(one.before)}", one))
            shown.append(self.pair.text(f"b.{identifier(one.after)}", one))
            shown.append(one.differs("a", "b", self.pair.tolerance))
        rows = self.pair.connection.execute(
            f"select {', '.join(shown)} from {keys} as k{self._joins()} "
            f"order by {', '.join(f'k.{name}' for name in self._keys)}"
        ).fetchall()
        samples = []
        for row in rows:
            values = iter(row[len(self.key) :])
            triples = [
                (one.after, old, new)
                for one, old, new, differs in zip(different, values, values, values, strict=False)
                if differs
            ]
            samples.append(
                SampleRow(
                    kind="changed",
                    key=self._named(row),
                    before={name: old for name, old, _ in triples},
                    after={name: new for name, _, new in triples},
                )
            )
        return samples

    def _named(self, row: Sequence[str | None]) -> dict[str, str | None]:
        return {one.after: value for one, value in zip(self.key, row, strict=False)}


@dataclass(frozen=True)
class ByRow:
    """A comparison of whole rows.

    Attributes:
        pair: the tables.
    """

    pair: TablePair

    def rows(self, notes: tuple[str, ...]) -> RowDifferences:
        """Compare; ``notes`` say why there is no key."""
        self._count_rows()
        row = self.pair.connection.execute(
            "select sum(greatest(b - a, 0)), sum(greatest(a - b, 0)) from __rows"
        ).fetchone()
        added, removed = row if row is not None else (0, 0)
        return RowDifferences(
            method="rows",
            added=int(added or 0),
            removed=int(removed or 0),
            changed=None,
            columns=self._columns_that_differ(),
            samples=tuple(self._whole_samples()) if self.pair.limit else (),
            notes=notes,
        )

    def _count_rows(self) -> None:
        """``__rows``: each row that is not as frequent in both, and how often either has it."""
        self.pair.connection.execute(
            f"create or replace temp table __rows as select {self._hash} as h, "
            "count(*) filter (side = 0) as a, count(*) filter (side = 1) as b "
            f"from {self._both} group by h having a <> b"
        )

    @property
    def _hash(self) -> str:
        """SQL of a 64-bit hash of a row of ``_both``."""
        return f"hash({', '.join(self._hashed)})"

    @property
    def _hashed(self) -> list[str]:
        return [one.hash_of(f"c{number}") for number, one in enumerate(self.pair.columns.common)]

    @property
    def _both(self) -> str:
        """SQL of the rows of both tables, in common types: ``c0`` to ``cN``, ``side``."""
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
        sums = ", ".join(f"sum(hash({value})::hugeint)" for value in self._hashed)
        rows = self.pair.connection.execute(
            f"select side, {sums} from {self._both} group by side"
        ).fetchall()
        found = {side: values for side, *values in rows}
        common = self.pair.columns.common
        before, after = (found.get(side, [None] * len(common)) for side in (0, 1))
        return tuple(
            ColumnChange(name=one.after, rows=None)
            for one, old, new in zip(common, before, after, strict=True)
            if old != new
        )

    def _whole_samples(self) -> list[SampleRow]:
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
                    SampleRow(kind="added", key={}, after=values)
                    if side
                    else SampleRow(kind="removed", key={}, before=values)
                )
        return samples


def compare_rows(pair: TablePair, key: Sequence[SharedColumn]) -> RowDifferences:
    """Compare the rows; by key where there is one that identifies them.

    Args:
        pair: the tables.
        key: columns of both; empty when none is known.
    """
    if not pair.columns.common:
        return RowDifferences(changed=None, notes=("they have no column in common",))
    if pair.is_equal():
        return RowDifferences()
    if not key:
        return ByRow(pair).rows((NO_KEY,))
    notes = () if is_safe_to_join(pair, key) else why_no_key(pair, key)
    if not notes:
        found = ByKey(pair, key).rows()
        if found is not None:
            return found
        notes = why_no_key(pair, key)
    return ByRow(pair).rows(notes)
