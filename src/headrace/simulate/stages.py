"""The stages in order: each can be run alone and again, and leaves a report of what it did."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from headrace.pipeline.loading import sources
from headrace.pipeline.reports import Event, ignore
from headrace.pipeline.run import run as run_pipeline
from headrace.settings import Resolved
from headrace.simulate import bronze, silver
from headrace.simulate.explain import explained
from headrace.simulate.places import CloudStack
from headrace.simulate.reports import (
    ALL_STAGES,
    SimulationReport,
    StageName,
    StageReport,
    StageTable,
    keep,
    kept,
)
from headrace.simulate.warehouse import Warehouse, load

Told = Callable[[StageName], None]


def simulation_of(
    project: Resolved, source_names: Sequence[str] = (), flags: Sequence[str] = ()
) -> CloudStack:
    """The places of a simulation.

    Args:
        project: the settings.
        source_names: the sources; by default those that are enabled.
        flags: settings of this call, as ``--set`` takes them.

    Raises:
        SettingsError: there is no such source, or none at all.
    """
    chosen = tuple(sources.selected(project, tuple(source_names)))
    return CloudStack(project, chosen, tuple(flags))


def run(
    simulation: CloudStack,
    stages: Sequence[StageName] = (),
    *,
    listen: Callable[[Event], None] = ignore,
    begun: Told = lambda stage: None,
    ended: Callable[[StageReport], None] = lambda report: None,
) -> SimulationReport:
    """Run stages, in their order; the first that fails ends it.

    Args:
        simulation: the places.
        stages: which; by default all.
        listen: is told what dlt and dbt do.
        begun: is told of each stage.
        ended: is told how each stage ended.

    Raises:
        HeadraceError: a stage could not run; what the ones before did stays.
    """
    done: list[StageReport] = []
    with simulation.lock():
        for stage in ALL_STAGES:
            if stages and stage not in stages:
                continue
            begun(stage)
            report = _run(simulation, stage, listen)
            keep(simulation.folder / "stages", report)
            done.append(report)
            ended(report)
            if not report.is_good:
                break
    return SimulationReport(url=simulation.url, sources=simulation.sources, stages=tuple(done))


def shown(simulation: CloudStack, stages: Sequence[StageName] = ()) -> SimulationReport:
    """What the stages did when they ran last; nothing is run."""
    found = [kept(simulation.folder / "stages", stage) for stage in stages or ALL_STAGES]
    settings = simulation.project.settings.simulate
    return SimulationReport(
        url=settings.url,
        sources=simulation.sources,
        stages=tuple(one for one in found if one is not None),
    )


def _run(simulation: CloudStack, stage: StageName, listen: Callable[[Event], None]) -> StageReport:
    began = time.monotonic()
    _ = simulation.store  # the bucket is there, before requests are counted
    before = simulation.requests()
    tables, problems, notes = _STAGES[stage](simulation, listen)
    after = simulation.requests()
    report = StageReport(
        stage=stage,
        ended_at=datetime.now(UTC),
        seconds=time.monotonic() - began,
        changed=any(table.new_files or table.new_rows for table in tables),
        tables=tuple(tables),
        requests={kind: after[kind] - before.get(kind, 0) for kind in after},
        bytes_read=sum(table.bytes for table in tables) if stage.endswith("-copy") else 0,
        problems=tuple(problems),
        notes=tuple(notes),
    )
    return report.model_copy(
        update={"explanation": explained(report, simulation.project.settings.simulate)}
    )


_Outcome = tuple[list[StageTable], list[str], list[str]]
"""Tables, problems, notes."""


def _bronze(simulation: CloudStack, listen: Callable[[Event], None]) -> _Outcome:
    import duckdb

    extract = simulation.extract
    loaded = run_pipeline(
        extract, steps=("load",), source_names=simulation.sources, listen=listen,
        command="headrace simulate",
    )  # fmt: skip
    tables: list[StageTable] = []
    with duckdb.connect(str(simulation.folder / "extract.duckdb")) as connection:
        try:
            simulation.open(connection)
            for name in simulation.sources:
                tables += bronze.stage(simulation, connection, name, extract.raw_schema(name))
        except duckdb.Error as error:
            raise simulation.store.explain(error) from error
    return tables, [loaded.error] if loaded.error else [], list(loaded.notes)


def _silver(simulation: CloudStack, listen: Callable[[Event], None]) -> _Outcome:
    import duckdb

    del listen
    with duckdb.connect() as connection:
        try:
            simulation.open(connection)
            return silver.write(simulation, connection), [], []
        except duckdb.Error as error:
            raise simulation.store.explain(error) from error


def _gold(simulation: CloudStack, listen: Callable[[Event], None]) -> _Outcome:
    bronze.needed(simulation)
    problems, notes, changed = _built(simulation.lakehouse, listen)
    tables = [
        table.model_copy(update={"new_rows": table.rows or 0 if table.name in changed else 0})
        for table in silver.marts(simulation)
    ]
    return tables, problems, notes


def _built(
    resolved: Resolved, listen: Callable[[Event], None]
) -> tuple[list[str], list[str], dict[str, int]]:
    """Build and publish: problems, notes, and the published tables that are new, with rows."""
    report = run_pipeline(
        resolved, steps=("build", "publish"), listen=listen, command="headrace simulate"
    )
    problems = list(report.audit.problems) if report.audit else []
    changed = (
        {one.name: one.rows for one in report.publish.tables if one.changed}
        if report.publish
        else {}
    )
    return problems if report.status != "success" else [], list(report.notes), changed


def _snowflake(simulation: CloudStack) -> Warehouse:
    from headrace.simulate.snowflake_copy import SnowflakeCopy

    return SnowflakeCopy.of(simulation)


def _redshift(simulation: CloudStack) -> Warehouse:
    from headrace.simulate.redshift_copy import RedshiftCopy

    return RedshiftCopy.of(simulation)


def _copied(warehouse: Callable[[CloudStack], Warehouse]) -> Callable[..., _Outcome]:
    def copy(simulation: CloudStack, listen: Callable[[Event], None]) -> _Outcome:
        del listen
        tables = load(simulation, warehouse(simulation))
        return tables, [], [f"{one.name}: {one.note}" for one in tables if one.note]

    return copy


def _modelled(kind: str) -> Callable[..., _Outcome]:
    def model(simulation: CloudStack, listen: Callable[[Event], None]) -> _Outcome:
        bronze.needed(simulation)
        resolved = simulation.resolved(getattr(simulation.project.settings.simulate, kind))
        problems, notes, changed = _built(resolved, listen)
        publisher = resolved.target.publisher()
        current = publisher.current() if publisher else None
        tables = [
            StageTable(
                name=f"{one.schema}.{one.name}",
                place=f"{resolved.target.location}, {one.schema}.{one.name}",
                rows=one.rows,
                new_rows=changed.get(f"{one.schema}.{one.name}", 0),
            )
            for one in (current.tables if current else ())
        ]
        return tables, problems, notes

    return model


WAREHOUSES: Mapping[str, Callable[[CloudStack], Warehouse]] = {
    "snowflake": _snowflake,
    "redshift": _redshift,
}
_STAGES: dict[StageName, Callable[..., _Outcome]] = {
    "bronze": _bronze,
    "silver": _silver,
    "gold": _gold,
    "snowflake-copy": _copied(_snowflake),
    "snowflake-dbt": _modelled("snowflake"),
    "redshift-copy": _copied(_redshift),
    "redshift-dbt": _modelled("redshift"),
}
