"""Errors as answers: RFC 9457 for programs, a page for people. Nothing of the inside is in them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from headrace.secrets import hide
from headrace.server.errors import RequestError
from headrace.server.views import Problem

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


def problem(status: int, detail: str, *, hint: str | None = None) -> Problem:
    """What is wrong, by HTTP status."""
    return Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=hide(detail),
        code=_CODES.get(status, "invalid_request" if status < 500 else "internal"),
        hint=hint,
    )


def of_error(error: RequestError) -> Problem:
    """What is wrong, by our own error."""
    return problem(error.status, error.detail, hint=error.hint)


def response(
    request: "Request", found: Problem, *, headers: Mapping[str, str] | None = None
) -> "Response":
    """The answer: a page to a browser that asks for one, else JSON."""
    from starlette.responses import HTMLResponse, Response

    if is_page(request):
        from headrace.server.pages import error_page

        page = error_page(
            request,
            status=found.status,
            title=found.title,
            detail=found.detail,
            hint=found.hint,
        )
        return HTMLResponse(page, found.status, headers=headers)
    body = found.model_dump_json(exclude_none=True)
    return Response(body, found.status, headers=headers, media_type=MEDIA_TYPE)


def is_page(request: "Request") -> bool:
    """Whether a person reads the answer in a browser."""
    path = request.url.path
    is_data = path.startswith(("/api/", "/data/", "/static/")) or path == "/healthz"
    return not is_data and "text/html" in request.headers.get("accept", "")
