"""What the audit lets pass, and what it refuses."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from step_lab import built, manifest_of, mart, node, project, stand_in, target

from headrace.pipeline.checking.audit import (
    BuiltMart,
    BuiltMarts,
    audit,
    judge,
    marts_keep_their_rows,
)
from headrace.pipeline.reports import AuditReport, Event, NodeReport
from headrace.settings import Resolved
from headrace.settings.models import AuditSettings

BUILT = (node("orders"), node("customers"))


@pytest.fixture
def resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resolved:
    stand_in(
        monkeypatch, "checking.audit.read_manifest", manifest_of(mart("orders"), mart("customers"))
    )
    return project(tmp_path)


def audited(resolved: Resolved, rows: dict[str, int], signature: str = "now") -> AuditReport:
    return audit(resolved, target(rows, signature), listen=lambda _: None)


ROWS = {"marts.orders": 2, "marts.customers": 0}


def test_a_good_build_passes_and_an_empty_mart_that_never_had_rows(resolved: Resolved) -> None:
    built(resolved, target(), *BUILT)
    report = audited(resolved, ROWS)
    assert (report.passed, report.problems) == (True, ())


def test_what_is_below_a_failed_load_is_not_judged(resolved: Resolved) -> None:
    built(resolved, target(), node("orders"), node("customers", "error"), node("t", "fail", "test"))
    affected = {"model.p.customers", "test.p.t"}
    report = audit(resolved, target(ROWS), listen=lambda _: None, affected=affected)
    assert (report.passed, report.problems) == (True, ())
    report = audit(resolved, target(ROWS), listen=lambda _: None, affected={"test.p.t"})
    assert not report.passed


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


@pytest.mark.parametrize(
    ("rows", "max_loss", "problems"),
    [
        (0, 1.0, 1),
        (1, 1.0, 0),
        (90, 0.2, 0),
        (80, 0.2, 1),
        (110, 0.2, 0),
        (None, 0.2, 0),
    ],
)
def test_how_many_rows_a_mart_may_lose(rows: int | None, max_loss: float, problems: int) -> None:
    build = BuiltMarts((BuiltMart("marts.orders", rows, 100),), Path("published.duckdb"))
    found = marts_keep_their_rows.problems(build, {"max_loss": max_loss})
    assert len(found) == problems


def test_a_check_is_switched_off_and_one_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(
        monkeypatch, "checking.audit.read_manifest", manifest_of(mart("orders"), mart("customers"))
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "checks_of_a_project.py").write_text(
        "from headrace.rules import rule\n\n\n@rule\n"
        "def marts_are_small(build, *, most: int = 1):\n"
        '    """Marts are small."""\n'
        '    return [f"{mart.name} is large" for mart in build.marts if (mart.rows or 0) > most]\n'
    )
    resolved = project(tmp_path)
    built(resolved, target(), *BUILT)
    rows = {"marts.orders": 2}
    settings = resolved.settings.model_copy(
        update={
            "audit": AuditSettings(modules=("checks_of_a_project",), checks={"marts_exist": False})
        }
    )
    assert audited(replace(resolved, settings=settings), rows).problems == (
        "marts.orders is large",
    )


def test_a_slim_build_is_judged_by_its_own_nodes() -> None:
    events: list[Event] = []
    assert judge(BUILT, listen=events.append).passed
    assert judge((*BUILT, node("keys", "fail", "test")), listen=events.append).problems == (
        "test keys: fail",
    )
    assert [event.state for event in events] == ["done", "failed"]
