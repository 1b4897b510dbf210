"""A slim build: some of the project's nodes are built, and the rest is read from a state folder.

It has a folder of its own for dbt's profile and artifacts: those of the last whole build stay what
they are, and so does the catalog that is made from them.
"""

import json
import re
import shutil
import time
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace import portable
from headrace.errors import SettingsError, StateError, TransformError
from headrace.formatting import did_you_mean
from headrace.libraries.dbt import modified, read_sources_from, unmatched_selector
from headrace.pipeline.building import reuse
from headrace.pipeline.building.build import build_nodes, require_project
from headrace.pipeline.dbt import dbt_runner
from headrace.pipeline.reports import BuildReport, Event, Listener, SelectionReport
from headrace.pipeline.state.folder import State, read_state
from headrace.settings import Resolved
from headrace.sql_text import literal
from headrace.targets import Target

_GRAPH_OPERATORS = re.compile(r"^(?:@|\d*\+)|\+\d*$")
_SEPARATORS = re.compile(r"[\s,]+")
ALIAS = "headrace_state"  # what the state's warehouse is called while dbt runs
_MODIFIED = "state:modified"


@dataclass
class KeptProject:
    """dbt's project between the builds of one process, so that each finds what changed.

    Attributes:
        graph: dbt's own manifest of the last parse.
    """

    graph: Any

    def selectors(self, parsed: dbt_runner.ParsedProject) -> list[str]:
        """Selectors of what changed since that parse, and of all downstream."""
        graph, changed = parsed.graph, modified(self.graph, parsed.graph)
        nodes = [graph.nodes.get(key) or graph.unit_tests[key] for key in changed]
        return sorted({f"fqn:{'.'.join(node.fqn)}+" for node in nodes if node.config.enabled})


@dataclass(frozen=True)
class Selection:
    """What to build: a part of the project, or all of it.

    Attributes:
        select: dbt's selectors; one of them must match. Empty for everything.
        exclude: dbt's selectors; none of them may match.
        state: the state folder to compare with, and to read from what is not built here.
        defer: whether to read from the state; without it, it is compared with and no more.
        since: the project at the last build of this process: what changed since is built.
    """

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    state: Path | None = None
    defer: bool = False
    since: "KeptProject | None" = None

    @property
    def is_whole(self) -> bool:
        """Whether everything is built, and nothing is read from a state."""
        return not self.select and not self.exclude and self.state is None and self.since is None

    @property
    def wants_modified(self) -> bool:
        """Whether what changed since the state is asked for."""
        return any(_MODIFIED in selector for selector in self.select)

    def words(self, *more: str) -> list[str]:
        """dbt's arguments for it; ``more`` are further selectors of which one may match."""
        words = [word for one in (*self.select, *more) for word in ("--select", one)]
        return [*words, *(word for one in self.exclude for word in ("--exclude", one))]


EVERYTHING = Selection()


def parse_selection(
    select: Sequence[str], exclude: Sequence[str], state: Path | None, *, defer: bool | None
) -> Selection:
    """The selection that options ask for; with a state alone, what changed since it.

    Args:
        select: of ``--select``.
        exclude: of ``--exclude``.
        state: of ``--state``.
        defer: of ``--defer`` or ``--no-defer``; by default it is deferred where there is a state.

    Raises:
        SettingsError: the flags do not go together.
    """
    for option, selectors in (("--select", select), ("--exclude", exclude)):
        if any(not selector.strip() for selector in selectors):
            raise SettingsError(f"{option} is empty: name a model, like `{option} customers+`")
    if state is None:
        odd = [one for one in (*select, *exclude) if "state:" in one]
        if odd:
            raise SettingsError(
                f"{odd[0]!r} compares with a state: name its folder, --state DIR "
                "(`headrace state --out DIR` writes one after a published run)"
            )
        if defer:
            raise SettingsError(
                "--defer reads from a state: name its folder, --state DIR "
                "(`headrace state --out DIR` writes one after a published run)"
            )
    elif not select:
        select = (f"{_MODIFIED}+",)
    return Selection(
        tuple(select), tuple(exclude), state, defer=state is not None and defer is not False
    )


def slim_folder(resolved: Resolved) -> Path:
    """The folder of slim builds, below that of whole builds."""
    return dbt_runner.dbt_home(resolved) / "slim"


def build_slim(
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
        loaded: raw schemas that this run loaded because the state's are made otherwise, or raw
            tables that changed; what is made from them counts as modified.
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
    home = slim_folder(resolved)
    attach = [{"path": str(state.warehouse), "alias": ALIAS, "read_only": True}] if state else []
    defers = selection.defer and target.capabilities.reads_duckdb
    # an engine that reads no DuckDB file has the rest itself
    not_deferred = (
        f"the target {target.name} reads no DuckDB file, so what is not built is read from "
        f"{target.location} and not from the state"
    )
    more: dict[str, Any] = {"attach": attach} if defers else {}
    listen(Event("build", "starting dbt", "phase"))
    with dbt_runner.environment(home, working_dir=resolved.dbt_working_dir):
        dbt_runner.write_profile(resolved, target, home, **more)
        listen(Event("build", "parsing the project", "phase"))
        parsed = dbt_runner.parse(resolved, home)
        missing = dbt_runner.sources_not_loaded(
            parsed.graph, target, writes=not resolved.settings.dbt.profile
        )
        words = dbt_runner.arguments(resolved, home)
        from_state: tuple[str, ...] = ()
        more_selected: list[str] = []
        if selection.since is not None:
            more_selected = [*selection.since.selectors(parsed), *_downstream_of(parsed, loaded)]
            if not more_selected:
                selection.since.graph = parsed.graph
                return BuildReport(
                    nodes=(),
                    selection=SelectionReport(select=()),
                    seconds=time.monotonic() - started,
                )
            words.append("--no-write-json")  # takes a third of the time, and nobody reads it
        if state is not None and defers:
            from_state = _sources_in(state, parsed, missing)
            read_sources_from(parsed.graph, from_state, ALIAS)
            more_selected = _downstream_of(parsed, loaded) if selection.wants_modified else []
        if state is not None:
            words += ["--state", str(_write_state_manifest(state, parsed, home))]
            words += ["--defer" if defers else "--no-defer"]
        left_out = [name for name in missing if name not in from_state]
        words += [*selection.words(*more_selected), *dbt_runner.exclude_sources(left_out)]
        unmatched = _UnmatchedSelectors(selection)
        parsed.runner.callbacks.append(unmatched)
        last = reuse.last_build(resolved, target)
        known = last and reuse.Reuse(resolved, target, parsed.graph, last, is_part=True)
        with known.applied() if known else nullcontext():
            nodes = build_nodes(
                resolved, target, parsed, words, full_refresh=full_refresh, listen=listen
            )
        if last and known:
            reuse.after_part(resolved, target, last, known, nodes)
        if selection.since is not None:
            selection.since.graph = parsed.graph
    selected = set(_SEPARATORS.split(" ".join(selection.select)))
    if not nodes and selected.intersection(unmatched.selectors):
        typed = [selector for selector in unmatched.selectors if selector in selected]
        raise TransformError(_nothing_selected(typed, parsed.graph))
    return BuildReport(
        nodes=nodes,
        selection=SelectionReport(
            select=(*selection.select, *more_selected),
            exclude=selection.exclude,
            unmatched=tuple(unmatched.selectors),
            state=str(state.folder) if state else None,
            deferred=defers,
            not_deferred=not_deferred if selection.defer and not defers else None,
            sources_of_state=from_state,
        ),
        seconds=time.monotonic() - started,
    )


class _UnmatchedSelectors:
    """A dbt event callback that collects the selectors that match nothing.

    Selectors by state are left out: it is no mistake if nothing changed.
    """

    def __init__(self, selection: Selection) -> None:
        words = " ".join((*selection.select, *selection.exclude))
        self._own = {word for word in _SEPARATORS.split(words) if "state:" not in word}
        self.selectors: list[str] = []

    def __call__(self, event: Any) -> None:
        selector = unmatched_selector(event)
        if selector and selector in self._own and selector not in self.selectors:
            self.selectors.append(selector)


def _nothing_selected(selectors: Sequence[str], graph: Any) -> str:
    """The message that nothing was built, with the closest names."""
    names = sorted(
        {
            node.name
            for node in graph.nodes.values()
            if str(node.resource_type) not in {"test", "unit_test"}
        }
    )
    proposals = []
    for selector in selectors:
        name = _GRAPH_OPERATORS.sub("", selector).rpartition(":")[2]
        meant = did_you_mean(name, names, most=3)
        proposals.append(f"{selector} ({meant})" if meant else selector)
    return (
        f"--select {', '.join(proposals)} matches nothing in this project, so nothing was built: "
        "correct it, or run `headrace build` without it"
    )


def _sources_in(
    state: State, parsed: dbt_runner.ParsedProject, missing: Sequence[str]
) -> tuple[str, ...]:
    """The dbt sources that are not loaded here and whose raw schema is in the state."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"attach {literal(str(state.warehouse))} as {ALIAS} (read_only)")
        rows = connection.execute(
            "select distinct schema_name from duckdb_tables() "
            "where database_name = ? and not starts_with(table_name, '_dlt')",
            [ALIAS],
        ).fetchall()
    there = {str(row[0]) for row in rows}
    schemas = {one.source_name: one.schema for one in parsed.graph.sources.values()}
    return tuple(name for name in missing if schemas[name] in there)


def _downstream_of(parsed: dbt_runner.ParsedProject, loaded: Collection[str]) -> list[str]:
    """Selectors of what is made from some raw schemas, or tables (``schema.table``)."""
    found = set()
    for source in parsed.graph.sources.values():
        if source.schema in loaded:
            found.add(f"source:{source.source_name}+")
        elif f"{source.schema}.{source.identifier}" in loaded:
            found.add(f"source:{source.source_name}.{source.name}+")
    return sorted(found)


def _write_state_manifest(state: State, parsed: dbt_runner.ParsedProject, home: Path) -> Path:
    """Write the state's manifest with the databases of this build; gives its folder.

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
            f"here {ours.dbt_schema_version}): write the state again with this one "
            "(`headrace state --out DIR`)"
        )
    try:
        content = json.loads(state.manifest.read_bytes())
        for node in (*content["nodes"].values(), *content.get("functions", {}).values()):
            # Spark's nodes have no database: its relations are in none
            if node.get("database") in {state.info.database, None, ""}:
                _set_database(node, ALIAS)
                if node.get("relation_name"):  # it was written in the words of another engine
                    parts = (ALIAS, node["schema"], node.get("alias") or node["name"])
                    node["relation_name"] = ".".join(f'"{part}"' for part in parts)
        for key, source in content["sources"].items():
            here = parsed.graph.sources.get(key)
            if here is not None:
                _set_database(source, here.database)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise StateError(
            f"{state.manifest} is not a dbt manifest: write the state again "
            "(`headrace state --out DIR`)"
        ) from error
    folder = home / "state"
    shutil.rmtree(folder, ignore_errors=True)
    portable.write_file(folder / "manifest.json", json.dumps(content))
    return folder


def _set_database(entry: dict[str, Any], database: str) -> None:
    old = entry.get("database")
    entry["database"] = database
    relation = entry.get("relation_name")
    if isinstance(relation, str) and relation.startswith(f'"{old}".'):
        entry["relation_name"] = f'"{database}"' + relation.removeprefix(f'"{old}"')
