"""``headrace quality``: what is wrong now, how a metric moved, what was expected.

All of it is read from the run store; nothing of the warehouse is.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from headrace.catalog import Catalog, RunStore
from headrace.catalog.metric_tables import AlarmStatus, StoredRunMetrics
from headrace.errors import MonitorError
from headrace.formatting import did_you_mean, first_few
from headrace.lineage.trace import asset_distances
from headrace.pipeline.checking.promises import PromiseReport, reports
from headrace.pipeline.quality.monitor_alarms import RUNS, judge_table, report_of
from headrace.pipeline.quality.monitor_tables import MonitoredTable, monitored
from headrace.pipeline.quality.monitor_words import length
from headrace.pipeline.reports import AlarmReport, Report
from headrace.pipeline.status import has_store
from headrace.quality.monitors.forecast import Forecast, Promise, forecast, updates_of
from headrace.quality.monitors.series import Judged, Unit
from headrace.settings import DEFAULT_ENV, Resolved


class FreshnessForecast(Report):
    """When a table will be fresh, and whether it misses its promise."""

    table: str = Field(description="`schema.table`")
    asset: str = Field(description="id of the asset")
    is_raw: bool = Field(False, description="whether it is loaded, and not built")
    newest: datetime | None = Field(None, description="its newest event; UTC")
    updated_at: datetime | None = Field(None, description="the run that brought it; UTC")
    next_at: datetime | None = Field(None, description="when newer data are expected; UTC")
    next_by: datetime | None = Field(None, description="by when they come nine times of ten; UTC")
    promise: str | None = Field(
        None, description="where it was promised: `latency 2 d of contract orders`, `fresh_within "
        "26 hours`, `freshness of source shop`; of several, the one that is broken first",
    )  # fmt: skip
    promised_to: str = Field("", description="who relies on it, of a contract's")
    promise_seconds: float | None = Field(
        None, description="how old its newest data may be; none of a time of day"
    )
    misses_at: datetime | None = Field(
        None, description="when the promise is broken if nothing newer comes; UTC"
    )
    status: Literal["fresh", "late", "will miss", "missed", "unknown"] = Field(
        description="`late`: newer data were expected by now; `will miss`: not before its promise "
        "is broken; `missed`: it is; `unknown`: too few runs brought newer data, and nothing is "
        "promised or no data is known"
    )
    text: str = Field(description="in words")


class QualityStatus(Report):
    """The answer of ``headrace quality status``."""

    environment: str = DEFAULT_ENV
    at: datetime = Field(description="UTC")
    measured_at: datetime | None = Field(None, description="the newest run that looked; UTC")
    tables: int = Field(description="how many are monitored")
    alarms: tuple[AlarmReport, ...] = Field(description="those that are open, the newest first")
    ended: tuple[AlarmReport, ...] = Field((), description="the newest that are over")
    freshness: tuple[FreshnessForecast, ...] = Field(
        (), description="of each mart, and of raw tables with a promise; the worst first"
    )
    promises: tuple[PromiseReport, ...] = Field(
        (), description="of contracts, and checks in Python; the broken ones first"
    )

    @property
    def passed(self) -> bool:
        """Whether there is no alarm, no promise is broken, and none will be."""
        return not (
            self.alarms
            or any(one.status in {"missed", "will miss"} for one in self.freshness)
            or any(one.status in {"error", "fail"} for one in self.promises)
        )


class MetricPoint(Report):
    """A value of a metric with its band; none of these is there before enough is known."""

    at: datetime = Field(description="start of the period; UTC")
    value: float | None
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    is_alarm: bool = False


class MetricHistory(Report):
    """The answer of ``headrace quality history``."""

    table: str
    asset: str
    metric: str = Field(description="`rows`, `amount.mean`, `status.share(paid)`")
    unit: Unit
    grain: str = Field(description="`hour`, `day`, `week`, `month`, `run`")
    points: tuple[MetricPoint, ...] = Field(description="the oldest first")
    alarms: tuple[AlarmReport, ...] = Field(description="of this metric, the newest first")


_ORDER = ("missed", "will miss", "late", "unknown", "fresh")
_ENDED = 10
_TOO_FEW = "too few runs brought newer data to say when the next will"


@contextmanager
def _known(resolved: Resolved) -> "Iterator[tuple[RunStore, Catalog]]":
    """The run store and the catalog.

    Raises:
        MonitorError: no run has measured anything yet.
    """
    nothing = MonitorError("nothing was measured yet: run `headrace run` first")
    if not has_store(resolved):
        raise nothing
    store = RunStore(resolved.run_store_url)
    try:
        catalog = store.load_catalog()
        if catalog is None or not (store.plans() or store.promises()):
            raise nothing
        yield store, catalog
    finally:
        store.close()


def quality_status(resolved: Resolved, *, now: datetime | None = None) -> QualityStatus:
    """What is wrong now, and what will be.

    Raises:
        MonitorError: no run has measured anything yet.
        RunStoreError: the run store cannot be read.
    """
    at = now or datetime.now(UTC)
    with _known(resolved) as (store, catalog):
        tables = monitored(resolved, catalog).by_id
        runs = store.run_metrics(RUNS)
        ids = tables.keys()
        alarms = [report_of(one) for one in store.alarms("open") if one.asset_id in ids]
        ended = [report_of(one) for one in store.alarms("over") if one.asset_id in ids]
        looked = [rows[-1].at for key, rows in runs.items() if key in ids]
        return QualityStatus(
            environment=resolved.environment,
            at=at,
            measured_at=max(looked, default=None),
            tables=len(store.plans().keys() & ids),
            alarms=tuple(alarms),
            ended=tuple(ended[:_ENDED]),
            freshness=tuple(forecasts(catalog, tables, runs, now=at)),
            promises=tuple(reports(store, catalog)),
        )


def forecasts(
    catalog: Catalog,
    tables: Mapping[str, MonitoredTable],
    runs: Mapping[str, Sequence[StoredRunMetrics]],
    *,
    now: datetime,
) -> list[FreshnessForecast]:
    """When marts, and raw tables with a promise, will be fresh; the worst first.

    A mart is as fresh as what it is made from: without a promise of its own, it has those of its
    raw tables. Of several, the one that is broken first is told.
    """
    found = []
    for key, table in tables.items():
        above = [one for one in asset_distances(catalog, key, "upstream") if one in tables]
        of_raw = [each for one in above if tables[one].is_raw for each in tables[one].promises]
        promises = table.promises or of_raw
        if key not in runs or (table.is_raw and not promises):
            continue
        updates = updates_of([(one.at, one.newest, one.changed) for one in runs[key]])
        last = updates[-1] if updates else None
        promise = min(promises, key=lambda one: one.missed_at(last), default=None) if last else None
        seen = forecast(updates, now=now, promise=promise)
        status = _status(seen)
        found.append(
            FreshnessForecast(
                table=table.name,
                asset=key,
                is_raw=table.is_raw,
                newest=last.newest if last else None,
                updated_at=last.at if last else None,
                next_at=seen.next_at,
                next_by=seen.next_by,
                promise=(promise or promises[0]).said if promises else None,
                promised_to=promise.to if promise else "",
                promise_seconds=(
                    promise.within.total_seconds() if promise and promise.within else None
                ),
                misses_at=seen.misses_at,
                status=status,
                text=_words(seen, status, promise, now),
            )
        )
    return sorted(found, key=lambda one: (_ORDER.index(one.status), one.table))


def _status(seen: Forecast) -> Literal["fresh", "late", "will miss", "missed", "unknown"]:
    if seen.is_broken:
        return "missed"
    if seen.will_miss:
        return "will miss"
    if seen.is_late:
        return "late"
    return "fresh" if seen.next_at is not None or seen.misses_at is not None else "unknown"


def _words(seen: Forecast, status: str, promise: Promise | None, now: datetime) -> str:
    parts = []
    if seen.misses_at is not None and promise is not None:
        allowed = (
            f"the newest data may be {length(promise.within.total_seconds())} old"
            if promise.within is not None
            else f"newer data come each day by {promise.by:%H:%M} {promise.by.tzname() or 'UTC'}"
            if promise.by is not None
            else ""
        )
        allowed += f" ({promise.said})" if promise.said else ""
        away = length(abs((seen.misses_at - now).total_seconds()))
        if status == "missed":
            parts.append(f"{allowed}: missed {away} ago")
        elif status == "will miss":
            parts.append(f"{allowed}: will be missed in {away}")
        else:
            parts.append(f"{allowed}: kept for {away} more")
        if promise.to and status in {"missed", "will miss"}:
            parts[-1] += f"; promised to {promise.to}"
    if seen.next_at is None:
        parts.append(_TOO_FEW)
    elif status == "late" or (seen.next_by is not None and now > seen.next_by):
        parts.append(f"newer data were expected by {seen.next_by:%Y-%m-%d %H:%M} UTC")
    else:
        parts.append(f"newer data are expected {seen.next_at:%Y-%m-%d %H:%M} UTC")
    return "; ".join(parts)


def history(resolved: Resolved, name: str, *, now: datetime | None = None) -> MetricHistory:
    """How a metric moved, with its bands.

    Args:
        resolved: the settings.
        name: ``marts.orders.rows``, ``orders.amount.mean``, ``orders.status.share(paid)``.
        now: UTC.

    Raises:
        MonitorError: no such table or metric is measured.
        RunStoreError: the run store cannot be read.
    """
    at = now or datetime.now(UTC)
    with _known(resolved) as (store, catalog):
        tables = monitored(resolved, catalog).by_id
        measured = store.plans()
        table, wanted = _table(name, [one for key, one in tables.items() if key in measured])
        found = {one.metric: one for one in _histories(resolved, store, table, at)}
    for metric, one in found.items():
        if metric.casefold() == wanted.casefold():
            return one
    raise MonitorError(_no_metric(table.name, wanted, list(found)))


def histories(
    resolved: Resolved, asset_id: str, *, now: datetime | None = None
) -> tuple[MetricHistory, ...]:
    """How all metrics of a table moved, with their bands; empty of one that is not measured.

    Args:
        resolved: the settings.
        asset_id: the catalog's id of the table.
        now: UTC.

    Raises:
        MonitorError: no run has measured anything yet.
        RunStoreError: the run store cannot be read.
    """
    with _known(resolved) as (store, catalog):
        table = monitored(resolved, catalog).by_id.get(asset_id)
        if table is None:
            return ()
        return tuple(_histories(resolved, store, table, now or datetime.now(UTC)))


def _histories(
    resolved: Resolved, store: RunStore, table: MonitoredTable, now: datetime
) -> Iterator[MetricHistory]:
    key = table.asset.id
    rows = store.run_metrics(RUNS).get(key, [])
    alarms = [one for one in store.alarms() if one.asset_id == key]
    plans = store.plans()
    for judged in judge_table(resolved, store, table, plans, rows, alarms, now=now, recent=False):
        for index, series in enumerate(judged.series):
            yield MetricHistory(
                table=table.name,
                asset=key,
                metric=series.name,
                unit=series.unit,
                grain=judged.grain,
                points=_points(judged, index),
                alarms=tuple(report_of(one) for one in alarms if one.metric == series.name),
            )


def _points(judged: Judged, index: int) -> tuple[MetricPoint, ...]:
    return tuple(
        MetricPoint(
            at=band.at,
            value=band.value,
            expected=band.expected,
            low=band.low,
            high=band.high,
            is_alarm=band.is_alarm,
        )
        for band in judged.judgements[index].bands
    )


def _table(name: str, tables: Sequence[MonitoredTable]) -> tuple[MonitoredTable, str]:
    """The table that a metric's name begins with, and the rest of the name."""
    found: list[tuple[int, MonitoredTable, str]] = []
    for table in tables:
        for label in (table.name, table.name.partition(".")[2]):
            if name.casefold() == label.casefold():
                found.append((len(label), table, ""))
            elif name.casefold().startswith(f"{label.casefold()}."):
                found.append((len(label), table, name[len(label) + 1 :]))
    if not found:
        first = ".".join(name.split(".")[:2])
        labels = [label for one in tables for label in (one.name, one.name.partition(".")[2])]
        meant = did_you_mean(first, labels) or did_you_mean(name.split(".", maxsplit=1)[0], labels)
        known = first_few(sorted(one.name for one in tables))
        raise MonitorError(
            f"{name!r} names no monitored table: write TABLE.METRIC, like marts.orders.rows; "
            f"{meant or f'measured: {known}'}"
        )
    longest = max(size for size, _, _ in found)
    best = [(table, rest) for size, table, rest in found if size == longest]
    if len({table.name for table, _ in best}) > 1:
        raise MonitorError(
            f"{name!r} may be of several tables: name the schema, too: "
            f"{first_few([table.name for table, _ in best])}"
        )
    return best[0]


def _no_metric(table: str, wanted: str, names: Sequence[str]) -> str:
    meant = did_you_mean(wanted, names) if wanted else ""
    known = first_few([one for one in names if "(" not in one], 12)
    asked = f"{table} has no metric {wanted!r}" if wanted else f"name a metric of {table}"
    return f"{asked}: {meant or f'there are {known}'}"


def expect(resolved: Resolved, number: int, *, note: str | None, undo: bool) -> AlarmReport:
    """Note that an alarm was expected, which its monitor learns from; or that it was not.

    Args:
        resolved: the settings.
        number: of the alarm.
        note: why, for whoever reads it later.
        undo: it was not expected after all.

    Raises:
        MonitorError: there is no such alarm.
        RunStoreError: the run store cannot be written.
    """
    with _known(resolved) as (store, _):
        alarms = {one.number: one for one in store.alarms()}
        found = alarms.get(number)
        if found is None:
            last = ", ".join(str(one) for one in sorted(alarms)[-5:])
            raise MonitorError(
                f"there is no alarm {number}: `headrace quality status` lists them"
                f"{f' (the newest are {last})' if last else ''}"
            )
        status: AlarmStatus = "over" if undo else "expected"
        changed = replace(found, status=status, note=note if note is not None else found.note)
        store.keep_alarms([changed])
        return report_of(changed)
