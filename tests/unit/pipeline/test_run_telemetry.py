"""What a run tells becomes log lines with rows and seconds, and is passed on."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.pipeline.reports import Event, LoadJob, TableReport
from headrace.pipeline.run_telemetry import RunTelemetry, job_name
from headrace.settings import resolve
from headrace.targets import Target
from headrace.telemetry.json_log import to_stdout

AT = datetime(2030, 1, 2, tzinfo=UTC)


class Listening:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.loads: list[tuple[Any, ...]] = []

    def listen(self, event: Event) -> None:
        self.events.append(event)

    def load_started(self, source: str) -> None:
        self.loads.append((source,))

    def load_ended(self, source: str, tables: Any = (), *, error: str | None = None) -> None:
        self.loads.append((source, tuple(tables), error))


def job(seconds: float, *, at: float = 0) -> LoadJob:
    began = AT + timedelta(seconds=at)
    ended = began + timedelta(seconds=seconds)
    return LoadJob(table="orders", started_at=began, ended_at=ended, format="parquet")


def test_tables_stages_and_nodes_are_lines(tmp_path: Path) -> None:
    listening, stream = Listening(), io.StringIO()
    table = TableReport(
        source="crm", table="orders", rows_given=10, rows_new=7, rows_changed=1,
        rows_quarantined=2, rows_total=50, jobs=(job(1), job(1, at=1.5)),
    )  # fmt: skip
    events = (
        Event("load", "load", "started"),
        Event("load", "half", "progress", share=0.5),
        Event("load", "crm.orders", "done"),
        Event("build", "model orders", "failed", "error", 0.25, node="model.p.orders"),
        Event("publish", "marts.orders", "done", "9 rows", 0.5, table="marts.orders", rows=9),
    )
    with to_stdout("info", stream=stream):
        told = RunTelemetry(
            "r1",
            "headrace run",
            target=target("duckdb", tmp_path),
            listen=listening.listen,
            loads=listening,
        )
        told.load_started("crm")
        for event in events:
            told.listen(event)
        told.load_ended("crm", iter([table]), error="one file cannot be read")
        assert told.run_ended("success", 8) is None
    assert listening.events == list(events)
    assert listening.loads == [("crm",), ("crm", (table,), "one file cannot be read")]
    lines = {one["message"]: one for one in map(json.loads, stream.getvalue().splitlines())}
    assert list(lines) == [
        "run began", "source began", "model orders", "table published", "table loaded",
        "source ended",
    ]  # fmt: skip
    loaded = lines["table loaded"]
    assert (loaded["source"], loaded["table"], loaded["stage"]) == ("crm", "orders", "load")
    assert (loaded["rows"], loaded["seconds"], loaded["level"]) == (10, 2.5, "warning")
    assert loaded["rows_quarantined"] == 2
    assert (lines["source ended"]["error"], lines["source ended"]["level"]) == (
        "one file cannot be read", "error",
    )  # fmt: skip
    built = lines["model orders"]
    assert (built["level"], built["status"], built["seconds"]) == ("error", "failed", 0.25)
    published = lines["table published"]
    assert (published["table"], published["rows"]) == ("marts.orders", 9)


def test_jobs_are_not_part_of_a_report() -> None:
    table = TableReport(
        source="s", table="t", rows_given=0, rows_new=0, rows_changed=0, rows_total=0,
        jobs=(job(1),),
    )  # fmt: skip
    assert "jobs" not in table.model_dump()
    assert TableReport(**table.model_dump()).seconds is None


def target(name: str, folder: Path) -> Target:
    (folder / "config").mkdir()
    (folder / "config" / "default.yml").write_text(f"target: {name}\n", encoding="utf-8")
    return resolve(folder, environ={}).target


@pytest.mark.parametrize(
    ("name", "file_format", "job"),
    [
        ("redshift", "reference", "Redshift COPY"),
        ("redshift", "insert_values", "Redshift INSERT"),
        ("snowflake", "parquet", "Snowflake COPY INTO"),
        ("postgres", "csv", "PostgreSQL COPY"),
        ("duckdb", "parquet", "DuckDB INSERT"),
        ("duckdb", "sql", "DuckDB MERGE"),
        ("lake", "parquet", "DuckDB INSERT"),
        ("spark", "parquet", "Spark INSERT"),
        ("sail", "parquet", "Sail INSERT"),
    ],
)
def test_a_job_is_named_by_the_statement_that_it_runs(
    name: str, file_format: str, job: str, tmp_path: Path
) -> None:
    assert job_name(target(name, tmp_path), file_format) == job


def test_what_is_staged_is_put_into_s3_before_it_is_copied(tmp_path: Path) -> None:
    redshift = target("redshift", tmp_path)
    names = [job_name(redshift, each, is_staged=True) for each in ("parquet", "reference", "sql")]
    assert names == ["S3 PUT", "Redshift COPY", "Redshift MERGE"]
