"""Spark and Sail build and publish the jaffle shop in spite of kills; Spark writes generated data.

The kills on Spark take four minutes: they are run each night (``HEADRACE_TEST_ON_SPARK=1``).
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest
from benchmarks.clusters import sail_server
from warm_process import run_module

from headrace.synth.generate import generate
from headrace.synth.writer import Share

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


STEPS = ("load", "build", "publish")
"""In each of them a run is killed."""
NIGHTLY = "HEADRACE_TEST_ON_SPARK"
ENGINES = ("sail", "spark") if os.environ.get(NIGHTLY) else ("sail",)
ENVIRON = {key: value for key, value in os.environ.items() if key != NIGHTLY}  # it is no setting


class Place:
    """A data directory of a target.

    Attributes:
        project: whose models are built.
        data: the directory.
        csv: the input; it changes.
    """

    def __init__(self, project: Path, folder: Path, target: str, more: tuple[str, ...]) -> None:
        self.project = project
        self.data, self.csv = folder / "data", folder / "csv"
        self.target, self.more = target, more
        self.sets = (f"data_dir={self.data}", f"target={target}", *more)
        generate(ROOT / "data" / "schemas" / "jaffle_shop.yml", self.csv, kind="csv")
        self.run = ("run", "--source", "jaffle_shop", "--json",
                    "--set", f"sources.jaffle_shop.path={self.csv}")  # fmt: skip

    @property
    def root(self) -> Path:
        """The folder of all tables."""
        return self.data / "targets" / self.target / "files"

    def words(self, *words: str) -> list[str]:
        """A command line."""
        return [*words, *(word for one in self.sets for word in ("--set", one))]

    def headrace(self, *words: str) -> dict[str, Any]:
        """What a command reports; it is good."""
        done = run_module("headrace", self.words(*words), cwd=self.project, env=ENVIRON)
        assert done.returncode == 0, done.stdout + done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def killed_in(self, step: str) -> None:
        """Run, and kill the process once it is in a step; in the build, once a table is written."""
        progress = self.data / "targets" / self.target / "progress.json"
        there = self.builds()
        progress.unlink(missing_ok=True)
        with (self.data / f"{step}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "headrace", *self.words(*self.run)],
                cwd=self.project, env=ENVIRON, stdout=log, stderr=log,
            )  # fmt: skip
        while process.poll() is None:
            with suppress(OSError, ValueError):
                is_there = json.loads(progress.read_bytes())["step"] == step
                if is_there and (step != "build" or self.builds() - there):
                    break
            time.sleep(0.01)
        time.sleep(0.3)  # for some of what a step does to be done
        process.kill()
        assert process.wait() == -signal.SIGKILL, (self.data / f"{step}.log").read_text()

    def builds(self) -> set[Path]:
        """The folders of tables that builds have begun to write."""
        return {path for layer in ("silver", "gold") for path in self.root.glob(f"{layer}/*/*/*")}

    def manifest(self) -> dict[str, Any]:
        """What readers follow."""
        found: dict[str, Any] = json.loads((self.root / "_headrace/published.json").read_bytes())
        return found

    def seen(self) -> tuple[str, int, int]:
        """What a reader sees: the run, the orders that were returned, and those of customers."""
        manifest = self.manifest()
        files = {
            table["name"]: [str(self.root / file) for file in table["files"]]
            for table in manifest["tables"]
        }
        with closing(duckdb.connect()) as connection:
            found = connection.execute(
                "select (select count(*) from read_parquet($orders) where status = 'returned'), "
                "(select sum(number_of_orders) from read_parquet($customers))",
                {name: files[name] for name in ("orders", "customers")},
            ).fetchone()
        assert found is not None
        return str(manifest["run_id"]), int(found[0]), int(found[1])

    def change(self, before: str, after: str) -> None:
        """Give orders of one status another one."""
        orders = self.csv / "raw_orders.csv"
        orders.write_text(orders.read_text().replace(before, after))


class Reader(threading.Thread):
    """Reads what is published, over and over; gives what it saw, and each error."""

    def __init__(self, place: Place) -> None:
        super().__init__(daemon=True)
        self.place, self.over = place, threading.Event()
        self.seen: list[tuple[str, int, int]] = []
        self.errors: list[Exception] = []

    def run(self) -> None:
        """Until it is over."""
        while not self.over.wait(0.05):
            try:
                self.seen.append(self.place.seen())
            except Exception as error:
                self.errors.append(error)

    def __enter__(self) -> "Reader":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


@pytest.fixture(scope="module", params=ENGINES)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, jaffle_root: Path
) -> Any:
    """On Sail's server, which may still write when the process that asked is gone; Spark's Java
    process ends a moment after it.
    """
    engine = request.param
    package = {"sail": "pysail", "spark": "py4j"}[engine]
    for module in (package, f"dbt.adapters.{engine}", "deltalake"):
        pytest.importorskip(module, reason=f"uv sync --extra {engine}")
    folder = tmp_path_factory.mktemp(engine)
    if engine == "spark":
        yield Place(jaffle_root, folder, engine, ())
        return
    with sail_server() as port:
        where = ("targets.sail.host=127.0.0.1", f"targets.sail.port={port}")
        yield Place(jaffle_root, folder, engine, where)


def test_runs_that_are_killed_leave_what_readers_have(place: Place) -> None:
    first = place.headrace(*place.run)
    assert {table["name"]: table["rows"] for table in place.manifest()["tables"]} == {
        name: len((place.csv / f"raw_{name}.csv").read_text().splitlines()) - 1
        for name in ("customers", "orders")
    }
    before = place.seen()
    assert before[0] == first["run_id"]
    place.change("completed", "returned")
    with Reader(place) as reader:
        for step in STEPS:
            place.killed_in(step)
            left = place.seen()
            # a manifest is there or it is not: then the publication was complete before the kill
            assert left == before or (step == "publish" and left[1] > before[1])
        again = place.headrace(*place.run)
        now = place.seen()
        assert again["status"] == "success"
        assert now[1] > before[1]
        assert now[2] == before[2]
        place.headrace("published", "--rollback", before[0], "--json")
        assert place.seen() == before
    assert reader.errors == []
    assert {seen[1:] for seen in reader.seen} == {before[1:], now[1:]}


def test_after_kills_the_tables_are_those_of_a_place_without_any(
    place: Place, tmp_path: Path
) -> None:
    other = Place(place.project, tmp_path, place.target, place.more)
    other.change("completed", "returned")
    here = place.headrace(*place.run)
    there = other.headrace(*other.run)
    assert here["status"] == there["status"] == "success"
    assert place.seen()[1:] == other.seen()[1:]
    contents = [
        {table["name"]: (table["rows"], table["content"]) for table in one.manifest()["tables"]}
        for one in (place, other)
    ]
    assert contents[0] == contents[1]
    # nothing is left of builds that were killed but what is published or the newest
    named = {
        (place.root / file).parents[1].name
        for path in (place.root / "_headrace").rglob("*.json")
        for table in json.loads(path.read_bytes()).get("tables", ())
        for file in table["files"]
    }
    assert {folder.name for folder in (place.root / "gold" / "marts").iterdir()} <= named


def test_parts_that_spark_writes_are_those_of_one_machine(tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="uv sync --extra spark")
    if shutil.which("java") is None:
        pytest.skip("there is no Java")
    page = (ROOT / "docs" / "how-to" / "use-spark.md").read_text("utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "generate_on_spark.py").write_text(script)
    schema = tmp_path / "shop.yml"
    whole = (ROOT / "data" / "schemas" / "shop.yml").read_text("utf-8")
    schema.write_text(whole.replace("per_day: 20,", "per_day: 2,"), "utf-8")
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
