"""What the rows of a built table show: types, a key, columns without nulls, values, references.

All of it is true of the rows that are there and a guess about those to come. Two passes at most are
made over the table, besides one for each combination of columns that may be a key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from headrace.scaffold.plan import entity_of
from headrace.sql_text import batches, identifier, identifiers, scalar

if TYPE_CHECKING:
    import duckdb

_NESTED = ("STRUCT", "MAP", "UNION", "JSON", "BLOB", "BIT", "GEOMETRY", "VARIANT")
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
             "UINTEGER", "UBIGINT", "UHUGEINT")  # fmt: skip
_KEY_TYPES = ("VARCHAR", "UUID", "DATE", "TIMESTAMP", "TIME")
_ID_ENDINGS = ("_id", "_key", "_code", "_number")
_OF_MANY = ("first_", "last_", "latest_", "min_", "max_", "previous_", "next_", "parent_")
_LAYERS = ("fct_", "dim_", "int_", "mart_", "agg_")
_MOST_VALUES = 10  # of a column whose values are listed
_ROWS_PER_VALUE = 5  # fewer rows say nothing about which values there are
_MOST_KEY_COLUMNS = 3
_MOST_KEY_CANDIDATES = 8


@dataclass(frozen=True)
class ColumnFacts:
    """A column of a built table.

    Attributes:
        name: as the engine has it.
        type: as the engine has it: ``DECIMAL(16,2)``.
        nulls: rows without a value.
        distinct: about how many values there are; 0 where they cannot be counted.
        values: all values, if they are few; else empty.
        refers_to: model and column that have all its values.
    """

    name: str
    type: str
    nulls: int
    distinct: int
    values: tuple[str, ...] = ()
    refers_to: tuple[str, str] | None = None


@dataclass(frozen=True)
class TableFacts:
    """A built table.

    Attributes:
        rows: how many.
        columns: in order.
        key: the columns that identify a row, as far as the rows tell; empty if none do.
    """

    rows: int
    columns: tuple[ColumnFacts, ...]
    key: tuple[str, ...]


@dataclass(frozen=True)
class KeyColumn:
    """A column of another model by which its rows are identified.

    Attributes:
        model: its name.
        column: the column.
        quoted: the model's relation in SQL.
    """

    model: str
    column: str
    quoted: str


def read_facts(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    model: str,
    keys: Sequence[KeyColumn],
) -> TableFacts:
    """Look at a table.

    Args:
        connection: in which it is.
        quoted: the table in SQL.
        model: its name, which may name its key.
        keys: of other models, the best first.
    """
    described = connection.execute(f"describe {quoted}").fetchall()
    types = {str(name): str(kind) for name, kind, *_ in described}
    rows = scalar(connection, f"select count(*) from {quoted}")
    counted: dict[str, tuple[int, int]] = {}
    for batch in batches(list(types)):
        items = [f"count({identifier(name)}), {_distinct(name, types[name])}" for name in batch]
        found = connection.execute(f"select {', '.join(items)} from {quoted}").fetchone() or ()
        counted |= {
            name: (rows - int(found[2 * place]), int(found[2 * place + 1]))
            for place, name in enumerate(batch)
        }
    key = _key(connection, quoted, model, types, counted, rows)
    columns = tuple(
        ColumnFacts(
            name,
            kind,
            *counted[name],
            values=_values(connection, quoted, name, kind, counted[name][1], rows)
            if (name,) != key
            else (),
            refers_to=_refers_to(connection, quoted, name, keys, rows) if (name,) != key else None,
        )
        for name, kind in types.items()
    )
    return TableFacts(rows, columns, key)


def _distinct(name: str, kind: str) -> str:
    nested = kind.startswith(_NESTED) or kind.endswith("]")
    return "0" if nested else f"approx_count_distinct({identifier(name)})"


def _key(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    model: str,
    types: Mapping[str, str],
    counted: Mapping[str, tuple[int, int]],
    rows: int,
) -> tuple[str, ...]:
    """The columns that identify a row: one if possible; those named like a key first."""
    if rows < 2:
        return ()
    ranks = {
        name: _rank(name, place, kind, model) for place, (name, kind) in enumerate(types.items())
    }
    full = [name for name in types if counted[name][0] == 0 and ranks[name] is not None]
    # the number is an estimate; the exact one is asked of those that may be it
    for name in sorted(full, key=lambda one: ranks[one] or 0):
        if counted[name][1] >= 0.8 * rows and _is_unique(connection, quoted, (name,), rows):
            return (name,)
    several = full[:_MOST_KEY_CANDIDATES]
    for size in range(2, _MOST_KEY_COLUMNS + 1):
        for group in combinations(several, size):
            product = 1
            for name in group:
                product *= max(counted[name][1], 1)
            if product >= rows and _is_unique(connection, quoted, group, rows):
                return group
    return ()


def _rank(name: str, place: int, kind: str, model: str) -> int | None:
    """How likely a column is the key or part of it, by name and type; None if it is not."""
    lowered = name.lower()
    entity = entity_of(_without_layer(model))
    if lowered in {"id", f"{entity}_id", f"{entity}_key", f"{entity}_code"}:
        return 0
    if lowered.startswith(_OF_MANY):
        return None
    if lowered.endswith(_ID_ENDINGS):
        return 1
    if kind.startswith(_KEY_TYPES) or (place == 0 and kind in _INTEGERS):
        return 2
    return None


def _without_layer(model: str) -> str:
    for layer in _LAYERS:
        model = model.removeprefix(layer)
    return model.rpartition("__")[2]


def _is_unique(
    connection: "duckdb.DuckDBPyConnection", quoted: str, columns: Sequence[str], rows: int
) -> bool:
    distinct = f"select distinct {identifiers(columns)} from {quoted}"
    return scalar(connection, f"select count(*) from ({distinct})") == rows


def _values(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    name: str,
    kind: str,
    distinct: int,
    rows: int,
) -> tuple[str, ...]:
    """The values of a text column that has few of them for its rows."""
    if not kind.startswith(("VARCHAR", "ENUM")) or not 2 <= distinct <= _MOST_VALUES + 2:
        return ()
    column = identifier(name)
    found = connection.execute(
        f"select distinct cast({column} as varchar) from {quoted} where {column} is not null "
        f"order by 1 limit {_MOST_VALUES + 1}"
    ).fetchall()
    values = tuple(str(value) for (value,) in found)
    is_few = 2 <= len(values) <= _MOST_VALUES and rows >= _ROWS_PER_VALUE * len(values)
    return values if is_few and max(map(len, values)) <= 40 else ()


def _refers_to(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    name: str,
    keys: Sequence[KeyColumn],
    rows: int,
) -> tuple[str, str] | None:
    """The key of another model that has all values of a column named like it."""
    import duckdb

    lowered = name.lower()
    for key in keys:
        entity = entity_of(_without_layer(key.model))
        is_named = key.column.lower() == lowered or (
            key.column.lower() == "id" and lowered == f"{entity}_id"
        )
        if not rows or not is_named or lowered == "id":
            continue
        orphans = (
            f"select 1 from {quoted} as child where child.{identifier(name)} is not null and not "
            f"exists (select 1 from {key.quoted} as parent where "
            f"parent.{identifier(key.column)} = child.{identifier(name)}) limit 1"
        )
        try:
            if connection.execute(orphans).fetchone() is None:
                return key.model, key.column
        except duckdb.Error:  # it is not built, or of another type
            continue
    return None
