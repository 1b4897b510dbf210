"""Published against built: what a publish would change, compared in a thread, kept by versions.

    warehouse ─► copied, if no run writes it ─► compared with the published file ─► kept

The warehouse itself is never opened: DuckDB would lock it, and a run that starts would fail. The
bytes are copied instead, and the copy counts only if nothing wrote to the file in the meantime.
A target that is no file has no such lock: it is read where it is, and the comparison counts only if
neither side changed in the meantime.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from headrace import portable
from headrace.errors import HeadraceError
from headrace.pipeline import lock
from headrace.pipeline.diff import compare_built, compare_copies
from headrace.pipeline.publishing import published_tables
from headrace.quality.diff import DiffOptions, DiffReport
from headrace.server.models import ApiModel
from headrace.system_errors import system_fault

if TYPE_CHECKING:
    from headrace.settings import Resolved

MAX_SECONDS = 120.0
MAX_BYTES = 4 * 1024**3  # of both files
_MEMORY = "512MB"
_SAMPLES = 5
_AGAIN_SECONDS = 10.0  # until a comparison that failed is tried again, or a target is asked
_UNKNOWN_SECONDS = 60.0  # that a comparison counts on a target that cannot tell of changes
_FOLDER = "compare-"

_Stamp = tuple[int, int, int]
_Versions = tuple[object, object, bool]


class ComparisonView(ApiModel):
    """What would change for readers if the newest build were published."""

    status: Literal["ready", "comparing", "unavailable"] = Field(
        description="`comparing`: ask again in a second; `unavailable`: see `why`"
    )
    why: str | None = Field(None, description="why there is nothing to show")
    hint: str | None = Field(None, description="what to do about it")
    compared_at: datetime | None = Field(None, description="UTC")
    report: DiffReport | None = Field(
        None, description="as `headrace diff --json` prints it, with personal data masked"
    )


class Comparison:
    """Compares what is published and built when asked; one comparison at a time."""

    def __init__(self, resolved: "Resolved") -> None:
        """Note where the files are; nothing is opened."""
        self._resolved = resolved
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._made: tuple[_Versions, ComparisonView, float] | None = None
        self._asked: tuple[float, _Versions | None] | None = None

    def view(self, *, wait: float = 0.0) -> ComparisonView:
        """The comparison of the files as they are now.

        Args:
            wait: seconds to wait for it, if it has to be made.
        """
        missing = self._missing()
        if missing is not None:
            return missing
        with self._lock:
            found = self._kept()
            if found is not None:
                return found
            if self._thread is None or not self._thread.is_alive():
                if self._is_written():
                    return _BUSY
                self._thread = threading.Thread(target=self._make, name="compare", daemon=True)
                self._thread.start()
            thread = self._thread
        thread.join(wait)
        with self._lock:
            return self._kept() or ComparisonView(status="comparing")

    def close(self) -> None:
        """Stop a comparison in progress."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _missing(self) -> ComparisonView | None:
        warehouse = self._resolved.target.database_file
        if warehouse is None:
            return None  # the target is asked in the thread
        if not warehouse.is_file():
            return _unavailable("Nothing is built yet.", "`headrace build` builds the marts.")
        if not self._resolved.published.is_file():
            return _NOT_PUBLISHED
        return None

    def _kept(self) -> ComparisonView | None:
        if self._made is None:
            return None
        versions, view, at = self._made
        is_old = view.report is None and time.monotonic() - at > _AGAIN_SECONDS
        if versions[0] is None:  # a side is not there, or cannot be reached
            return None if is_old else view
        return view if versions == self._versions() and not is_old else None

    def _versions(self) -> _Versions | None:
        """What changes with either side; None where one has just gone."""
        warehouse = self._resolved.target.database_file
        if warehouse is None:
            if self._asked is None or time.monotonic() - self._asked[0] > _AGAIN_SECONDS:
                self._asked = time.monotonic(), self._remote_versions()
            return self._asked[1]
        try:
            files = _stamp(self._resolved.published), _stamp(warehouse)
        except OSError:
            return None
        return (*files, _log_of(warehouse).exists())

    def _remote_versions(self) -> _Versions | None:
        """What changes with what the target has published or built; None where it cannot say."""
        try:
            published = published_tables.current(self._resolved)
            built = self._resolved.target.signature()
        except HeadraceError:
            return None
        if built is None:  # nothing says that it changed
            built = str(int(time.monotonic() / _UNKNOWN_SECONDS))
        return published and (published.run_id, published.published_at), built, False

    def _is_written(self) -> bool:
        return lock.is_held(self._resolved.target.lock_path)

    def _make(self) -> None:
        before = self._versions()
        try:
            view = self._compared()
        except HeadraceError as error:
            view = _unavailable(f"The files cannot be compared: {error}")
        except OSError as error:
            fault = system_fault(error, place=self._resolved.data_dir)
            why = fault.message if fault else error.strerror or str(error)
            view = _unavailable(f"The warehouse cannot be copied for the comparison: {why}")
        with self._lock:
            self._made = (before or (None, None, False), view, time.monotonic())

    def _compared(self) -> ComparisonView:
        resolved = self._resolved
        warehouse = resolved.target.database_file
        if warehouse is None:
            return self._compared_remotely()
        size = warehouse.stat().st_size + resolved.published.stat().st_size
        files = f"{_shown(resolved, resolved.published)} {_shown(resolved, warehouse)}"
        in_terminal = f"`headrace diff {files}` compares them in a terminal."
        if size > MAX_BYTES:
            return _unavailable(
                f"Both files together hold {size / 1024**3:.1f} GiB; the page compares up to "
                f"{MAX_BYTES / 1024**3:.0f} GiB.",
                in_terminal,
            )
        with self._folder() as folder:
            built, published = folder / warehouse.name, folder / "before" / "published.duckdb"
            before = self._versions()
            portable.copy_file(warehouse, built)
            if _log_of(warehouse).exists():
                portable.copy_file(_log_of(warehouse), _log_of(built))
            published.parent.mkdir()
            portable.copy_file(resolved.published, published)
            if self._versions() != before or self._is_written():
                return _BUSY
            return self._in_time(
                lambda options: compare_copies(published, built, options, resolved),
                folder / "spill",
                in_terminal,
            )

    def _compared_remotely(self) -> ComparisonView:
        resolved = self._resolved
        if not resolved.target.exists():
            resolved.target.check()
            return _unavailable("Nothing is built yet.", "`headrace build` builds the marts.")
        if published_tables.current(resolved) is None:
            return _NOT_PUBLISHED
        before = self._remote_versions()
        with self._folder() as folder:
            view = self._in_time(
                lambda options: compare_built(options, resolved),
                folder / "spill",
                "`headrace diff published warehouse` compares them in a terminal.",
            )
        return view if self._remote_versions() == before and not self._is_written() else _BUSY

    def _in_time(
        self, compare: Callable[[DiffOptions], DiffReport], spill: Path, in_terminal: str
    ) -> ComparisonView:
        """The view of a comparison, which is stopped when it takes too long."""
        is_late = threading.Timer(MAX_SECONDS, self._stop.set)
        is_late.daemon = True
        is_late.start()
        options = DiffOptions(
            schemas=tuple(self._resolved.settings.publish.schemas),
            limit=_SAMPLES,
            memory_limit=_MEMORY,
            spill=spill,
            stop=self._stop,
        )
        try:
            report = compare(options)
        except HeadraceError:
            if not self._stop.is_set():
                raise
            self._stop.clear()
            return _unavailable(
                f"The comparison took more than {MAX_SECONDS:.0f} seconds and was stopped.",
                in_terminal,
            )
        finally:
            is_late.cancel()
        return ComparisonView(status="ready", compared_at=datetime.now(UTC), report=report)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A folder for the copies; what a killed server left is removed."""
        place = self._resolved.data_dir / "spill"
        place.mkdir(parents=True, exist_ok=True)
        for left in place.glob(f"{_FOLDER}*"):
            process = left.name.removeprefix(_FOLDER)
            if not process.isdigit() or not portable.is_running(int(process)):
                shutil.rmtree(left, ignore_errors=True)
        folder = place / f"{_FOLDER}{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _unavailable(why: str, hint: str | None = None) -> ComparisonView:
    return ComparisonView(status="unavailable", why=why, hint=hint)


_NOT_PUBLISHED = _unavailable(
    "Nothing is published yet: the first publish shows every mart to readers.",
    "`headrace publish` publishes a build that passed.",
)
_BUSY = _unavailable(
    "A run is writing the warehouse.", "The comparison is made when the run has ended."
)


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _log_of(database: Path) -> Path:
    """DuckDB's write-ahead log."""
    return database.with_name(f"{database.name}.wal")


def _shown(resolved: "Resolved", path: Path) -> str:
    return str(path.relative_to(resolved.root) if path.is_relative_to(resolved.root) else path)
