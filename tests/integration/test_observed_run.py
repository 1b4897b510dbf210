"""A run as others see it: JSON lines on stdout, spans at a collector, metrics of the page."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from lab import Lab

pytest.importorskip("opentelemetry.sdk", reason="uv sync --extra otel")
pytest.importorskip("opentelemetry.proto", reason="uv sync --extra otel")

from otlp_collector import Collector


@dataclass(frozen=True)
class Observed:
    """One run of the command."""

    done: "CompletedProcess[str]"
    collector: Collector

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.done.stdout.splitlines()]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, jaffle_root: Path) -> Observed:
    lab = Lab(tmp_path_factory.mktemp("observed") / "data", jaffle_root)
    with Collector() as collector:
        environ = {"HEADRACE_LOG_FORMAT": "json", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        done = replace(lab, environ=environ).command("run")
    assert done.returncode == 0, done.stderr
    return Observed(done, collector)


def test_each_line_is_json_of_this_run(observed: Observed) -> None:
    lines = observed.lines
    (run_id,) = {line.get("run_id") for line in lines}
    assert run_id
    assert {line["logger"] for line in lines} >= {"headrace.events", "headrace.pipeline", "dlt",
                                                  "dbt"}  # fmt: skip
    assert observed.done.stderr == ""
    assert not [line for line in lines if line["level"] == "error"]
    loaded = {line["table"]: line for line in lines if line["message"] == "table loaded"}
    assert loaded["raw_orders"]["rows"] == 99
    assert loaded["raw_orders"]["source"] == "jaffle_shop"
    assert loaded["raw_orders"]["seconds"] > 0
    stages = [line["stage"] for line in lines if line["message"] == "step ended"]
    assert stages[:4] == ["load", "build", "audit", "publish"]
    assert {line["source"] for line in lines if line["logger"] == "dlt"} == {"jaffle_shop"}
    end = lines[-1]
    assert (end["message"], end["status"], end["rows"]) == ("run ended", "success", 312)


def test_stages_sources_jobs_and_models_are_spans(observed: Observed) -> None:
    spans = observed.collector
    root = spans.named("headrace run")
    assert root.attributes["headrace.rows"] == 312
    assert root.attributes["headrace.run_id"] == observed.lines[0]["run_id"]
    assert root.trace == observed.lines[0]["trace_id"]
    for stage in ("load", "build", "audit", "publish", "catalog"):
        assert spans.path_of(spans.named(stage)) == ["headrace run", stage]
    jobs = [span for span in spans.spans if span.attributes.get("headrace.table") == "raw_orders"]
    paths = [spans.path_of(job) for job in jobs]
    assert ["headrace run", "load", "Load jaffle_shop", "DuckDB INSERT"] in paths
    model = spans.named("model orders")
    assert spans.path_of(model) == ["headrace run", "build", "model orders"]
    assert model.attributes["dbt.unique_id"].endswith(".orders")
    assert [span.name for span in spans.spans if span.error] == []
    assert {span.trace for span in spans.spans} == {root.trace}
    for span in spans.spans:
        assert root.start <= span.start <= span.end <= root.end, span.name


def test_a_run_that_fails_says_so_and_a_dead_endpoint_does_not_matter(lab: Lab) -> None:
    with Collector() as collector:
        where = collector.url
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": where}
        failing = replace(lab, environ=environ).set("sources.jaffle_shop.path=/nowhere")
        done = failing.command("load", "--log-format", "json")
    assert done.returncode == 2
    (error,) = done.stderr.strip().splitlines()
    assert error.startswith("error: ")
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["level"] == "error"
    for name in ("headrace load", "load", "Load jaffle_shop"):
        said = collector.named(name).error
        assert said is not None, name
        assert "/nowhere" in said
    dead = failing.command("load", "--json")
    assert dead.returncode == 2
    notes = [line for line in dead.stderr.splitlines() if line.startswith("! ")]
    assert len(notes) == 1
    assert notes[0].startswith(f"! spans were not sent to {where}: ")
    assert json.loads(dead.stdout)["error"] == error.removeprefix("error: ")
