"""The numbers of each column: two passes of aggregates over the table, and a sample for forms.

    table ─► pass 1: counts, extremes, quantiles ─► pass 2: histograms, outliers, top values
      └────► sample: shapes, what texts could be read as, personal data

DuckDB computes all of it, whatever engine holds the table: it reads that by a file or by attaching.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Any

from headrace.quality.profile.model import Bin, ColumnProfile, Kind, ValueCount
from headrace.quality.profile.personal import find_personal
from headrace.sql_text import batches, identifier, identifiers, literal, scalar

if TYPE_CHECKING:
    import duckdb

SAMPLE = "profile_sample"
SAMPLE_ROWS = 20_000
TOP = 10
_PERCENTS = (1, 5, 25, 50, 75, 95, 99)
_BINS = 20
_FENCE = 3  # quartile ranges from a quartile; what lies beyond is an outlier
_EXACT = 1000  # a column of fewer values is counted value by value
_LARGEST = "1e150"  # a square above it is no number any more
_LONGEST = 200  # signs of a value that are shown
_SHAPES = 5
_FEW = 200  # values that are looked at first
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
            "UINTEGER", "UBIGINT", "UHUGEINT", "BIGNUM")  # fmt: skip
_READINGS = (
    ("integer", r"-?(0|[1-9][0-9]*)", None),
    ("decimal", r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", None),
    ("date", r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "date"),
    ("timestamp", r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}.*", "timestamptz"),
    ("boolean", r"(?i)(true|false|yes|no)", None),
)


@dataclass
class MeasuredColumn:
    """A column while it is measured: its name quoted, what it is, and what is known so far."""

    name: str
    data_type: str
    kind: Kind
    found: dict[str, Any] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None

    @property
    def sql(self) -> str:
        """Its name in SQL."""
        return identifier(self.name)

    @property
    def is_float(self) -> bool:
        """Whether it may hold NaN and infinities."""
        return self.data_type in {"FLOAT", "DOUBLE"}

    @property
    def is_point_in_time(self) -> bool:
        """Whether it is a date or a timestamp, not a time of day."""
        return self.kind == "time" and self.data_type.startswith(("DATE", "TIMESTAMP"))

    @property
    def finite(self) -> str:
        """SQL of its value, null where it is NaN or infinite."""
        return f"case when isfinite({self.sql}) then {self.sql} end" if self.is_float else self.sql

    @property
    def number(self) -> str | None:
        """SQL of its value as a double, null where there is none; None for other kinds."""
        if self.kind == "number":
            value = f"cast({self.sql} as double)"
            return f"case when isfinite({value}) and abs({value}) < {_LARGEST} then {value} end"
        if self.is_point_in_time:
            return f"case when isfinite({self.sql}) then cast(epoch({self.sql}) as double) end"
        return None


def kind_of(data_type: str) -> Kind:
    """What sort of values a type of DuckDB holds."""
    if data_type.endswith("]") or data_type.startswith(("STRUCT", "MAP", "UNION")):
        return "nested"
    if data_type in _NUMBERS or data_type.startswith(("DECIMAL", "FLOAT", "DOUBLE")):
        return "number"
    if data_type.startswith(("DATE", "TIMESTAMP", "TIME")):
        return "time"
    if data_type.startswith(("VARCHAR", "ENUM", "UUID")):
        return "text"
    if data_type == "BOOLEAN":
        return "boolean"
    return "binary" if data_type in {"BLOB", "BIT"} else "nested"


def columns_of(connection: "duckdb.DuckDBPyConnection", quoted: str) -> list[MeasuredColumn]:
    """The columns of a table, in order."""
    described = connection.execute(f"describe select * from {quoted}").fetchall()
    return [
        MeasuredColumn(str(name), str(kind), kind_of(str(kind))) for name, kind, *_ in described
    ]


def take_sample(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    *,
    columns: Sequence[MeasuredColumn] = (),
    rows: int | None = None,
    most: int = SAMPLE_ROWS,
) -> int:
    """Keep a random sample of the table, the same one each time; how many rows it has.

    Args:
        connection: gets it as the temporary table ``SAMPLE``.
        quoted: the table in SQL.
        columns: that the sample has; else all.
        rows: of a table that is stored by DuckDB; then only the rows of the sample are read,
            and there are about as many as asked for.
        most: rows of the sample.
    """
    import duckdb

    names = identifiers(column.name for column in columns) if columns else "*"
    kept = f"create or replace temp table {SAMPLE} as select {names} from {quoted}"
    by_reservoir = f"{kept} using sample reservoir({most} rows) repeatable (1)"
    if rows is None:
        connection.execute(by_reservoir)
    else:
        # without an order, the few rows of each row group have buffers of their own until the end
        try:
            one_in = max(1, rows // most)
            connection.execute(f"{kept} where hash(rowid) % {one_in} = 0 order by rowid")
        except duckdb.BinderException:  # a view, as of files or another database's
            connection.execute(by_reservoir)
    return scalar(connection, f"select count(*) from {SAMPLE}")


def newest_of(columns: Sequence[ColumnProfile]) -> ColumnProfile | None:
    """The time column that tells how fresh the table is: the one with the newest value."""
    times = [
        column
        for column in columns
        if column.data_type.startswith(("DATE", "TIMESTAMP"))
        and column.max is not None
        and not column.future
        and column.max != "infinity"
    ]
    return max(times, key=lambda column: str(column.max), default=None)


def measure(
    connection: "duckdb.DuckDBPyConnection",
    quoted: str,
    columns: Sequence[MeasuredColumn],
    rows: int,
    *,
    personal: Collection[str] | None,
    has_order: bool,
) -> tuple[ColumnProfile, ...]:
    """Measure all columns; a sample of the table is there already.

    Args:
        connection: whose time zone is UTC.
        quoted: the table in SQL.
        columns: of it.
        rows: how many it has.
        personal: columns of which no value may be shown; None where that is not known.
        has_order: whether its rows have one: a view's do not.
    """
    for batch in batches(columns):
        _first_pass(connection, quoted, batch)
    for batch in batches(columns):
        _second_pass(connection, quoted, batch)
    for column in columns:
        _values(connection, quoted, column, rows)
        _texts(connection, column)
        found = find_personal(connection, SAMPLE, column.name, column.kind)
        if found is None and personal is not None and column.name in personal:
            found = find_personal(connection, SAMPLE, column.name, column.kind, declared=True)
        column.found["personal"] = found
        if has_order and rows >= 10 and (column.kind == "number" or column.is_point_in_time):
            column.found["order"] = _order(connection, quoted, column)
    return tuple(_profile(column, rows) for column in columns)


def _first_pass(
    connection: "duckdb.DuckDBPyConnection", quoted: str, columns: Sequence[MeasuredColumn]
) -> None:
    items: list[tuple[MeasuredColumn, str, str]] = []
    for column in columns:
        # no `filter`: each of them has DuckDB make room for all columns of the query
        asked = {"count": f"count({column.sql})"}
        if column.kind != "binary":
            asked["distinct"] = f"approx_count_distinct({column.sql})"
        if column.kind in {"number", "time", "boolean"}:
            asked["min"] = f"cast(min({column.finite}) as varchar)"
            asked["max"] = f"cast(max({column.finite}) as varchar)"
        if column.number is not None:
            percents = ", ".join(str(percent / 100) for percent in _PERCENTS)
            asked["quantiles"] = f"approx_quantile({column.number}, [{percents}])"
            asked["low"] = f"min({column.number})"
            asked["high"] = f"max({column.number})"
        if column.kind == "number":
            asked["mean"] = f"avg({column.number})"
            asked["deviation"] = f"stddev_samp({column.number})"
            asked["zeros"] = f"count_if({column.sql} = 0)"
            asked["negatives"] = f"count_if({column.sql} < 0)"
        if column.is_float:
            asked["not_finite"] = f"count_if(not isfinite({column.sql}))"
        if column.is_point_in_time:
            # compared as dates, now would be midnight, so that today's times were in the future
            asked["future"] = (
                f"count_if(isfinite({column.sql}) and {column.sql} > "
                f"{'current_date' if column.data_type == 'DATE' else 'now()::timestamp'})"
            )
        if column.kind == "text":
            text = f"cast({column.sql} as varchar)"
            asked["min"], asked["max"] = (
                f"left(min({text}), {_LONGEST})",
                f"left(max({text}), {_LONGEST})",
            )
            asked["min_length"] = f"min(length({text}))"
            asked["mean_length"] = f"avg(length({text}))"
            asked["max_length"] = f"max(length({text}))"
            if column.data_type == "VARCHAR":
                asked["empty"] = f"count_if(trim({text}) = '')"
                asked["padded"] = f"count_if(trim({text}) not in ('', {text}))"
        items += [(column, name, sql) for name, sql in asked.items()]
    values = connection.execute(
        f"select {', '.join(sql for _, _, sql in items)} from {quoted}"
    ).fetchone()
    for (column, name, _), value in zip(items, values or (), strict=True):
        column.found[name] = value
    for column in columns:
        column.low, column.high = column.found.pop("low", None), column.found.pop("high", None)


def _second_pass(
    connection: "duckdb.DuckDBPyConnection", quoted: str, columns: Sequence[MeasuredColumn]
) -> None:
    """Histograms and outliers, which need the extremes and quartiles of the first pass."""
    asked: list[tuple[MeasuredColumn, list[float], str]] = []
    for column in columns:
        quantiles = column.found.get("quantiles")
        low, high = column.low, column.high
        if column.number is None or low is None or high is None or not quantiles or low == high:
            continue
        lower, upper = quantiles[2], quantiles[4]
        fence = _FENCE * (upper - lower)
        first, last = low, high
        if fence > 0:
            first, last = max(low, lower - fence), min(high, upper + fence)
        edges = [first + (last - first) * n / _BINS for n in range(1, _BINS)]
        edges = sorted({edge for edge in edges if low < edge < high})
        beyond = (
            f"count_if({column.number} < {_double(lower - fence)} or "
            f"{column.number} > {_double(upper + fence)})"
            if fence > 0
            else "null"
        )
        listed = ", ".join(map(_double, edges))
        bars = f"histogram({column.number}, [{listed}])" if edges else "null"
        asked.append((column, edges, f"{bars}, {beyond}"))
    if not asked:
        return
    sql = ", ".join(part for _, _, part in asked)
    values = connection.execute(f"select {sql} from {quoted}").fetchone() or ()
    for place, (column, edges, _) in enumerate(asked):
        counted: Mapping[float, int] = values[2 * place] or {}
        if column.kind == "number":
            column.found["outliers"] = values[2 * place + 1]
        bounds = [float(column.low or 0), *edges, float(column.high or 0)]
        heights = [counted.get(edge, 0) for edge in (*edges, float("inf"))]
        column.found["bins"] = [
            (bounds[n], bounds[n + 1], rows) for n, rows in enumerate(heights) if counted
        ]


def _double(number: float) -> str:
    """A number in SQL; without quotes DuckDB would read it as a decimal, and round it."""
    return f"cast('{number!r}' as double)"


def _values(
    connection: "duckdb.DuckDBPyConnection", quoted: str, column: MeasuredColumn, rows: int
) -> None:
    """The values that come most; where there are few, their exact number."""
    distinct, filled = column.found.get("distinct") or 0, column.found["count"]
    if column.kind in {"nested", "binary"} or not filled:
        return
    where = f"{column.sql} is not null"
    if distinct > _EXACT * 1.2:
        if distinct > filled / 2:
            return
        frequent = f"select unnest(approx_top_k({column.sql}, {TOP})) from {quoted}"
        where = f"{column.sql} in ({frequent})"
    found = connection.execute(
        f"select left(cast(value as varchar), {_LONGEST}), rows, count(*) over () from (select "
        f"{column.sql} as value, count(*) as rows from {quoted} where {where} group by 1) "
        f"order by rows desc, value limit {TOP}"
    ).fetchall()
    if distinct <= _EXACT * 1.2:
        column.found["distinct"] = int(found[0][2])
        column.found["is_unique"] = column.found["distinct"] == filled == rows
    if not column.found.get("is_unique"):
        column.found["top"] = [(str(one), int(count), count / filled) for one, count, _ in found]


def _texts(connection: "duckdb.DuckDBPyConnection", column: MeasuredColumn) -> None:
    """Shapes of the texts in the sample, and what else all of them could be."""
    if column.data_type != "VARCHAR" or not column.found["count"]:
        return
    # each value once: what a text looks like is asked by regular expressions, which cost most;
    # of a long one its beginning tells it
    connection.execute(
        f"create or replace temp table profile_texts as select trim(left({column.sql}, 1000)) as "
        f"text, count(*) as rows from {SAMPLE} where {column.sql} is not null group by 1 "
        "having text <> ''"
    )
    column.found["reads_as"] = _reading(connection)
    forms = (  # a translation costs less than regular expressions, and knows ASCII alone
        "select case when strlen(text) = length(text) then "
        f"translate(left(text, 60), '{ascii_letters}{digits}', '{'A' * 52}{'9' * 10}') "
        r"else regexp_replace(regexp_replace(left(text, 60), '\p{Nd}', '9', 'g'), "
        r"'\p{L}', 'A', 'g') end as form, rows from profile_texts"
    )
    connection.execute(
        "create or replace temp table profile_forms as "
        f"select form, sum(rows)::bigint as rows from ({forms}) group by 1"
    )
    runs = "regexp_replace(regexp_replace(form, 'A+', 'A+', 'g'), '9+', '9+', 'g')"
    shapes: list[tuple[str, int, float]] = []
    for form in ("form", runs):
        found = connection.execute(
            "select form, rows, sum(rows) over () from (select "
            f"{form} as form, sum(rows)::bigint as rows from profile_forms group by 1) "
            f"order by rows desc, form limit {_SHAPES}"
        ).fetchall()
        shapes = [(str(one), int(rows), int(rows) / int(total)) for one, rows, total in found]
        if sum(share for _, _, share in shapes) >= 0.5:
            break
    column.found["shapes"] = shapes


def _reading(connection: "duckdb.DuckDBPyConnection") -> str | None:
    """What all texts could be; a few of them refute most of it."""
    left = list(_READINGS)
    for source in (f"(from profile_texts limit {_FEW})", "profile_texts"):
        tests = [
            f"bool_and(regexp_full_match(text, {literal(pattern)})"
            + (f" and try_cast(text as {cast}) is not null)" if cast else ")")
            for _, pattern, cast in left
        ]
        reads = connection.execute(f"select {', '.join(tests)} from {source}").fetchone() or ()
        left = [one for one, all_do in zip(left, reads, strict=True) if all_do]
        if not left:
            return None
    return left[0][0]


def _order(
    connection: "duckdb.DuckDBPyConnection", quoted: str, column: MeasuredColumn
) -> str | None:
    """Whether values rise or fall with the rows; the first rows refute it for most columns."""
    if column.found["count"] < 10 or (column.found.get("distinct") or 0) < 10:
        return None
    result = None
    for source in (f"(select {column.sql} from {quoted} limit 2000)", quoted):
        row = connection.execute(
            f"select bool_and(one >= before), bool_and(one <= before) from (select {column.sql} "
            f"as one, lag({column.sql}) over () as before from {source}) where before is not null"
        ).fetchone()
        rises, falls = row or (None, None)
        result = "rising" if rises else "falling" if falls else None
        if result is None:
            break
    return result


def _profile(column: MeasuredColumn, rows: int) -> ColumnProfile:
    found = column.found
    filled = int(found.pop("count"))
    quantiles = found.pop("quantiles", None)
    bins = found.pop("bins", [])
    given: dict[str, Any] = {
        name: value for name, value in found.items() if name not in {"top", "shapes"}
    }
    for name in ("mean", "deviation", "mean_length"):
        if given.get(name) is not None:
            given[name] = float(f"{given[name]:.6g}")
    shapes = tuple(
        ValueCount(value=value, rows=count, share=share)
        for value, count, share in found.get("shapes", [])
    )
    top: tuple[ValueCount, ...] = ()
    histogram: tuple[Bin, ...] = ()
    numbers: dict[str, float | str] = {}
    if found.get("personal") is not None:
        given |= {"min": None, "max": None, "mean": None, "deviation": None}
    else:
        top = tuple(
            ValueCount(value=value, rows=count, share=share)
            for value, count, share in found.get("top", [])
        )
        histogram = tuple(
            Bin(low=_shown(column, low), high=_shown(column, high), rows=count)
            for low, high, count in bins
        )
        if quantiles and quantiles[0] is not None:
            numbers = {
                str(percent): value if column.kind == "number" else _shown(column, value)
                for percent, value in zip(_PERCENTS, quantiles, strict=True)
            }
    return ColumnProfile(
        name=column.name,
        data_type=column.data_type,
        kind=column.kind,
        nulls=rows - filled,
        null_share=(rows - filled) / rows if rows else 0.0,
        **{**given, "distinct": min(int(found.get("distinct") or 0), filled)},
        quantiles=numbers,
        top=top,
        histogram=histogram,
        shapes=shapes,
    )


def _shown(column: MeasuredColumn, number: float) -> str:
    """An edge of a histogram as people read it: a number, or a time."""
    if column.kind == "number":
        return f"{number:.6g}"
    from datetime import UTC, datetime, timedelta

    try:
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    except OverflowError:
        return f"{number:.6g} s"
    return f"{when:%Y-%m-%d}" if column.data_type == "DATE" else f"{when:%Y-%m-%d %H:%M:%S}"
