"""Monitors are put to the test on a shop whose faults are known."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from headrace.quality.monitors import MonitorOptions, judge_many
from headrace.quality.monitors.judge import as_times
from headrace.quality.monitors.model import SENSITIVITY, Floats, ModelName
from headrace.quality.monitors.series import Series, length_of
from headrace.quality.score.replay import Replay, TableSeries
from headrace.quality.score.report import (
    Detection,
    ScoreReport,
    kind_scores,
    monitor_score,
)
from headrace.quality.score.scenarios import Scenario, scenarios

UNTIL = datetime(2025, 6, 30, tzinfo=UTC)
SCALE = 3.0
MONITORS = ("baseline", "z-score", "prophet", "isolation_forest")
_MINOR = 1.25  # times as wide are the bands of metrics of which there are very many
_Z_DAYS, _Z = 14, 3.0  # Elementary's defaults: days_back and anomaly_sensitivity
_USUAL_DAYS = 56
_MOST_JUDGED = 24  # metrics of a scenario: those that are moved the farthest
_NOTICED = timedelta(days=14)  # an alarm that begins later is not about the fault
Alarms = list[tuple[datetime, str]]
"""Beginning and metric of each."""


def score(
    schema: Path,
    *,
    seed: int,
    months: int,
    scale: float = SCALE,
    monitors: Sequence[str] = MONITORS[:2],
    until: datetime = UNTIL,
    most: int | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> ScoreReport:
    """Replay a shop without and with faults, and see what the monitors notice.

    Args:
        schema: of the shop.
        seed: of the shop and its faults.
        months: of 30 days at the end that are judged; all before is history.
        scale: of the shop.
        monitors: of ``MONITORS``.
        until: the end, UTC.
        most: scenarios; all without it.
        progress: is told what is being done.

    Raises:
        MonitorError: a monitor is not installed.
        SynthError: the schema file is wrong.
    """
    began = time.monotonic()
    since = until - timedelta(days=30 * months)
    detections: list[Detection] = []
    spent = dict.fromkeys(monitors, 0.0)
    false: dict[str, int] = {}
    with Replay(schema, seed=seed, scale=scale, until=until) as replay:
        clean: dict[tuple[str, str], Alarms] = {}
        for monitor in monitors:
            started = time.process_time()
            for table, series in replay.clean.items():
                progress(f"{monitor}: {table} without faults")
                clean[monitor, table] = _alarms(monitor, series, series.series, since)
            spent[monitor] += time.process_time() - started
            false[monitor] = sum(
                len({at.date() for at, _ in clean[monitor, table]}) for table in replay.clean
            )
        todo = scenarios(seed, since + timedelta(days=7), until)
        todo = todo if most is None else todo[:: max(1, len(todo) // most)][:most]
        for place, scenario in enumerate(todo):
            progress(f"fault {place + 1} of {len(todo)}: {scenario.words}")
            faulty = replay.faulty(scenario)
            moved, changed = _moved(replay.clean[scenario.table], faulty, scenario)
            for monitor in monitors:
                started = time.process_time()
                detections.append(
                    _detected(monitor, scenario, faulty, moved, changed, since,
                              clean[monitor, scenario.table])
                )  # fmt: skip
                spent[monitor] += time.process_time() - started
        tables = len(replay.clean)
        metrics = sum(len(one.series) for one in replay.clean.values())
    return ScoreReport(
        seed=seed,
        months=months,
        scale=scale,
        until=f"{until:%Y-%m-%d}",
        tables=tables,
        metrics=metrics,
        monitors=tuple(
            monitor_score(
                monitor,
                [one for one in detections if one.monitor == monitor],
                false_alarms=false[monitor] / months,
                seconds=spent[monitor],
            )
            for monitor in monitors
        ),
        kinds=kind_scores(detections),
        detections=tuple(detections),
        seconds=time.monotonic() - began,
    )


def _moved(
    clean: TableSeries, faulty: TableSeries, scenario: Scenario
) -> tuple[tuple[str, ...], list[Series]]:
    """Metrics that are moved by more than their usual range, and those that changed the most."""
    if clean.types != faulty.types:
        return ("schema",), []
    before = clean.by_name()
    times = np.array([one.timestamp() for one in clean.times])
    start = max(0, int(np.searchsorted(times, scenario.begins.timestamp(), side="right")) - 1)
    moved: list[str] = []
    changed: list[tuple[float, Series]] = []
    for series in faulty.series:
        old = before.get(series.name)
        length = min(len(series.values), len(old.values)) if old is not None else 0
        if old is None or not length:
            continue
        difference = abs(series.values[:length] - old.values[:length])
        difference = np.where(np.isfinite(difference), difference, 0.0)  # no row, no value
        if not difference.any():
            continue
        usual = np.maximum(_usual_range(old, start), _sampling_errors(series)[:length][start:])
        far = float((difference[start:] / np.maximum(usual, 1e-12)).max(initial=0.0))
        changed.append((far, series))
        if far > 1:
            moved.append(series.name)
    changed.sort(key=lambda one: -one[0])
    return tuple(moved), [series for _, series in changed[:_MOST_JUDGED]]


def _usual_range(series: Series, start: int) -> float:
    """From the least to the greatest value of the eight weeks before; infinite without a value."""
    values = series.values[max(0, start - _USUAL_DAYS) : start]
    values = values[np.isfinite(values)]
    return float(values.max() - values.min()) if len(values) else float("inf")


def _sampling_errors(series: Series) -> Floats:
    """Twice the standard error of each value: a smaller change cannot be told from chance."""
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
    faulty: TableSeries,
    moved: tuple[str, ...],
    changed: list[Series],
    since: datetime,
    known: Alarms,
) -> Detection:
    first: tuple[datetime, str] | None = None
    days: float | None = None
    if moved == ("schema",):  # each run compares the columns, whatever draws the bands
        first, days = (scenario.begins, "schema"), 0.0
    elif moved:
        before = set(known)
        alarms = [
            one
            for one in _alarms(monitor, faulty, changed, since)
            if one not in before
            and any(
                one[0] + length_of(faulty.plan.grain, one[0]) > begin and one[0] < begin + _NOTICED
                for begin in scenario.begins_of_each
            )
        ]
        first = min(alarms, default=None)
        if first is not None:
            settled = timedelta(seconds=faulty.settles.get(first[1], 0.0))
            noticed = first[0] + length_of(faulty.plan.grain, first[0]) + settled
            begin = max(
                (at for at in scenario.begins_of_each if at <= first[0]), default=scenario.begins
            )
            days = (noticed - begin).total_seconds() / 86_400
    return Detection(
        monitor=monitor,
        kind=scenario.kind,
        strength=scenario.strength,
        table=scenario.table,
        fault=scenario.words,
        begins=f"{scenario.begins:%Y-%m-%d}",
        moved=moved,
        found=first is not None,
        days=days,
        metric=first[1] if first else None,
    )


def _alarms(monitor: str, table: TableSeries, series: Sequence[Series], since: datetime) -> Alarms:
    """The alarms of some series of a table."""
    if not series or not table.times:
        return []
    if monitor == "z-score":
        return [found for one in series for found in _z_score(one, table.times, since)]
    model: ModelName = monitor  # type: ignore[assignment]
    values = np.column_stack([one.values for one in series])
    judged = judge_many(
        as_times(table.times),
        values,
        [
            MonitorOptions(
                grain=table.plan.grain,
                kind=one.kind,
                sensitivity=SENSITIVITY * (_MINOR if one.is_minor else 1),
                direction=one.direction,
                model=model,
            )
            for one in series
        ],
        errors=np.column_stack([one.errors for one in series]),
        since=since,
    )
    return [
        (alarm.since, one.name)
        for one, found in zip(series, judged, strict=True)
        for alarm in found.alarms
    ]


def _z_score(series: Series, times: Sequence[datetime], since: datetime) -> Alarms:
    """A value more than three deviations from the mean of 14 days, as Elementary does by default.

    Without a deviation there is no score, and no alarm (its macro ``get_anomaly_scores_query``).
    """
    values: Floats = series.values
    found: Alarms = []
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
            found.append((at, series.name))
        is_open = is_alarm
    return found
