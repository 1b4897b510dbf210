"""Server-sent events: an open page is told that there is something new, and reads it like any page.

An event holds no data of the project, only what identifies its state, so that nothing is shown
that the page's own request would not show.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from headrace.server.errors import TooManyStreamsError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from headrace.server.state import ServerState

MAX_STREAMS = 50
STREAM_SECONDS = 600.0  # a browser opens the next one by itself, and is asked for its token again
BEAT_SECONDS = 15.0  # so that a proxy does not take an open stream for a dead one
_RETRY_SECONDS = 2.0
_LOOK_SECONDS = 0.25
IS_HEAD = "headrace.is_head"
"""The key of a request's scope that says that no body is going to be sent."""
_HEADERS = {
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx would keep events back until its buffer is full
}


class EventStreams:
    """The open streams of one server; used by the event loop alone.

    Attributes:
        open: how many there are.
    """

    def __init__(self, state: "ServerState") -> None:
        """Start without any; ``state`` is what clients are told of."""
        self.open = 0
        self._state = state
        self._is_ending = False

    def end(self) -> None:
        """End all streams; may be called from a signal handler."""
        self._is_ending = True

    def response(self, since: str) -> Response:
        """A stream of events, from the state that the client has.

        Args:
            since: the id of the last event that it got, or what its page was made from; empty for
                a client that has nothing yet.

        Raises:
            TooManyStreamsError: there are as many as there may be.
        """
        if self.open >= MAX_STREAMS:
            raise TooManyStreamsError(
                f"{MAX_STREAMS} clients follow this server, which is as many as may",
                hint="ask for /api/v1/home with If-None-Match from time to time",
            )
        return _Counted(self, since)

    async def events(self, since: str) -> AsyncIterator[str]:
        """Events as text, until the server or the time of the stream ends.

        ``changed``, whose id identifies the new state; ``progress`` of the run in progress.
        """
        yield f"retry: {_RETRY_SECONDS * 1000:.0f}\n\n"
        began = said = time.monotonic()
        token, progress = since, self._state.progress.stamp()
        while not self._is_ending and time.monotonic() - began < STREAM_SECONDS:
            text = ""
            now = self._state.snapshot().token if self._state.is_ready else token
            if now != token:
                text = f"event: changed\nid: {now}\ndata: {now}\n\n"
                token = now
            is_at = self._state.progress.stamp()
            if is_at != progress:
                text += f"event: progress\ndata: {is_at}\n\n"
                progress = is_at
            if not text and time.monotonic() - said > BEAT_SECONDS:
                text = ": still here\n\n"
            if text:
                said = time.monotonic()
                yield text
            await asyncio.sleep(_LOOK_SECONDS)


class EventStream(StreamingResponse):
    """A response of events."""

    media_type = "text/event-stream"


class _Counted(EventStream):
    """A stream that counts as open for as long as it is sent, however it ends."""

    def __init__(self, streams: EventStreams, since: str) -> None:
        super().__init__(streams.events(since), headers=_HEADERS)
        self._streams = streams

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope.get(IS_HEAD):
            await Response(media_type=self.media_type, headers=_HEADERS)(scope, receive, send)
            return
        self._streams.open += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.open -= 1
