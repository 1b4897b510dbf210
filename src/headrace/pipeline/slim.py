"""A build of a part of the project, with the rest read from a state.

It has a folder of its own for dbt's profile and artifacts: those of the last whole build stay what
they are, and so does the catalog that is made from them.
"""

import difflib
import json
import re
import shutil
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from headrace import portable
from headrace.artifacts import Manifest
from headrace.errors import StateError, TransformError
from headrace.pipeline import dbt_calls
from headrace.pipeline.build import build_nodes, require_project
from headrace.pipeline.events import Event, Listener
from headrace.pipeline.reports import BuildReport, SelectionReport
from headrace.pipeline.selection import Selection
from headrace.pipeline.state_folder import State, read_state
from headrace.settings import Resolved
from headrace.sql_text import literal
from headrace.targets import Target

_GRAPH_OPERATORS = re.compile(r"^(?:@|\d*\+)|\+\d*$")
_WORDS = re.compile(r"[\s,]+")
ALIAS = "headrace_state"  # what the state's warehouse is called while dbt runs


def home_of(resolved: Resolved) -> Path:
    """The folder of such builds."""
    return dbt_calls.home_of(resolved) / "slim"


def build_part(
    resolved: Resolved,
    target: Target,
    selection: Selection,
    *,
    loaded: Collection[str] = (),
    full_refresh: bool,
    listen: Listener,
) -> BuildReport:
    """Build and test what is selected.

    Args:
        resolved: the settings.
        target: where the raw data is, or some of it.
        selection: what to build.
        loaded: raw schemas that this run loaded because the state's are made otherwise; what is
            made from them counts as modified.
        full_refresh: incremental models from scratch.
        listen: is told of each node.

    Raises:
        StateError: the state cannot be used.
        TransformError: dbt could not parse or start, or the selectors match nothing; nothing was
            built.
        WarehouseError: the target cannot be opened.
    """
    started = time.monotonic()
    require_project(resolved)
    state = read_state(selection.state) if selection.state else None
    target.check()
    home = home_of(resolved)
    attach = [{"path": str(state.warehouse), "alias": ALIAS, "read_only": True}] if state else []
    more: dict[str, Any] = {"attach": attach} if selection.defer else {}
    listen(Event("build", "starting dbt", "phase"))
    with dbt_calls.environment(home):
        dbt_calls.write_profile(resolved, target, home, **more)
        listen(Event("build", "parsing the project", "phase"))
        parsed = dbt_calls.parse(resolved, home)
        missing = dbt_calls.sources_not_loaded(parsed.manifest, target)
        words = dbt_calls.arguments(resolved, home)
        elsewhere: tuple[str, ...] = ()
        modified: list[str] = []
        if state is not None and selection.defer:
            elsewhere = _sources_of(state, parsed, missing)
            _read_elsewhere(parsed.graph, elsewhere)
            modified = _made_from(parsed, loaded) if selection.wants_modified else []
        if state is not None:
            words += ["--state", str(_manifest_for(state, parsed, home))]
            words += ["--defer" if selection.defer else "--no-defer"]
        left_out = [name for name in missing if name not in elsewhere]
        words += [*selection.words(*modified), *dbt_calls.without(left_out)]
        unmatched = _Unmatched(selection)
        parsed.runner.callbacks.append(unmatched)
        nodes = build_nodes(target, parsed, words, full_refresh=full_refresh, listen=listen)
    selected = set(_WORDS.split(" ".join(selection.select)))
    if not nodes and selected.intersection(unmatched.selectors):
        typed = [selector for selector in unmatched.selectors if selector in selected]
        raise TransformError(_nothing_selected(typed, parsed.manifest))
    return BuildReport(
        nodes=nodes,
        selection=SelectionReport(
            select=(*selection.select, *modified),
            exclude=selection.exclude,
            unmatched=tuple(unmatched.selectors),
            state=str(state.folder) if state else None,
            deferred=selection.defer,
            sources_of_state=elsewhere,
        ),
        seconds=time.monotonic() - started,
    )


class _Unmatched:
    """A dbt event callback that notes which of somebody's selectors match nothing.

    That nothing changed since a state is no mistake, so those are left out.
    """

    def __init__(self, selection: Selection) -> None:
        words = " ".join((*selection.select, *selection.exclude))
        self._own = {word for word in _WORDS.split(words) if "state:" not in word}
        self.selectors: list[str] = []

    def __call__(self, event: Any) -> None:
        if event.info.name == "NoNodesForSelectionCriteria":
            selector = str(event.data.spec_raw)
            if selector in self._own and selector not in self.selectors:
                self.selectors.append(selector)


def _nothing_selected(selectors: Sequence[str], manifest: Manifest) -> str:
    """That nothing was built, and what may have been meant."""
    names = sorted(
        {
            node.name
            for node in manifest.nodes.values()
            if node.resource_type not in {"test", "unit_test"}
        }
    )
    proposals = []
    for selector in selectors:
        name = _GRAPH_OPERATORS.sub("", selector).rpartition(":")[2]
        near = difflib.get_close_matches(name, names, n=3)
        proposals.append(f"{selector} (did you mean {' or '.join(near)}?)" if near else selector)
    return (
        f"--select {', '.join(proposals)} matches nothing in this project, so nothing was built: "
        "correct it, or run `headrace build` without it"
    )


def _sources_of(state: State, parsed: dbt_calls.Parsed, missing: Sequence[str]) -> tuple[str, ...]:
    """The dbt sources, of those that are not loaded here, whose raw schema the state has."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(str(state.warehouse))} as {ALIAS} (read_only)")
        rows = connection.execute(
            "select distinct schema_name from duckdb_tables() "
            "where database_name = ? and not starts_with(table_name, '_dlt')",
            [ALIAS],
        ).fetchall()
    there = {str(row[0]) for row in rows}
    schemas = {one.source_name: one.schema_name for one in parsed.manifest.sources.values()}
    return tuple(name for name in missing if schemas[name] in there)


def _read_elsewhere(graph: Any, sources: Collection[str]) -> None:
    """Have dbt read some sources from the state: `source()` is not deferred by dbt itself."""
    for source in graph.sources.values():
        if source.source_name in sources:
            source.database = ALIAS
            source.relation_name = f'"{ALIAS}"."{source.schema}"."{source.identifier}"'


def _made_from(parsed: dbt_calls.Parsed, schemas: Collection[str]) -> list[str]:
    names = {
        source.source_name
        for source in parsed.manifest.sources.values()
        if source.schema_name in schemas
    }
    return [f"source:{name}+" for name in sorted(names)]


def _manifest_for(state: State, parsed: dbt_calls.Parsed, home: Path) -> Path:
    """Write the state's manifest as dbt must see it here; gives its folder.

    What was built is in the attached database. A source is where it is for this build, or dbt
    would take each for modified.
    """
    ours = parsed.graph.metadata
    if state.info.project != ours.project_name:
        raise StateError(
            f"{state.folder} is of the dbt project {state.info.project!r}, this one is "
            f"{ours.project_name!r}: name its own state"
        )
    if state.info.dbt_schema != ours.dbt_schema_version:
        raise StateError(
            f"{state.manifest} was written by another version of dbt ({state.info.dbt_schema}, "
            f"here {ours.dbt_schema_version}): write the state anew with this one "
            "(`headrace state --out DIR`)"
        )
    try:
        content = json.loads(state.manifest.read_bytes())
        for node in (*content["nodes"].values(), *content.get("functions", {}).values()):
            if node.get("database") == state.info.database:
                _move(node, ALIAS)
        for key, source in content["sources"].items():
            here = parsed.graph.sources.get(key)
            if here is not None:
                _move(source, here.database)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise StateError(
            f"{state.manifest} is no manifest of dbt: write the state anew "
            "(`headrace state --out DIR`)"
        ) from error
    folder = home / "state"
    shutil.rmtree(folder, ignore_errors=True)
    portable.write_file(folder / "manifest.json", json.dumps(content))
    return folder


def _move(entry: dict[str, Any], database: str) -> None:
    old = entry.get("database")
    entry["database"] = database
    relation = entry.get("relation_name")
    if isinstance(relation, str) and relation.startswith(f'"{old}".'):
        entry["relation_name"] = f'"{database}"' + relation.removeprefix(f'"{old}"')
