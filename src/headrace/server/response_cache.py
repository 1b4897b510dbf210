"""Answers as bytes: remembered as long as nothing moved, and not sent to who has them already."""

import gzip
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from anyio import CapacityLimiter, to_thread
from pydantic import BaseModel

from headrace.catalog import RUNNING
from headrace.server.state import ServerState
from headrace.server.views import RunDetail

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Reads = Literal["memory", "graph", "store", "file"]

_MOST_BYTES = 16 * 1024 * 1024
_SMALL = 1024  # bytes that are not worth compressing
_LEVEL = 1  # higher ones take longer than the bytes are worth on one machine


@dataclass(frozen=True)
class _Packed:
    """An answer's JSON, compressed where that is worth it."""

    body: bytes
    is_gzip: bool

    def plain(self) -> bytes:
        return gzip.decompress(self.body) if self.is_gzip else self.body


class Answers:
    """Makes answers of one state; used by the event loop alone."""

    def __init__(self, state: ServerState) -> None:
        """Remember nothing yet."""
        self.state = state
        self._tag = ""
        self._known: OrderedDict[str, _Packed] = OrderedDict()
        self._size = 0
        # threads of one interpreter that all have work only take it from each other
        self._limiters: dict[Reads, CapacityLimiter] = {
            "graph": CapacityLimiter(1),
            "store": CapacityLimiter(1),
            "file": CapacityLimiter(1),
        }

    async def give(
        self, request: "Request", make: Callable[[], BaseModel], *, reads: Reads = "memory"
    ) -> "Response":
        """The answer to a request: 304 to who has it, else JSON.

        Args:
            request: the request; its address names the answer.
            make: makes the view.
            reads: what it reads: ``memory`` alone takes a few milliseconds at most; of all
                else one at a time is made, in a thread, so that nothing else waits for it.
        """
        from starlette.responses import Response

        tag = await self._current()
        headers = {"etag": tag, "cache-control": "private, no-cache"}
        asked = request.headers.get("if-none-match", "")
        if tag in (part.strip() for part in asked.split(",")):
            return Response(status_code=304, headers=headers)
        key = f"{request.url.path}?{request.url.query}"
        answer = self._known.get(key)
        if answer is None:
            limiter = self._limiters.get(reads)
            made = (
                await to_thread.run_sync(_made, make, limiter=limiter) if limiter else _made(make)
            )
            answer, is_moving = made
            if is_moving:
                headers["cache-control"] = "no-store"
                del headers["etag"]
            elif tag == self._tag:
                self._remember(key, answer)
        else:
            self._known.move_to_end(key)
        if answer.is_gzip and "gzip" in request.headers.get("accept-encoding", ""):
            headers |= {"content-encoding": "gzip", "vary": "Accept-Encoding"}
            return Response(answer.body, headers=headers, media_type="application/json")
        return Response(answer.plain(), headers=headers, media_type="application/json")

    async def _current(self) -> str:
        """The tag of all answers as of now; what is remembered of another moment is forgotten."""
        state = self.state
        now = state.snapshot() if state.is_ready else await to_thread.run_sync(state.snapshot)
        # some answers know what day it is; weak, since the same answer may be compressed
        tag = f'W/"{now.token}-{datetime.now(UTC):%Y%m%d}"'
        if tag != self._tag:
            self._tag, self._size = tag, 0
            self._known.clear()
        return tag

    def _remember(self, key: str, answer: _Packed) -> None:
        if len(answer.body) > _MOST_BYTES // 4 or key in self._known:
            return
        self._known[key] = answer
        self._size += len(answer.body)
        while self._size > _MOST_BYTES:
            _, oldest = self._known.popitem(last=False)
            self._size -= len(oldest.body)


def _made(make: Callable[[], BaseModel]) -> tuple[_Packed, bool]:
    """The answer, and whether it is about a run that goes on and so is another one soon."""
    view = make()
    body = view.model_dump_json().encode()
    is_moving = isinstance(view, RunDetail) and view.run.status == RUNNING
    if len(body) <= _SMALL:
        return _Packed(body, is_gzip=False), is_moving
    return _Packed(gzip.compress(body, _LEVEL, mtime=0), is_gzip=True), is_moving
