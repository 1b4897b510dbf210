"""The server's process: it starts with the first one that uses a folder, and ends with the last."""

from pathlib import Path

from headrace.targets.s3_standin import LIFELINE
from headrace.targets.stand_in import StandIn


def _greeting(port: int) -> bytes:
    return f"GET {LIFELINE} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


_STAND_IN = StandIn("S3", "headrace.targets.s3_standin", _greeting, answer_ends=b"held\r\n")
port_of, release = _STAND_IN.port_of, _STAND_IN.release
wait_until_ended = _STAND_IN.wait_until_ended


def serve(folder: Path, port: int = 0) -> None:
    """Serve a folder until the last process that uses it has ended.

    Raises:
        OSError: a file cannot be read, or the port is taken.
    """
    from headrace.targets.s3_standin.server import S3StandIn

    server = S3StandIn(folder, port)
    with _STAND_IN.announced(folder, server.port):
        server.serve()
