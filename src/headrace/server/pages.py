"""The pages: each asks `queries` and fills a template; shared by the server and the static site."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from headrace.catalog.changes import What
from headrace.server import charts, profiles, queries
from headrace.server import quality as quality_of
from headrace.server.errors import NotFoundError, RequestError
from headrace.server.graph_data import graph_assets, overlays
from headrace.server.models import AssetDetail, AssetRef, RunDetail, Sample
from headrace.server.rendering import PageFrame
from headrace.server.row_query import ALL_ROWS, RowFilter
from headrace.server.state import ServerState
from headrace.server.timeline import timeline
from headrace.server.view_builder import ref

if TYPE_CHECKING:
    from headrace.lineage.report import ImpactItem

MAX_TABLE = 1500  # assets that the lineage page lists in one table
MAX_EDGES = 2000
_RECENT_CHANGES = 10
_STEPS = 2
_FIRST_NODES = 25
_SAMPLE_ROWS = 20
_STRIP = 60  # runs
_STATIC_COLUMNS = 40  # of a profile that are shown in full
NUMBERS = ("nulls", "distinct", "mean", "min", "max")
CHANGE_KINDS: tuple[str, ...] = get_args(What)


@dataclass(frozen=True)
class AssetQuery:
    """How the list of assets is filtered; an empty text filters nothing."""

    search: str = ""
    kind: str = ""
    tag: str = ""
    owner: str = ""
    schema: str = ""
    sort: str = ""

    def __getitem__(self, name: str) -> str:
        return str(getattr(self, name))

    @property
    def is_set(self) -> bool:
        """Whether anything is filtered."""
        return any((self.search, self.kind, self.tag, self.owner, self.schema))


def home(state: ServerState, frame: PageFrame) -> str:
    """The first page."""
    lately = queries.changes(state, days=30, limit=_RECENT_CHANGES, diffs=0).changes
    return frame.render(
        "home.html",
        title="Home",
        here="home",
        home=queries.home(state),
        changes=lately,
        strip=charts.run_strip(queries.runs(state, limit=_STRIP).runs),
        grid=queries.results_by_run(state),
    )


def assets(
    state: ServerState, frame: PageFrame, query: AssetQuery, *, offset: int = 0, limit: int = 50
) -> str:
    """The list of assets."""
    page = queries.assets(
        state,
        search=query.search,
        kind=query.kind or None,
        tag=query.tag or None,
        owner=query.owner or None,
        schema=query.schema or None,
        sort=query.sort,
        offset=offset,
        limit=limit,
    )
    return frame.render(
        "assets.html", title="Assets", here="assets", page=page, query=query, filtered=query.is_set
    )


def asset(
    state: ServerState,
    frame: PageFrame,
    detail: AssetDetail,
    *,
    with_sample: bool = False,
    with_pii: bool = False,
    wanted: RowFilter = ALL_ROWS,
) -> str:
    """The page of an asset; personal data only if asked, and allowed."""
    sample, error = None, None
    if with_sample and detail.has_sample:
        try:
            sample = queries.sample(
                state, detail.id, limit=_SAMPLE_ROWS, pii=with_pii, wanted=wanted
            )
        except RequestError as refused:
            error = refused.detail
    if sample is not None and frame.links.is_static:
        sample = _without_masked(sample)
    return frame.render(
        "asset.html",
        title=detail.name,
        here="assets",
        asset=detail,
        grid=queries.results_by_run(state, detail.id) if detail.tests else None,
        has_impact=has_impact(detail),
        has_metrics=has_metrics(state, detail.id),
        alarms=quality_of.open_alarms(state, detail.id),
        promises=quality_of.promises_of(state, detail.id),
        chart=charts.run_times(detail.run_times),
        rows_chart=charts.rows_over_time(detail.rows),
        sample=sample,
        sample_error=error,
        profile=profiles.newest_profile(state, state.snapshot().index.catalog.assets[detail.id]),
        wanted=wanted,
        show_pii=with_pii,
        pii_allowed=state.allow_pii,
    )


def _without_masked(sample: Sample) -> Sample:
    """A file that is published has no column of personal data, not even a masked one."""
    kept = [place for place, name in enumerate(sample.columns) if name not in sample.masked]
    return sample.model_copy(
        update={
            "columns": tuple(sample.columns[place] for place in kept),
            "types": tuple(sample.types[place] for place in kept),
            "rows": tuple(tuple(row[place] for place in kept) for row in sample.rows),
        }
    )


def has_impact(detail: AssetDetail) -> bool:
    """Whether anything depends on an asset, so that there is a page that says what."""
    return bool(detail.downstream or detail.tests)


def profile(
    state: ServerState,
    frame: PageFrame,
    asset_id: str,
    *,
    column: str | None = None,
    run_id: str | None = None,
    against: str | None = None,
) -> str:
    """What is in a table, as a run kept it, beside another run; one column of it in full.

    A static page has all columns in full, up to a limit.
    """
    only = None if frame.links.is_static else column
    view = profiles.profile(state, asset_id, run_id=run_id, against=against, column=only)
    if not view.has_column:
        raise NotFoundError("the table has no such column", hint=f"see {view.name} as a whole")
    columns = view.profile.columns if view.profile else ()
    in_full = columns[:_STATIC_COLUMNS] if frame.links.is_static else ()
    if column is not None and not frame.links.is_static:
        in_full = tuple(one for one in columns if one.name == column)
    before = {one.name: one for one in view.before.columns} if view.before else {}
    moved: dict[tuple[str | None, str], tuple[float | None, ...]] = {
        (one.column, one.number): one.values for one in view.over_time
    }
    return frame.render(
        "profile.html",
        title=f"Profile of {view.name}",
        here="assets",
        view=view,
        column=column,
        columns=columns,
        in_full=[
            (
                one,
                before.get(one.name),
                charts.histograms(one, before.get(one.name)),
                {number: moved.get((one.name, number)) for number in NUMBERS},
            )
            for one in in_full
        ],
        moved=moved,
    )


def quality(state: ServerState, frame: PageFrame) -> str:
    """What is wrong now, trends, promises."""
    view = quality_of.quality(state)
    return frame.render(
        "quality.html",
        title="Quality",
        here="quality",
        view=view,
        strip=charts.tests_strip(view.runs),
        grid=queries.results_by_run(state),
    )


def metrics(
    state: ServerState, frame: PageFrame, asset_id: str, *, metric: str | None = None
) -> str:
    """The metrics of a table with their bands; one of them in full."""
    view = quality_of.metrics(state, asset_id, metric=None if frame.links.is_static else metric)
    return frame.render(
        "metrics.html",
        title=f"Metrics of {view.name}",
        here="quality",
        view=view,
        chart=charts.band(view.chosen.points) if view.chosen else None,
    )


def has_metrics(state: ServerState, asset_id: str) -> bool:
    """Whether a run measured a table."""
    store = state.store()
    return store is not None and asset_id in store.plans()


def has_profile(state: ServerState, asset_id: str) -> bool:
    """Whether a run kept a profile of an asset."""
    asset = state.snapshot().index.catalog.assets[asset_id]
    return profiles.newest_profile(state, asset) is not None


def lineage(
    state: ServerState, frame: PageFrame, *, asset_id: str | None = None, column: str | None = None
) -> str:
    """The graph, and the same as a table."""
    context: dict[str, Any] = {"root": None, "column": column, "graph": None, "nodes": {}}
    title = "Lineage"
    everything: list[tuple[AssetRef, list[AssetRef], dict[str, Any]]] | None = None
    now = state.snapshot()
    catalog = now.index.catalog
    if asset_id is not None:
        depth = None if column else _STEPS
        graph = queries.lineage(state, asset_id, column=column, depth=depth)
        nodes = {node.id: node for node in graph.nodes}
        if len(graph.links) > MAX_EDGES:
            graph = graph.model_copy(update={"links": graph.links[:MAX_EDGES], "truncated": True})
        root = nodes[asset_id]
        title = f"Lineage of {root.name}{'.' + column if column else ''}"
        context |= {"root": root, "graph": graph, "nodes": nodes, "column": graph.column}
    else:
        listed = graph_assets(catalog)
        if len(listed) <= MAX_TABLE:
            told = overlays(now)
            everything = [
                (
                    ref(one),
                    [ref(catalog.assets[key]) for key in catalog.parents[one.id]],
                    _told({name: values[place] for name, values in told.items()}),
                )
                for place, one in enumerate(listed)
            ]
    return frame.render(
        "lineage.html", title=title, here="lineage", everything=everything, **context
    )


def _told(values: dict[str, Any]) -> dict[str, Any]:
    """What the graph shows of a node, its time as a time."""
    at = values["freshness"]
    return {**values, "fresh": None if at is None else datetime.fromtimestamp(at, UTC)}


def impact(
    state: ServerState, frame: PageFrame, asset_id: str, *, column: str | None = None
) -> str:
    """What breaks if an asset, or one column of it, is removed."""
    report = queries.impact(state, asset_id, column=column)
    found = state.snapshot().index.catalog.assets
    groups: tuple[tuple[str, str, tuple[ImpactItem, ...]], ...] = (
        ("breaks", "Breaks", report.breaks),
        ("affected", "Has other values or rows", report.affected),
        ("exposures", "Is seen in", report.exposures),
    )
    name = found[asset_id].name
    return frame.render(
        "impact.html",
        title=f"What breaks without {name}{'.' + column if column else ''}",
        here="lineage",
        report=report,
        groups=groups,
        root=ref(found[asset_id]),
        names={key: ref(found[key]) for owner in report.owners for key in owner.assets},
        columns=[one.name for one in found[asset_id].columns],
    )


def comparison(state: ServerState, frame: PageFrame, *, wait: float = 0.0) -> tuple[str, bool]:
    """What a publish would change, and whether that is still being found out."""
    view = queries.comparison(state, wait=wait)
    now = state.snapshot()
    page = frame.render(
        "comparison.html",
        title="Published against built",
        view=view,
        report=view.report,
        assets={one.relation: ref(one) for one in now.index.order if one.is_relation},
        published_at=now.publication.published_at,
        build=now.build,
    )
    return page, view.status == "comparing"


def runs(state: ServerState, frame: PageFrame, *, limit: int = 100) -> str:
    """The list of runs."""
    return frame.render(
        "runs.html",
        title="Runs",
        here="runs",
        runs=(found := queries.runs(state, limit=limit).runs),
        strip=charts.run_strip(found[:_STRIP]),
        catalog_only=state.catalog_only,
    )


def run(state: ServerState, frame: PageFrame, run_id: str, *, offset: int = 0) -> str:
    """The page of a run."""
    detail = queries.run(state, run_id, offset=offset)
    return frame.render(
        "run.html",
        title=f"Run of {detail.run.started_at:%Y-%m-%d %H:%M}",
        here="runs",
        detail=detail,
        timeline=timeline(detail, state.snapshot().index.catalog),
        first=_first_nodes(detail),
    )


def _first_nodes(detail: RunDetail) -> frozenset[str]:
    """The nodes that are in the page at once: those that failed or warned, then the longest."""
    order = {"error": 0, "fail": 0, "warn": 1}
    chosen = sorted(detail.nodes, key=lambda one: (order.get(one.status, 2), -one.seconds))
    return frozenset(node.unique_id for node in chosen[:_FIRST_NODES])


def changes(
    state: ServerState, frame: PageFrame, *, days: int = 30, what: str = "", name: str = ""
) -> str:
    """What changed in the catalog, filtered by kind of change and by words of names."""
    found = queries.changes(state, days=days, limit=queries.MAX_CHANGES)
    words = name.casefold().split()
    listed = [
        one
        for one in found.changes
        if (not what or one.what == what)
        and all(word in f"{one.asset_name} {one.column or ''}".casefold() for word in words)
    ]
    return frame.render(
        "changes.html",
        title="Changes",
        here="changes",
        changes=found,
        shown=listed,
        days=days,
        what=what,
        name=name,
        whats=CHANGE_KINDS,
    )
