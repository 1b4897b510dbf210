"""What is measured of a table: its event time, the length of its periods, and each column's part.

    columns, a sample, hints of dbt and dlt ─► event time ─► grain ─► roles, bins, categories

A plan is made once and kept: bins and categories have to stay the same for periods to be compared.
It is made again when the columns change, or the settings that it was made from, and when the table
has ten times the rows: what a sample file is measured by is not right for years of data.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from headrace.errors import MonitorError
from headrace.formatting import did_you_mean
from headrace.quality.monitors.model import TRAINING_PERIODS, Grain
from headrace.quality.profile.measure import SAMPLE, MeasuredColumn, columns_of, take_sample
from headrace.sql_text import batches, identifier, identifiers, scalar

if TYPE_CHECKING:
    import duckdb

Role = Literal["number", "category", "value", "rows"]
DATES = "monitor_dates"

_MOST_COLUMNS = 200
"""Of a table: of further ones only nulls are counted."""
_CATEGORIES = 20
_BINS = 20
_LONGEST = 100  # characters of a category
_PLANNED = re.compile(r"(due|valid|expir|estimat|plan|expected|promis|birth|sched)")
_LONGEST_SETTLING_S = 45 * 86_400
_THIN = 20  # rows that a typical period has at least, or it is too short
_FEW = 14  # periods that are a history
_LARGE = 200_000
_FEW_MONTHS = 24
_MORE_PERIODS = 28  # than the model looks at, so that the newest of them have all of that before
ENOUGH_ROWS = 400_000
_ENOUGH_A_PERIOD = 1000
_DAYS: Mapping[str, float] = {"hour": 1 / 24, "day": 1, "week": 7, "month": 30.4}
_LOADED = ("_dlt_", "_headrace", "_fivetran", "_airbyte", "_sdc")
_WORSE = re.compile(
    r"(updat|modif|chang|load|insert|ingest|extract|sync|delet|expir|valid|due|birth|until|end|"
    r"close|cancel|deliver|ship|estimat|last|next|most_recent|retriev|process)"
)
_BETTER = re.compile(
    r"^(event|occurred|happened|order|created|placed|session|transaction|started|sent|signed|"
    r"timestamp|date|ts|time|at|on)"
)
_IDS = re.compile(
    r"(^|_)(id|ids|key|uuid|guid|code|sku|zip|postcode|phone|number|no|hash)$", re.IGNORECASE
)


@dataclass(frozen=True)
class ColumnPlan:
    """How a column is measured.

    Attributes:
        name: as the table has it.
        data_type: DuckDB's.
        role: ``number``: mean, deviation and a histogram; ``category``: the shares of its values;
            ``value``: nulls and distinct values; ``rows``: nulls alone.
        edges: upper ends of the bins of a number; what is beyond the last has one more bin.
        values: the categories of which shares are kept.
    """

    name: str
    data_type: str
    role: Role
    edges: tuple[float, ...] = ()
    values: tuple[str, ...] = ()

    @property
    def bins(self) -> int:
        """Of how many numbers of rows its distribution is kept."""
        return len(self.values) if self.role == "category" else len(self.edges) + 1


@dataclass(frozen=True)
class Plan:
    """How a table is measured.

    Attributes:
        event_time: the column by whose periods it is measured; None: as a whole, once a run.
        grain: of its periods; ``run`` without an event time.
        is_date: whether the event time has no time of day.
        key: the columns whose values are counted, to find repeated ones.
        columns: in the table's order.
        loaded_by: the column that names the load of a row; None where there is none.
        one_in: of how many rows one is looked at; 1 unless a period has thousands.
        settles: seconds after its event in which a row may still change, by what its other times
            say: of most rows; 0 where nothing says so.
        is_exact: whether different values are counted one by one, and not estimated.
        hints: what it was made from, apart from the data.
        rows: of the table when it was made; None where an older version made it.
    """

    event_time: str | None
    grain: Grain
    is_date: bool
    key: tuple[str, ...]
    columns: tuple[ColumnPlan, ...]
    loaded_by: str | None = None
    one_in: int = 1
    settles: float = 0.0
    is_exact: bool = False
    hints: Mapping[str, Any] = field(default_factory=dict)
    rows: int | None = None

    @property
    def types(self) -> dict[str, str]:
        """The table's columns and their types: its schema."""
        return {one.name: one.data_type for one in self.columns}

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Plan":
        """As it was stored."""
        columns = tuple(
            ColumnPlan(**{**one, "edges": tuple(one["edges"]), "values": tuple(one["values"])})
            for one in stored["columns"]
        )
        return cls(**{**stored, "columns": columns, "key": tuple(stored["key"])})


@dataclass(frozen=True)
class Hints:
    """What is known of a table besides its data.

    Attributes:
        event_time: a column that somebody named for it, in the settings or in dbt.
        grain: likewise.
        likely: columns that may be it: a cursor, the field that freshness is taken from.
        key: its primary key.
        personal: columns of which no value may be kept.
        but: columns that are not measured, unless one is the event time.
    """

    event_time: str | None = None
    grain: Grain | None = None
    likely: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    personal: Collection[str] = ()
    but: Collection[str] = ()

    def as_json(self) -> dict[str, Any]:
        """As they are kept with a plan, to see whether they changed."""
        return {
            "event_time": self.event_time,
            "grain": self.grain,
            "likely": list(self.likely),
            "key": list(self.key),
            "personal": sorted(self.personal),
            "but": sorted(self.but),
        }


def plan(
    connection: "duckdb.DuckDBPyConnection", quoted: str, hints: Hints, *, now: datetime
) -> Plan:
    """Look at a table, and decide how it is measured.

    Args:
        connection: whose time zone is UTC; it gets temporary tables: of one with an event time,
            ``DATES`` has the rows of each date, and of none, with what `fingerprint` makes of them.
        quoted: the table in SQL.
        hints: what else is known.
        now: UTC; what lies later is no event.

    Raises:
        MonitorError: the hints name a column that is not there, or is no time.
    """
    columns = columns_of(connection, quoted)
    all_rows = scalar(connection, f"select count(*) from {quoted}")
    _take_sample(connection, quoted, all_rows)
    try:
        chosen = _event_time(connection, columns, hints, now)
        columns = [one for one in columns if one.name not in hints.but or one is chosen]
        grain: Grain = "run"
        names = [one.name for one in columns]
        loaded_by = "_dlt_load_id" if "_dlt_load_id" in names else None
        one_in, settles = max(1, int(all_rows / ENOUGH_ROWS)), 0.0
        if chosen is not None:
            rows, days, span = _span(connection, quoted, chosen, loaded_by, names, now)
            grain = hints.grain or _grain(rows, days, span, is_date=chosen.data_type == "DATE")
            periods = max(1, min(span / _DAYS[grain], periods_kept(grain)))
            in_window = rows * min(1.0, periods * _DAYS[grain] / span)
            settles = min(_settles(connection, columns, chosen), span * 86_400 / 3)
            one_in = max(1, int(in_window / max(ENOUGH_ROWS, _ENOUGH_A_PERIOD * periods)))
        distinct = _distinct(connection, columns[:_MOST_COLUMNS])
        key = tuple(name for name in hints.key if any(one.name == name for one in columns))
        made = []
        for index, column in enumerate(columns):
            is_beyond = index >= _MOST_COLUMNS or column is chosen
            is_beyond = is_beyond or column.name.startswith(_LOADED)
            made.append(
                ColumnPlan(column.name, column.data_type, "rows")
                if is_beyond
                else _column(connection, column, distinct.get(column.name, 0), hints, key)
            )
    finally:
        connection.execute(f"drop table if exists {SAMPLE}")
    return Plan(
        event_time=chosen.name if chosen else None,
        grain=grain,
        is_date=chosen is not None and chosen.data_type == "DATE",
        key=key,
        columns=tuple(made),
        loaded_by=loaded_by,
        one_in=one_in,
        settles=settles,
        is_exact=all_rows <= _LARGE,
        hints=hints.as_json(),
        rows=all_rows,
    )


def fingerprint(loaded_by: str | None, columns: Iterable[str]) -> str:
    """SQL of some rows: what changes when they do; a row that changed has another load."""
    names = columns if loaded_by is None else [loaded_by]
    return f"sum(hash({identifiers(names)}))::hugeint"


def _take_sample(connection: "duckdb.DuckDBPyConnection", quoted: str, rows: int) -> None:
    """A random sample; of a large table from a part of it, as all of it would take seconds."""
    if rows > _LARGE:
        part = 100 * _LARGE / rows
        quoted = f"(select * from {quoted} using sample {part:.3f}% (system, 1)) as part"
    take_sample(connection, quoted)


def _event_time(
    connection: "duckdb.DuckDBPyConnection",
    columns: Sequence[MeasuredColumn],
    hints: Hints,
    now: datetime,
) -> MeasuredColumn | None:
    if hints.event_time is not None:
        return named_time(columns, hints.event_time)
    times = [one for one in columns if one.is_point_in_time and not one.name.startswith(_LOADED)]
    if not times:
        return None
    spread = {}
    for column in times:
        row = connection.execute(
            f"select count(*), count(*) filter (where {happened(column.sql, now)}), "
            f"date_diff('day', min({column.sql}) filter (where {happened(column.sql, now)}), "
            f"max({column.sql}) filter (where {happened(column.sql, now)})) from {SAMPLE}"
        ).fetchone()
        rows, there, days = row or (0, 0, 0)
        if rows and there >= 0.95 * rows and (days or 0) >= 2:
            spread[column.name] = column
    likely = [name for name in hints.likely if name in spread and not _WORSE.search(name.lower())]
    if likely:
        return spread[likely[0]]

    def rank(column: MeasuredColumn) -> tuple[int, int]:
        name = column.name.lower()
        worse = bool(_WORSE.search(name))
        better = bool(_BETTER.search(name))
        return (2 if worse else 0 if better else 1, 0 if column.data_type != "DATE" else 1)

    good = [one for one in spread.values() if rank(one)[0] < 2]
    return min(good, key=rank, default=None)


def named_time(columns: Sequence[MeasuredColumn], name: str) -> MeasuredColumn:
    """The column that somebody named as the event time.

    Raises:
        MonitorError: it is not there, or is no time.
    """
    found = next((one for one in columns if one.name.casefold() == name.casefold()), None)
    if found is None:
        meant = did_you_mean(name, [one.name for one in columns if one.is_point_in_time])
        raise MonitorError(f"its event_time {name!r} is no column{f': {meant}' if meant else ''}")
    if not found.is_point_in_time:
        raise MonitorError(
            f"its event_time {name!r} is {found.data_type}: name a date or a timestamp"
        )
    return found


def happened(sql: str, now: datetime) -> str:
    """SQL: whether a time is known, and not in the future; a clock may be a day ahead."""
    latest = (now.astimezone(UTC) + timedelta(days=1)).strftime("%Y-%m-%d %H:%M:%S")
    return f"(isfinite({sql}) and {sql} <= timestamp '{latest}')"


def _settles(
    connection: "duckdb.DuckDBPyConnection",
    columns: Sequence[MeasuredColumn],
    event: MeasuredColumn,
) -> float:
    """How many seconds after its event most rows still change, by their other times."""
    later = [
        one
        for one in columns
        if one.is_point_in_time
        and one is not event
        and not one.name.startswith(_LOADED)
        and not _PLANNED.search(one.name.lower())
    ]
    longest = 0.0
    for batch in batches(later):
        asked = ", ".join(
            f"quantile_cont(case when isfinite({one.sql}) and isfinite({event.sql}) "
            f"then epoch({one.sql}) - epoch({event.sql}) end, 0.99)"
            for one in batch
        )
        row = connection.execute(f"select {asked} from {SAMPLE}").fetchone() or ()
        longest = max([longest, *(float(value) for value in row if value is not None)])
    return min(longest, _LONGEST_SETTLING_S)


def _span(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    column: MeasuredColumn,
    loaded_by: str | None,
    names: Iterable[str],
    now: datetime,
) -> tuple[int, int, float]:
    """Rows with an event time, days that have some, and days from the first to the last."""
    load = identifier(loaded_by) if loaded_by is not None else "null"
    connection.execute(
        f"create or replace temp table {DATES} as select "
        f"case when {happened(column.sql, now)} then cast({column.sql} as date) end as day, "
        f"count(*) as rows, min({column.sql}) as first, max({column.sql}) as last, "
        f"max({load}) as load, {fingerprint(loaded_by, names)} as content from {quoted} group by 1"
    )
    row = connection.execute(
        "select sum(rows), date_diff('hour', min(first), max(last)), count(*) "
        f"from {DATES} where day is not null"
    ).fetchone()
    rows, hours, days = (int(one or 0) for one in row) if row else (0, 0, 0)
    return rows, days, max(hours / 24, 1.0)


def _grain(rows: int, days: int, span: float, *, is_date: bool) -> Grain:
    """The shortest periods that have enough rows, and of which there are enough to compare."""
    if not is_date and span < _FEW and rows / (span * 24) >= _THIN:
        return "hour"
    if days >= 0.5 * span and rows / span >= _THIN:
        return "day"
    if rows / (span / 7) >= _THIN or span / _DAYS["month"] < _FEW_MONTHS:
        return "week" if span >= 7 * _FEW / 2 else "day"
    return "month"


def _distinct(
    connection: "duckdb.DuckDBPyConnection", columns: Sequence[MeasuredColumn]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for batch in batches([one for one in columns if one.kind not in {"nested", "binary"}]):
        asked = ", ".join(f"approx_count_distinct({one.sql})" for one in batch)
        row = connection.execute(f"select {asked} from {SAMPLE}").fetchone()
        found |= {one.name: int(value) for one, value in zip(batch, row or (), strict=False)}
    return found


def _column(
    connection: "duckdb.DuckDBPyConnection",
    column: MeasuredColumn,
    distinct: int,
    hints: Hints,
    key: tuple[str, ...],
) -> ColumnPlan:
    plain = ColumnPlan(column.name, column.data_type, "value")
    if column.kind in {"nested", "binary", "time"}:
        return ColumnPlan(column.name, column.data_type, "rows")
    if column.name in key or _IDS.search(column.name) or column.name in hints.personal:
        return plain
    if column.kind == "number":
        edges = _edges(connection, column, distinct)
        return ColumnPlan(column.name, column.data_type, "number", edges=edges) if edges else plain
    if column.kind in {"text", "boolean"} and 0 < distinct <= _CATEGORIES:
        values = tuple(
            str(value)
            for value, _ in connection.execute(
                f"select cast({column.sql} as varchar), count(*) from {SAMPLE} "
                f"where {column.sql} is not null group by 1 order by 2 desc, 1 limit {_CATEGORIES}"
            ).fetchall()
        )
        if all(len(value) <= _LONGEST for value in values):
            return ColumnPlan(column.name, column.data_type, "category", values=values)
    return plain


def _edges(
    connection: "duckdb.DuckDBPyConnection", column: MeasuredColumn, distinct: int
) -> tuple[float, ...]:
    """The upper ends of bins that hold about as many rows each; all values if there are few."""
    number = column.number
    if distinct <= _BINS:
        sql = f"select distinct {number} from {SAMPLE} where {number} is not null order by 1"
        return tuple(float(value) for (value,) in connection.execute(sql).fetchall())[:_BINS]
    shares = ", ".join(f"{index / _BINS:.2f}" for index in range(1, _BINS))
    row = connection.execute(f"select quantile_cont({number}, [{shares}]) from {SAMPLE}").fetchone()
    found = row[0] if row and row[0] else ()
    return tuple(sorted({float(value) for value in found}))


def periods_kept(grain: Grain) -> int:
    """How many periods are measured: the model looks no farther back."""
    return TRAINING_PERIODS[grain] + _MORE_PERIODS


def first_kept(plan: Plan, newest: datetime) -> datetime:
    """The start of the oldest period that is measured.

    A period is kept whole: of a week from its middle on, each later event would change the rows.
    """
    oldest = newest - timedelta(days=periods_kept(plan.grain) * _DAYS[plan.grain])
    day = oldest.replace(hour=0, minute=0, second=0, microsecond=0)
    if plan.grain == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if plan.grain == "month" else day
