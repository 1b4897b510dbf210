"""What a run measured: a run for each table, its profile as metrics and alarms as assertions.

The job is ``<asset id>.quality``. A table is looked at by Headrace, not by dbt, and this may be so
without a build: of a raw table, and where the build was reused.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from openlineage.client.event_v2 import Job, RunEvent, RunState
from openlineage.client.generated.base import InputDatasetFacet
from openlineage.client.generated.data_quality_assertions_dataset import (
    Assertion,
    DataQualityAssertionsDatasetFacet,
)
from openlineage.client.generated.data_quality_metrics_input_dataset import (
    ColumnMetrics,
    DataQualityMetricsInputDatasetFacet,
)

from headrace.catalog.metric_tables import StoredAlarm
from headrace.catalog.model import Asset, Catalog
from headrace.export.openlineage import facets
from headrace.export.openlineage.context import RunContext, run_of, timestamp
from headrace.export.upstream import column_of
from headrace.quality.profile.model import ColumnProfile, TableProfile


def quality_events(
    context: RunContext,
    catalog: Catalog,
    profiles: Mapping[str, TableProfile],
    alarms: Sequence[StoredAlarm] = (),
    *,
    began: datetime,
    at: datetime,
) -> Iterator[RunEvent]:
    """START and COMPLETE for each table that has a profile or an alarm.

    Args:
        context: the run's.
        catalog: of the tables; what it does not hold is left out.
        profiles: that the run kept, by asset id.
        alarms: that are open, or ended in this run. An alarm is an assertion of severity warn.
        began: when it began to look at them.
        at: when it had done so.
    """
    by_asset: dict[str, list[StoredAlarm]] = {}
    for alarm in alarms:
        by_asset.setdefault(alarm.asset_id, []).append(alarm)
    for key in dict.fromkeys([*profiles, *by_asset]):
        asset = catalog.assets.get(key)
        if asset is None or context.names.dataset(asset) is None:
            continue
        known: dict[str, InputDatasetFacet] = {}
        if key in profiles:
            known["dataQualityMetrics"] = _metrics(profiles[key])
        if key in by_asset:
            known["dataQualityAssertions"] = DataQualityAssertionsDatasetFacet(
                assertions=[_assertion(one, asset) for one in by_asset[key]]
            )
        dataset = facets.input_dataset(asset, context)
        dataset.inputFacets = known
        job = Job(
            context.names.jobs,
            f"{key}.quality",
            facets=facets.job_facets("QUALITY", integration="HEADRACE"),
        )
        run = run_of(context.uuid(job.name, began), context.parent, "headrace", context, None)
        for state, when, inputs in (
            (RunState.START, began, []),
            (RunState.COMPLETE, at, [dataset]),
        ):
            yield RunEvent(
                eventType=state,
                eventTime=timestamp(when),
                run=run,
                job=job,
                inputs=inputs,
                outputs=[],
            )


def _metrics(profile: TableProfile) -> DataQualityMetricsInputDatasetFacet:
    """Of a column of personal data, counts alone; quantiles by their share, as ``0.25``."""
    return DataQualityMetricsInputDatasetFacet(
        columnMetrics={
            column.name: ColumnMetrics(
                nullCount=column.nulls,
                distinctCount=column.distinct,
                count=float(profile.rows - column.nulls),
                min=_number(column, column.min),
                max=_number(column, column.max),
                quantiles={
                    str(int(percent) / 100): float(value)
                    for percent, value in column.quantiles.items()
                    if column.kind == "number"
                },
            )
            for column in profile.columns
        },
        rowCount=profile.rows,
        bytes=profile.bytes,
    )


def _number(column: ColumnProfile, text: str | None) -> float | None:
    return float(text) if text is not None and column.kind == "number" else None


def _assertion(alarm: StoredAlarm, asset: Asset) -> Assertion:
    column = column_of(alarm.metric, asset)
    return Assertion(
        assertion=f"monitor({alarm.metric})",
        success=alarm.status != "open",
        column=column,
        severity="warn",
        name=f"{asset.id}.monitor.{alarm.metric}",
        description=alarm.text,
        expected=band(alarm.low, alarm.high),
        actual=None if alarm.value is None else f"{alarm.value:.6g}",
    )


def band(low: float | None, high: float | None) -> str | None:
    """``12 to 30``, ``at least 12``, ``at most 30``; None without either."""
    if low is None and high is None:
        return None
    if low is None:
        return f"at most {high:.6g}"
    return f"at least {low:.6g}" if high is None else f"{low:.6g} to {high:.6g}"
