"""What a run finds out about its data, and keeps: the catalog, metrics, profiles, the quarantine.

steps of a run ─► catalog ─► monitors ─► profiles ─► what is in quarantine

An error in one of them is a note of the run, and does not fail it.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol, TypeVar

from headrace.catalog import RunStore
from headrace.catalog.metric_tables import StoredAlarm
from headrace.errors import HeadraceError
from headrace.exceptions import came_of_ctrl_c
from headrace.export.openlineage.emit import Emitter
from headrace.formatting import first_few
from headrace.pipeline import catalog as catalog_step
from headrace.pipeline.quality import kept_profiles
from headrace.pipeline.quality.raw_stamps import RawStamps
from headrace.pipeline.quarantine import listing
from headrace.pipeline.reports import (
    AuditReport,
    CatalogReport,
    Listener,
    LoadReport,
    QualityReport,
)
from headrace.settings import Resolved

T = TypeVar("T")
_LOG = logging.getLogger("headrace.pipeline")
_NEVER_BLOCKS = frozenset({"duration", "freshness", "lateness"})
_NOTES = 5  # of monitors, that are told
PROBLEMS = 20  # that are kept with a step


class AddStep(Protocol):
    """Records a step that has ended."""

    def __call__(
        self, name: str, status: str, seconds: float, began: datetime, message: str | None = None
    ) -> None:
        """Record it: ``success`` or ``error``, how long it took, when it began (UTC), and why."""


@dataclass
class Observation:
    """Of one run; one use.

    Attributes:
        resolved: the settings.
        store: where all is kept.
        run_id: of the run.
        began_at: when it began, UTC.
        notes: of the run; gets what went wrong.
        emitter: is told of profiles and alarms.
        add_step: records what was done.
        listen: is told which table is looked at.
        catalogued: the catalog, once it was refreshed.
        stamps: of the raw tables, as far as they were read.
        watched: what the monitors found.
        profiles_seconds: what the profiles took; None where no table changed.
    """

    resolved: Resolved
    store: RunStore
    run_id: str
    began_at: datetime
    notes: list[str]
    emitter: Emitter
    add_step: AddStep
    listen: Listener
    catalogued: CatalogReport | None = field(default=None, init=False)
    stamps: RawStamps = field(init=False)
    watched: QualityReport | None = field(default=None, init=False)
    profiles_seconds: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.stamps = RawStamps(self.resolved.target.database)

    def keep_catalog(self) -> None:
        """Refresh the catalog."""
        began, started = datetime.now(UTC), time.monotonic()
        self.catalogued, problem = self._tried(
            lambda: catalog_step.refresh(self.resolved, self.store, self.run_id)
        )
        if problem is not None:
            self.notes.append(f"the catalog is that of an earlier run: {problem}")
        status = "success" if problem is None else "error"
        self.add_step("catalog", status, time.monotonic() - started, began)

    def monitor(self, *, has_built: bool, is_published: bool) -> None:
        """Measure and judge the tables that changed.

        Args:
            has_built: whether marts were built, and passed their audit.
            is_published: whether they are published, too.
        """
        if not self.resolved.settings.monitors.enabled:
            return
        from headrace.pipeline.quality import monitor  # and numpy: not while a load needs memory

        began, started = datetime.now(UTC), time.monotonic()
        self.watched, problem = self._tried(
            lambda: monitor.watch(
                self.resolved,
                self.store,
                self.run_id,
                now=self.began_at,
                has_built=has_built,
                is_published=is_published,
                listen=self.listen,
                stamps=self.stamps,
            )
        )
        problems = list(self.watched.notes) if self.watched else []
        problems += [f"nothing was monitored: {problem}"] if problem else []
        self.notes += problems[:_NOTES]
        if problems or (self.watched and (self.watched.measured or self.watched.alarms)):
            self.add_step(
                "monitors",
                "error" if problems else "success",
                time.monotonic() - started,
                began,
                first_few(problems, PROBLEMS) or None,
            )

    def keep_profiles(self) -> None:
        """Keep profiles of the tables that changed."""
        began, started = datetime.now(UTC), time.monotonic()
        found, problem = self._tried(
            lambda: kept_profiles.keep(
                self.resolved, self.store, self.run_id, self.listen, self.stamps
            )
        )
        profiled, problems = found or ([], [problem or ""])
        self.profiles_seconds = time.monotonic() - started if profiled else None
        if problems:
            self.notes.append(f"profiles are those of an earlier run: {first_few(problems, 3)}")
        if profiled or problems or (self.watched and self.watched.alarms):
            seconds = time.monotonic() - started
            self.emitter.quality_kept(
                partial(catalog_step.current, self.resolved),
                partial(kept_profiles.kept, self.store, self.run_id),
                self._alarms,
                began=began,
            )
            status = "error" if problems else "success"
            self.add_step("quality", status, seconds, began, "; ".join(problems) or None)

    def keep_quarantine(self, loaded: LoadReport) -> None:
        """Note what is in quarantine, for the page."""
        sources = {one.source for one in loaded.tables} | {one.source for one in loaded.failures}
        try:
            if loaded.rows_in_quarantine:
                listing.keep(self.resolved, self.store, self.run_id, sources)
            else:
                self.store.keep_quarantine(self.run_id, sources, ())
        except HeadraceError as error:
            self.notes.append(f"the page shows the quarantine of an earlier run: {error}")

    def _alarms(self) -> list[StoredAlarm]:
        """The alarms that the run found, saw again, or found to be over."""
        return [one for one in self.store.alarms() if one.last_run_id == self.run_id]

    def _tried(self, do: Callable[[], T]) -> tuple[T | None, str | None]:
        """What something gives, or why it failed."""
        try:
            return do(), None
        except HeadraceError as error:
            return None, str(error)
        except Exception as error:
            if came_of_ctrl_c(error):
                raise
            _LOG.exception("not kept", extra={"fields": {"run_id": self.run_id}})
            logs = self.resolved.data_dir / "logs"
            return None, f"unexpected {type(error).__name__}, see {logs} (please report it)"


def blocked(audit: AuditReport, watched: QualityReport | None) -> AuditReport | None:
    """An audit that fails for open alarms; None where none keeps a build from being published.

    Args:
        audit: which has passed.
        watched: what the monitors found.
    """
    # a raw table from which nothing is made harms no reader; what is slow or late is right
    alarms = [
        one
        for one in (watched.alarms if watched else ())
        if one.metric not in _NEVER_BLOCKS
        and (one.downstream or one.metric == "schema" or not one.asset.startswith("table."))
    ]
    problems = tuple(
        f"alarm {one.number}, {one.table}: {one.text} (correct the data, or say that it was "
        f"expected: `headrace quality expected {one.number}`)"
        for one in alarms
    )
    return audit.model_copy(update={"passed": False, "problems": problems}) if problems else None
