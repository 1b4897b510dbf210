"""Whom a failed run is reported to, what they get, and what happens when they cannot be told."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from step_lab import project

from headrace.catalog import RunStore
from headrace.error_detail import ErrorDetail
from headrace.errors import SettingsError, UserError
from headrace.pipeline.notify import telling
from headrace.pipeline.reports import AuditReport, BuildReport, NodeReport, RunReport, Status
from headrace.pipeline.run import run
from headrace.secrets import learn
from headrace.settings import Resolved

KEEP = """
import json, os, pathlib, sys
pathlib.Path("told.json").write_text(sys.stdin.read())
pathlib.Path("told.env").write_text(json.dumps(dict(os.environ)))
"""
NODE = NodeReport(
    unique_id="model.p.orders",
    name="orders",
    label="orders",
    resource_type="model",
    status="error",
    message="models/orders.sql line 3: it is wrong",
    detail=ErrorDetail("models/orders.sql", 3, 1, "3 | selekt\n  | ^"),
)


def report(status: Status = "failed", run_id: str = "r2") -> RunReport:
    problems = (NODE.problem,) if status == "failed" else ()
    return RunReport(
        run_id=run_id,
        command="headrace run",
        status=status,
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
        seconds=4.0,
        target="duckdb",
        code_version="abc",
        build=BuildReport(nodes=(NODE,), seconds=1.0),
        audit=AuditReport(passed=not problems, problems=problems, seconds=0.0),
    )


def told(resolved: Resolved, given: RunReport) -> tuple[str, ...]:
    return telling(resolved, given.command, lambda: given).notes


@dataclass
class Hook:
    """A web server that is posted to."""

    url: str = ""
    status: int = 200
    bodies: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture(autouse=True)
def _path_of_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project is added to it, where a later test would find other modules than its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            found.bodies.append(json.loads(self.rfile.read(length)))
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}/services/hush-hush-123"
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def with_command(root: Path, code: str, *flags: str) -> Resolved:
    (root / "tell.py").write_text(code)
    command = json.dumps([sys.executable, "tell.py"])
    return project(root, f"on_failure:\n  command: {command}\n", *flags)


def test_command_gets_the_report(tmp_path: Path) -> None:
    resolved = with_command(tmp_path, KEEP)
    learn({"password": "selekt"})
    assert told(resolved, report()) == ()
    given = json.loads((tmp_path / "told.json").read_text())
    assert (given["event"], given["status"], given["command"]) == (
        "failed", "failed", "headrace run",
    )  # fmt: skip
    assert given["problems"] == [
        {
            "message": "model orders: models/orders.sql line 3: it is wrong",
            "detail": {
                "file": "models/orders.sql", "line": 3, "column": 1,
                "excerpt": "3 | ***\n  | ^", "mismatches": [], "rows": [],
                "rows_total": None, "query": "",
            },
        }
    ]  # fmt: skip
    assert given["report"]["seconds"] == 4.0
    assert given["text"].splitlines() == [
        f"{tmp_path.name} (default): `headrace run` failed",
        "- model orders: models/orders.sql line 3: it is wrong",
    ]
    variables = json.loads((tmp_path / "told.env").read_text())
    assert variables["HEADRACE_NOTICE_TEXT"] == given["text"]
    assert variables["HEADRACE_NOTICE_RUN_ID"] == "r2"


def test_command_may_call_headrace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its variables are no settings."""
    monkeypatch.setenv("HEADRACE_NOTICE_STATUS", "failed")
    from headrace.settings import resolve

    project(tmp_path)
    assert resolve(tmp_path).settings.on_failure.command is None


def test_nobody_is_told_of_a_good_run(tmp_path: Path) -> None:
    assert told(with_command(tmp_path, KEEP), report("success")) == ()
    assert not (tmp_path / "told.json").exists()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; print('first'); print('no such channel'); sys.exit(3)",
         "ended with exit code 3: no such channel"),
        ("import time; time.sleep(60)", "was stopped after 0.5 s"),
    ],
)  # fmt: skip
def test_command_that_fails_is_said(tmp_path: Path, code: str, words: str) -> None:
    (note,) = told(with_command(tmp_path, code, "on_failure.timeout=0.5"), report())
    assert note.startswith("on_failure: the command ")
    assert note.endswith(words)
    assert words in (tmp_path / "data/logs/headrace.jsonl").read_text()


def test_command_that_is_not_there(tmp_path: Path) -> None:
    resolved = project(tmp_path, "on_failure:\n  command: ./tell.sh now\n")
    assert told(resolved, report()) == (
        "on_failure: the command ./tell.sh cannot be run: No such file or directory",
    )


def test_webhook_gets_the_problems(tmp_path: Path, hook: Hook) -> None:
    resolved = project(tmp_path, f"on_failure:\n  webhook: {hook.url}\n")
    assert told(resolved, report()) == ()
    (body,) = hook.bodies
    assert body["text"].startswith(f"{tmp_path.name} (default): `headrace run` failed")
    assert body["problems"][0]["detail"]["line"] == 3
    assert "report" not in body


@pytest.mark.parametrize("status", [302, 404, 500])
def test_webhook_that_refuses_is_said_without_its_secret(
    tmp_path: Path, hook: Hook, status: int
) -> None:
    hook.status = status
    (note,) = told(project(tmp_path, f"on_failure:\n  webhook: {hook.url}\n"), report())
    assert note.startswith(f"on_failure: the webhook at http://127.0.0.1 answered {status}")
    assert len(hook.bodies) == 1


def test_webhook_that_is_not_there(tmp_path: Path) -> None:
    resolved = project(tmp_path, "on_failure:\n  webhook: http://127.0.0.1:9/hush-hush-123\n")
    (note,) = told(resolved, report())
    assert "http://127.0.0.1 could not be reached" in note
    assert "hush" not in note


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("webhook: ftp://x.example/hush-hush-123", "write it like https://"),
        ("command: '\"open'", "quotation mark"),
        ("command: ''", "name a program"),
        ("timeout: 0", "greater than 0"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, setting: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        project(tmp_path, f"on_failure:\n  {setting}\n")
    assert "hush" not in str(caught.value)
    assert caught.value.detail is not None
    assert "hush" not in caught.value.detail.text


NOTIFIER = '''
from headrace.rules import rule

@rule
def page_me(notice, *, who: str = "nobody"):
    """Tell somebody."""
    yield f"{who} does not answer to {notice.event}"
'''


def test_notifier_of_a_module(tmp_path: Path) -> None:
    resolved = project(
        tmp_path,
        "on_failure:\n  modules: [notifiers_of_mine]\n  notifiers: {page_me: {who: Ann}}\n",
    )
    (tmp_path / "notifiers_of_mine.py").write_text(NOTIFIER)
    assert told(resolved, report()) == ("on_failure: page_me: Ann does not answer to failed",)


def test_module_that_is_not_there_is_said(tmp_path: Path) -> None:
    resolved = project(tmp_path, "on_failure:\n  modules: [no_notifiers_here]\n")
    (note,) = told(resolved, report())
    assert "the module no_notifiers_here cannot be imported" in note


def test_recovery_is_told_once(tmp_path: Path) -> None:
    resolved = with_command(tmp_path, KEEP, "on_failure.on_recovery=true")
    resolved.data_dir.mkdir()
    store = RunStore(resolved.run_store_url)
    for run_id, command, status in (
        ("r0", "headrace run", "success"),
        ("r1", "headrace run", "error"),
        ("l1", "headrace load", "success"),
        ("r2", "headrace run", "success"),
        ("r3", "headrace run", "success"),
    ):
        store.begin_run(run_id, command=command, target="t", lock="l", code_version="c")
        store.end_run(
            run_id, status=status, seconds=1, error=None, rows_loaded=0, published_path=None
        )
        if run_id == "r1":
            continue
        if command == "headrace run":
            told(resolved, report("success", run_id))
            assert (tmp_path / "told.json").exists() is (run_id == "r2"), run_id
            (tmp_path / "told.json").unlink(missing_ok=True)
    store.close()


def test_run_that_could_not_run_is_told(tmp_path: Path) -> None:
    resolved = with_command(tmp_path, KEEP)
    with pytest.raises(UserError, match="not in the settings") as caught:
        run(resolved, steps=("load",), source_names=("nope",))
    given = json.loads((tmp_path / "told.json").read_text())
    assert (given["event"], given["status"]) == ("failed", "error")
    assert given["problems"][0]["message"] == str(caught.value)
    assert not getattr(caught.value, "__notes__", [])


def test_error_keeps_what_could_not_be_told(tmp_path: Path) -> None:
    resolved = project(tmp_path, "on_failure:\n  command: ./tell.sh\n")
    with pytest.raises(UserError, match="not in the settings") as caught:
        run(resolved, steps=("load",), source_names=("nope",))
    (note,) = caught.value.__notes__
    assert "./tell.sh cannot be run" in note


def test_ctrl_c_tells_nobody(tmp_path: Path) -> None:
    def interrupted() -> RunReport:
        raise UserError("dlt's words") from KeyboardInterrupt()

    with pytest.raises(UserError):
        telling(with_command(tmp_path, KEEP), "headrace run", interrupted)
    assert not (tmp_path / "told.json").exists()
