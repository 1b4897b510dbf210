"""One run of Headrace as OpenLineage events: pure functions of the catalog and of what was done.

The job tree: the command (``run``); below it one job for each dlt source (``load.<source>``), for
each dbt model, snapshot and seed (its ``unique_id``), and for the tests of each dataset
(``<unique_id>.test``). Nodes that dbt skipped never ran, so there is no event of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from openlineage.client.event_v2 import (
    InputDataset,
    Job,
    OutputDataset,
    RunEvent,
    RunState,
)
from openlineage.client.generated.base import OutputDatasetFacet
from openlineage.client.generated.output_statistics_output_dataset import (
    OutputStatisticsOutputDatasetFacet,
)

from headrace.artifacts.dbt_results import FAILED
from headrace.catalog.model import Asset, Catalog
from headrace.export.openlineage import facets
from headrace.export.openlineage.assertions import assertion_events
from headrace.export.openlineage.context import (
    NodeResult,
    RunContext,
    TableResult,
    dbt_run,
    end_state,
    run_of,
    started_and_ended,
    timestamp,
)
from headrace.export.openlineage.facets import input_dataset, load_job, node_job, output_dataset
from headrace.export.openlineage.naming import Names
from headrace.export.upstream import datasets_read

BUILT = frozenset({"model", "snapshot", "seed"})


def run_event(
    context: RunContext,
    state: RunState,
    at: datetime,
    *,
    error: str | None = None,
    stack: str | None = None,
) -> RunEvent:
    """The whole run began or ended; ``stack`` is where an error came from."""
    return RunEvent(
        eventType=state,
        eventTime=timestamp(at),
        run=run_of(
            context.parent.run_id, context.parent_run, "headrace", context, error, stack=stack
        ),
        job=Job(
            context.names.jobs,
            context.command,
            facets=facets.job_facets("RUN", integration="HEADRACE"),
        ),
        inputs=[],
        outputs=[],
    )


def load_event(
    context: RunContext,
    source: str,
    state: RunState,
    at: datetime,
    *,
    started_at: datetime,
    kind: str | None = None,
    folder: Path | str | None = None,
    tables: Iterable[TableResult] = (),
    catalog: Catalog | None = None,
    error: str | None = None,
) -> RunEvent:
    """A dlt source's load began, ended, or is described by what is known of it since.

    Args:
        context: the run's.
        source: its name.
        state: START, COMPLETE, FAIL, ABORT; OTHER to tell more of one that ended.
        at: when.
        started_at: when the load began; it is in its run id.
        kind: the folder in ``dlt_pipelines``.
        folder: where its files are, of a source of files.
        tables: the raw tables that it filled.
        catalog: for their columns and lineage.
        error: why it failed.
    """
    job = f"load.{source}"
    read = [_folder(folder)] if folder is not None else []
    written = [_raw_table(context, table, catalog) for table in tables]
    if catalog is not None:
        read += [
            input_dataset(asset, context)
            for asset in catalog.assets.values()
            if asset.kind == "resource" and asset.id.startswith(f"resource.{source}.")
        ]
    return RunEvent(
        eventType=state,
        eventTime=timestamp(at),
        run=run_of(context.uuid(job, started_at), context.parent, "dlt", context, error),
        job=load_job(context, source, kind),
        inputs=read,
        outputs=written,
    )


def node_event(
    context: RunContext,
    node: str,
    state: RunState,
    at: datetime,
    *,
    began: datetime,
    error: str | None = None,
) -> RunEvent:
    """A node began, or ended without a catalog that has more about it.

    Args:
        context: the run's.
        node: dbt's id of a model, snapshot or seed.
        state: how it is.
        at: when.
        began: when it began; it is in its run id.
        error: why it failed.
    """
    known = facets.job_facets(node.partition(".")[0].upper(), integration="DBT")
    return RunEvent(
        eventType=state,
        eventTime=timestamp(at),
        run=dbt_run(context.uuid(node, began), context, error),
        job=Job(context.names.jobs, node, facets=known),
        inputs=[],
        outputs=[],
    )


def node_events(
    context: RunContext,
    catalog: Catalog,
    nodes: Sequence[NodeResult],
    *,
    ended_at: datetime,
    began: Mapping[str, datetime] | None = None,
    rows: Mapping[str, int] | None = None,
) -> Iterator[RunEvent]:
    """START and COMPLETE or FAIL of each model, snapshot and seed that dbt ran; then its tests.

    Args:
        context: the run's.
        catalog: as of this build; nodes that it does not hold are left out.
        nodes: what dbt reported.
        ended_at: when the build ended, for nodes that do not say when they ran.
        began: nodes whose START was sent when they began, and when that was.
        rows: of tables, by ``schema.table``, where they are known.
    """
    for node in nodes:
        asset = catalog.assets.get(node.unique_id)
        if asset is None or node.resource_type not in BUILT or node.status == "skipped":
            continue
        counted = (rows or {}).get(f"{asset.schema}.{asset.identifier or asset.name}")
        at = (began or {}).get(asset.id)
        yield from _node(context, catalog, asset, node, ended_at, began=at, rows=counted)
    yield from assertion_events(context, catalog, nodes, ended_at=ended_at)


def _node(
    context: RunContext,
    catalog: Catalog,
    asset: Asset,
    node: NodeResult,
    ended_at: datetime,
    *,
    began: datetime | None,
    rows: int | None,
) -> Iterator[RunEvent]:
    start, end = started_and_ended(node, ended_at)
    if began is not None:
        start, end = began, max(began, end)
    failed = node.status in FAILED
    error = (node.message or "dbt gave no reason") if failed else None
    run_id = context.uuid(asset.id, start)
    job = node_job(context, asset)
    first = () if began is not None else ((RunState.START, start),)
    for state, at in (*first, (end_state(failed=failed), end)):
        last = state is not RunState.START
        yield RunEvent(
            eventType=state,
            eventTime=timestamp(at),
            run=dbt_run(run_id, context, error if last else None),
            job=job,
            inputs=[input_dataset(each, context) for each in datasets_read(catalog, asset.id)]
            if last
            else [],
            outputs=[output_dataset(asset, catalog, context, _statistics(rows))] if last else [],
        )


def _folder(folder: Path | str) -> InputDataset:
    name = Names.folder(folder)
    return InputDataset(name.namespace, name.name, facets=facets.source_facets(name))


def _statistics(rows: int | None) -> dict[str, OutputDatasetFacet]:
    """How many rows were written; in bytes, a table of a DuckDB file has no size of its own."""
    if rows is None:
        return {}
    return {"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=rows)}


def _raw_table(context: RunContext, table: TableResult, catalog: Catalog | None) -> OutputDataset:
    schema = context.raw_schemas.get(table.source, f"{table.source}_raw")
    statistics = _statistics(table.rows_new + table.rows_changed)
    asset = catalog.assets.get(f"table.{schema}.{table.table}") if catalog else None
    if asset is not None and catalog is not None:
        return output_dataset(asset, catalog, context, statistics)
    name = context.names.table(schema, table.table)
    return OutputDataset(
        name.namespace, name.name, facets=facets.source_facets(name), outputFacets=statistics
    )
