"""What a replay found: each monitor and kind of fault, and false alarms."""

from collections.abc import Sequence
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Detection(_Model):
    """What one monitor made of one scenario."""

    monitor: str
    kind: str
    strength: str
    table: str
    fault: str = Field(description="as `headrace generate --faults` writes it")
    begins: str = Field(description="UTC")
    moved: tuple[str, ...] = Field(
        description="metrics that it moves by more than their usual range; without one, it is not "
        "counted"
    )
    found: bool
    days: float | None = Field(
        None, description="from the begin of the fault to the end of the period of the first alarm"
    )
    metric: str | None = Field(None, description="of the first alarm")
    stopped: str | None = Field(
        None, description="why the load or the build failed, so that no monitor saw it; not counted"
    )


class KindScore(_Model):
    """How one monitor did on one kind of fault."""

    monitor: str
    kind: str
    faults: int = Field(description="that move a metric by more than its usual range")
    found: int
    missed: int
    unmoved: int = Field(description="faults that move no metric that far; not counted")
    stopped: int = Field(description="faults that stopped the load or the build; not counted")
    days: float | None = Field(description="median time to notice, of those found")


class MonitorScore(_Model):
    """How one monitor did in all."""

    monitor: str
    faults: int
    found: int
    share_found: float | None
    false_alarms_a_month: float = Field(
        description="days on which a table of the clean shop has a new alarm, by month, over all "
        "tables; at least that many where not all metrics were judged"
    )
    metrics: int = Field(description="of the clean shop, that it judged")
    days: float | None = Field(description="median time to notice")
    seconds: float = Field(description="CPU time of its judgements")


class ReplayScore(_Model):
    """What the monitors made of a replay."""

    tables: int
    metrics: int
    monitors: tuple[MonitorScore, ...]
    kinds: tuple[KindScore, ...]
    detections: tuple[Detection, ...]


class ScoreReport(ReplayScore):
    """A replay, and what was replayed."""

    seed: int
    months: int
    scale: float
    until: str
    through: Literal["runs", "files"] = Field(
        description="`runs`: by dlt, dbt and the monitors' step of a run; `files`: the generated "
        "files were measured"
    )
    seconds: float


def kind_scores(detections: Sequence[Detection]) -> tuple[KindScore, ...]:
    """By monitor and kind, in the order in which they came."""
    groups: dict[tuple[str, str], list[Detection]] = {}
    for one in detections:
        groups.setdefault((one.monitor, one.kind), []).append(one)
    return tuple(
        KindScore(
            monitor=monitor,
            kind=kind,
            faults=sum(bool(one.moved) for one in group),
            found=sum(bool(one.moved) and one.found for one in group),
            missed=sum(bool(one.moved) and not one.found for one in group),
            unmoved=sum(not one.moved and one.stopped is None for one in group),
            stopped=sum(one.stopped is not None for one in group),
            days=_median(group),
        )
        for (monitor, kind), group in groups.items()
    )


def monitor_score(
    monitor: str,
    detections: Sequence[Detection],
    *,
    false_alarms: float,
    metrics: int,
    seconds: float,
) -> MonitorScore:
    """Of one monitor's detections."""
    counted = [one for one in detections if one.moved]
    found = sum(one.found for one in counted)
    return MonitorScore(
        monitor=monitor,
        faults=len(counted),
        found=found,
        share_found=found / len(counted) if counted else None,
        false_alarms_a_month=false_alarms,
        metrics=metrics,
        days=_median(counted),
        seconds=seconds,
    )


def _median(detections: Sequence[Detection]) -> float | None:
    days = [one.days for one in detections if one.moved and one.days is not None]
    return median(days) if days else None
