"""Two tables compared by DuckDB: equal at a glance, else by key, else as bags of rows.

Only numbers and a few sample rows come out of the database; what does not fit in memory is spilled
by DuckDB itself.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.ingest.sql import identifier, scalar
from headrace.quality.diff.columns import Columns, Common
from headrace.quality.diff.report import ColumnChange, Method, Sample

if TYPE_CHECKING:
    import duckdb

_LENGTH = 200  # characters of a shown value
_HIDDEN = "•••"


@dataclass(frozen=True)
class Rows:
    """What differs in the rows.

    Attributes:
        method: how they were compared; None when they are equal.
        added: rows of the second alone.
        removed: rows of the first alone.
        changed: rows of both that differ; None where no key tells which those are.
        columns: the columns that differ.
        samples: a few of the rows.
        notes: what a reader should know of the method.
    """

    method: Method | None = None
    added: int = 0
    removed: int = 0
    changed: int | None = 0
    columns: tuple[ColumnChange, ...] = ()
    samples: tuple[Sample, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def differ(self) -> bool:
        """Whether any row does."""
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True)
class Pair:
    """Two tables in one connection.

    Attributes:
        connection: has both attached.
        before: quoted name of the first.
        after: of the second.
        columns: of both.
        tolerance: relative, within which floating point numbers are equal; 0 for none.
        limit: sample rows of each kind.
        shown: columns (folded names) whose values may be shown; None for all.
    """

    connection: "duckdb.DuckDBPyConnection"
    before: str
    after: str
    columns: Columns
    tolerance: float
    limit: int
    shown: Collection[str] | None

    def count(self) -> tuple[int, int]:
        """Rows of the first, and of the second."""
        sql = "select count(*) from {}"
        return (
            scalar(self.connection, sql.format(self.before)),
            scalar(self.connection, sql.format(self.after)),
        )

    def rows(self, key: Sequence[Common]) -> Rows:
        """Compare the rows; by key where there is one that tells them apart.

        Args:
            key: columns of both; empty when none is known.
        """
        if not self.columns.common:
            return Rows(changed=None, notes=("they have no column in common",))
        if self._is_equal():
            return Rows()
        notes = tuple(self._why_no_key(key))
        return self._by_row(notes) if notes else self._by_key(key)

    def _is_equal(self) -> bool:
        """Whether both hold the same rows, by number and hashes; the order of rows is none."""
        found = []
        for table, of_after in ((self.before, False), (self.after, True)):
            values = ", ".join(one.values("t", "t")[of_after] for one in self.columns.common)
            found.append(
                self.connection.execute(
                    f"select count(*), sum(hash({values})::hugeint), bit_xor(hash({values})) "
                    f"from {table} as t"
                ).fetchone()
            )
        return found[0] == found[1]

    def _why_no_key(self, key: Sequence[Common]) -> list[str]:
        if not key:
            return ["no key is known (--key TABLE=COLUMN), so rows are compared as wholes"]
        notes = []
        for table, of_after, word in (
            (self.before, False, "first"), (self.after, True, "second"),
        ):  # fmt: skip
            names = [one.after if of_after else one.before for one in key]
            listed = ", ".join(identifier(name) for name in names)
            empty = " or ".join(f"{identifier(name)} is null" for name in names)
            row = self.connection.execute(
                "select count(*), coalesce(sum(n), 0) from "
                f"(select count(*) as n from {table} group by {listed} "
                f"having count(*) > 1 or bool_or({empty}))"
            ).fetchone()
            keys, rows = row if row is not None else (0, 0)
            if keys:
                notes.append(
                    f"the key ({', '.join(names)}) does not tell the rows of the {word} apart: "
                    f"{keys:,} of its values are null or there twice, in {int(rows):,} rows; so "
                    "rows are compared as wholes"
                )
        return notes

    # ── by key ───────────────────────────────────────────────────────────────

    def _by_key(self, key: Sequence[Common]) -> Rows:
        names = {one.after for one in key}
        others = [one for one in self.columns.common if one.after not in names]
        on = " and ".join("{} = {}".format(*one.values("a", "b")) for one in key)
        tests = [one.differs("a", "b", self.tolerance) for one in others]
        both = "a.__there and b.__there"
        changed = f"{both} and ({' or '.join(tests) or 'false'})"
        fields = ", ".join(
            f"'k{number}': coalesce({', '.join(one.values('a', 'b'))})"
            for number, one in enumerate(key)
        )
        kinds = {
            "added": "a.__there is null",
            "removed": "b.__there is null",
            "changed": changed,
        }
        found = [f"count(*) filter ({condition})" for condition in kinds.values()]
        found += [f"count(*) filter ({both} and {test})" for test in tests]
        if self.limit:
            found += [
                f"min({{{fields}}}, {self.limit}) filter ({condition})"
                for condition in kinds.values()
            ]
        named = ", ".join(f"{sql} as v{number}" for number, sql in enumerate(found))
        self.connection.execute(
            f"create or replace temp table __found as select {named} from "
            f"(select *, true as __there from {self.before}) as a full join "
            f"(select *, true as __there from {self.after}) as b on {on}"
        )
        row = self.connection.execute("from __found").fetchone()
        assert row is not None  # an aggregate
        counts = [int(value) for value in row[3 : 3 + len(others)]]
        samples: list[Sample] = []
        if self.limit:
            for number, kind in enumerate(kinds):
                place = f"v{3 + len(others) + number}"
                different = [one for one, count in zip(others, counts, strict=True) if count]
                samples += self._samples(kind, place, key, different if kind == "changed" else ())
        return Rows(
            method="key",
            added=int(row[0]),
            removed=int(row[1]),
            changed=int(row[2]),
            columns=tuple(
                ColumnChange(name=one.after, rows=count)
                for one, count in zip(others, counts, strict=True)
                if count
            ),
            samples=tuple(samples),
        )

    def _samples(
        self, kind: Any, place: str, key: Sequence[Common], different: Sequence[Common]
    ) -> list[Sample]:
        """The rows whose keys are in a list of ``__found``; in the key's order."""
        keys = f"(select unnest({place}) as k from __found) as found"
        shown = [self._text(f"k.k{number}", one) for number, one in enumerate(key)]
        joins = ""
        for alias, table, of_after in (("a", self.before, False), ("b", self.after, True)):
            on = " and ".join(
                f"k.k{number} = {one.values(alias, alias)[of_after]}"
                for number, one in enumerate(key)
            )
            if different:
                joins += f" join {table} as {alias} on {on}"
        for one in different:
            shown.append(self._text(f"a.{identifier(one.before)}", one))
            shown.append(self._text(f"b.{identifier(one.after)}", one))
            shown.append(one.differs("a", "b", self.tolerance))
        order = ", ".join(f"k.k{number}" for number in range(len(key)))
        rows = self.connection.execute(
            f"select {', '.join(shown)} from {keys}{joins} order by {order}"
        ).fetchall()
        samples = []
        for row in rows:
            values = iter(row[len(key) :])
            triples = [
                (one.after, old, new)
                for one, old, new, differs in zip(different, values, values, values, strict=False)
                if differs
            ]
            samples.append(
                Sample(
                    kind=kind,
                    key={one.after: value for one, value in zip(key, row, strict=False)},
                    before={name: old for name, old, _ in triples},
                    after={name: new for name, _, new in triples},
                )
            )
        return samples

    # ── as bags of rows ──────────────────────────────────────────────────────

    def _by_row(self, notes: tuple[str, ...]) -> Rows:
        self._count_rows()
        row = self.connection.execute(
            "select sum(greatest(b - a, 0)), sum(greatest(a - b, 0)) from __rows"
        ).fetchone()
        added, removed = row if row is not None else (0, 0)
        return Rows(
            method="rows",
            added=int(added or 0),
            removed=int(removed or 0),
            changed=None,
            columns=self._columns_that_differ(),
            samples=tuple(self._whole_samples()) if self.limit else (),
            notes=notes,
        )

    def _count_rows(self) -> None:
        """``__rows``: each row that differs in number, and how often it is in either."""
        self.connection.execute(
            f"create or replace temp table __rows as select {self._hash} as h, "
            "count(*) filter (side = 0) as a, count(*) filter (side = 1) as b "
            f"from {self._both} group by h having a <> b"
        )

    @property
    def _places(self) -> range:
        return range(len(self.columns.common))

    @property
    def _hash(self) -> str:
        """SQL of 128 bits that stand for a row of ``_both``."""
        values = ", ".join(f"c{number}" for number in self._places)
        return f"{{'x': hash({values}), 'y': hash({values}, 1)}}"

    @property
    def _both(self) -> str:
        """SQL of all rows, where DuckDB finds a type for both sides: ``c0`` to ``cN``, ``side``."""
        sides = []
        for side, table in enumerate((self.before, self.after)):
            values = ", ".join(
                f"{one.comparable('t', of_after=bool(side), tolerance=self.tolerance)} as c{number}"
                for number, one in enumerate(self.columns.common)
            )
            sides.append(f"select {values}, {side} as side from {table} as t")
        return f"({' union all '.join(sides)})"

    def _columns_that_differ(self) -> tuple[ColumnChange, ...]:
        sums = ", ".join(
            f"sum(hash(c{number})::hugeint) filter (side = {side})"
            for number in self._places
            for side in (0, 1)
        )
        row = self.connection.execute(f"select {sums} from {self._both}").fetchone()
        assert row is not None  # an aggregate
        return tuple(
            ColumnChange(name=one.after, rows=None)
            for number, one in enumerate(self.columns.common)
            if row[2 * number] != row[2 * number + 1]
        )

    def _whole_samples(self) -> list[Sample]:
        shown = ", ".join(
            self._text(f"c{number}", one) for number, one in enumerate(self.columns.common)
        )
        samples = []
        for side, condition in ((1, "b > a"), (0, "a > b")):
            rows = self.connection.execute(
                f"select {shown} from {self._both} where side = {side} and {self._hash} in "
                f"(select h from __rows where {condition} order by h limit {self.limit}) "
                f"order by all limit {self.limit}"
            ).fetchall()
            for row in rows:
                values = {
                    one.after: value for one, value in zip(self.columns.common, row, strict=True)
                }
                samples.append(
                    Sample(kind="added", key={}, after=values)
                    if side
                    else Sample(kind="removed", key={}, before=values)
                )
        return samples

    def _text(self, value: str, column: Common) -> str:
        """SQL of a value as it may be shown."""
        if self.shown is not None and column.after.casefold() not in self.shown:
            return f"case when {value} is not null then '{_HIDDEN}' end"
        return f"left({value}::varchar, {_LENGTH})"
