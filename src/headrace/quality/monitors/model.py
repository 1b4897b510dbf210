"""What a monitor is told, and what it answers: options, bands, alarms."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Grain = Literal["hour", "day", "week", "month", "run"]
Kind = Literal["count", "share", "number"]
Direction = Literal["both", "up", "down"]
ModelName = Literal["baseline", "prophet", "isolation_forest"]
Floats = NDArray[np.float64]
Times = NDArray["np.datetime64"]

GRAINS: tuple[Grain, ...] = ("hour", "day", "week", "month")
SENSITIVITY = 4.0
MINOR = 1.25
"""Times as wide are the bands of metrics of which there are very many."""

MIN_HISTORY: dict[Grain, int] = {"hour": 72, "day": 14, "week": 8, "month": 12, "run": 7}
"""Periods with a value that a series needs before one is judged."""
TRAINING_PERIODS: dict[Grain, int] = {
    "hour": 1344,
    "day": 400,
    "week": 156,
    "month": 72,
    "run": 200,
}
"""Periods that a model looks at, unless an option says otherwise: eight weeks of hours, thirteen
months of days, three years of weeks, six of months, 200 runs."""


@dataclass(frozen=True)
class MonitorOptions:
    """How a series is judged.

    Attributes:
        grain: the length of its periods; ``run`` if there is one value for each run.
        kind: ``count`` (not negative, its changes are relative), ``share`` (0 to 1), or any
            ``number``.
        sensitivity: half the width of the band in usual deviations (the standard deviation of what
            is left when season and trend are taken away); less is more alarms.
        direction: which side of the band is an alarm.
        model: what draws the band.
        country: ISO 3166 code, ``DE`` or ``US-CA``, whose public holidays are known; or None.
        training_periods: how many periods before the one that is judged are looked at; None for
            those of the grain.
        expected: starts of periods whose alarm was expected.
    """

    grain: Grain = "day"
    kind: Kind = "number"
    sensitivity: float = SENSITIVITY
    direction: Direction = "both"
    model: ModelName = "baseline"
    country: str | None = None
    training_periods: int | None = None
    expected: frozenset[datetime] = frozenset()

    @property
    def window(self) -> int:
        """Periods that the model looks at."""
        return self.training_periods or TRAINING_PERIODS[self.grain]


@dataclass(frozen=True)
class Band:
    """What was expected of one period, and what came.

    Attributes:
        at: the start of the period, UTC.
        value: what came; None where there is none.
        expected: the middle of what was expected; None where there was too little history.
        low: the lower end of the band; None where it is open, or there is no band.
        high: the upper end.
        score: how far from the middle, in usual deviations, with the sign of the side; 0 without
            a value.
        is_alarm: outside the band, on a side that is watched, and not expected by a person.
    """

    at: datetime
    value: float | None
    expected: float | None
    low: float | None
    high: float | None
    score: float
    is_alarm: bool


@dataclass(frozen=True)
class Alarm:
    """Periods one after the other, on one side outside of the band.

    Attributes:
        since: the start of the first of them, UTC.
        last: the start of the newest.
        side: ``up`` or ``down``.
        worst: the period that is farthest outside.
        is_over: whether a later period with a value was inside.
    """

    since: datetime
    last: datetime
    side: Literal["up", "down"]
    worst: Band
    is_over: bool


@dataclass(frozen=True)
class Judgement:
    """A series judged: a band for each period that was asked for, and the alarms among them."""

    bands: tuple[Band, ...]
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True)
class Bands:
    """Bands of several series of the same periods, as arrays of periods x series.

    Attributes:
        expected: NaN where nothing is expected.
        low: likewise; also minus infinity.
        high: likewise; also infinity.
        score: deviations from the middle.
    """

    expected: Floats
    low: Floats
    high: Floats
    score: Floats
