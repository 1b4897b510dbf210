"""JSON responses: cached, compressed, until the data change; not sent to a client that has them."""

import gzip
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from anyio import CapacityLimiter, to_thread
from pydantic import BaseModel

from headrace.catalog import RUNNING
from headrace.server.models import RunDetail
from headrace.server.state import ServerState

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Reads = Literal["memory", "graph", "store", "file"]

MAX_BYTES = 16 * 1024 * 1024
_LEVEL = 1  # higher ones take longer than the bytes are worth on one machine


class ResponseCache:
    """Makes responses from one state, and keeps them; used by the event loop alone."""

    def __init__(self, state: ServerState) -> None:
        """Start empty."""
        self.state = state
        self._tag = ""
        self._known: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        # threads of one interpreter that all have work only take it from each other
        self._limiters: dict[Reads, CapacityLimiter] = {
            "graph": CapacityLimiter(1),
            "store": CapacityLimiter(1),
            "file": CapacityLimiter(1),
        }

    async def respond(
        self, request: "Request", make: Callable[[], BaseModel | bytes], *, reads: Reads = "memory"
    ) -> "Response":
        """The response to a request: 304 to a client that has it, else JSON.

        Args:
            request: the request; its address is the key of the response.
            make: makes the view, or its JSON.
            reads: what it reads. ``memory`` alone takes a few milliseconds at most; of every
                other kind one at a time is made, in a thread, so that nothing else waits for it.
        """
        from starlette.responses import Response

        tag = await self._current()
        headers = {"etag": tag, "cache-control": "private, no-cache"}
        asked = request.headers.get("if-none-match", "")
        if tag in (part.strip() for part in asked.split(",")):
            return Response(status_code=304, headers=headers)
        key = f"{request.url.path}?{request.url.query}"
        body = self._known.get(key)
        if body is None:
            limiter = self._limiters.get(reads)
            made = (
                await to_thread.run_sync(_made, make, limiter=limiter) if limiter else _made(make)
            )
            body, is_running = made
            if is_running:
                headers = {"cache-control": "no-store"}
            elif tag == self._tag:
                self.add(key, body)
        else:
            self._known.move_to_end(key)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers |= {"content-encoding": "gzip", "vary": "Accept-Encoding"}
        else:
            body = gzip.decompress(body)
        return Response(body, headers=headers, media_type="application/json")

    def add(self, key: str, body: bytes) -> None:
        """Keep a body, in place of those that were not used for the longest time."""
        if len(body) > MAX_BYTES // 2 or key in self._known:
            return
        self._known[key] = body
        self._size += len(body)
        while self._size > MAX_BYTES:
            _, oldest = self._known.popitem(last=False)
            self._size -= len(oldest)

    @property
    def kept(self) -> tuple[str, ...]:
        """The keys of what is kept; the first one is dropped next."""
        return tuple(self._known)

    async def _current(self) -> str:
        """The tag of all responses as of now; what is cached under another tag is dropped."""
        state = self.state
        now = state.snapshot() if state.is_ready else await to_thread.run_sync(state.snapshot)
        # some responses depend on the day; weak, since the same response may be compressed
        tag = f'W/"{now.token}-{datetime.now(UTC):%Y%m%d}"'
        if tag != self._tag:
            self._tag, self._size = tag, 0
            self._known.clear()
        return tag


def _made(make: Callable[[], BaseModel | bytes]) -> tuple[bytes, bool]:
    """A compressed body, and whether it is about a run in progress, so that it is soon outdated."""
    view = make()
    body = view if isinstance(view, bytes) else view.model_dump_json().encode()
    is_running = isinstance(view, RunDetail) and view.run.status == RUNNING
    return gzip.compress(body, _LEVEL, mtime=0), is_running
