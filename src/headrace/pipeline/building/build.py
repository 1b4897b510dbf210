"""The build step: dbt builds and tests everything whose sources are loaded, in this process."""

import gc
import logging
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headrace.artifacts.dbt_results import FAILED
from headrace.error_detail import hidden
from headrace.errors import HeadraceError, ProjectError, TransformError
from headrace.exceptions import came_of_ctrl_c
from headrace.formatting import count, first_few
from headrace.libraries import dbt as libraries_dbt
from headrace.libraries import dbt_shortcuts
from headrace.libraries.dbt import reads_files
from headrace.pipeline.building import reuse
from headrace.pipeline.building.failing_rows import store_failures, with_failing_rows
from headrace.pipeline.building.unbuilt import compile_left_out
from headrace.pipeline.checking.raw_checks import check_raw
from headrace.pipeline.dbt import bare_dbt, dbt_errors, dbt_packages, dbt_runner
from headrace.pipeline.dbt.dbt_runner import MADE, NO_OP, NodeEvents, node_report
from headrace.pipeline.reports import BuildReport, Event, Listener, NodeReport, NodeStatus
from headrace.pipeline.state import build_state
from headrace.pipeline.state.build_state import BuildState
from headrace.secrets import hide
from headrace.settings import Resolved, SourceSettings
from headrace.targets import Target

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunner

_LOG = logging.getLogger("headrace.pipeline")
_MOST_FILES = 5_000  # of a source, whose times are looked at


@dataclass(frozen=True)
class Prepared:
    """A project that was parsed ahead of its build.

    Attributes:
        inputs: what it was parsed from; of other inputs it is parsed again.
        parsed: the project.
    """

    inputs: str
    parsed: dbt_runner.ParsedProject


def build(
    resolved: Resolved,
    target: Target,
    *,
    full_refresh: bool,
    listen: Listener,
    prepared: Prepared | None = None,
) -> BuildReport:
    """Build and test the dbt project.

    Nothing is run when the target, the project, its settings and the day are what they were at
    the end of the last build that passed.

    Args:
        resolved: the settings.
        target: where the raw data is.
        full_refresh: build even if nothing changed, incremental models from scratch.
        listen: is told of each node.
        prepared: of ``prepare``.

    Raises:
        TransformError: dbt could not parse or start; nothing was built.
        WarehouseError: the target cannot be opened.
    """
    started = time.monotonic()
    require_project(resolved)
    inputs, day = build_state.inputs(resolved, target), build_state.today()
    last = build_state.read(resolved)
    if not full_refresh and last is not None and _is_current(last, inputs, day, target, resolved):
        return _reused(last, started, listen)
    target.check()
    as_left = None if full_refresh else reuse.last_build(resolved, target)
    # from here on dbt's artifacts are in the making; a build that is stopped must not count
    build_state.forget(resolved)
    dbt_runner.write_profile(resolved, target)
    listen(Event("build", "starting dbt", "phase"))
    home = dbt_runner.dbt_home(resolved)
    with dbt_runner.environment(home, working_dir=resolved.dbt_working_dir):
        listen(Event("build", "parsing the project", "phase"))
        if prepared is not None and prepared.inputs == _parse_inputs(inputs, target):
            parsed = prepared.parsed
        else:
            parsed = dbt_runner.parse(resolved)
        is_own = resolved.settings.dbt.profile is not None
        missing = dbt_runner.sources_not_loaded(parsed.graph, target, writes=not is_own)
        if seeds := dbt_runner.seeds_of_sources(parsed.graph, missing):
            _seed(resolved, target, parsed, seeds)
            missing = dbt_runner.sources_not_loaded(parsed.graph, target, writes=not is_own)
        raw = check_raw(resolved, target, parsed.graph, listen=listen)
        words = [*dbt_runner.arguments(resolved), *dbt_runner.exclude_sources(missing)]
        words += [word for one in raw.excluded for word in ("--exclude", one)]
        words += dbt_runner.default_selector(parsed) if missing or raw.excluded else []
        known = reuse.Reuse(resolved, target, parsed.graph, as_left)
        with (
            dbt_shortcuts.manifest_left_to_caller(),
            known.applied() if reuse.is_on(resolved, target) else nullcontext(),
        ):
            nodes = build_nodes(
                resolved,
                target,
                parsed,
                words,
                full_refresh=full_refresh,
                listen=listen,
                keeps_rows=resolved.settings.dbt.store_failures,
            )
        nodes = (*raw.nodes, *known.marked(nodes))
        compile_left_out(resolved, target, parsed, missing=missing, nodes=nodes)
        parsed.graph.write(str(resolved.artifacts / "manifest.json"))
        listen(Event("build", "looking at the age of the sources", "phase"))
        try:  # dbt opens the target once for both
            freshness = _freshness(resolved, parsed.runner, missing, listen)
            _describe_relations(resolved, parsed.runner)
            target.note_written(())
        finally:
            target.release()
    if full_refresh and all(
        node.status == "success" for node in nodes if node.resource_type in MADE
    ):
        full_refresh_marker(resolved, target).unlink(missing_ok=True)
    passed = not any(node.status in FAILED for node in (*nodes, *freshness))
    build_state.write(
        resolved,
        BuildState(
            passed=passed,
            inputs=inputs,
            day=day,
            signature=target.signature(),
            nodes=nodes,
            freshness=freshness,
            finished_at=datetime.now(UTC),
            reads_files=reads_files(parsed.graph),
            generation=known.generation,
            digests=known.kept(nodes),
            sources=known.sources,
        ),
    )
    return BuildReport(nodes=nodes, freshness=freshness, seconds=time.monotonic() - started)


def start_dbt(resolved: Resolved) -> None:
    """Import dbt, which takes longer than to parse a small project."""
    with dbt_runner.environment(dbt_runner.dbt_home(resolved)):
        libraries_dbt.import_all()


def prepare(resolved: Resolved, target: Target) -> Prepared | None:
    """Import dbt, and parse the project, while its sources are still loaded.

    Returns:
        What ``build`` takes; None if the project cannot be parsed yet, which the build will tell.
    """
    start_dbt(resolved)
    if not bare_dbt.loaded_sources_path(target).is_file() or dbt_packages.are_missing(resolved):
        return None  # dbt would parse it all again once they are there
    try:
        require_project(resolved)
        inputs = _parse_inputs(build_state.inputs(resolved, target), target)
        dbt_runner.write_profile(resolved, target)
        home = dbt_runner.dbt_home(resolved)
        with dbt_runner.environment(home, working_dir=resolved.dbt_working_dir):
            parsed = dbt_runner.parse(resolved)
        gc.freeze()  # the project stays: no collection need look through it
        return Prepared(inputs, parsed)
    except HeadraceError as error:
        if came_of_ctrl_c(error):
            raise KeyboardInterrupt from error
        return None


def is_likely(resolved: Resolved, target: Target, chosen: Mapping[str, SourceSettings]) -> bool:
    """Whether there will be something to build, as far as can be told before the load.

    It is, unless the last build is current and no file of the sources changed since.
    """
    last = build_state.read(resolved)
    if last is None:
        return True
    inputs, day = build_state.inputs(resolved, target), build_state.today()
    if not _is_current(last, inputs, day, target, resolved):
        return True
    since = last.finished_at.timestamp()
    return any(_is_newer(resolved, name, one, since) for name, one in chosen.items())


def _is_newer(resolved: Resolved, name: str, settings: SourceSettings, since: float) -> bool:
    """Whether a source's files changed since; one that has none may always bring something."""
    paths = [resolved.common_data_dir / name]
    if (option := settings.options.get("path")) is not None:
        paths.append(resolved.source_path(Path(str(option))))
    found = [path for path in paths if path.exists()]
    return not found or any(_newest_change(path) > since for path in found)


def _newest_change(path: Path) -> float:
    """When the newest file or folder at or below a path changed; infinity if there are many."""
    newest, left = path.stat().st_mtime, _MOST_FILES
    for folder, folders, files in os.walk(path):
        left -= len(folders) + len(files)
        if left < 0:
            return math.inf
        for name in (*folders, *files):
            with suppress(OSError):
                newest = max(newest, Path(folder, name).stat().st_mtime)
    return newest


def _parse_inputs(inputs: str, target: Target) -> str:
    """Of what dbt parses: the build's inputs, and which sources are loaded."""
    path = bare_dbt.loaded_sources_path(target)
    return f"{inputs} {path.read_text('utf-8') if path.is_file() else ''}"


def full_refresh_marker(resolved: Resolved, target: Target) -> Path:
    """The file that exists from the start of a full refresh until all models were rebuilt.

    The raw tables of a refresh that was stopped are new, but dbt's incremental models still hold
    rows that were made from the old ones.
    """
    return resolved.data_dir / "refreshing" / target.name


def _is_current(
    last: BuildState, inputs: str, day: date, target: Target, resolved: Resolved
) -> bool:
    return (
        last.passed
        and not last.reads_files
        and last.inputs == inputs
        and last.day == day
        and last.signature is not None
        and last.signature == target.signature()
        and (resolved.artifacts / "manifest.json").is_file()
    )


def _reused(last: BuildState, started: float, listen: Listener) -> BuildReport:
    listen(Event("build", "everything", "skipped", "nothing changed since the last good build"))
    return BuildReport(
        nodes=tuple(node.model_copy(update={"reused": True}) for node in last.nodes),
        reused=True,
        freshness=last.freshness,
        seconds=time.monotonic() - started,
    )


def require_project(resolved: Resolved) -> None:
    """Raise a ProjectError if there is no dbt project."""
    if not (resolved.dbt_project / "dbt_project.yml").is_file():
        raise ProjectError(
            f"{resolved.dbt_project} holds no dbt_project.yml: set dbt.project_dir to a dbt project"
        )


def build_nodes(
    resolved: Resolved,
    target: Target,
    parsed: dbt_runner.ParsedProject,
    words: Sequence[str],
    *,
    full_refresh: bool,
    listen: Listener,
    keeps_rows: bool = False,
) -> tuple[NodeReport, ...]:
    """Have dbt build and test.

    Args:
        resolved: the settings.
        target: released at the end.
        parsed: the project.
        words: dbt's arguments: places, and what to build.
        full_refresh: incremental models from scratch.
        listen: is told of each node.
        keeps_rows: whether the rows that tests found are kept in tables; of a whole build.

    Raises:
        TransformError: dbt could not start.
        WarehouseError: the target cannot be opened.
    """
    flags = ["--full-refresh"] if full_refresh else []
    require_capabilities(target, parsed)
    if (config_of := target.node_config()) is not None:
        libraries_dbt.configure(parsed.graph, config_of)
    if types := target.capabilities.fixture_types:
        libraries_dbt.translate_fixtures(parsed.graph, types)
    events = NodeEvents(listen, parsed)
    parsed.runner.callbacks.append(events)
    try:
        with dbt_shortcuts.larger_limits():
            result = parsed.runner.invoke(["build", *words, *flags])
        _note_written(target, result.result)
    finally:
        parsed.runner.callbacks.remove(events)
        target.release()
    if result.exception is not None or result.result is None:
        raise dbt_runner.transform_error(result, parsed.places) from result.exception
    results = cast("Any", result.result)
    nodes = [node_report(item, parsed) for item in results.results if str(item.status) != NO_OP]
    tests = {item.node.unique_id: item.node for item in results.results}
    stored = store_failures(resolved, target, parsed, results.results) if keeps_rows else {}
    return with_failing_rows(resolved, target, parsed.graph, nodes, tests, stored)


def require_capabilities(target: Target, parsed: dbt_runner.ParsedProject) -> None:
    """Refuse what the target cannot build, before anything is built.

    Raises:
        TransformError: names the models and snapshots.
    """
    can = target.capabilities
    if can.longest_name is not None:
        longer = libraries_dbt.longer_names(parsed.graph, can.longest_name)
        if longer:
            raise TransformError(
                f"the target {target.name} cuts names at {can.longest_name} bytes, and "
                f"{count(len(longer), 'name')} {'is' if len(longer) == 1 else 'are'} longer "
                f"({first_few(longer)}): give the model an alias, the column a shorter name"
            )
    needing = libraries_dbt.needing(
        parsed.graph, snapshots=not can.snapshots, incremental=not can.incremental
    )
    for kind, names in needing.items():
        raise TransformError(
            f"the target {target.name} builds no {kind}s, and there "
            f"{'is' if len(names) == 1 else 'are'} {count(len(names), kind)} "
            f"({', '.join(sorted(names)[:5])}): take another target, or switch them off on this "
            "one with `+enabled: \"{{ target.name != '" + target.name + "' }}\"`"
        )


def _seed(
    resolved: Resolved, target: Target, parsed: dbt_runner.ParsedProject, seeds: Sequence[str]
) -> None:
    """Load seeds that are the tables of sources, for the models that read these."""
    words = ["seed", *dbt_runner.arguments(resolved), "--select", *seeds]
    try:
        result = parsed.runner.invoke(words)
        _note_written(target, result.result)
    finally:
        target.release()
    if result.exception is not None:
        raise dbt_runner.transform_error(result, parsed.places) from result.exception


def _note_written(target: Target, result: Any) -> None:
    """Tell a target which relations dbt went at; nothing where dbt does not say."""
    if result is not None:
        nodes = [item.node for item in result.results]
        target.note_written({(one.schema, one.alias) for one in nodes if hasattr(one, "alias")})


def _freshness(
    resolved: Resolved,
    runner: "dbtRunner",
    missing: list[str],
    listen: Listener,
) -> tuple[NodeReport, ...]:
    """Source freshness, from dlt's own record of loads."""
    selection = [argument for name in missing for argument in ("--exclude", f"source:{name}")]
    words = [*dbt_runner.arguments(resolved), *selection, "--no-write-json"]
    result = runner.invoke(["source", "freshness", *words])
    project = dbt_runner.project_of(resolved)
    if result.exception is not None or result.result is None:
        raise dbt_runner.transform_error(result, project) from result.exception
    found = cast("Any", result.result)
    found.write(str(resolved.artifacts / "sources.json"))  # dbt would write the manifest again, too
    reports = []
    for item in found.results:
        if str(item.node.resource_type) != "source":
            continue  # the hooks of the project, which dbt runs here, too
        status = str(item.status)
        message, detail = dbt_errors.explain(item.message or "", item.node, project)
        report = NodeReport(
            unique_id=item.node.unique_id,
            name=f"{item.node.source_name}.{item.node.name}",
            label=f"{item.node.source_name}.{item.node.name}",
            resource_type="source",
            status="error" if status in FAILED else cast("NodeStatus", status),
            seconds=float(item.execution_time or 0),
            message=hide(message) or None,
            detail=hidden(detail) if message else None,
        )
        reports.append(report)
        if report.status != "pass":
            is_error = report.status == "error"
            why = "its newest load is too old"
            listen(Event("build", report.name, "failed" if is_error else "warn", why))
    return tuple(reports)


def _describe_relations(resolved: Resolved, runner: "dbtRunner") -> None:
    """Have dbt write ``catalog.json``: the columns and types that the engine reports.

    The catalog of assets works without it, so a failure is only logged.
    """
    result = runner.invoke(["docs", "generate", "--no-compile", *dbt_runner.arguments(resolved)])
    if not result.success:
        _LOG.warning("dbt wrote no catalog.json: %s", result.exception)
