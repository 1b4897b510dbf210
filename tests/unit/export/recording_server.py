"""A web server on loopback that keeps what it is sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Recorder:
    """What came in, and what is answered.

    Attributes:
        status: of each answer.
        hangs: whether nothing is answered before ``released`` is set.
        answered: how many requests were answered.
        body: of each answer to a GET.
        requests: method, path, headers in lower case, body.
    """

    status: int = 200
    hangs: bool = False
    released: threading.Event = field(default_factory=threading.Event)
    answered: int = 0
    body: bytes = b"{}"
    url: str = ""
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def posted(self) -> list[bytes]:
        """The bodies of all POST requests, in order."""
        return [body for method, _, _, body in self.requests if method == "POST"]


@contextmanager
def serving(recorder: Recorder) -> Iterator[Recorder]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(recorder.body)

        def do_POST(self) -> None:
            self._answer(b"{}")

        def _answer(self, answer: bytes) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {key.lower(): text for key, text in self.headers.items()}
            recorder.requests.append((self.command, self.path, headers, self.rfile.read(length)))
            if recorder.hangs:
                recorder.released.wait()
            recorder.answered += 1
            try:
                self.send_response(recorder.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                pass  # who asked has hung up

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    recorder.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield recorder
    finally:
        recorder.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
