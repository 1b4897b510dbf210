"""Faults in raw tables, as sources make them; each is a select that gives the table with the fault.

- ``nulls``: every tenth value of a column without nulls is null;
- ``repeated_keys``: every tenth row comes twice;
- ``orphans``: every tenth value of a foreign key refers to nothing;
- ``units``: the newer half of a number column is 100 times as large;
- ``time_zone``: the newer half of a timestamp column is 7 hours early;
- ``truncated``: the newer half of the rows is missing;
- ``swapped_categories``: in the newer half, the two most frequent values of a column are exchanged.

Rows are identified by their position, so that a fault is the same each time. The half of the rows
that came last stands for a source that changed between two loads.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.quality.strength.project import Raw
from headrace.quality.strength.warehouse_copy import baseline_relation
from headrace.sql_text import batches, identifier, literal

if TYPE_CHECKING:
    import duckdb

KINDS = (
    "nulls", "repeated_keys", "orphans", "units", "time_zone", "truncated", "swapped_categories",
)  # fmt: skip
_SHARE = 10  # one row in so many is hit
_MOST_CATEGORIES = 20
_INTEGERS = frozenset({"tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint",
                       "usmallint", "uinteger", "ubigint", "uhugeint"})  # fmt: skip
_NUMBERS = _INTEGERS | {"decimal", "float", "double"}
_TIMES = frozenset({"timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns",
                    "timestamp with time zone"})  # fmt: skip
_NOBODY = "no-such-"


@dataclass(frozen=True, slots=True)
class RawFault:
    """A fault in a raw table.

    Attributes:
        raw: the table.
        kind: one of ``KINDS``.
        column: None for whole rows.
        change: in words.
        sql: gives the table with the fault.
    """

    raw: Raw
    kind: str
    column: str | None
    change: str
    sql: str


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type: str
    written: str
    values: int
    distinct: int

    @property
    def quoted(self) -> str:
        return identifier(self.name)


def raw_faults(
    connection: "duckdb.DuckDBPyConnection", raw: Raw, keys: Mapping[str, str]
) -> list[RawFault]:
    """The faults of a raw table.

    Args:
        connection: of the copy, to which the file is attached.
        raw: the table.
        keys: column of this table to the label of the table that it refers to.

    Returns:
        In the order of the columns; none of an empty table.
    """
    relation = baseline_relation(raw.name)
    columns, rows = _columns(connection, relation)
    if not rows:
        return []
    faults = _Faults(connection, raw, relation, rows, columns)
    return [*faults.of_rows(), *(fault for column in columns for fault in faults.of(column, keys))]


def _columns(connection: "duckdb.DuckDBPyConnection", relation: str) -> tuple[list[_Column], int]:
    described = connection.execute(f"from {relation} limit 0").description or []
    own = [one for one in described if not str(one[0]).startswith("_dlt_")]
    found: list[_Column] = []
    rows = 0
    for part in batches(own):
        sums = ", ".join(
            f"count({identifier(one[0])}), count(distinct {identifier(one[0])})" for one in part
        )
        row = connection.execute(f"select count(*), {sums} from {relation}").fetchone()
        assert row is not None  # an aggregate
        rows = row[0]
        for place, one in enumerate(part):
            values, distinct = row[1 + 2 * place], row[2 + 2 * place]
            found.append(_Column(one[0], str(one[1].id), str(one[1]), values, distinct))
    return found, rows


@dataclass(frozen=True, slots=True)
class _Faults:
    connection: "duckdb.DuckDBPyConnection"
    raw: Raw
    relation: str
    rows: int
    columns: Sequence[_Column]

    @property
    def hit(self) -> str:
        """Of one row in ten; of one row at least."""
        return f"rowid % {_SHARE} = {min(_SHARE, self.rows) // 2}"

    @property
    def newer(self) -> str:
        return f"rowid >= {self.rows // 2}"

    def of_rows(self) -> Iterator[RawFault]:
        if any(self.is_key(column) for column in self.columns):
            yield self.fault(
                "repeated_keys", None, f"one row in {_SHARE} comes twice",
                f"from {self.relation} union all select * from {self.relation} where {self.hit}",
            )  # fmt: skip
        if self.rows > 1:
            yield self.fault(
                "truncated", None, "the newer half of the rows is missing",
                f"select * from {self.relation} where not ({self.newer})",
            )  # fmt: skip

    def of(self, column: _Column, keys: Mapping[str, str]) -> Iterator[RawFault]:
        quoted = column.quoted
        parent = keys.get(column.name)
        if column.values == self.rows:
            words = f"one value in {_SHARE} of {column.name} is null"
            yield self.changed("nulls", column, self.hit, f"null::{column.written}", words)
        if parent is not None:
            words = f"one value in {_SHARE} of {column.name} is in no row of {parent}"
            nobody = _nobody(column)
            if nobody is not None:
                yield self.changed("orphans", column, self.hit, nobody, words)
        elif column.type in _NUMBERS and not self.is_key(column):
            value = f"coalesce(try_cast({quoted} * 100 as {column.written}), {quoted})"
            words = f"{column.name} is 100 times as large in the newer half"
            yield self.changed("units", column, self.newer, value, words)
        if column.type in _TIMES:
            value = f"{quoted} - interval 7 hours"
            words = f"{column.name} is 7 hours early in the newer half"
            yield self.changed("time_zone", column, self.newer, value, words)
        if column.type in {"varchar", "boolean"} and 2 <= column.distinct <= _MOST_CATEGORIES:
            yield from self.exchanged(column)

    def exchanged(self, column: _Column) -> Iterator[RawFault]:
        quoted = column.quoted
        found = self.connection.execute(
            f"select {quoted}::varchar from {self.relation} where {quoted} is not null "
            "group by all order by count(*) desc, 1 limit 2"
        ).fetchall()
        first, second = (literal(str(row[0])) for row in found)
        value = (
            f"case {quoted}::varchar when {first} then {second} when {second} then {first} "
            f"else {quoted}::varchar end::{column.written}"
        )
        words = f"{column.name}: {first} and {second} are exchanged in the newer half"
        yield self.changed("swapped_categories", column, self.newer, value, words)

    def is_key(self, column: _Column) -> bool:
        """Whether a column tells the rows apart, and is no amount that does so by chance."""
        return (
            column.distinct == self.rows > 1
            and (column.type in _INTEGERS or column.type in {"varchar", "uuid"})
            and column.name.casefold().endswith(("id", "key", "code", "number"))
        )

    def changed(self, kind: str, column: _Column, where: str, value: str, words: str) -> RawFault:
        quoted = column.quoted
        sql = (
            f"select * replace (case when {where} and {quoted} is not null then {value} "
            f"else {quoted} end as {quoted}) from {self.relation}"
        )
        return self.fault(kind, column.name, words, sql)

    def fault(self, kind: str, column: str | None, words: str, sql: str) -> RawFault:
        return RawFault(self.raw, kind, column, words, sql)


def _nobody(column: _Column) -> str | None:
    if column.type in _INTEGERS:
        return f"coalesce(try_cast(2000000000 + rowid as {column.written}), 0)"
    if column.type == "varchar":
        return f"'{_NOBODY}' || {column.quoted}"
    return "uuid()" if column.type == "uuid" else None


def references(
    connection: "duckdb.DuckDBPyConnection", raw: Raw, raws: Sequence[Raw]
) -> dict[str, str]:
    """Columns whose name is that of a table and its key, and all of whose values are in that key.

    Args:
        connection: of the copy, to which the file is attached.
        raw: the table.
        raws: the tables that it may refer to.

    Returns:
        Column to the table's label.
    """
    found: dict[str, str] = {}
    relation = baseline_relation(raw.name)
    names = [
        str(one[0]) for one in connection.execute(f"from {relation} limit 0").description or ()
    ]
    for other in raws:
        if other.name[:2] != raw.name[:2] or other.name == raw.name:
            continue
        key = _key_named(connection, other)
        if key is None:
            continue
        stem = other.name[2].casefold()
        for name in names:
            stems = {f"{stem}_{key}".casefold(), f"{stem.removesuffix('s')}_{key}".casefold()}
            is_it = name.casefold() in stems | (
                {key.casefold()} if key.casefold() != "id" else set()
            )
            if is_it and name not in found and _includes(connection, raw, name, other, key):
                found[name] = other.label
    return found


def _key_named(connection: "duckdb.DuckDBPyConnection", raw: Raw) -> str | None:
    relation = baseline_relation(raw.name)
    described = connection.execute(f"from {relation} limit 0").description or ()
    stem = raw.name[2].casefold().removesuffix("s")
    for one in described:
        if str(one[0]).casefold() in {"id", f"{stem}_id"}:
            quoted = identifier(one[0])
            row = connection.execute(
                f"select count(*) = count(distinct {quoted}) from {relation}"
            ).fetchone()
            return str(one[0]) if row and row[0] else None
    return None


def _includes(
    connection: "duckdb.DuckDBPyConnection", raw: Raw, column: str, other: Raw, key: str
) -> bool:
    quoted, parent = identifier(column), identifier(key)
    values = (
        f"select {parent}::varchar from {baseline_relation(other.name)} where {parent} is not null"
    )
    row = connection.execute(
        f"select 1 from {baseline_relation(raw.name)} where {quoted} is not null "
        f"and {quoted}::varchar not in ({values}) limit 1"
    ).fetchone()
    return row is None
