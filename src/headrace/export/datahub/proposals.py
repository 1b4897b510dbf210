"""The catalog as metadata change proposals of DataHub; tests as assertions with their results.

catalog ─► tags, containers, datasets ─► data jobs ─► assertions, dashboards ─► proposals
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Protocol

from datahub.emitter import mce_builder as build
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
    ChangeAuditStampsClass,
    DashboardInfoClass,
    DataFlowInfoClass,
    DataJobInfoClass,
    DataJobInputOutputClass,
    DataPlatformInstanceClass,
    DatasetAssertionInfoClass,
    DatasetAssertionScopeClass,
    EdgeClass,
    StatusClass,
    TagPropertiesClass,
)

from headrace.catalog.model import Asset, Catalog
from headrace.export.datahub.datasets import _containers, dataset
from headrace.export.datahub.urns import (
    Urns,
    aspects,
    column_tags,
    global_tags,
    ownership,
    properties,
    tag,
)
from headrace.export.upstream import datasets_read, holds_data

_LOAD = "load"


def proposals(
    catalog: Catalog,
    urns: Urns,
    results: "Mapping[str, AssertionResult] | None" = None,
    *,
    indirect: bool = False,
    vanished: Iterable[Asset] = (),
) -> Iterator[MetadataChangeProposalWrapper]:
    """Everything that DataHub can hold, parents before children.

    Args:
        catalog: the graph.
        urns: the names.
        results: the newest result of each test by ``unique_id``.
        indirect: whether columns that only decide are sent as if their values flowed.
        vanished: what is to be marked as removed.
    """

    yield from _tags(catalog)
    datasets = [asset for asset in catalog.assets.values() if holds_data(asset)]
    yield from _containers(datasets, urns)
    for asset in datasets:
        yield from dataset(asset, catalog, urns, indirect=indirect)
    sources = {asset.id.split(".")[1]: None for asset in datasets if asset.kind == "resource"}
    for source in sources:
        yield from load(source, catalog, urns)
    for asset in catalog.assets.values():
        if asset.kind == "test":
            yield from assertion(asset, catalog, urns, (results or {}).get(asset.id))
        elif asset.kind == "exposure":
            yield from dashboard(asset, catalog, urns)
    yield from _removed(vanished, catalog, urns)


def _removed(
    vanished: Iterable[Asset], catalog: Catalog, urns: Urns
) -> Iterator[MetadataChangeProposalWrapper]:
    """What is gone is marked, not deleted; unless another asset has its name now."""

    def urn(asset: Asset) -> str:
        return urns.dashboard(asset) if asset.kind == "exposure" else urns.dataset(asset)

    named = {
        urn(asset)
        for asset in catalog.assets.values()
        if asset.kind == "exposure" or holds_data(asset)
    }
    for gone in dict.fromkeys(urn(asset) for asset in vanished):
        if gone not in named:
            yield from aspects(gone, StatusClass(removed=True))


def _tags(catalog: Catalog) -> Iterator[MetadataChangeProposalWrapper]:
    names: dict[str, None] = {}
    for asset in catalog.assets.values():
        names |= dict.fromkeys(asset.tags)
        for column in asset.columns:
            names |= dict.fromkeys(column_tags(column))
    for name in names:
        kind = name.removeprefix("pii.")
        text = "Personal data." if name == "pii" else f"Personal data: {kind}."
        is_pii = name == "pii" or kind != name
        yield from aspects(
            tag(name), TagPropertiesClass(name=name, description=text if is_pii else None)
        )


def load(source: str, catalog: Catalog, urns: Urns) -> Iterator[MetadataChangeProposalWrapper]:
    """A dlt pipeline with the one job that it has: to load the raw tables from the resources."""
    resources = [
        asset
        for asset in catalog.assets.values()
        if asset.kind == "resource" and asset.id.split(".")[1] == source
    ]
    tables = {
        child: catalog.assets[child]
        for resource in resources
        for child in catalog.children[resource.id]
        if catalog.assets[child].kind == "table"
    }
    nested = [asset for asset in catalog.assets.values() if _root(asset, catalog) in tables]
    flow = urns.flow(source)
    yield from aspects(
        flow,
        DataFlowInfoClass(name=source, description=f"dlt loads the source {source}."),
        StatusClass(removed=False),
    )
    yield from aspects(
        build.make_data_job_urn_with_flow(flow, _LOAD),
        DataJobInfoClass(name=f"load {source}", type="COMMAND", flowUrn=flow),
        StatusClass(removed=False),
        DataJobInputOutputClass(
            inputDatasets=[urns.dataset(asset) for asset in resources],
            outputDatasets=[urns.dataset(asset) for asset in (*tables.values(), *nested)],
        ),
    )


def _root(asset: Asset, catalog: Catalog) -> str | None:
    """Of a dlt child table the table that its rows come with."""
    found: str | None = None
    current, seen = asset, {asset.id}
    while current.parent_table in catalog.assets and current.parent_table not in seen:
        found = current.parent_table or ""
        seen.add(found)
        current = catalog.assets[found]
    return found


def dashboard(
    asset: Asset, catalog: Catalog, urns: Urns
) -> Iterator[MetadataChangeProposalWrapper]:
    """An exposure."""
    read = [urns.dataset(each) for each in datasets_read(catalog, asset.id) if holds_data(each)]
    yield from aspects(
        urns.dashboard(asset),
        DashboardInfoClass(
            title=asset.name,
            description=asset.description,
            lastModified=ChangeAuditStampsClass(created=urns.stamp, lastModified=urns.stamp),
            dashboardUrl=asset.url,
            customProperties=properties(asset),
            datasetEdges=[EdgeClass(destinationUrn=urn, lastModified=urns.stamp) for urn in read],
        ),
        StatusClass(removed=False),
        global_tags(asset.tags),
        ownership(asset.owners, urns),
    )


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
