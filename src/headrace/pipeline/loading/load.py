"""The load step: the sources in turn, each into its raw schema; what depends on a failed one."""

import time
from collections.abc import Iterable, Mapping

from headrace.artifacts import Manifest
from headrace.errors import HeadraceError, SourceError, WarehouseError
from headrace.exceptions import came_of_ctrl_c
from headrace.libraries import dlt as libraries_dlt
from headrace.lineage.trace import reachable
from headrace.pipeline.loading import sources
from headrace.pipeline.loading.backfill import LoadPart
from headrace.pipeline.loading.load_process import LoadEvents
from headrace.pipeline.loading.source_loader import SourceLoader, refresh_marker
from headrace.pipeline.quarantine.listing import count_open
from headrace.pipeline.reports import Event, Listener, LoadFailure, LoadReport, TableReport
from headrace.settings import Resolved, SourceSettings
from headrace.targets import Target
from headrace.telemetry import json_log


def warm_up(resolved: Resolved, chosen: Mapping[str, SourceSettings]) -> None:
    """Import dlt and the code of the sources, ahead of their load."""
    with libraries_dlt.environment():
        libraries_dlt.import_all()
        for name, settings in chosen.items():
            sources.takes_context(resolved, name, settings)


@libraries_dlt.environment()
def load(
    resolved: Resolved,
    target: Target,
    chosen: dict[str, SourceSettings],
    *,
    full_refresh: bool,
    listen: Listener,
    emitter: LoadEvents | None = None,
    part: LoadPart | None = None,
    failures: list[LoadFailure] | None = None,
) -> LoadReport:
    """Load sources one after the other.

    What a stopped run left unfinished is dropped first, and loaded again. A source or a table that
    fails does not stop the others: the report says which failed and why. What was loaded of them
    before stays, and rows of a load that failed are not visible to staging.

    Args:
        resolved: the settings.
        target: where to load into.
        chosen: the sources by name.
        full_refresh: forget what was loaded before, and load everything again.
        listen: is told of each table.
        emitter: is told when a source begins and ends.
        part: what of the sources is loaded; by default what is new of all tables.
        failures: is filled with what could not be loaded, also where nothing could.

    Raises:
        HeadraceError: nothing at all could be loaded; of one source, its own error.
        WarehouseError: the target cannot be written.
    """
    started = time.monotonic()
    with target.opened_once():
        target.check()
        reports: list[TableReport] = []
        load_ids: list[str] = []
        failures = [] if failures is None else failures
        last: HeadraceError | None = None
        listen(Event("load", "starting dlt", "phase"))
        # all at once: a kill in the first source must not lose that the others are to be refreshed
        begun = _begin_refresh(resolved, target, chosen) if full_refresh else frozenset()
        for number, (name, settings) in enumerate(chosen.items(), start=1):
            loader = SourceLoader(
                resolved,
                target,
                name,
                settings,
                listen,
                full_refresh,
                is_new_refresh=name in begun,
                tables=part.tables.get(name, ()) if part else (),
                backfill=part.backfill if part else None,
            )
            if emitter is not None:
                emitter.load_started(name)
            try:
                with json_log.about(stage="load", source=name):
                    found, ids = loader.run()
            except HeadraceError as error:
                if came_of_ctrl_c(error):
                    raise
                if isinstance(error, WarehouseError):
                    left = [other for other in list(chosen)[number:] if other in begun]
                    raise _with_unbegun(resolved, target, error, left) from error
                last = error
                found, ids = [], []
                failures.append(LoadFailure(source=name, error=str(error), detail=error.detail))
            failures += loader.failures
            if emitter is not None:
                said = "; ".join(each.error for each in failures if each.source == name)
                emitter.load_ended(name, found, error=said or None)
            reports += found
            load_ids += ids
        if failures and not _loaded_any(reports, failures):
            if last is not None and len(failures) == 1:
                raise last
            detail = next((each.detail for each in failures if each.detail), None)
            raise SourceError("; ".join(each.sentence for each in failures), detail=detail)
        return LoadReport(
            tables=tuple(reports),
            load_ids=tuple(load_ids),
            failures=tuple(failures),
            rows_in_quarantine=count_open(resolved, chosen),
            seconds=time.monotonic() - started,
        )


def _loaded_any(tables: Iterable[TableReport], failures: Iterable[LoadFailure]) -> bool:
    """Whether any table was loaded, in part at least, or is known to be current."""
    failed = {(each.source, each.table) for each in failures}
    return any(
        table.files_read or table.files_unchanged or (table.source, table.table) not in failed
        for table in tables
    )


def _with_unbegun(
    resolved: Resolved, target: Target, error: WarehouseError, left: list[str]
) -> WarehouseError:
    """The error that stops the step; it names the sources whose full refresh did not begin."""
    if not left:
        return error
    for other in left:
        refresh_marker(resolved, target, other).unlink(missing_ok=True)
    return WarehouseError(
        f"{error}; the full refresh of {', '.join(left)} did not begin: run the same command again"
    )


def _begin_refresh(resolved: Resolved, target: Target, names: Iterable[str]) -> frozenset[str]:
    """Mark sources as being refreshed; gives those that were not marked before."""
    new = set()
    for name in names:
        marker = refresh_marker(resolved, target, name)
        if not marker.exists():
            new.add(name)
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
    return frozenset(new)


def affected_by(
    failures: Iterable[LoadFailure], manifest: Manifest, resolved: Resolved
) -> frozenset[str]:
    """The ids of the raw tables of failed loads, and of all that is downstream of them.

    A test is affected if any of the models that it reads is.

    Args:
        failures: of the load; one without a table is of all tables of its source.
        manifest: of the project.
        resolved: the settings, which name the schema of a source.
    """
    failed = {
        id_
        for id_, node in manifest.sources.items()
        if any(
            node.schema_name == resolved.raw_schema(failure.source)
            and _is_of(failure.table, node.relation_name)
            for failure in failures
        )
    }
    return frozenset(reachable(manifest.child_map(), failed))


def _is_of(failed: str | None, table: str) -> bool:
    """Whether a raw table, or a child table of nested rows, is one that failed; None is all."""
    return failed is None or table == failed or table.startswith(f"{failed}__")
