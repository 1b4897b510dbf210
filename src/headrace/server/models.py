"""The models of all responses: what the REST API, the pages and the static site show.

Times are UTC, durations seconds, counts whole numbers. Lists are sorted as their description says,
so that two responses over the same state are the same bytes. A lineage graph is
``headrace.lineage.report.LineageGraph``, an impact report its ``ImpactReport``.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace.catalog.model import AssetKind
from headrace.error_detail import ErrorDetail
from headrace.pipeline.verdict import Mood, Verdict

PublishStatus = Literal["none", "unreadable", "published"]


class ApiModel(BaseModel):
    """Base of all responses: frozen."""

    model_config = ConfigDict(frozen=True)


class Headline(ApiModel):
    """The project's status in a sentence."""

    mood: Mood = Field(description="`good`, `bad`, `unsure`, or `none` before the first run")
    text: str
    advice: str | None = Field(None, description="what to do about it")
    run_id: str | None = Field(None, description="the run that it is about")
    running: str | None = Field(None, description="id of a run in progress")


class AssetRef(ApiModel):
    """An asset as others name it."""

    id: str
    kind: AssetKind
    name: str
    relation: str | None = Field(None, description="`schema.identifier` of a relation")


class RunLine(ApiModel):
    """A recorded run."""

    run_id: str = Field(description="what `/api/v1/run` asks for")
    command: str
    status: str = Field(description="`running`, `success`, `failed`, `error` or `interrupted`")
    target: str
    started_at: datetime
    seconds: float | None = Field(description="None: it has not ended")
    rows_loaded: int | None = Field(description="new and changed rows")
    failures: int = Field(description="how many nodes failed")
    error: str | None = Field(description="why it stopped, if it did")
    detail: ErrorDetail | None = Field(None, description="of the error: place and excerpt")
    code_version: str = Field(description="commit, or version, of the project's code")


class RunList(ApiModel):
    """Runs, the newest first."""

    runs: tuple[RunLine, ...]
    limit: int


class StepView(ApiModel):
    """A step of a run, in order."""

    step: str = Field(description="`load`, `build`, `audit` or `publish`")
    status: str = Field(description="`success`, `failed` or `error`")
    started_at: datetime | None
    seconds: float
    message: str | None = Field(None, description="why it failed")


class LoadView(ApiModel):
    """A raw table that a run loaded: given = new + changed + unchanged + quarantined rows."""

    source: str
    table: str
    rows_given: int | None = Field(description="null for runs of a Headrace that did not count it")
    rows_new: int
    rows_changed: int
    rows_unchanged: int | None = Field(description="null as `rows_given` is")
    rows_quarantined: int
    rows_total: int = Field(description="rows of the table after the load")
    new_columns: tuple[str, ...]
    asset: str | None = Field(description="id of its asset, if the catalog has it")


class RunAt(ApiModel):
    """A run, as others name it."""

    run_id: str
    started_at: datetime
    code_version: str


class LoadOfRun(LoadView):
    """A raw table that a run loaded, and which run that was."""

    run_id: str


class CodeChange(ApiModel):
    """The code of a project in two runs: commits, or versions."""

    before: str
    after: str


class QuarantinedRowView(ApiModel):
    """A row in quarantine; values of personal data are `***`."""

    where: str = Field(description="its file, and the line or row in it")
    message: str = Field(description="what is wrong; empty where it would quote personal data")
    values: dict[str, str | None] = Field(
        description="as text, by column; empty of what could not be read as a row"
    )


class QuarantineView(ApiModel):
    """The rows of a raw table that are in quarantine now for one reason."""

    source: str
    table: str
    asset: str | None = Field(description="id of its asset, if the catalog has it")
    reason: str = Field(description="`data_type`, `malformed`, `null_key`, `duplicate_key`, ...")
    rows: int
    sample: tuple[QuarantinedRowView, ...] = Field((), description="at most 5 of them")


class RowsPoint(ApiModel):
    """The rows of a table after a load, or of a model when it was published."""

    run_id: str
    at: datetime = Field(description="start of the run, UTC")
    rows_total: int
    rows_new: int | None = Field(description="null: it was not compared")
    rows_changed: int | None = Field(description="null: it was not compared")
    rows_quarantined: int = Field(description="of that load; 0 of a model")
    code_version: str
    is_release: bool = Field(description="whether the code is another than in the point before")


class NodeView(ApiModel):
    """A dbt node that a run ran."""

    unique_id: str
    asset: str | None = Field(description="id of its asset, if the catalog has it")
    name: str
    label: str = Field(description="a test in words; else the name")
    resource_type: str
    status: str
    started_at: datetime | None
    seconds: float
    thread: str | None
    failures: int | None = Field(description="rows that a test found")
    message: str | None
    detail: ErrorDetail | None = Field(None, description="of the message: place and excerpt")
    skipped_by: AssetRef | None = Field(
        None, description="of a skipped node: the nearest failure upstream of it"
    )


class LogLine(ApiModel):
    """A line of the log file."""

    at: datetime | None
    level: str
    event: str
    details: str = Field("", description="the other fields, as `key=value`")


class Activity(ApiModel):
    """Something that a run does now."""

    name: str = Field(description="`model orders`, or of a step what it does besides its nodes")
    since: datetime


class RunNow(ApiModel):
    """What a run in progress does."""

    step: str = Field(description="`load`, `build`, `audit` or `publish`; empty before the first")
    since: datetime | None = Field(description="when the step began")
    doing: tuple[Activity, ...] = Field(description="the longest first")
    done: int = Field(description="tables, models and tests that have ended")
    failed: tuple[str, ...] = Field(description="those that failed; at most 200")


class RunDetail(ApiModel):
    """A run with all that happened in it.

    Pages of nodes come in the order in which these ended, sorted by their start within a page.
    """

    run: RunLine
    steps: tuple[StepView, ...]
    loads: tuple[LoadView, ...]
    nodes: tuple[NodeView, ...]
    nodes_total: int = Field(description="on all pages")
    offset: int = Field(0, description="of the nodes")
    limit: int = Field(description="of the nodes")
    errors: tuple[NodeView, ...] = Field(description="the nodes that failed; at most 500")
    last_good: dict[str, RunAt] = Field(
        default_factory=dict,
        description="the run of the last pass of failed nodes, by `unique_id`; of the first 20",
    )
    log: tuple[LogLine, ...] = Field((), description="its last lines of the log file")
    critical_path: tuple[str, ...] = Field(
        (),
        description="ids of the nodes that the end of the build waited for, one after the other; "
        "empty on pages of nodes",
    )
    now: RunNow | None = Field(None, description="of a run in progress, on the same machine")


class TestResult(ApiModel):
    """One outcome of a test."""

    __test__ = False

    run_id: str
    status: str
    at: datetime | None
    seconds: float
    failures: int | None
    message: str | None


class Why(ApiModel):
    """What changed between the last run in which a test passed and the first in which it did not.

    Changes and loads are those of what the test reads, and of all upstream of it; at most 30 each.
    """

    good: RunAt | None = Field(description="the last run in which it passed; None: it never did")
    since: RunAt = Field(description="the first run after it in which it failed or warned")
    code: CodeChange | None = Field(description="None: the version of the code is the same")
    changes: tuple["ChangeView", ...] = Field(description="columns, tests, code; newest first")
    loads: tuple[LoadOfRun, ...] = Field(description="that brought something; newest first")
    more: int = Field(description="changes and loads that are not listed")


class TestView(ApiModel):
    """A test, how it went last, and before (newest first)."""

    __test__ = False

    id: str
    name: str = Field(description="in words: `unique(order_id) on orders`")
    test: str = Field(description="`unique`, `not_null`, ...; `singular` or `unit`")
    column: str | None
    severity: str
    description: str = ""
    arguments: dict[str, Any] = Field(default_factory=dict)
    asset: AssetRef | None = Field(None, description="what it tests")
    status: str | None = Field(None, description="of its newest run; None: it never ran")
    failures: int | None = None
    message: str | None = None
    detail: ErrorDetail | None = Field(None, description="of the message: place and excerpt")
    ran_at: datetime | None = None
    run_id: str | None = None
    history: tuple[TestResult, ...] = ()


class TestRow(ApiModel):
    """A test, and its results in the runs of a grid."""

    __test__ = False

    id: str
    name: str
    results: tuple[str | None, ...] = Field(description="for each run; None: it was not in it")


class TestGrid(ApiModel):
    """Tests by run."""

    __test__ = False

    runs: tuple[RunAt, ...] = Field(description="that ran tests, the oldest first; at most 20")
    tests: tuple[TestRow, ...] = Field(description="those that are bad now first, then by name")
    more: int = Field(description="tests that are not in it")


class RunQuality(ApiModel):
    """What the tests of a run said."""

    run_id: str
    at: datetime
    passed: int
    warned: int
    failed: int


class SourceFreshness(ApiModel):
    """How fresh a source is.

    ``status`` is dbt's newest result (``pass``, ``warn``, ``error``), None if it is unchecked.
    """

    source: str
    loaded_at: datetime | None = Field(description="start of the newest run that loaded it")
    run_id: str | None
    rows_new: int = Field(0, description="of that load")
    rows_changed: int = Field(0, description="of that load")
    rows_in_quarantine: int = Field(0, description="now, from all loads")
    status: str | None
    message: str | None = None
    checked_at: datetime | None = None


class PublishState(ApiModel):
    """What readers have."""

    status: PublishStatus
    published_at: datetime | None = None
    run_id: str | None = None
    tables: int = 0
    rows: int = 0
    is_current: bool | None = Field(
        None, description="whether the newest good run's build is what is published"
    )


class ReadingView(ApiModel):
    """An artifact that the catalog was built from."""

    artifact: str
    version: str | None
    mode: str = Field(description="`strict`, `lenient`, `missing` or `unreadable`")
    notes: tuple[str, ...]


class ProblemView(ApiModel):
    """An asset whose column lineage is not known, or not all of it."""

    asset: str
    name: str
    message: str


class AssetSummary(ApiModel):
    """An asset in a list."""

    id: str
    kind: AssetKind
    name: str
    relation: str | None
    schema_name: str | None
    summary: str = Field(description="the description's first 200 characters")
    materialized: str | None
    owners: tuple[str, ...]
    tags: tuple[str, ...]
    columns: int = Field(description="how many")
    tests: int = Field(description="how many")
    failing: int = Field(description="tests of it that fail or error now")
    warning: int = Field(description="tests of it that warn now")
    passing: int = Field(description="tests of it that pass now; the others did not run")
    verdict: Verdict | None = Field(description="of a table; none of what has no rows")
    status: str | None = Field(description="of its newest run")
    ran_at: datetime | None = Field(description="start of its newest run")
    seconds: float | None = Field(description="of that run")
    has_pii: bool = Field(description="whether a column is declared to hold personal data")
    published: bool
    published_rows: int | None = Field(description="None: it is not published")
    matched: tuple[str, ...] = Field((), description="columns that the search found it by")


class Home(ApiModel):
    """The first page."""

    project: str
    environment: str | None = Field(
        None, description="whose data these are: `default`, or as chosen by `--env`"
    )
    catalog_only: bool = Field(
        description="it shows the artifacts of a dbt project that Headrace does not run"
    )
    catalog_version: int | None = Field(description="None: there is no catalog yet")
    catalog_at: datetime | None
    hint: str | None = Field(description="what to run when there is nothing to show yet")
    headline: Headline
    runs: tuple[RunLine, ...] = Field(description="the newest ten")
    freshness: tuple[SourceFreshness, ...] = Field(description="by source name")
    failing: tuple[TestView, ...] = Field(
        description="tests whose newest result is fail, error or warn; at most 100"
    )
    failing_total: int = Field(description="how many tests fail or error now")
    warning_total: int = Field(description="how many tests warn now")
    passing_total: int = Field(description="how many tests pass; others may not have run")
    quarantine: tuple[QuarantineView, ...] = Field(
        (), description="what is in quarantine, by source, table and reason; without rows"
    )
    publish: PublishState
    published: tuple[AssetSummary, ...] = Field(
        description="what is published, with its tests: those that fail first, then by name; at "
        "most 100"
    )
    counts: dict[str, int] = Field(description="assets by kind; also `column`")
    readings: tuple[ReadingView, ...]
    problems: tuple[ProblemView, ...] = Field(description="at most 100")
    problems_total: int


class Facet(ApiModel):
    """A value that a list can be filtered by, and how many assets have it."""

    value: str
    count: int


class AssetPage(ApiModel):
    """A page of assets, sorted by kind, then name; with ``search``, the best first."""

    assets: tuple[AssetSummary, ...]
    total: int = Field(description="on all pages")
    offset: int
    limit: int
    kinds: tuple[Facet, ...] = Field(description="in the whole catalog, as are the next three")
    tags: tuple[Facet, ...]
    owners: tuple[Facet, ...]
    schemas: tuple[Facet, ...]


class ColumnOrigin(ApiModel):
    """A column that another one's values are made from, one step up."""

    asset: str
    asset_name: str
    column: str
    kind: str = Field(description="`copied`, `renamed`, `computed` or `aggregated`")


class ColumnView(ApiModel):
    """A column."""

    name: str
    data_type: str | None
    description: str
    tags: tuple[str, ...]
    pii: str | None = Field(description="what kind of personal data it is declared to hold")
    pii_from: str | None = Field(
        None, description="a column of personal data that its values are made from"
    )
    nullable: bool | None
    is_key: bool = Field(description="whether it is in the primary key")
    tests: tuple[str, ...] = Field(description="ids of the tests of this column")
    upstream: int = Field(description="columns that its values are made from, one step up")
    downstream: int = Field(description="columns that are made from its values, one step down")
    origins: tuple[ColumnOrigin, ...] = Field(
        (), description="the columns one step up, by name; at most 5"
    )


class RunTime(ApiModel):
    """How long one run of a node took."""

    run_id: str
    at: datetime | None
    seconds: float
    status: str


class ChangeView(ApiModel):
    """One change between two versions of the catalog."""

    version: int
    at: datetime
    asset: str
    asset_name: str
    exists: bool = Field(description="whether the asset is still in the catalog")
    column: str | None
    what: str = Field(description="`column added`, `column retyped`, `test removed`, ...")
    before: str | None
    after: str | None
    diff: str | None = Field(
        None, description="of code: the lines that changed, as a unified diff; at most 400 lines"
    )


class AssetDetail(ApiModel):
    """All that is known of an asset."""

    id: str
    kind: AssetKind
    name: str
    relation: str | None
    database: str | None
    schema_name: str | None
    description: str = Field(description="Markdown, as written: escape it")
    owners: tuple[str, ...]
    group: str | None
    tags: tuple[str, ...]
    materialized: str | None
    path: str | None
    package: str | None
    access: str | None
    contract: bool
    primary_key: tuple[str, ...]
    url: str | None = Field(description="of an exposure, as written: only http and https are links")
    meta: dict[str, Any]
    raw_code: str | None
    compiled_code: str | None
    parent_table: AssetRef | None = Field(description="of a dlt child table")
    columns: tuple[ColumnView, ...]
    tests: tuple[TestView, ...] = Field(description="those that fail first, then by name")
    test: TestView | None = Field(description="of a test: itself, with its history")
    why: Why | None = Field(None, description="of a test that fails or warns: since when, and why")
    upstream: tuple[AssetRef, ...] = Field(description="one step up, tests left out")
    downstream: tuple[AssetRef, ...] = Field(description="one step down, tests left out")
    verdict: Verdict | None = Field(description="of a table; none of what has no rows")
    status: str | None
    ran_at: datetime | None
    run_times: tuple[RunTime, ...] = Field(description="the newest 50, oldest first")
    freshness: SourceFreshness | None = Field(description="of a raw table: its source's")
    published_rows: int | None = Field(description="None: it is not published")
    rows: tuple[RowsPoint, ...] = Field(
        (),
        description="of a raw table after each load, of a published model at each publish; "
        "the newest 60, oldest first",
    )
    quarantine: tuple[QuarantineView, ...] = Field(
        (), description="of a raw table: its rows in quarantine, by reason"
    )
    has_sample: bool = Field(description="whether there are sample rows")
    problems: tuple[str, ...] = Field(description="why its column lineage is not all known")
    changes: tuple[ChangeView, ...] = Field(description="the newest 20, newest first")


class Sample(ApiModel):
    """Rows of the published table.

    A value that JSON cannot hold (a timestamp, a decimal, an interval) is text, and a long text
    is cut to 200 characters and an ellipsis.
    """

    id: str
    relation: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    masked: tuple[str, ...] = Field(
        description="columns whose values are `***`: those of personal data, those made from one, "
        "and those whose origin is not known"
    )
    rows: tuple[tuple[Any, ...], ...]
    limit: int
    total: int = Field(description="rows of the table")
    pii_allowed: bool = Field(description="whether this server shows personal data when asked")


class Changes(ApiModel):
    """What changed in the catalog, newest first."""

    since: datetime
    asset: str | None
    changes: tuple[ChangeView, ...]
    truncated: bool
    versions: int = Field(description="versions of the catalog since then")


class SearchHit(ApiModel):
    """An asset, or a column of one, that a search found."""

    id: str
    kind: AssetKind
    name: str
    relation: str | None
    column: str | None = Field(description="None: the asset itself")
    snippet: str = Field(description="where it was found; plain text")


class SearchResult(ApiModel):
    """What a search found, the best first."""

    query: str
    hits: tuple[SearchHit, ...]
    total: int = Field(description="at most 1,000 are counted")


class Health(ApiModel):
    """Whether the server responds."""

    status: Literal["ok"] = "ok"


class Problem(ApiModel):
    """Every error: ``application/problem+json`` (RFC 9457), with two members of our own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "there is no such asset",
                    "code": "not_found",
                    "hint": "/api/v1/search finds assets by words",
                }
            ]
        }
    )

    type: str = Field("about:blank", description="`about:blank`: the title is the HTTP status's")
    title: str = Field(description="the HTTP status in words")
    status: int
    detail: str = Field(description="what is wrong")
    code: str = Field(description="for programs: `not_found`, `invalid_parameter`, ...")
    hint: str | None = Field(None, description="what to do about it")
