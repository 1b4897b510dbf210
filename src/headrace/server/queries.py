"""One function for each question; the REST API, the pages and the static site all call these.

Each takes the state and returns a frozen view. A missing asset is a ``NotFoundError``,
what may not be shown a ``ForbiddenError``
(all in ``headrace.server.errors``). Callers check the limits of parameters.
"""

import difflib
import re
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import TYPE_CHECKING, Literal

from headrace.catalog.evidence import RowCount
from headrace.catalog.model import Asset
from headrace.catalog.pii import why_masked
from headrace.server import models, view_builder
from headrace.server.comparison import ComparisonView
from headrace.server.errors import ForbiddenError, NotFoundError
from headrace.server.home import hint, home
from headrace.server.row_query import ALL_ROWS, RowFilter
from headrace.server.search import hits_of, words_of
from headrace.server.snapshot import SORTS, ProjectSnapshot, sorted_assets
from headrace.server.state import MAX_RUNS, ServerState
from headrace.server.store import ServerStore, lines_of
from headrace.server.timeline import critical_path
from headrace.server.why import last_good, why

if TYPE_CHECKING:
    from headrace.lineage.find import NodeRef
    from headrace.lineage.report import ImpactReport, LineageGraph

MAX_PAGE = 500
MAX_SAMPLE = 50
MAX_NODES = 20_000
MAX_DAYS = 365
MAX_CHANGES = 1000
MAX_DIFFS = 40
_AGAIN_SECONDS = 0.05
_RUN_TIMES = 50
_TEST_HISTORY = 10
_LAST_GOOD = 20
_GRID_RUNS = 20
_GRID_TESTS = 20
_ROW_COUNTS = 60
_COMPARED = 5000
_PROPOSED = 5

_RUN_ID = re.compile(r"[A-Za-z0-9_.:-]{1,80}")

Direction = Literal["upstream", "downstream", "both"]

__all__ = [
    "MAX_CHANGES",
    "MAX_DAYS",
    "MAX_NODES",
    "MAX_PAGE",
    "MAX_SAMPLE",
    "SORTS",
    "Direction",
    "asset",
    "assets",
    "changes",
    "compared",
    "comparison",
    "home",
    "impact",
    "lineage",
    "results_by_run",
    "run",
    "runs",
    "sample",
    "search",
]  # fmt: skip


def assets(
    state: ServerState,
    *,
    search: str = "",
    kind: str | None = None,
    tag: str | None = None,
    owner: str | None = None,
    schema: str | None = None,
    sort: str = "",
    offset: int = 0,
    limit: int = 50,
) -> models.AssetPage:
    """A page of assets, the best first; ``kind=None`` leaves tests out.

    Args:
        state: what is shown.
        search: beginnings of words, all of which must match.
        kind: of which kind; and so on for the filters that follow.
        tag: with this tag.
        owner: of this owner.
        schema: in this schema.
        sort: one of ``SORTS``, with ``-`` before it downwards; else by rank.
        offset: how many to skip.
        limit: how many at most.
    """
    now = state.snapshot()
    index = now.index
    filters = {"kind": kind, "tag": tag, "owner": owner, "schema": schema}
    found = index.members({what: value for what, value in filters.items() if value is not None})
    if words_of(search):
        allowed = found if isinstance(found, range) else frozenset(found)
        found = [position for position in index.search.find(search) if position in allowed]
    if kind is None and not isinstance(found, range):
        found = [position for position in found if position < index.tests_from]
    elif kind is None:
        found = range(index.tests_from)
    if sort.removeprefix("-") in SORTS:
        found = sorted_assets(now, found, sort)
    words = words_of(search)
    return models.AssetPage(
        assets=tuple(
            view_builder.summary(now, index.order[position], words)
            for position in found[offset : offset + limit]
        ),
        total=len(found),
        offset=offset,
        limit=limit,
        kinds=index.facets["kind"],
        tags=index.facets["tag"],
        owners=index.facets["owner"],
        schemas=index.facets["schema"],
    )


def asset(state: ServerState, asset_id: str) -> models.AssetDetail:
    """All about an asset.

    Raises:
        NotFoundError: there is none of this id.
        RunStoreError: its history cannot be read.
    """
    now = state.snapshot()
    found = _asset(now, asset_id)
    store = state.store()
    histories = (
        store.histories(
            found.dbt_id or found.id,
            now.index.catalog.tests_of.get(asset_id, ()),
            most=_RUN_TIMES,
            of_others=_TEST_HISTORY,
        )
        if store is not None
        else {}
    )
    detail = view_builder.detail(now, found, histories, _rows(now, store, found))
    if store is None or not found.is_test:
        return detail
    return detail.model_copy(update={"why": why(now, store, found.dbt_id or found.id)})


def _rows(now: ProjectSnapshot, store: ServerStore | None, asset: Asset) -> list[RowCount]:
    """The rows of a table over time, newest first; empty of what has none."""
    if store is None or not asset.is_relation:
        return []
    if asset.kind != "table":
        return store.rows_of_model(asset.dbt_id or asset.id, _ROW_COUNTS)
    loaded = now.verdicts.loads.get(asset.id)
    source = loaded.source if loaded else now.index.catalog.source_of(asset)
    name = loaded.table if loaded else asset.identifier or asset.name
    return store.rows_of_raw(source, name, _ROW_COUNTS) if source else []


def sample(
    state: ServerState,
    asset_id: str,
    *,
    limit: int = 10,
    pii: bool = False,
    wanted: RowFilter = ALL_ROWS,
) -> models.Sample:
    """Rows of the published table of an asset; personal data is masked unless asked and allowed.

    Raises:
        RequestError: rows are filtered or sorted by a column that is not there, or masked.
        NotFoundError: there is no such asset, or it is not published.
        ForbiddenError: personal data is asked for and this server does not show it.
        UnavailableError: the published file cannot be read now.
    """
    now = state.snapshot()
    found = _asset(now, asset_id)
    if pii and not state.allow_pii:
        raise ForbiddenError(
            "this server does not show personal data",
            hint="whoever runs it can start it with --allow-pii",
        )
    table = now.table_of(asset_id)
    if table is None:
        raise NotFoundError(
            "this asset is not published, so there are no rows to show",
            hint="publish.schemas says what `headrace publish` publishes",
        )
    index = now.index

    def is_hidden(name: str) -> bool:
        is_read = asset_id not in index.problems
        return not pii and bool(
            why_masked(index.catalog, index.personal, asset_id, found.column(name), is_read=is_read)
        )

    rows = state.published.rows(
        table, limit=min(limit, MAX_SAMPLE), is_hidden=is_hidden, wanted=wanted
    )
    return models.Sample(
        id=found.id,
        relation=f"{table.schema}.{table.name}",
        columns=rows.columns,
        types=rows.types,
        masked=rows.masked,
        rows=rows.rows,
        limit=limit,
        total=table.rows,
        pii_allowed=state.allow_pii,
    )


def runs(state: ServerState, *, limit: int = 50) -> models.RunList:
    """The newest runs; at most 500 are known."""
    now = state.snapshot()
    limit = min(limit, MAX_RUNS)
    return models.RunList(
        runs=tuple(view_builder.run_line(now, run) for run in now.runs[:limit]), limit=limit
    )


def run(
    state: ServerState, run_id: str, *, offset: int = 0, limit: int = MAX_NODES
) -> models.RunDetail:
    """All about a run, as it is now; of its nodes those from ``offset`` on, at most ``limit``.

    Raises:
        NotFoundError: there is none of this id.
        RunStoreError: the run store cannot be read.
    """
    now = state.snapshot()
    found = state.run(run_id) if _RUN_ID.fullmatch(run_id) else None
    store = state.store()
    if store is None or found is None:
        raise NotFoundError("there is no such run", hint="/api/v1/runs lists the runs")
    nodes = store.nodes_of(run_id, offset=offset, limit=limit)
    failed = {one.unique_id for one in found.failed}
    nodes.sort(key=lambda node: node.started_at or found.run.started_at)
    views = tuple(view_builder.node(now, one, failed) for one in nodes)
    is_whole = len(views) == found.nodes
    return models.RunDetail(
        run=view_builder.run_line(now, found.run),
        steps=tuple(view_builder.step(now, one) for one in found.steps),
        loads=tuple(view_builder.load(now, one) for one in found.loads),
        nodes=views,
        nodes_total=found.nodes,
        offset=offset,
        limit=limit,
        errors=tuple(view_builder.node(now, one) for one in found.failed),
        last_good=last_good(store, [one.unique_id for one in found.failed[:_LAST_GOOD]]),
        log=lines_of(state.log_file, run_id, root=now.root) if state.log_file else (),
        critical_path=critical_path(views, now.index.catalog) if is_whole else (),
        now=view_builder.run_now(state.progress.read(), found.run),
    )


def results_by_run(state: ServerState, asset_id: str | None = None) -> models.TestGrid | None:
    """Tests by run, over the newest runs that ran tests; None where there are fewer than two.

    Args:
        state: what is asked.
        asset_id: an asset, for all tests of it; None for the tests that were bad in these runs.

    Raises:
        RunStoreError: the run store cannot be read.
    """
    now, store = state.snapshot(), state.store()
    if store is None:
        return None
    catalog = now.index.catalog
    of_asset = None if asset_id is None else catalog.tests_of.get(asset_id, ())
    runs, found = store.test_results(of_asset, most=_GRID_RUNS)
    known = [key for key in found if key in catalog.assets]
    if len(runs) < 2 or not known:
        return None
    bad = {test.id for test in now.bad_tests}
    known.sort(key=lambda key: (key not in bad, catalog.assets[key].name))
    lines = {run.run_id: run for run in now.runs}
    shown = [run for run in reversed(runs) if run in lines]
    return models.TestGrid(
        runs=tuple(
            models.RunAt(
                run_id=run,
                started_at=lines[run].started_at,
                code_version=lines[run].code_version,
            )
            for run in shown
        ),
        tests=tuple(
            models.TestRow(
                id=key,
                name=catalog.assets[key].name,
                results=tuple(found[key].get(run) for run in shown),
            )
            for key in known[:_GRID_TESTS]
        ),
        more=max(0, len(known) - _GRID_TESTS),
    )


def changes(
    state: ServerState,
    *,
    days: int = 30,
    asset_id: str | None = None,
    limit: int = 500,
    diffs: int = MAX_DIFFS,
) -> models.Changes:
    """What changed in the catalog since the beginning (UTC) of the day ``days`` days ago.

    The newest 200 versions of the catalog, and 20,000 changes, are known. The newest ``diffs``
    changes have the lines of code that changed.
    """
    now = state.snapshot()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = today - timedelta(days=days)
    known = now.changes if asset_id is None else now.changes_of.get(asset_id, ())
    found = [one for one in known if one.created_at >= since]
    return models.Changes(
        since=since,
        asset=asset_id,
        changes=tuple(
            view_builder.change(now, one, with_diff=number < diffs)
            for number, one in enumerate(found[:limit])
        ),
        truncated=len(found) > limit,
        versions=sum(1 for version in now.versions if version.created_at >= since),
    )


def search(state: ServerState, text: str, *, limit: int = 20) -> models.SearchResult:
    """Assets and columns by words in names, descriptions, tags and owners."""
    index = state.snapshot().index
    found, words = index.search.find(text), words_of(text)
    hits = chain.from_iterable(hits_of(index.order[position], words) for position in found)
    return models.SearchResult(query=text, hits=tuple(islice(hits, limit)), total=len(found))


def lineage(
    state: ServerState,
    asset_id: str,
    *,
    column: str | None = None,
    direction: Direction = "both",
    depth: int | None = None,
) -> "LineageGraph":
    """The lineage of an asset or of one column of it.

    Raises:
        NotFoundError: there is no such asset or column.
    """
    from headrace.lineage.trace import trace

    now = state.snapshot()
    return trace(
        now.index.catalog, _node_ref(now, asset_id, column), direction=direction, depth=depth
    )


def impact(state: ServerState, asset_id: str, *, column: str | None = None) -> "ImpactReport":
    """What breaks if an asset, or one column of it, is removed.

    Raises:
        NotFoundError: there is no such asset or column.
    """
    from headrace.lineage.impact import impact as impact_of

    now = state.snapshot()
    return impact_of(now.index.catalog, _node_ref(now, asset_id, column))


def proposals(state: ServerState, asked: str) -> list[models.AssetRef]:
    """The assets whose names are spelled most like the end of an id or address that is not known.

    Tests are left out, and of a very large catalog only the first names are compared.
    """
    name = asked.rstrip("/").rpartition("/")[2].rpartition(".")[2].casefold()[:200]
    assets = [one for one in state.snapshot().index.catalog.assets.values() if not one.is_test]
    by_name: dict[str, list[Asset]] = {}
    for one in assets[:_COMPARED]:
        by_name.setdefault(one.name.casefold(), []).append(one)
    near = difflib.get_close_matches(name, by_name, n=_PROPOSED, cutoff=0.5) if name else []
    found = [one for text in near for one in by_name[text]]
    return [view_builder.ref(one) for one in found[:_PROPOSED]]


async def compared(state: ServerState, *, wait: float) -> None:
    """Wait so many seconds for a comparison, in no thread that others need."""
    from anyio import move_on_after, sleep

    with move_on_after(wait):
        while comparison(state).status == "comparing":
            await sleep(_AGAIN_SECONDS)


def comparison(state: ServerState, *, wait: float = 0.0) -> ComparisonView:
    """What a publish of the newest build would change; see `Comparison.view`."""
    if state.comparison is None:
        return ComparisonView(
            status="unavailable",
            why="This page shows a dbt project that Headrace does not publish.",
        )
    return state.comparison.view(wait=wait)


def _asset(now: ProjectSnapshot, asset_id: str) -> Asset:
    found = now.index.catalog.assets.get(asset_id)
    if found is None:
        raise NotFoundError(
            "there is no such asset", hint=hint(now) or "/api/v1/search finds assets by words"
        )
    return found


def _node_ref(now: ProjectSnapshot, asset_id: str, column: str | None) -> "NodeRef":
    from headrace.lineage.find import NodeRef

    found = _asset(now, asset_id)
    if column is None:
        return NodeRef(asset=asset_id, column=None)
    known = found.column(column)
    if known is None:
        raise NotFoundError("the asset has no such column", hint="/api/v1/asset lists its columns")
    return NodeRef(asset=asset_id, column=known.name)
