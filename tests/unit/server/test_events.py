"""Server-sent events: what they say, who gets them, how many there may be, and how they end."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from server_lab import TOKEN, Client, Project, assert_problem, write_project

from headrace.catalog import RunStore
from headrace.libraries.uvicorn import Server
from headrace.pipeline.progress import Progress, ProgressFile, path_of
from headrace.pipeline.reports import Event
from headrace.server import events
from headrace.server.access import Access
from headrace.server.app import create_app
from headrace.server.events import EventStreams
from headrace.server.runner import config
from headrace.server.state import ServerState

EVENTS = "/api/v1/events"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return write_project(tmp_path_factory.mktemp("project"))


@contextmanager
def served(state: ServerState, access: Access | None = None) -> Iterator[tuple[str, Any, Server]]:
    """The app behind our own uvicorn, as ``headrace serve`` has it."""
    access = access or Access()
    state.start()
    app = create_app(state, access)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        @contextmanager
        def no_signals(_: object) -> Iterator[None]:
            yield

        server = Server(config(app, access), no_signals, app.state.streams.end)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", app.state.streams, server
        finally:
            server.handle_exit(2, None)
            thread.join(30)
            assert not thread.is_alive()


def begin(project: Project, run_id: str) -> None:
    store = RunStore(project.url)
    store.begin_run(run_id, command="headrace watch", target="t", lock="x", code_version="1")
    store.end_run(
        run_id, status="success", seconds=1.0, error=None, rows_loaded=0, published_path=None
    )
    store.close()


def until(lines: Iterator[str], start: str) -> str:
    return next(line for line in lines if line.startswith(start))


def test_a_client_is_told_of_a_build_and_of_nothing_else(project: Project) -> None:
    state = project.state()
    with served(state) as (base, streams, _):
        page = httpx.get(f"{base}/", headers={"accept": "text/html"}, timeout=60).text
        token = page.partition('data-state="')[2].partition('"')[0]
        assert token == state.snapshot().token
        with httpx.stream("GET", f"{base}{EVENTS}?since={token}", timeout=60) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-accel-buffering"] == "no"
            lines = answer.iter_lines()
            assert until(lines, "retry") == "retry: 2000"
            assert streams.open == 1
            begin(project, "by-watch")
            assert until(lines, "event") == "event: changed"
            said = until(lines, "id")
            assert said == f"id: {state.snapshot().token}"
        # who comes back is told at once of what it missed, and once only
        headers = {"last-event-id": token}
        with httpx.stream("GET", f"{base}{EVENTS}", headers=headers, timeout=60) as answer:
            assert until(answer.iter_lines(), "id") == said
        for _ in range(200):
            if not streams.open:
                break
            time.sleep(0.02)
        assert not streams.open, "a client that left is not counted"


def test_streams_end_with_the_server(project: Project) -> None:
    with (
        served(project.state()) as (base, _, server),
        httpx.stream("GET", f"{base}{EVENTS}", timeout=60) as answer,
    ):
        lines = answer.iter_lines()
        until(lines, "retry")
        server.handle_exit(2, None)
        assert all(line.startswith(("event", "id", "data")) or not line for line in lines)


def test_without_the_token_there_is_no_stream(project: Project) -> None:
    with Client(project.state(), Access(host="0.0.0.0", token=TOKEN)) as client:  # noqa: S104
        assert_problem(client.get(EVENTS), 401, "unauthorized")
        assert "data-state" not in client.get("/login", headers={"accept": "text/html"}).text
        assert_problem(client.get(EVENTS, headers={"host": "evil.example.com"}), 421, "wrong_host")


def test_head_has_an_end(project: Project) -> None:
    with Client(project.state()) as client:
        answer = client.ask("HEAD", EVENTS)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.content == b""


def test_the_number_of_streams_is_bounded(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_STREAMS", 1)
    with (
        served(project.state()) as (base, _, _),
        httpx.stream("GET", f"{base}{EVENTS}", timeout=60) as answer,
    ):
        lines = answer.iter_lines()  # which would end the stream if it were dropped
        until(lines, "retry")
        refused = httpx.get(f"{base}{EVENTS}", timeout=60)
        assert_problem(refused, 503, "unavailable")
        assert refused.headers["retry-after"]
        assert httpx.get(f"{base}/api/v1/home", timeout=60).status_code == 200


def test_a_silent_stream_beats_and_ends(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {
        "BEAT_SECONDS": 0.02,
        "STREAM_SECONDS": 0.2,
        "_LOOK_SECONDS": 0.01,
    }.items():
        monkeypatch.setattr(events, name, seconds)
    state = project.state()

    async def texts() -> list[str]:
        return [text async for text in EventStreams(state).events(state.snapshot().token)]

    first, *others = asyncio.run(texts())
    state.close()
    assert first.startswith("retry")
    assert set(others) == {": still here\n\n"}


def test_progress_is_written_while_a_run_runs_and_no_longer(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    heard: list[Event] = []
    file = ProgressFile(path)
    with Progress(path, heard.append) as progress:
        progress.begin("run-1")
        for event in (
            Event("build", "build", "started"),
            Event("build", "parsing the project", "phase"),
            Event("build", "model orders", "started"),
            Event("build", "model customers", "started"),
            Event("build", "model customers", "failed", "error", 0.1),
        ):
            progress.listen(event)
        for _ in range(300):  # what comes within half a second is written after it
            now = file.read()
            if now is not None and now.done:
                break
            time.sleep(0.02)
        assert now is not None
        assert (now.run_id, now.step, now.phase, now.done) == ("run-1", "build", "", 1)
        assert list(now.running) == ["model orders"]
        assert now.failed == ("model customers",)
        assert file.stamp()
    assert len(heard) == 5
    assert file.read() is None
    assert file.stamp() == 0
    path.write_text(json.dumps({"run_id": "of another Headrace"}))
    assert file.read() is None
    assert ProgressFile(None).stamp() == 0


def test_what_is_done_after_the_last_step_is_not_said_of_that_step(tmp_path: Path) -> None:
    file = ProgressFile(path_of(tmp_path))
    with Progress(path_of(tmp_path), lambda _: None) as progress:
        progress.begin("run-1")
        progress.listen(Event("publish", "publish", "started"))
        progress.listen(Event("publish", "publish", "done", "", 0.1))
        progress.listen(Event("profiles", "profiling orders", "phase"))
        for _ in range(300):
            now = file.read()
            if now is not None and now.phase:
                break
            time.sleep(0.02)
        assert now is not None
        assert (now.step, now.phase) == ("profiles", "profiling orders")
        assert now.step_since == now.phase_since


def test_the_page_of_a_run_says_what_runs_now(project: Project) -> None:
    store = RunStore(project.url)
    store.begin_run("at-work", command="run", target="t", lock="x", code_version="1")
    path = path_of(project.directory)
    state = ServerState(
        project="lab", run_store_url=project.url, published=project.published, progress_file=path
    )
    with Progress(path, lambda _: None) as progress, Client(state) as client:
        progress.listen(Event("build", "build", "started"))
        progress.listen(Event("build", "test unique(<b>id</b>)", "started"))
        assert client.json("/api/v1/run", id="at-work")["now"] is None, "it is of no known run"
        progress.begin("at-work")
        now = client.json("/api/v1/run", id="at-work")["now"]
        assert now["step"] == "build"
        assert [one["name"] for one in now["doing"]] == ["test unique(<b>id</b>)"]
        page = client.get("/runs/at-work", headers={"accept": "text/html"}).text
        assert "<bdi>test unique(&lt;b&gt;id&lt;/b&gt;)</bdi>" in page
        assert client.json("/api/v1/run", id="run-001")["now"] is None
    store.end_run(
        "at-work", status="success", seconds=1, error=None, rows_loaded=0, published_path=None
    )
    store.close()
