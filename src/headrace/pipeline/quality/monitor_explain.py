"""Why there is an alarm: the rows that carry it, what changed upstream, what is downstream.

alarm ─┬─► periods by category, before and now ─► the segment
       ├─► code, catalog, loads, quarantine, other alarms upstream ─► causes
       └─► lineage ─► marts and exposures downstream
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from headrace.catalog import Catalog, RunStore
from headrace.catalog.metric_tables import StoredAlarm
from headrace.formatting import count, first_few, shortened
from headrace.lineage.trace import asset_distances
from headrace.pipeline.quality.monitor_tables import MonitoredTable
from headrace.pipeline.quality.monitor_words import number, plain
from headrace.pipeline.verdict import raw_table_id
from headrace.quality.monitors import Alarm, Segment, ValueRows, carries_most, drift
from headrace.quality.monitors.measure import PeriodMetrics
from headrace.quality.monitors.plan import ColumnPlan
from headrace.quality.monitors.segments import Parts
from headrace.quality.monitors.series import Judged, Series, at_utc, length_of, reference_counts
from headrace.settings import Resolved
from headrace.sql_text import identifier

if TYPE_CHECKING:
    import duckdb

_DIMENSIONS = 8  # columns whose values are looked at
_BEFORE = 4  # periods of the same place in the season that tell what was usual
_SEASON = {"hour": 168, "day": 7, "week": 1, "month": 1}
_MOST = 6  # causes that are named
_CUT = 160


class Explainer:
    """Explains the alarms of one run."""

    def __init__(
        self,
        resolved: Resolved,
        store: RunStore,
        run_id: str,
        catalog: Catalog,
        tables: Mapping[str, MonitoredTable],
        connection: "duckdb.DuckDBPyConnection",
        now: datetime,
    ) -> None:
        """Note what is known.

        Args:
            resolved: the settings.
            store: the history of runs and of the catalog.
            run_id: of this run.
            catalog: the newest.
            tables: those that are monitored.
            connection: reads the target.
            now: when the run began, UTC.
        """
        self.resolved, self.store, self.run_id = resolved, store, run_id
        self.catalog, self.tables, self.connection, self.now = catalog, tables, connection, now

    def alarm(
        self, stored: StoredAlarm, judged: Judged, series: Series, alarm: Alarm, *, is_first: bool
    ) -> StoredAlarm:
        """An alarm with its explanation.

        Args:
            stored: the alarm.
            judged: its table.
            series: its metric.
            alarm: as it was judged.
            is_first: whether it is among the worst of the run, for which the table is asked.
        """
        found: dict[str, object] = {}
        segment = self._segment(judged, series, alarm, stored, asks=is_first)
        if segment is not None:
            found["segment"] = _segment_words(series, segment, alarm)
        if series.metric == "drift":
            found["drift"] = _drift_words(judged, series, alarm)
        found["causes"] = list(self.causes(stored.asset_id))
        found["downstream"] = list(self.downstream(stored.asset_id))
        return replace(stored, explanation=found)

    def related(self, one: StoredAlarm, new: Sequence[StoredAlarm]) -> StoredAlarm:
        """The alarm with those upstream of it, which are the likeliest cause."""
        above = self.upstream(one.asset_id)
        others = [*new, *self._open]
        named: dict[tuple[str, str], str] = {}  # of one column, the worst
        for other in others:
            if other.asset_id in above and other.asset_id != one.asset_id:
                column = (other.table, other.metric.partition(".")[0])
                named.setdefault(column, f"{other.table}: {shortened(other.text, _CUT)}")
        if not named:
            return one
        causes = [*list(named.values())[:3], *one.explanation.get("causes", ())]
        return replace(one, explanation={**one.explanation, "causes": causes[:_MOST]})

    @cached_property
    def _open(self) -> list[StoredAlarm]:
        return self.store.alarms("open")

    def upstream(self, asset_id: str) -> frozenset[str]:
        """An asset and all that it is made from."""
        return frozenset({asset_id, *asset_distances(self.catalog, asset_id, "upstream")})

    def downstream(self, asset_id: str) -> Iterator[str]:
        """What is made from an asset: the published marts and the exposures, nearest first."""
        found = asset_distances(self.catalog, asset_id, "downstream")
        for key in sorted(found, key=lambda one: (found[one], one)):
            asset = self.catalog.assets[key]
            if key != asset_id and (key in self.tables or asset.kind == "exposure"):
                yield (
                    f"exposure {asset.name}" if asset.kind == "exposure" else self.tables[key].name
                )

    def causes(self, asset_id: str) -> Iterator[str]:
        """What changed upstream of an asset since the run before, in words."""
        above = self.upstream(asset_id)
        told = [*self._failed(above), *self._quarantined(above), *self._changed(above)]
        if self._code is not None:
            told.append(self._code)
        yield from told[:_MOST]

    @cached_property
    def _code(self) -> str | None:
        runs = [one for one in self.store.last_runs(20) if one.status in {"success", "failed"}]
        now = next((one for one in self.store.last_runs(20) if one.run_id == self.run_id), None)
        before = next((one for one in runs if one.run_id != self.run_id), None)
        if now is None or before is None or now.code_version == before.code_version:
            return None
        return f"the code of the project changed: {before.code_version} to {now.code_version}"

    @cached_property
    def _changes(self) -> list[tuple[str, str]]:
        newest = self.store.catalog_versions(1)
        if not newest or newest[0].run_id != self.run_id:
            return []
        found = []
        for one in self.store.catalog_changes(newest[0].version - 1, newest[0].version):
            asset = self.catalog.assets.get(one.asset)
            name = (asset.relation or asset.name) if asset else one.asset
            where = f"{name}.{one.column}" if one.column else name
            values = f" ({one.before} to {one.after})" if one.before and one.after else ""
            if one.what == "code changed":
                values = ""
            found.append((one.asset, f"{where}: {one.what}{shortened(values, 80)}"))
        return found

    def _changed(self, above: frozenset[str]) -> Iterator[str]:
        words = [text for asset, text in self._changes if asset in above]
        yield from words[:3]
        if len(words) > 3:
            yield f"{len(words) - 3} more changes upstream (headrace serve shows them)"

    def _failed(self, above: frozenset[str]) -> Iterator[str]:
        for one in self.store.failed_loads():
            key = raw_table_id(self.catalog, one.source, one.table) if one.table else None
            of_source = [
                asset for asset in above
                if asset in self.catalog.assets
                and self.catalog.source_of(self.catalog.assets[asset]) == one.source
            ]  # fmt: skip
            if key in above or (one.table is None and of_source):
                name = f"{one.source}.{one.table}" if one.table else f"source {one.source}"
                yield f"{name} could not be loaded since {one.since:%Y-%m-%d %H:%M} UTC"

    def _quarantined(self, above: frozenset[str]) -> Iterator[str]:
        rows: dict[str, int] = {}
        for one in self.store.quarantine():
            if raw_table_id(self.catalog, one.source, one.table) in above:
                name = f"{one.source}.{one.table}"
                rows[name] = rows.get(name, 0) + one.rows
        for name, number_of in rows.items():
            yield f"{count(number_of, 'row')} of {name} in quarantine"

    def _segment(
        self, judged: Judged, series: Series, alarm: Alarm, stored: StoredAlarm, *, asks: bool
    ) -> Segment | None:
        """The value of a column that carries most of an alarm on rows, nulls, a mean, a share."""
        import duckdb

        if not judged.periods or series.metric not in {"rows", "nulls", "mean", "share"}:
            return None
        place = {at_utc(at): index for index, at in enumerate(judged.times)}
        index = place.get(alarm.worst.at)
        if index is None:
            return None
        season = _SEASON.get(judged.grain, 1)
        before = [index - season * step for step in range(1, _BEFORE + 1)]
        before = [one for one in before if one >= 0 and judged.periods[one] is not None]
        columns = [
            one for one in judged.plan.columns
            if one.role == "category" and one.name != series.column
        ][:_DIMENSIONS]  # fmt: skip
        if not before or not columns:
            return None
        if series.metric == "rows":
            return carries_most(_by_rows(judged.periods, columns, before, index), is_mean=False)
        if not asks:
            return None
        table = self.tables[stored.asset_id]
        try:
            found = self._by_value(table, judged, series, columns, before, index)
            return carries_most(found, is_mean=True)
        except duckdb.Error:  # it has gone since: the alarm is told without its segment
            return None

    def _by_value(
        self,
        table: MonitoredTable,
        judged: Judged,
        series: Series,
        columns: Sequence[ColumnPlan],
        before: Sequence[int],
        index: int,
    ) -> list[tuple[str, Parts, Parts]]:
        """Rows and totals of a metric by the values of some columns, before and in a period."""
        plan = judged.plan
        name, time = identifier(series.column or ""), identifier(plan.event_time or "")
        value = {
            "nulls": f"({name} is null)::double",
            "mean": f"cast({name} as double)",
            "share": f"coalesce({name}::varchar = ?, false)::double",
        }[series.metric]
        given = [series.value] if series.metric == "share" else []
        spans = [
            (at_utc(judged.times[one]), length_of(plan.grain, at_utc(judged.times[one])))
            for one in (*before, index)
        ]
        inside = " or ".join(
            f"({time} >= timestamp '{at:%Y-%m-%d %H:%M:%S}' "
            f"and {time} < timestamp '{at + long:%Y-%m-%d %H:%M:%S}')"
            for at, long in spans
        )
        is_now = f"({time} >= timestamp '{spans[-1][0]:%Y-%m-%d %H:%M:%S}')"
        groups = ", ".join(f"({identifier(one.name)}, is_now)" for one in columns)
        names = ", ".join(f"{identifier(one.name)}::varchar" for one in columns)
        rows = self.connection.execute(
            f"select grouping({', '.join(identifier(one.name) for one in columns)}), is_now, "
            f"{names}, count(value), sum(value) from (select *, {is_now} as is_now, "
            f"case when isfinite({value}) then {value} end as value from {table.quoted} "
            f"where {inside}) group by grouping sets ({groups})",
            [*given, *given],
        ).fetchall()
        found: list[tuple[dict[str | None, ValueRows], dict[str | None, ValueRows]]] = [
            ({}, {}) for _ in columns
        ]
        whole = (1 << len(columns)) - 1
        for bits, now, *rest in rows:
            place = next(
                one for one in range(len(columns)) if whole ^ bits == 1 << (len(columns) - 1 - one)
            )
            part = ValueRows(float(rest[-2]), float(rest[-1] or 0))
            found[place][1 if now else 0][rest[place]] = part
        return [(one.name, then, now) for one, (then, now) in zip(columns, found, strict=True)]


def _by_rows(
    periods: Sequence[PeriodMetrics | None],
    columns: Sequence[ColumnPlan],
    before: Sequence[int],
    index: int,
) -> list[tuple[str, Parts, Parts]]:
    """Rows by the values of some columns: the mean of periods before, and one period."""
    found: list[tuple[str, Parts, Parts]] = []
    for column in columns:
        sides: list[Parts] = []
        for places in (before, [index]):
            rows: dict[str | None, float] = {}
            for place in places:
                period = periods[place]
                values = period.columns.get(column.name) if period else None
                if period is None or values is None:
                    continue
                scale = period.rows / max(period.seen, 1) / len(places)
                for value, number_of in zip(column.values, values.counts, strict=False):
                    rows[value] = rows.get(value, 0.0) + number_of * scale
                rows[None] = rows.get(None, 0.0) + (period.seen - values.filled) * scale
            sides.append({value: ValueRows(one, one) for value, one in rows.items() if one})
        found.append((column.name, sides[0], sides[1]))
    return found


def _segment_words(series: Series, segment: Segment, alarm: Alarm) -> str:
    """``country is 'FR' in most of the missing rows: 12, usually 300``."""
    value = "null" if segment.value is None else repr(segment.value)
    share = min(segment.share, 1.0)
    if series.metric == "rows":
        word = "missing" if alarm.side == "down" else "additional"
        now, before = f"{segment.now:,.0f}", f"{segment.before:,.0f}"
        return (
            f"{share:.0%} of the {word} rows have {segment.column} = {value}: {now}, "
            f"usually {before}"
        )
    now, before = number(series, segment.now), number(series, segment.before)
    return (
        f"{share:.0%} of it comes from rows with {segment.column} = {value}: {now} there, "
        f"usually {before}"
    )


def _drift_words(judged: Judged, series: Series, alarm: Alarm) -> str:
    """How far the distribution is from its reference, and the bins that moved most."""
    place = {at_utc(at): index for index, at in enumerate(judged.times)}
    index = place.get(alarm.worst.at, 0)
    values = [one.columns.get(series.column or "") if one else None for one in judged.periods]
    before, now = reference_counts(values, index, judged.grain)
    if not before or not now:
        return ""
    column = next(one for one in judged.plan.columns if one.name == series.column)
    is_ordered = column.role == "number"
    far = drift(before, now, is_ordered=is_ordered)
    shares = [
        (other / max(sum(now), 1) - one / max(sum(before), 1), place)
        for place, (one, other) in enumerate(zip(before, now, strict=True))
    ]
    most = sorted(shares, key=lambda one: -abs(one[0]))[:2]
    moved = [f"{_bin(column, place)} {change:+.0%}" for change, place in most]
    return f"PSI {far.psi:.2f}, KS {far.ks:.2f}, JS {far.js:.2f}: {first_few(moved)} of the rows"


def _bin(column: ColumnPlan, place: int) -> str:
    if column.role == "category":
        return repr(column.values[place]) if place < len(column.values) else "other values"
    edges = column.edges
    if place == 0:
        return f"up to {plain(edges[0])}"
    if place == len(edges):
        return f"above {plain(edges[-1])}"
    return f"{plain(edges[place - 1])} to {plain(edges[place])}"
