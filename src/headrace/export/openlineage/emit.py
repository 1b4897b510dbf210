"""The emitter of a run's events: sent while the run is under way, and never in its way.

run, load, build ─► queue ─► a thread: events ─► client ─► Marquez, a file, ...
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from headrace.catalog.model import Catalog
from headrace.export.openlineage.transport import open_client, without_secrets
from headrace.export.output import server_error
from headrace.extras import how_to_install
from headrace.settings import Resolved

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from headrace.catalog.metric_tables import StoredAlarm
    from headrace.export.openlineage.context import NodeResult, RunContext, TableResult
    from headrace.quality.profile.model import TableProfile

_LONGEST_WAIT_S = 60.0
_LOG = logging.getLogger("headrace.export")
_Make = Callable[["RunContext"], "Iterable[RunEvent]"]
Ending = Literal["success", "failed", "error", "interrupted"]


class Emitter:
    """The events of one run.

    Each method returns at once: a thread of its own builds the events and sends them in order.
    At the end, the run waits for that thread as long as events go out, a minute at most. The first
    error ends the sending; it is logged, and told once, by ``run_ended``.
    """

    def __init__(
        self, resolved: Resolved, *, run_id: str, command: str, patience: float = 10.0
    ) -> None:
        """Nothing is opened here.

        Args:
            resolved: the settings; unless they enable it, nothing is sent.
            run_id: Headrace's id of the run.
            command: ``headrace run``, ``headrace load``, ...
            patience: seconds that the end of a run waits for one more event to be sent.
        """
        self._resolved = resolved
        self._run_id = run_id
        self._command = command.rpartition(" ")[2]
        self._patience = patience
        self._started_at = datetime.now(UTC)
        self._loads: dict[str, datetime] = {}
        self._loaded: dict[str, tuple[TableResult, ...]] = {}
        self._nodes: dict[str, datetime] = {}
        self._nodes_ended: dict[str, tuple[datetime, bool]] = {}
        self._queue: queue.SimpleQueue[_Make | None] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None
        self._failure: str | None = None
        self._sent = 0

    def run_started(self) -> None:
        """The run began."""
        if not self._resolved.settings.openlineage.enabled:
            return
        self._started_at = at = datetime.now(UTC)
        self._worker = threading.Thread(target=self._work, name="openlineage", daemon=True)
        self._worker.start()
        self._put(partial(_run_events, state="START", at=at))

    def load_started(self, source: str) -> None:
        """A source's load began."""
        self._loads[source] = at = datetime.now(UTC)
        self._put_load(source, "START", at)

    def load_ended(
        self, source: str, tables: Iterable["TableResult"] = (), *, error: str | None = None
    ) -> None:
        """A source's load ended; with an error, it failed."""
        self._loaded[source] = tuple(tables)
        state = "COMPLETE" if error is None else "FAIL"
        self._put_load(source, state, datetime.now(UTC), tables=self._loaded[source], error=error)

    def node_started(self, node: str) -> None:
        """dbt began with a model, snapshot or seed, by its id."""
        self._nodes[node] = at = datetime.now(UTC)
        self._put(partial(_node_event, node=node, state="START", at=at, began=at))

    def node_ended(self, node: str, *, failed: bool) -> None:
        """dbt is done with it; ``build_ended`` sends what it made, once the catalog has it."""
        self._nodes_ended[node] = datetime.now(UTC), failed

    def build_ended(
        self,
        nodes: Sequence["NodeResult"],
        catalog: Callable[[], Catalog],
        *,
        rows: Mapping[str, int] | None = None,
    ) -> None:
        """The nodes that dbt ran, and what gives the catalog since; of a reused build, no nodes.

        Rows of tables, ``schema.table``, are sent where they are known.

        A build that is reused ran nothing, and neither an event nor a dataset's new version may
        claim that it did. Loads of this run are described once more, now that their tables are
        in the catalog.
        """
        at = datetime.now(UTC)
        known = cache(catalog)
        for source, tables in self._loaded.items():
            if tables:
                self._put_load(source, "OTHER", at, tables=tables, catalog=known)
        if nodes:
            ran, began = tuple(nodes), self._nodes
            self._nodes = {}
            make = partial(_node_events, catalog=known, nodes=ran, at=at, began=began)
            self._put(partial(make, rows=rows or {}))

    def quality_kept(
        self,
        catalog: Callable[[], Catalog],
        profiles: "Callable[[], Mapping[str, TableProfile]]",
        alarms: "Callable[[], Sequence[StoredAlarm]]" = tuple,
        *,
        began: datetime,
    ) -> None:
        """The run looked at tables; what it saw is read where events are sent."""
        if self._worker is not None:
            make = partial(_quality_events, catalog=catalog, began=began, at=datetime.now(UTC))
            self._put(partial(make, profiles=profiles(), alarms=alarms()))

    def run_ended(
        self, status: Ending, error: str | None = None, *, stack: str | None = None
    ) -> str | None:
        """The run ended.

        Args:
            status: how; ``interrupted`` is OpenLineage's ABORT, also of an unfinished load.
            error: what failed.
            stack: where an error came from.

        Returns:
            A warning for the user where events could not be sent; else None.
        """
        worker = self._worker
        if worker is None:
            return None
        at = datetime.now(UTC)
        for source in self._loads.keys() - self._loaded.keys():
            state = "ABORT" if status == "interrupted" else "FAIL"
            self._put_load(source, state, at, error=error)
        self._end_nodes(status, at, error)
        final = {"success": "COMPLETE", "interrupted": "ABORT"}.get(status, "FAIL")
        text = None if status == "success" else error
        self._put(partial(_run_events, state=final, at=at, error=text, stack=stack))
        self._queue.put(None)
        latest = time.monotonic() + _LONGEST_WAIT_S
        before = -1
        while worker.is_alive() and self._sent > before and time.monotonic() < latest:
            before = self._sent
            worker.join(self._patience)
        if worker.is_alive():
            self._fail(f"the backend took longer than {self._patience:g} seconds")
        self._worker = None
        return self._failure

    def _end_nodes(self, status: Ending, at: datetime, error: str | None) -> None:
        """End the nodes that no catalog describes: unfinished, or all if that failed."""
        for node, began in list(self._nodes.items()):  # dbt may still be at work
            state = "ABORT" if status == "interrupted" else "FAIL"
            ended_at = at
            if node in self._nodes_ended:
                ended_at, failed = self._nodes_ended[node]
                state = "FAIL" if failed else "COMPLETE"
            why = error if state == "FAIL" else None
            self._put(
                partial(_node_event, node=node, state=state, at=ended_at, began=began, error=why)
            )

    def _put(self, make: _Make) -> None:
        if self._worker is not None:
            self._queue.put(make)

    def _put_load(
        self,
        source: str,
        state: str,
        at: datetime,
        *,
        tables: Iterable["TableResult"] = (),
        catalog: Callable[[], Catalog] | None = None,
        error: str | None = None,
    ) -> None:
        started_at = self._loads.get(source, at)

        def make(context: "RunContext") -> "Iterable[RunEvent]":
            from openlineage.client.event_v2 import RunState

            from headrace.export.openlineage.events import load_event

            yield load_event(
                context,
                source,
                RunState[state],
                at,
                started_at=started_at,
                kind=self._kind(source),
                folder=self._folder(source),
                tables=tables,
                catalog=catalog() if catalog else None,
                error=error,
            )

        self._put(make)

    def _work(self) -> None:
        """Build and send; whatever goes wrong is a warning, and must not end a run."""
        try:
            with open_client(self._resolved) as client:
                from headrace.export.openlineage.context import context_of

                context = context_of(
                    self._resolved,
                    run_id=self._run_id,
                    command=self._command,
                    started_at=self._started_at,
                )
                while (make := self._queue.get()) is not None:
                    for event in make(context):
                        client.emit(event)
                        self._sent += 1
        except ImportError as error:
            how = how_to_install("openlineage")
            self._fail(f"{error.name or error} is not installed: `{how}`")
        except Exception as error:
            self._fail(server_error(error))

    def _fail(self, why: str) -> None:
        why = without_secrets(why, self._resolved)
        self._failure = (
            f"OpenLineage events are missing ({self._sent} were sent): {why} (the run itself is "
            "not touched; see openlineage.transport in the settings)"
        )
        fields = {"run_id": self._run_id, "error": why, "sent": self._sent}
        _LOG.warning("OpenLineage events were not sent", extra={"fields": fields})

    def _kind(self, source: str) -> str | None:
        settings = self._resolved.settings.sources.get(source)
        return settings.kind if settings else None

    def _folder(self, source: str) -> Path | str | None:
        """Where a source of files reads; None of a source without files."""
        settings = self._resolved.settings.sources.get(source)
        path = settings.options.get("path") if settings else None
        if path is not None and "://" in str(path):
            return str(path)
        if path is not None:
            return self._resolved.source_path(Path(str(path)))
        sample = self._resolved.common_data_dir / source
        return sample if sample.is_dir() else None


def _run_events(
    context: "RunContext",
    *,
    state: str,
    at: datetime,
    error: str | None = None,
    stack: str | None = None,
) -> "Iterable[RunEvent]":
    from openlineage.client.event_v2 import RunState

    from headrace.export.openlineage.events import run_event

    return [run_event(context, RunState[state], at, error=error, stack=stack)]


def _node_event(
    context: "RunContext",
    *,
    node: str,
    state: str,
    at: datetime,
    began: datetime,
    error: str | None = None,
) -> "Iterable[RunEvent]":
    from openlineage.client.event_v2 import RunState

    from headrace.export.openlineage.events import node_event

    return [node_event(context, node, RunState[state], at, began=began, error=error)]


def _node_events(
    context: "RunContext",
    *,
    catalog: Callable[[], Catalog],
    nodes: Sequence["NodeResult"],
    at: datetime,
    began: Mapping[str, datetime],
    rows: Mapping[str, int],
) -> "Iterable[RunEvent]":
    from headrace.export.openlineage.events import node_events

    return node_events(context, catalog(), nodes, ended_at=at, began=began, rows=rows)


def _quality_events(
    context: "RunContext",
    *,
    catalog: Callable[[], Catalog],
    profiles: "Mapping[str, TableProfile]",
    alarms: "Sequence[StoredAlarm]",
    began: datetime,
    at: datetime,
) -> "Iterable[RunEvent]":
    from headrace.export.openlineage.quality_events import quality_events

    if not profiles and not alarms:
        return ()
    return quality_events(context, catalog(), profiles, alarms, began=began, at=at)
