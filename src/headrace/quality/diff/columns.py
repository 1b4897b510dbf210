"""Two tables in one connection: their columns side by side, and whether a key identifies rows.

Only numbers and a few sample rows leave the database; DuckDB spills what does not fit in memory.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from headrace.quality.diff.report import DiffColumn, RetypedColumn
from headrace.sql_text import identifier, scalar

if TYPE_CHECKING:
    import duckdb


_FLOATS = {"FLOAT", "DOUBLE"}
_NUMBERS = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|BIGNUM|DECIMAL\(\d+,\d+\))$")
_TIMES = re.compile(r"(DATE|TIMESTAMP(_S|_MS|_NS| WITH TIME ZONE)?)$")


@dataclass(frozen=True)
class SharedColumn:
    """A column that both tables have.

    Attributes:
        before: its name in the first.
        after: its name in the second; letters may differ in case.
        type_before: DuckDB's name of its type in the first.
        type_after: in the second.
    """

    before: str
    after: str
    type_before: str
    type_after: str

    @property
    def is_retyped(self) -> bool:
        """Whether the types differ."""
        return self.type_before != self.type_after

    @property
    def _kinds(self) -> tuple[str, str]:
        return _kind(self.type_before), _kind(self.type_after)

    @property
    def kind(self) -> str:
        """``number``, ``float`` or ``time`` where both are; else ``other``."""
        first, second = self._kinds
        if first != second:
            return "float" if {first, second} == {"number", "float"} else "other"
        return first

    def values(self, before: str, after: str) -> tuple[str, str]:
        """SQL of a value of each side, of types that can be compared.

        Args:
            before: alias of the first table.
            after: alias of the second.
        """
        one, other = f"{before}.{identifier(self.before)}", f"{after}.{identifier(self.after)}"
        first, second = self._kinds
        if not self.is_retyped or (first == second and first in {"number", "time"}):
            return one, other
        if {first, second} == {"number", "float"} or first == second == "float":
            return f"{one}::double", f"{other}::double"
        return f"{one}::varchar", f"{other}::varchar"

    def differs(self, before: str, after: str, tolerance: float) -> str:
        """SQL that says whether two values differ; null equals null, NaN equals NaN."""
        one, other = self.values(before, after)
        if "float" not in self._kinds or "::varchar" in one or not tolerance:
            return f"({one} is distinct from {other})"
        near = f"abs({one} - {other}) <= {tolerance!r} * greatest(abs({one}), abs({other}))"
        finite = f"isfinite({one}) and isfinite({other})"
        # the distance is computed only where the values differ
        return (
            f"(case when {one} is distinct from {other} "
            f"then not coalesce({finite} and {near}, false) else false end)"
        )

    def hashed(self, side: str, *, of_after: bool) -> str:
        """SQL of a value whose hash is the same on both sides only when the values are.

        Equal values of two types may have different hashes: then the values have to be compared.
        """
        value = self.values(side, side)[int(of_after)]
        if "::" in value:
            return value
        # hashes of an integer and of the same bigint differ; their texts do not
        return f"{value}::varchar" if self.is_retyped else self.hash_of(value)

    def hash_of(self, value: str) -> str:
        """SQL of what to hash of a value; DuckDB gives ``[]`` and null the same hash."""
        is_nested = any(mark in self.type_before + self.type_after for mark in "([")
        return f"{value}, {value}::varchar" if is_nested and self.kind == "other" else value

    def comparable(self, side: str, *, of_after: bool, tolerance: float) -> str:
        """SQL of a value that is equal on both sides when the values count as equal.

        Without a pair of values there is no distance, so floating-point numbers are rounded.
        """
        value = self.values(side, side)[int(of_after)]
        if "float" in self._kinds and "::varchar" not in value and tolerance:
            return f"coalesce(try_cast(round({value}, 12) as float)::double, {value}::double)"
        return value


@dataclass(frozen=True)
class Columns:
    """The columns that both tables have, and those that one lacks; in the order of the second."""

    common: tuple[SharedColumn, ...]
    added: tuple[DiffColumn, ...]
    removed: tuple[DiffColumn, ...]

    @property
    def retyped(self) -> tuple[RetypedColumn, ...]:
        """The columns of both whose types differ."""
        return tuple(
            RetypedColumn(name=one.after, before=one.type_before, after=one.type_after)
            for one in self.common
            if one.is_retyped
        )

    @property
    def differ(self) -> bool:
        """Whether the tables differ in columns or types."""
        return bool(self.added or self.removed or self.retyped)

    def key(self, names: Sequence[str]) -> tuple[SharedColumn, ...] | None:
        """The columns of a key; None where one of the tables lacks one of them."""
        by_name = {one.after.casefold(): one for one in self.common}
        found = [by_name.get(name.casefold()) for name in names]
        return tuple(one for one in found if one) if found and all(found) else None


def side_by_side(
    before: Mapping[str, str], after: Mapping[str, str], *, ignored: Collection[str] = ()
) -> Columns:
    """Match columns by name, case-insensitively.

    Args:
        before: name to type of the columns of the first table, in order.
        after: the same of the second.
        ignored: names to leave out.
    """
    folded = {name.casefold() for name in ignored}
    first = {name.casefold(): name for name in before if name.casefold() not in folded}
    second = {name.casefold(): name for name in after if name.casefold() not in folded}
    return Columns(
        common=tuple(
            SharedColumn(first[key], name, before[first[key]], after[name])
            for key, name in second.items()
            if key in first
        ),
        added=tuple(
            DiffColumn(name=name, data_type=after[name])
            for key, name in second.items()
            if key not in first
        ),
        removed=tuple(
            DiffColumn(name=name, data_type=before[name])
            for key, name in first.items()
            if key not in second
        ),
    )


def _kind(data_type: str) -> str:
    """``number`` (exact), ``float``, ``time`` or ``other``, of DuckDB's name of a type."""
    if data_type in _FLOATS:
        return "float"
    if _NUMBERS.match(data_type):
        return "number"
    if _TIMES.match(data_type):
        return "time"
    return "other"


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
