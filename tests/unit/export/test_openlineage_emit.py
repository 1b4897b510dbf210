"""Events on their way: where they go, and that a run never suffers by it."""

import json
import logging
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from recording_server import Recorder, serving
from small_catalog import CATALOG, MART, START, UNIQUE, node, profile_of_mart, table

from headrace.export.openlineage.emit import Emitter, Ending
from headrace.settings import Resolved, resolve

pytest.importorskip("openlineage.client", reason="uv sync --extra openlineage")


@pytest.fixture(autouse=True)
def no_configuration_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE_PARENT_ID"):
        monkeypatch.delenv(name, raising=False)


def settings(root: Path, *flags: str, **transport: object) -> Resolved:
    (root / "data").mkdir(exist_ok=True)
    more = [f"openlineage.transport={json.dumps(transport)}"] if transport else []
    return resolve(root, flags=["openlineage.enabled=true", *flags, *more], environ={})


def emit(resolved: Resolved, *, patience: float = 120.0) -> str | None:
    """All events of a small run; gives the warning."""
    emitter = Emitter(resolved, run_id="r", command="headrace run", patience=patience)
    emitter.run_started()
    emitter.load_started("shop")
    emitter.load_ended("shop", [table()])
    emitter.build_ended([node(MART), node(UNIQUE, "pass")], lambda: CATALOG)
    return emitter.run_ended("success")


def states(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["job"]["name"], event["eventType"]) for event in events]


WHOLE_RUN = [
    ("run", "START"),
    ("load.shop", "START"),
    ("load.shop", "COMPLETE"),
    ("load.shop", "OTHER"),
    (MART, "START"),
    (MART, "COMPLETE"),
    (f"{MART}.test", "START"),
    (f"{MART}.test", "COMPLETE"),
    ("run", "COMPLETE"),
]


def of_file(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_nothing_is_sent_unless_it_is_enabled(tmp_path: Path) -> None:
    assert emit(resolve(tmp_path, environ={})) is None
    assert list(tmp_path.iterdir()) == []


def test_by_default_a_file_in_the_data_directory_grows(tmp_path: Path) -> None:
    assert emit(settings(tmp_path)) is None
    assert emit(settings(tmp_path, type="file")) is None

    assert states(of_file(tmp_path / "data" / "openlineage.jsonl")) == WHOLE_RUN * 2


def test_file_of_ones_own_is_relative_to_the_project(tmp_path: Path) -> None:
    assert emit(settings(tmp_path, type="file", log_file_path="events.jsonl")) is None

    assert states(of_file(tmp_path / "events.jsonl")) == WHOLE_RUN


def test_http_gets_every_event_in_order(tmp_path: Path) -> None:
    with serving(Recorder()) as server:
        auth = {"type": "api_key", "apiKey": "key-1234"}
        assert emit(settings(tmp_path, type="http", url=server.url, auth=auth)) is None

    assert states([json.loads(body) for body in server.posted]) == WHOLE_RUN
    assert {path for _, path, _, _ in server.requests} == {"/api/v1/lineage"}
    assert {headers["authorization"] for _, _, headers, _ in server.requests} == {"Bearer key-1234"}


def test_openlineages_own_variables_hold_without_a_transport(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Recorder()) as server:
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        assert emit(settings(tmp_path)) is None

    assert states([json.loads(body) for body in server.posted]) == WHOLE_RUN
    assert not (tmp_path / "data" / "openlineage.jsonl").exists()


def test_openlineage_yml_holds_without_a_transport(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    (tmp_path / "openlineage.yml").write_text(
        f"transport: {{type: file, log_file_path: {path}, append: true}}", encoding="utf-8"
    )
    assert emit(settings(tmp_path)) is None
    assert states(of_file(path)) == WHOLE_RUN


def test_backend_with_a_fault_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="headrace.export")
    with serving(Recorder(status=500)) as server:
        warning = emit(settings(tmp_path, type="http", url=server.url))

    assert warning is not None
    assert "500" in warning
    assert "0 were sent" in warning
    assert len(server.posted) <= 3, "it is not asked for each of the events"
    assert len([record for record in caplog.records if record.name == "headrace.export"]) == 1


def test_backend_that_hangs_holds_a_run_up_no_longer_than_it_may(tmp_path: Path) -> None:
    with serving(Recorder(hangs=True)) as server:
        warning = emit(settings(tmp_path, type="http", url=server.url, timeout=0.5))
        slow = emit(settings(tmp_path, type="http", url=server.url, timeout=600), patience=0.5)
        assert server.answered == 0

    assert warning is not None
    assert "no answer in time" in warning
    assert slow is not None
    assert "longer than 0.5 seconds" in slow


def test_backend_that_is_not_there_is_one_warning(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        warning = emit(settings(tmp_path, type="http", url=f"http://127.0.0.1:{port}"))

    assert warning is not None
    assert "no connection: Connection refused" in warning


@pytest.mark.parametrize(
    ("transport", "word"),
    [
        ({"type": "carrier_pigeon"}, "carrier_pigeon"),
        ({"type": "http"}, "url"),
        ({"type": "http", "url": "nowhere"}, "valid url"),
        ({"type": "file", "log_file_path": "/no/such/folder/x"}, "no/such/folder"),
    ],
)
def test_transport_that_cannot_be_is_one_warning(
    tmp_path: Path, transport: dict[str, object], word: str
) -> None:
    warning = emit(settings(tmp_path, **transport))
    assert warning is not None
    assert word in warning
    assert "\n" not in warning


def test_catalog_that_cannot_be_read_is_one_warning(tmp_path: Path) -> None:
    emitter = Emitter(settings(tmp_path), run_id="r", command="headrace build")
    emitter.run_started()
    emitter.build_ended([node(MART)], {}.popitem)  # type: ignore[arg-type]
    warning = emitter.run_ended("success")

    assert warning is not None
    assert "1 were sent" in warning


def test_missing_extra_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    warning = emit(settings(tmp_path))

    assert warning is not None
    assert "uv sync --extra openlineage" in warning


def test_no_secret_is_in_a_warning_or_a_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(Recorder(status=401)) as server:
        url = server.url.replace("//", "//ada:pa55word@")
        auth = {"type": "api_key", "apiKey": "key-1234"}
        warning = emit(settings(tmp_path, type="http", url=url, auth=auth))

    assert warning is not None
    assert "401" in warning
    said = warning + caplog.text + repr([vars(record) for record in caplog.records])
    assert "pa55word" not in said
    assert "key-1234" not in said


def test_console_is_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert emit(settings(tmp_path, type="console")) is None

    out, err = capsys.readouterr()
    assert out == ""
    assert states([json.loads(line) for line in err.splitlines()]) == WHOLE_RUN


def test_events_do_not_wait_for_one_another(tmp_path: Path) -> None:
    with serving(Recorder(hangs=True)) as server:
        resolved = settings(tmp_path, type="http", url=server.url, timeout=600)
        emitter = Emitter(resolved, run_id="r", command="headrace run", patience=120)
        emitter.run_started()
        emitter.load_started("shop")
        emitter.load_ended("shop", [table()])
        assert server.answered == 0
        server.released.set()
        assert emitter.run_ended("success") is None
    assert len(server.posted) == 4


def test_source_that_was_loading_when_a_run_was_stopped_is_aborted(tmp_path: Path) -> None:
    emitter = Emitter(settings(tmp_path), run_id="r", command="headrace load")
    emitter.run_started()
    emitter.load_started("shop")
    emitter.load_ended("shop", [])
    emitter.load_started("events")
    assert emitter.run_ended("interrupted") is None

    found = states(of_file(tmp_path / "data" / "openlineage.jsonl"))
    assert found[-2:] == [("load.events", "ABORT"), ("load", "ABORT")]
    assert ("load.shop", "COMPLETE") in found


def test_nodes_begin_when_dbt_begins_and_end_with_the_catalog(tmp_path: Path) -> None:
    resolved = settings(tmp_path)
    emitter = Emitter(resolved, run_id="r", command="headrace run", patience=120)
    emitter.run_started()
    emitter.node_started(MART)
    emitter.node_ended(MART, failed=False)
    emitter.build_ended([node(MART)], lambda: CATALOG)
    assert emitter.run_ended("success") is None

    events = of_file(tmp_path / "data" / "openlineage.jsonl")
    assert states(events) == [
        ("run", "START"), (MART, "START"), (MART, "COMPLETE"), ("run", "COMPLETE"),
    ]  # fmt: skip
    assert events[1]["run"]["runId"] == events[2]["run"]["runId"]
    assert events[2]["outputs"]


@pytest.mark.parametrize(("status", "state"), [("interrupted", "ABORT"), ("error", "FAIL")])
def test_nodes_that_were_running_when_a_run_stopped(
    tmp_path: Path, status: Ending, state: str
) -> None:
    emitter = Emitter(settings(tmp_path), run_id="r", command="headrace run", patience=120)
    emitter.run_started()
    for each in ("model.demo.done", "model.demo.broken", "model.demo.running"):
        emitter.node_started(each)
    emitter.node_ended("model.demo.done", failed=False)
    emitter.node_ended("model.demo.broken", failed=True)
    assert emitter.run_ended(status, "it went wrong") is None

    found = of_file(tmp_path / "data" / "openlineage.jsonl")
    assert states(found)[4:] == [
        ("model.demo.done", "COMPLETE"),
        ("model.demo.broken", "FAIL"),
        ("model.demo.running", state),
        ("run", state),
    ]


def test_no_secret_of_a_source_is_in_an_event(tmp_path: Path) -> None:
    resolved = settings(
        tmp_path,
        "sources.crm.kind=crm",
        "sources.crm.password=hunter2!",
        "sources.crm.url=postgresql://u:hunter2!@h/d",
    )
    emitter = Emitter(resolved, run_id="r", command="headrace run", patience=120)
    emitter.run_started()
    text = "FATAL: postgresql://u:hunter2!@h/d refused hunter2!"
    emitter.load_started("crm")
    emitter.load_ended("crm", error=text)
    emitter.run_ended("error", text, stack=f"Traceback: {text}")

    written = (tmp_path / "data" / "openlineage.jsonl").read_text("utf-8")
    assert "hunter2" not in written
    assert written.count("FATAL") == 3


def test_reused_build_tells_of_no_node(tmp_path: Path) -> None:
    emitter = Emitter(settings(tmp_path), run_id="r", command="headrace build")
    emitter.run_started()
    emitter.build_ended([], lambda: CATALOG)
    assert emitter.run_ended("failed", "the audit found 2 problems") is None

    start, end = of_file(tmp_path / "data" / "openlineage.jsonl")
    assert states([start, end]) == [("build", "START"), ("build", "FAIL")]
    assert end["run"]["facets"]["errorMessage"]["message"] == "the audit found 2 problems"


def test_what_a_run_saw_of_tables_is_sent_before_its_end(tmp_path: Path) -> None:
    emitter = Emitter(settings(tmp_path), run_id="r", command="headrace run", patience=120)
    emitter.run_started()
    emitter.quality_kept(lambda: CATALOG, lambda: {MART: profile_of_mart()}, began=START)
    assert emitter.run_ended("success") is None

    events = of_file(tmp_path / "data" / "openlineage.jsonl")
    assert states(events) == [
        ("run", "START"), (f"{MART}.quality", "START"), (f"{MART}.quality", "COMPLETE"),
        ("run", "COMPLETE"),
    ]  # fmt: skip
    assert "example.org" not in json.dumps(events)
