"""Profiles of tables as dataset profiles of DataHub, and alarms of monitors as assertions."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.metadata.schema_classes import (
    AssertionInfoClass,
    AssertionResultClass,
    AssertionResultTypeClass,
    AssertionRunEventClass,
    AssertionRunStatusClass,
    AssertionStdAggregationClass,
    AssertionStdOperatorClass,
    AssertionStdParameterClass,
    AssertionStdParametersClass,
    AssertionStdParameterTypeClass,
    AssertionTypeClass,
    DataPlatformInstanceClass,
    DatasetAssertionInfoClass,
    DatasetAssertionScopeClass,
    DatasetFieldProfileClass,
    DatasetProfileClass,
    HistogramClass,
    QuantileClass,
    ValueFrequencyClass,
)

from headrace.catalog.kept_profiles import KeptProfile
from headrace.catalog.metric_tables import StoredAlarm
from headrace.catalog.model import Asset, Catalog
from headrace.catalog.pii import inherited, sources_of
from headrace.export.datahub.urns import Urns, aspects
from headrace.export.upstream import column_of, holds_data
from headrace.quality.profile import TableProfile, without_values
from headrace.quality.profile.model import ColumnProfile


def quality(
    catalog: Catalog,
    urns: Urns,
    profiles: Mapping[str, KeptProfile],
    alarms: Sequence[StoredAlarm] = (),
) -> Iterator[MetadataChangeProposalWrapper]:
    """The newest profile of each table, and each alarm with its newest result.

    Args:
        catalog: of the tables; what it does not hold is left out.
        urns: the names.
        profiles: by asset id.
        alarms: of monitors.
    """
    personal = {*inherited(catalog), *sources_of(catalog)}
    for key, kept in profiles.items():
        asset = catalog.assets.get(key)
        if asset is not None and holds_data(asset):
            read = TableProfile.model_validate_json(kept.payload)
            names = {name for asset_id, name in personal if asset_id == key}
            yield from aspects(urns.dataset(asset), _profile(without_values(read, names), kept.at))
    for alarm in alarms:
        asset = catalog.assets.get(alarm.asset_id)
        if asset is not None and holds_data(asset):
            yield from _alarm(alarm, asset, urns)


def _profile(profile: TableProfile, at: datetime) -> DatasetProfileClass:
    return DatasetProfileClass(
        timestampMillis=int(at.timestamp() * 1000),
        rowCount=profile.rows,
        columnCount=len(profile.columns),
        sizeInBytes=profile.bytes,
        fieldProfiles=[_field(column, profile.rows) for column in profile.columns],
    )


def _field(column: ColumnProfile, rows: int) -> DatasetFieldProfileClass:
    filled = rows - column.nulls
    median = column.quantiles.get("50")
    return DatasetFieldProfileClass(
        fieldPath=column.name,
        uniqueCount=column.distinct,
        uniqueProportion=column.distinct / filled if filled else None,
        nullCount=column.nulls,
        nullProportion=column.null_share,
        min=column.min,
        max=column.max,
        mean=_text(column.mean),
        median=_text(median),
        stdev=_text(column.deviation),
        quantiles=[
            QuantileClass(quantile=str(int(percent) / 100), value=str(value))
            for percent, value in column.quantiles.items()
        ]
        or None,
        distinctValueFrequencies=[
            ValueFrequencyClass(value=one.value, frequency=one.rows) for one in column.top
        ]
        or None,
        histogram=HistogramClass(
            boundaries=[column.histogram[0].low, *(bar.high for bar in column.histogram)],
            heights=[float(bar.rows) for bar in column.histogram],
        )
        if column.histogram
        else None,
    )


def _text(number: float | str | None) -> str | None:
    return None if number is None else str(number)


def _alarm(alarm: StoredAlarm, asset: Asset, urns: Urns) -> Iterator[MetadataChangeProposalWrapper]:
    """A monitor that has alarmed: its band is the promise, and an open alarm a failure of it."""
    urn, dataset = urns.monitor(asset, alarm.metric), urns.dataset(asset)
    name = column_of(alarm.metric, asset)
    limits = {
        key: AssertionStdParameterClass(
            value=f"{value:.6g}", type=AssertionStdParameterTypeClass.NUMBER
        )
        for key, value in (("minValue", alarm.low), ("maxValue", alarm.high))
        if value is not None
    }
    is_open = alarm.status == "open"
    yield from aspects(
        urn,
        AssertionInfoClass(
            type=AssertionTypeClass.DATASET,
            description=f"{alarm.metric} is within the band that its history sets",
            customProperties={"severity": "warn", "metric": alarm.metric},
            datasetAssertion=DatasetAssertionInfoClass(
                dataset=dataset,
                scope=DatasetAssertionScopeClass.DATASET_COLUMN
                if name
                else DatasetAssertionScopeClass.DATASET_ROWS,
                operator=AssertionStdOperatorClass.BETWEEN
                if None not in (alarm.low, alarm.high)
                else AssertionStdOperatorClass._NATIVE_,
                aggregation=AssertionStdAggregationClass._NATIVE_,
                fields=[urns.field(asset, name)] if name else None,
                parameters=AssertionStdParametersClass(**limits) if limits else None,
                nativeType="monitor",
                nativeParameters={"metric": alarm.metric},
            ),
        ),
        DataPlatformInstanceClass(platform="urn:li:dataPlatform:headrace"),
        AssertionRunEventClass(
            timestampMillis=int(alarm.last.timestamp() * 1000),
            runId=alarm.last_run_id,
            asserteeUrn=dataset,
            assertionUrn=urn,
            status=AssertionRunStatusClass.COMPLETE,
            result=AssertionResultClass(
                type=AssertionResultTypeClass.FAILURE
                if is_open
                else AssertionResultTypeClass.SUCCESS,
                actualAggValue=alarm.value,
                nativeResults={"status": alarm.status, "message": alarm.text},
            ),
        ),
    )
