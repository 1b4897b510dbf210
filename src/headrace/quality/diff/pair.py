"""Two tables in one connection, and whether a key identifies their rows.

Only numbers and a few sample rows leave the database; DuckDB spills what does not fit in memory.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from headrace.quality.diff.columns import Columns, SharedColumn
from headrace.sql_text import identifier, scalar

if TYPE_CHECKING:
    import duckdb


_LENGTH = 200  # characters of a shown value
_HIDDEN = "•••"


@dataclass(frozen=True)
class TablePair:
    """Two tables in one connection.

    Attributes:
        connection: has both attached.
        before: quoted name of the first table.
        after: quoted name of the second.
        columns: the columns of both, side by side.
        tolerance: relative difference up to which floating-point numbers are equal; 0 for none.
        limit: sample rows per kind.
        shown: columns (folded names) whose values may be shown; None for all.
    """

    connection: "duckdb.DuckDBPyConnection"
    before: str
    after: str
    columns: Columns
    tolerance: float
    limit: int
    shown: Collection[str] | None

    @cached_property
    def count(self) -> tuple[int, int]:
        """The numbers of rows of the first and of the second."""
        sql = "select count(*) from {}"
        return (
            scalar(self.connection, sql.format(self.before)),
            scalar(self.connection, sql.format(self.after)),
        )

    @property
    def sides(self) -> tuple[tuple[str, bool], tuple[str, bool]]:
        """The quoted name of each table, and whether it is the second."""
        return (self.before, False), (self.after, True)

    def is_equal(self) -> bool:
        """Whether both hold the same rows, in any order, by number and hashes."""
        if self.count[0] != self.count[1]:
            return False
        found = []
        for table, of_after in self.sides:
            values = ", ".join(one.hashed("t", of_after=of_after) for one in self.columns.common)
            found.append(
                self.connection.execute(
                    f"select sum(h::hugeint), bit_xor(h) from "
                    f"(select hash({values}) as h from {table} as t)"
                ).fetchone()
            )
        return found[0] == found[1]

    def is_shown(self, column: SharedColumn) -> bool:
        """Whether its values may be shown."""
        return self.shown is None or column.after.casefold() in self.shown

    def text(self, value: str, column: SharedColumn) -> str:
        """SQL of a value as it may be shown."""
        if not self.is_shown(column):
            return f"case when {value} is not null then '{_HIDDEN}' end"
        return f"left({value}::varchar, {_LENGTH})"


NO_KEY = "no key is known (--key TABLE=COLUMN), so whole rows are compared"
_BUCKETS = 65_536
_FEW = 64  # rows that any bucket may hold


def is_safe_to_join(pair: TablePair, key: Sequence[SharedColumn]) -> bool:
    """Whether no value of the key can be so frequent that a join on it explodes.

    Rows are counted by a hash of the key: a value that occurs a thousand times makes its bucket
    stand out. This costs a tenth of an exact count, which the join itself gives for free.
    """
    for (table, of_after), rows in zip(pair.sides, pair.count, strict=True):
        values = ", ".join(one.hashed("t", of_after=of_after) for one in key)
        fullest = scalar(
            pair.connection,
            "select coalesce(max(n), 0) from (select count(*) as n "
            f"from {table} as t group by hash({values}) % {_BUCKETS})",
        )
        if fullest > _FEW + 2 * rows // _BUCKETS:
            return False
    return True


def why_no_key(pair: TablePair, key: Sequence[SharedColumn]) -> tuple[str, ...]:
    """A sentence for each table whose rows the key does not identify."""
    notes = []
    for (table, of_after), word in zip(pair.sides, ("first", "second"), strict=True):
        names = [one.after if of_after else one.before for one in key]
        listed = ", ".join(identifier(name) for name in names)
        empty = " or ".join(f"{identifier(name)} is null" for name in names)
        row = pair.connection.execute(
            "select count(*), coalesce(sum(n), 0) from "
            f"(select count(*) as n from {table} group by {listed} "
            f"having count(*) > 1 or bool_or({empty}))"
        ).fetchone()
        keys, rows = row if row is not None else (0, 0)
        if keys:
            notes.append(
                f"the key ({', '.join(names)}) does not identify the rows of the {word}: "
                f"{keys:,} of its values are null or not unique, in {int(rows):,} rows; so "
                "whole rows are compared"
            )
    return tuple(notes)
