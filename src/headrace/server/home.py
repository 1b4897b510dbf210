"""The answer of the first page."""

from headrace.catalog import RUNNING
from headrace.server import describe, headline, views
from headrace.server.snapshot import Snapshot
from headrace.server.state import ServerState

_RUNS = 10
_LINES = 100
_BUILT = frozenset({"success", "reused"})


def home(state: ServerState) -> views.Home:
    """The first page; also where no run has been yet (its ``hint`` says what to run)."""
    now = state.snapshot()
    catalog = now.index.catalog
    problems = catalog.problems[:_LINES]
    publish = publish_state(now)
    return views.Home(
        project=state.project,
        catalog_version=catalog.version,
        catalog_at=catalog.created_at,
        hint=hint(now),
        headline=headline.of(now, publish),
        runs=tuple(describe.run_line(now, run) for run in now.runs[:_RUNS]),
        freshness=tuple(now.freshness.values()),
        failing=tuple(describe.verdict(now, test) for test in now.not_good[:_LINES]),
        failing_total=now.failing,
        warning_total=len(now.not_good) - now.failing,
        publish=publish,
        published=_published(now),
        counts=now.index.counts if now.has_catalog else {},
        readings=tuple(
            views.ReadingView(
                artifact=one.artifact, version=one.version, mode=one.mode, notes=one.notes
            )
            for one in catalog.readings
        ),
        problems=tuple(
            views.ProblemView(
                asset=one.asset,
                name=catalog.assets[one.asset].name if one.asset in catalog.assets else one.asset,
                message=one.message,
            )
            for one in problems
        ),
        problems_total=len(catalog.problems),
    )


def _published(now: Snapshot) -> tuple[views.AssetSummary, ...]:
    assets = now.index.catalog.assets
    found = [describe.summary(now, assets[key]) for key in now.publication.tables if key in assets]
    found.sort(
        key=lambda one: (
            -one.failing,
            -one.warning,
            one.status in _BUILT,
            one.name.casefold(),
            one.id,
        )
    )
    return tuple(found[:_LINES])


def hint(now: Snapshot) -> str | None:
    """What to run where there is no catalog yet."""
    if now.has_catalog:
        return None
    if not now.runs:
        return "there has been no run yet: run `headrace run`"
    if now.runs[0].status == RUNNING:
        return "the first run goes on: the catalog comes at its end"
    return "there is no catalog yet: run `headrace run`, which makes one"


def publish_state(now: Snapshot) -> views.PublishState:
    """What readers have."""
    publication = now.publication
    return views.PublishState(
        status=publication.status,
        published_at=publication.published_at,
        run_id=publication.run_id,
        tables=len(publication.tables),
        rows=sum(table.rows for table in publication.tables.values()),
        is_current=now.is_build_published if publication.status == "published" else None,
    )
