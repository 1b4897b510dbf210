"""The timeline of a run: what is drawn at once, what waited, and what the end waited for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.catalog import Catalog
from headrace.catalog.model import Asset, TestInfo
from headrace.server import timeline as module
from headrace.server.models import Activity, NodeView, RunDetail, RunLine, RunNow, StepView
from headrace.server.timeline import Timeline, critical_path, timeline

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
"""
    a ──► b ──► d     c takes long, and d does not read it; t tests a, u tests d
    └──► c
"""
PARENTS = {"b": ("a",), "c": ("a",), "d": ("b",), "t": ("a",), "u": ("d",), "r": ("a", "d")}


def graph() -> Catalog:
    models = {key: Asset(id=key, kind="model", name=key) for key in "abcd"}
    tests = {
        key: Asset(id=key, kind="test", name=key, test=TestInfo("unique", on, "id", "error"))
        for key, on in {"t": "a", "u": "d", "r": "a"}.items()
    }
    return Catalog({**models, **tests}, PARENTS)


def node(name: str, start: float | None, seconds: float, **more: Any) -> NodeView:
    kind = "test" if name in "tur" else "model"
    return NodeView(
        unique_id=name, asset=name, name=name, label=more.pop("label", name), resource_type=kind,
        status=more.pop("status", "success"), seconds=seconds, thread="Thread-1", failures=None,
        started_at=None if start is None else START + timedelta(seconds=start), message=None,
    )  # fmt: skip


def detail(*nodes: NodeView, path: tuple[str, ...] = (), **more: Any) -> RunDetail:
    run = RunLine(
        run_id="r", command="run", status="success", target="duckdb", started_at=START,
        seconds=10, rows_loaded=0, failures=0, error=None, code_version="1",
    )  # fmt: skip
    step = StepView(step="build", status="success", started_at=START, seconds=10)
    return RunDetail(
        run=run, steps=more.pop("steps", (step,)), loads=(), nodes=nodes, nodes_total=len(nodes),
        limit=500, errors=(), critical_path=path, **more,
    )  # fmt: skip


def drawn(*nodes: NodeView, **more: Any) -> Timeline:
    found = timeline(detail(*nodes, **more), graph(), START + timedelta(seconds=30))
    assert found is not None
    return found


def test_the_critical_path_is_what_the_end_waited_for() -> None:
    nodes = (
        node("a", 1, 1), node("t", 2, 2), node("c", 4, 2.5), node("b", 4, 1), node("d", 5, 3),
        node("u", 8, 0.5), node("r", 8, 0.1),
    )  # fmt: skip
    assert critical_path(nodes, graph()) == ("a", "t", "b", "d", "u"), (
        "not c, which nothing waits for"
    )
    waited = tuple(one for one in nodes if one.unique_id not in "ur")
    assert critical_path(waited, graph()) == ("a", "t", "b", "d")
    assert critical_path((), graph()) == ()
    assert critical_path((node("a", None, 0, status="skipped"),), graph()) == ()


def test_a_model_waits_for_the_tests_of_its_parents() -> None:
    nodes = (node("a", 0, 1), node("t", 1, 2), node("b", 3, 1))
    assert critical_path(nodes, graph()) == ("a", "t", "b")


def test_bars_are_named_and_parsing_and_waiting_are_told() -> None:
    found = drawn(node("a", 3, 1), node("b", 6, 2), path=("a", "b"))
    rows = {row.name: row for row in found.rows}
    *others, last = rows
    assert others == ["build", "dbt starts and parses", "a", "b"]
    assert last.startswith("age of sources, columns for")
    assert rows["dbt starts and parses"].seconds == 3
    assert rows["b"].wait_x < rows["b"].x
    assert "waited 2.00 s for a thread" in rows["b"].title
    assert rows["a"].wait_x == rows["a"].x
    assert rows["a"].is_critical
    assert (found.critical, found.critical_seconds) == (2, 3)
    assert max(row.x + row.width for row in found.rows) <= found.width
    assert [tick.text for tick in found.ticks] == ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s"]


def test_failed_and_skipped_are_told_without_colour() -> None:
    found = drawn(
        node("a", 1, 1, status="error"), node("t", 1, 1, status="warn"),
        node("b", None, 0, status="skipped"),
    )  # fmt: skip
    rows = {row.name: row for row in found.rows}
    assert {"\N{MULTIPLICATION X} a", "! t", "\N{WHITE CIRCLE} b"} <= set(rows)
    assert rows["\N{WHITE CIRCLE} b"].text == "did not run"
    assert rows["\N{WHITE CIRCLE} b"].width == 0
    assert found.rows[-1].status == "skipped"


def test_what_matters_is_drawn_at_once_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = [node(f"m{number}", number, 0.5) for number in range(400)]
    bad = node("bad", 500, 0.1, status="fail")
    slow = node("slow", 501, 9.0)
    found = drawn(*many, bad, slow)
    names = [row.name for row in found.rows]
    assert "\N{MULTIPLICATION X} bad" in names
    assert "slow" in names
    assert len(names) < module._MOST + 10
    assert found.more == 402 - sum(row.kind == "model" for row in found.rows)
    assert len(found.starts) == 402


def test_what_runs_now_is_drawn_up_to_now() -> None:
    now = RunNow(
        step="build", since=START + timedelta(seconds=10), done=0, failed=(),
        doing=(Activity(name="model a", since=START + timedelta(seconds=20)),),
    )  # fmt: skip
    load = StepView(step="load", status="success", started_at=START, seconds=10)
    rows = {row.name: row for row in drawn(steps=(load,), now=now).rows}
    assert rows["build"].seconds == 20
    assert (rows["model a"].status, rows["model a"].text) == ("running", "10 s")


def test_a_run_without_times_has_no_timeline() -> None:
    step = StepView(step="load", status="success", started_at=None, seconds=1)
    assert timeline(detail(steps=(step,)), graph()) is None
