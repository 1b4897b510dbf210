"""``/metrics``: valid for Prometheus, and true to the run store."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from server_lab import TOKEN, Client, Project, write_project

from headrace.catalog import RunStore
from headrace.server.access import Access
from headrace.server.metrics import BUCKETS, FAMILIES

Labels = frozenset[tuple[str, str]]
AT = datetime(2030, 1, 2, 3, 4, tzinfo=UTC)


def samples(text: str) -> dict[tuple[str, Labels], float]:
    """Each sample, by its name and labels, as Prometheus' own parser reads it."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels(**given: str) -> Labels:
    return frozenset(given.items())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return write_project(tmp_path)


@pytest.fixture
def client(project: Project) -> Iterator[Client]:
    with Client(project.state()) as found:
        yield found


def add_run(store: RunStore, run_id: str, *, status: str, seconds: float, new: int) -> None:
    store.begin_run(
        run_id, command="headrace load", target="duckdb", lock="l", code_version="v", started_at=AT
    )
    store.add_step(run_id, "load", status, seconds, AT)
    row = {"source": 'a "quoted"\nsource', "table": "t", "rows_given": new, "rows_new": new,
           "rows_changed": 2, "rows_unchanged": 0, "rows_quarantined": 1, "rows_total": 40 + new,
           "new_columns": None}  # fmt: skip
    store.add_loads(run_id, [row])
    if status != "success":
        failure = {"source": "crm", "table": None, "message": "no"}
        store.add_load_failures(run_id, [failure])
    store.end_run(
        run_id, status=status, seconds=seconds, error=None, rows_loaded=new, published_path=None
    )


def test_counts_and_durations_are_those_of_the_runs(project: Project, client: Client) -> None:
    before = samples(client.get("/metrics").text)
    with closing(RunStore(project.url)) as store:
        add_run(store, "one", status="success", seconds=0.3, new=10)
        add_run(store, "two", status="error", seconds=45.0, new=5)
    client.state.refresh()
    found = samples(client.get("/metrics").text)

    def value(name: str, **given: str) -> float:
        return found[name, labels(**given)]

    of = {"source": 'a "quoted"\nsource', "table": "t"}
    assert value("headrace_rows_total", stage="load", outcome="new", **of) == 15
    assert value("headrace_rows_total", stage="load", outcome="quarantined", **of) == 2
    assert value("headrace_table_rows", stage="load", **of) == 45
    assert value("headrace_load_errors_total", source="crm", table="") == 1
    assert value("headrace_load_errors_total", **of) == 0, "before its first failure"
    run = {"command": "headrace load", "target": "duckdb"}
    assert value("headrace_runs_total", status="failed", **run) == 0
    assert value("headrace_runs_total", status="error", **run) == 1
    assert value("headrace_last_run_timestamp_seconds", status="error", **run) == AT.timestamp()
    stage = {"stage": "load", "target": "duckdb"}
    added = 1 + before.get(("headrace_stage_errors_total", labels(**stage)), 0)
    assert value("headrace_stage_errors_total", **stage) == added
    name = "headrace_stage_duration_seconds"
    assert value(f"{name}_sum", status="error", **stage) == 45
    counts = {bound: value(f"{name}_bucket", status="error", le=str(bound), **stage)
              for bound in (*BUCKETS, "+Inf")}  # fmt: skip
    assert counts == {bound: float(bound == "+Inf" or float(bound) >= 45) for bound in counts}


def test_every_metric_is_described_and_of_its_type(client: Client) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {one.name: one for one in text_string_to_metric_families(answer.text)}
    for name, (kind, text, names) in FAMILIES.items():
        family = found[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (kind, text), name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(names), name


def test_a_project_without_runs_has_metrics_too(tmp_path: Path) -> None:
    with Client(Project(tmp_path).state()) as client:
        found = samples(client.get("/metrics").text)
    assert [name for name, _ in found if name.startswith("headrace_")] == ["headrace_build_info"]
    assert not (tmp_path / "headrace.sqlite").exists(), "reading makes no store"


def test_it_needs_the_token_where_one_is_demanded(project: Project) -> None:
    with Client(project.state(), Access(token=TOKEN)) as client:
        refused = client.get("/metrics")
        assert refused.status_code == 401
        assert refused.json()["hint"]
        allowed = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert allowed.status_code == 200
    assert "headrace_runs_total" in allowed.text


def test_it_may_be_public_and_the_page_of_a_table_stays_private(project: Project) -> None:
    access = Access(token=TOKEN, public_metrics=True)
    with Client(project.state(), access) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/metrics", {"asset": project.mart}).status_code == 401
        assert client.get("/api/v1/home").status_code == 401
