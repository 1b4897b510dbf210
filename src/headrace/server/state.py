"""What the server reads from: the newest catalog with its indexes, and the run store.

A snapshot of both is kept in memory. ``watch`` checks once a second whether they changed, makes a
new snapshot beside the old one, and swaps them: no request waits for that.
"""

import gc
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import __version__
from headrace.catalog import INTERRUPTED, RUNNING, CatalogChange, StoredRun
from headrace.errors import RunStoreError
from headrace.pipeline import lock
from headrace.pipeline.progress import ProgressFile, path_of
from headrace.pipeline.verdict import Evidence, Verdicts, evidence_of
from headrace.server.comparison import Comparison
from headrace.server.errors import RequestError, StartingError, UnavailableError
from headrace.server.published import PublishedFileInfo, PublishedFileReader
from headrace.server.snapshot import EMPTY, CatalogIndex, ProjectSnapshot
from headrace.server.store import RunSummary, ServerStore, store_identity

if TYPE_CHECKING:
    from headrace.settings import Resolved

MAX_RUNS = 500
_VERSIONS = 200
_CHANGES = 20_000
_KNOWN_RUNS = 32
MAX_FAILED = 500
_SECONDS = 1.0
LARGE_CATALOG = 20_000  # assets; more take longer to read than a first page should
_log = logging.getLogger("headrace.server")

_Stamp = tuple[object, ...]


class ServerState:
    """What responses are made from.

    Attributes:
        project: the project's name.
        environment: whose data are shown; None where there are no environments.
        allow_pii: whether personal data is shown when asked for.
        published: the published file.
        log_file: the newest log file; None where there is no log.
        progress: what a run in progress does now.
        catalog_only: it is a dbt project that Headrace does not load, build or publish.
        comparison: of what is published with what is built; None without a warehouse.
        resolved: the settings of a project that Headrace runs, else None.
    """

    def __init__(
        self,
        *,
        project: str,
        environment: str | None = None,
        run_store_url: str,
        published: Path,
        log_file: Path | None = None,
        progress_file: Path | None = None,
        lock_path: Path | None = None,
        root: Path | None = None,
        allow_pii: bool = False,
        is_long_lived: bool = False,
        catalog_only: bool = False,
        comparison: Comparison | None = None,
        resolved: "Resolved | None" = None,
    ) -> None:
        """Note where things are; nothing is opened.

        Args:
            project: the project's name.
            environment: whose data these are.
            run_store_url: SQLAlchemy URL of the run store.
            published: the published file.
            log_file: the newest log file.
            progress_file: where a run writes what it does now.
            lock_path: of the warehouse; says whether a run that counts as running is dead.
            root: the project's directory; messages name paths as seen from there.
            allow_pii: whether personal data is shown when asked for.
            is_long_lived: of a process that does nothing else: the garbage collector does
                not scan a snapshot's objects again and again.
            catalog_only: see the attribute.
            comparison: see the attribute.
            resolved: see the attribute.
        """
        self.project = project
        self.environment = environment
        self.catalog_only = catalog_only
        self.allow_pii = allow_pii
        self.comparison = comparison
        self.resolved = resolved
        self.published = PublishedFileReader(published, resolved)
        self.log_file = log_file
        self.progress = ProgressFile(progress_file)
        self._is_long_lived = is_long_lived
        self._url = run_store_url
        self._lock_path = lock_path
        self._root = str(root) if root else ""
        self._store: ServerStore | None = None
        self._identity: object = None
        self._snapshot: ProjectSnapshot | None = None
        self._stamp: _Stamp = ()
        self._catalog: tuple[object, CatalogIndex] = (None, CatalogIndex.of(EMPTY))
        self._dead: set[str] = set()
        self._known_runs: OrderedDict[str, RunSummary] = OrderedDict()
        self._refreshing = threading.Lock()
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None
        self._is_starting = False

    @property
    def is_ready(self) -> bool:
        """Whether there is a snapshot, so that no request waits for one."""
        return self._snapshot is not None

    def snapshot(self) -> ProjectSnapshot:
        """The newest snapshot; the first one is made when it is asked for.

        Raises:
            StartingError: the first one is being made, see ``start``.
            RunStoreError: there is none yet, and the run store cannot be read.
        """
        if self._snapshot is None and self._is_starting:
            raise StartingError
        if self._snapshot is None:
            self.refresh()
        if self._snapshot is None:
            raise UnavailableError("nothing has been read yet", hint="try again")
        return self._snapshot

    def token(self) -> str | None:
        """What identifies the newest snapshot; None where there is none, and none can be made."""
        with suppress(RequestError, RunStoreError):
            return self.snapshot().token
        return None

    def store(self) -> ServerStore | None:
        """The run store; None as long as there is none. Reading makes none.

        Raises:
            RunStoreError: it cannot be opened, or is of a newer version.
        """
        found = store_identity(self._url)
        if found != self._identity:
            # it was replaced or removed: what was read of the old one is outdated
            if self._store is not None:
                self._store.close()
            self._store = None if found is None else ServerStore(self._url)
            self._identity = store_identity(self._url)
            self._known_runs.clear()
        return self._store

    def refresh(self) -> bool:
        """Make a new snapshot if the run store or the published file changed; whether they did.

        Raises:
            RunStoreError: the run store cannot be read.
        """
        with self._refreshing:
            store = self.store()
            newest = store.newest_run() if store else None
            stamp = (
                self._identity,
                store.catalog_version() if store else None,
                newest,
                self._is_dead(newest),
                self.published.stamp(),
            )
            if self._snapshot is not None and stamp == self._stamp:
                return False
            with _frozen_objects() if self._is_long_lived else nullcontext():
                self._snapshot = self.make_snapshot(store, stamp).warm()
            self._stamp = stamp
            return True

    def start(self) -> None:
        """Make the first snapshot: a large one in a thread, until when ``snapshot`` raises.

        Raises:
            RunStoreError: the run store cannot be read, or is of a newer version.
        """
        store = self.store()
        if store is None or store.asset_count() < LARGE_CATALOG:
            self.refresh()
            return
        self._is_starting = True
        self.watch()

    def watch(self) -> None:
        """Refresh once a second, in a thread, until ``close``."""
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
            self._watcher.start()

    def close(self) -> None:
        """Stop watching and close the run store."""
        self._closing.set()
        if self._watcher is not None:
            self._watcher.join(timeout=5)
            self._watcher = None
        self.published.close()
        if self.comparison is not None:
            self.comparison.close()
        if self._store is not None:
            self._store.close()
            self._store = None

    def with_status(self, run: StoredRun) -> StoredRun:
        """The run; ``interrupted`` if it counts as running and its process is dead."""
        is_dead = run.status == RUNNING and run.run_id in self._dead
        return replace(run, status=INTERRUPTED) if is_dead else run

    def run(self, run_id: str) -> RunSummary | None:
        """A run without its nodes; the last few ended ones that were asked for are remembered.

        Raises:
            RunStoreError: the run store cannot be read.
        """
        known = self._known_runs.get(run_id)
        store = self.store()
        if known is not None or store is None:
            return known
        found = store.run_without_nodes(run_id)
        if found is None:
            return None
        known = replace(found, run=self.with_status(found.run), failed=found.failed[:MAX_FAILED])
        if known.run.status != RUNNING:
            self._known_runs[run_id] = known
            while len(self._known_runs) > _KNOWN_RUNS:
                self._known_runs.popitem(last=False)
        return known

    def _runs(self, store: ServerStore) -> list[StoredRun]:
        """The newest runs; those that count as running while no process holds the lock are dead."""
        found = store.last_runs(MAX_RUNS)
        running = {run.run_id for run in found if run.status == RUNNING} - self._dead
        if running and self._lock_path is not None and not lock.is_held(self._lock_path):
            self._dead |= running
        return found

    def _is_dead(self, newest: tuple[str, str] | None) -> bool:
        """Whether the newest run counts as running though its process is dead."""
        if newest is None or newest[1] != RUNNING or self._lock_path is None:
            return False
        # a dead run stays dead, so its lock, which others may want, is not tried again
        if newest[0] not in self._dead and not lock.is_held(self._lock_path):
            self._dead.add(newest[0])
        return newest[0] in self._dead

    def _watch(self) -> None:
        said = ""
        while not self._closing.wait(0 if self._is_starting else _SECONDS):
            try:
                self.refresh()
                self.published.close_idle()
                said = ""
            except Exception as error:  # whatever it was, the old snapshot is still served
                if str(error) != said and not self._closing.is_set():
                    _log.warning("the data shown are out of date: %s", error)
                said = str(error)
            self._is_starting = False

    def make_snapshot(self, store: ServerStore | None, stamp: _Stamp) -> ProjectSnapshot:
        publication = self._publication()
        token = f"{abs(hash((__version__, repr(stamp), self.allow_pii))):x}"
        if store is None:
            return ProjectSnapshot(
                token=token,
                index=CatalogIndex.of(EMPTY),
                has_catalog=False,
                latest={},
                runs=(),
                loads={},
                versions=(),
                changes=(),
                publication=publication,
                verdicts=Verdicts(Evidence(EMPTY, {})),
                root=self._root,
            )
        index = self._index(store)
        versions = tuple(store.catalog_versions(_VERSIONS))
        latest = store.latest_nodes()
        evidence = evidence_of(
            store,
            index.catalog,
            latest,
            published=publication.tables,
            published_at=publication.published_at,
        )
        return ProjectSnapshot(
            token=token,
            index=index,
            has_catalog=index.catalog.version is not None,
            latest=latest,
            runs=tuple(self.with_status(run) for run in self._runs(store)),
            loads={load.source: load for load in store.newest_loads()},
            versions=versions,
            changes=self._changes(store, versions[-1].version if versions else 0, index),
            publication=publication,
            verdicts=Verdicts(evidence),
            root=self._root,
        )

    def _index(self, store: ServerStore) -> CatalogIndex:
        version = store.catalog_version()
        if self._catalog[0] != (self._identity, version):
            catalog = store.load_catalog(version)
            self._catalog = ((self._identity, version), CatalogIndex.of(catalog or EMPTY))
        return self._catalog[1]

    def _changes(
        self, store: ServerStore, oldest: int, index: CatalogIndex
    ) -> tuple[CatalogChange, ...]:
        """What is known already, and what the versions since then changed."""
        newest = index.catalog.version
        if newest is None:
            return ()
        known = self._snapshot.changes if self._snapshot else ()
        before = self._snapshot.index.catalog.version if self._snapshot else None
        if before is None or before > newest or self._stamp[:1] != (self._identity,):
            return store.catalog_changes(oldest, newest)[:_CHANGES]
        new = store.catalog_changes(before, newest) if newest > before else ()
        return (*new, *(change for change in known if change.version > oldest))[:_CHANGES]

    def _publication(self) -> PublishedFileInfo:
        known = self._snapshot.publication if self._snapshot else None
        if known is not None and known.stamp == self.published.stamp():
            return known
        return self.published.publication()


@contextmanager
def _frozen_objects() -> Iterator[None]:
    """Keep what is made here out of the garbage collector's scans; it holds no cycles."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def open_state(
    resolved: "Resolved",
    *,
    allow_pii: bool = False,
    is_long_lived: bool = False,
    catalog_only: bool = False,
) -> ServerState:
    """The state of a project; see ``ServerState``."""
    return ServerState(
        project=resolved.root.name,
        environment=None if catalog_only else resolved.environment,
        run_store_url=resolved.run_store_url,
        published=resolved.published,
        log_file=resolved.data_dir / "logs" / "headrace.jsonl",
        progress_file=path_of(resolved.data_dir),
        lock_path=resolved.target.lock_path,
        root=resolved.root,
        allow_pii=allow_pii,
        is_long_lived=is_long_lived,
        catalog_only=catalog_only,
        comparison=None if catalog_only else Comparison(resolved),
        resolved=None if catalog_only else resolved,
    )
