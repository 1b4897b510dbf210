"""A small project as the server sees it, the app over it, and a client that needs no network."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from benchmarks import server_data

from headrace.catalog import Catalog, RunStore
from headrace.server.access import Access
from headrace.server.app import create_app
from headrace.server.state import ServerState

SIZE = server_data.Size(assets=50, columns=6, runs=4, published=3)
BASE = "http://127.0.0.1:8585"
TOKEN = "a-token-of-many-letters"  # noqa: S105


@dataclass(frozen=True)
class Project:
    """A run store and a published file in a directory."""

    directory: Path
    catalog: Catalog = field(default_factory=lambda: server_data.make_catalog(SIZE))

    @property
    def url(self) -> str:
        return f"sqlite:///{self.directory / 'headrace.sqlite'}"

    @property
    def published(self) -> Path:
        return self.directory / "published.duckdb"

    @property
    def mart(self) -> str:
        """The id of a published mart."""
        return server_data.marts(self.catalog)[0].id

    def state(self, *, allow_pii: bool = False) -> ServerState:
        return ServerState(
            project="lab",
            run_store_url=self.url,
            published=self.published,
            log_file=self.directory / "logs" / "headrace.jsonl",
            lock_path=self.directory / "lock",
            allow_pii=allow_pii,
        )

    def save(self, catalog: Catalog, run_id: str = "by-hand") -> None:
        """Make that the newest version."""
        store = RunStore(self.url)
        try:
            store.save_catalog(catalog, run_id)
        finally:
            store.close()


def write_project(directory: Path) -> Project:
    """Fifty assets in five layers, four runs, three published marts."""
    directory.mkdir(parents=True, exist_ok=True)
    server_data.write(directory, SIZE)
    return Project(directory)


class Client:
    """Asks the app itself; used as a context manager."""

    def __init__(
        self, state: ServerState, access: Access | None = None, *, base: str = BASE
    ) -> None:
        self.state = state
        self._loop = asyncio.new_event_loop()
        transport = httpx.ASGITransport(app=create_app(state, access or Access()))
        self._client = httpx.AsyncClient(transport=transport, base_url=base)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        self.state.close()

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._loop.run_until_complete(self._client.request(method, path, **options))

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        options: dict[str, Any] = {} if params is None else {"params": params}
        return self.ask("GET", path, headers=headers, **options)

    def json(self, path: str, **params: Any) -> Any:
        """The answer to a request that must be good."""
        answer = self.get(path, params)
        assert answer.status_code == 200, answer.text
        return answer.json()


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The answer is an error in the one shape, with nothing of the inside in it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= set(found)
    assert found["status"] == status
    assert found["code"] == code
    assert "Traceback" not in answer.text
    assert "/src/" not in answer.text
    return found
