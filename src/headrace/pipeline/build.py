"""The build step: dbt builds and tests everything whose sources are loaded, in this process."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from headrace.artifacts import Manifest, read_manifest
from headrace.collector import collector_off
from headrace.errors import ProjectError, TransformError, WarehouseError
from headrace.pipeline import build_state
from headrace.pipeline.build_state import BuildState
from headrace.pipeline.events import Event, Listener
from headrace.pipeline.reports import BuildReport, NodeReport, NodeStatus
from headrace.settings import Resolved
from headrace.targets import Target

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunner, dbtRunnerResult

_LOG = logging.getLogger("headrace.pipeline")
_NO_OP = "no-op"  # what dbt says of an exposure
_FAILED = {"fail", "error", "runtime error"}
_STATES = {"pass": "done", "success": "done", "warn": "warn", "skipped": "skipped"}


def build(
    resolved: Resolved, target: Target, *, full_refresh: bool, listen: Listener
) -> BuildReport:
    """Build and test the dbt project.

    Nothing is run when the target, the project, its settings and the day are what they were at
    the end of the last build that passed.

    Args:
        resolved: the settings.
        target: where the raw data is.
        full_refresh: build anew, incremental models from scratch.
        listen: is told of each node.

    Raises:
        TransformError: dbt could not parse or start; nothing was built.
        WarehouseError: the target cannot be opened.
    """
    started = time.monotonic()
    if not (resolved.dbt_project / "dbt_project.yml").is_file():
        raise ProjectError(
            f"{resolved.dbt_project} holds no dbt_project.yml: set dbt.project_dir to a dbt project"
        )
    inputs = build_state.inputs(resolved, target)
    last = build_state.read(resolved)
    if not full_refresh and last is not None and _is_current(last, inputs, target, resolved):
        return _reused(last, started, listen)
    target.check()
    # from here on dbt's artifacts are in the making; a build that is stopped must not count
    build_state.forget(resolved)
    _write_profile(resolved, target)
    listen(Event("build", "starting dbt", "phase"))
    with _dbt_environment():
        listen(Event("build", "parsing the project", "phase"))
        runner, manifest = _parse(resolved)
        missing = _sources_not_loaded(manifest, target)
        arguments = [argument for name in missing for argument in ("--exclude", f"source:{name}+")]
        nodes = _build(resolved, target, runner, manifest, arguments, full_refresh, listen)
        listen(Event("build", "looking at the age of the sources", "phase"))
        freshness = _freshness(resolved, target, runner, missing, listen)
        _describe_relations(resolved, target, runner)
    passed = not any(node.status in {"fail", "error"} for node in (*nodes, *freshness))
    build_state.write(
        resolved,
        BuildState(
            passed=passed,
            inputs=inputs,
            signature=target.signature(),
            nodes=nodes,
            freshness=freshness,
            finished_at=datetime.now(UTC),
        ),
    )
    return BuildReport(nodes=nodes, freshness=freshness, seconds=time.monotonic() - started)


def _is_current(last: BuildState, inputs: str, target: Target, resolved: Resolved) -> bool:
    return (
        last.passed
        and last.inputs == inputs
        and last.signature is not None
        and last.signature == target.signature()
        and (resolved.artifacts / "manifest.json").is_file()
    )


def _reused(last: BuildState, started: float, listen: Listener) -> BuildReport:
    listen(Event("build", "everything", "skipped", "nothing changed since the last good build"))
    return BuildReport(
        nodes=last.nodes,
        reused=True,
        freshness=last.freshness,
        seconds=time.monotonic() - started,
    )


def _write_profile(resolved: Resolved, target: Target) -> None:
    from ruamel.yaml import YAML

    path = resolved.data_dir / "dbt" / "profiles.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"headrace": {"target": target.name, "outputs": {target.name: target.dbt_output()}}}
    with path.open("w", encoding="utf-8") as stream:
        stream.write("# Written by headrace from its settings; changes are lost.\n")
        YAML(typ="safe", pure=True).dump(profile, stream)


@contextmanager
def _dbt_environment() -> Iterator[None]:
    """dbt without telemetry; its imports without pauses for the garbage collector."""
    os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
    os.environ["DO_NOT_TRACK"] = "1"
    with collector_off():
        import dbt.cli.main
    del dbt
    yield


def _arguments(resolved: Resolved) -> list[str]:
    import json

    arguments = [
        "--project-dir", str(resolved.dbt_project),
        "--profiles-dir", str(resolved.data_dir / "dbt"),
        "--target-path", str(resolved.artifacts),
        "--log-path", str(resolved.data_dir / "logs"),
        "--log-level", "none",
        "--no-use-colors",
        "--no-print",
    ]  # fmt: skip
    if resolved.settings.dbt.vars:
        arguments += ["--vars", json.dumps(resolved.settings.dbt.vars)]
    return arguments


def _parse(resolved: Resolved) -> "tuple[dbtRunner, Manifest]":
    from dbt.cli.main import dbtRunner

    result = dbtRunner().invoke(["parse", *_arguments(resolved)])
    if not result.success:
        raise _transform_error(result) from result.exception
    manifest = cast("Any", result.result)
    return dbtRunner(manifest=manifest), read_manifest(resolved.artifacts)


def _sources_not_loaded(manifest: Manifest, target: Target) -> list[str]:
    """dbt sources whose raw schema has no table yet; their models wait until it has."""
    schemas = {source.source_name: source.schema_name for source in manifest.sources.values()}
    return sorted(name for name, schema in schemas.items() if not target.row_counts(schema))


def _build(
    resolved: Resolved,
    target: Target,
    runner: "dbtRunner",
    manifest: Manifest,
    selection: list[str],
    full_refresh: bool,
    listen: Listener,
) -> tuple[NodeReport, ...]:
    flags = ["--full-refresh"] if full_refresh else []
    runner.callbacks.append(_NodeEvents(listen, manifest))
    try:
        result = runner.invoke(["build", *_arguments(resolved), *selection, *flags])
    finally:
        runner.callbacks.clear()
        target.release()
    if result.exception is not None or result.result is None:
        raise _transform_error(result) from result.exception
    results = cast("Any", result.result)
    return tuple(
        _node_report(item, manifest) for item in results.results if str(item.status) != _NO_OP
    )


def _freshness(
    resolved: Resolved,
    target: Target,
    runner: "dbtRunner",
    missing: list[str],
    listen: Listener,
) -> tuple[NodeReport, ...]:
    """Source freshness, from dlt's own record of loads."""
    selection = [argument for name in missing for argument in ("--exclude", f"source:{name}")]
    try:
        result = runner.invoke(["source", "freshness", *_arguments(resolved), *selection])
    finally:
        target.release()
    if result.exception is not None or result.result is None:
        raise _transform_error(result) from result.exception
    reports = []
    for item in cast("Any", result.result).results:
        status = str(item.status)
        report = NodeReport(
            unique_id=item.node.unique_id,
            name=f"{item.node.source_name}.{item.node.name}",
            label=f"{item.node.source_name}.{item.node.name}",
            resource_type="source",
            status="error" if status in _FAILED else cast("NodeStatus", status),
            seconds=float(item.execution_time or 0),
            message=item.message or None,
        )
        reports.append(report)
        if report.status != "pass":
            is_error = report.status == "error"
            detail = "its newest load is too old"
            listen(Event("build", report.name, "failed" if is_error else "warn", detail))
    return tuple(reports)


def _describe_relations(resolved: Resolved, target: Target, runner: "dbtRunner") -> None:
    """Have dbt write ``catalog.json``: the columns and types as the engine has them.

    The catalog of assets does without it, so a failure is noted and no more.
    """
    try:
        result = runner.invoke(["docs", "generate", "--no-compile", *_arguments(resolved)])
    finally:
        target.release()
    if not result.success:
        _LOG.warning("dbt wrote no catalog.json: %s", result.exception)


def _node_report(item: Any, manifest: Manifest) -> NodeReport:
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
        message=_message(item, status),
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
    if status not in _FAILED | {"warn"}:
        return None
    compiled = getattr(item.node, "compiled_path", None)
    if item.failures and compiled:
        rows = "row" if item.failures == 1 else "rows"
        return f"broken by {item.failures:,} {rows}; the query that finds them: {compiled}"
    return _first_lines(item.message)


def _first_lines(message: str | None, limit: int = 400) -> str | None:
    if not message:
        return None
    text = " ".join(line.strip() for line in message.strip().splitlines() if line.strip())
    return text if len(text) <= limit else text[: limit - 1] + "…"


class _NodeEvents:
    """A dbt event callback that passes on when a node starts and ends."""

    def __init__(self, listen: Listener, manifest: Manifest) -> None:
        self._listen = listen
        self._manifest = manifest

    def __call__(self, event: Any) -> None:
        kind = event.info.name
        if kind not in {"NodeStart", "NodeFinished"}:
            return
        node = event.data.node_info
        name = self._manifest.label(node.unique_id, node.node_name)
        label = f"{node.resource_type.replace('_', ' ')} {name}"
        if kind == "NodeStart":
            self._listen(Event("build", label, "started"))
            return
        status = str(event.data.run_result.status)
        if status == _NO_OP:
            return
        seconds = float(event.data.run_result.execution_time)
        state = cast("Any", _STATES.get(status, "failed"))
        self._listen(Event("build", label, state, "" if state == "done" else status, seconds))


def _transform_error(result: "dbtRunnerResult") -> Exception:
    """dbt's exception as one sentence."""
    error = result.exception
    text = _first_lines(str(error) if error else "dbt ended without a result") or ""
    if "Could not set lock" in text or "IO Error" in text:
        return WarehouseError(text)
    return TransformError(f"dbt cannot build the project: {text} (correct it, then run again)")
