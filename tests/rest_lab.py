"""An API whose answers are a function, and a load of it into DuckDB without a project."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import dlt
import duckdb

from headrace.errors import HeadraceError
from headrace.exceptions import causes
from headrace.ingest import IngestContext, TableLoad
from headrace.ingest.model import SchemaContract
from headrace.ingest.rest import ApiLimits, ApiResource, api_source
from headrace.libraries import dlt as libraries_dlt
from headrace.libraries.duckdb import opened_once


@dataclass
class Reply:
    """An answer.

    Attributes:
        body: bytes as they are, else JSON.
        headers: besides the length.
        status: of HTTP.
    """

    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200


@dataclass
class Asked:
    """A request that came in."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


class TestApi(ThreadingHTTPServer):
    """Answers each request by a function of it."""

    __test__ = False
    daemon_threads = True

    def __init__(self, answer: Callable[[Asked], Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.asked: list[Asked] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: TestApi
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body would wait 40 ms for the receipt of its header

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        asked = Asked(address.path, dict(parse_qsl(address.query)), dict(self.headers))
        self.server.asked.append(asked)
        given = self.server.answer(asked)
        reply = given if isinstance(given, Reply) else Reply(given)
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        headers = {"Content-Length": str(len(body)), **reply.headers}
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serve(answer: Callable[[Asked], Any]) -> Iterator[TestApi]:
    """The API, on a free port of this machine."""
    with TestApi(answer) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@dataclass
class RestLab:
    """Loads of one API into one DuckDB file.

    Attributes:
        folder: of the file, and of dlt.
        told: what the loads reported.
    """

    folder: Path
    told: list[TableLoad] = field(default_factory=list)

    def load(
        self,
        url: str,
        resources: dict[str, ApiResource] | None = None,
        *,
        defaults: ApiResource | None = None,
        limits: ApiLimits | None = None,
        contract: SchemaContract | None = None,
        token: str | None = None,
        allowed_hosts: tuple[str, ...] = (),
        full_refresh: bool = False,
        extract_only: bool = False,
    ) -> None:
        """One load; the error of a failed one is that which a user sees."""
        client: dict[str, Any] = {"base_url": url}
        if token:
            client["auth"] = {"type": "bearer", "token": token}
        source = api_source(
            self.context(contract),
            client,
            resources or {"orders": ApiResource()},
            defaults=defaults or ApiResource(primary_key=["id"]),
            limits=limits,
            allowed_hosts=allowed_hosts,
            timeout=5,
            max_attempts=1,
        )
        with libraries_dlt.environment(), opened_once(self.file, {}):
            try:
                if extract_only:
                    self.pipeline().extract(source)
                elif full_refresh:
                    self.pipeline().run(source, refresh="drop_sources")
                else:
                    self.pipeline().run(source)
            except Exception as error:
                raise cause_of(error) from error

    @property
    def file(self) -> Path:
        """What is loaded into."""
        return self.folder / "crm.duckdb"

    def extract(self, url: str) -> None:
        """What a load does before anything is written to the file."""
        self.load(url, extract_only=True)

    def pipeline(self) -> dlt.Pipeline:
        return dlt.pipeline(
            pipeline_name="crm",
            destination=dlt.destinations.duckdb(str(self.file)),
            dataset_name="crm_raw",
            pipelines_dir=str(self.folder / "dlt"),
        )

    def context(self, contract: SchemaContract | None) -> IngestContext:
        return IngestContext(
            source="crm",
            sample_dir=self.folder,
            scratch_dir=self.folder / "scratch",
            cache_path=self.folder / "cache.json",
            dataset="crm_raw",
            contract=contract or SchemaContract(),
            attach_warehouse=lambda *_: False,
            accepts_sql=True,
            full_refresh=False,
            thorough=False,
            memory_limit="512MB",
            report=self.told.append,
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the file."""
        with duckdb.connect(str(self.file), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(sql).fetchall()

    def types(self, table: str = "orders") -> dict[str, str]:
        """The columns of a table, dlt's own left out."""
        rows = self.query(f"describe crm_raw.{table}")
        return {row[0]: row[1] for row in rows if not row[0].startswith("_dlt")}


def cause_of(error: BaseException) -> BaseException:
    """The error that is meant for the user, as the pipeline finds it in dlt's wrapping."""
    chain = list(causes(error))
    return next((cause for cause in chain if isinstance(cause, HeadraceError)), chain[-1])
