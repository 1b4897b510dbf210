"""Events of a run in progress, and the reports of its steps.

The same models are shown on the terminal, recorded in the run store and printed as JSON.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace.error_detail import ErrorDetail
from headrace.settings import DEFAULT_ENV

Status = Literal["success", "failed", "error"]
NodeStatus = Literal["success", "pass", "warn", "fail", "error", "skipped", "reused"]


CHECKS = frozenset({"test", "unit_test", "contract", "check"})
"""Types of nodes that say whether something holds; all others are built."""


class Report(BaseModel):
    """Base of all reports: frozen."""

    model_config = ConfigDict(frozen=True)


class LoadJob(Report):
    """A file of rows that dlt wrote to the target."""

    table: str
    started_at: datetime = Field(description="UTC")
    ended_at: datetime = Field(description="UTC")
    format: str = Field(description="`parquet`, `insert_values`, `reference`: staged elsewhere")
    failed: bool = False


class TableReport(Report):
    """One raw table of one load: given = new + changed + unchanged + quarantined rows, always."""

    source: str
    table: str
    rows_given: int = Field(description="rows that the source gave to this load")
    rows_new: int = Field(description="rows whose key the table did not have")
    rows_changed: int = Field(description="rows whose key it had, with other values")
    rows_unchanged: int = Field(
        0, description="rows that left the table as it was: it has them, or a newer version of them"
    )
    rows_quarantined: int = Field(0, description="rows in `_quarantine`, and not in the table")
    rows_deleted: int = Field(
        0, description="rows that were deleted, as the source's snapshot no longer has them"
    )
    rows_total: int = Field(description="rows of the table after the load")
    files_read: int = 0
    files_unchanged: int = 0
    new_columns: tuple[str, ...] = ()
    changes: tuple[str, ...] = Field(
        (), description="what was read in another way than in the last load: dialects, types"
    )
    notes: tuple[str, ...] = ()
    jobs: tuple[LoadJob, ...] = Field((), exclude=True)

    @property
    def seconds(self) -> float | None:
        """From the start of the first of its jobs to the end of the last; None without any."""
        if not self.jobs:
            return None
        began = min(job.started_at for job in self.jobs)
        return (max(job.ended_at for job in self.jobs) - began).total_seconds()

    @property
    def is_changed(self) -> bool:
        """Whether the load left other rows or columns in the table, or rows in quarantine."""
        is_same = self.rows_given == self.rows_unchanged and not self.rows_deleted
        return not is_same or bool(self.new_columns or self.changes)

    @property
    def rows_unaccounted(self) -> int:
        """Rows that were given and are in no other count; anything but 0 is a bug."""
        accounted = self.rows_new + self.rows_changed + self.rows_unchanged + self.rows_quarantined
        return self.rows_given - accounted


class LoadFailure(Report):
    """A source or table that could not be loaded, or a file of one; what it had before stays."""

    source: str
    table: str | None = Field(None, description="none when the whole source failed")
    error: str = Field(description="what is wrong, and what to change")
    detail: ErrorDetail | None = Field(None, description="place in the source's own code")

    @property
    def sentence(self) -> str:
        """The error, with what it is about."""
        if self.table:
            return f"{self.source}.{self.table}: {self.error}"
        return self.error if self.source in self.error else f"source {self.source}: {self.error}"


class LoadReport(Report):
    """The load step."""

    tables: tuple[TableReport, ...]
    load_ids: tuple[str, ...] = Field(description="dlt's ids of the load packages")
    failures: tuple[LoadFailure, ...] = Field((), description="what could not be loaded")
    rows_in_quarantine: int = Field(
        0, description="rows of these sources that are in quarantine, from all loads"
    )
    seconds: float

    @property
    def rows_loaded(self) -> int:
        """Rows that are new or changed, over all tables."""
        return sum(table.rows_new + table.rows_changed for table in self.tables)


class NodeReport(Report):
    """One dbt node: a model, a test, a unit test, a seed or a snapshot."""

    unique_id: str
    name: str = Field(description="dbt's name")
    label: str = Field(description="a test in words: `unique(order_id) on orders`; else the name")
    resource_type: str
    status: NodeStatus
    severity: Literal["warn", "error"] | None = None
    reused: bool = Field(
        False, description="nothing that it is made from had changed, so it was not run"
    )
    seconds: float = 0.0
    started_at: datetime | None = Field(None, description="UTC; none when it did not run")
    thread: str | None = Field(None, description="dbt's thread that it ran on")
    failures: int | None = Field(None, description="rows that a test found")
    message: str | None = Field(None, description="one line")
    detail: ErrorDetail | None = Field(
        None,
        description="the place in the project's file, an excerpt of it, the contract's columns",
    )
    attached_to: str | None = Field(
        None, description="dbt's id of the table, of a promise of a contract"
    )
    promised_to: str = Field("", description="who relies on a promise of a contract")
    part: str | None = Field(
        None, description="of a contract: `schema`, `quality`, `freshness`, `retention`, ..."
    )

    @property
    def kind(self) -> str:
        """The resource type in words: ``unit test``."""
        return self.resource_type.replace("_", " ")

    @property
    def problem(self) -> str:
        """Of a node that failed, as a sentence."""
        return f"{self.kind} {self.label}: {self.message or self.status}"


class SelectionReport(Report):
    """What a slim build selected, and what it read from a state."""

    select: tuple[str, ...] = Field(description="dbt's selectors; one of them matches")
    exclude: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = Field((), description="selectors that match nothing")
    state: str | None = Field(None, description="the state folder")
    deferred: bool = Field(False, description="whether what is not built here is read from it")
    not_deferred: str | None = Field(None, description="why it is not, though it was asked for")
    sources_of_state: tuple[str, ...] = Field(
        (), description="dbt sources that are read from the state, for they are not loaded here"
    )


class BuildReport(Report):
    """The build step."""

    nodes: tuple[NodeReport, ...]
    selection: SelectionReport | None = Field(
        None, description="of a build of a part of the project; such a build is not published"
    )
    reused: bool = Field(
        False, description="nothing had changed since the last good build, so nothing was run"
    )
    freshness: tuple[NodeReport, ...] = ()
    seconds: float

    def count(self, *statuses: NodeStatus, tests: bool) -> int:
        """Nodes with one of ``statuses``, among tests or among all others."""
        return sum(
            node.status in statuses
            for node in self.nodes
            if (node.resource_type in CHECKS) == tests
        )


class AuditReport(Report):
    """Whether what was built may be published."""

    passed: bool
    problems: tuple[str, ...] = Field(description="one sentence for each reason against it")
    warnings: tuple[str, ...] = Field(
        (), description="what does not hold and does not stop it: one sentence each"
    )
    without_contract: tuple[str, ...] = Field(
        (), description="models of marts whose yml does not say whether columns are enforced"
    )
    nodes: tuple[NodeReport, ...] = Field(
        (), description="the promises of contracts, and the checks in Python, that it looked at"
    )
    seconds: float


class PublishedTableReport(Report):
    """A table of the published file."""

    name: str = Field(description="`schema.table`")
    rows: int
    rows_new: int | None = Field(
        None, description="rows whose key was not published before; none: not compared"
    )
    rows_changed: int | None = Field(
        None, description="rows whose key was, with other values; none: not compared"
    )
    changed: bool = Field(description="whether this publish wrote it")
    asset: str = Field("", description="dbt's id of the model")


class PublishReport(Report):
    """The publish step."""

    path: str = Field(description="the published file, or where readers of the target find it")
    written: bool = Field(description="false when what is published was current already")
    tables: tuple[PublishedTableReport, ...]
    left: tuple[str, ...] = Field(
        (), description="tables that stay as they were, because a load upstream of them failed"
    )
    note: str | None = None
    bytes: int
    seconds: float


class CatalogReport(Report):
    """The catalog step. The counts are 0 when no artifact had changed and nothing was read."""

    version: int | None = Field(description="the newest version's number")
    is_new: bool = Field(False, description="whether this run made it")
    assets: int = 0
    columns: int = 0
    column_edges: int = Field(0, description="edges of the column lineage")
    problems: int = Field(0, description="assets whose column lineage is not wholly known")
    changes: int = Field(0, description="what differs from the version before: `headrace serve`")
    seconds: float


class AlarmReport(Report):
    """An alarm of a monitor: what was expected, what came, and what is known of why."""

    number: int = Field(description="by which `headrace quality expected` names it")
    table: str = Field(description="`schema.table`")
    asset: str = Field(description="id of the asset")
    metric: str = Field(description="`rows`, `amount.mean`, `status.share(paid)`, `schema`")
    status: Literal["open", "over", "expected"]
    text: str = Field(description="in words")
    since: datetime = Field(description="start of the first period that was outside; UTC")
    last: datetime = Field(description="start of the newest one; UTC")
    grain: str = Field(description="`hour`, `day`, `week`, `month`, `run`")
    value: float | None = Field(None, description="of the period that is farthest outside")
    expected: float | None = Field(None, description="the middle of the band there")
    low: float | None = Field(None, description="its lower end; none: open")
    high: float | None = Field(None, description="its upper end; none: open")
    score: float = Field(description="how far outside, in usual deviations; negative: below")
    segment: str | None = Field(None, description="the rows that carry most of it, in words")
    causes: tuple[str, ...] = Field((), description="what changed upstream, in words")
    downstream: tuple[str, ...] = Field((), description="what is made from it: marts, exposures")
    note: str | None = Field(None, description="what a person said of it")
    run_id: str = Field(description="the run that found it")
    is_new: bool = Field(False, description="whether this run found it")


def told_together(alarms: Iterable[AlarmReport]) -> list[list[AlarmReport]]:
    """Alarms in groups that are one fault, as a rule: of one column, from the same time on.

    A column in another unit is outside in its mean, its quantiles and its distribution.

    Returns:
        The groups, and the alarms in each, in the order in which they were given.
    """
    found: dict[object, list[AlarmReport]] = {}
    for one in alarms:
        column = one.metric.partition(".")[0]
        found.setdefault((one.table, column, one.grain, one.since, one.status), []).append(one)
    return list(found.values())


class QualityReport(Report):
    """The quality step: metrics and alarms of raw tables and marts."""

    alarms: tuple[AlarmReport, ...] = Field((), description="those that are open, the worst first")
    ended: tuple[AlarmReport, ...] = Field((), description="those that this run found to be over")
    measured: tuple[str, ...] = Field((), description="tables that changed, and were measured")
    notes: tuple[str, ...] = Field((), description="what could not be monitored, and why")
    seconds: float


class RunReport(Report):
    """A whole run; its `status` is `failed` when a check did not pass."""

    run_id: str
    command: str
    status: Status
    started_at: datetime = Field(description="of its first step; UTC")
    seconds: float = Field(description="from the start of the process, its imports included")
    startup_seconds: float = Field(0.0, description="of these, until the first step")
    environment: str = DEFAULT_ENV
    target: str
    code_version: str
    load: LoadReport | None = None
    build: BuildReport | None = None
    audit: AuditReport | None = None
    publish: PublishReport | None = None
    catalog: CatalogReport | None = None
    quality: QualityReport | None = None
    profiles_seconds: float | None = Field(
        None, description="to profile the tables that changed; null where there were none"
    )
    published_path: str | None = Field(None, description="the file that readers open")
    notes: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Event:
    """Something that began or ended.

    Attributes:
        step: the step it belongs to.
        name: the step's own name, a raw table or a dbt node; of a phase, what is being done.
        state: ``started``, how it ended, ``phase``, or ``progress`` for how far it is.
        detail: a few words for people.
        seconds: how long it took; None when it began.
        node: dbt's id of a model, snapshot or seed; None of all else.
        share: of ``progress``: how much is done, from 0 to 1.
        table: of a published table, its name.
        rows: of a published table.
    """

    step: Literal["load", "build", "audit", "publish", "monitors", "profiles"]
    name: str
    state: Literal["phase", "started", "done", "warn", "failed", "skipped", "progress"]
    detail: str = ""
    seconds: float | None = None
    node: str | None = None
    share: float | None = None
    table: str = ""
    rows: int | None = None


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Do nothing with an event."""
    del event
