"""``headrace status``: the last runs, from the run store."""

from datetime import datetime
from pathlib import Path

from pydantic import ConfigDict, Field

from headrace.catalog import INTERRUPTED, RUNNING, RunStore, StoredRun
from headrace.error_detail import ErrorDetail
from headrace.errors import WarehouseError
from headrace.pipeline import lock
from headrace.pipeline.publishing import published_tables
from headrace.pipeline.reports import Report
from headrace.pipeline.verdict import Verdict, Verdicts, evidence_of
from headrace.settings import DEFAULT_ENV, Resolved
from headrace.targets.publication import Publication


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


class TableVerdict(Verdict):
    """The verdict on one table."""

    asset: str = Field(description="id of the asset: `table.shop_raw.orders`, `model.shop.orders`")
    name: str = Field(description="`schema.table`")
    kind: str = Field(description="`table` (of a source), `model`, `seed` or `snapshot`")


class StatusReport(Report):
    """The answer of ``headrace status``: the newest run first."""

    environment: str = DEFAULT_ENV
    runs: tuple[RecordedRun, ...]
    tables: tuple[TableVerdict, ...] = Field(
        (), description="a verdict on each table, the worst first, then by name"
    )
    published_path: str = Field(description="a file, or where readers of the target find it")
    published_at: datetime | None
    published_problem: str | None = Field(
        None, description="why the target cannot say what it has published"
    )


def status(resolved: Resolved, *, limit: int) -> StatusReport:
    """Read the last runs; a run whose process is dead counts as interrupted.

    Raises:
        RunStoreError: the run store cannot be opened.
    """
    is_held = lock.is_held(resolved.target.lock_path)
    published, problem = None, None
    try:
        published = published_tables.current(resolved)
    except WarehouseError as error:  # what ran on this machine is worth showing without it
        problem = str(error)
    store = RunStore(resolved.run_store_url) if has_store(resolved) else None
    runs: list[StoredRun] = []
    tables: tuple[TableVerdict, ...] = ()
    if store is not None:
        try:
            runs = store.last_runs(limit)
            tables = _verdicts(store, published)
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
        tables=tables,
        published_path=published_tables.location(resolved),
        published_at=published.published_at if published else None,
        published_problem=problem,
    )


def _verdicts(store: RunStore, published: Publication | None) -> tuple[TableVerdict, ...]:
    catalog = store.load_catalog()
    if catalog is None:
        return ()
    evidence = evidence_of(
        store,
        catalog,
        store.latest_nodes(),
        published=[table.unique_id for table in published.tables] if published else (),
        published_at=published.published_at if published else None,
    )
    verdicts = Verdicts(evidence)
    found = [
        TableVerdict(asset=key, name=asset.relation or asset.name, kind=asset.kind, **dict(verdict))
        for key, asset in catalog.assets.items()
        if (verdict := verdicts.of(key)) is not None
    ]
    return tuple(sorted(found, key=lambda one: (one.rank, one.name)))


def has_store(resolved: Resolved) -> bool:
    """Whether there is a run store; reading must not create one."""
    url = resolved.run_store_url
    prefix = "sqlite:///"
    return not url.startswith(prefix) or Path(url.removeprefix(prefix).partition("?")[0]).exists()
