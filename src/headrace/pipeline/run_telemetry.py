"""A run as spans and as lines of the JSON log, from what the run tells as it goes.

Names of spans, from the root down: ``headrace run``, ``load``, ``Load shop``, ``Redshift COPY``;
``build``, ``model orders``; ``publish``, ``Publish marts.orders``.
"""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.pipeline.loading.load_process import LoadEvents
from headrace.pipeline.reports import Event, Listener, TableReport
from headrace.targets import Target
from headrace.telemetry.json_log import log_event
from headrace.telemetry.spans import Trace

_BAD = frozenset({"failed"})


def job_name(target: Target, file_format: str, *, is_staged: bool = False) -> str:
    """What writes a file of dlt into a target: ``Redshift COPY``, ``DuckDB INSERT``.

    Args:
        target: which.
        file_format: of the file; ``sql`` is a merge of staged rows.
        is_staged: whether files go to S3 first, and are copied from there (``reference``).
    """
    if is_staged and file_format not in {"reference", "sql"}:
        return "S3 PUT"
    can = target.capabilities
    verb = "MERGE" if file_format == "sql" else can.load_statements.get(file_format, "INSERT")
    return f"{can.engine or target.name} {verb}"


class RunTelemetry:
    """Takes what a run tells, makes spans and log lines of it, and passes it on."""

    def __init__(
        self,
        run_id: str,
        command: str,
        *,
        target: Target,
        listen: Listener,
        loads: LoadEvents,
        startup: float = 0.0,
    ) -> None:
        """Begin the trace.

        Args:
            run_id: of the run.
            command: ``headrace run``.
            target: that the run writes to.
            listen: is told each event, before it is made a span.
            loads: is told of each source.
            startup: seconds that the process took before the run began.
        """
        self._target = target
        self._pass_on = listen
        self._loads = loads
        began = datetime.now(UTC) - timedelta(seconds=startup)
        about = {"headrace.run_id": run_id, "headrace.target": target.name}
        self._trace = Trace(command, about, started_at=began)
        self._began: dict[str, datetime] = {}
        log_event("run began", command=command, target=target.name, trace_id=self._trace.trace_id)

    def listen(self, event: Event) -> None:
        """Take an event, from whatever thread."""
        self._pass_on(event)
        if event.state in {"phase", "progress"}:
            return
        if event.name == event.step:
            if event.state == "started":
                self._trace.begin(event.step, event.step, {"headrace.stage": event.step})
            return  # `stage_ended` says how it ended
        if event.state == "started":
            about = {"headrace.stage": event.step, "dbt.unique_id": event.node}
            self._trace.begin(f"node {event.name}", event.name, about, parent=event.step)
        elif event.step != "load":  # tables are told with their counts by `load_ended`
            self._ended(event)

    def load_started(self, source: str) -> None:
        """The load of a source began."""
        self._loads.load_started(source)
        self._began[source] = datetime.now(UTC)
        about = {"headrace.stage": "load", "headrace.source": source}
        self._trace.begin(f"source {source}", f"Load {source}", about, parent="load")
        log_event("source began", stage="load", source=source)

    def load_ended(
        self, source: str, tables: Iterable[TableReport] = (), *, error: str | None = None
    ) -> None:
        """It ended; with an error, it failed."""
        reports = tuple(tables)
        self._loads.load_ended(source, reports, error=error)
        key = f"source {source}"
        for table in reports:
            self._table_loaded(table, key)
        rows = sum(table.rows_given for table in reports)
        self._trace.end(key, {"headrace.rows": rows}, error=error)
        began = self._began.pop(source, None)
        log_event(
            "source ended",
            level=logging.INFO if error is None else logging.ERROR,
            stage="load",
            source=source,
            rows=rows,
            seconds=None if began is None else _seconds_since(began),
            error=error,
        )

    def stage_ended(
        self, stage: str, status: str, seconds: float, began: datetime, error: str | None
    ) -> None:
        """A stage ended: ``success``, ``failed`` (a check failed) or ``error``.

        Args:
            stage: ``load``, ``build``, ``audit``, ``publish``, ``catalog``, ...
            status: how.
            seconds: how long it took.
            began: when, UTC.
            error: why it did not succeed.
        """
        said = None if status == "success" else error or status
        about = {"headrace.stage": stage, "headrace.status": status}
        if not self._trace.end(stage, about, error=said):
            ended = began + timedelta(seconds=seconds)
            self._trace.record(stage, began, ended, about, error=said)

    def run_ended(self, status: str, rows: int | None, error: str | None = None) -> str | None:
        """The run ended; send what is left.

        Returns:
            A warning for the user where spans could not be sent; else None.
        """
        about = {"headrace.status": status, "headrace.rows": rows}
        said = None if status == "success" else error or status
        return self._trace.close(about, error=said)

    def _ended(self, event: Event) -> None:
        is_bad = event.state in _BAD
        error = event.detail or event.state if is_bad else None
        about: dict[str, Any] = {
            "headrace.status": event.state, "headrace.table": event.table,
            "headrace.rows": event.rows, "dbt.unique_id": event.node,
        }  # fmt: skip
        if not self._trace.end(f"node {event.name}", about, error=error) and event.seconds:
            ended = datetime.now(UTC)
            began = ended - timedelta(seconds=event.seconds)
            name = f"{event.step.capitalize()} {event.name}" if event.table else event.name
            self._trace.record(name, began, ended, about, parent=event.step, error=error)
        level = {"failed": logging.ERROR, "warn": logging.WARNING}.get(event.state, logging.INFO)
        log_event(
            "table published" if event.table else event.name,
            level=level,
            stage=event.step,
            table=event.table,
            rows=event.rows,
            seconds=None if event.seconds is None else round(event.seconds, 3),
            status=event.state,
            node=event.node,
            detail=event.detail,
        )

    def _table_loaded(self, table: TableReport, parent: str) -> None:
        is_staged = any(job.format == "reference" for job in table.jobs)
        for job in table.jobs:
            about = {
                "headrace.stage": "load", "headrace.source": table.source,
                "headrace.table": table.table, "dlt.file_format": job.format,
                "headrace.rows": table.rows_given if len(table.jobs) == 1 else None,
            }  # fmt: skip
            error = "the job failed" if job.failed else None
            name = job_name(self._target, job.format, is_staged=is_staged)
            began, ended = job.started_at, job.ended_at
            self._trace.record(name, began, ended, about, parent=parent, error=error)
        log_event(
            "table loaded",
            level=logging.WARNING if table.rows_quarantined else logging.INFO,
            stage="load",
            source=table.source,
            table=table.table,
            rows=table.rows_given,
            seconds=None if table.seconds is None else round(table.seconds, 3),
            rows_new=table.rows_new,
            rows_changed=table.rows_changed,
            rows_unchanged=table.rows_unchanged,
            rows_quarantined=table.rows_quarantined,
            rows_deleted=table.rows_deleted,
            rows_total=table.rows_total,
        )


def _seconds_since(began: datetime) -> float:
    return round((datetime.now(UTC) - began).total_seconds(), 3)
