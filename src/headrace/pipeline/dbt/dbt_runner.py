"""Calls of dbt in this process, with a profile and paths from the settings, and its results.

A dbt project's own output of ``profiles.yml`` is kept next to what the target says.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from io import SEEK_END, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headrace import portable
from headrace.artifacts.dbt_nodes import dbt_label
from headrace.artifacts.dbt_results import FAILED
from headrace.artifacts.reading import utc
from headrace.error_detail import ErrorDetail, hidden
from headrace.errors import ProjectError, SettingsError, TransformError, WarehouseError
from headrace.formatting import count, one_line
from headrace.libraries import dbt as libraries_dbt
from headrace.libraries import dbt_caches, dbt_shortcuts
from headrace.libraries.duckdb import is_locked
from headrace.pipeline.dbt import bare_dbt, dbt_errors
from headrace.pipeline.dbt.bare_dbt import RUN_VAR
from headrace.pipeline.reports import Event, Listener, NodeReport, NodeStatus
from headrace.process import working_directory
from headrace.secrets import hide, hide_in_files
from headrace.settings import ProfileSettings, Resolved
from headrace.system_errors import fault_in, system_fault
from headrace.targets import Target
from headrace.telemetry import json_log

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunner, dbtRunnerResult


PROFILE = "headrace"
"""The profile of a project that has none of its own."""


@dataclass(frozen=True)
class ParsedProject:
    """A parsed project.

    Attributes:
        runner: runs commands on it without parsing again.
        graph: dbt's own manifest object, which the runner works on.
        places: where its files are, for errors.
    """

    runner: "dbtRunner"
    graph: Any
    places: dbt_errors.DbtProjectFiles

    def label(self, unique_id: str, name: str) -> str:
        """The label of a node, or ``name`` of one that is not in the graph."""
        node = self.graph.nodes.get(unique_id) or self.graph.unit_tests.get(unique_id)
        return dbt_label(node) if node else name


def dbt_home(resolved: Resolved) -> Path:
    """The folder of the profile and, in ``target``, the artifacts of whole builds."""
    return resolved.artifacts.parent


def write_profile(
    resolved: Resolved, target: Target, home: Path | None = None, **more: Any
) -> None:
    """Write ``profiles.yml`` from the settings; its owner alone can read it.

    Args:
        resolved: the settings.
        target: what it leads to.
        home: the folder to write to, if not that of whole builds.
        more: further keys of the target's output.
    """
    from ruamel.yaml import YAML

    profile = resolved.settings.dbt.profile
    name, output_name, output = PROFILE, target.name, target.dbt_output()
    if profile is not None:
        name, output_name = profile.name, profile.output
        output = merged_output(read_own_output(resolved, profile), output)
    attach = [*output.get("attach", ()), *more.pop("attach", ())]
    output |= {**({"attach": attach} if attach else {}), **more}
    document = {name: {"target": output_name, "outputs": {output_name: output}}}
    text = StringIO("# Written by headrace from its settings; changes are lost.\n")
    text.seek(0, SEEK_END)
    YAML(typ="safe", pure=True).dump(document, text)
    path = (home or dbt_home(resolved)) / "profiles.yml"
    portable.write_file(path, text.getvalue(), is_private=True)


@contextmanager
def environment(home: Path | None = None, *, working_dir: Path | None = None) -> Iterator[None]:
    """Run dbt without telemetry and hints, and import it without pauses for garbage collection.

    At the end secrets are masked in what it wrote below ``home``.

    Args:
        home: the folder of the profile and the artifacts.
        working_dir: the folder that relative paths in SQL start at; by default the current one.
    """
    began = time.time() - 1  # some file systems keep whole seconds
    try:
        kept = home / "compiled.cache" if home else None
        with (
            dbt_caches.methods_kept(kept) if kept else nullcontext(),
            libraries_dbt.environment(),
            working_directory(working_dir),
            dbt_caches.kept(kept, hears_all=json_log.is_on()) if kept else nullcontext(),
        ):
            yield
    finally:
        if home is not None:
            hide_in_files(home, ("target/**/*",), since=began)


def arguments(resolved: Resolved, home: Path | None = None) -> list[str]:
    """The arguments of every dbt command.

    Args:
        resolved: the settings.
        home: where the profile is, and the artifacts go, if not those of whole builds.
    """
    import json

    home, own = home or dbt_home(resolved), resolved.settings.dbt.profile
    words = [
        "--project-dir", str(resolved.dbt_project),
        "--profiles-dir", str(home),
        "--profile", own.name if own else PROFILE,
        "--target-path", str(home / "target"),
        "--log-path", str(resolved.data_dir / "logs"),
        "--log-level", "none",
        "--no-use-colors",
        "--no-print",
    ]  # fmt: skip
    return [*words, "--vars", json.dumps({**resolved.settings.dbt.vars, RUN_VAR: True})]


def parse(resolved: Resolved, home: Path | None = None) -> ParsedProject:
    """Parse the project; the manifest is written by the build, which takes long enough once.

    Raises:
        TransformError: dbt cannot.
        WarehouseError: the target cannot be opened.
    """
    from dbt.cli.main import dbtRunner

    home = home or dbt_home(resolved)
    places = project_of(resolved, home)
    result = dbtRunner(callbacks=log_callbacks()).invoke(
        ["parse", *arguments(resolved, home), "--no-write-json"]
    )
    if not result.success:
        raise transform_error(result, places) from result.exception
    graph = cast("Any", result.result)
    return ParsedProject(dbtRunner(manifest=graph, callbacks=log_callbacks()), graph, places)


def log_callbacks() -> list[Callable[[Any], None]]:
    """What logs dbt's events, where the log goes to stdout."""
    return [json_log.DbtLines()] if json_log.is_on() else []


def sources_not_loaded(graph: Any, target: Target, *, writes: bool = True) -> list[str]:
    """dbt sources whose raw schema has no table yet; their models are left out.

    Sources that dbt-duckdb reads from files, or from another database, are not Headrace's to load.
    Which are loaded is written down for dbt that is run by hand.
    """
    schemas = {
        source.source_name: source.schema
        for source in graph.sources.values()
        if not libraries_dbt.is_external(source) and is_in(source, target)
    }
    there = target.table_names(set(schemas.values()))
    loaded = {name: schema in there for name, schema in schemas.items()}
    if writes:
        bare_dbt.keep_loaded(target, loaded)
    return sorted(name for name, is_loaded in loaded.items() if not is_loaded)


def is_in(node: Any, target: Target) -> bool:
    """Whether a node or source of dbt's is in the target's database."""
    return not node.database or node.database.casefold() == target.database.casefold()


def seeds_of_sources(graph: Any, sources: Sequence[str]) -> list[str]:
    """The names of seeds that are the tables of some sources: dbt has no edge from one to other."""
    tables = {
        (source.schema, source.identifier)
        for source in graph.sources.values()
        if source.source_name in sources
    }
    return sorted(
        node.name
        for node in graph.nodes.values()
        if str(node.resource_type) == "seed" and (node.schema, node.alias) in tables
    )


def exclude_sources(sources: Sequence[str]) -> list[str]:
    """Arguments that exclude everything downstream of some sources."""
    return [word for name in sources for word in ("--exclude", f"source:{name}+")]


def default_selector(parsed: ParsedProject) -> list[str]:
    """Arguments that select what the project's default selector does.

    dbt takes no account of it when something is excluded.
    """
    selectors = parsed.graph.selectors.items()
    return [
        word
        for name, selector in selectors
        if selector.get("default")
        for word in ("--select", f"selector:{name}")
    ]


def project_of(resolved: Resolved, home: Path | None = None) -> dbt_errors.DbtProjectFiles:
    """Where the files are that dbt's errors name."""
    target = (home or dbt_home(resolved)) / "target"
    return dbt_errors.DbtProjectFiles(resolved.root, resolved.dbt_project, target)


def transform_error(result: "dbtRunnerResult", project: dbt_errors.DbtProjectFiles) -> Exception:
    """dbt's exception as one sentence, with the place in the user's own file."""
    error = result.exception
    fault = system_fault(error) if error else None
    if fault is not None:
        return WarehouseError(f"dbt cannot build the project: {fault.message}")
    text = one_line(str(error) if error else "dbt ended without a result")
    if is_locked(text) or "IO Error" in text:
        return WarehouseError(text)
    detail = None
    if error:
        text, detail = dbt_errors.explain(str(error), None, project)
    return TransformError(
        hide(f"dbt cannot build the project: {text} (correct it, then run again)"),
        detail=hidden(detail),
    )


NO_OP = "no-op"  # what dbt says of an exposure
MADE = frozenset({"model", "snapshot", "seed"})  # what a build makes; the rest are checks of it
_STATES = {"pass": "done", "success": "done", "warn": "warn", "skipped": "skipped"}


def node_report(item: Any, parsed: ParsedProject) -> NodeReport:
    """The result of a node."""
    node = item.node
    status = str(item.status)
    kind = str(node.resource_type)
    severity = getattr(node.config, "severity", None)
    is_unit_test = kind == "unit_test" and node.depends_on.nodes
    tested = parsed.graph.nodes.get(node.depends_on.nodes[0]) if is_unit_test else None
    message, detail = _message(item, status, parsed.places, tested)
    return NodeReport(
        unique_id=node.unique_id,
        name=node.name,
        label=parsed.label(node.unique_id, node.name),
        resource_type=kind,
        status="error" if status == "runtime error" else cast("NodeStatus", status),
        severity=cast("Any", severity.lower()) if severity and kind == "test" else None,
        seconds=float(item.execution_time or 0),
        started_at=_started_at(item),
        thread=_thread(item),
        failures=item.failures,
        message=hide(message) or None,
        detail=hidden(detail),
    )


def _started_at(item: Any) -> datetime | None:
    """When dbt began with a node (UTC); None for one that was skipped."""
    began = (utc(timing.started_at) for timing in item.timing if timing.started_at is not None)
    return min(began, default=None)


def _thread(item: Any) -> str | None:
    """dbt's thread in short: ``Thread-1 (worker)`` is ``Thread-1``."""
    return str(item.thread_id).partition(" ")[0] or None if item.thread_id else None


def _message(
    item: Any, status: str, project: dbt_errors.DbtProjectFiles, tested: Any
) -> tuple[str, ErrorDetail | None]:
    """Why a node failed or warned, in one line, and its detail."""
    if status not in FAILED | {"warn"}:
        return "", None
    compiled = getattr(item.node, "compiled_path", None)
    if item.failures and compiled and tested is None:
        rows = count(item.failures, "row")
        return f"broken by {rows}; the query that finds them: {compiled}", None
    text, detail = dbt_errors.explain(item.message or "", item.node, project, tested=tested)
    fault = fault_in(text)
    return fault.message if fault else text, detail


class NodeEvents:
    """A dbt event callback that tells a listener when nodes start and end."""

    def __init__(self, listen: Listener, parsed: ParsedProject) -> None:
        self._listen = listen
        self._parsed = parsed
        self._ended, self._all = 0, 0

    def __call__(self, event: Any) -> None:
        kind = event.info.name
        if (total := libraries_dbt.number_of_nodes(event)) is not None:
            self._ended, self._all = 0, total
        if kind not in dbt_shortcuts.HEARD:
            return
        node = event.data.node_info
        name = self._parsed.label(node.unique_id, node.node_name)
        label = f"{node.resource_type.replace('_', ' ')} {name}"
        id_ = str(node.unique_id) if node.resource_type in MADE else None
        if kind == "NodeStart":  # also of a node that is going to be skipped
            self._listen(Event("build", label, "started"))
            return
        if kind == "NodeCompiling":
            if id_ is not None:
                self._listen(Event("build", label, "started", node=id_))
            return
        self._tell_progress()
        status = str(event.data.run_result.status)
        if status == NO_OP:
            return
        seconds = float(event.data.run_result.execution_time)
        state = cast("Any", _STATES.get(status, "failed"))
        detail = "" if state == "done" else status
        self._listen(Event("build", label, state, detail, seconds, node=id_))

    def _tell_progress(self) -> None:
        self._ended += 1
        if 0 < self._ended <= self._all:
            words = f"{self._ended} of {self._all}"
            share = self._ended / self._all
            self._listen(Event("build", "nodes", "progress", words, share=share))


_TARGETS = ("type", "path")
"""Keys that are the target's: which file dbt builds in."""


def read_profiles(path: Path) -> dict[str, Any]:
    """The profiles of a ``profiles.yml`` as they are written, with Jinja in them.

    Raises:
        ProjectError: it is not there, or cannot be read as profiles.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProjectError(f"{path} cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, YAMLError) as error:
        raise ProjectError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise ProjectError(f"{path} holds no profiles")
    return document


def read_own_output(resolved: Resolved, profile: ProfileSettings) -> dict[str, Any]:
    """The output that the settings name, as it is written.

    Raises:
        ProjectError: the file cannot be read.
        SettingsError: it has no such profile or output.
    """
    path = resolved.source_path(profile.path)
    found = read_profiles(path).get(profile.name)
    outputs = found.get("outputs") if isinstance(found, dict) else None
    output = outputs.get(profile.output) if isinstance(outputs, dict) else None
    if not isinstance(output, dict):
        raise SettingsError(
            f"dbt.profile: {path} has no output {profile.output!r} of a profile {profile.name!r}: "
            "name one that it has"
        )
    return output


def merged_output(own: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    """A project's own output, for the database of the target.

    Args:
        own: as written in its ``profiles.yml``.
        target: the target's output; its ``type`` and ``path`` hold, else ``own``.
    """
    nested = {
        key: {**target[key], **own[key]}
        for key in ("config_options", "settings")
        if isinstance(own.get(key), dict) and isinstance(target.get(key), dict)
    }
    return {**target, **own, **nested, **{key: target[key] for key in _TARGETS}}


def own_database_path(own: dict[str, Any], project: Path, root: Path) -> str | None:
    """The database file of a DuckDB output; None if it is in memory.

    dbt-duckdb starts a relative path at the folder where dbt is called: that of the project, or the
    root of the repository.

    Raises:
        ValueError: a variable that its path is made from is not set.
    """
    from headrace.libraries.dbt import rendered

    path = rendered(str(own.get("path") or ":memory:"))
    if path.startswith(":memory:"):
        return None
    if path.startswith(("md:", "motherduck:")) or "://" in path:
        return path
    in_project, in_root = (Path(os.path.normpath(each / path)) for each in (project, root))
    return str(in_root if in_root.exists() and not in_project.exists() else in_project)
