"""The server's process, which starts with the first one that uses it and ends with the last."""

import time
from pathlib import Path

from headrace.targets.stand_in import StandIn


def _greeting(port: int) -> bytes:
    from headrace.targets.snowflake_standin.server import LIFELINE

    return f"GET {LIFELINE} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


_STAND_IN = StandIn(
    "Snowflake", "headrace.targets.snowflake_standin", _greeting, answer_ends=b"\r\n\r\n"
)
port_of, release = _STAND_IN.port_of, _STAND_IN.release
wait_until_ended, apart = _STAND_IN.wait_until_ended, _STAND_IN.apart


def serve(folder: Path, port: int = 0) -> None:
    """Serve a folder until the last process that uses it has ended.

    Raises:
        duckdb.Error: another server has the folder, or a file is damaged.
    """
    import duckdb

    from headrace.targets.snowflake_standin.engine import Engine
    from headrace.targets.snowflake_standin.server import StandInServer

    deadline = time.monotonic() + 20
    while True:
        try:
            engine = Engine(folder)
            break
        except duckdb.IOException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)  # the one before is just ending
    server = StandInServer(engine, port)
    with _STAND_IN.announced(folder, server.port):
        try:
            server.serve_forever(poll_interval=0.1)
        finally:
            server.server_close()
            for token in list(server.sessions):
                server.log_out(token)
            engine.close()
