"""Errors of one request, and how they are sent: RFC 9457 to programs, a page to browsers.

RequestError         400
├── ForbiddenError   403: it may not be shown
├── NotFoundError    404: it does not exist
└── UnavailableError 503: the run store or the published file cannot be read now
    ├── StartingError        503: nothing has been read yet
    └── TooManyStreamsError  503: as many clients follow the server as may
"""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from headrace.secrets import hide
from headrace.server.models import AssetRef, Problem
from headrace.server.rendering import frame_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


MEDIA_TYPE = "application/problem+json"
_CODES = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    414: "too_long",
    421: "wrong_host",
    422: "invalid_parameter",
    429: "too_many_requests",
    431: "too_large",
    500: "internal",
    503: "unavailable",
}


class RequestError(Exception):
    """Base: an HTTP status, a sentence, and what to do about it."""

    status = 400

    def __init__(self, detail: str, *, hint: str | None = None) -> None:
        """Say what is wrong (``detail``), and what to do about it (``hint``)."""
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


class ForbiddenError(RequestError):
    """This server may not show it."""

    status = 403


class NotFoundError(RequestError):
    """It does not exist."""

    status = 404


class UnavailableError(RequestError):
    """The run store or the published file cannot be read now."""

    status = 503


class StartingError(UnavailableError):
    """The server has just started, and is reading the catalog."""

    def __init__(self) -> None:
        """Ask the client to try again."""
        super().__init__(
            "the catalog is being read: the server has just started",
            hint="try again in a few seconds",
        )


class TooManyStreamsError(UnavailableError):
    """As many clients follow the server as may: this one asks from time to time."""


def problem(status: int, detail: str, *, hint: str | None = None) -> Problem:
    """An error as RFC 9457 describes it, without secrets."""
    return Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=hide(detail),
        code=_CODES.get(status, "invalid_request" if status < 500 else "internal"),
        hint=hint,
    )


def _proposals(request: "Request") -> "Sequence[AssetRef]":
    """What somebody may have meant who asked for what is not there."""
    from headrace.errors import HeadraceError

    asked = request.query_params.get("asset") or request.url.path
    propose: Callable[[str], Sequence[AssetRef]] = request.app.state.propose
    try:
        return propose(asked)
    except (RequestError, HeadraceError):  # nothing can be read: the page is shown without them
        return ()


def problem_response(
    request: "Request", found: Problem, *, headers: Mapping[str, str] | None = None
) -> "Response":
    """The response to a request that failed: a page for a browser, JSON for all others."""
    from starlette.responses import HTMLResponse, Response

    if is_page(request):
        page = frame_of(request).render(
            "error.html",
            title=found.title,
            status=found.status,
            detail=found.detail,
            hint=found.hint,
            proposals=_proposals(request) if found.status == 404 else (),
        )
        return HTMLResponse(page, found.status, headers=headers)
    body = found.model_dump_json(exclude_none=True)
    return Response(body, found.status, headers=headers, media_type=MEDIA_TYPE)


def is_page(request: "Request") -> bool:
    """Whether a browser asks for a page, not a program for data."""
    path = request.url.path
    is_data = path.startswith(("/api/", "/data/", "/static/")) or path == "/healthz"
    return not is_data and "text/html" in request.headers.get("accept", "")
