"""dbt run by hand in `dbt_project/`: green in every state, without what is not loaded."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab import ROOT, Lab, copy_project
from warm_process import run_module

pytestmark = pytest.mark.slow

COMMANDS = ("build", "run", "test", "compile", "docs generate", "source freshness")

# All commands in one process: dbt's imports take longer than what is asked of it.
SCRIPT = """
import json, sys
from dbt.cli.main import dbtRunner
for words in sys.argv[1:]:
    done = dbtRunner().invoke(["--quiet", *words.split()])
    results = getattr(done.result, "results", None) or []
    names = sorted(f"{one.node.name} {one.status}" for one in results if hasattr(one, "node"))
    error = str(done.exception) if done.exception else None
    print(json.dumps({"words": words, "ok": done.success, "names": names, "error": error}))
"""

SOURCES_YML = """\
sources:
  - name: crm
    schema: crm_raw
    tables:
      - name: people
        columns:
          - name: id
            data_tests: [not_null]
      - name: _dlt_loads
"""
STAGING = """\
select people.id, people.name
from {{ source('crm', 'people') }} as people
where _dlt_load_id in ({{ completed_loads('crm') }})
"""
JOINED = """\
select customers.customer_id, people.name
from {{ ref('customers') }} as customers
inner join {{ ref('stg_crm__people') }} as people on customers.customer_id = people.id
"""


@dataclass(frozen=True)
class Desk:
    """A project, and dbt in its folder, with no variable of Headrace's set."""

    lab: Lab

    def dbt(self, *commands: str) -> dict[str, list[str]]:
        """Run commands; what they ran, as ``name status``. Each must end well."""
        plain = {key: text for key, text in os.environ.items() if not key.startswith("HEADRACE_")}
        folder = self.lab.root / "dbt_project"
        done = run_module("by_hand", commands, cwd=folder, env=plain | {"DO_NOT_TRACK": "1"})
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert [line["words"] for line in lines] == list(commands), done.stdout + done.stderr
        assert [line for line in lines if not line["ok"]] == [], done.stdout
        return {line["words"]: line["names"] for line in lines}

    def marts(self) -> list[tuple[object, ...]]:
        return self.lab.query("select * from marts.customers order by all")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """The jaffle shop, and the models of a source that is off."""
    root = copy_project(tmp_path / "project")
    staging = root / "dbt_project" / "models" / "staging" / "crm"
    staging.mkdir()
    (staging / "_crm__sources.yml").write_text(SOURCES_YML)
    (staging / "stg_crm__people.sql").write_text(STAGING)
    (staging.parents[1] / "intermediate" / "int_people_joined.sql").write_text(JOINED)
    (root / "dbt_project" / "by_hand.py").write_text(SCRIPT)
    (root / "people").mkdir()
    (root / "people" / "people.csv").write_text("id,name\n1,Ada\n2,Grace\n")
    settings = root / "config" / "default.yml"
    settings.write_text(
        "sources:\n  jaffle_shop: {enabled: true}\n"
        "  crm: {enabled: false, kind: files, path: people, "
        "tables: {people: {pattern: people.csv, primary_key: [id]}}}\n"
    )
    return Desk(Lab(root / "data", root))


def test_dbt_by_hand_is_green_in_every_state(desk: Desk) -> None:
    # nothing was ever loaded; there is no data/ either
    assert set(map(tuple, desk.dbt(*COMMANDS).values())) == {()}
    shutil.copytree(ROOT / "data" / "schemas", desk.lab.root / "data" / "schemas")

    # right after a run, in which one source is off
    report = desk.lab.run()
    assert report.status == "success"
    assert report.build is not None
    built = {node.name for node in report.build.nodes}
    before = desk.marts()
    ran = desk.dbt(*COMMANDS, "build --select int_people_joined,selector:loaded")
    names = {line.partition(" ")[0] for line in ran["build"]}
    assert built <= names
    assert len(ran["run"]) == 6
    assert [line for line in ran["build"] if "people" in line] == []
    assert ran["build --select int_people_joined,selector:loaded"] == []
    assert {line.partition(" ")[2] for line in ran["source freshness"]} == {"pass"}
    assert desk.marts() == before

    # the catalog and the lineage have what is off
    manifest = json.loads((desk.lab.resolved.artifacts / "manifest.json").read_bytes())
    off = manifest["nodes"]["model.headrace.int_people_joined"]
    assert off["compiled_code"]
    assert off["tags"] == []

    # on and loaded, then switched off: its rows are still there
    settings = desk.lab.root / "config" / "default.yml"
    text = settings.read_text()
    settings.write_text(text.replace("enabled: false", "enabled: true"))
    desk.lab.load("crm")
    settings.write_text(text)
    ran = desk.dbt("build", "source freshness")
    assert {"int_people_joined success", "stg_crm__people success"} <= set(ran["build"])
    assert "source_not_null_crm_people_id pass" in ran["build"]
    assert desk.marts() == before
