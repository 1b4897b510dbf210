"""dbt as an editor runs it: on the published copy, beside runs, and never on the warehouse."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from lab import ROOT, Lab, copy_project, fingerprint
from warm_process import run_module

pytestmark = pytest.mark.slow

# One process that stays, as an editor's does: it asks again and again, by the same adapter.
WATCHER = """
import json, os, sys, time
from dbt.cli.main import dbtRunner
query = "select count(*) as n from {{ ref('customers') }}"
flags = ["--quiet", "--log-level", "none"]
runner = dbtRunner(manifest=dbtRunner().invoke([*flags, "parse"]).result)
while not os.path.exists(sys.argv[1]):
    found = runner.invoke([*flags, "show", "--inline", query, "--output", "json"])
    fds = "/proc/self/fd"
    held = [os.readlink(f"{fds}/{n}") for n in os.listdir(fds)
            if os.path.islink(f"{fds}/{n}")] if os.path.isdir(fds) else []
    line = {"error": str(found.exception) if found.exception else None,
            "n": int(found.result.results[0].agate_table.rows[0][0]) if found.success else None,
            "held": [path for path in held if ".duckdb" in path]}
    print(json.dumps(line), file=sys.stderr, flush=True)
    time.sleep(0.05)
"""


@dataclass(frozen=True)
class Editor:
    """A project and the environment in which an editor's dbt runs."""

    lab: Lab

    @property
    def environment(self) -> dict[str, str]:
        settings = json.loads((ROOT / ".vscode" / "settings.json").read_text("utf-8"))
        given = settings["terminal.integrated.env.linux"]
        plain = {key: text for key, text in os.environ.items() if not key.startswith("HEADRACE_")}
        return plain | {
            "DBT_PROFILES_DIR": given["DBT_PROFILES_DIR"].replace("${workspaceFolder}", str(ROOT)),
            "PUBLISHED_DUCKDB": str(self.lab.published),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }

    def dbt(self, *words: str) -> "subprocess.CompletedProcess[str]":
        words = ("--quiet", "--no-use-colors", *words)
        folder = self.lab.root / "dbt_project"
        return run_module("dbt.cli.main", words, cwd=folder, env=self.environment)

    def shown(self, query: str) -> list[dict[str, object]]:
        """The rows of a query."""
        done = self.dbt("show", "--inline", query, "--output", "json")
        assert done.returncode == 0, done.stdout + done.stderr
        rows: list[dict[str, object]] = json.loads(done.stdout)["show"]
        return rows

    @contextmanager
    def watching(self) -> "Iterator[Watched]":
        """Ask for the number of customers all the time."""
        log, stop = (self.lab.root / name for name in ("asked.jsonl", "stop"))
        with log.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", WATCHER, str(stop)], stderr=stream,
                cwd=self.lab.root / "dbt_project", env=self.environment,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                yield Watched(log)
            finally:
                stop.touch()
                process.wait(timeout=300)
        assert process.returncode == 0


@dataclass(frozen=True)
class Watched:
    """What the watcher was told."""

    log: Path

    @property
    def lines(self) -> list[dict[str, object]]:
        text = self.log.read_text("utf-8")
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_for(self, count: int) -> None:
        """Wait until it sees so many customers."""
        ends = time.monotonic() + 300
        while not any(line["n"] == count for line in self.lines):
            assert time.monotonic() < ends, self.log.read_text("utf-8")[-2000:]
            time.sleep(0.1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of its own, because dbt writes its target folder into it."""
    return copy_project(tmp_path_factory.mktemp("editor") / "project")


@pytest.fixture
def editor(_sample_run: Path, project: Path) -> Iterator[Editor]:
    """It finds data at the same place in each test, and so dbt parses the project once."""
    lab = Lab(project.with_name("data"), project)
    shutil.copytree(_sample_run, lab.data_dir)
    lab.say_it_was_built_here()
    yield Editor(lab)
    shutil.rmtree(lab.data_dir)


def test_everything_that_an_editor_asks_works_without_the_warehouse(editor: Editor) -> None:
    warehouse, published = editor.lab.warehouse, editor.lab.published
    warehouse.unlink()
    before = fingerprint(published)

    assert editor.dbt("parse").returncode == 0
    assert "headrace.marts.customers" in editor.dbt("list", "--select", "customers").stdout
    compiled = editor.dbt("compile", "--inline", "select * from {{ ref('customers') }}")
    assert '"published"."marts"."customers"' in compiled.stdout
    assert editor.shown("select count(*) as n from {{ ref('customers') }}") == [{"n": 100}]

    assert not warehouse.exists()
    assert fingerprint(published) == before


def test_it_cannot_write_and_says_what_is_not_there(editor: Editor) -> None:
    before = fingerprint(editor.lab.published)
    written = editor.dbt("run", "--select", "customers")
    assert written.returncode != 0
    assert "read-only" in written.stdout
    assert fingerprint(editor.lab.published) == before
    staging = editor.dbt("show", "--select", "stg_jaffle_shop__customers")
    assert staging.returncode != 0
    assert "does not exist" in staging.stdout
    editor.lab.published.unlink()
    done = editor.dbt("show", "--inline", "select 1 as one")
    assert done.returncode != 0
    assert "published.duckdb" in done.stdout
    assert not editor.lab.published.exists(), "none is made"


def test_it_works_while_another_process_holds_the_warehouse(editor: Editor) -> None:
    with duckdb.connect(str(editor.lab.warehouse)):
        assert editor.shown("select count(*) as n from {{ ref('customers') }}") == [{"n": 100}]


def test_an_editor_finds_a_manifest_and_keeps_its_own(editor: Editor) -> None:
    found = editor.lab.root / "dbt_project" / "target" / "manifest.json"
    found.unlink(missing_ok=True)
    assert editor.lab.run().status == "success"
    assert "model.headrace.customers" in json.loads(found.read_bytes())["nodes"]

    # what an editor writes is its own, and no run needs it
    assert editor.dbt("parse").returncode == 0
    before = fingerprint(found)
    report = editor.lab.run()
    assert report.build is not None
    assert report.build.reused
    assert fingerprint(found) == before


@pytest.mark.skipif(sys.platform == "win32", reason="there, a run waits for current readers")
def test_a_run_publishes_under_the_editors_eyes(editor: Editor) -> None:
    with editor.watching() as watched:
        watched.wait_for(100)
        customers = editor.lab.data_dir / "jaffle_shop" / "raw_customers.csv"
        with customers.open("a", encoding="utf-8") as stream:
            stream.write("101,Ada,L.\n")
        assert editor.lab.run().status == "success"
        watched.wait_for(101)
        lines = watched.lines
    counts = [line["n"] for line in lines]
    assert [line["error"] for line in lines] == [None] * len(lines)
    assert counts == sorted(counts, key=str), "a look never goes back"
    assert {100, 101} == set(counts)
    assert not any("warehouse" in str(line["held"]) for line in lines)
    assert all(line["held"] == [] for line in lines), "between two looks nothing is held"
