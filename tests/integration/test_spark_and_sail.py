"""Sail builds, changes and publishes the jaffle shop; Spark writes generated data in parts."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from headrace.synth.generate import generate
from headrace.synth.writer import Share

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def _headrace(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headrace", *words, "--set", f"data_dir={data}"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("pysail", "dbt.adapters.sail", "deltalake"):
        pytest.importorskip(module, reason="uv sync --extra sail")
    return tmp_path_factory.mktemp("sail")


def test_sail_builds_publishes_changes_and_goes_back(data: Path, tmp_path: Path) -> None:
    csv = tmp_path / "csv"
    generate(ROOT / "data" / "schemas" / "jaffle_shop.yml", csv, kind="csv")
    run = ("run", "--target", "sail", "--source", "jaffle_shop", "--json",
           "--set", f"sources.jaffle_shop.path={csv}")  # fmt: skip
    first = _headrace(data, *run)
    assert first.returncode == 0, first.stdout + first.stderr
    manifest = data / "targets" / "sail" / "files" / "_headrace" / "published.json"
    published = json.loads(manifest.read_text())
    assert {table["name"]: table["rows"] for table in published["tables"]} == {
        name: len((csv / f"raw_{name}.csv").read_text().splitlines()) - 1
        for name in ("customers", "orders")
    }
    orders = csv / "raw_orders.csv"
    orders.write_text(orders.read_text().replace("completed", "returned"))
    second = _headrace(data, *run)
    assert second.returncode == 0, second.stdout + second.stderr
    now = json.loads(manifest.read_text())
    assert now["run_id"] != published["run_id"]
    assert _statuses(manifest, now) > _statuses(manifest, published)
    unchanged = [table["files"] for table in published["tables"] if table["name"] == "customers"]
    assert [table["files"] for table in now["tables"] if table["name"] == "customers"] == unchanged
    back = _headrace(
        data, "published", "--target", "sail", "--rollback", published["run_id"], "--json"
    )
    assert back.returncode == 0, back.stdout + back.stderr
    assert json.loads(manifest.read_text())["run_id"] == published["run_id"]


def _statuses(manifest: Path, content: dict[str, list[dict[str, list[str]]]]) -> int:
    """How many orders a publication has that were returned."""
    root = manifest.parents[1]
    (files,) = [table["files"] for table in content["tables"] if str(table["name"]) == "orders"]
    with duckdb.connect() as connection:
        row = connection.execute(
            "select count(*) from read_parquet(?) where status = 'returned'",
            [[str(root / file) for file in files]],
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_parts_that_spark_writes_are_those_of_one_machine(tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="uv sync --extra spark")
    if shutil.which("java") is None:
        pytest.skip("there is no Java")
    page = (ROOT / "docs" / "how-to" / "use-spark.md").read_text("utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "generate_on_spark.py").write_text(script)
    schema = ROOT / "data" / "schemas" / "shop.yml"
    words = [
        "--conf", "spark.ui.enabled=false", "--master", "local[2]",
        "generate_on_spark.py", str(schema), "spark", "2",
    ]  # fmt: skip
    import pyspark

    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    done = subprocess.run(
        [str(submit), *words],
        cwd=tmp_path,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
             "PYSPARK_PYTHON": sys.executable, "HOME": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "rows in 2 parts" in done.stdout
    for part in (1, 2):
        generate(schema, tmp_path / "here", share=Share(part, 2))
    here, there = (
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("[!.]*")}
        for name in ("here", "spark")
    )
    assert there == here != {}
