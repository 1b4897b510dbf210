"""Which metrics of the monitored tables are outside of their bands, and what became of alarms.

stored periods and runs ─► series ─► bands ─► alarms, beside those that are known ─► explained
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from headrace.catalog import Catalog, RunStore
from headrace.catalog.metric_tables import StoredAlarm, StoredPlan, StoredRunMetrics
from headrace.errors import MonitorError
from headrace.formatting import first_few
from headrace.pipeline.quality.monitor_explain import Explainer
from headrace.pipeline.quality.monitor_tables import MonitoredTable
from headrace.pipeline.quality.monitor_words import described
from headrace.pipeline.reports import AlarmReport, QualityReport
from headrace.quality.monitors import Alarm, MonitorOptions, judge_many
from headrace.quality.monitors.judge import as_times
from headrace.quality.monitors.measure import PeriodMetrics, from_text
from headrace.quality.monitors.model import MINOR, Floats, Grain, Times
from headrace.quality.monitors.plan import Plan
from headrace.quality.monitors.series import (
    Judged,
    RunValues,
    Series,
    complete_until,
    length_of,
    periods_between,
    series_of,
    series_of_runs,
)
from headrace.quality.monitors.settling import SettlingTimes
from headrace.settings import Resolved

if TYPE_CHECKING:
    import duckdb

_RECENT: dict[Grain, int] = {"hour": 48, "day": 14, "week": 6, "month": 3, "run": 5}
"""Periods that are judged again by each run: their rows may have been corrected since."""
_NEW: dict[Grain, int] = {"hour": 24, "day": 7, "week": 2, "month": 1, "run": 1}
"""An alarm that was over before these, when it is found, is history and not told of."""
RUNS = 400  # of which the metrics of a table as a whole are looked at


def judge_tables(
    resolved: Resolved,
    store: RunStore,
    run_id: str,
    catalog: Catalog,
    tables: Mapping[str, MonitoredTable],
    measured: Mapping[str, Plan],
    connection: "duckdb.DuckDBPyConnection",
    *,
    now: datetime,
) -> QualityReport:
    """Judge the tables that were measured, and how old the others are; keep and explain alarms.

    Raises:
        MonitorError: an option of all monitors is wrong.
        RunStoreError: the store cannot be used.
    """
    runs = store.run_metrics(RUNS)
    known = store.alarms()
    explain = Explainer(resolved, store, run_id, catalog, tables, connection, now)
    notes: list[str] = []
    changed: list[StoredAlarm] = []
    new: list[tuple[StoredAlarm, Judged, Series, Alarm]] = []
    plans = store.plans()
    for key, table in tables.items():
        if key not in plans or (key not in measured and not _may_be_late(runs.get(key, []))):
            continue
        mine = [one for one in known if one.asset_id == key]
        try:
            for judged in judge_table(
                resolved, store, table, plans, runs.get(key, []), mine, now=now,
                recent=True, with_periods=key in measured,
            ):  # fmt: skip
                more, kept = _reconciled(table, judged, mine, run_id)
                new += more
                changed += kept
        except MonitorError as error:
            if len(tables) > 1 and "monitors." in str(error):
                raise
            notes.append(f"{table.name} is not monitored: {error}")
    changed += _schemas_that_stayed(known, measured, run_id)
    new.sort(key=lambda one: -abs(one[0].score))
    explained = [explain.alarm(*one, is_first=index < 10) for index, one in enumerate(new)]
    explained = [explain.related(one, explained) for one in explained]
    store.keep_alarms([*changed, *explained])
    open_now = [
        report_of(one, is_new=one.run_id == run_id)
        for one in store.alarms("open")
        if one.asset_id in tables
    ]
    ended = {one.number for one in changed if one.status == "over"}
    return QualityReport(
        alarms=tuple(sorted(open_now, key=lambda one: (not one.is_new, -abs(one.score)))),
        ended=tuple(report_of(one) for one in store.alarms("over") if one.number in ended),
        notes=tuple(notes),
        seconds=0.0,
    )


def _may_be_late(runs: Sequence[StoredRunMetrics]) -> bool:
    """Whether a table that did not change is older than it was in any other run."""
    ages = [one.at - one.newest for one in runs if one.newest is not None]
    return len(ages) > 5 and ages[-1] > max(ages[:-1])


def judge_table(
    resolved: Resolved,
    store: RunStore,
    table: MonitoredTable,
    plans: Mapping[str, StoredPlan],
    runs: Sequence[StoredRunMetrics],
    alarms: Sequence[StoredAlarm],
    *,
    now: datetime,
    recent: bool,
    with_periods: bool = True,
) -> Iterable[Judged]:
    """The series of a table with their bands: those of its periods, then those of its runs.

    Args:
        resolved: the settings.
        store: has what was measured.
        table: which is measured.
        plans: how tables are measured, by asset id.
        runs: its metrics as a whole, ascending.
        alarms: of the table; what of them was expected is learned from.
        now: UTC.
        recent: judge the newest periods only, as a run does; else all.
        with_periods: whether its periods are judged, and not only its runs.
    """
    found = plan_and_looks(plans, table.asset.id, runs)
    if found is None:
        return
    plan, learned, looks = found
    if with_periods:
        times, periods, series, _ = series_by_period(
            store, table.asset.id, plan, learned, looks, now=now
        )
        if times and series:
            yield _judged(
                resolved, table, plan, plan.grain, as_times(times), periods, series, alarms,
                recent=recent,
            )  # fmt: skip
    at, of_runs = series_by_run(plan, looks)
    if len(at):
        yield _judged(resolved, table, plan, "run", at, (), of_runs, alarms, recent=recent)


def plan_and_looks(
    plans: Mapping[str, StoredPlan], asset_id: str, runs: Sequence[StoredRunMetrics]
) -> tuple[Plan, SettlingTimes, list[RunValues]] | None:
    """How a table is measured, when its metrics settle, and what runs knew of it as a whole.

    None if it never was measured.
    """
    stored = plans.get(asset_id)
    if stored is None:
        return None
    looks = [
        RunValues(one.at, one.rows, one.newest, one.late, one.seconds, changed=one.changed)
        for one in runs
    ]
    plan = Plan.from_json(json.loads(stored.plan))
    return plan, SettlingTimes.from_text(stored.learned), looks


def series_by_period(
    store: RunStore,
    asset_id: str,
    plan: Plan,
    learned: SettlingTimes,
    looks: Sequence[RunValues],
    *,
    now: datetime,
) -> tuple[list[datetime], list[PeriodMetrics | None], list[Series], dict[str, float]]:
    """The series of a table's periods, without values that will still change.

    Args:
        store: has what was measured.
        asset_id: the table's.
        plan: how it is measured.
        learned: when its metrics settle.
        looks: what runs knew of it as a whole.
        now: UTC.

    Returns:
        The starts of the periods, what was measured in each, the series, and the seconds after an
        event in which each metric still changes.
    """
    measured = [
        from_text(one.at, one.rows, one.fingerprint, one.payload) for one in store.periods(asset_id)
    ]
    until = complete_until(plan, measured, looks, now)
    times, periods = periods_between(plan, measured, until)
    series = series_of(plan, periods)
    ends = [at + length_of(plan.grain, at) for at in times]
    ages = np.array([(ends[-1] - end).total_seconds() for end in ends])
    settles = {one.name: _unsettled(one, learned, plan, ages) for one in series}
    return times, periods, series, settles


def series_by_run(plan: Plan, looks: Sequence[RunValues]) -> tuple[Times, list[Series]]:
    """The series that have one value for each run, also where a clock went back."""
    at, of_runs = series_of_runs(plan, looks)
    if not len(at):
        return at, []
    # of runs at one time the newest counts, and what a clock that went back dates before others
    # does not
    order = np.flatnonzero(np.maximum.accumulate(at) == at)
    order = order[np.r_[at[order][1:] > at[order][:-1], True]]
    chosen = [replace(one, values=one.values[order], errors=one.errors[order]) for one in of_runs]
    return at[order], chosen


def _unsettled(series: Series, learned: SettlingTimes, plan: Plan, ages: Floats) -> float:
    """Take away values of periods that are so new that the metric will still change.

    Args:
        series: the metric.
        learned: when it settles.
        plan: how it is measured.
        ages: seconds from the end of each period to that of the newest.

    Returns:
        Seconds after an event in which it does.
    """
    settling = learned.settles(series.column, series.metric, plan)
    if settling > 0:
        series.values[ages < settling] = np.nan
    return settling


def _judged(
    resolved: Resolved,
    table: MonitoredTable,
    plan: Plan,
    grain: Grain,
    times: Times,
    periods: Sequence[PeriodMetrics | None],
    series: Sequence[Series],
    alarms: Sequence[StoredAlarm],
    *,
    recent: bool,
) -> Judged:
    options = [_options(resolved, table, one, grain, alarms) for one in series]
    since = times[-min(_RECENT[grain], len(times))].item() if recent else None
    judgements = judge_many(
        times,
        np.column_stack([one.values for one in series]),
        options,
        errors=np.column_stack([one.errors for one in series]),
        since=since,
    )
    return Judged(plan, grain, times, tuple(periods), tuple(series), tuple(judgements))


def _options(
    resolved: Resolved,
    table: MonitoredTable,
    series: Series,
    grain: Grain,
    alarms: Sequence[StoredAlarm],
) -> MonitorOptions:
    all_of, own = resolved.settings.monitors, table.settings
    sensitivity = own.sensitivity or all_of.sensitivity
    expected = [
        one for one in alarms
        if one.status == "expected" and one.metric == series.name and one.grain == grain
    ]  # fmt: skip
    times: set[datetime] = set()
    for one in expected:
        at = one.since
        while at <= one.last and grain != "run":
            times.add(at)
            at += length_of(grain, at)
        times |= {one.since, one.last}
    return MonitorOptions(
        grain=grain,
        kind=series.kind,
        sensitivity=sensitivity * (MINOR if series.is_minor else 1),
        direction=own.direction or series.direction,
        # what runs have is too little, and too irregular, for the others
        model="baseline" if grain == "run" else own.model or all_of.model,
        country=all_of.country,
        training_periods=own.training_periods or all_of.training_periods,
        expected=frozenset(times),
    )


def _reconciled(
    table: MonitoredTable, judged: Judged, known: Sequence[StoredAlarm], run_id: str
) -> tuple[list[tuple[StoredAlarm, Judged, Series, Alarm]], list[StoredAlarm]]:
    """Alarms that are new, and those that were known and are another or over now."""
    new, changed = [], []
    fresh = judged.times[-min(_NEW[judged.grain], len(judged.times))].item()
    for series, judgement in zip(judged.series, judged.judgements, strict=True):
        if any(fnmatchcase(series.name, one) for one in table.settings.ignore):
            continue
        mine = [one for one in known if one.metric == series.name and one.grain == judged.grain]
        first = judgement.bands[0].at if judgement.bands else None
        seen: set[int] = set()
        for alarm in judgement.alarms:
            match = next((one for one in mine if _overlap(one, alarm)), None)
            if match is None:
                if not alarm.is_over or alarm.last.replace(tzinfo=None) >= fresh:
                    new.append(
                        (_stored(table, judged, series, alarm, run_id), judged, series, alarm)
                    )
            else:
                seen.add(match.number)
                if match.status == "open":
                    kept = _stored(table, judged, series, alarm, run_id)
                    changed.append(
                        replace(
                            kept, number=match.number, run_id=match.run_id, since=match.since,
                            explanation=match.explanation, note=match.note,
                        )
                    )  # fmt: skip
        for one in mine:
            if one.status == "open" and one.number not in seen and first is not None:
                values = [band for band in judgement.bands if band.value is not None]
                if one.last < first or (values and values[-1].at >= one.last):
                    changed.append(replace(one, status="over", last_run_id=run_id))
    return new, changed


def _overlap(stored: StoredAlarm, alarm: Alarm) -> bool:
    return stored.side == alarm.side and alarm.since <= stored.last and alarm.last >= stored.since


def _stored(
    table: MonitoredTable, judged: Judged, series: Series, alarm: Alarm, run_id: str
) -> StoredAlarm:
    worst = alarm.worst
    return StoredAlarm(
        number=0,
        asset_id=table.asset.id,
        table=table.name,
        metric=series.name,
        grain=judged.grain,
        since=alarm.since,
        last=alarm.last,
        side=alarm.side,
        value=worst.value,
        expected=worst.expected,
        low=worst.low,
        high=worst.high,
        score=worst.score,
        status="over" if alarm.is_over else "open",
        run_id=run_id,
        last_run_id=run_id,
        text=described(series, worst, judged.grain),
    )


def schema_alarm(
    table: MonitoredTable,
    before: Mapping[str, str],
    after: Mapping[str, str],
    run_id: str,
    now: datetime,
) -> StoredAlarm:
    """The alarm of a table whose columns are others than before."""
    words = [f"column {name} is new ({after[name]})" for name in after if name not in before]
    words += [f"column {name} is gone" for name in before if name not in after]
    words += [
        f"column {name} is {after[name]}, was {kind}"
        for name, kind in before.items()
        if name in after and after[name] != kind
    ]
    lost = any(name not in after or after[name] != kind for name, kind in before.items())
    return StoredAlarm(
        number=0,
        asset_id=table.asset.id,
        table=table.name,
        metric="schema",
        grain="run",
        since=now,
        last=now,
        side="down" if lost else "up",
        value=float(len(after)),
        expected=float(len(before)),
        low=float(len(before)),
        high=float(len(before)),
        score=float(len(words)),
        status="open",
        run_id=run_id,
        last_run_id=run_id,
        text=first_few(words, 5),
    )


def _schemas_that_stayed(
    known: Sequence[StoredAlarm], measured: Mapping[str, Plan], run_id: str
) -> list[StoredAlarm]:
    """Alarms of a schema are over once the table was measured again with the new one."""
    return [
        replace(one, status="over", last_run_id=run_id)
        for one in known
        if one.metric == "schema"
        and one.status == "open"
        and one.asset_id in measured
        and one.run_id != run_id
    ]


def report_of(alarm: StoredAlarm, *, is_new: bool = False) -> AlarmReport:
    """A stored alarm as it is reported."""
    values = {
        name: getattr(alarm, name)
        for name in AlarmReport.model_fields
        if name in StoredAlarm.__dataclass_fields__
    }
    more = alarm.explanation
    return AlarmReport(
        **values,
        asset=alarm.asset_id,
        segment=more.get("segment"),
        causes=tuple(more.get("causes", ())),
        downstream=tuple(more.get("downstream", ())),
        is_new=is_new,
    )
