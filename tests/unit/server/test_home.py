"""The headline of the home page: the worst that is true now comes first."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from server_lab import write_project

from headrace.catalog import RUNNING, NodeFailure
from headrace.catalog.evidence import NewestBuild, QuarantinedTable
from headrace.pipeline.verdict import Verdicts
from headrace.server.home import headline, publish_state
from headrace.server.models import Headline, PublishState, SourceFreshness
from headrace.server.snapshot import ProjectSnapshot


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectSnapshot]:
    """A snapshot without a problem: no test of the project fails or warns."""
    project = write_project(tmp_path_factory.mktemp("project"))
    state = project.state()
    found = state.snapshot()
    yield replace(found, latest={})
    state.close()


def _said(now: ProjectSnapshot, *, run: dict[str, Any] | None = None, **publish: Any) -> Headline:
    if run is not None:
        now = replace(now, runs=(replace(now.runs[0], **run), *now.runs[1:]))
    known = publish_state(now)
    return headline(now, known.model_copy(update=publish))


def test_when_all_is_well_it_says_so(now: ProjectSnapshot) -> None:
    said = _said(now)
    assert said.mood == "good"
    assert said.text == "The last run succeeded, 3 tables are published, no test fails."
    assert said.advice is None


@pytest.mark.parametrize(
    ("run", "publish", "words", "advice"),
    [
        (
            {"status": "failed", "failures": (NodeFailure("a", "b"), NodeFailure("c", "d"))},
            {},
            "2 models or tests did not pass; readers have the data of 2026-01-01 00:00 UTC",
            "headrace run",
        ),
        (
            {"status": "failed", "failures": ()},
            {"status": "none"},
            "failed: a check did not pass; nothing is published yet",
            "fix",
        ),
        ({"status": "error", "error": "set x: y"}, {}, "run stopped at an error", "set x: y"),
        ({"status": "interrupted"}, {}, "run was interrupted", "again"),
        ({"status": "error"}, {"run_id": "run-003"}, "what it made is published", "fix"),
        ({}, {"status": "unreadable"}, "cannot be read", "headrace publish"),
    ],
)
def test_what_is_bad_comes_with_what_to_do(
    now: ProjectSnapshot, run: dict[str, Any], publish: dict[str, Any], words: str, advice: str
) -> None:
    said = _said(now, run=run, **publish)
    assert said.mood == "bad"
    assert words in said.text
    assert said.advice is not None
    assert advice.casefold() in said.advice.casefold()
    assert (said.run_id == "run-003") == bool(run)


def test_failing_tests_are_worse_than_warnings_and_these_than_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project = write_project(tmp_path_factory.mktemp("tests"))
    state = project.state()
    now = state.snapshot()
    state.close()
    key, node = next((key, one) for key, one in now.latest.items() if key.startswith("test."))
    for status, mood, words in (
        ("fail", "bad", "1 test fails."),
        ("warn", "unsure", "1 test warned."),
        ("pass", "good", "no test fails"),
    ):
        said = _said(replace(now, latest={key: replace(node, status=status)}))
        assert (said.mood, words in said.text) == (mood, True)


def test_what_is_behind_or_late_is_unsure(now: ProjectSnapshot) -> None:
    said = _said(now, is_current=False)
    assert (said.mood, said.advice) == ("unsure", "Run `headrace publish`.")
    late = replace(now)
    late.__dict__["freshness"] = {
        "shop": SourceFreshness(source="shop", loaded_at=None, run_id=None, status="warn")
    }
    assert _said(late).text == "Not fresh: shop."


def test_a_run_in_progress_hides_nothing(now: ProjectSnapshot) -> None:
    said = _said(now, run={"status": RUNNING})
    assert said.mood == "good"
    assert (said.run_id, said.running) == ("run-002", "run-003")
    first = replace(now, runs=(replace(now.runs[0], status=RUNNING),))
    assert headline(first, PublishState(status="none")).mood == "none"


def test_a_message_names_no_path_of_this_machine(now: ProjectSnapshot) -> None:
    failed = {"status": "error", "error": "see /srv/projects/shop/data/x.csv"}
    said = _said(replace(now, root="/srv/projects/shop"), run=failed)
    assert said.advice == "see data/x.csv"


def test_rows_in_quarantine_are_said_whatever_else_is(now: ProjectSnapshot) -> None:
    rows = (
        QuarantinedTable("shop", "orders", "data_type", 1),
        QuarantinedTable("shop", "orders", "malformed", 2),
    )
    evidence = replace(now.verdicts.evidence, quarantine=rows)
    bad = replace(now, verdicts=Verdicts(evidence))
    said = _said(bad)
    assert (said.mood, said.text) == ("unsure", "3 rows are in quarantine: shop.orders.")
    assert said.advice is not None
    assert "`headrace quarantine show shop.orders`" in said.advice
    said = _said(bad, run={"status": "interrupted"})
    assert said.mood == "bad"
    assert said.text.endswith("3 rows are in quarantine.")


def test_a_build_that_did_not_pass_is_said_after_a_later_load(now: ProjectSnapshot) -> None:
    build = NewestBuild("run-001", now.runs[0].started_at, False, False, "mart m is empty")
    blocked = replace(now, verdicts=Verdicts(replace(now.verdicts.evidence, build=build)))
    said = _said(blocked)
    assert said.mood == "bad"
    assert said.text.startswith("The newest build was not published; readers have the data of")
    assert (said.advice, said.run_id) == ("Why: mart m is empty", "run-001")
