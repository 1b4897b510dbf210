"""Checks of raw data before the build: the contracts of sources, and the project's own in Python.

    a contract's table is broken ─► its error: what depends on the table is not built
    a check in Python has a problem ─► its error: nothing that reads a source is built

dbt's own tests of sources stop what depends on them within the build. All of them are nodes of the
build's report, so that the audit refuses to publish, and the page and the terminal show them.
"""

import time
from dataclasses import dataclass
from typing import Any, cast

from headrace.error_detail import ErrorDetail
from headrace.errors import UserError
from headrace.formatting import first_few
from headrace.pipeline.checking.audit import chosen_checks, problems_of
from headrace.pipeline.checking.checked_tables import RawTable, RawTables
from headrace.pipeline.checking.contract import SERVICE_LEVELS, RunContracts, downstream, sentence
from headrace.pipeline.dbt.dbt_runner import MADE
from headrace.pipeline.reports import Event, Listener, NodeReport, NodeStatus
from headrace.settings import Resolved
from headrace.targets import Target


@dataclass(frozen=True)
class RawChecks:
    """What was found.

    Attributes:
        nodes: the results.
        excluded: dbt's selectors of what is not built.
    """

    nodes: tuple[NodeReport, ...] = ()
    excluded: tuple[str, ...] = ()


def check_raw(resolved: Resolved, target: Target, graph: Any, *, listen: Listener) -> RawChecks:
    """Check the raw tables.

    Args:
        resolved: the settings.
        target: released; it is opened to read.
        graph: dbt's own manifest.
        listen: is told of each check that does not hold.

    Raises:
        SettingsError: a check cannot be found, or takes no such setting.
    """
    nodes, excluded = _contracts(resolved, graph)
    checks = chosen_checks(resolved, raw=True)
    if checks:
        tables = RawTables(_loaded(target, graph), target=target)
        for check, options, severity in checks:
            began = time.monotonic()
            found = problems_of(check, options, tables, resolved)
            status: NodeStatus = "pass" if not found else "warn" if severity == "warn" else "fail"
            if status == "fail":
                excluded.append("source:*+")
            nodes.append(
                NodeReport(
                    unique_id=f"check.{check.name}",
                    name=check.name,
                    label=check.name,
                    resource_type="check",
                    status=status,
                    severity="warn" if severity == "warn" else "error",
                    seconds=time.monotonic() - began,
                    failures=len(found) or None,
                    message="; ".join(found) or None,
                )
            )
    for node in nodes:
        if node.status != "pass":
            state = cast("Any", "warn" if node.status == "warn" else "failed")
            listen(Event("build", f"{node.kind} {node.label}", state, node.status, node.seconds))
    return RawChecks(tuple(nodes), tuple(dict.fromkeys(excluded)))


def _contracts(resolved: Resolved, graph: Any) -> tuple[list[NodeReport], list[str]]:
    contracts = RunContracts(resolved)
    files = contracts.broken_files
    nodes = [_node("contracts", "contracts", "error", problem) for problem in files]
    excluded: list[str] = []
    try:
        found = contracts.check(graph, of="sources")
    except UserError as error:
        return [*nodes, _node("contracts", "contracts", "error", str(error))], []
    for id_, check, to in found:
        if check.status == "skipped" or check.kind in SERVICE_LEVELS:
            continue  # the audit judges what changes while the data does not
        label = f"{check.contract}: {check.label}"
        said = sentence(check, to).partition(": ")[2] if check.status != "pass" else None
        node = _node(f"contract.{check.contract}.{check.label}", label, check.status, said)
        if check.status != "pass" and check.query:
            node = node.model_copy(update={"detail": ErrorDetail(query=check.query)})
        message = said.removeprefix(f"{check.label}: ") if said else None
        if check.status in {"fail", "error"}:
            source = graph.sources[id_]
            excluded.append(f"source:{source.source_name}.{source.name}+")
            message = f"{message}; not built: {_models_below(graph, id_)}"
        nodes.append(node.model_copy(update={"message": message}))
    return nodes, excluded


def _models_below(graph: Any, id_: str) -> str:
    """The models that read a source's table, directly or through others, in words."""
    below = downstream(graph, {id_})
    names = [node.name for key, node in graph.nodes.items() if key in below and _is_made(node)]
    return first_few(sorted(names), 4) or "no model reads it"


def _is_made(node: Any) -> bool:
    return str(node.resource_type) in MADE


def _node(id_: str, label: str, status: str, message: str | None) -> NodeReport:
    return NodeReport(
        unique_id=id_,
        name=label,
        label=label,
        resource_type="contract",
        status=cast("NodeStatus", status),
        severity="warn" if status == "warn" else "error",
        message=message,
    )


def _loaded(target: Target, graph: Any) -> tuple[RawTable, ...]:
    sources = list(graph.sources.values())
    there = {schema: target.row_counts(schema) for schema in {one.schema for one in sources}}
    return tuple(
        RawTable(f"{one.schema}.{one.identifier}", one.source_name, one.name)
        for one in sources
        if one.identifier in there[one.schema] and not one.name.startswith("_dlt")
    )
