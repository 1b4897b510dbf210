"""dlt's loads as data jobs, dbt's exposures as dashboards."""

from collections.abc import Iterator

from datahub.emitter import mce_builder as build
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.metadata.schema_classes import (
    ChangeAuditStampsClass,
    DashboardInfoClass,
    DataFlowInfoClass,
    DataJobInfoClass,
    DataJobInputOutputClass,
    EdgeClass,
    StatusClass,
)

from headrace.catalog.model import Asset, Catalog
from headrace.export.datahub.proposals import aspects, properties
from headrace.export.datahub.urns import Urns, global_tags, ownership
from headrace.export.reads import datasets_read, holds_data

_LOAD = "load"


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
