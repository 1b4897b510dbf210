"""``headrace status``: the last runs, from the run store."""

from datetime import datetime
from pathlib import Path

from pydantic import ConfigDict

from headrace.catalog import INTERRUPTED, RUNNING, RunStore
from headrace.error_detail import ErrorDetail
from headrace.pipeline import lock
from headrace.pipeline.published_file import published_at
from headrace.pipeline.reports import Report
from headrace.settings import DEFAULT_ENV, Resolved


class FailureReport(Report):
    """A node that failed, in words (``unique(order_id) on orders``), and what it said."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    label: str
    message: str
    detail: ErrorDetail | None = None


class RecordedRun(Report):
    """A recorded run. ``status`` is also ``running`` or ``interrupted``."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    run_id: str
    command: str
    status: str
    target: str
    started_at: datetime
    seconds: float | None
    rows_loaded: int | None
    failures: tuple[FailureReport, ...]
    error: str | None
    detail: ErrorDetail | None = None
    code_version: str


class StatusReport(Report):
    """The answer of ``headrace status``: the newest run first."""

    environment: str = DEFAULT_ENV
    runs: tuple[RecordedRun, ...]
    published_path: str
    published_at: datetime | None


def status(resolved: Resolved, *, limit: int) -> StatusReport:
    """Read the last runs; a run whose process is dead counts as interrupted.

    Raises:
        RunStoreError: the run store cannot be opened.
    """
    is_held = lock.is_held(resolved.target.lock_path)
    path = resolved.published
    store = RunStore(resolved.run_store_url) if has_store(resolved) else None
    runs = []
    if store is not None:
        try:
            runs = store.last_runs(limit)
        finally:
            store.close()
    lines = [RecordedRun.model_validate(stored) for stored in runs]
    if not is_held:
        lines = [
            line.model_copy(update={"status": INTERRUPTED}) if line.status == RUNNING else line
            for line in lines
        ]
    return StatusReport(
        environment=resolved.environment,
        runs=tuple(lines),
        published_path=str(path),
        published_at=published_at(path),
    )


def has_store(resolved: Resolved) -> bool:
    """Whether there is a run store; reading must not create one."""
    url = resolved.run_store_url
    prefix = "sqlite:///"
    return not url.startswith(prefix) or Path(url.removeprefix(prefix).partition("?")[0]).exists()
