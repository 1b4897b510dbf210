"""What a publish would change: compared in a thread, masked, and never in a run's way."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from server_lab import Client, write_project

from headrace.pipeline import lock
from headrace.server import comparison
from headrace.server.comparison import Comparison, ComparisonView
from headrace.server.state import ServerState, open_state
from headrace.settings import Resolved, resolve

WAIT = 60.0


@pytest.fixture
def resolved(tmp_path: Path) -> Resolved:
    """A project of which one mart is published, and another version of it is built."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "default.yml").write_text("{}\n")
    found = resolve(tmp_path, flags=[f"data_dir={tmp_path / 'data'}"], environ={})
    write(found.published, "select range as id, 'ann' as name from range(5)")
    write(warehouse(found), "select range as id, 'bob' as name from range(1, 9)")
    return found


@pytest.fixture
def compared(resolved: Resolved) -> Iterator[Comparison]:
    found = Comparison(resolved)
    yield found
    found.close()


def warehouse(resolved: Resolved) -> Path:
    path = resolved.target.database_file
    assert path is not None
    return path


def write(path: Path, orders: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema if not exists marts")
        connection.execute(f"create or replace table marts.orders as {orders}")


def test_tables_are_compared_and_what_is_not_known_is_masked(
    compared: Comparison, resolved: Resolved
) -> None:
    view = compared.view(wait=WAIT)
    assert view.status == "ready"
    assert view.report is not None
    (table,) = view.report.tables
    assert (table.name, table.status, table.rows_before, table.rows_after) == (
        "marts.orders", "changed", 5, 8,
    )  # fmt: skip
    assert "ann" not in view.model_dump_json()
    assert not list((resolved.data_dir / "spill").iterdir()), "the copies are removed"
    assert compared.view() is view, "it is kept as long as both files are"


def test_it_is_made_again_when_a_file_changed(compared: Comparison, resolved: Resolved) -> None:
    compared.view(wait=WAIT)
    write(warehouse(resolved), "select range as id, 'ann' as name from range(5)")
    assert compared.view().status == "comparing"
    report = compared.view(wait=WAIT).report
    assert report is not None
    assert not report.is_different


def test_a_run_is_neither_met_nor_held_up(compared: Comparison, resolved: Resolved) -> None:
    with (
        lock.hold(resolved.target, "headrace run"),
        duckdb.connect(str(warehouse(resolved))) as writer,
    ):
        writer.execute("insert into marts.orders values (100, 'eve')")
        view = compared.view(wait=WAIT)
        assert (view.status, view.why) == ("unavailable", "A run is writing the warehouse.")
    assert compared.view(wait=WAIT).status == "ready"


def test_what_is_missing_is_said(resolved: Resolved, compared: Comparison) -> None:
    resolved.published.unlink()
    assert "Nothing is published yet" in str(compared.view().why)
    warehouse(resolved).unlink()
    assert compared.view().why == "Nothing is built yet."


def test_time_and_size_are_bounded(
    resolved: Resolved, compared: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "MAX_BYTES", 1000)
    too_large = compared.view(wait=WAIT)
    assert "headrace diff" in str(too_large.hint)
    monkeypatch.setattr(comparison, "MAX_BYTES", 10**9)
    monkeypatch.setattr(comparison, "MAX_SECONDS", 0.2)
    with duckdb.connect(str(warehouse(resolved))) as connection:  # reading it takes minutes
        connection.execute(
            "create view marts.slow as select sum(a.range * b.range) as n "
            "from range(1000000) as a, range(1000000) as b"
        )
    with duckdb.connect(str(resolved.published)) as connection:
        connection.execute("create table marts.slow as select 1 as n")
    late = compared.view(wait=WAIT)
    assert "more than 0 seconds" in str(late.why)


def test_a_file_that_is_no_database_is_said(compared: Comparison, resolved: Resolved) -> None:
    warehouse(resolved).write_bytes(b"x" * 20_000)
    view = compared.view(wait=WAIT)
    assert view.status == "unavailable"
    assert "cannot be compared" in str(view.why)


def test_page_and_api_show_it(resolved: Resolved) -> None:
    with Client(open_state(resolved)) as client:
        asked = client.get("/api/v1/comparison", {"wait": "30"})
        view = ComparisonView.model_validate_json(asked.text)
        page = client.get("/comparison")
    assert view.status == "ready"
    assert page.status_code == 200
    assert "1 of 1 tables differ" in page.text
    assert "ann" not in page.text


def test_a_page_without_a_warehouse_says_why(tmp_path: Path) -> None:
    state: ServerState = write_project(tmp_path / "lab").state()
    with Client(state) as client:
        assert "does not publish" in client.get("/comparison").text
