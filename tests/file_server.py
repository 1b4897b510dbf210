"""A web server on loopback that gives files, and misbehaves as it is told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Served:
    """What is answered at one path.

    Attributes:
        body: of the answer.
        etag: its etag, without one nothing is said.
        modified: seconds since 1970.
        media_type: the Content-Type.
        headers: further ones.
        statuses: of the first answers; afterwards 200.
        cut_after: bytes after which the first so many connections are closed.
        cuts: how many.
        user: of basic authentication, ``name:password`` in base64.
        has_head: whether HEAD is answered.
    """

    body: bytes = b""
    etag: str | None = None
    modified: float | None = None
    media_type: str = "text/plain"
    headers: dict[str, str] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    cut_after: int = 0
    cuts: int = 0
    user: str = ""
    has_head: bool = True


@dataclass
class FileServer:
    """The files by path, and how often a body was given."""

    url: str = ""
    files: dict[str, Served] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    given: dict[str, int] = field(default_factory=dict)


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Serve until the block ends."""
    server = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            served = server.files.get(urlsplit(self.path).path)
            if served is None or served.statuses or served.user or not served.has_head:
                self.send_error(405)
                return
            self._give(served, {})

        def do_GET(self) -> None:
            headers = {name.lower(): text for name, text in self.headers.items()}
            server.asked.append((self.path, headers))
            served = server.files.get(urlsplit(self.path).path)
            if served is None:
                self.send_error(404)
                return
            if served.user and headers.get("authorization") != f"Basic {served.user}":
                self.send_error(401)
                return
            if served.statuses:
                status = served.statuses.pop(0)
                self.send_response(status)
                for name, text in served.headers.items():
                    self.send_header(name, text)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._give(served, headers)

        def _give(self, served: Served, headers: dict[str, str]) -> None:
            start = 0
            if served.etag and headers.get("if-range") == served.etag:
                start = int(headers["range"].removeprefix("bytes=").removesuffix("-"))
            body = served.body[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", served.media_type)
            self.send_header("Content-Length", str(len(body)))
            if served.etag:
                self.send_header("ETag", served.etag)
            if served.modified is not None:
                self.send_header("Last-Modified", formatdate(served.modified, usegmt=True))
            for name, text in served.headers.items():
                self.send_header(name, text)
            self.end_headers()
            if self.command == "HEAD":
                return
            server.given[self.path] = server.given.get(self.path, 0) + 1
            if served.cuts:
                served.cuts -= 1
                self.wfile.write(body[: served.cut_after])
                self.wfile.flush()
                self.connection.close()
                return
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            del args

    with serving(Handler) as server.url:
        yield server


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on loopback; gives the address."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
