"""The monitors of a run: what raw tables and marts hold is measured, judged, and explained.

catalog ─► tables that changed ─► metrics by period ─► run store ─► bands ─► alarms ─► in words

A table that cannot be measured is named, and the others are. Nothing here changes the warehouse.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headrace.catalog import Catalog, RunStore
from headrace.catalog.metric_tables import StoredPeriod, StoredPlan, StoredRunMetrics
from headrace.errors import HeadraceError
from headrace.formatting import one_line
from headrace.libraries.duckdb import make_room, with_room
from headrace.pipeline.publishing import published_file
from headrace.pipeline.quality.kept_profiles import is_missed, opened
from headrace.pipeline.quality.monitor_alarms import judge_tables, schema_alarm
from headrace.pipeline.quality.monitor_tables import MonitoredTable, monitored
from headrace.pipeline.quality.raw_stamps import LOAD, RawStamps, columns_of, digest
from headrace.pipeline.reports import Event, Listener, QualityReport, ignore
from headrace.quality.monitors.measure import Measured, WholeTable, as_text, from_text, measure
from headrace.quality.monitors.plan import Plan, plan
from headrace.quality.monitors.settling import SettlingTimes, moved
from headrace.settings import Resolved
from headrace.sql_text import scalar
from headrace.system_errors import error_line

if TYPE_CHECKING:
    import duckdb

_LOG = logging.getLogger("headrace.pipeline")
_GROWN = 10  # times the rows that its plan was made for


def watch(
    resolved: Resolved,
    store: RunStore,
    run_id: str,
    *,
    now: datetime,
    has_built: bool = False,
    is_published: bool = False,
    listen: Listener = ignore,
    stamps: RawStamps | None = None,
) -> QualityReport:
    """Measure the tables that changed, judge them, and keep what was found.

    Args:
        resolved: the settings.
        store: has the catalog, and gets metrics and alarms.
        run_id: of the run.
        now: when it began, UTC.
        has_built: whether marts were built in it.
        is_published: whether what was built is published, too.
        listen: is told of each table.
        stamps: of the raw tables, as far as this run has read them.

    Raises:
        WarehouseError: the target cannot be read.
        RunStoreError: the store cannot be used.
        MonitorError: a setting of all monitors is wrong.
    """
    started = time.monotonic()
    catalog = store.load_catalog()
    if catalog is None:
        return QualityReport(seconds=time.monotonic() - started)
    tables = monitored(resolved, catalog)
    notes = list(tables.notes)
    plans = store.plans()
    store.forget_metrics(plans.keys() - tables.by_id.keys())
    stamps = stamps or RawStamps(resolved.target.database)
    state = _Watched(store, run_id, now, plans, catalog, stamps)
    with opened(resolved) as connection:
        if connection is not None:
            published = _published_stamps(resolved) if is_published else {}
            for key, table in tables.by_id.items():
                if not table.is_raw and not has_built and key in plans:
                    continue
                listen(Event("monitors", f"measuring {table.name}", "phase"))
                try:
                    state.look_at(connection, table, published.get(key))
                except HeadraceError as error:
                    notes.append(f"{table.name} is not monitored: {error}")
                except Exception as error:
                    if not _is_of_duckdb(error):
                        raise
                    if not _is_gone(error):
                        notes.append(f"{table.name} could not be measured: {error_line(error)}")
                    elif is_missed(resolved, table.asset, was_there=key in plans):
                        _LOG.info("not measured: %s: %s", table.name, one_line(str(error)))
            seconds = _seconds(store, run_id, catalog)
            state.keep_runs(tables.by_id, seconds)
            found = judge_tables(
                resolved, store, run_id, catalog, tables.by_id, state.measured, connection, now=now
            )
            return found.model_copy(
                update={
                    "measured": tuple(tables.by_id[key].name for key in state.measured),
                    "notes": (*notes, *found.notes),
                    "seconds": time.monotonic() - started,
                }
            )
    return QualityReport(notes=tuple(notes), seconds=time.monotonic() - started)


def _is_of_duckdb(error: Exception) -> bool:
    import duckdb

    return isinstance(error, duckdb.Error)


def _is_gone(error: Exception) -> bool:
    import duckdb

    return isinstance(error, duckdb.CatalogException)


def _published_stamps(resolved: Resolved) -> dict[str, str]:
    """What the publication says of the content of each mart, by asset id."""
    publication = published_file.publication(resolved.published)
    publisher = resolved.target.publisher()
    if publication is None and publisher is not None:
        publication = publisher.current()
    return {one.unique_id: one.fingerprint for one in (publication.tables if publication else ())}


def _seconds(store: RunStore, run_id: str, catalog: Catalog) -> dict[str, float]:
    """How long each model was built in a run, by asset id."""
    found = store.run(run_id)
    return {
        catalog.by_dbt_id.get(node.unique_id, node.unique_id): node.seconds
        for node in (found.nodes if found else ())
        if node.status == "success" and node.resource_type in {"model", "snapshot", "seed"}
    }


@dataclass
class _Watched:
    """The tables of one run while they are measured."""

    store: RunStore
    run_id: str
    now: datetime
    plans: dict[str, StoredPlan]
    catalog: Catalog
    stamps: RawStamps
    wholes: dict[str, WholeTable] = field(default_factory=dict)
    measured: dict[str, Plan] = field(default_factory=dict)

    def look_at(
        self,
        connection: "duckdb.DuckDBPyConnection",
        table: MonitoredTable,
        stamp: str | None,
    ) -> None:
        """Measure a table if it changed since it was measured."""
        key = table.asset.id
        stored = self.plans.get(key)
        learned = SettlingTimes.from_text(stored.learned) if stored else SettlingTimes()
        types = columns_of(connection, table.quoted)
        make_room(connection, len(types))
        if stamp is None:
            stamp = self._stamp(connection, table, types)
        stamp = digest(f"{stamp} {sorted(types.items())}")
        old = Plan.from_json(json.loads(stored.plan)) if stored else None
        fits = old is not None and _fits(old, types, table)
        if fits and learned.stamp == stamp:
            return
        if fits and old is not None and not _has_grown(connection, table, old):
            made = old
        else:
            made = with_room(
                connection,
                lambda: plan(connection, table.quoted, table.hints, now=self.now),
            )
            text = json.dumps(made.as_json())
            self.store.keep_plan(StoredPlan(key, table.name, text, self.run_id))
            self._note_schema(table, old, made)
            learned = SettlingTimes()
        known = self.store.fingerprints(key) if made.event_time else {}
        is_new = made is not old
        found = with_room(
            connection,
            lambda: measure(
                connection, table.quoted, made, now=self.now, known=known, is_new=is_new
            ),
        )
        if known:
            learned.see(self._ages(key, found))
        learned.stamp = stamp
        self.store.keep_periods(
            key,
            self.run_id,
            [
                StoredPeriod(one.at, one.rows, one.fingerprint, as_text(one))
                for one in found.periods
            ],
            found.gone,
        )
        self.store.keep_learned(key, learned.as_text())
        self.wholes[key] = found.whole
        self.measured[key] = made

    def _stamp(
        self,
        connection: "duckdb.DuckDBPyConnection",
        table: MonitoredTable,
        types: Mapping[str, str],
    ) -> str:
        """What changes with each load of a raw table of dlt; of others what is never the same."""
        if table.is_raw and (LOAD in types or table.asset.parent_table is not None):
            return self.stamps.of(connection, self.catalog.assets, table.asset)
        return datetime.now(UTC).isoformat()

    def _note_schema(self, table: MonitoredTable, old: Plan | None, new: Plan) -> None:
        if old is not None and old.types != new.types:
            alarm = schema_alarm(table, old.types, new.types, self.run_id, self.now)
            self.store.keep_alarms([alarm])

    def _ages(self, key: str, found: Measured) -> dict[str, float]:
        """Of each column whose values changed since its period was measured: the oldest's age."""
        before = {
            one.at: one
            for one in self.store.periods(key)
            if found.periods and one.at >= found.periods[0].at
        }
        ages: dict[str, float] = {}
        for period in found.periods:
            old = before.get(period.at)
            if old is None or period.at == max(before, default=period.at):
                continue  # the newest one was not complete yet
            then = from_text(old.at, old.rows, old.fingerprint, old.payload)
            age = (self.now - period.at).total_seconds()
            for column in moved(then, period):
                ages[column] = max(ages.get(column, 0), age)
        return ages

    def keep_runs(self, tables: Mapping[str, MonitoredTable], seconds: Mapping[str, float]) -> None:
        """Keep what the run knew of each table as a whole; of one that did not change as well."""
        before = self.store.run_metrics(1)
        rows = []
        for key in tables:
            whole = self.wholes.get(key)
            last = before[key][-1] if key in before else None
            if whole is None and last is None:
                continue
            rows.append(
                StoredRunMetrics(
                    asset_id=key,
                    run_id=self.run_id,
                    at=self.now,
                    rows=whole.rows if whole else last.rows if last else None,
                    newest=whole.newest if whole else last.newest if last else None,
                    late=whole.late if whole else None,
                    seconds=seconds.get(key) if whole else None,
                    changed=whole is not None,
                    outside=whole.outside if whole else last.outside if last else 0,
                )
            )
        self.store.keep_run_metrics(rows)


def _has_grown(connection: "duckdb.DuckDBPyConnection", table: MonitoredTable, plan: Plan) -> bool:
    """Whether a table has so many more rows that its plan is made again.

    Without an event time, what was measured in earlier runs would be lost.
    """
    if plan.rows is None or plan.event_time is None:
        return False
    return scalar(connection, f"select count(*) from {table.quoted}") > _GROWN * plan.rows


def _fits(old: Plan, types: Mapping[str, str], table: MonitoredTable) -> bool:
    """Whether a plan is still right: the same columns, the same hints."""
    but = set(table.hints.but) - {old.event_time}
    shown = {name: kind for name, kind in types.items() if name not in but}
    return old.types == shown and old.hints == table.hints.as_json()
