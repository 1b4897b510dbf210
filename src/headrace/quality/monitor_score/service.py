"""Monitors are put to the test on a shop whose faults are known."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from headrace.quality.monitor_score.replay import BY_RUN, AnyReplay, TableSeries
from headrace.quality.monitor_score.report import Detection, ReplayScore, kind_scores, monitor_score
from headrace.quality.monitor_score.scenarios import Scenario, scenarios
from headrace.quality.monitors import MonitorOptions, judge_many
from headrace.quality.monitors.judge import as_times
from headrace.quality.monitors.model import MINOR, SENSITIVITY, Floats, ModelName
from headrace.quality.monitors.plan import Plan
from headrace.quality.monitors.series import Series, length_of

UNTIL = datetime(2025, 6, 30, tzinfo=UTC)
SCALE = 3.0
MONITORS = ("baseline", "z-score", "prophet", "isolation_forest")
_Z_DAYS, _Z = 14, 3.0  # Elementary's defaults: days_back and anomaly_sensitivity
_USUAL_DAYS = 56
_MOST_JUDGED = 16  # metrics of a scenario by a slow monitor: those that are moved the farthest
_EVERY = 8  # of how many metrics of the clean shop a slow monitor judges one
_BEFORE = timedelta(days=7)  # before a fault bands are drawn, too
_NOTICED = timedelta(days=14)  # an alarm that begins later is not about the fault
Alarms = list[tuple[datetime, str, str]]
"""Beginning, table and metric of each."""
_SLOW = frozenset({"prophet", "isolation_forest"})


def score(
    replay: AnyReplay,
    *,
    seed: int,
    months: int,
    monitors: Sequence[str] = MONITORS[:2],
    until: datetime = UNTIL,
    most: int | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> ReplayScore:
    """Replay a shop without and with faults, and see what the monitors notice.

    Args:
        replay: the shop, entered.
        seed: of its faults.
        months: of 30 days at the end that are judged; all before is history.
        monitors: of ``MONITORS``.
        until: the end, UTC.
        most: scenarios; all without it.
        progress: is told what is being done.

    Raises:
        MonitorError: a monitor is not installed.
        SynthError: the schema file is wrong.
    """
    since = until - timedelta(days=30 * months)
    spent = dict.fromkeys(monitors, 0.0)
    false: dict[str, float] = {}
    looked_at: dict[str, int] = {}
    for monitor in monitors:
        started = time.process_time()
        days: set[tuple[str, date]] = set()
        looked_at[monitor] = 0
        for name, table in replay.clean.items():
            progress(f"{monitor}: {name} without faults")
            chosen = table.series[:: _EVERY if monitor in _SLOW else 1]
            looked_at[monitor] += len(chosen)
            alarms = _alarms(monitor, name, table, chosen, since)
            days |= {(name.removesuffix(BY_RUN), at.date()) for at, _, _ in alarms}
        spent[monitor] += time.process_time() - started
        false[monitor] = len(days) / months
    detections: list[Detection] = []
    todo = scenarios(seed, since + timedelta(days=7), until)
    todo = todo if most is None else todo[:: max(1, len(todo) // most)][:most]
    for place, one in enumerate(replay.replayed(todo)):
        progress(f"fault {place + 1} of {len(todo)}: {one.scenario.words}")
        if one.stopped is not None:
            detections += [_detection(name, one.scenario, stopped=one.stopped) for name in monitors]
            continue
        moved, changed = _moved(replay.clean, one.tables, one.scenario)
        for monitor in monitors:
            started = time.process_time()
            detections.append(
                _detected(monitor, one.scenario, replay.clean, one.tables, moved, changed)
            )
            spent[monitor] += time.process_time() - started
    order = {(one.words, f"{one.begins:%Y-%m-%d}"): place for place, one in enumerate(todo)}
    detections.sort(key=lambda one: order[one.fault, one.begins])
    return ReplayScore(
        tables=len({name.removesuffix(BY_RUN) for name in replay.clean}),
        metrics=sum(len(one.series) for one in replay.clean.values()),
        monitors=tuple(
            monitor_score(
                monitor,
                [one for one in detections if one.monitor == monitor],
                false_alarms=false[monitor],
                metrics=looked_at[monitor],
                seconds=spent[monitor],
            )
            for monitor in monitors
        ),
        kinds=kind_scores(detections),
        detections=tuple(detections),
    )


_Changed = list[tuple[str, Series]]
"""Tables and series that a fault changed, those that it moved the farthest first."""


def _moved(
    clean: Mapping[str, TableSeries], faulty: Mapping[str, TableSeries], scenario: Scenario
) -> tuple[tuple[str, ...], _Changed]:
    """Metrics that are moved by more than their usual range, and all that changed."""
    moved: list[tuple[float, str]] = []
    changed: list[tuple[float, str, Series]] = []
    for name, table in faulty.items():
        before = clean.get(name)
        if before is None:
            continue
        if before.types != table.types:
            return ("schema",), []
        for far, series in _distances(before, table, scenario):
            changed.append((far, name, series))
            if far > 1:
                moved.append((far, f"{name}: {series.name}"))
    changed.sort(key=lambda one: -one[0])
    moved.sort(key=lambda one: -one[0])
    return tuple(name for _, name in moved), [(name, series) for _, name, series in changed]


def _distances(
    clean: TableSeries, faulty: TableSeries, scenario: Scenario
) -> Iterator[tuple[float, Series]]:
    """The metrics that a fault changed, and how far: 1 is as far as they usually range."""
    before = clean.by_name()
    length = min(len(clean.times), len(faulty.times))
    times = np.array([one.timestamp() for one in clean.times[:length]])
    start = max(0, int(np.searchsorted(times, scenario.begins.timestamp(), side="right")) - 1)
    for series in faulty.series:
        old = before.get(series.name)
        if old is None or not length:
            continue
        difference = abs(series.values[:length] - old.values[:length])
        difference = np.where(np.isfinite(difference), difference, 0.0)  # no row, no value
        if not difference[start:].any():
            continue
        chance = _chance(series, faulty.plan)[:length]
        usual = np.maximum(_usual_range(old, start), chance[start:])
        yield float((difference[start:] / np.maximum(usual, 1e-12)).max(initial=0.0)), series


def _usual_range(series: Series, start: int) -> float:
    """From the least to the greatest value of the eight weeks before; infinite without a value."""
    values = series.values[max(0, start - _USUAL_DAYS) : start]
    values = values[np.isfinite(values)]
    return float(values.max() - values.min()) if len(values) else float("inf")


def _chance(series: Series, plan: Plan) -> Floats:
    """What a change must be beyond, of each value, not to be the chance of so few rows.

    Twice the standard error; of a drift the distance at which chance alone puts a sample of n rows
    in k bins, sqrt((k - 1) / (8 n ln 2)) (Lin, "Divergence measures based on the Shannon entropy",
    IEEE Trans. Inf. Theory 37, 1991: it is a chi-square of k - 1 degrees for small distances).
    """
    if series.metric == "drift":
        bins = max((one.bins for one in plan.columns if one.name == series.column), default=2)
        # its errors are half of 1 / sqrt(n)
        return series.errors * 2 * math.sqrt(max(1, bins - 1) / (8 * math.log(2)))
    if series.kind == "count":
        return 2 * np.sqrt(np.maximum(1.0, np.nan_to_num(series.values)))
    if series.kind == "share":  # of so many rows, of which one can be chance
        rows = np.maximum(np.nan_to_num(series.errors), 1)
        share = np.nan_to_num(series.values)
        return 2 * np.maximum(np.sqrt(share * (1 - share) / rows), 1 / rows)
    return 2 * np.nan_to_num(series.errors)


def _detected(
    monitor: str,
    scenario: Scenario,
    clean: Mapping[str, TableSeries],
    faulty: Mapping[str, TableSeries],
    moved: tuple[str, ...],
    changed: _Changed,
) -> Detection:
    if moved == ("schema",):  # each run compares the columns, whatever draws the bands
        return _detection(monitor, scenario, moved, days=0.0, metric="schema")
    if monitor in _SLOW:
        changed = changed[:_MOST_JUDGED]
    found: Alarms = []
    since = scenario.begins - _BEFORE
    for name in dict.fromkeys(name for name, _ in changed) if moved else ():
        until = max(scenario.begins_of_each) + _NOTICED
        table, before = _before(faulty[name], until), _before(clean[name], until)
        names = {one.name for of, one in changed if of == name}
        series = [one for one in table.series if one.name in names]
        alarms = [
            one
            for one in _alarms(monitor, name, table, series, since)
            if any(
                one[0] + length_of(table.grain, one[0]) > begin and one[0] < begin + _NOTICED
                for begin in scenario.begins_of_each
            )
        ]
        metrics = {metric for _, _, metric in alarms}
        same = [one for one in before.series if one.name in metrics]
        known = _alarms(monitor, name, before, same, since)
        found += [one for one in alarms if one not in known]
    noticed = [(_noticed(faulty[name], at, metric), at, metric) for at, name, metric in found]
    if not noticed:
        return _detection(monitor, scenario, moved)
    when, at, metric = min(noticed)
    begin = max((one for one in scenario.begins_of_each if one <= at), default=scenario.begins)
    days = max(0.0, (when - begin).total_seconds() / 86_400)
    return _detection(monitor, scenario, moved, days=days, metric=metric)


def _before(table: TableSeries, until: datetime) -> TableSeries:
    """Its periods before a time: bands are drawn from the past, so the rest changes nothing."""
    length = sum(at < until for at in table.times)
    series = tuple(
        replace(one, values=one.values[:length], errors=one.errors[:length]) for one in table.series
    )
    return replace(table, times=table.times[:length], series=series)


def _noticed(table: TableSeries, at: datetime, metric: str) -> datetime:
    """When an alarm that begins in a period can be seen: once it is over and has settled."""
    if table.grain == "run":
        return at
    return at + length_of(table.grain, at) + timedelta(seconds=table.settles.get(metric, 0.0))


def _detection(
    monitor: str,
    scenario: Scenario,
    moved: tuple[str, ...] = (),
    *,
    days: float | None = None,
    metric: str | None = None,
    stopped: str | None = None,
) -> Detection:
    return Detection(
        monitor=monitor,
        kind=scenario.kind,
        strength=scenario.strength,
        table=scenario.table,
        fault=scenario.words,
        begins=f"{scenario.begins:%Y-%m-%d}",
        moved=moved,
        found=metric is not None,
        days=days,
        metric=metric,
        stopped=stopped,
    )


def _alarms(
    monitor: str, name: str, table: TableSeries, series: Sequence[Series], since: datetime
) -> Alarms:
    """The alarms of some series of a table."""
    if not series or not table.times:
        return []
    if monitor == "z-score":
        return [(at, name, one.name) for one in series for at in _z_score(one, table.times, since)]
    # what runs have is too little for the others, as in runs
    model: ModelName = "baseline" if table.grain == "run" else monitor  # type: ignore[assignment]
    judged = judge_many(
        as_times(table.times),
        np.column_stack([one.values for one in series]),
        [
            MonitorOptions(
                grain=table.grain,
                kind=one.kind,
                sensitivity=SENSITIVITY * (MINOR if one.is_minor else 1),
                direction=one.direction,
                model=model,
            )
            for one in series
        ],
        errors=np.column_stack([one.errors for one in series]),
        since=since,
    )
    return [
        (alarm.since, name, one.name)
        for one, found in zip(series, judged, strict=True)
        for alarm in found.alarms
    ]


def _z_score(series: Series, times: Sequence[datetime], since: datetime) -> list[datetime]:
    """A value more than three deviations from the mean of 14 days, as Elementary does by default.

    Without a deviation there is no score, and no alarm (its macro ``get_anomaly_scores_query``).
    """
    values: Floats = series.values
    found: list[datetime] = []
    is_open = False
    for place, at in enumerate(times):
        if at < since or place < _Z_DAYS:
            continue
        past = values[place - _Z_DAYS : place]
        past = past[np.isfinite(past)]
        deviation = float(np.std(past, ddof=1)) if len(past) > 1 else 0.0
        if not np.isfinite(values[place]) or deviation == 0:
            continue
        is_alarm = abs(values[place] - past.mean()) > _Z * deviation
        if is_alarm and not is_open:
            found.append(at)
        is_open = is_alarm
    return found
