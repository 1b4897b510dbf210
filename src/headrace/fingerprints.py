"""Fingerprints of tables in DuckDB, by which two builds are compared: whole, and column by column.

They do not depend on the order of rows. Floating point numbers count with seven digits, for their
sums differ in the last ones from build to build.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.sql_text import identifier, identifiers

if TYPE_CHECKING:
    import duckdb


_FLOATS = {"float", "double"}


def rows_and_hashes(
    connection: "duckdb.DuckDBPyConnection", relation: str, columns: Iterable[str]
) -> tuple[int, int | None, int | None]:
    """The number of rows, and two numbers that change with any value, whatever the order of rows.

    Args:
        connection: reads it.
        relation: its name, quoted.
        columns: in the order in which they are hashed.

    Returns:
        The two numbers are None where there is no row.

    Raises:
        duckdb.Error: it cannot be read.
    """
    names = identifiers(columns)
    rows, xor, total = connection.execute(
        f"select count(*), bit_xor(hash({names})), sum(hash({names})::hugeint) from {relation}"
    ).fetchone() or (0, None, None)
    return int(rows), xor, total


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of a table.

    Attributes:
        whole: of the multiset of rows.
        values: of each column's multiset of values; by its name.
        pairs: of each column's multiset of (key, value); None where the table has no key.
    """

    whole: tuple[object, ...]
    values: Mapping[str, object]
    pairs: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class FingerprintQueries:
    """The queries that give a table's fingerprint; the same as long as its columns are.

    Attributes:
        whole: the number of rows, and the rows' sum.
        columns: one sum for each column of values, then one for each of pairs.
        names: the columns.
        has_key: whether there are pairs.
    """

    whole: str
    columns: str
    names: tuple[str, ...]
    has_key: bool

    @classmethod
    def at(
        cls, connection: "duckdb.DuckDBPyConnection", relation: str, key: Sequence[str]
    ) -> "FingerprintQueries":
        """The queries for a table.

        Args:
            connection: to the database that has it.
            relation: quoted.
            key: columns whose values together tell its rows apart; empty when there is none.
        """
        described = connection.execute(f"from {relation} limit 0").description or []
        names = tuple(str(column[0]) for column in described)
        by_folded = {name.casefold(): name for name in names}
        found_key = [by_folded[name.casefold()] for name in key if name.casefold() in by_folded]
        has_key = bool(key) and len(found_key) == len(key)
        plain = [_comparable(column[0], str(column[1].id)) for column in described]
        sums = [f"sum(hash({value}))" for value in plain]
        if has_key:
            keys = ", ".join(identifier(name) for name in found_key)
            sums += [f"sum(hash({keys}, {value}))" for value in plain]
        everything = ", ".join(identifier(name) for name in names)
        return cls(
            whole=f"select count(*), sum(hash({everything})) from {relation}",
            columns=f"select {', '.join(sums)} from {relation}",
            names=names,
            has_key=has_key,
        )

    def fingerprint(
        self, connection: "duckdb.DuckDBPyConnection", unless: tuple[object, ...] | None = None
    ) -> Fingerprint | None:
        """Of the table as it is now; None when its rows are those of ``unless``."""
        whole = connection.execute(self.whole).fetchone()
        if whole == unless:
            return None
        row = connection.execute(self.columns).fetchone()
        assert whole is not None  # an aggregate
        assert row is not None
        count = len(self.names)
        return Fingerprint(
            whole=whole,
            values=dict(zip(self.names, row[:count], strict=True)),
            pairs=dict(zip(self.names, row[count:], strict=True)) if self.has_key else None,
        )


def _comparable(name: str, kind: str) -> str:
    value = identifier(name)
    if kind in _FLOATS:
        return f"coalesce(try_cast(round({value}, 12) as float)::double, {value})"
    return value


def differences(old: Fingerprint, new: Fingerprint) -> tuple[set[str], set[str]]:
    """Columns whose values, and columns whose (key, value) pairs, are not what they were."""
    values = {name for name, number in old.values.items() if new.values.get(name) != number}
    if old.pairs is None or new.pairs is None:
        return values, set()
    return values, {name for name, number in old.pairs.items() if new.pairs.get(name) != number}
