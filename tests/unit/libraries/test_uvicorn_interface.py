"""What Headrace relies on inside uvicorn; fails when a new version moves it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from headrace.libraries.uvicorn import Connection, Server


async def _app(scope: Any, receive: Any, send: Any) -> None:
    raise NotImplementedError


def test_new_connection_waits_for_a_request() -> None:
    async def look() -> None:
        config = uvicorn.Config(_app, http=Connection, log_config=None, lifespan="off")
        config.load()
        connection = Connection(config, ServerState(), {}, asyncio.get_running_loop())
        assert connection.is_idle
        assert connection.expects_request
        assert not connection.expects_body
        assert not connection.is_kept_alive
        assert not connection.has_started_response
        connection.stop_keep_alive_timer()
        connection.drop_response()

    asyncio.run(look())


def test_server_handles_signals_as_it_is_told() -> None:
    seen: list[str] = []

    @contextmanager
    def handled(handler: Callable[..., Any]) -> Iterator[None]:
        seen.append("begun")
        handler(2, None)
        yield
        seen.append("ended")

    config = uvicorn.Config(_app, port=0, log_config=None, lifespan="off")
    Server(config, handled).run()
    assert seen == ["begun", "ended"]
