"""The user's workflows, every shell step of them run by hand, in order, on simulated data."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from workflow_lab import ROOT, Job, Runner

FOLDER = ROOT / ".github" / "workflows"
NAMES = ("test.yml", "slim.yml", "nightly.yml", "pages.yml")
CUSTOMERS = "dbt_project/models/marts/customers.sql"

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("bash") is None or not (ROOT / ".git").exists(),
    reason="GitHub's Linux runners run these steps by bash, in a clone",
)


def load(name: str) -> Any:
    return YAML(typ="safe").load(FOLDER / name)


def runner(home: Path, **environ: str) -> Runner:
    contexts = {
        "github.repository": "ann/shop",
        "github.token": "a token",
        "github.run_id": "17",
        "github.run_attempt": "1",
        "github.event.pull_request.base.ref": "main",
        "github.event.pull_request.number": "12",
        "github.event.pull_request.head.repo.full_name": "ann/shop",
        "github.event.pull_request.user.login": "ann",
    }
    made = Runner(home, contexts, environ)
    made.check_out()
    return made


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A nightly run that went well, and its site."""
    made = runner(tmp_path_factory.mktemp("night"))
    job = made.job("nightly.yml", "run")
    assert job.failed is None, job.failed
    assert "Say what failed" not in job.ran
    return made


# ── what they may, and when ─────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_least_rights_time_limits_and_pins(name: str) -> None:
    workflow = load(name)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for job in workflow["jobs"].values():
        assert "uses" not in job, "a copy may lack the other workflow"
        assert 0 < job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert "uses" not in step or re.fullmatch(r"[\w/-]+@v\d+", step["uses"])
            assert "${{" not in step.get("run", ""), "what an event says must not become code"
    rights = {
        key: {right for right, level in job["permissions"].items() if level == "write"}
        for key, job in workflow["jobs"].items()
        if "permissions" in job
    }
    assert (
        rights
        == {
            "test.yml": {},
            "slim.yml": {"slim": {"pull-requests"}},
            "nightly.yml": {},
            "pages.yml": {"deploy": {"pages", "id-token"}},
        }[name]
    )


def test_no_workflow_lets_a_forks_code_run_with_rights() -> None:
    for name in NAMES:
        triggers = set(load(name)["on"])
        assert not triggers & {"pull_request_target", "workflow_run", "issue_comment"}, name


@pytest.mark.parametrize("name", NAMES)
def test_shell_steps_hold_shellcheck(name: str) -> None:
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    for job in load(name)["jobs"].values():
        for step in job.get("steps", []):
            if "run" in step:
                script = f"#!/usr/bin/env bash\nset -eo pipefail\n{step['run']}\n"
                result = subprocess.run(
                    [shellcheck, "-"], input=script, capture_output=True, text=True, check=False
                )
                assert result.returncode == 0, result.stdout


def test_zizmor_finds_nothing() -> None:
    zizmor = shutil.which("zizmor")
    if zizmor is None:
        pytest.skip("zizmor is not installed")
    result = subprocess.run(
        [zizmor, "--offline", "--no-progress", str(ROOT / ".github")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout


# ── the steps ───────────────────────────────────────────────────────────────


def test_the_test_workflow_passes(tmp_path: Path) -> None:
    made = runner(tmp_path)
    job = made.job("test.yml", "test")
    assert job.failed is None, job.failed
    assert "success" in made.summary.read_text("utf-8")
    kept = {path.name for path in (made.artifacts / "published").iterdir()}
    assert kept == {"published.duckdb", "logs"}


def test_the_nightly_keeps_a_state(night: Runner) -> None:
    kept = {path.name for path in (night.artifacts / "state").iterdir()}
    assert kept == {"manifest.json", "state.json", "warehouse.duckdb"}


def test_a_night_that_fails_says_why_and_keeps_no_state(tmp_path: Path) -> None:
    made = runner(tmp_path)
    model = made.clone / CUSTOMERS
    model.write_text("select no_such_column from {{ ref('orders') }}", encoding="utf-8")
    job = made.job("nightly.yml", "run")
    assert job.failed is not None
    assert job.failed.startswith("Load, build, test, audit, publish: exit 1")
    assert job.ran[-2:] == ["Say what failed", "Keep the logs"]
    assert not (made.artifacts / "state").exists()
    assert "customers" in made.summary.read_text("utf-8")
    assert (made.artifacts / "logs").is_dir()


def test_a_project_without_sources_passes_the_night(tmp_path: Path) -> None:
    made = runner(tmp_path, HEADRACE_SOURCES__JAFFLE_SHOP__ENABLED="false")
    job = made.job("nightly.yml", "run")
    assert job.failed is None, job.failed
    assert "Write the state" not in job.ran


def test_the_site_is_written(night: Runner) -> None:
    job = night.job("pages.yml", "site")
    assert job.failed is None, job.failed
    assert (night.artifacts / "pages" / "index.html").is_file()


def test_a_pull_request_is_built_compared_and_commented(night: Runner, tmp_path: Path) -> None:
    made = runner(tmp_path, FAKE_STATE=str(night.artifacts / "state"))
    model = made.clone / CUSTOMERS
    sql = model.read_text("utf-8")
    old, new = "customers.last_name,", "replace(customers.last_name, 'P.', 'Q.') as last_name,"
    assert old in sql
    model.write_text(sql.replace(old, new), encoding="utf-8")

    job = made.job("slim.yml", "slim")

    assert job.failed is None, job.failed
    assert "Build what changed" in job.ran
    assert "Build everything" not in job.ran
    comment = (made.clone / "diff.md").read_text("utf-8")
    row = re.search(
        r"<code>marts\.customers</code> \| 100 \| 100 \| 0 \| 0 \| (\d+) \| (.*) \|", comment
    )
    assert row, comment
    assert int(row[1]) > 0
    assert row[2] == f"<code>last_name</code> ({row[1]})"
    assert "Not built here: <code>marts.orders</code>." in comment
    assert comment in made.summary.read_text("utf-8")
    assert made.calls[-1] == "gh pr comment 12 --body-file diff.md"
    (asked,) = [call for call in made.calls if "actions/workflows/nightly.yml/runs" in call]
    assert "branch=main&status=success" in asked

    again = runner(tmp_path / "again", FAKE_STATE=str(night.artifacts / "state"), FAKE_COMMENT="99")
    job = again.job("slim.yml", "slim")
    assert job.failed is None, job.failed
    assert "no table differs" in (again.clone / "diff.md").read_text("utf-8")
    (patched,) = [call for call in again.calls if "PATCH" in call]
    assert "repos/ann/shop/issues/comments/99 --field body=@diff.md" in patched


def test_the_first_pull_request_builds_everything(tmp_path: Path) -> None:
    made = runner(tmp_path)
    job = made.job("slim.yml", "slim")
    assert job.failed is None, job.failed
    assert job.ran[-1] == "Build everything"
    assert "There is no state of main yet" in made.summary.read_text("utf-8")
    assert not [call for call in made.calls if "comment" in call]


@pytest.mark.parametrize(
    ("context", "value"),
    [
        ("github.event.pull_request.head.repo.full_name", "mallory/shop"),
        ("github.event.pull_request.user.login", "dependabot[bot]"),
    ],
)
def test_who_may_not_write_gets_a_summary_only(context: str, value: str) -> None:
    steps = load("slim.yml")["jobs"]["slim"]["steps"]
    (comment,) = [step for step in steps if step.get("name") == "Comment on the pull request"]
    contexts = {
        "github.repository": "ann/shop",
        "github.event.pull_request.head.repo.full_name": "ann/shop",
        "github.event.pull_request.user.login": "ann",
    }

    def runs(contexts: dict[str, str]) -> bool:
        made = Job.__new__(Job)
        made.runner = type("Contexts", (), {"contexts": contexts})()
        made.failed, made.outputs = None, {"steps.state.outputs.found": "true"}
        return made._holds(comment["if"])

    assert runs(contexts)
    assert not runs(contexts | {context: value})
