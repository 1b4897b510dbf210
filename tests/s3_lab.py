"""A local S3 for the tests that need one: moto's, in its own process, which can be made to fail.

It is no thread of the test: deltalake keeps Python from running while it waits for an answer.

    python s3_lab.py        serves; prints its port
"""

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pytest

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
BUCKET = "lake"
_CONTROL = "/__faults"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with requests.

    Attributes:
        methods: a regular expression: ``PUT|POST``.
        path: one that is looked for in the path.
        status: of the answer; 0 to answer as ever.
        code: S3's, in the answer.
        seconds: to wait before the answer.
        times: how often; then all is well again.
    """

    methods: str = ".*"
    path: str = ""
    status: int = 0
    code: str = ""
    seconds: float = 0
    times: int = 1_000_000


@dataclass(frozen=True)
class Server:
    """A server with an empty bucket."""

    url: str

    def fail(self, *faults: Fault) -> None:
        """From now on these go wrong, and nothing else."""
        body = json.dumps([asdict(fault) for fault in faults]).encode()
        request = urllib.request.Request(f"{self.url}{_CONTROL}", body, method="POST")  # noqa: S310
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310

    @property
    def client(self) -> Any:
        """boto3's."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )

    def flags(self, prefix: str, target: str = "lake") -> tuple[str, ...]:
        """``--set`` assignments for a lake there."""
        at = f"targets.{target}"
        return (
            f"{at}.url=s3://{BUCKET}/{prefix}",
            f"{at}.endpoint={self.url}",
            f"{at}.access_key_id={KEY}",
            f"{at}.secret_access_key={SECRET}",
        )


@contextmanager
def s3_server() -> Iterator[Server]:
    """A server, until the block ends."""
    pytest.importorskip("s3fs", reason="uv sync --extra lake")
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        server = Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
        server.client.create_bucket(Bucket=BUCKET)
        yield server
    finally:
        process.kill()
        process.communicate()


def _serve() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    inner = DomainDispatcherApplication(create_backend_app)
    faults: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path == _CONTROL:
            length = int(environ["CONTENT_LENGTH"])
            faults[:] = json.loads(environ["wsgi.input"].read(length))
            start("200 OK", [])
            return []
        for fault in faults:
            if (
                fault["times"] > 0
                and re.fullmatch(fault["methods"], method)
                and re.search(fault["path"], path)
            ):
                fault["times"] -= 1
                time.sleep(fault["seconds"])
                if fault["status"]:
                    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                    start(f"{fault['status']} No", [("Content-Type", "application/xml")])
                    code = f"<Code>{fault['code']}</Code><Message>{fault['code']}</Message>"
                    return [f"<?xml version='1.0'?><Error>{code}</Error>".encode()]
        answer: Iterable[bytes] = inner(environ, start)
        return answer

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
            pass

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    _serve()
