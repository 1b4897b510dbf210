"""The REST routes: each parses its parameters, calls ``queries``, and returns the view as JSON.

Ids travel in the query (``/api/v1/asset?id=...``), not in the path: they hold slashes, dots and
whatever else a name may hold, and proxies and browsers rewrite paths (``..``, ``//``, ``%2F``).
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from headrace.lineage.report import ImpactReport, LineageGraph
from headrace.server import models, profiles, quality, queries
from headrace.server.comparison import ComparisonView
from headrace.server.errors import MEDIA_TYPE
from headrace.server.events import EventStream, EventStreams
from headrace.server.profiles import ProfileView
from headrace.server.quality import MetricsView, QualityView
from headrace.server.response_cache import ResponseCache
from headrace.server.row_query import RowFilter
from headrace.server.state import MAX_RUNS

MAX_ID = 1000
_RUN_ID = r"^[A-Za-z0-9_.:-]{1,80}$"

_PROBLEM: dict[str, Any] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_ERRORS: dict[int | str, dict[str, Any]] = {
    304: {"description": "Not changed (`If-None-Match`)."},
    401: {"description": "A token is required.", "content": _PROBLEM},
    422: {"description": "A parameter is wrong.", "content": _PROBLEM},
    429: {"description": "Too many wrong tokens; see `Retry-After`.", "content": _PROBLEM},
    503: {
        "description": "The server is starting, or the run store cannot be read.",
        "content": _PROBLEM,
    },
}
_MISSING: dict[int | str, dict[str, Any]] = {
    404: {"description": "It does not exist.", "content": _PROBLEM}
}
_FORBIDDEN: dict[int | str, dict[str, Any]] = {
    403: {"description": "This server does not show personal data.", "content": _PROBLEM}
}

router = APIRouter(prefix="/api/v1", responses=_ERRORS)
health = APIRouter()

AssetId = Annotated[
    str,
    Query(
        alias="id",
        min_length=1,
        max_length=MAX_ID,
        description="The asset's id, as `/api/v1/search` and `/api/v1/assets` give it.",
        examples=["model.headrace.orders"],
    ),
]
ColumnName = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=MAX_ID,
        description="One of its columns; else the asset as a whole.",
        examples=["amount"],
    ),
]
Offset = Annotated[int, Query(ge=0, le=10_000_000, description="How many to skip.")]


def _responses(request: Request) -> ResponseCache:
    found: ResponseCache = request.app.state.responses
    return found


Cache = Annotated[ResponseCache, Depends(_responses)]


@health.get("/healthz", tags=["health"], summary="Whether the server responds")
async def healthz() -> models.Health:
    """Needs no token, and says nothing about the project."""
    return models.Health()


@router.get("/home", tags=["project"], summary="The project's status", response_model=models.Home)
async def home(request: Request, cache: Cache) -> Response:
    """Last runs, freshness of sources, tests that fail, what is published, and counts."""
    return await cache.respond(request, lambda: queries.home(cache.state))


@router.get("/assets", tags=["assets"], summary="A page of assets", response_model=models.AssetPage)
async def assets(
    request: Request,
    cache: Cache,
    search: Annotated[
        str,
        Query(
            max_length=200,
            description="Beginnings of words, all of which must match; empty: all assets.",
            examples=["orders"],
        ),
    ] = "",
    kind: Annotated[
        str | None,
        Query(
            max_length=20,
            description="One of `resource`, `table`, `model`, `snapshot`, `seed`, `exposure`, "
            "`test`, `unit_test`; else all but the last two.",
            examples=["model"],
        ),
    ] = None,
    tag: Annotated[
        str | None, Query(max_length=200, description="Only those with this tag.")
    ] = None,
    owner: Annotated[
        str | None, Query(max_length=200, description="Only those of this owner.")
    ] = None,
    schema: Annotated[
        str | None,
        Query(max_length=200, description="Only those of this schema.", examples=["marts"]),
    ] = None,
    sort: Annotated[
        str,
        Query(
            pattern=f"^(-?({'|'.join(queries.SORTS)}))?$",
            description=f"By {', '.join(f'`{one}`' for one in queries.SORTS)}, with `-` before it "
            "downwards; else the best first.",
            examples=["-columns"],
        ),
    ] = "",
    offset: Offset = 0,
    limit: Annotated[
        int,
        Query(ge=1, le=queries.MAX_PAGE, description="How many at most; `total` says of how many."),
    ] = 50,
) -> Response:
    """The best first: that very name, then marts, then what is read most; of a `search` 1,000."""
    return await cache.respond(
        request,
        lambda: queries.assets(
            cache.state,
            search=search,
            kind=kind,
            tag=tag,
            owner=owner,
            schema=schema,
            sort=sort,
            offset=offset,
            limit=limit,
        ),
    )


@router.get(
    "/asset",
    tags=["assets"],
    summary="One asset",
    response_model=models.AssetDetail,
    responses=_MISSING,
)
async def asset(request: Request, cache: Cache, asset_id: AssetId) -> Response:
    """Columns, tests with their history, SQL, run times, neighbours, freshness, last changes."""
    return await cache.respond(request, lambda: queries.asset(cache.state, asset_id), reads="store")


@router.get(
    "/sample",
    tags=["assets"],
    summary="Rows of a published asset",
    response_model=models.Sample,
    responses=_MISSING | _FORBIDDEN,
)
async def sample(
    request: Request,
    cache: Cache,
    asset_id: AssetId,
    limit: Annotated[int, Query(ge=1, le=queries.MAX_SAMPLE, description="How many rows.")] = 10,
    pii: Annotated[
        bool, Query(description="Show personal data; the server must allow it (`--allow-pii`).")
    ] = False,
    search: Annotated[
        str, Query(max_length=200, description="Only rows that hold this text, in any case.")
    ] = "",
    column: Annotated[
        str | None, Query(max_length=200, description="The column to search; by default, all.")
    ] = None,
    sort: Annotated[
        str | None, Query(max_length=200, description="The column to sort the table by.")
    ] = None,
    descending: Annotated[bool, Query(description="The greatest first.")] = False,
) -> Response:
    """From the published file alone: a sample of the whole table, or the rows that are asked for.

    Columns of personal data are masked; rows are neither searched nor sorted by them.
    """
    wanted = RowFilter(search, column, sort, descending)
    return await cache.respond(
        request,
        lambda: queries.sample(cache.state, asset_id, limit=limit, pii=pii, wanted=wanted),
        reads="file",
    )


@router.get(
    "/profile",
    tags=["quality"],
    summary="What is in a table, and how it moved",
    response_model=ProfileView,
    responses=_MISSING,
)
async def profile(
    request: Request,
    cache: Cache,
    asset_id: AssetId,
    run_id: Annotated[
        str | None,
        Query(alias="run", pattern=_RUN_ID, description="The run that kept it; else the newest."),
    ] = None,
    against: Annotated[
        str | None,
        Query(pattern=_RUN_ID, description="The run to compare with; else the one before."),
    ] = None,
    column: ColumnName = None,
) -> Response:
    """As a run kept it, beside another: nulls, values, ranges, histograms, top values, shapes.

    Values of personal data are never in it.
    """
    return await cache.respond(
        request,
        lambda: profiles.profile(
            cache.state, asset_id, run_id=run_id, against=against, column=column
        ),
        reads="store",
    )


@router.get(
    "/quality",
    tags=["quality"],
    summary="What is wrong now, what moved, and which promises are kept",
    response_model=QualityView,
)
async def project_quality(request: Request, cache: Cache) -> Response:
    """Alarms of monitors, tests, verdicts, freshness, contracts, and tests by run."""
    return await cache.respond(request, lambda: quality.quality(cache.state), reads="store")


@router.get(
    "/metrics",
    tags=["quality"],
    summary="The metrics of a table with their bands",
    response_model=MetricsView,
    responses=_MISSING,
)
async def metrics(
    request: Request,
    cache: Cache,
    asset_id: AssetId,
    metric: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=MAX_ID,
            description="One that is wanted in full.",
            examples=["amount.mean"],
        ),
    ] = None,
) -> Response:
    """The newest values of each, its band, and the alarms; of one metric all periods."""
    return await cache.respond(
        request, lambda: quality.metrics(cache.state, asset_id, metric=metric), reads="store"
    )


@router.get(
    "/lineage",
    tags=["lineage"],
    summary="The lineage of an asset or a column",
    response_model=LineageGraph,
    responses=_MISSING,
)
async def lineage(
    request: Request,
    cache: Cache,
    asset_id: AssetId,
    column: ColumnName = None,
    direction: Annotated[
        Literal["upstream", "downstream", "both"],
        Query(
            description="Upstream: what it is made from; downstream: what is made from it; or both."
        ),
    ] = "both",
    depth: Annotated[
        int | None, Query(ge=1, le=1000, description="How many steps; else all.")
    ] = None,
) -> Response:
    """The same as `headrace lineage --json`."""
    return await cache.respond(
        request,
        lambda: queries.lineage(
            cache.state, asset_id, column=column, direction=direction, depth=depth
        ),
        reads="graph",
    )


@router.get(
    "/impact",
    tags=["lineage"],
    summary="What breaks if an asset or a column is removed",
    response_model=ImpactReport,
    responses=_MISSING,
)
async def impact(
    request: Request, cache: Cache, asset_id: AssetId, column: ColumnName = None
) -> Response:
    """The same as `headrace lineage --impact --json`."""
    return await cache.respond(
        request, lambda: queries.impact(cache.state, asset_id, column=column), reads="graph"
    )


@router.get(
    "/comparison",
    tags=["assets"],
    summary="What a publish of the newest build would change",
)
async def comparison(
    cache: Cache,
    wait: Annotated[
        float, Query(ge=0, le=30, description="Seconds to wait for it, if it has to be made.")
    ] = 5,
) -> ComparisonView:
    """By table: rows, columns and values, with masked samples. It is made in the background."""
    await queries.compared(cache.state, wait=wait)
    return queries.comparison(cache.state)


@router.get("/runs", tags=["runs"], summary="The newest runs", response_model=models.RunList)
async def runs(
    request: Request,
    cache: Cache,
    limit: Annotated[int, Query(ge=1, le=MAX_RUNS, description="How many runs.")] = 50,
) -> Response:
    """The newest first."""
    return await cache.respond(request, lambda: queries.runs(cache.state, limit=limit))


@router.get(
    "/run",
    tags=["runs"],
    summary="One run",
    response_model=models.RunDetail,
    responses=_MISSING,
)
async def run(
    request: Request,
    cache: Cache,
    run_id: Annotated[str, Query(alias="id", pattern=_RUN_ID, description="The run's id.")],
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of its nodes.")] = 50,
) -> Response:
    """Steps, loads, a page of its nodes, all that failed, and lines of the log."""
    return await cache.respond(
        request,
        lambda: queries.run(cache.state, run_id, offset=offset, limit=limit),
        reads="store",
    )


@router.get(
    "/changes",
    tags=["changes"],
    summary="What changed in the catalog",
    response_model=models.Changes,
)
async def changes(
    request: Request,
    cache: Cache,
    days: Annotated[int, Query(ge=1, le=queries.MAX_DAYS, description="Whole days, UTC.")] = 30,
    asset_id: Annotated[
        str | None, Query(alias="id", max_length=MAX_ID, description="Only of this asset.")
    ] = None,
    limit: Annotated[
        int, Query(ge=1, le=queries.MAX_CHANGES, description="How many changes.")
    ] = 500,
) -> Response:
    """Columns and assets that were added, removed or changed type; tests; descriptions; code."""
    return await cache.respond(
        request,
        lambda: queries.changes(cache.state, days=days, asset_id=asset_id, limit=limit),
    )


@router.get(
    "/search",
    tags=["assets"],
    summary="Assets and columns by words",
    response_model=models.SearchResult,
)
async def search(
    request: Request,
    cache: Cache,
    text: Annotated[
        str,
        Query(
            alias="q",
            max_length=200,
            description="Beginnings of words.",
            examples=["orders amount"],
        ),
    ],
    limit: Annotated[int, Query(ge=1, le=100, description="How many hits.")] = 20,
) -> Response:
    """In names, relations, columns, tags, owners and descriptions; every word must match."""
    return await cache.respond(request, lambda: queries.search(cache.state, text, limit=limit))


@router.get(
    "/events",
    tags=["project"],
    summary="What is new, as it comes (server-sent events)",
    response_class=EventStream,
)
async def events(
    request: Request,
    since: Annotated[
        str,
        Query(max_length=80, description="The id of the last event; `Last-Event-ID` is it, too."),
    ] = "",
) -> Response:
    """`changed` when any response may be another one, `progress` while a run is in progress.

    No event holds data: ask again for what you show. A stream ends after ten minutes at most.
    """
    streams: EventStreams = request.app.state.streams
    return streams.response(request.headers.get("last-event-id", since)[:80])
