"""Models that a build left out are compiled, so that the catalog can trace their columns.

Models of sources that are not loaded yet, and those that wait for a model or test that failed, have
SQL, too. dbt fills in the nodes of its manifest, which is written then; nothing is built.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace import portable
from headrace.artifacts.dbt_results import FAILED
from headrace.formatting import one_line
from headrace.libraries.dbt import compile_all, compiled_sql, set_compiled_sql
from headrace.lineage.edges_without_sql import BUILT_IN
from headrace.pipeline.dbt import dbt_runner
from headrace.pipeline.reports import NodeReport
from headrace.pipeline.state import build_state
from headrace.process import gc_paused
from headrace.settings import Resolved
from headrace.targets import Target

_LOG = logging.getLogger("headrace.pipeline")

_GRAPH = re.compile(r"\bgraph\b")
"""dbt's name, in templates, for all nodes."""
_KINDS = ("resource_type:model", "resource_type:snapshot", "test_type:singular")


class _CompiledNodes(msgspec.Struct, frozen=True):
    """What was compiled the last time.

    Attributes:
        inputs: digest of the project and its settings, but for models that it does not follow from.
        roots: what nodes were left out for: selectors of dbt.
        sql: unique id to compiled SQL.
    """

    inputs: str
    roots: tuple[str, ...]
    sql: dict[str, str]


def compile_left_out(
    resolved: Resolved,
    target: Target,
    parsed: dbt_runner.ParsedProject,
    *,
    missing: Sequence[str],
    nodes: Iterable[NodeReport],
) -> None:
    """Compile what the build left out, into dbt's own manifest.

    Tests by dbt's own generic ones stay as they are: their arguments say what they read. A node
    that cannot be compiled is logged, and has no lineage of columns.

    Args:
        resolved: the settings.
        target: is released at the end.
        parsed: the project; the nodes of its graph are filled in. Nothing is compiled again while
            it stays the same, but for models that were built and that nothing left out reads.
        missing: dbt sources that are not loaded.
        nodes: what was built and tested.
    """
    roots = (*(f"source:{name}" for name in missing), *_waiting(parsed.graph, nodes))
    if not roots:
        return
    with gc_paused():
        inputs = build_state.inputs(resolved, target, without=_unrelated(resolved, parsed.graph))
        kept = _read(resolved)
        if kept is not None and (kept.inputs, kept.roots) == (inputs, roots):
            set_compiled_sql(parsed.graph, kept.sql)
        else:
            built = compiled_sql(parsed.graph)
            _compile(resolved, target, parsed, roots)
            sql = {key: sql for key, sql in compiled_sql(parsed.graph).items() if key not in built}
            _write(resolved, _CompiledNodes(inputs, roots, sql))


def _unrelated(resolved: Resolved, graph: Any) -> set[Path]:
    """The files of models that were built, and of which the SQL of what was left out has nothing.

    None where some of it looks through the whole ``graph``.
    """
    nodes, read = graph.nodes, set()
    left = [key for key, node in nodes.items() if not getattr(node, "compiled", False)]
    while left:
        key = left.pop()
        one = nodes.get(key) or graph.macros.get(key)
        if one is None or key in read:
            continue
        read.add(key)
        text = getattr(one, "macro_sql", None) or getattr(one, "raw_code", None)
        if _GRAPH.search(text or ""):
            return set()
        depends = getattr(one, "depends_on", None)
        left += [*getattr(depends, "nodes", ()), *getattr(depends, "macros", ())]
    return {
        resolved.dbt_project / node.original_file_path
        for key, node in nodes.items()
        if key not in read
        and str(node.resource_type) == "model"
        and node.package_name == graph.metadata.project_name
    }


def _waiting(graph: Any, nodes: Iterable[NodeReport]) -> list[str]:
    """The names of models that failed or were skipped, and are not downstream of another."""
    bad = FAILED | {"skipped"}
    waiting = {node.unique_id for node in nodes if node.status in bad} & graph.nodes.keys()
    return sorted(
        graph.nodes[key].name
        for key in waiting
        if str(graph.nodes[key].resource_type) in {"model", "snapshot"}
        and not waiting.intersection(graph.nodes[key].depends_on.nodes)
    )


def _compile(
    resolved: Resolved, target: Target, parsed: dbt_runner.ParsedProject, roots: Sequence[str]
) -> None:
    kinds = (*_KINDS, *_own_tests(parsed.graph))
    try:
        with compile_all():
            result = parsed.runner.invoke(
                [
                    "compile",
                    *dbt_runner.arguments(resolved),
                    "--no-populate-cache",  # few relations are looked up
                    "--no-write-json",  # run_results.json is the build's
                    "--quiet",
                    *("--indirect-selection", "empty"),  # tests that are named, and no others
                    *("--select", *(f"{root}+,{kind}" for root in roots for kind in kinds)),
                ]
            )
            target.note_written(())
    finally:
        target.release()
    for item in getattr(result.result, "results", None) or ():
        if str(item.status) in FAILED:
            _LOG.warning(
                "dbt did not compile %s: %s",
                item.node.name,
                one_line(item.message or ""),
            )
    if result.exception is not None:
        _LOG.warning("dbt did not compile what was left out: %s", result.exception)


def _own_tests(graph: Any) -> list[str]:
    """Selectors of generic tests whose arguments do not tell everything they read."""
    metadata = (getattr(node, "test_metadata", None) for node in graph.nodes.values())
    names = {one.name for one in metadata if one is not None}
    return [f"test_name:{name}" for name in sorted(names - BUILT_IN)]


def _path(resolved: Resolved) -> Path:
    return dbt_runner.dbt_home(resolved) / "left_out.json"


def _read(resolved: Resolved) -> _CompiledNodes | None:
    """What was compiled the last time; None if it is missing or cannot be read."""
    try:
        return msgspec.json.decode(_path(resolved).read_bytes(), type=_CompiledNodes)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _write(resolved: Resolved, kept: _CompiledNodes) -> None:
    portable.write_file(_path(resolved), msgspec.json.encode(kept))
