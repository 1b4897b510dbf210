"""The load step: the sources, one after the other, each into its raw schema."""

import time
from collections.abc import Iterable

from headrace.errors import HeadraceError, SourceError
from headrace.export.openlineage.emit import Emitter
from headrace.libraries import dlt as libraries_dlt
from headrace.pipeline.reports import Event, Listener, LoadReport, TableReport
from headrace.pipeline.source_loader import SourceLoader, refresh_marker
from headrace.settings import Resolved, SourceSettings
from headrace.targets import Target


@libraries_dlt.environment()
def load(
    resolved: Resolved,
    target: Target,
    chosen: dict[str, SourceSettings],
    *,
    full_refresh: bool,
    listen: Listener,
    emitter: Emitter | None = None,
) -> LoadReport:
    """Load sources one after the other.

    What a stopped run left unfinished is dropped first, and loaded again. A source that fails
    stops the step; what was loaded before it stays, and its own rows are not visible to staging.

    Args:
        resolved: the settings.
        target: where to load into.
        chosen: the sources by name.
        full_refresh: forget what was loaded before, and load everything again.
        listen: is told of each table.
        emitter: is told when a source begins and ends.

    Raises:
        SourceError: a source cannot be loaded, or some of its files could not be read; all
            others were loaded.
        WarehouseError: the target cannot be written.
    """
    started = time.monotonic()
    target.check()
    tables: list[TableReport] = []
    load_ids: list[str] = []
    problems: list[str] = []
    listen(Event("load", "starting dlt", "phase"))
    # all at once: a kill in the first source must not lose that the others are to be refreshed
    begun = _begin_refresh(resolved, target, chosen) if full_refresh else frozenset()
    for number, (name, settings) in enumerate(chosen.items(), start=1):
        loader = SourceLoader(
            resolved, target, name, settings, listen, full_refresh, is_new_refresh=name in begun
        )
        if emitter is not None:
            emitter.load_started(name)
        try:
            reports, ids = loader.run()
        except HeadraceError as error:
            left = [other for other in list(chosen)[number:] if other in begun]
            if not left:
                raise
            for other in left:
                refresh_marker(resolved, target, other).unlink(missing_ok=True)
            raise type(error)(
                f"{error}; the full refresh of {', '.join(left)} did not begin: run the same "
                "command again"
            ) from error
        if emitter is not None:
            emitter.load_ended(name, reports)
        tables += reports
        load_ids += ids
        problems += loader.problems
    if problems:
        raise SourceError(f"{'; '.join(problems)} (all other files were loaded)")
    return LoadReport(
        tables=tuple(tables), load_ids=tuple(load_ids), seconds=time.monotonic() - started
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
