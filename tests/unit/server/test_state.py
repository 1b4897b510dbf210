"""Snapshots follow the run store: new versions, replaced stores, dead runs."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from server_lab import SIZE, Client, Project, assert_problem, write_project

from headrace.catalog import Asset, RunStore
from headrace.errors import RunStoreError
from headrace.server import queries
from headrace.server.errors import NotFoundError


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return write_project(tmp_path_factory.mktemp("project"))


def test_a_new_version_is_seen_after_a_refresh_and_not_before(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    state = project.state()
    assets = dict(project.catalog.assets)
    assets["model.lab.new"] = Asset(id="model.lab.new", kind="model", name="new", schema="marts")
    parents = {**project.catalog.parents, "model.lab.new": ()}
    before = state.snapshot()
    assert not state.refresh()
    project.save(replace(project.catalog, assets=assets, parents=parents))
    assert state.snapshot() is before
    assert state.refresh()
    assert queries.asset(state, "model.lab.new").name == "new"
    assert "asset added" in {change.what for change in queries.changes(state).changes}
    assert state.snapshot().token != before.token
    # who still holds the old one reads on
    assert "model.lab.new" not in before.index.catalog.assets
    state.close()


def test_watching_finds_a_new_version_by_itself(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    state = project.state()
    before = state.snapshot().index.catalog.version
    state.watch()
    project.save(replace(project.catalog, column_edges=()))
    for _ in range(3_000):
        if state.snapshot().index.catalog.version != before:
            break
        state._closing.wait(0.1)
    assert state.snapshot().index.catalog.version == 3
    state.close()


def test_without_a_run_everything_is_empty_and_nothing_is_made(tmp_path: Path) -> None:
    state = Project(tmp_path).state()
    home = queries.home(state)
    assert home.hint == "there has been no run yet: run `headrace run`"
    assert home.publish.status == "none"
    assert (home.runs, home.counts) == ((), {})
    assert queries.assets(state).total == queries.search(state, "x").total == 0
    assert queries.runs(state).runs == ()
    assert queries.changes(state).changes == ()
    with pytest.raises(NotFoundError, match="no such asset"):
        queries.asset(state, "model.lab.x")
    state.close()
    assert list(tmp_path.iterdir()) == []


def test_a_large_catalog_is_read_while_requests_are_told_so(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    state = project.state()
    make = state.make_snapshot
    monkeypatch.setattr("headrace.server.state.LARGE_CATALOG", 10)
    monkeypatch.setattr(state, "make_snapshot", lambda *given: go_on.wait(30) and make(*given))
    with Client(state) as client:
        state.start()
        assert not state.is_ready
        answer = client.get("/api/v1/home")
        assert_problem(answer, 503, "unavailable")
        assert "is being read" in answer.text
        assert answer.headers["retry-after"] == "2"
        page = client.get("/", headers={"accept": "text/html"})
        assert page.status_code == 503
        assert "data-again" in page.text
        assert client.get("/healthz").status_code == 200
        go_on.set()
        while not state.is_ready:
            time.sleep(0.01)
        assert client.json("/api/v1/home")["catalog_version"] == 2


def test_a_small_catalog_is_read_before_anybody_asks(project: Project) -> None:
    state = project.state()
    state.start()
    assert state.is_ready
    state.close()


def test_a_run_store_that_comes_later_is_found(tmp_path: Path) -> None:
    state = Project(tmp_path).state()
    assert queries.home(state).catalog_version is None
    write_project(tmp_path)
    assert state.refresh()
    assert queries.home(state).catalog_version == 2
    state.close()


def test_a_run_store_that_was_replaced_is_opened_again(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    state = project.state()
    assert len(queries.runs(state).runs) == SIZE.runs
    for path in tmp_path.glob("headrace.sqlite*"):
        path.unlink()
    store = RunStore(project.url)
    store.begin_run("other", command="headrace run", target="x", lock="y", code_version="1")
    store.close()
    assert state.refresh()
    home = queries.home(state)
    assert [run.run_id for run in home.runs] == ["other"]
    assert home.hint is not None
    state.close()


def test_a_run_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    store = RunStore(project.url)
    with store.begin() as connection:
        connection.exec_driver_sql("update meta set value = '999'")
    store.close()
    with pytest.raises(RunStoreError, match="version 999"):
        project.state().snapshot()


def test_a_dead_run_is_interrupted(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    store = RunStore(project.url)
    for run_id in ("older", "dead"):
        store.begin_run(run_id, command="headrace run", target="x", lock=run_id, code_version="1")
    store.close()
    state = project.state()
    statuses = {run.run_id: run.status for run in queries.runs(state).runs}
    assert (statuses["dead"], statuses["older"]) == ("interrupted", "interrupted")
    assert statuses["run-000"] == "success"
    assert queries.run(state, "dead").run.status == "interrupted"
    state.close()
