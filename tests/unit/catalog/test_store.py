"""The run store, on SQLite and on a real Postgres."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, tzinfo
from pathlib import Path
from threading import Barrier

import pytest

from headrace.catalog import NodeFailure, RunStore
from headrace.errors import RunStoreError


def begin(store: RunStore, run_id: str, lock: str) -> int:
    return store.begin_run(
        run_id, command="headrace run", target="duckdb", lock=lock, code_version="abc"
    )


class _NextYear(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "_NextYear":
        return cls.fromtimestamp(time.time() + 366 * 86_400, tz)


def test_runs_are_ordered_by_number_when_the_clock_was_a_year_ahead(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(url)
    begin(store, "r1", "a.lock")
    with monkeypatch.context() as patch:
        patch.setattr("headrace.catalog.store.datetime", _NextYear)
        begin(store, "r2", "a.lock")
    begin(store, "r3", "a.lock")
    assert [run.run_id for run in store.last_runs(3)] == ["r3", "r2", "r1"]
    store.close()


def test_a_run_is_written_and_read(url: str) -> None:
    store = RunStore(url)
    assert begin(store, "r1", "a.lock") == 0
    store.add_step("r1", "load", "success", 1.5)
    store.add_loads(
        "r1",
        [
            {
                "source": "s",
                "table": "t",
                "rows_given": 10,
                "rows_new": 3,
                "rows_changed": 2,
                "rows_unchanged": 4,
                "rows_total": 5_000_000_000,
                "rows_quarantined": 1,
                "new_columns": None,
            }
        ],
    )
    node = {"resource_type": "test", "seconds": 0.1, "failures": 2, "message": "broken"}
    store.add_nodes(
        "r1",
        [
            {"unique_id": "test.a", "name": "a", "label": "a", "status": "fail", **node},
            {"unique_id": "test.b", "name": "b", "label": "b", "status": "pass", **node},
        ],
    )
    store.end_run(
        "r1", status="failed", seconds=9.5, error=None, rows_loaded=5, published_path=None
    )
    (run,) = store.last_runs(1)
    assert (run.status, run.rows_loaded, run.seconds) == ("failed", 5, 9.5)
    detail = store.run("r1")
    assert detail is not None
    (load,) = detail.loads
    assert (load.rows_given, load.rows_unchanged, load.rows_total) == (10, 4, 5_000_000_000)
    assert run.failures == (NodeFailure("a", "broken"),)
    assert run.started_at.tzinfo is not None
    store.close()


def test_a_dead_run_is_marked_as_interrupted_when_the_next_begins(tmp_path: Path) -> None:
    store = RunStore(f"sqlite:///{tmp_path / 'runs.sqlite'}")
    begin(store, "r1", "a.lock")
    begin(store, "other", "b.lock")
    assert begin(store, "r2", "a.lock") == 1
    assert {run.run_id: run.status for run in store.last_runs(10)} == {
        "r1": "interrupted",
        "other": "running",
        "r2": "running",
    }
    store.close()


def test_a_page_reads_while_a_run_writes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'runs.sqlite'}"
    writer, reader = RunStore(url), RunStore(url)
    begin(writer, "r1", "a.lock")
    with ThreadPoolExecutor(2) as pool:
        writes = [pool.submit(writer.add_step, "r1", "load", "success", 1.0) for _ in range(50)]
        reads = [pool.submit(reader.last_runs, 5) for _ in range(50)]
    assert all(future.exception() is None for future in writes + reads)
    writer.close()
    reader.close()


def test_several_may_open_an_empty_store_at_once(url: str) -> None:
    together = Barrier(4)

    def opened() -> bool:
        together.wait()
        RunStore(url).close()
        return True

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(opened) for _ in range(4)]
        assert all(job.result() for job in jobs)


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "runs.sqlite"
    RunStore(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("update meta set value = '99'")
    connection.close()
    with pytest.raises(RunStoreError, match="version 99"):
        RunStore(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("no url", "not a SQLAlchemy URL"),
        ("postgresql://me:hunter2@127.0.0.1:1/x", "cannot be used"),
        ("oracle2://me:hunter2@host/x", "not a SQLAlchemy URL"),
    ],
)
def test_an_unreachable_store_is_an_error_of_one_line_without_the_password(
    url: str, message: str
) -> None:
    with pytest.raises(RunStoreError, match=message) as caught:
        RunStore(url)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_a_database_is_an_error_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(RunStoreError, match="cannot be used"):
        RunStore(f"sqlite:///{path}")
