"""Uvicorn: its connection and its server, as far as they can be told to behave otherwise."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """A connection of uvicorn's, with names for what it knows of the request and the response."""

    @property
    def is_idle(self) -> bool:
        """Whether no response is being made."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def is_kept_alive(self) -> bool:
        """Whether uvicorn waits for another request, with a timeout of its own."""
        return self.timeout_keep_alive_task is not None

    @property
    def expects_body(self) -> bool:
        """Whether the rest of a request is still to come."""
        return self.conn.their_state is h11.SEND_BODY

    @property
    def expects_request(self) -> bool:
        """Whether a request, or the rest of one, is still to come."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    @property
    def has_started_response(self) -> bool:
        """Whether the head of a response was sent."""
        return self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE)

    def stop_keep_alive_timer(self) -> None:
        """Cancel the timer that uvicorn leaves running when a connection breaks."""
        self._unset_keepalive_if_required()

    def drop_response(self) -> None:
        """Have what the app still sends be dropped."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def resume_reading(self) -> None:
        """Read on, where uvicorn paused for the app to keep up."""
        self.flow.resume_reading()


class Server(uvicorn.Server):
    """A server that ends at a signal, which uvicorn would raise once more afterwards."""

    def __init__(
        self,
        config: uvicorn.Config,
        handled: Callable[[Callable[..., Any]], AbstractContextManager[Any]],
        ending: Callable[[], None] = lambda: None,
    ) -> None:
        """Take over the signals.

        Args:
            config: uvicorn's.
            handled: given a handler, handles signals with it as long as its context is open.
            ending: called at the signal, before uvicorn waits for the responses that are sent.
        """
        super().__init__(config)
        self._handled = handled
        self._ending = ending

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the place of uvicorn's own."""
        with self._handled(self.handle_exit):
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Have responses without an end be ended, too."""
        self._ending()
        super().handle_exit(sig, frame)
