"""What dbt says of a node, while it runs and at its end."""

from datetime import UTC, datetime
from typing import Any, cast

from headrace.artifacts import Manifest
from headrace.pipeline.dbt_calls import first_lines
from headrace.pipeline.events import Event, Listener
from headrace.pipeline.reports import NodeReport, NodeStatus
from headrace.secrets import hide

NO_OP = "no-op"  # what dbt says of an exposure
FAILED = frozenset({"fail", "error", "runtime error"})
_MADE = frozenset({"model", "snapshot", "seed"})
_STATES = {"pass": "done", "success": "done", "warn": "warn", "skipped": "skipped"}


def node_report(item: Any, manifest: Manifest) -> NodeReport:
    """What became of a node."""
    node = item.node
    status = str(item.status)
    known = manifest.nodes.get(node.unique_id)
    severity = known.config.severity if known else None
    kind = str(node.resource_type)
    return NodeReport(
        unique_id=node.unique_id,
        name=node.name,
        label=manifest.label(node.unique_id, node.name),
        resource_type=kind,
        status="error" if status == "runtime error" else cast("NodeStatus", status),
        severity=cast("Any", severity.lower()) if severity and kind == "test" else None,
        seconds=float(item.execution_time or 0),
        started_at=_started_at(item),
        thread=_thread(item),
        failures=item.failures,
        message=hide(_message(item, status) or "") or None,
    )


def _started_at(item: Any) -> datetime | None:
    """When dbt began with a node (UTC); None for one that was skipped."""
    moments = [timing.started_at for timing in item.timing if timing.started_at is not None]
    if not moments:
        return None
    first: datetime = min(moments)
    return first.replace(tzinfo=UTC) if first.tzinfo is None else first.astimezone(UTC)


def _thread(item: Any) -> str | None:
    """dbt's thread in short: ``Thread-1 (worker)`` is ``Thread-1``."""
    return str(item.thread_id).partition(" ")[0] or None if item.thread_id else None


def _message(item: Any, status: str) -> str | None:
    """What a person needs to know of a node that is not good."""
    if status not in FAILED | {"warn"}:
        return None
    compiled = getattr(item.node, "compiled_path", None)
    if item.failures and compiled:
        rows = "row" if item.failures == 1 else "rows"
        return f"broken by {item.failures:,} {rows}; the query that finds them: {compiled}"
    return first_lines(item.message)


class NodeEvents:
    """A dbt event callback that passes on when a node starts and ends."""

    def __init__(self, listen: Listener, manifest: Manifest) -> None:
        self._listen = listen
        self._manifest = manifest

    def __call__(self, event: Any) -> None:
        kind = event.info.name
        if kind not in {"NodeStart", "NodeCompiling", "NodeFinished"}:
            return
        node = event.data.node_info
        name = self._manifest.label(node.unique_id, node.node_name)
        label = f"{node.resource_type.replace('_', ' ')} {name}"
        id_ = str(node.unique_id) if node.resource_type in _MADE else None
        if kind == "NodeStart":  # also of a node that is going to be skipped
            self._listen(Event("build", label, "started"))
            return
        if kind == "NodeCompiling":
            if id_ is not None:
                self._listen(Event("build", label, "started", node=id_))
            return
        status = str(event.data.run_result.status)
        if status == NO_OP:
            return
        seconds = float(event.data.run_result.execution_time)
        state = cast("Any", _STATES.get(status, "failed"))
        detail = "" if state == "done" else status
        self._listen(Event("build", label, state, detail, seconds, node=id_))
