"""What the audit lets pass, and what it refuses."""

from pathlib import Path
from typing import Any

import duckdb
import pytest
from step_lab import built, manifest_of, mart, node, project, stand_in, target

from headrace.pipeline.audit import audit, judge
from headrace.pipeline.reports import AuditReport, Event, NodeReport
from headrace.settings import Resolved

BUILT = (node("orders"), node("customers"))


@pytest.fixture
def resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resolved:
    stand_in(monkeypatch, "audit.read_manifest", manifest_of(mart("orders"), mart("customers")))
    return project(tmp_path)


def audited(resolved: Resolved, rows: dict[str, int], signature: str = "now") -> AuditReport:
    return audit(resolved, target(rows, signature), listen=lambda _: None)


ROWS = {"marts.orders": 2, "marts.customers": 0}


def test_a_good_build_passes_and_an_empty_mart_that_never_had_rows(resolved: Resolved) -> None:
    built(resolved, target(), *BUILT)
    report = audited(resolved, ROWS)
    assert (report.passed, report.problems) == (True, ())


def test_without_a_finished_build_nothing_passes(resolved: Resolved) -> None:
    assert audited(resolved, ROWS).problems == ("there is no finished build: run `headrace build`",)


@pytest.mark.parametrize(
    ("signature", "differs", "problem"),
    [
        ("later", {}, "the warehouse changed after the last build"),
        ("now", {"inputs": "others"}, "the dbt project changed after the last build"),
    ],
)
def test_a_build_of_other_data_or_code_is_refused(
    resolved: Resolved, signature: str, differs: dict[str, Any], problem: str
) -> None:
    built(resolved, target(), *BUILT, **differs)
    (found,) = audited(resolved, ROWS, signature).problems
    assert found.startswith(problem)


def test_where_the_target_has_no_signature_the_project_alone_is_compared(
    resolved: Resolved,
) -> None:
    built(resolved, target(), *BUILT, signature=None)
    assert audited(resolved, ROWS).passed


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (node("unique_id", "fail", "test", message="2 rows"), "test unique_id: 2 rows"),
        (node("orders", "error"), "model orders: error"),
        (node("adds_up", "fail", "unit_test"), "unit test adds_up: fail"),
    ],
)
def test_each_failed_node_is_a_problem(resolved: Resolved, bad: NodeReport, problem: str) -> None:
    built(resolved, target(), *BUILT, bad, node("stale", "warn", "test"), passed=False)
    assert audited(resolved, ROWS).problems == (problem,)


def test_a_source_that_is_too_old_is_a_problem(resolved: Resolved) -> None:
    built(resolved, target(), *BUILT, freshness=(node("shop.orders", "error", "source"),))
    assert audited(resolved, ROWS).problems == ("source shop.orders: error",)


def test_a_mart_that_was_built_and_is_gone_is_a_problem(resolved: Resolved) -> None:
    built(resolved, target(), *BUILT)
    (found,) = audited(resolved, {"marts.orders": 2}).problems
    assert found.startswith("marts.customers is not in the warehouse")


def test_a_mart_that_waits_for_its_source_is_not_missed(resolved: Resolved) -> None:
    built(resolved, target(), node("orders"))
    assert audited(resolved, {"marts.orders": 2}).passed


def test_a_mart_that_lost_all_published_rows_is_a_problem(resolved: Resolved) -> None:
    built(resolved, target(), *BUILT)
    resolved.published.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(resolved.published)) as connection:
        connection.execute("create schema _headrace")
        connection.execute(
            "create table _headrace.tables as select * from "
            "(values ('marts.customers', 1500), ('marts.orders', 2)) as t (name, row_count)"
        )
    (found,) = audited(resolved, ROWS).problems
    assert found.startswith("marts.customers is empty now, and 1,500 rows of it are published")


def test_a_slim_build_is_judged_by_its_own_nodes() -> None:
    events: list[Event] = []
    assert judge(BUILT, listen=events.append).passed
    assert judge((*BUILT, node("keys", "fail", "test")), listen=events.append).problems == (
        "test keys: fail",
    )
    assert [event.state for event in events] == ["done", "failed"]
