"""Two tables in one connection, and what may be shown of them.

Only numbers and a few sample rows come out of the database; what does not fit in memory is spilled
by DuckDB itself.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from headrace.quality.diff.columns import Columns, Common
from headrace.sql_text import scalar

if TYPE_CHECKING:
    import duckdb

_LENGTH = 200  # characters of a shown value
_HIDDEN = "•••"


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

    @cached_property
    def count(self) -> tuple[int, int]:
        """Rows of the first, and of the second."""
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
        """Whether both hold the same rows, by number and hashes; the order of rows is none."""
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

    def is_shown(self, column: Common) -> bool:
        """Whether its values may be shown."""
        return self.shown is None or column.after.casefold() in self.shown

    def text(self, value: str, column: Common) -> str:
        """SQL of a value as it may be shown."""
        if not self.is_shown(column):
            return f"case when {value} is not null then '{_HIDDEN}' end"
        return f"left({value}::varchar, {_LENGTH})"
