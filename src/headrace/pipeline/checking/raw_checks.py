"""Checks of raw data before the build: the contracts of sources, and the project's own in Python.

    a contract's table is broken ─► its error: what depends on the table is not built
    a check in Python has a problem ─► its error: nothing that reads a source is built

dbt's own tests of sources stop what depends on them within the build. All of them are nodes of the
build's report, so that the audit refuses to publish, and the page and the terminal show them.
"""

from dataclasses import dataclass
from typing import Any, cast

from headrace.errors import UserError
from headrace.formatting import first_few
from headrace.pipeline.checking.audit import chosen_checks, result_of
from headrace.pipeline.checking.checked_tables import RawTable, RawTables
from headrace.pipeline.checking.contract import downstream
from headrace.pipeline.checking.promises import Promises, is_broken
from headrace.pipeline.dbt.dbt_runner import MADE
from headrace.pipeline.reports import Event, Listener, NodeReport
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
            node, _ = result_of(check, options, tables, resolved, severity)
            if node.status == "fail":
                excluded.append("source:*+")
            nodes.append(node)
    for node in nodes:
        if node.status != "pass":
            state = cast("Any", "warn" if node.status == "warn" else "failed")
            listen(Event("build", f"{node.kind} {node.label}", state, node.status, node.seconds))
    return RawChecks(tuple(nodes), tuple(dict.fromkeys(excluded)))


def _contracts(resolved: Resolved, graph: Any) -> tuple[list[NodeReport], list[str]]:
    promises = Promises(resolved)
    nodes = [_unreadable(*one) for one in promises.broken_files.items()]
    excluded: list[str] = []
    try:
        found = promises.check(graph, of="sources", part="data")
    except UserError as error:
        return [*nodes, _unreadable("contracts", str(error))], []
    for node in found:
        if node.status == "skipped":
            continue
        if is_broken(node) and node.attached_to is not None:
            source = graph.sources[node.attached_to]
            excluded.append(f"source:{source.source_name}.{source.name}+")
            message = f"{node.message}; not built: {_models_below(graph, node.attached_to)}"
            nodes.append(node.model_copy(update={"message": message}))
        else:
            nodes.append(node)
    return nodes, excluded


def _models_below(graph: Any, id_: str) -> str:
    """The models that read a source's table, directly or through others, in words."""
    below = downstream(graph, {id_})
    names = [node.name for key, node in graph.nodes.items() if key in below and _is_made(node)]
    return first_few(sorted(names), 4) or "no model reads it"


def _is_made(node: Any) -> bool:
    return str(node.resource_type) in MADE


def _unreadable(file: str, problem: str) -> NodeReport:
    return NodeReport(
        unique_id=f"contract.{file}",
        name=file,
        label=file,
        resource_type="contract",
        status="error",
        severity="error",
        message=problem,
    )


def _loaded(target: Target, graph: Any) -> tuple[RawTable, ...]:
    sources = list(graph.sources.values())
    there = target.table_names({one.schema for one in sources})
    return tuple(
        RawTable(f"{one.schema}.{one.identifier}", one.source_name, one.name)
        for one in sources
        if one.identifier in there.get(one.schema, ()) and not one.name.startswith("_dlt")
    )
