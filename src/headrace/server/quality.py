"""The quality of the whole, and the metrics of a table: what is wrong now, trends, promises."""

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import Field

from headrace.artifacts.dbt_results import FAILED
from headrace.errors import MonitorError
from headrace.pipeline.checking.promises import OF_FRESHNESS, PromiseReport, reports
from headrace.pipeline.quality.monitor_alarms import report_of
from headrace.pipeline.quality.monitor_status import (
    FreshnessForecast,
    MetricHistory,
    QualityStatus,
    histories,
    quality_status,
)
from headrace.pipeline.reports import AlarmReport
from headrace.quality.profile import compare
from headrace.quality.profile.service import Change
from headrace.server import models, profiles, view_builder
from headrace.server.errors import NotFoundError
from headrace.server.models import ApiModel
from headrace.server.snapshot import ProjectSnapshot
from headrace.server.state import ServerState

if TYPE_CHECKING:
    from headrace.server.store import ServerStore

_RUNS = 60
_TESTS = 50
_TABLES = 100
_MOVED = 40  # tables
_POINTS = 60  # of a metric in a list


class MovedTable(ApiModel):
    """A table of which a number moved much since its profile before."""

    id: str
    name: str
    changes: tuple[Change, ...] = Field(description="the large ones")


class QualityView(ApiModel):
    """What is wrong now, and what moved."""

    at: datetime = Field(description="UTC")
    alarms: tuple[AlarmReport, ...] = Field((), description="that are open, the newest first")
    ended: tuple[AlarmReport, ...] = Field((), description="the newest that are over")
    measured_at: datetime | None = Field(None, description="the newest run that measured; UTC")
    tables: int = Field(0, description="how many are monitored")
    unmeasured: str | None = Field(None, description="why there are no monitors")
    failing: tuple[models.TestView, ...] = Field(description="tests that fail, then that warn")
    failing_total: int
    warning_total: int
    passing_total: int
    verdicts: dict[str, int] = Field(description="how many tables have each verdict")
    worst: tuple[models.AssetSummary, ...] = Field(description="tables that are not healthy")
    promises: tuple[FreshnessForecast, ...] = Field((), description="of freshness, the worst first")
    sources: tuple[models.SourceFreshness, ...] = ()
    contracts: tuple[PromiseReport, ...] = Field(
        (), description="promises of contracts, and checks in Python; the broken ones first"
    )
    kept: int = Field(0, description="promises that are kept, of freshness and of contracts")
    broken: int = Field(0, description="that are broken, or will be")
    unknown: int = Field(0, description="of freshness, of which that is not known")
    runs: tuple[models.RunQuality, ...] = Field(description="that ran tests, the newest first")
    moved: tuple[MovedTable, ...] = Field((), description="in the newest run that profiled any")


class MetricLine(ApiModel):
    """A metric of a table, its newest values and its band."""

    metric: str
    unit: str
    grain: str
    value: float | None = Field(description="the newest")
    low: float | None
    high: float | None
    is_alarm: bool = Field(description="whether an alarm on it is open")
    values: tuple[float | None, ...] = Field(description="the newest first")


class MetricsView(ApiModel):
    """The metrics of a table; one of them in full."""

    id: str
    name: str
    relation: str | None
    metrics: tuple[MetricLine, ...]
    alarms: tuple[AlarmReport, ...] = Field((), description="on the table, the newest first")
    chosen: MetricHistory | None = None
    unmeasured: str | None = Field(None, description="why there are no metrics")


def quality(state: ServerState) -> QualityView:
    """The quality of the whole project.

    Raises:
        RunStoreError: the run store cannot be read.
    """
    now, store = state.snapshot(), state.store()
    status, why = _status(state)
    summaries = [
        view_builder.summary(now, asset)
        for asset in now.index.order
        if asset.is_relation and now.verdicts.of(asset.id) is not None
    ]
    bad = [one for one in summaries if one.verdict is not None and one.verdict.mood != "good"]
    bad = [one for one in bad if one.verdict is not None and one.verdict.mood != "none"]
    bad.sort(key=lambda one: (one.verdict.rank if one.verdict else 0, one.name.casefold()))
    contracts = promises_of(state)
    forecasts = [one for one in (status.freshness if status else ()) if one.promise]
    others = [one for one in contracts if one.part not in OF_FRESHNESS]
    broken = sum(one.status in {"missed", "will miss"} for one in forecasts)
    unknown = sum(one.misses_at is None for one in forecasts)
    unkept = sum(one.status != "pass" for one in others)
    return QualityView(
        at=datetime.now(UTC),
        alarms=status.alarms if status else (),
        ended=status.ended if status else (),
        measured_at=status.measured_at if status else None,
        tables=status.tables if status else 0,
        unmeasured=why,
        failing=tuple(view_builder.data_test(now, test) for test in now.bad_tests[:_TESTS]),
        failing_total=now.failing,
        warning_total=len(now.bad_tests) - now.failing,
        passing_total=sum(now.passing.values()),
        verdicts=dict(Counter(one.verdict.status for one in summaries if one.verdict)),
        worst=tuple(bad[:_TABLES]),
        promises=status.freshness if status else (),
        sources=tuple(now.freshness.values()),
        contracts=contracts,
        kept=len(forecasts) - broken - unknown + len(others) - unkept,
        broken=broken + unkept,
        unknown=unknown,
        runs=_runs(now, store),
        moved=_moved(now, store),
    )


def _status(state: ServerState) -> tuple[QualityStatus | None, str | None]:
    if state.resolved is None:
        return None, "this page shows a dbt project that Headrace does not run"
    try:
        return quality_status(state.resolved), None
    except MonitorError as error:
        return None, str(error)


def promises_of(state: ServerState, asset_id: str | None = None) -> tuple[PromiseReport, ...]:
    """The promises of contracts and the checks in Python, the broken ones first.

    Args:
        state: what is asked.
        asset_id: those on this table only.
    """
    now, store = state.snapshot(), state.store()
    found = reports(store, now.index.catalog) if store is not None else []
    return tuple(
        one.model_copy(update={"message": now.relative(one.message)})
        for one in found
        if asset_id is None or one.asset == asset_id
    )


def _runs(now: ProjectSnapshot, store: "ServerStore | None") -> tuple[models.RunQuality, ...]:
    counts = store.test_counts(_RUNS) if store is not None else {}
    return tuple(
        models.RunQuality(
            run_id=run.run_id,
            at=run.started_at,
            passed=found["pass"] + found["success"],
            warned=found["warn"],
            failed=sum(found[status] for status in FAILED),
        )
        for run in now.runs
        if (found := counts.get(run.run_id)) is not None
    )


def _moved(now: ProjectSnapshot, store: "ServerStore | None") -> tuple[MovedTable, ...]:
    """Of the newest run that kept profiles."""
    last = store.last_profiled_run() if store is not None else None
    if store is None or last is None:
        return ()
    moved = []
    for key in list(store.newest_profiles(last))[:_MOVED]:
        asset = now.index.catalog.assets.get(key)
        if asset is None:
            continue
        versions = [profiles.read(now, asset, one) for one in store.profiles(key, 2)]
        if len(versions) > 1:
            large = tuple(one for one in compare(versions[1], versions[0]) if one.is_large)
            if large:
                moved.append(MovedTable(id=key, name=asset.name, changes=large))
    return tuple(sorted(moved, key=lambda one: (-len(one.changes), one.name)))


def metrics(state: ServerState, asset_id: str, *, metric: str | None = None) -> MetricsView:
    """The metrics of a table with their bands.

    Args:
        state: what is asked.
        asset_id: of the table.
        metric: one that is shown in full.

    Raises:
        NotFoundError: there is no such asset or metric.
        RunStoreError: the run store cannot be read.
    """
    now = state.snapshot()
    asset = now.index.catalog.assets.get(asset_id)
    if asset is None:
        raise NotFoundError("there is no such asset", hint="/api/v1/search finds assets by words")
    found: tuple[MetricHistory, ...] = ()
    why = None
    if state.resolved is None:
        why = "this page shows a dbt project that Headrace does not run"
    else:
        try:
            found = histories(state.resolved, asset_id)
        except MonitorError as error:
            why = str(error)
    chosen = next((one for one in found if one.metric == metric), None)
    if metric is not None and chosen is None:
        raise NotFoundError("no such metric of this table is measured", hint=why)
    alarms = {alarm.number: alarm for one in found for alarm in one.alarms}
    return MetricsView(
        id=asset.id,
        name=asset.name,
        relation=asset.relation,
        metrics=tuple(_line(one) for one in found),
        alarms=tuple(sorted(alarms.values(), key=lambda one: one.last, reverse=True)),
        chosen=chosen,
        unmeasured=why,
    )


def open_alarms(state: ServerState, asset_id: str) -> tuple[AlarmReport, ...]:
    """The open alarms on a table, the newest first."""
    store = state.store()
    found = store.alarms("open") if store is not None else []
    return tuple(report_of(one) for one in found if one.asset_id == asset_id)


def _line(one: MetricHistory) -> MetricLine:
    known = [point for point in one.points if point.value is not None]
    last = known[-1] if known else None
    return MetricLine(
        metric=one.metric,
        unit=one.unit,
        grain=one.grain,
        value=last.value if last else None,
        low=last.low if last else None,
        high=last.high if last else None,
        is_alarm=any(alarm.status == "open" for alarm in one.alarms),
        values=tuple(point.value for point in reversed(one.points[-_POINTS:])),
    )
