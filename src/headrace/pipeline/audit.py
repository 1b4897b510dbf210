"""The audit step: whether the last build may be published."""

import time
from collections.abc import Iterable

from headrace.artifacts import read_manifest
from headrace.artifacts.dbt_results import FAILED
from headrace.pipeline import build_state
from headrace.pipeline.build_state import BuildState
from headrace.pipeline.publish import published_rows
from headrace.pipeline.reports import AuditReport, Event, Listener, NodeReport
from headrace.settings import Resolved
from headrace.targets import Target


def audit(resolved: Resolved, target: Target, *, listen: Listener) -> AuditReport:
    """Judge the last build.

    It passes when neither the project nor the data changed since the build, no model and no test
    of severity error failed, every table to publish exists, and none that has published rows is
    empty.

    Raises:
        TransformError: dbt's manifest cannot be read.
        WarehouseError: the target cannot be read.
    """
    started = time.monotonic()
    state = build_state.read(resolved)
    problems = _problems(resolved, target, state)
    passed = not problems
    seconds = time.monotonic() - started
    detail = "passed" if passed else f"{len(problems)} against publishing"
    listen(Event("audit", "audit", "done" if passed else "failed", detail, seconds))
    return AuditReport(passed=passed, problems=tuple(problems), seconds=seconds)


def judge(nodes: Iterable[NodeReport], *, listen: Listener) -> AuditReport:
    """Judge a slim build by its own nodes; it is not published."""
    problems = _failed(nodes)
    passed = not problems
    detail = "passed" if passed else f"{len(problems)} failed"
    listen(Event("audit", "audit", "done" if passed else "failed", detail, 0.0))
    return AuditReport(passed=passed, problems=tuple(problems), seconds=0.0)


def _failed(nodes: Iterable[NodeReport]) -> list[str]:
    return [
        f"{node.kind} {node.label}: {node.message or node.status}"
        for node in nodes
        if node.status in FAILED
    ]


def _problems(resolved: Resolved, target: Target, state: BuildState | None) -> list[str]:
    if state is None:
        return ["there is no finished build: run `headrace build`"]
    if state.signature is not None and state.signature != target.signature():
        return ["the warehouse changed after the last build: run `headrace build`"]
    if state.inputs != build_state.inputs(resolved, target):
        return ["the dbt project changed after the last build: run `headrace build`"]
    problems = _failed((*state.nodes, *state.freshness))
    if problems:
        return problems
    built = {node.unique_id for node in state.nodes}
    marts = read_manifest(resolved.artifacts).relations(resolved.settings.publish.schemas)
    published = published_rows(resolved.published)
    for mart in marts:
        if mart.unique_id not in built:
            continue
        name = f"{mart.schema_name}.{mart.relation_name}"
        count = target.count_rows(mart.schema_name or "", mart.relation_name)
        if count is None:
            problems.append(f"{name} is not in the warehouse: run `headrace build --full-refresh`")
        elif count == 0 and published.get(name, 0) > 0:
            problems.append(
                f"{name} is empty now, and {published[name]:,} rows of it are published: look at "
                f"its sources; if it is right, delete {resolved.published} and publish again"
            )
    return problems
