"""The catalog as OpenLineage events without a run: every job and dataset as it is defined."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.catalog.model import Catalog
from headrace.export.output import ExportReport, required, write_export
from headrace.settings import Resolved

if TYPE_CHECKING:
    from openlineage.client.event_v2 import DatasetEvent, JobEvent

    from headrace.export.openlineage.context import RunContext


def to_file(resolved: Resolved, catalog: Catalog, path: Path) -> ExportReport:
    """Write a DatasetEvent of each dataset and a JobEvent of each job, one a line.

    Raises:
        ExportError: openlineage-python is not installed, or the file cannot be written.
    """
    with required("openlineage-python", "openlineage"):
        from openlineage.client.serde import Serde

        from headrace.export.openlineage.context import context_of
    at = catalog.created_at or datetime.now(UTC)
    context = context_of(resolved, run_id="", command="headrace run", started_at=at)
    found = list(static_events(replace(context, parent_run=None), catalog, at))
    write_export(path, "".join(Serde.to_json(event) + "\n" for event in found))
    kinds = (type(event).__name__ for event in found)
    return ExportReport.of("openlineage", str(path), kinds, catalog)


def static_events(
    context: "RunContext", catalog: Catalog, at: datetime
) -> "Iterator[DatasetEvent | JobEvent]":
    """Datasets before the jobs that use them."""
    from openlineage.client.event_v2 import DatasetEvent, JobEvent, StaticDataset

    from headrace.export.openlineage import facets
    from headrace.export.openlineage.context import timestamp
    from headrace.export.openlineage.events import BUILT
    from headrace.export.openlineage.facets import input_dataset, load_job, node_job, output_dataset
    from headrace.export.upstream import datasets_read, holds_data

    datasets = [asset for asset in catalog.assets.values() if holds_data(asset)]
    for asset in datasets:
        name = context.names.dataset(asset)
        if name is not None:
            known = facets.dataset_facets(asset, catalog, context.names)
            yield DatasetEvent(
                eventTime=timestamp(at),
                dataset=StaticDataset(name.namespace, name.name, facets=known),
            )
    for source in dict.fromkeys(a.id.split(".")[1] for a in datasets if a.kind == "resource"):
        resources = [a for a in datasets if a.id.startswith(f"resource.{source}.")]
        tables = [
            catalog.assets[child]
            for resource in resources
            for child in catalog.children[resource.id]
            if catalog.assets[child].kind == "table"
        ]
        yield JobEvent(
            eventTime=timestamp(at),
            job=load_job(context, source, None),
            inputs=[input_dataset(asset, context) for asset in resources],
            outputs=[output_dataset(asset, catalog, context) for asset in tables],
        )
    for asset in datasets:
        if asset.kind in BUILT:
            read = datasets_read(catalog, asset.id)
            yield JobEvent(
                eventTime=timestamp(at),
                job=node_job(context, asset),
                inputs=[input_dataset(parent, context) for parent in read],
                outputs=[output_dataset(asset, catalog, context)],
            )
