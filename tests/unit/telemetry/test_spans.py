"""Spans reach an OTLP endpoint as they are meant; an endpoint that is dead stops nothing."""

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headrace import secrets
from headrace.cli.generation_telemetry import GenerationTelemetry
from headrace.telemetry import spans
from headrace.telemetry.spans import Trace

pytest.importorskip("opentelemetry.sdk", reason="uv sync --extra otel")
pytest.importorskip("opentelemetry.proto", reason="uv sync --extra otel")

from otlp_collector import Collector

AT = datetime(2030, 1, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """None of the variables is set, and the exporter's logger is as it was afterwards."""
    import os

    for name in list(os.environ):
        if name.startswith("OTEL_") or name in {"TRACEPARENT", "TRACESTATE"}:
            monkeypatch.delenv(name)
    logger = logging.getLogger("opentelemetry")
    before = (list(logger.handlers), logger.propagate)
    yield
    logger.handlers, logger.propagate = before


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        yield found


def test_spans_arrive_with_their_parents_times_and_errors(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=abc")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    secrets.learn({"token": "hunter2-and-more"})
    trace = Trace("headrace run", {"headrace.run_id": "r1"}, started_at=AT)
    assert trace.trace_id is not None
    trace.begin("load", "load", {"headrace.stage": "load", "headrace.rows": None})
    trace.begin("load", "twice", {"more": 1})
    trace.begin("source", "Load crm", parent="load")
    trace.record("Redshift COPY", AT, AT + timedelta(seconds=2), {"n": 3}, parent="source")
    assert trace.end("source", error="no table: hunter2-and-more")
    assert not trace.end("source"), "it has ended"
    trace.begin("left", "left open", parent="of none")
    assert trace.close(error="failed") is None
    assert collector.paths == ["/v1/traces"]
    assert collector.headers[0]["x-key"] == "abc"
    assert collector.resource["service.name"] == "headrace"
    assert collector.resource["deployment.environment"] == "test"
    copy = collector.named("Redshift COPY")
    assert collector.path_of(copy) == ["headrace run", "load", "Load crm", "Redshift COPY"]
    assert (copy.start, copy.end - copy.start) == (int(AT.timestamp()) * 10**9, 2 * 10**9)
    assert copy.attributes == {"n": 3}
    assert copy.error is None
    assert copy.trace == trace_of(collector, "headrace run")
    assert collector.named("Load crm").error == "no table: ***"
    assert collector.named("load").attributes == {"headrace.stage": "load", "more": 1}
    assert collector.path_of(collector.named("left open")) == ["headrace run", "left open"]
    assert collector.named("headrace run").error == "failed"


def trace_of(collector: Collector, name: str) -> str:
    return collector.named(name).trace


def test_a_trace_goes_on_from_the_one_that_called(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", f"00-{'ab' * 16}-{'cd' * 8}-01")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "nightly")
    trace = Trace("headrace run")
    assert trace.trace_id == "ab" * 16
    assert trace.close() is None
    assert collector.named("headrace run").parent == "cd" * 8
    assert collector.resource["service.name"] == "nightly"


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_is_sent_unless_it_is_asked_for(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    trace = Trace("headrace run")
    trace.begin("load", "load")
    trace.record("x", AT, AT)
    assert not trace.end("load")
    assert trace.trace_id is None
    assert trace.close() is None


def test_without_an_endpoint_nothing_is_imported() -> None:
    code = (
        "import sys; from headrace.telemetry.spans import Trace; import headrace.pipeline.run;"
        "Trace('x').close(); print([m for m in sys.modules if m.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_an_endpoint_where_nobody_listens_is_told_once_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(spans, "PATIENCE_S", 60.0)
    where = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", where)
    trace = Trace("headrace run")
    warning = trace.close()
    assert warning is not None
    assert warning.startswith(f"spans were not sent to {where}: ")
    assert "\n" not in warning
    assert capfd.readouterr() == ("", "")


def test_an_endpoint_that_does_not_answer_is_left_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spans, "PATIENCE_S", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", address)
        warning = Trace("headrace run").close()
    assert warning == f"spans were not sent to {address}: no answer within 0.05 seconds"
    deadline = time.monotonic() + 10  # the thread that still tries ends by itself
    while any("_send" in each.name for each in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_endpoint_that_refuses_is_told(
    collector: Collector,
) -> None:
    collector.status = 403
    warning = Trace("headrace run").close()
    assert warning is not None
    assert "403" in warning


def test_a_protocol_that_headrace_does_not_speak_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    warning = Trace("headrace run").close()
    assert warning is not None
    assert "OTEL_EXPORTER_OTLP_PROTOCOL is grpc" in warning


def test_a_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    warning = Trace("headrace run").close()
    assert warning == "spans were not sent: they need the extra otel (`uv sync --extra otel`)"


def test_generated_tables_are_spans(collector: Collector, tmp_path: Path) -> None:
    from headrace.synth.generate import generate

    schema = tmp_path / "shop.yml"
    fields = "fields: {id: {type: serial, primary_key: true}}"
    schema.write_text(f"schema:\n  Customer: {{count: 12000, {fields}}}\n", "utf-8")
    told = GenerationTelemetry(schema)
    assert told.ended(generate(schema, tmp_path / "out")) is None
    made = collector.named("Generate 12k rows")
    assert collector.path_of(made) == ["headrace generate", "Generate 12k rows"]
    assert made.attributes["headrace.table"] == "Customer"
    assert made.attributes["headrace.rows"] == 12_000
    failed = GenerationTelemetry(schema)
    assert failed.failed(ValueError("no space")) is None
    roots = [span for span in collector.spans if span.name == "headrace generate"]
    assert [span.error for span in roots] == [None, "no space"]
