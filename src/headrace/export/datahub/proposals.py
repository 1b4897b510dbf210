"""The catalog as metadata change proposals of DataHub.

catalog ─► tags, containers, datasets ─► data jobs ─► assertions, dashboards ─► proposals
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from headrace.export.datahub.assertions import AssertionResult


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
    from headrace.export.datahub.assertions import assertion

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
