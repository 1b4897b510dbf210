"""The limits of a connection: how large a request's head is, how long it takes, how many there are.

Uvicorn takes httptools where it is installed, which has no limits at all; h11 limits the size of a
head, and this subclass of uvicorn's protocol adds the rest. What is limited here needs no token,
so it must hold before a request is complete.
"""

import asyncio
import itertools
import sys
from collections.abc import Iterable
from typing import cast

from headrace.libraries.uvicorn import Connection
from headrace.server import errors
from headrace.server.security import MAX_HEAD

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
        """Close for writing now, for reading a moment later."""
        if self.transport.is_closing():
            return
        self._is_refused = True
        self.stop_keep_alive_timer()
        self.resume_reading()
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)
