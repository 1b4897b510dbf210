"""The checks before every route, the headers of every response, and the limits of a connection.

The checks are of a request's host, method, size and token. Uvicorn takes httptools where it is
installed, which has no limits at all; h11 limits the size of a head, and a subclass of uvicorn's
protocol adds the rest. What is limited there needs no token, so it must hold before a request is
complete.
"""

import asyncio
import itertools
import logging
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, urlencode, urlsplit

from headrace.libraries.uvicorn import Connection
from headrace.server import errors
from headrace.server.access import COOKIE, SESSION_SECONDS, Access, RateLimit
from headrace.server.errors import is_page, problem, problem_response
from headrace.server.events import IS_HEAD
from headrace.server.models import Problem

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


MAX_HEAD = 32 * 1024  # bytes of the request line and all headers
MAX_URL = 8192
MAX_BODY = 4096
_SINGLE_HEADERS = (b"host", b"content-length", b"transfer-encoding", b"authorization")
LOGIN = "/login"
_PUBLIC_PATHS = ("/healthz", LOGIN)  # without a token; static files hold no data either
_READ_ONLY = "this server only reads: GET and HEAD"
_log = logging.getLogger("headrace.server")

HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


class SecurityMiddleware:
    """ASGI middleware, the outermost of the app: lets a request through, or refuses it."""

    def __init__(self, app: "ASGIApp", *, access: Access) -> None:
        """Protect an app; ``access`` says who may use it."""
        self._app = app
        self._access = access
        self._limit = RateLimit()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass a request on, or respond to it here."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        from starlette.requests import ClientDisconnect, Request

        is_head = scope["method"] == "HEAD"
        # static files are revalidated by their ETag; other responses are not stored by default
        caching = b"no-cache" if scope["path"].startswith("/static/") else b"no-store"
        sender = _HeaderSender(send, caching, is_head=is_head)
        request = Request(scope, receive)
        try:
            refused = await self._refused(request)
        except ClientDisconnect:
            return
        if refused is not None:
            await refused(scope, receive, sender.send)
            return
        inner = {**scope, "method": "GET", IS_HEAD: True} if is_head else scope
        try:
            await self._app(inner, receive, sender.send)
        except Exception:
            _log.exception("a request failed", extra={"fields": {"path": scope["path"]}})
            if not sender.has_started:
                internal = problem(
                    500, "an internal error occurred; see the log", hint="please report it"
                )
                await _problem(request, internal)(scope, receive, sender.send)

    async def _refused(self, request: "Request") -> "Response | None":
        """The response to a request that is refused; None for one that may pass."""
        found = await _malformed(request, self._access)
        if found is not None:
            return _problem(request, found)
        path = request.url.path
        if path == LOGIN and self._access.token is not None:
            return await self._login(request)
        if request.method == "POST":
            return _problem(request, problem(405, _READ_ONLY))
        if self._may_enter(request):
            return None
        wait = self._bearer(request)
        if wait == 0:
            return None
        if wait is not None:
            return _problem(request, _too_many(wait), {"retry-after": str(wait)})
        if is_page(request):
            from starlette.responses import RedirectResponse

            where = f"{path}?{request.url.query}" if request.url.query else path
            return RedirectResponse(f"{LOGIN}?{urlencode({'next': where})}", 303)
        missing = problem(
            401, "a token is required", hint="send the header `Authorization: Bearer TOKEN`"
        )
        return _problem(request, missing, {"www-authenticate": "Bearer"})

    def _may_enter(self, request: "Request") -> bool:
        path = request.url.path
        if self._access.token is None or path in _PUBLIC_PATHS or path.startswith("/static/"):
            return True
        # with a query, the same path is the page of a table
        if self._access.public_metrics and path == "/metrics" and not request.url.query:
            return True
        return self._access.is_session(request.cookies.get(COOKIE, ""))

    def _bearer(self, request: "Request") -> int | None:
        """0 if the request bears the token, None if it bears none or a wrong one.

        Else the seconds until its sender, who tried too many, may send one again.
        """
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if kind.casefold() != "bearer" or not token:
            return None
        address = _address(request)
        wait = self._limit.wait(address)
        if wait:
            return wait
        if self._access.is_token(token):
            return 0
        self._limit.add(address, token)
        return None

    async def _login(self, request: "Request") -> "Response":
        from starlette.responses import RedirectResponse

        if request.method != "POST":
            return _login_page(request, _local(request.query_params.get("next", "")))
        form = parse_qs((await _body(request)).decode("utf-8", "replace"), max_num_fields=10)
        after = _local(form.get("next", [""])[0])
        address, token = _address(request), form.get("token", [""])[0]
        wait = self._limit.wait(address)
        if wait:
            error = f"Too many wrong tokens: try again in {wait} seconds."
            return _login_page(request, after, error=error, status=429, wait=wait)
        is_right = self._access.is_token(token)
        if not is_right:
            self._limit.add(address, token)
        if not is_right or not _is_same_origin(request):
            _log.warning("a sign-in with a wrong token")
            return _login_page(request, after, error="That is not the token.", status=401)
        response = RedirectResponse(after or "/", 303)
        response.set_cookie(
            COOKIE,
            self._access.session(),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response


class _HeaderSender:
    """Sends a response with the security headers, and without its body to a HEAD request."""

    def __init__(self, send: "Send", caching: bytes, *, is_head: bool) -> None:
        self._send = send
        self._caching = caching
        self._is_head = is_head
        self.has_started = False

    async def send(self, message: "Message") -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            headers = [*message.get("headers", []), *_RAW_HEADERS]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", self._caching))
            message = {**message, "headers": headers}
        elif self._is_head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


def _login_page(
    request: "Request",
    after: str,
    *,
    error: str | None = None,
    status: int = 200,
    wait: int | None = None,
) -> "Response":
    from starlette.responses import HTMLResponse

    from headrace.server.rendering import frame_of

    page = frame_of(request).render(
        "login.html", title="Sign in", action=LOGIN, next=after, error=error
    )
    return HTMLResponse(page, status, {"retry-after": str(wait)} if wait else None)


def _problem(
    request: "Request", found: Problem, headers: dict[str, str] | None = None
) -> "Response":
    if found.status == 405:
        headers = {"allow": "GET, HEAD"}
    return problem_response(request, found, headers=headers)


def _address(request: "Request") -> str:
    """The client's address; uvicorn takes it from the header of a trusted proxy."""
    return request.client.host if request.client else ""


def _too_many(wait: int) -> Problem:
    return problem(
        429, "too many wrong tokens came from this address", hint=f"try again in {wait} seconds"
    )


async def _malformed(request: "Request", access: Access) -> Problem | None:
    """What is wrong with a request, whoever sent it."""
    scope, headers = request.scope, request.headers
    if scope["http_version"] not in {"1.0", "1.1"}:
        return problem(505, "this server supports HTTP/1.1")
    names = [name for name, _ in scope["headers"]]
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEAD:
        return problem(431, f"the headers are at most {MAX_HEAD:,} bytes long")
    twice = next((name.decode() for name in _SINGLE_HEADERS if names.count(name) > 1), None)
    if twice is not None:
        return problem(400, f"a request has one header {twice} at most")
    if {b"content-length", b"transfer-encoding"} <= set(names):
        return problem(400, "a request has Content-Length or Transfer-Encoding, not both")
    if not access.is_allowed_host(headers.get("host", "")):
        return problem(
            421,
            "this server does not serve that host name",
            hint="name it in serve.allowed_hosts (HEADRACE_SERVE__ALLOWED_HOSTS)",
        )
    path = scope.get("raw_path", b"")
    if request.method not in {"GET", "HEAD", "POST"}:
        return problem(405, _READ_ONLY)
    if not path.startswith(b"/"):
        return problem(400, "the target of a request is a path, like /api/v1/home")
    if len(path) + len(scope["query_string"]) > MAX_URL:
        return problem(414, f"an address is at most {MAX_URL:,} characters long")
    length = headers.get("content-length", "0")
    is_small = length.isascii() and length.isdigit() and len(length) < 10
    if not is_small or int(length) > MAX_BODY or len(await _body(request)) > MAX_BODY:
        return problem(413, f"a request's body is at most {MAX_BODY:,} bytes long")
    return None


async def _body(request: "Request") -> bytes:
    """The body, up to the first piece that makes it too long; kept in the request."""
    if not hasattr(request.state, "body"):
        body = b""
        if {"content-length", "transfer-encoding"} & set(request.headers.keys()):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY:
                    break
        request.state.body = body
    found: bytes = request.state.body
    return found


def _local(path: str) -> str:
    """The path if it leads to this server; else an empty text."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if is_ours and path.isprintable() else ""


def _is_same_origin(request: "Request") -> bool:
    """Whether a form was sent from our own page; a program sends no Origin."""
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


MAX_CONNECTIONS = 200
REQUEST_SECONDS = 10.0  # until a request has come whole
RESPONSE_SECONDS = 60.0  # that a client may take no byte of its response
LINGER_SECONDS = 1.0  # that is still read after a refusal: a reset could overtake it
LINGER_BYTES = 256 * 1024  # that are still read then

_serial = itertools.count()  # a clock would not do: many connections come within one tick of it


class LimitedProtocol(Connection):
    """One connection; a client that keeps to no limit is answered if it can be, and closed."""

    _incomplete: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _is_refused = False
    _discarded = 0
    number = 0  # in the order in which connections came

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection; where there are too many, in place of the oldest idle one."""
        super().connection_made(transport)
        self.number = next(_serial)
        others = cast("Iterable[LimitedProtocol]", self.connections)
        open_ = [other for other in others if not other.transport.is_closing()]
        if len(open_) > MAX_CONNECTIONS:
            idle = [other for other in open_ if other is not self and other.is_idle]
            if not idle:
                self._refuse(503, "too many connections are open: try again later")
                return
            min(idle, key=lambda other: other.number).transport.abort()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers, which uvicorn leaves running when a connection breaks."""
        for timer in (self._incomplete, self._stalled):
            if timer is not None:
                timer.cancel()
        self.stop_keep_alive_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request, unless the connection is closing."""
        if self._is_refused:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self.transport.close()
        elif not self.transport.is_closing():
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        """Close the connection where the rest of the request would still come."""
        is_coming = self.expects_body
        super().on_response_complete()
        if is_coming:
            self._linger()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP; called while h11's exception is handled."""
        error = sys.exception()
        status = getattr(error, "error_status_hint", 400)
        msg = f"the request is not valid HTTP: {error}"[:200]
        if status == 431:
            msg = f"the request line and headers are at most {MAX_HEAD:,} bytes long"
        self._refuse(status, msg)

    def pause_writing(self) -> None:
        """The client does not take its response: give it some time."""
        super().pause_writing()
        self._stalled = self.loop.call_later(RESPONSE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client took some of its response."""
        if self._stalled is not None:
            self._stalled.cancel()
        super().resume_writing()

    def _watch(self) -> None:
        """See to it that a request that began comes whole in time.

        Between two requests, until the first byte of the next one, uvicorn's timeout holds.
        """
        is_coming = self.expects_request and not self._is_refused
        if self.is_kept_alive or not is_coming:
            if self._incomplete is not None:
                self._incomplete.cancel()
                self._incomplete = None
        elif self._incomplete is None and not self.transport.is_closing():
            detail = f"a request must come within {REQUEST_SECONDS:g} seconds"
            self._incomplete = self.loop.call_later(REQUEST_SECONDS, self._refuse, 408, detail)

    def _refuse(self, status: int, detail: str) -> None:
        """Send an error where no response has begun, and close."""
        if self._is_refused or self.transport.is_closing():
            return
        has_started = self.has_started_response
        self.drop_response()
        if has_started:
            self.transport.close()
            return
        problem = errors.problem(status, detail)
        body = problem.model_dump_json(exclude_none=True).encode()
        head = (
            f"HTTP/1.1 {status} {problem.title}\r\ncontent-type: {errors.MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self._linger()

    def _linger(self) -> None:
        """Close for writing now, for reading shortly afterwards."""
        if self.transport.is_closing():
            return
        self._is_refused = True
        self.stop_keep_alive_timer()
        self.resume_reading()
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)
