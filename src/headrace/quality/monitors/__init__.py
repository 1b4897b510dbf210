"""Monitors: what a metric should be, drawn from its own past, and alarms where it is not.

    series (times, values) ─► model: baseline, Prophet, Isolation Forest ─► bands ─► alarms

Plain functions over arrays; nothing here knows a run, a table or a database:

>>> from headrace.quality.monitors import MonitorOptions, judge
>>> found = judge(times, values, MonitorOptions(grain="day", kind="count"))
>>> [(alarm.since, alarm.side, alarm.worst.value, alarm.worst.low) for alarm in found.alarms]

`judge_many` does so for many series of the same periods, and takes little longer than for one. A
band is drawn from what came before its period only, so that a series of the past can be replayed
by one call: what it says of a day is what it would have said on that day.
"""

from headrace.quality.monitors.drift import DistributionDrift, drift, drift_by_period
from headrace.quality.monitors.judge import as_times, judge, judge_many
from headrace.quality.monitors.model import (
    GRAINS,
    MIN_HISTORY,
    SENSITIVITY,
    TRAINING_PERIODS,
    Alarm,
    Band,
    Direction,
    Grain,
    Judgement,
    Kind,
    ModelName,
    MonitorOptions,
)
from headrace.quality.monitors.segments import Segment, ValueRows, carries_most

__all__ = [
    "GRAINS",
    "MIN_HISTORY",
    "SENSITIVITY",
    "TRAINING_PERIODS",
    "Alarm",
    "Band",
    "Direction",
    "DistributionDrift",
    "Grain",
    "Judgement",
    "Kind",
    "ModelName",
    "MonitorOptions",
    "Segment",
    "ValueRows",
    "as_times",
    "carries_most",
    "drift",
    "drift_by_period",
    "judge",
    "judge_many",
]
