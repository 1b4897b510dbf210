"""Which steps a run takes, what ends it, and what it records; the steps themselves stand in."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from step_lab import node, project, stand_in

from headrace.catalog import RunStore
from headrace.errors import CatalogError, SettingsError, UserError, WarehouseError
from headrace.pipeline.building.slim_build import Selection
from headrace.pipeline.reports import (
    AuditReport,
    BuildReport,
    CatalogReport,
    LoadFailure,
    LoadReport,
    PublishReport,
    RunReport,
)
from headrace.pipeline.run import ALL_STEPS, Step, run
from headrace.settings import Resolved

CONFIG = """
sources:
  shop:
    kind: files
  other:
    kind: files
    enabled: false
"""


@dataclass
class Steps:
    """Stands in for all steps: notes what is called, and does as it is told."""

    resolved: Resolved
    problems: tuple[str, ...] = ()
    errors: dict[str, BaseException] = field(default_factory=dict)
    called: list[str] = field(default_factory=list)
    given: dict[str, dict[str, Any]] = field(default_factory=dict)

    def step(self, name: str, report: Any) -> Any:
        def call(*arguments: Any, **given: Any) -> Any:
            self.called.append(name)
            self.given[name] = {"arguments": arguments, **given}
            if name in self.errors:
                raise self.errors[name]
            return report() if callable(report) else report

        return call

    def audited(self) -> AuditReport:
        return AuditReport(passed=not self.problems, problems=self.problems, seconds=0)

    def run(self, *steps: Step, **how: Any) -> RunReport:
        return run(self.resolved, steps=steps or ALL_STEPS, **how)

    def recorded(self) -> tuple[str, str | None]:
        store = RunStore(self.resolved.run_store_url)
        try:
            (last,) = store.last_runs(1)
        finally:
            store.close()
        return last.status, last.error


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    found = Steps(project(tmp_path, CONFIG))
    built = BuildReport(nodes=(node("orders"),), seconds=0)
    published = PublishReport(path="p", written=True, tables=(), bytes=0, seconds=0)
    for name, function, report in (
        ("load", "loading.load.load", LoadReport(tables=(), load_ids=(), seconds=0)),
        ("build", "building.build.build", built),
        ("slim build", "building.slim_build.build_slim", built),
        ("audit", "checking.audit.audit", found.audited),
        ("judge", "checking.audit.judge", found.audited),
        ("publish", "publishing.publish.publish", published),
        ("catalog", "catalog.refresh", CatalogReport(version=1, seconds=0)),
    ):
        stand_in(monkeypatch, function, found.step(name, report))
    return found


def test_a_run_takes_all_steps_in_order(steps: Steps) -> None:
    report = steps.run()
    assert steps.called == ["load", "build", "audit", "publish", "catalog"]
    assert report.status == "success"
    assert list(steps.given["load"]["arguments"][2]) == ["shop"]
    assert steps.recorded() == ("success", None)


@pytest.mark.parametrize(
    ("asked", "called"),
    [
        (("load",), ["load", "catalog"]),
        (("build",), ["build", "audit", "catalog"]),
        (("publish",), ["audit", "publish", "catalog"]),
        (("load", "build"), ["load", "build", "audit", "catalog"]),
    ],
)
def test_a_part_of_the_steps(steps: Steps, asked: tuple[Step, ...], called: list[str]) -> None:
    assert steps.run(*asked).status == "success"
    assert steps.called == called


def test_what_does_not_pass_its_audit_is_not_published(steps: Steps) -> None:
    steps.problems = ("test unique: 2 rows",)
    report = steps.run()
    assert steps.called == ["load", "build", "audit", "catalog"]
    assert (report.status, report.publish) == ("failed", None)
    assert steps.recorded()[0] == "failed"


def test_where_a_source_could_not_be_loaded_nothing_is_built(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = LoadFailure(source="shop", table="orders", error="orders.csv is empty")
    report = LoadReport(tables=(), load_ids=(), failures=(failure,), seconds=0)
    stand_in(monkeypatch, "loading.load.load", steps.step("load", report))
    for asked in (ALL_STEPS, ("load",)):
        ended = steps.run(*asked)
        assert (ended.status, ended.error) == ("failed", "shop.orders: orders.csv is empty")
    assert steps.called == ["load", "catalog"] * 2
    store = RunStore(steps.resolved.run_store_url)
    assert {(run.status, run.error) for run in store.last_runs(5)} == {("failed", ended.error)}
    store.close()


def test_a_slim_build_is_judged_alone_and_never_published(steps: Steps) -> None:
    report = steps.run(selection=Selection(select=("orders+",)))
    assert steps.called == ["load", "slim build", "judge"]
    assert steps.given["slim build"]["loaded"] == ["shop_raw"]
    assert "only a part of the project is built, so nothing is published" in report.notes


def test_the_sources_that_are_named_are_loaded_enabled_or_not(steps: Steps) -> None:
    steps.run("load", source_names=("other",))
    assert list(steps.given["load"]["arguments"][2]) == ["other"]


def test_without_an_enabled_source_what_is_loaded_is_built(tmp_path: Path, steps: Steps) -> None:
    steps.resolved = project(tmp_path, "{}\n")
    report = steps.run()
    assert steps.called == ["build", "audit", "publish", "catalog"]
    assert report.notes[0].startswith("no source is enabled")
    with pytest.raises(SettingsError, match="no source is enabled"):
        steps.run("load")


def test_a_full_refresh_reaches_both_steps_and_lasts_until_the_build_ends(steps: Steps) -> None:
    steps.errors["load"] = WarehouseError("the disk is full")
    with pytest.raises(WarehouseError):
        steps.run(full_refresh=True)
    del steps.errors["load"]
    report = steps.run()
    assert steps.given["load"]["full_refresh"] is False
    assert steps.given["build"]["full_refresh"] is True
    assert any("an earlier full refresh did not finish" in note for note in report.notes)


@pytest.mark.parametrize("step", ["load", "build", "audit", "publish"])
def test_an_error_for_the_user_ends_the_run_as_it_is(steps: Steps, step: str) -> None:
    steps.errors[step] = WarehouseError("the disk is full")
    with pytest.raises(WarehouseError, match=r"^the disk is full$"):
        steps.run()
    assert steps.called[-1] == step
    assert steps.recorded() == ("error", "the disk is full")


def test_an_unexpected_error_names_the_step_and_asks_to_report_it(steps: Steps) -> None:
    steps.errors["build"] = ValueError("a bug\nin two lines")
    with pytest.raises(UserError) as caught:
        steps.run()
    assert str(caught.value).startswith(
        "the build step ended in an unexpected ValueError: a bug (please report it; "
    )
    assert steps.recorded()[0] == "error"


def test_a_fault_of_the_machine_is_not_one_to_report(steps: Steps) -> None:
    steps.errors["publish"] = OSError(28, "No space left on device")
    with pytest.raises(UserError, match=r"^the publish step: the disk is full") as caught:
        steps.run()
    assert "report" not in str(caught.value)


def test_ctrl_c_is_recorded_as_interrupted_whatever_it_was_wrapped_in(steps: Steps) -> None:
    wrapped = RuntimeError("wrapped by a library")
    wrapped.__cause__ = KeyboardInterrupt()
    steps.errors["load"] = wrapped
    with pytest.raises(KeyboardInterrupt):
        steps.run()
    assert steps.recorded() == ("interrupted", None)


@pytest.mark.parametrize(
    ("error", "note"),
    [
        (CatalogError("too many tables"), "the catalog is that of an earlier run: too many"),
        (ValueError("a bug"), "the catalog is that of an earlier run: unexpected ValueError"),
    ],
)
def test_a_catalog_that_fails_does_not_fail_the_run(
    steps: Steps, error: Exception, note: str
) -> None:
    steps.errors["catalog"] = error
    report = steps.run()
    assert (report.status, report.catalog) == ("success", None)
    assert any(said.startswith(note) for said in report.notes)
