"""The routes of the pages: each reads its parameters and sends one page."""

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from headrace.server import graph_data, pages, queries
from headrace.server.metrics import MEDIA_TYPE, Metrics
from headrace.server.rendering import ServerLinks, frame_of
from headrace.server.response_cache import ResponseCache
from headrace.server.row_query import RowFilter

if TYPE_CHECKING:
    from headrace.server.state import ServerState

PAGE = 100
QUICK = 0.5  # seconds that a page waits for a comparison before it says that one is made

Text = Annotated[str, Query(max_length=1000)]

Offset = Annotated[int, Query(ge=0, le=10_000_000)]

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


def _state(request: Request) -> "ServerState":
    state: ServerState = request.app.state.server
    return state


@router.get("/")
def home(request: Request) -> HTMLResponse:
    """The first page."""
    return HTMLResponse(pages.home(_state(request), frame_of(request)))


@router.get("/assets")
def assets(
    request: Request,
    search: Text = "",
    kind: Text = "",
    tag: Text = "",
    owner: Text = "",
    schema: Text = "",
    sort: Text = "",
    offset: Offset = 0,
) -> HTMLResponse:
    """The list of assets."""
    query = pages.AssetQuery(
        search=search, kind=kind, tag=tag, owner=owner, schema=schema, sort=sort
    )
    page = pages.assets(_state(request), frame_of(request), query, offset=offset, limit=PAGE)
    return HTMLResponse(page)


@router.get("/assets/{asset_id:path}")
def asset(
    request: Request,
    asset_id: str,
    *,
    sample: bool = False,
    pii: bool = False,
    rows: Text = "",
    column: Text = "",
    sort: Text = "",
    descending: bool = False,
) -> HTMLResponse:
    """The page of an asset."""
    state = _state(request)
    detail = queries.asset(state, asset_id)
    wanted = RowFilter(rows.strip(), column or None, sort or None, descending)
    page = pages.asset(
        state, frame_of(request), detail, with_sample=sample, with_pii=pii, wanted=wanted
    )
    return HTMLResponse(page)


@router.get("/profile")
def profile(
    request: Request, asset: Text = "", column: Text = "", run: Text = "", against: Text = ""
) -> Response:
    """What is in a table, as a run kept it, beside another run."""
    if not asset:
        return RedirectResponse(frame_of(request).links.page("assets"))
    page = pages.profile(
        _state(request),
        frame_of(request),
        asset,
        column=column or None,
        run_id=run or None,
        against=against or None,
    )
    return HTMLResponse(page)


@router.get("/quality")
def quality(request: Request) -> HTMLResponse:
    """What is wrong now, trends, promises."""
    return HTMLResponse(pages.quality(_state(request), frame_of(request)))


@router.get("/metrics")
def metrics(request: Request, asset: Text = "", metric: Text = "") -> Response:
    """The metrics of a table with their bands; without a table, those of runs for Prometheus."""
    if not asset:
        of_runs: Metrics = request.app.state.metrics
        return Response(of_runs.text(), media_type=MEDIA_TYPE)
    page = pages.metrics(_state(request), frame_of(request), asset, metric=metric or None)
    return HTMLResponse(page)


@router.get("/lineage")
def lineage(request: Request, asset: Text = "", column: Text = "") -> HTMLResponse:
    """The graph."""
    page = pages.lineage(
        _state(request), frame_of(request), asset_id=asset or None, column=column or None
    )
    return HTMLResponse(page)


@router.get("/impact")
def impact(request: Request, asset: Text = "", column: Text = "") -> Response:
    """What breaks if an asset, or a column of it, is removed."""
    if not asset:
        return RedirectResponse(frame_of(request).links.page("assets"))
    page = pages.impact(_state(request), frame_of(request), asset, column=column or None)
    return HTMLResponse(page)


@router.get("/comparison")
async def comparison(request: Request) -> HTMLResponse:
    """What a publish would change; 202 while that is found out: the page asks again."""
    await queries.compared(_state(request), wait=QUICK)
    page, is_made = pages.comparison(_state(request), frame_of(request))
    return HTMLResponse(page, 202 if is_made else 200)


@router.get("/runs")
def runs(request: Request) -> HTMLResponse:
    """The list of runs."""
    return HTMLResponse(pages.runs(_state(request), frame_of(request), limit=PAGE))


@router.get("/runs/{run_id:path}")
def run(request: Request, run_id: str, *, offset: Offset = 0) -> HTMLResponse:
    """The page of a run."""
    return HTMLResponse(pages.run(_state(request), frame_of(request), run_id, offset=offset))


@router.get("/changes")
def changes(
    request: Request,
    days: Annotated[int, Query(ge=1, le=queries.MAX_DAYS)] = 30,
    what: Text = "",
    name: Text = "",
) -> HTMLResponse:
    """What changed in the catalog."""
    page = pages.changes(_state(request), frame_of(request), days=days, what=what, name=name)
    return HTMLResponse(page)


@router.get("/data/{name}.json")
async def data(request: Request, name: Literal["graph", "columns"]) -> Response:
    """The graph, or the columns and their edges, for the page's scripts."""
    cache: ResponseCache = request.app.state.responses

    def made() -> bytes:
        now = cache.state.snapshot()
        if name == "graph":
            return graph_data.graph_json(now, links=ServerLinks(root=""))
        return graph_data.column_json(now)

    return await cache.respond(request, made, reads="graph")
