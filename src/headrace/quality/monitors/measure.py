"""The metrics of a table: by the periods of its event time, and as a whole.

    what periods hold (rows, a fingerprint) ─► those that changed ─► one aggregate by period each

One pass over the table says which periods changed since they were measured; only these are
measured again. Columns are asked about in batches, all of a batch in one pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from headrace.quality.monitors.plan import (
    DATES,
    ENOUGH_ROWS,
    ColumnPlan,
    Plan,
    fingerprint,
    first_kept,
    happened,
)
from headrace.sql_text import identifier, identifiers, literal, scalar

if TYPE_CHECKING:
    import duckdb

_BATCH = 48  # columns in one query: each has up to six aggregates
_LARGEST = "1e150"  # a square above it is no number any more
_ALL = 0.5  # from this share of changed periods on, all are read
CHANGED = "monitor_changed"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ColumnValues:
    """What is kept of a column in one period.

    Attributes:
        filled: rows that are not null.
        distinct: different values, of large tables about; None where they are not counted.
        mean: of a number, as all below; None where there is none.
        deviation: the standard deviation.
        low: the smallest.
        high: the largest.
        counts: rows by bin of a number, with one more for what is beyond; by category.
    """

    filled: int
    distinct: int | None = None
    mean: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class PeriodMetrics:
    """What is kept of one period of a table.

    Attributes:
        at: its start, UTC; of a table without an event time, of the run.
        rows: how many.
        seen: of these, how many were looked at.
        fingerprint: of its rows: changes when they do.
        repeated: of those seen, rows whose key another row of the period has; None without a key.
        columns: by name.
    """

    at: datetime
    rows: int
    seen: int
    fingerprint: str = ""
    repeated: int | None = None
    columns: Mapping[str, ColumnValues] = field(default_factory=dict)


@dataclass(frozen=True)
class WholeTable:
    """A table as a whole.

    Attributes:
        rows: of it.
        outside: rows without an event time, or with one in the future.
        newest: the newest event, UTC.
        late: of the rows that the newest load brought, the median of load minus event time, in
            seconds; of a load of millions, of some of its rows. None where that cannot be known.
    """

    rows: int
    outside: int = 0
    newest: datetime | None = None
    late: float | None = None


@dataclass(frozen=True)
class Measured:
    """What one run measured of a table.

    Attributes:
        whole: the table as a whole.
        periods: those that are new or changed, in the order of time.
        gone: starts of periods that have no row any more.
    """

    whole: WholeTable
    periods: tuple[PeriodMetrics, ...]
    gone: tuple[datetime, ...] = ()


def measure(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    plan: Plan,
    *,
    now: datetime,
    known: Mapping[datetime, str] | None = None,
    is_new: bool = False,
) -> Measured:
    """Measure a table.

    Args:
        connection: whose time zone is UTC; it gets a temporary table.
        quoted: the table in SQL.
        plan: how.
        now: UTC; a table without an event time has one period, which begins now.
        known: fingerprints of the periods that were measured before, by their start.
        is_new: whether the plan was made just now, by the same connection and for the same time.

    Raises:
        duckdb.Error: it cannot be read.
    """
    if plan.event_time is None:
        row = connection.execute(f"select count(*) from {quoted}").fetchone()
        rows = int(row[0]) if row else 0
        found = _periods(connection, quoted, plan, "timestamp '1970-01-01'", "true", {})
        empty = PeriodMetrics(now, rows, 0)
        period = replace(found.get(_EPOCH, empty), at=now, rows=rows)
        return Measured(WholeTable(rows), (period,))
    whole = _whole(connection, quoted, plan, now, has_dates=is_new)
    if whole.newest is None:
        return Measured(whole, (), tuple(sorted(known or {})))
    time = identifier(plan.event_time)
    since = first_kept(plan, whole.newest)
    there = f"{happened(time, now)} and {time} >= timestamp '{since:%Y-%m-%d}'"
    at = f"date_trunc('{plan.grain}', {time})"
    if is_new and plan.grain == "day":  # the plan has counted by dates
        prints = _fingerprints(
            connection,
            f"select day, rows, content from {DATES} where day >= date '{since:%Y-%m-%d}'",
        )
    else:
        content = fingerprint(plan.loaded_by, [one.name for one in plan.columns])
        prints = _fingerprints(
            connection,
            f"select {at}, count(*), {content} from {quoted} where {there} group by 1",
        )
    before = known or {}
    changed = {key: each for key, each in prints.items() if before.get(key) != each[1]}
    gone = tuple(sorted(key for key in before if key not in prints))
    if not changed:
        return Measured(whole, (), gone)
    if len(changed) < _ALL * len(prints):
        # the least and the greatest let DuckDB skip what is in no changed period
        names = ", ".join(f"timestamp '{key:%Y-%m-%d %H:%M:%S}'" for key in sorted(changed))
        connection.execute(
            f"create or replace temp table {CHANGED} as select unnest([{names}]) as begins"
        )
        there += f" and {time} >= timestamp '{min(changed):%Y-%m-%d %H:%M:%S}'"
        there += f" and {at}::timestamp in (select begins from {CHANGED})"
    found = _periods(connection, quoted, plan, at, there, changed)
    return Measured(whole, tuple(found[key] for key in sorted(found)), gone)


def _whole(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    plan: Plan,
    now: datetime,
    *,
    has_dates: bool,
) -> WholeTable:
    time = identifier(str(plan.event_time))
    good = happened(time, now)
    tells_late = plan.loaded_by is not None and not plan.is_date
    by = identifier(str(plan.loaded_by)) if tells_late else "null"
    row = connection.execute(
        "select sum(rows), sum(rows) filter (where day is not null), "
        f"max(last) filter (where day is not null), max(load) from {DATES}"
        if has_dates
        else f"select count(*), count(*) filter (where {good}), max({time}) filter (where {good}), "
        f"max({by}) from {quoted}"
    ).fetchone()
    rows, inside, newest, load = row or (0, 0, None, None)
    rows, inside, late = int(rows or 0), int(inside or 0), None
    if tells_late and load is not None:
        of_newest, some = f"{good} and {by} = {literal(load)}", ""
        if inside >= 2 * ENOUGH_ROWS:
            loaded = scalar(connection, f"select count(*) from {quoted} where {of_newest}")
            some = _one_in(plan, loaded // ENOUGH_ROWS)
        # dlt's ids of loads are seconds since 1970
        found = connection.execute(
            f"select try_cast({literal(load)} as double) - median(epoch({time})) "
            f"from {quoted} where {of_newest}{some}"
        ).fetchone()
        late = found[0] if found else None
    return WholeTable(rows, rows - inside, _utc(newest), late)


def _fingerprints(
    connection: "duckdb.DuckDBPyConnection", query: str
) -> dict[datetime, tuple[int, str]]:
    """Rows of each period, and what changes when they do."""
    return {
        key: (int(number), f"{number}:{total}")
        for start, number, total in connection.execute(query).fetchall()
        if (key := _utc(start)) is not None
    }


def _periods(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    plan: Plan,
    at: str,
    there: str,
    prints: Mapping[datetime, tuple[int, str]],
) -> dict[datetime, PeriodMetrics]:
    rows: dict[datetime, int] = {}
    repeated: dict[datetime, int] = {}
    columns: dict[datetime, dict[str, ColumnValues]] = {}
    asked = [one for one in plan.columns if one.name != plan.event_time]
    there += _one_in(plan, plan.one_in)
    for start in range(0, max(len(asked), 1), _BATCH):
        batch = asked[start : start + _BATCH]
        aggregates = [_aggregates(one, is_exact=plan.is_exact) for one in batch]
        items = [item for some in aggregates for item in some]
        key = ""
        if start == 0 and plan.key:
            names = identifiers(plan.key)
            key = f", count(distinct {names if len(plan.key) == 1 else f'row({names})'})"
        sql = f"select {at} as at, count(*){key}{''.join(f', {item}' for item in items)} "
        for row in connection.execute(f"{sql} from {quoted} where {there} group by 1").fetchall():
            begin = _utc(row[0])
            if begin is None:
                continue
            rows[begin] = int(row[1])
            values = list(row[2:])
            if key:
                repeated[begin] = int(row[1]) - int(values.pop(0))
            of_columns = columns.setdefault(begin, {})
            for one, some in zip(batch, aggregates, strict=True):
                of_columns[one.name] = _values(one, values[: len(some)])
                values = values[len(some) :]
    return {
        begin: PeriodMetrics(
            begin, prints[begin][0] if begin in prints else number, number,
            prints[begin][1] if begin in prints else "", repeated.get(begin),
            columns.get(begin, {}),
        )
        for begin, number in rows.items()
    }  # fmt: skip


def _one_in(plan: Plan, number: int) -> str:
    """SQL of one in so many rows: the same ones each time, those with the same key together."""
    if number <= 1:
        return ""
    names = plan.key or [one.name for one in plan.columns[:3]]
    return f" and hash({identifiers(names)}) % {number} = 0"


def _aggregates(column: ColumnPlan, *, is_exact: bool) -> tuple[str, ...]:
    name = identifier(column.name)
    filled = f"count({name})"
    if column.role == "rows":
        return (filled,)
    distinct = f"count(distinct {name})" if is_exact else f"approx_count_distinct({name})"
    if column.role == "value":
        return (filled, distinct)
    if column.role == "category":
        values = ", ".join(literal(value) for value in column.values)
        return (filled, distinct, f"histogram_exact({name}::varchar, [{values}])")
    number = f"cast({name} as double)"
    if column.data_type in {"FLOAT", "DOUBLE"}:
        number = f"case when isfinite({number}) and abs({number}) < {_LARGEST} then {number} end"
    edges = ", ".join(f"{edge!r}::double" for edge in column.edges)
    return (
        filled, f"avg({number})", f"stddev_pop({number})", f"min({number})",
        f"max({number})", f"histogram({number}, [{edges}])",
    )  # fmt: skip


def _values(column: ColumnPlan, row: Sequence[Any]) -> ColumnValues:
    filled = int(row[0])
    if column.role in {"rows", "value"}:
        return ColumnValues(filled, int(row[1]) if len(row) > 1 else None)
    if column.role == "category":
        found = row[2] or {}
        return ColumnValues(
            filled, int(row[1]), counts=tuple(int(found.get(value, 0)) for value in column.values)
        )
    bins = row[5] or {}
    counts = [int(bins.get(edge, 0)) for edge in column.edges]
    counts.append(sum(int(number) for number in bins.values()) - sum(counts))
    mean, deviation, low, high = (None if one is None else float(one) for one in row[1:5])
    return ColumnValues(filled, None, mean, deviation, low, high, tuple(counts))


def _utc(value: Any) -> datetime | None:
    """A date or a timestamp of DuckDB as a time with a zone."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None


def as_text(period: PeriodMetrics) -> str:
    """What was measured in a period, as JSON."""
    import msgspec

    columns = {
        name: (one.filled, one.distinct, one.mean, one.deviation, one.low, one.high, one.counts)
        for name, one in period.columns.items()
    }
    return msgspec.json.encode([period.seen, period.repeated, columns]).decode()


def from_text(at: datetime, rows: int, fingerprint: str, text: str) -> PeriodMetrics:
    """A period from what `as_text` made of it."""
    import msgspec

    seen, repeated, columns = msgspec.json.decode(text)
    values = {
        name: ColumnValues(filled, distinct, mean, deviation, low, high, tuple(counts))
        for name, (filled, distinct, mean, deviation, low, high, counts) in columns.items()
    }
    return PeriodMetrics(at, rows, seen, fingerprint, repeated, values)
