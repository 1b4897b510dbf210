"""The catalog of any dbt project from its target folder: no project of Headrace, no warehouse.

::

    target/manifest.json, catalog.json ─► graph, column lineage ─┐
    target/run_results.json, sources.json ─► one run ────────────┴─► a run store that is temporary
"""

import os
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import structs

from headrace import secrets
from headrace.artifacts import Artifacts, Manifest, read_artifacts
from headrace.artifacts.dbt_manifest import MANIFEST
from headrace.artifacts.dbt_results import FAILED
from headrace.artifacts.reading import parse_timestamp
from headrace.catalog import Catalog, RunStore
from headrace.errors import ArtifactError, HeadraceError
from headrace.formatting import count, first_few, slug
from headrace.lineage.sql.parse import dialect_of_adapter
from headrace.pipeline.catalog import traced
from headrace.settings import Resolved, resolve

_FILES = (MANIFEST, "catalog.json", "run_results.json", "sources.json")
_PLACES = (".", "target", "data/dbt/target")
_WITH_RESULTS = frozenset({"build", "run", "test", "seed", "snapshot", "retry", "clone"})
_NO_CATALOG = (
    "there is no catalog.json: types, and columns that neither SQL nor a yml names, are not known; "
    "`dbt docs generate` writes it"
)
_NO_RESULTS = "no build or test is on record, so results are not shown: `dbt build` writes them"
_PROJECT_NAME = re.compile(rb'"project_name": ?"(\w+)"')
_HEAD = 8192  # bytes; dbt writes the metadata first
_MOST_NOTES = 3  # of one file; the page has all
_SECONDS = 1.0


@dataclass
class ArtifactsFolder:
    """A target folder of dbt, and a temporary run store that holds what was read of it.

    Attributes:
        target: the folder that holds ``manifest.json``.
        resolved: settings whose paths are all temporary.
        notes: what is missing or was not read in full, one sentence each; results are told apart,
            since lineage needs none.
        no_results: a sentence where there are none; else empty.
        problem: why the newest state of the folder could not be read; empty if it was.
    """

    target: Path
    resolved: Resolved
    notes: tuple[str, ...] = ()
    no_results: str = ""
    problem: str = ""
    _stamp: tuple[object, ...] = ()
    _closing: threading.Event = field(default_factory=threading.Event)

    def refresh(self) -> None:
        """Read the folder again if dbt wrote to it.

        Raises:
            HeadraceError: a file cannot be read; what was read before is kept.
        """
        stamp = tuple(_stamp(self.target / name) for name in _FILES)
        if stamp == self._stamp:
            return
        artifacts = read_artifacts(self.target, self.resolved.data_dir, dbt_command="dbt build")
        manifest = artifacts.manifest
        if manifest is None:
            raise _no_manifest(self.target)
        manifest, from_files = _with_compiled_files(manifest, self.target)
        artifacts = replace(artifacts, manifest=manifest, dlt={})
        dialect = dialect_of_adapter(manifest.metadata.adapter_type)
        catalog = traced(artifacts, dialect=dialect or "", cache=_cache())
        self.notes = tuple(_notes(artifacts, from_files, is_known=dialect is not None))
        self._keep(artifacts, catalog)
        self._stamp = stamp

    def _keep(self, artifacts: Artifacts, catalog: Catalog) -> None:
        store = RunStore(self.resolved.run_store_url)
        try:
            run_id = _keep_run(store, artifacts)
            store.save_catalog(catalog, run_id)
            self.no_results = "" if run_id or store.last_runs(1) else _NO_RESULTS
        finally:
            store.close()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Refresh once a second, in a thread; a file that dbt is writing is read a second later."""
        watcher = threading.Thread(target=self._watch, name="artifacts", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._closing.set()
            watcher.join(timeout=5)

    def _watch(self) -> None:
        while not self._closing.wait(_SECONDS):
            try:
                self.refresh()
                self.problem = ""
            except (HeadraceError, OSError) as error:
                self.problem = str(error)


@contextmanager
def opened(folder: Path, *, flags: Iterable[str] = ()) -> Iterator[ArtifactsFolder]:
    """The catalog of a dbt project, in a temporary folder that is removed at the end.

    Args:
        folder: dbt's target folder, or the dbt project that holds one.
        flags: settings of the server, as ``--set`` takes them.

    Raises:
        ArtifactError: there is no manifest, or it cannot be read.
        SettingsError: a flag is wrong.
    """
    target = find_target(folder)
    with tempfile.TemporaryDirectory(prefix="headrace-", ignore_cleanup_errors=True) as name:
        root = Path(name) / (_project_name(target) or "dbt")
        root.mkdir()
        found = ArtifactsFolder(target, _settings(root, flags))
        found.refresh()
        yield found


def find_target(folder: Path) -> Path:
    """The folder that holds the manifest: ``folder``, or where its dbt project writes it.

    Raises:
        ArtifactError: there is none.
    """
    folder = folder.expanduser().resolve()
    if folder.name == MANIFEST and folder.is_file():
        return folder.parent
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is not a folder: name dbt's target folder")
    for place in (*_PLACES, *_target_path(folder)):
        if (folder / place / MANIFEST).is_file():
            return (folder / place).resolve()
    raise _no_manifest(folder)


def _no_manifest(folder: Path) -> ArtifactError:
    return ArtifactError(
        f"there is no {MANIFEST} in {folder} or its `target`: run `dbt build` or `dbt compile` "
        "there, or name the folder that dbt writes to"
    )


def _target_path(project: Path) -> list[str]:
    """What ``target-path`` of a dbt project says, which is an old place for it; none if unclear."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(project / "dbt_project.yml")
    except (OSError, UnicodeDecodeError, YAMLError):
        return []
    path = document.get("target-path") if isinstance(document, dict) else None
    return [path] if isinstance(path, str) and "{{" not in path else []


def _project_name(target: Path) -> str:
    """What the head of the manifest calls the project; else the name of its folder."""
    try:
        with (target / MANIFEST).open("rb") as file:
            found = _PROJECT_NAME.search(file.read(_HEAD))
    except OSError:
        found = None
    folder = target.parent if target.name == "target" else target
    return slug(found[1].decode() if found else folder.name)


def _settings(root: Path, flags: Iterable[str]) -> Resolved:
    """Settings of the server from the environment; all other variables are of other projects."""
    server = {key: text for key, text in os.environ.items() if key.startswith("HEADRACE_SERVE__")}
    store = f"run_store.url=sqlite:///{root / 'headrace.sqlite'}"
    found = resolve(root, flags=[*flags, f"data_dir={root}", store], environ=server)
    secrets.learn_environment(os.environ)  # a message of dbt may hold one
    return found


def _cache() -> Path:
    """Where summaries of SQL are kept between calls, for all projects: the user's cache."""
    from platformdirs import user_cache_path

    return user_cache_path("headrace", appauthor=False) / "lineage"


def _stamp(path: Path) -> object:
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_size, stat.st_mtime_ns)


def _with_compiled_files(manifest: Manifest, target: Path) -> tuple[Manifest, int]:
    """The manifest with SQL from ``target/compiled`` where it has none; how many were filled in.

    `dbt parse`, which editors call, writes the manifest again without the SQL of the last build.
    """
    compiled = (target / "compiled").resolve()
    found = {}
    for key, node in manifest.nodes.items():
        if node.compiled_code or not node.original_file_path or node.language == "python":
            continue
        path = (compiled / node.package_name / node.original_file_path).resolve()
        is_query = node.resource_type in {"model", "snapshot"} and path.suffix == ".sql"
        if is_query and path.is_relative_to(compiled) and path.is_file():
            sql = path.read_text(encoding="utf-8", errors="replace")
            found[key] = structs.replace(node, compiled_code=sql)
    if not found:
        return manifest, 0
    return structs.replace(manifest, nodes={**manifest.nodes, **found}), len(found)


def _notes(artifacts: Artifacts, from_files: int, *, is_known: bool) -> Iterator[str]:
    """What is missing, and what to run for it."""
    manifest = artifacts.manifest
    assert manifest is not None
    for reading in artifacts.readings:
        if reading.mode == "missing" and reading.artifact == "catalog.json":
            yield _NO_CATALOG
        elif reading.mode in {"lenient", "unreadable"}:
            version = f" ({reading.version})" if reading.version else ""
            how = "is not read" if reading.mode == "unreadable" else "is not read in full"
            said = first_few(reading.notes, _MOST_NOTES)
            yield f"{reading.artifact}{version} {how}: {said}"
    if not is_known:
        adapter = manifest.metadata.adapter_type or "not named"
        yield f"the SQL of the adapter ({adapter}) is not a known dialect; it is read as generic"
    if from_files:
        yield (
            f"the SQL of {count(from_files, 'model')} is that of an earlier command, in "
            "target/compiled: `dbt compile` refreshes it"
        )
    models = [
        node
        for node in manifest.nodes.values()
        if node.resource_type == "model" and node.config.enabled and node.language != "python"
    ]
    compiled = _compiled_by_results(artifacts)
    bare = [node for node in models if not node.compiled_code and node.unique_id not in compiled]
    if bare:
        yield (
            f"{len(bare):,} of {count(len(models), 'model')} have no compiled SQL, so their "
            "columns are not traced: `dbt compile` writes it"
        )


def _compiled_by_results(artifacts: Artifacts) -> set[str]:
    results = artifacts.run_results.results if artifacts.run_results else []
    return {result.unique_id for result in results if result.compiled_code}


def _keep_run(store: RunStore, artifacts: Artifacts) -> str | None:
    """Record dbt's last command, if it built or tested, as a run; its id."""
    results, manifest = artifacts.run_results, artifacts.manifest
    if results is None or manifest is None:
        return None
    command = str(results.args.get("which") or "build")
    if command not in _WITH_RESULTS:
        return None
    run_id = results.metadata.invocation_id or results.metadata.generated_at or command
    if store.run(run_id) is not None:
        return run_id
    rows = [*_node_rows(artifacts), *_freshness_rows(artifacts)]
    ended = parse_timestamp(results.metadata.generated_at) or datetime.now(UTC)
    began = min((row["started_at"] for row in rows if row["started_at"]), default=ended)
    target = str(results.args.get("target") or manifest.metadata.adapter_type or "")
    store.begin_run(
        run_id,
        command=f"dbt {command}",
        target=target,
        lock="",
        code_version=f"dbt {manifest.metadata.dbt_version or ''}".strip(),
        started_at=began,
    )
    store.add_nodes(run_id, rows)
    failed = any(row["status"] in FAILED for row in rows)
    store.end_run(
        run_id,
        status="failed" if failed else "success",
        seconds=results.elapsed_time,
        error=None,
        rows_loaded=None,
        published_path=None,
    )
    return run_id


def _node_rows(artifacts: Artifacts) -> Iterator[Mapping[str, Any]]:
    assert artifacts.run_results is not None
    assert artifacts.manifest is not None
    manifest = artifacts.manifest
    for result in artifacts.run_results.results:
        name = result.unique_id.split(".", 2)[-1]
        node = manifest.nodes.get(result.unique_id)
        is_bad = result.status in FAILED | {"warn"}
        yield {
            "unique_id": result.unique_id,
            "name": node.name if node else name,
            "label": manifest.label(result.unique_id, name),
            "resource_type": result.unique_id.partition(".")[0],
            "status": "error" if result.status == "runtime error" else result.status,
            "started_at": result.started_at,
            "seconds": result.execution_time,
            "thread": result.thread_id,
            "failures": result.failures,
            "message": secrets.hide(result.message) if is_bad and result.message else None,
        }


def _freshness_rows(artifacts: Artifacts) -> Iterator[Mapping[str, Any]]:
    assert artifacts.manifest is not None
    for result in artifacts.sources.results if artifacts.sources else ():
        source = artifacts.manifest.sources.get(result.unique_id)
        if source is None:
            continue
        yield {
            "unique_id": result.unique_id,
            "name": source.name,
            "label": f"{source.source_name}.{source.name}",
            "resource_type": "source",
            "status": "error" if result.status == "runtime error" else result.status,
            "started_at": parse_timestamp(result.snapshotted_at),
            "seconds": result.execution_time,
            "thread": result.thread_id,
            "failures": None,
            "message": secrets.hide(str(result.error)) if result.error else None,
        }
