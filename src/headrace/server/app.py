"""The FastAPI app: routes, error handlers and middleware over one state."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from headrace import __version__
from headrace.errors import RunStoreError, UserError
from headrace.server import api, models, page_routes, queries
from headrace.server.access import Access
from headrace.server.errors import RequestError, UnavailableError, problem, problem_response
from headrace.server.events import EventStreams
from headrace.server.metrics import Metrics
from headrace.server.rendering import STATIC
from headrace.server.response_cache import ResponseCache
from headrace.server.security import SecurityMiddleware
from headrace.server.state import ServerState

_TAGS = [
    {"name": "project", "description": "The project's status."},
    {"name": "assets", "description": "Resources, tables, models, seeds, snapshots, exposures."},
    {"name": "lineage", "description": "Where values come from, and what is made from them."},
    {"name": "runs", "description": "The history of runs."},
    {"name": "changes", "description": "The history of the catalog."},
    {"name": "health", "description": "For monitoring."},
]
_DESCRIPTION = """\
The catalog, the history of runs and a few rows of what is published; read-only.

Where to begin: `/api/v1/home` gives the project's status in its `headline`, and what is published.
`/api/v1/search?q=words` finds an asset; its `id` is what `/api/v1/asset`, `/api/v1/lineage`,
`/api/v1/impact`, `/api/v1/profile`, `/api/v1/metrics` and `/api/v1/sample` ask for.
`/api/v1/quality` is what is wrong with the data now. `/api/v1/runs` lists runs, `/api/v1/run?id=`
says what failed in one, with its log. `/api/v1/changes?days=1` is what changed since yesterday.
`/api/v1/comparison` is what a publish would change. `/api/v1/events` says as it happens when to
ask again.

Ids are those of the catalog: dbt's `unique_id`, `resource.<source>.<name>`,
`table.<schema>.<name>`. Times are UTC, durations are seconds, `null` means unknown or missing.
Lists are paged with `offset` and `limit`. Every response but a comparison has an
`ETag`; every error is a `Problem` (RFC 9457, `application/problem+json`) whose `hint` says what to
do.
"""
_THREADS = 2
_log = logging.getLogger("headrace.server")


def create_app(state: ServerState, access: Access) -> FastAPI:
    """The app over a state; it watches the state while it runs, and closes it at its end.

    Args:
        state: what responses are made from.
        access: who may use it.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # more would not be faster: they share one interpreter, and each holds memory
        to_thread.current_default_thread_limiter().total_tokens = _THREADS
        state.watch()
        try:
            yield
        finally:
            state.close()

    app = FastAPI(
        title="Headrace",
        version=__version__,
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        openapi_url="/api/openapi.json",
        docs_url=None,  # its scripts come from a CDN
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.server = state
    app.state.propose = partial(queries.proposals, state)
    app.state.responses = ResponseCache(state)
    app.state.streams = EventStreams(state)
    app.state.metrics = Metrics(state)
    app.include_router(api.health)
    app.include_router(api.router)
    app.include_router(page_routes.router, include_in_schema=False)
    app.add_route("/openapi.json", _openapi)  # where programs look for it first
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _add_errors(app)
    _add_schema(app, has_token=access.token is not None)
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=4)
    app.add_middleware(SecurityMiddleware, access=access)
    return app


def _openapi(request: Request) -> Response:
    return JSONResponse(request.app.openapi())


def _add_errors(app: FastAPI) -> None:
    """Every error as RFC 9457, without internals."""

    @app.exception_handler(RequestError)
    def ours(request: Request, error: RequestError) -> Response:
        headers = {"retry-after": "2"} if isinstance(error, UnavailableError) else None
        return problem_response(
            request, problem(error.status, error.detail, hint=error.hint), headers=headers
        )

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            found = problem(
                404, "there is nothing at this address", hint="/api/openapi.json lists the routes"
            )
        else:
            found = problem(error.status_code, "this request cannot be answered")
        return problem_response(request, found)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return problem_response(request, problem(422, f"{name}: {first['msg']}"))

    @app.exception_handler(RunStoreError)
    def run_store(request: Request, error: RunStoreError) -> Response:
        _log.warning("the run store cannot be read: %s", error)
        found = problem(
            503, "the run store cannot be read now", hint="try again; the log says what is wrong"
        )
        return problem_response(request, found)

    @app.exception_handler(UserError)
    def user(request: Request, error: UserError) -> Response:
        return problem_response(request, problem(400, str(error)))


def _add_schema(app: FastAPI, *, has_token: bool) -> None:
    """OpenAPI with our errors, and with the token where one is required."""
    plain = app.openapi

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = plain()
            components = found.setdefault("components", {})
            components.setdefault("schemas", {})["Problem"] = models.Problem.model_json_schema(
                ref_template="#/components/schemas/{model}"
            )
            if has_token:
                components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                found["security"] = [{"token": []}]
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]
