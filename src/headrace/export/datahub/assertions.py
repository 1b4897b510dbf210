"""Tests as assertions of DataHub, and their newest results."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.metadata.schema_classes import (
    AssertionInfoClass,
    AssertionResultClass,
    AssertionResultTypeClass,
    AssertionRunEventClass,
    AssertionRunStatusClass,
    AssertionStdAggregationClass,
    AssertionStdOperatorClass,
    AssertionTypeClass,
    DataPlatformInstanceClass,
    DatasetAssertionInfoClass,
    DatasetAssertionScopeClass,
)

from headrace.catalog.model import Asset, Catalog
from headrace.export.datahub.urns import Urns, aspects, properties
from headrace.export.upstream import datasets_read, holds_data

_STANDARD = {
    "not_null": (AssertionStdOperatorClass.NOT_NULL, AssertionStdAggregationClass.IDENTITY),
    "unique": (
        AssertionStdOperatorClass.EQUAL_TO,
        AssertionStdAggregationClass.UNIQUE_PROPOTION,
    ),
    "accepted_values": (AssertionStdOperatorClass.IN, AssertionStdAggregationClass.IDENTITY),
}

_NATIVE = (AssertionStdOperatorClass._NATIVE_, AssertionStdAggregationClass._NATIVE_)
_RESULTS = {
    "pass": AssertionResultTypeClass.SUCCESS,
    "fail": AssertionResultTypeClass.FAILURE,
    "warn": AssertionResultTypeClass.FAILURE,
    "error": AssertionResultTypeClass.ERROR,
}


class AssertionResult(Protocol):
    """A test in a run; see ``catalog.NodeRun``."""

    @property
    def run_id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def started_at(self) -> datetime | None: ...
    @property
    def failures(self) -> int | None: ...
    @property
    def message(self) -> str | None: ...


def assertion(
    asset: Asset, catalog: Catalog, urns: Urns, result: AssertionResult | None
) -> Iterator[MetadataChangeProposalWrapper]:
    """A test on the dataset that it is attached to, else on the first that it reads."""
    tested = _subject(asset, catalog)
    if tested is None or asset.test is None:
        return
    urn, dataset = urns.assertion(asset), urns.dataset(tested)
    operator, aggregation = _STANDARD.get(asset.test.name, _NATIVE)
    fields = [urns.field(tested, asset.test.column)] if asset.test.column else []
    scope = (
        DatasetAssertionScopeClass.DATASET_COLUMN
        if fields
        else DatasetAssertionScopeClass.DATASET_ROWS
    )
    yield from aspects(
        urn,
        AssertionInfoClass(
            type=AssertionTypeClass.DATASET,
            description=asset.description or asset.name,
            customProperties=properties(asset) | {"severity": asset.test.severity},
            datasetAssertion=DatasetAssertionInfoClass(
                dataset=dataset,
                scope=scope,
                operator=operator,
                aggregation=aggregation,
                fields=fields or None,
                nativeType=asset.test.name,
                nativeParameters={key: str(val) for key, val in asset.test.arguments.items()},
                logic=asset.compiled_code,
            ),
        ),
        DataPlatformInstanceClass(platform="urn:li:dataPlatform:dbt"),
        _run(urn, dataset, result),
    )


def _subject(asset: Asset, catalog: Catalog) -> Asset | None:
    attached = catalog.assets.get(asset.test.attached_to or "") if asset.test else None
    if attached is not None and holds_data(attached):
        return attached
    return next(datasets_read(catalog, asset.id), None)


def _run(urn: str, dataset: str, result: AssertionResult | None) -> AssertionRunEventClass | None:
    """The newest result; None of a test that was skipped, or has not run."""
    kind = _RESULTS.get(result.status) if result else None
    if result is None or kind is None or result.started_at is None:
        return None
    native = {"status": result.status} | ({"message": result.message} if result.message else {})
    return AssertionRunEventClass(
        timestampMillis=int(result.started_at.timestamp() * 1000),
        runId=result.run_id,
        asserteeUrn=dataset,
        assertionUrn=urn,
        status=AssertionRunStatusClass.COMPLETE,
        result=AssertionResultClass(
            type=kind, unexpectedCount=result.failures, nativeResults=native
        ),
    )
