"""What is saved in a project is loaded, built and tested at once, by a process that stays warm.

saved paths ─► a model, a macro, yml    ─► build what changed, and all downstream
               the files of a source    ─► load it, build what reads what is new
               the code of a source     ─► import it again, the same
               settings                 ─► all of it
"""

import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field

from headrace.error_detail import ErrorDetail
from headrace.errors import HeadraceError, LockedError
from headrace.libraries import dbt_shortcuts
from headrace.pipeline import lock
from headrace.pipeline import run as run_step
from headrace.pipeline.building.slim_build import EVERYTHING, KeptProject, Selection, slim_folder
from headrace.pipeline.dbt import dbt_runner
from headrace.pipeline.loading import sources
from headrace.pipeline.reports import Event, Listener, NodeReport, Report, RunReport, ignore
from headrace.pipeline.run import Step
from headrace.quality.diff import DiffOptions, Side, TableDiff, diff
from headrace.settings import Resolved

MOST_ROWS_COMPARED = 1_000_000
_COMMAND = "headrace watch"
_FAILED = frozenset({"error", "fail"})
_NOT_WATCHED = frozenset({"target", "logs", "dbt_packages", "dbt_modules", "_storage"})
_BATCH_MS, _QUIET_MS = 400, 50  # a save is complete when nothing follows for that long
_PAUSE = 0.25
T = TypeVar("T")


class WatchReport(Report):
    """What came of a save."""

    kind: Literal["ready", "built", "published", "error"] = Field(
        description="`ready`: of the build at the start, or after settings changed"
    )
    at: datetime = Field(description="UTC")
    saved: tuple[str, ...] = Field((), description="paths, from the project's directory")
    seconds: float | None = Field(None, description="from the save to the result")
    run: RunReport | None = None
    error: str | None = None
    detail: ErrorDetail | None = Field(None, description="the place of an error")
    exposures: tuple[str, ...] = Field((), description="what reads what was built, outside dbt")
    changes: tuple[TableDiff, ...] = Field(
        (), description="the published tables that were built, against the published file"
    )
    not_compared: tuple[str, ...] = Field(
        (), description=f"tables of more than {MOST_ROWS_COMPARED:,} rows"
    )
    failing: tuple[NodeReport, ...] = Field((), description="all that fail, of earlier saves too")


class Watch:
    """A project, and what is to be done when a file of it is saved.

    Args:
        resolve: reads the settings.
        listen: is told of each step and node.
    """

    def __init__(self, resolve: Callable[[], Resolved], *, listen: Listener = ignore) -> None:
        self._resolve = resolve
        self._listen = listen
        self._failing: dict[str, NodeReport] = {}
        self._kept: KeptProject | None = None
        self._paths: Mapping[str, Collection[Path]] = {}
        self.resolved = resolve()

    def roots(self) -> list[Path]:
        """The files and folders to watch."""
        root, resolved = self.resolved.root, self.resolved
        own = [resolved.dbt_project, root / "config", root / "dlt_pipelines", root / ".env"]
        files = [path for paths in self._paths.values() for path in paths]
        return [path for path in (*own, *files) if path.exists()]

    def start(self, saved: Collection[Path] = ()) -> WatchReport:
        """Load and build everything; what is current is not built again."""
        self._kept = None
        began = _saved_at(saved)
        try:
            self.resolved = self._resolve()
            sources.forget_code()
            report = self._run(("load", "build"), EVERYTHING)
            self._failing = {}
            self._paths = {
                name: sources.paths(self.resolved, name, settings)
                for name, settings in sources.selected(self.resolved, (), needed=False).items()
            }
            self._when_free(self._parse)
        except HeadraceError as error:
            return self._error(error, saved, began)
        return self._report("ready", report, saved, began)

    def saved(self, paths: Collection[Path]) -> WatchReport | None:
        """Do what these saves need; None where that is nothing.

        Args:
            paths: absolute.
        """
        names = self._sources_of(paths)
        is_ours = [path for path in paths if path.is_relative_to(self.resolved.dbt_project)]
        if self._kept is None or self._is_settings(paths):
            return self.start(paths)
        if not names and not is_ours:
            return None
        steps: tuple[Step, ...] = ("load", "build") if names else ("build",)
        began = _saved_at(paths)
        try:
            if names:
                sources.forget_code()
            report = self._run(steps, Selection(since=self._kept), tuple(names))
        except HeadraceError as error:
            return self._error(error, paths, began)
        return self._report("built", report, paths, began)

    def make_ready(self) -> None:
        """Read what the next build parses from, while nobody waits."""
        if self._kept is not None:
            dbt_shortcuts.read_ahead(
                slim_folder(self.resolved) / "target" / "partial_parse.msgpack"
            )

    def publish(self) -> WatchReport:
        """Build what is not current, and publish it if it passes its audit."""
        began = time.time()
        try:
            report = self._run(("build", "publish"), EVERYTHING)
        except HeadraceError as error:
            return self._error(error, (), began)
        self._failing = {}
        return self._report("published", report, (), began)

    def _run(
        self, steps: tuple[Step, ...], selection: Selection, names: tuple[str, ...] = ()
    ) -> RunReport:
        return self._when_free(
            lambda: run_step.run(
                self.resolved,
                steps=steps,
                source_names=names,
                selection=selection,
                listen=self._listen,
                command=_COMMAND,
            )
        )

    def _when_free(self, do: Callable[[], T]) -> T:
        """Do it as soon as no other run holds the warehouse."""
        while True:
            try:
                return do()
            except LockedError as error:
                self._listen(Event("build", f"waiting: {error}", "phase"))
                time.sleep(_PAUSE)

    def _parse(self) -> None:
        """Parse the project as the next build does, which then finds what changed since."""
        home, target = slim_folder(self.resolved), self.resolved.target
        with lock.hold(target, _COMMAND), dbt_runner.environment(home):
            dbt_runner.write_profile(self.resolved, target, home)
            self._kept = KeptProject(dbt_runner.parse(self.resolved, home).graph)
            target.release()

    def _is_settings(self, paths: Collection[Path]) -> bool:
        root = self.resolved.root
        return any(path == root / ".env" or path.is_relative_to(root / "config") for path in paths)

    def _sources_of(self, paths: Collection[Path]) -> list[str]:
        """The sources whose code or files are among these, of those that are loaded."""
        code = self.resolved.root / "dlt_pipelines"
        found = []
        for name, settings in sources.selected(self.resolved, (), needed=False).items():
            watched = [code / (settings.kind or name), *self._paths.get(name, ())]
            if any(path.is_relative_to(one) for path in paths for one in watched):
                found.append(name)
        return found

    def _report(
        self,
        kind: Literal["ready", "built", "published"],
        run: RunReport,
        saved: Collection[Path],
        began: float,
    ) -> WatchReport:
        nodes = run.build.nodes if run.build else ()
        self._failing |= {node.unique_id: node for node in nodes}
        graph = self._kept.graph if self._kept else None
        self._failing = {
            key: node
            for key, node in self._failing.items()
            if node.status in _FAILED
            and (graph is None or key in graph.nodes or key in graph.unit_tests)
        }
        seconds = time.time() - began
        changes, not_compared = self._changes(nodes) if kind == "built" else ((), ())
        return WatchReport(
            kind=kind,
            at=datetime.now(UTC),
            saved=self._shown(saved),
            seconds=seconds,
            run=run,
            exposures=self._exposures(nodes) if kind == "built" else (),
            changes=changes,
            not_compared=not_compared,
            failing=tuple(self._failing.values()),
        )

    def _error(self, error: HeadraceError, saved: Collection[Path], began: float) -> WatchReport:
        return WatchReport(
            kind="error",
            at=datetime.now(UTC),
            saved=self._shown(saved),
            seconds=time.time() - began,
            error=str(error),
            detail=error.detail,
            failing=tuple(self._failing.values()),
        )

    def _shown(self, paths: Collection[Path]) -> tuple[str, ...]:
        root = self.resolved.root
        return tuple(
            sorted(
                (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
                for path in paths
            )
        )

    def _exposures(self, nodes: Collection[NodeReport]) -> tuple[str, ...]:
        built = {node.unique_id for node in nodes if node.status == "success"}
        exposures = self._kept.graph.exposures.values() if self._kept else ()
        return tuple(
            sorted(one.name for one in exposures if built.intersection(one.depends_on.nodes))
        )

    def _changes(
        self, nodes: Collection[NodeReport]
    ) -> tuple[tuple[TableDiff, ...], tuple[str, ...]]:
        """The published tables that were built, against the published file, where there is one."""
        file, published = self.resolved.target.database_file, self.resolved.published
        schemas = self.resolved.settings.publish.schemas
        built = {node.unique_id for node in nodes if node.status == "success"}
        graph = self._kept.graph if self._kept else None
        if graph is None or file is None or not published.is_file() or not file.is_file():
            return (), ()
        models = {
            f"{node.schema}.{node.alias}": tuple(getattr(node, "primary_key", None) or ())
            for key, node in graph.nodes.items()
            if key in built and node.schema in schemas
        }
        if not models:
            return (), ()
        try:
            target = self.resolved.target
            rows = {
                f"{schema}.{table}": count
                for schema in schemas
                for table, count in target.row_counts(schema).items()
            }
            target.release()
            large = {name for name in models if rows.get(name, 0) > MOST_ROWS_COMPARED}
            options = DiffOptions(
                schemas=schemas,
                tables=models.keys() - large,
                limit=0,
                spill=self.resolved.data_dir / "spill",
            )
            keys = {name: key for name, key in models.items() if key}
            report = diff(
                Side(published, str(published)), Side(file, str(file), keys=keys), options
            )
        except HeadraceError:  # the warehouse is in use by another process by now
            return (), tuple(sorted(models))
        return report.tables, tuple(sorted(large))


def _saved_at(paths: Collection[Path]) -> float:
    """When the newest of these was saved, as `time.time` has it; now, if none is there."""
    times = [path.stat().st_mtime for path in paths if path.is_file()]
    now = time.time()
    return min(max(times, default=now), now)


class Saves:
    """What is saved below some folders, from a thread, in the order in which it comes."""

    def __init__(self) -> None:
        self._paths: queue.SimpleQueue[set[Path]] = queue.SimpleQueue()
        self._thread: _Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.stop()

    def follow(self, roots: Collection[Path]) -> None:
        """Watch these from now on; nothing is missed between the earlier ones and these."""
        earlier, self._thread = self._thread, _Thread(roots, self._paths)
        self._thread.start()
        self._thread.ready.wait(5)
        if earlier is not None:
            earlier.stop()

    def wait(self, seconds: float) -> set[Path]:
        """All that was saved since the last call; waits for so long if that is nothing."""
        found: set[Path] = set()
        with suppress(queue.Empty):
            found |= self._paths.get(timeout=seconds)
            while True:
                found |= self._paths.get_nowait()
        return found


class _Thread(threading.Thread):
    def __init__(self, roots: Collection[Path], paths: "queue.SimpleQueue[set[Path]]") -> None:
        super().__init__(name="watch", daemon=True)
        self.ready = threading.Event()
        self._roots, self._paths, self._end = roots, paths, threading.Event()

    def run(self) -> None:
        from watchfiles import Change, DefaultFilter, watch

        class _Filter(DefaultFilter):
            def __call__(self, change: Any, path: str) -> bool:
                is_made = not _NOT_WATCHED.isdisjoint(Path(path).parts)
                return not is_made and super().__call__(change, path)

        for batch in watch(
            *self._roots,
            watch_filter=_Filter(),
            debounce=_BATCH_MS,
            step=_QUIET_MS,
            rust_timeout=200,
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            self.ready.set()
            added = {Path(path) for change, path in batch if change == Change.added}
            renamed = {path for path in added if not path.exists()}  # as editors write a file
            if saved := {Path(path) for _, path in batch} - renamed:
                self._paths.put(saved)
            if self._end.is_set():  # watchfiles' own `stop_event` drops what waits for more
                return

    def stop(self) -> None:
        """Stop once what was saved until now is noted."""
        self._end.set()
        self.join(5)


def follow(
    watch: Watch,
    show: Callable[[WatchReport], None],
    key: Callable[[], str | None] = lambda: None,
) -> None:
    """Report what comes of each save, until ``q`` is pressed.

    Args:
        watch: the project.
        show: is given each report.
        key: the key that was pressed since the last call, if any: ``p`` publishes, ``q`` ends.
    """
    with Saves() as saves:
        roots = watch.roots()
        saves.follow(roots)
        show(watch.start())
        watch.make_ready()
        while (pressed := key()) != "q":
            if watch.roots() != roots:
                roots = watch.roots()
                saves.follow(roots)
            if pressed == "p":
                show(watch.publish())
            paths = saves.wait(_PAUSE)
            report = watch.saved(paths) if paths else None
            if report is not None:
                show(report)
                watch.make_ready()
