"""A small HTTP API to load from: pages, rate limits, errors, a token; it counts its calls."""

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from lab import ROOT, Lab, copy_project

from headrace.add import AddReport, AddRequest, add_source

Row = dict[str, Any]
PAGE_ROWS = 3


@dataclass(frozen=True)
class Call:
    """A request that came in.

    Attributes:
        path: without the query.
        query: the first value of each parameter.
        at: when, in seconds of a monotonic clock.
    """

    path: str
    query: dict[str, str]
    at: float


@dataclass
class Answers:
    """How the API answers; changed by a test as it goes.

    Attributes:
        tables: rows by path.
        token: what a caller must send; None is no token at all.
        fail: status and headers by which the calls for a path are answered, one after the other;
            the last one again and again if ``forever``.
        forever: whether the failures never end.
        first_failing: the first row of the page from which on they come.
        hang: whether a page beyond the first is never answered.
        extra: what an answer looks like instead of a page of rows.
    """

    tables: dict[str, list[Row]] = field(default_factory=dict)
    token: str | None = None
    fail: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    forever: bool = False
    first_failing: int = 0
    hang: bool = False
    extra: Callable[[], bytes] | None = None


class Api(ThreadingHTTPServer):
    """The server; paths are those of ``answers.tables``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = Answers()
        self.calls: list[Call] = []
        self.hanging = Event()
        self.released = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def asked(self, path: str = "/v1/customers") -> list[Call]:
        """The calls for a path so far."""
        return [call for call in self.calls if call.path == path]


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        self.server.calls.append(Call(address.path, query, monotonic()))
        answers, first = self.server.answers, int(query.get("first", "0"))
        if answers.token and self.headers.get("Authorization") != f"Bearer {answers.token}":
            # an API that gives away what it was sent
            self._send(401, json.dumps({"sent": self.headers.get("Authorization")}).encode())
        elif answers.hang and first > 0:
            self.server.hanging.set()
            self.server.released.wait(600)
        elif answers.fail and first >= answers.first_failing:
            is_last = answers.forever and len(answers.fail) == 1
            status, headers = answers.fail[0] if is_last else answers.fail.pop(0)
            self._send(status, b"{}", headers)
        elif answers.extra is not None:
            self._send(200, answers.extra())
        elif address.path not in answers.tables:
            self._send(404, b"{}")
        else:
            self._page(address.path, query, first)

    def _page(self, path: str, query: dict[str, str], first: int) -> None:
        since = query.get("since", "")
        rows = [
            row
            for row in self.server.answers.tables[path]
            if row.get("updated_at") is None or row["updated_at"] >= since
        ]
        body: dict[str, Any] = {"data": rows[first : first + PAGE_ROWS], "next": None}
        if rows[first + PAGE_ROWS :]:
            more = f"&since={since}" if since else ""
            base = f"http://127.0.0.1:{self.server.server_port}{path}"
            body["next"] = f"{base}?first={first + PAGE_ROWS}{more}"
        self._send(200, json.dumps(body).encode())

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serve() -> Iterator[Api]:
    """The API, on a port of this machine that is free."""
    with Api() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


def customers(count: int) -> list[Row]:
    """Rows of ids from 1, each of its own day."""
    return [customer(number, number) for number in range(1, count + 1)]


def customer(number: int, day: int, **more: Any) -> Row:
    """One row, last changed on a day of January."""
    return {
        "id": number,
        "name": f"name {number} of day {day}",
        "updated_at": f"2026-01-{day:02}T00:00:00Z",
        **more,
    }


def project(folder: Path) -> Lab:
    """A copy of the project, and an empty data directory beside it."""
    root = copy_project(folder / "project")
    shutil.copytree(ROOT / "data" / "schemas", root / "data" / "schemas")
    return Lab(folder / "data", root)


def added(lab: Lab, request: AddRequest, *, load: bool = True) -> AddReport:
    """Add a source to a lab's project."""
    return add_source(lab.resolved, request, load=load)


def use_pipelines(patch: pytest.MonkeyPatch, lab: Lab) -> None:
    """Have ``dlt_pipelines`` mean the folder of a lab's project, as it does in its own process."""
    import dlt_pipelines

    patch.setattr(dlt_pipelines, "__path__", [str(lab.root / "dlt_pipelines")])
    for name in [name for name in sys.modules if name.startswith("dlt_pipelines.")]:
        patch.delitem(sys.modules, name)
    importlib.invalidate_caches()


def example(page: str) -> tuple[list[str], list[str]]:
    """The command of a how-to page's console block, as words after ``headrace``, and its output."""
    text = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    block = text.split("```console\n")[1].split("```")[0]
    command, *output = block.strip().splitlines()
    assert command.startswith("$ uv run headrace ")
    return command.split()[4:], output
