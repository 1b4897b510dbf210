"""Why a test fails: since when, and what changed upstream of it in between."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from server_lab import Client

from headrace.catalog import Asset, Catalog, Column, RunStore, TestInfo
from headrace.error_detail import ErrorDetail
from headrace.server import queries
from headrace.server.state import ServerState
from headrace.server.static_site import write_site

TEST = "test.p.accepted"
BEGAN = datetime.now(UTC) - timedelta(hours=5)
HTML = {"accept": "text/html"}
DETAIL = ErrorDetail(
    rows=({"id": "7", "status": "<b>lost</b>", "email": "***"},),
    rows_total=1234,
    query="select 1 as of_the_query",
)


def catalog() -> Catalog:
    assets = [
        Asset(id="table.s_raw.orders", kind="table", name="orders", schema="s_raw"),
        Asset(id="table.s_raw.other", kind="table", name="other", schema="s_raw"),
        Asset(
            id="model.p.orders", kind="model", name="orders", schema="marts",
            identifier="orders", columns=(Column("id", "INTEGER"),), compiled_code="select 1",
        ),
        Asset(
            id=TEST, kind="test", name="accepted_values(status) on orders",
            test=TestInfo("accepted_values", "model.p.orders", "status", "error"),
        ),
    ]  # fmt: skip
    parents = {"model.p.orders": ("table.s_raw.orders",), TEST: ("model.p.orders",)}
    return Catalog({one.id: one for one in assets}, parents)


class History:
    """Runs of a test, an hour apart, in a run store."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'runs.sqlite'}"
        self.store = RunStore(self.url)
        self.folder = folder
        self._runs = 0

    def run(
        self,
        status: str,
        *,
        code: str = "aaaa",
        loads: tuple[str, ...] = (),
        kept: Catalog | None = None,
        **node: Any,
    ) -> str:
        self._runs += 1
        run_id = f"run-{self._runs}"
        at = BEGAN + timedelta(hours=self._runs)
        self.store.begin_run(
            run_id, command="run", target="t", lock="x", code_version=code, started_at=at
        )
        row = {
            "unique_id": TEST, "name": "t", "label": "accepted_values(status) on orders",
            "resource_type": "test", "status": status, "seconds": 0.1, "started_at": at,
            "thread": "Thread-1", "failures": None, "message": None, "detail": None, **node,
        }  # fmt: skip
        self.store.add_nodes(run_id, [row])
        self.store.add_loads(run_id, [_load(table) for table in loads])
        self.store.save_catalog(kept or catalog(), run_id)
        self.store.end_run(
            run_id, status="success" if status == "pass" else "failed", seconds=3600.0, error=None,
            rows_loaded=0, published_path=None,
        )  # fmt: skip
        return run_id

    def state(self) -> ServerState:
        missing = self.folder / "none.duckdb"
        return ServerState(project="why", run_store_url=self.url, published=missing)

    def why(self) -> Any:
        with Client(self.state()) as client:
            return client.json("/api/v1/asset", id=TEST)["why"]

    def page(self, path: str) -> str:
        with Client(self.state()) as client:
            return client.get(path, headers=HTML).text


def _load(table: str) -> dict[str, Any]:
    rows = 0 if table == "nothing" else 5
    return {
        "source": "s", "table": table, "rows_given": 5, "rows_new": rows, "rows_changed": 0,
        "rows_unchanged": 0, "rows_quarantined": 0, "rows_total": 5, "new_columns": None,
    }  # fmt: skip


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    found = History(tmp_path)
    yield found
    found.store.close()


def test_what_changed_is_between_the_last_pass_and_the_first_failure(history: History) -> None:
    history.run("pass", loads=("orders",))
    good = history.run("pass", code="bbbb")
    first = catalog()
    model = first.assets["model.p.orders"]
    changed = replace(
        first, assets={**first.assets, model.id: replace(model, compiled_code="select 2")}
    )
    bad = history.run(
        "fail", code="cccc", loads=("orders", "other", "nothing"), kept=changed, failures=3
    )
    history.run("skipped", loads=("orders",), kept=changed)
    history.run("fail", code="dddd", loads=("orders",), kept=changed, failures=3)
    why = history.why()
    assert why["good"]["run_id"] == good
    assert why["since"]["run_id"] == bad
    assert why["code"] == {"before": "bbbb", "after": "cccc"}
    assert [(one["source"], one["table"], one["run_id"]) for one in why["loads"]] == [
        ("s", "orders", bad)
    ]
    page = history.page(f"/assets/{TEST}")
    assert f'href="/runs/{good}"' in page
    assert "5 new" in page


def test_test_that_never_passed_and_one_that_passes_again(history: History) -> None:
    bad = history.run("fail", failures=1)
    why = history.why()
    assert why["good"] is None
    assert why["since"]["run_id"] == bad
    assert "It has never passed" in history.page(f"/assets/{TEST}")
    history.run("pass")
    assert history.why() is None


def test_nothing_that_changed_is_said(history: History) -> None:
    history.run("pass")
    history.run("warn", failures=1)
    why = history.why()
    assert (why["code"], why["changes"], why["loads"]) == (None, [], [])
    assert "may depend on the day" in history.page(f"/assets/{TEST}")


def test_rows_are_shown_with_their_number_and_the_query(history: History) -> None:
    history.run("pass")
    run_id = history.run("fail", failures=1234, message="broken by 1,234 rows", detail=DETAIL)
    for path in (f"/assets/{TEST}", f"/runs/{run_id}"):
        page = history.page(path)
        assert "<bdi>&lt;b&gt;lost&lt;/b&gt;</bdi>" in page
        assert "1 of 1,234 rows" in page
        assert "of_the_query" in page
        assert "run of <time" in page, "the last good one"


def test_tests_are_a_grid_by_run(history: History) -> None:
    assert "Tests by run" not in history.page("/assets/model.p.orders"), "one run is no history"
    runs = [history.run(status) for status in ("pass", "fail", "skipped", "reused", "warn")]
    state = history.state()
    for asset_id in (None, "model.p.orders"):
        grid = queries.results_by_run(state, asset_id)
        assert grid is not None
        assert [run.run_id for run in grid.runs] == runs, "the oldest first"
        (row,) = grid.tests
        assert (row.id, grid.more) == (TEST, 0)
        assert row.results == ("pass", "fail", "skipped", "reused", "warn")
    assert queries.results_by_run(state, "table.s_raw.orders") is None
    state.close()
    for path in ("/", "/assets/model.p.orders"):
        page = history.page(path)
        for sign in ("✓", "✕", "○", "=", "!"):
            assert f">{sign}</td>" in page
        assert all(f'href="/runs/{run}"' in page for run in runs)


@pytest.mark.parametrize("samples", [False, True])
def test_the_static_site_has_rows_only_where_it_has_samples(
    history: History, samples: bool
) -> None:
    history.run("fail", failures=1234, message="broken by 1,234 rows", detail=DETAIL)
    out = history.folder / "site"
    with closing(history.state()) as state:
        write_site(state, out, samples=samples)
    texts = [one.read_text("utf-8") for one in out.rglob("*.html")]
    for part in ("&lt;b&gt;lost", "of_the_query"):
        assert any(part in text for text in texts) == samples
    assert not any("<bdi>email</bdi>" in text for text in texts), "not even a masked column"
