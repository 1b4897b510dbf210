"""Mutants run as SQL come to what dbt itself comes to, and nothing is left or changed."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import Lab
from small_project import copy_models
from typer.testing import CliRunner

from headrace.artifacts.dbt_results import FAILED
from headrace.cli.main import app
from headrace.errors import TransformError, WarehouseError
from headrace.pipeline.dbt import dbt_runner
from headrace.pipeline.strength import measure_strength
from headrace.quality.strength.measure import StrengthOptions
from headrace.quality.strength.mutations import mutants
from headrace.quality.strength.report import StrengthReport

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The jaffle shop, loaded and built."""
    folder = tmp_path_factory.mktemp("strength")
    copy_models(ROOT / "dbt_project", folder / "dbt_project", unit_tests=True)
    lab = Lab(folder / "data").set(f"dbt.project_dir={folder / 'dbt_project'}")
    assert lab.run("load", "build", sources=("jaffle_shop",)).status == "success"
    return lab


@pytest.fixture(scope="module")
def report(lab: Lab) -> StrengthReport:
    before = _content(lab.data_dir)
    found = measure_strength(lab.resolved, lab.resolved.target, options=StrengthOptions())
    assert _content(lab.data_dir) == before
    return found


def _content(folder: Path) -> dict[str, str]:
    """Each file's digest, without logs."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "logs" not in path.parts
    }


def test_the_tests_of_the_jaffle_shop_are_strong(report: StrengthReport) -> None:
    assert report.notes == ()
    assert report.planned == len(report.mutants) > 60
    assert {one.of for one in report.mutants} == {"sql", "data"}
    assert (report.score or 0) >= 0.9
    assert {"unit test", "data test"} <= report.killed_by.keys()


@pytest.fixture(scope="module")
def by_dbt(lab: Lab) -> Iterator[Any]:
    """Whether dbt itself finds a mutant of a model, in a copy of the warehouse."""
    home, target = lab.data_dir / "by_dbt", lab.resolved.target
    copy = home / "warehouse.duckdb"
    home.mkdir()
    shutil.copy(lab.warehouse, copy)
    with dbt_runner.environment():
        dbt_runner.write_profile(lab.resolved, target, home, path=str(copy))
        parsed = dbt_runner.parse(lab.resolved, home)

        def is_found(model: str, sql: str) -> bool:
            (node,) = [x for x in parsed.graph.nodes.values() if x.name == model]
            # with its refs, or a unit test could not put its own rows in their place
            written = re.sub(r'"warehouse"\."\w+"\."(\w+)"', r"{{ ref('\1') }}", sql)
            kept, node.raw_code = node.raw_code, written
            words = [*dbt_runner.arguments(lab.resolved, home), "--no-write-json"]
            result = parsed.runner.invoke(["build", *words, "--select", f"{model}+"])
            node.raw_code = kept
            results: Any = result.result
            return any(str(one.status) in FAILED for one in results)

        yield is_found
        target.release()


def test_dbt_finds_the_mutants_that_were_found_and_no_other(
    lab: Lab, report: StrengthReport, by_dbt: Any
) -> None:
    manifest = json.loads((lab.resolved.artifacts / "manifest.json").read_bytes())
    compiled = {x["name"]: x.get("compiled_code") for x in manifest["nodes"].values()}
    of_sql = [one for one in report.mutants if one.of == "sql"]
    wanted = {status: [x for x in of_sql if x.status == status] for status in
              ("killed", "survived", "equivalent")}  # fmt: skip
    sample = [*wanted["killed"][::8], *wanted["survived"][:2], *wanted["equivalent"][::6]]
    assert len(sample) >= 6
    for mutant in sample:
        (sql,) = {
            one.sql
            for one in mutants(str(compiled[mutant.asset]))
            if (one.change, one.diff) == (mutant.change, mutant.diff)
        }
        assert by_dbt(mutant.asset, sql) == (mutant.status == "killed"), mutant


def test_selectors_and_the_command(lab: Lab) -> None:
    words = ["test-strength", "--set", f"data_dir={lab.data_dir}", "--set", lab.flags[0]]
    result = CliRunner().invoke(app, [*words, "--select", "orders", "--fail-under", "1", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert {one["asset"] for one in found["mutants"]} == {"orders"}
    assert found["score"] == 1.0
    with pytest.raises(TransformError, match="--select nonsense matches no model"):
        measure_strength(
            lab.resolved, lab.resolved.target, select=["nonsense"], options=StrengthOptions()
        )
    assert not list((lab.data_dir / "spill").glob("strength-*"))


def test_before_the_first_run(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "data")
    with pytest.raises(WarehouseError, match="run `headrace run` first"):
        measure_strength(lab.resolved, lab.resolved.target, options=StrengthOptions())


def test_what_a_killed_process_left_goes_with_the_next(lab: Lab) -> None:
    left = lab.data_dir / "spill" / "strength-999999999"
    left.mkdir(parents=True, exist_ok=True)
    with pytest.raises(TransformError):
        measure_strength(
            lab.resolved, lab.resolved.target, select=["nonsense"], options=StrengthOptions()
        )
    assert not left.exists()
