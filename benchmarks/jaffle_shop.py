"""A day on the jaffle shop: a first run, nothing new, rows or a model changed, a model saved.

Headrace against a plain dlt script followed by `dbt build`, each of the two alone as well, SQLMesh
(`--sqlmesh VENV/bin/sqlmesh`), which reads the CSV files by itself, and Dango
(`--dango VENV/bin/dango`), which also loads by dlt and builds by dbt; the last two with the same
marts. `headrace watch` is timed from the save of the model to its result.
"""

import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from dlt_pipelines.jaffle_shop import TABLES
from dlt_pipelines.jaffle_shop.sample import complete_sample

from benchmarks.headrace_cli import headrace
from benchmarks.measure import (
    ROOT,
    BenchmarkError,
    Sample,
    alternate,
    environment,
    python,
    ratio,
    run_process,
)
from benchmarks.report import Report, parser, work_dir

FIRST, NOTHING, ROWS, MODEL, WATCHED = (
    "first run",
    "nothing changed",
    "1 row changed, 1 new per file",
    "one model changed",
    "one model saved, `headrace watch`",
)
JOBS = (FIRST, NOTHING, ROWS, MODEL, WATCHED)
BOTH = "dlt, then dbt build"
PROMISE = 0.6
"""Of the seconds of `BOTH`, where something is there already."""
_HERE = Path(__file__).parent
_SQLMESH, _DANGO = _HERE / "peers" / "sqlmesh_jaffle_shop", _HERE / "peers" / "dango_jaffle_shop"
_IGNORED = shutil.ignore_patterns("target", "logs", "dbt_packages", "__pycache__")
_TOTALS = "select count(*), sum(customer_lifetime_value) from marts.customers"


class Contender:
    """A way to do the jobs, with files, models and output of its own.

    Args:
        root: its folder.
        project: the models that it starts with.
        model: the path, in the project, of the model that changes.
    """

    def __init__(self, root: Path, project: Path, model: str) -> None:
        self.files, self.data = root / "files", root / "data"
        complete_sample(self.files, [name for t in TABLES.values() for name in t.patterns])
        self.project = root / "project"
        shutil.copytree(project, self.project, ignore=_IGNORED)
        self.model = self.project / model

    @property
    def warehouse(self) -> Path:
        """Its DuckDB file."""
        return self.data / "warehouse.duckdb"

    def run(self) -> list[Sample]:
        """Do what a run does; a sample for each process."""
        raise NotImplementedError

    def forget(self) -> None:
        """Remove all that earlier runs wrote."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(parents=True)

    def change(self, number: int) -> None:
        """Change the SQL of the model in a way that no cache can overlook, but not its rows."""
        text = self.model.read_text("utf-8").rsplit("\nwhere 0 <", 1)[0].rstrip()
        self.model.write_text(f"{text}\nwhere 0 < {number + 1}\n", "utf-8")

    def edit(self) -> None:
        """Change a value in each file, and add a row with a new key."""
        paths = [self.files / f"raw_{name}.csv" for name in ("customers", "orders", "payments")]
        tables = [_read(path) for path in paths]
        for rows in tables:
            rows.append({**rows[-1], "id": str(max(int(row["id"]) for row in rows) + 1)})
        customers, orders, payments = tables
        customers[0]["first_name"] += "a"
        orders[0]["status"] = "returned" if orders[0]["status"] == "completed" else "completed"
        payments[-1]["order_id"] = orders[-1]["id"]
        payments[0]["amount"] = str(int(payments[0]["amount"]) + 100)
        for path, rows in zip(paths, tables, strict=True):
            with path.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


class Headrace(Contender):
    """`headrace run`."""

    def sets(self) -> tuple[str, ...]:
        """The settings, besides where it writes."""
        return f"sources.jaffle_shop.path={self.files}", f"dbt.project_dir={self.project}"

    def run(self) -> list[Sample]:
        sample, report = headrace("run", data_dir=self.data, sets=self.sets())
        if report["status"] != "success":
            raise BenchmarkError(f"headrace run: {report['status']}")
        return [sample]

    def watched(self, runs: int) -> list[Sample]:
        """From the save of the model to its result, each in the same warm process."""
        sets = (f"data_dir={self.data}", *self.sets())
        command = python("-m", "headrace", "watch", "--json", "--project-dir", ROOT)
        command += [flag for value in sets for flag in ("--set", value)]
        samples = []
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                _line(process, "ready")
                for number in range(runs):
                    time.sleep(1)  # for whoever reads the result before the next save
                    before = sum(psutil.Process(process.pid).cpu_times()[:2])
                    started = time.perf_counter()
                    self.change(100 + number)
                    _line(process, "built")
                    seconds = time.perf_counter() - started
                    watched = psutil.Process(process.pid)
                    cpu = sum(watched.cpu_times()[:2]) - before
                    samples.append(Sample(seconds, cpu, watched.memory_info().rss))
            finally:
                process.terminate()
        return samples


class Plain(Contender):
    """A plain dlt script, then `dbt build` of what it loaded."""

    def run(self) -> list[Sample]:
        env = {"HEADRACE_WAREHOUSE": str(self.warehouse)}
        script = _HERE / "plain" / "load.py"
        build = [
            str(Path(sys.executable).with_name("dbt")),
            "build",
            "--project-dir", str(self.project),
            "--profiles-dir", str(self.project),
            "--target-path", str(self.data / "target"),
            "--log-path", str(self.data / "logs"),
            "--select", "source:jaffle_shop+",  # no other source is loaded
        ]  # fmt: skip
        load = python(script, self.files, self.warehouse, self.data / "dlt")
        return [run_process(load, env=env), run_process(build, env=env)]


class SqlMesh(Contender):
    """SQLMesh's plan, applied; its models read the CSV files.

    Args:
        root: its folder.
        program: SQLMesh's command.
    """

    def __init__(self, root: Path, program: Path) -> None:
        super().__init__(root, _SQLMESH, "models/customers.sql")
        self.program = program
        self.restated: list[str] = []

    def edit(self) -> None:
        """It does not look at files: it must be told that they changed."""
        super().edit()
        for name in ("customers", "orders", "payments"):
            self.restated += ["--restate-model", f"raw.{name}"]

    def run(self) -> list[Sample]:
        command = [str(self.program), "-p", str(self.project), "plan", "--auto-apply"]
        command += self.restated
        self.restated = []
        env = {
            "JAFFLE_SHOP_FILES": str(self.files),
            "JAFFLE_SHOP_WAREHOUSE": str(self.warehouse),
            "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
        }
        return [run_process([*command, "--no-prompts"], env=env)]


class Dango(Contender):
    """`dango sync`: its own load by dlt, staging models that it generates, and `dbt build`.

    Args:
        root: its folder.
        program: Dango's command.
    """

    def __init__(self, root: Path, program: Path) -> None:
        super().__init__(root, _DANGO / "project", "dbt/models/marts/customers.sql")
        self.program = program
        shutil.rmtree(self.project)  # it must be empty at first
        self.project.mkdir()
        self._dango("init", ".", "--skip-wizard")
        shutil.copytree(_DANGO / "project", self.project, dirs_exist_ok=True)
        sources = (_DANGO / "sources.yml").read_text("utf-8")
        (self.project / ".dango" / "sources.yml").write_text(
            sources.replace("FILES", str(self.files)), "utf-8"
        )
        profiles = self.project / "dbt" / "profiles.yml"
        text = profiles.read_text("utf-8")
        # these would be downloaded, and are not used
        text = text.replace("      extensions:\n        - httpfs\n        - parquet\n", "")
        profiles.write_text(text, "utf-8")

    @property
    def warehouse(self) -> Path:
        """Its own, wherever the settings say."""
        return self.project / "data" / "warehouse.duckdb"

    def forget(self) -> None:
        self.warehouse.unlink(missing_ok=True)
        shutil.rmtree(self.project / "dbt" / "target", ignore_errors=True)

    def _dango(self, *arguments: str) -> Sample:
        env = {"HOME": str(self.files.parent)}
        return run_process([str(self.program), *arguments], env=env, cwd=self.project)

    def run(self) -> list[Sample]:
        return [self._dango("sync", "--yes")]


def measure(
    work: Path,
    *,
    runs: int,
    sqlmesh: Path | None = None,
    dango: Path | None = None,
    jobs: Collection[str] = JOBS,
    dbt_project: Path = ROOT / "dbt_project",
) -> Report:
    """All jobs.

    Args:
        work: where everything is written.
        runs: rounds.
        sqlmesh: SQLMesh's command, in an environment of its own; it is left out without one.
        dango: Dango's command, likewise.
        jobs: which; the first run is always one of them.
        dbt_project: with the models of the jaffle shop.
    """
    report = Report("jaffle_shop", "A day on the jaffle shop")
    home = work / "jaffle_shop"
    shutil.rmtree(home, ignore_errors=True)
    model = "models/marts/customers.sql"
    ours = Headrace(home / "headrace", dbt_project, model)
    ways: dict[str, Contender] = {
        "Headrace": ours,
        BOTH: Plain(home / "plain", dbt_project, model),
    }
    if sqlmesh is not None:
        ways["SQLMesh"] = SqlMesh(home / "sqlmesh", sqlmesh)
    if dango is not None:
        ways["Dango"] = Dango(home / "dango", dango)
    prepare: dict[str, Callable[[Contender, int], None]] = {
        FIRST: lambda way, _: way.forget(),
        NOTHING: lambda way, _: None,
        ROWS: lambda way, _: way.edit(),
        MODEL: Contender.change,
    }
    for case, before in prepare.items():
        if case == FIRST or case in jobs:
            _job(report, case, ways, before, runs)
    found = {totals(way.warehouse) for way in ways.values()}
    if len(found) != 1:
        raise BenchmarkError(f"the contenders' marts differ: {found}")
    if WATCHED in jobs:
        report.add(WATCHED, "Headrace", ours.watched(runs))
    shutil.rmtree(home)
    return report


def _job(
    report: Report,
    case: str,
    ways: dict[str, Contender],
    before: Callable[[Contender, int], None],
    runs: int,
) -> None:
    """Time one job; what is two processes gives a row for each of them, too."""
    parts: dict[str, list[list[Sample]]] = {name: [] for name in ways}

    def contender(name: str, way: Contender) -> Callable[[int], Sample]:
        def run(number: int) -> Sample:
            before(way, number)
            samples = way.run()
            parts[name].append(samples)
            total = samples[0]
            for sample in samples[1:]:
                total = total.then(sample)
            return replace(total, inner_seconds=None)

        return run

    samples = alternate({name: contender(name, way) for name, way in ways.items()}, runs=runs)
    ours = samples["Headrace"]
    for name, found in samples.items():
        compared = None if found is ours else ratio(ours, found)
        promise = PROMISE if name == BOTH and case != FIRST else None
        report.add(case, name, found, ratio=compared, promise=promise)
        if name == BOTH:
            for number, part in enumerate(("dlt alone", "dbt alone")):
                alone = [replace(pair[number], inner_seconds=None) for pair in parts[name]]
                report.add(case, part, alone, ratio=ratio(ours, alone))


def _line(process: "subprocess.Popen[str]", kind: str) -> None:
    """Wait for the next report of `headrace watch`."""
    assert process.stdout is not None
    text = process.stdout.readline()
    report: dict[str, Any] = json.loads(text) if text else {"kind": "nothing"}
    failed = (report.get("run") or {}).get("status") not in {None, "success"}
    if report["kind"] != kind or failed:
        raise BenchmarkError(f"headrace watch: {text[:4000]}")


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def totals(warehouse: Path) -> tuple[object, ...]:
    """Of the customers of a warehouse, to compare by: how many, and what they paid."""
    import duckdb

    with duckdb.connect(str(warehouse), read_only=True) as connection:
        row: tuple[object, ...] | None = connection.execute(_TOTALS).fetchone()
    if row is None:
        raise BenchmarkError("no totals")
    return row


def main() -> None:
    """Measure, print the table."""
    options = parser(__doc__)
    options.add_argument("--sqlmesh", type=Path, help="SQLMesh's command; left out without one")
    options.add_argument("--dango", type=Path, help="Dango's command; left out without one")
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        report = measure(
            work,
            runs=chosen.runs,
            sqlmesh=chosen.sqlmesh and chosen.sqlmesh.absolute(),
            dango=chosen.dango and chosen.dango.absolute(),
        )
    report.finish(chosen.out)


if __name__ == "__main__":
    main()
