"""A profile that costs little, for each run to keep one of every table that changed.

    table ─► a sample ─► all that a profile measures ─┬─► TableProfile
      └────► one pass: counts, extremes, means ───────┘

On a shop of 1 million orders it takes a sixth of the time of the whole profile's measuring.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from headrace.quality.profile.measure import (
    SAMPLE,
    MeasuredColumn,
    columns_of,
    measure,
    newest_of,
    take_sample,
)
from headrace.quality.profile.model import ColumnProfile, TableProfile
from headrace.sql_text import batches, identifiers, scalar

if TYPE_CHECKING:
    import duckdb

_COPY = "profile_rows"
_SAMPLED = 10_000  # rows
_COLUMNS = 300
_MOST_COPIED = 5_000_000  # rows of a table of another engine
_MOST_COUNTED = 5_000_000  # rows of a table of which values are counted


def profile_quickly(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    name: str,
    *,
    personal: Collection[str],
    is_stored: bool,
) -> TableProfile:
    """A profile that costs little: one pass for counts, extremes and means, a sample for the rest.

    Keys, references, correlations and findings are left out.

    Args:
        connection: of a DuckDB that can read it, whose time zone is UTC; temporary tables are made.
        quoted: the table in SQL.
        name: what people call it.
        personal: columns that hold personal data.
        is_stored: whether it is a table of a DuckDB file; others are read once, and kept meanwhile.
    """
    rows = scalar(connection, f"select count(*) from {quoted}")
    notes: list[str] = []
    every = columns_of(connection, quoted)
    columns = [column for column in every if not column.name.startswith("_dlt")]
    if len(columns) > _COLUMNS:
        notes.append(f"the first {_COLUMNS} of {len(columns):,} columns only")
        columns = columns[:_COLUMNS]
    if columns and not is_stored and rows <= _MOST_COPIED:
        names = identifiers(column.name for column in columns)
        connection.execute(f"create or replace temp table {_COPY} as select {names} from {quoted}")
        quoted, is_stored = _COPY, True
    sampled = take_sample(
        connection,
        quoted,
        columns=columns,
        rows=rows if is_stored else None,
        most=_SAMPLED,
    )
    if sampled < rows:
        notes.append(
            "nulls, range and mean are of all rows; the rest is of a sample, and the number of "
            "values an estimate from it"
        )
    measured = _measure(
        connection, quoted, columns, rows, sampled, personal=personal, is_stored=is_stored
    )
    newest = newest_of(measured)
    return TableProfile(
        name=name,
        rows=rows,
        rows_looked_at=rows,
        sample_rows=sampled,
        newest=newest.max if newest else None,
        newest_column=newest.name if newest else None,
        columns=measured,
        notes=tuple(notes),
    )


def _measure(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    columns: Sequence[MeasuredColumn],
    rows: int,
    sampled: int,
    *,
    personal: Collection[str],
    is_stored: bool,
) -> tuple[ColumnProfile, ...]:
    """Measure all columns by one pass for counts, extremes and means, and a sample for the rest.

    Args:
        connection: whose time zone is UTC; it has the sample.
        quoted: the table in SQL.
        columns: of it.
        rows: how many it has.
        sampled: how many of them are in the sample.
        personal: columns of which no value may be shown.
        is_stored: whether DuckDB stores the table.
    """
    found = measure(connection, SAMPLE, columns, sampled, personal=personal, has_order=False)
    if sampled == rows:
        return found
    whole: dict[str, dict[str, Any]] = {}
    for batch in batches(columns):
        asked = []
        for column in batch:
            whole[column.name] = {"distinct": _estimated(connection, column, rows)}
            asked += [(column, name, sql) for name, sql in _cheap(column).items()]
            if whole[column.name]["distinct"] is None:
                counted = f"approx_count_distinct({column.sql})"
                asked.append((column, "distinct", counted))
        for some in _queries(asked) if is_stored else [asked]:
            values = connection.execute(
                f"select {', '.join(sql for _, _, sql in some)} from {quoted}"
            ).fetchone()
            for (column, name, _), value in zip(some, values or (), strict=True):
                whole[column.name][name] = value
    return tuple(_of_all_rows(one, whole[one.name], rows) for one in found)


_Asked = tuple[MeasuredColumn, str, str]


def _queries(asked: Sequence[_Asked]) -> Iterator[list[_Asked]]:
    """What is asked, in queries of which DuckDB answers most from what it keeps of its tables.

    It does so for counts, and for extremes but those of booleans, if nothing else is asked in the
    same query.
    """
    kept, read, counts = [], [], []
    for one in asked:
        column, name, _ = one
        if name == "count":
            counts.append([one])
        elif name in {"min", "max"} and column.kind != "boolean" and not column.is_float:
            kept.append(one)
        else:
            read.append(one)
    yield from (some for some in (kept, read, *counts) if some)


def _cheap(column: MeasuredColumn) -> dict[str, str]:
    """What costs little more than reading the column."""
    asked = {"count": f"count({column.sql})"}
    if column.kind in {"number", "time", "boolean"}:
        asked["min"] = f"cast(min({column.finite}) as varchar)"
        asked["max"] = f"cast(max({column.finite}) as varchar)"
        if column.kind == "number":
            # a sum of long integers may overflow; what is finite costs three times as much to ask
            number = column.number if column.is_float else f"cast({column.sql} as double)"
            asked["mean"] = f"avg({number})"
    return asked


def _of_all_rows(one: ColumnProfile, whole: dict[str, Any], rows: int) -> ColumnProfile:
    """A profile of the sample, with what is known of all rows."""
    filled = int(whole.pop("count"))
    distinct = min(filled, int(whole.pop("distinct")))
    shown: dict[str, Any] = {"min": None, "max": None, "mean": None} | whole
    if one.personal is not None:
        shown = {}
    elif shown["mean"] is not None:
        shown["mean"] = float(f"{shown['mean']:.6g}")
    return one.model_copy(
        update={
            **shown,
            "nulls": rows - filled,
            "null_share": (rows - filled) / rows if rows else 0.0,
            "distinct": distinct,
            "is_unique": False,
        }
    )


def _estimated(
    connection: "duckdb.DuckDBPyConnection", column: MeasuredColumn, rows: int
) -> int | None:
    """How many values a column has, as far as a sample tells: if they repeat, or hardly ever do.

    None if it does not tell, and the table is small enough to count them. The estimate is the
    unsmoothed first-order jackknife of Haas and Stokes, "Estimating the number of classes in a
    finite population", JASA 93 (1998).
    """
    if column.kind in {"nested", "binary"}:
        return 0
    row = connection.execute(
        "select count(*), count(*) filter (rows = 1), sum(rows), (select count(*) from "
        f"{SAMPLE}) from (select count(*) as rows from {SAMPLE} where {column.sql} is not null "
        f"group by {column.sql})"
    ).fetchone()
    values, once, looked_at, sampled = map(int, (one or 0 for one in row or (0, 0, 0, 0)))
    share = once / looked_at if looked_at else 0.0
    if rows <= _MOST_COUNTED and (not looked_at or 0.002 < share < 0.95):
        return None
    return round(values / (1 - (1 - sampled / rows) * share))
