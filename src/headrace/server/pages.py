"""The pages of a running server. Each route reads its parameters and composes one page."""

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from headrace.server import compose, graph_data, queries
from headrace.server.links import ServerLinks
from headrace.server.render_html import Frame

if TYPE_CHECKING:
    from headrace.server.state import ServerState

PAGE = 100

Text = Annotated[str, Query(max_length=1000)]

Offset = Annotated[int, Query(ge=0, le=10_000_000)]

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


def _state(request: Request) -> "ServerState":
    state: ServerState = request.app.state.server
    return state


def frame(request: Request) -> Frame:
    """The frame of a page of this server, wherever it is mounted."""
    root = str(request.scope.get("root_path", "")).rstrip("/")
    return Frame(links=ServerLinks(root=f"{root}/"), project=_state(request).project)


@router.get("/")
def home(request: Request) -> HTMLResponse:
    """The first page."""
    return HTMLResponse(compose.home(_state(request), frame(request)))


@router.get("/assets")
def assets(
    request: Request,
    search: Text = "",
    kind: Text = "",
    tag: Text = "",
    owner: Text = "",
    schema: Text = "",
    offset: Offset = 0,
) -> HTMLResponse:
    """The list of assets."""
    query = compose.AssetQuery(search=search, kind=kind, tag=tag, owner=owner, schema=schema)
    page = compose.assets(_state(request), frame(request), query, offset=offset, limit=PAGE)
    return HTMLResponse(page)


@router.get("/assets/{asset_id:path}")
def asset(
    request: Request, asset_id: str, *, sample: bool = False, pii: bool = False
) -> HTMLResponse:
    """The page of an asset."""
    state = _state(request)
    detail = queries.asset(state, asset_id)
    page = compose.asset(state, frame(request), detail, with_sample=sample, with_pii=pii)
    return HTMLResponse(page)


@router.get("/lineage")
def lineage(request: Request, asset: Text = "", column: Text = "") -> HTMLResponse:
    """The graph."""
    page = compose.lineage(
        _state(request), frame(request), asset_id=asset or None, column=column or None
    )
    return HTMLResponse(page)


@router.get("/impact")
def impact(request: Request, asset: Text = "", column: Text = "") -> Response:
    """What breaks if an asset, or a column of it, goes."""
    if not asset:
        return RedirectResponse(frame(request).links.page("assets"))
    page = compose.impact(_state(request), frame(request), asset, column=column or None)
    return HTMLResponse(page)


@router.get("/runs")
def runs(request: Request) -> HTMLResponse:
    """The list of runs."""
    return HTMLResponse(compose.runs(_state(request), frame(request), limit=PAGE))


@router.get("/runs/{run_id:path}")
def run(request: Request, run_id: str, *, offset: Offset = 0) -> HTMLResponse:
    """The page of a run."""
    return HTMLResponse(compose.run(_state(request), frame(request), run_id, offset=offset))


@router.get("/changes")
def changes(
    request: Request,
    days: Annotated[int, Query(ge=1, le=queries.MAX_DAYS)] = 30,
    what: Text = "",
    name: Text = "",
) -> HTMLResponse:
    """What changed in the catalog."""
    page = compose.changes(_state(request), frame(request), days=days, what=what, name=name)
    return HTMLResponse(page)


@router.get("/data/{name}.json")
def data(request: Request, name: Literal["graph", "columns"]) -> Response:
    """The graph, or the columns and their edges, for the page's scripts."""
    now = _state(request).snapshot()
    tag = f'"{now.token}-{name}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    kept: dict[str, bytes] = getattr(request.app.state, "page_data", {})
    content = kept.get(tag)
    if content is None:
        if name == "graph":
            content = graph_data.graph_json(now, links=ServerLinks(root=""))
        else:
            content = graph_data.column_json(now)
        current = {key: made for key, made in kept.items() if now.token in key}
        request.app.state.page_data = {**current, tag: content}
    return Response(content, media_type="application/json", headers=headers)


def login_page(
    request: Request, *, action: str, next_path: str = "", error: str | None = None
) -> str:
    """The page that asks for the token; the form posts ``token`` and ``next`` to ``action``."""
    return frame(request).render(
        "login.html", title="Sign in", action=action, next=next_path, error=error
    )


def error_page(
    request: Request, *, status: int, title: str, detail: str, hint: str | None = None
) -> str:
    """The page of an error."""
    return frame(request).render("error.html", title=title, status=status, detail=detail, hint=hint)
