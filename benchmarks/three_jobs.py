"""Three jobs on the jaffle shop: the first run, nothing changed, and one model changed.

Headrace against a plain dlt script followed by `dbt build`, each of the two alone as well, and
SQLMesh (`--sqlmesh VENV/bin/sqlmesh`) with the same models, which reads the CSV files by itself.
`headrace watch` (the fourth case) is timed from the save of the model to its result.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
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
from benchmarks.second_run import Home, plain, totals

FIRST, NOTHING, CHANGED, WATCHED = (
    "first run",
    "nothing changed",
    "one model changed",
    "one model saved, `headrace watch`",
)
BOTH = "dlt, then dbt build"
_SQLMESH = Path(__file__).parent / "peers" / "sqlmesh_jaffle_shop"
_IGNORED = shutil.ignore_patterns("target", "logs", "dbt_packages", "__pycache__")


class Contender:
    """A way to do the jobs, with files, models and output of its own.

    Args:
        root: its folder.
        project: the models that it starts with.
        model: the path, in the project, of the model that changes.
    """

    def __init__(self, root: Path, project: Path, model: str) -> None:
        self.home = Home(root)
        complete_sample(self.home.files, [name for t in TABLES.values() for name in t.patterns])
        self.project = root / "project"
        shutil.copytree(project, self.project, ignore=_IGNORED)
        self.model = self.project / model

    def run(self) -> list[Sample]:
        """Do what a run does; a sample for each process."""
        raise NotImplementedError

    def forget(self) -> None:
        """Remove all that earlier runs wrote."""
        shutil.rmtree(self.home.data, ignore_errors=True)
        self.home.data.mkdir(parents=True)

    def change(self, number: int) -> None:
        """Change the SQL of the model in a way that no cache can overlook, but not its rows."""
        text = self.model.read_text("utf-8").rsplit("\nwhere 0 <", 1)[0].rstrip()
        self.model.write_text(f"{text}\nwhere 0 < {number + 1}\n", "utf-8")


class Headrace(Contender):
    """`headrace run`."""

    def sets(self) -> tuple[str, ...]:
        """The settings, besides where it writes."""
        return f"sources.jaffle_shop.path={self.home.files}", f"dbt.project_dir={self.project}"

    def run(self) -> list[Sample]:
        sample, report = headrace("run", data_dir=self.home.data, sets=self.sets())
        if report["status"] != "success":
            raise BenchmarkError(f"headrace run: {report['status']}")
        return [sample]

    def watched(self, runs: int) -> list[Sample]:
        """From the save of the model to its result, each in the same warm process."""
        sets = (f"data_dir={self.home.data}", *self.sets())
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
    """A plain dlt script, then `dbt build`."""

    def run(self) -> list[Sample]:
        return list(plain(self.home, "load.py", self.project))


class SqlMesh(Contender):
    """SQLMesh's plan, applied; its models read the CSV files.

    Args:
        root: its folder.
        program: SQLMesh's command.
    """

    def __init__(self, root: Path, program: Path) -> None:
        super().__init__(root, _SQLMESH, "models/customers.sql")
        self.program = program

    def run(self) -> list[Sample]:
        command = [str(self.program), "-p", str(self.project), "plan", "--auto-apply"]
        env = {
            "JAFFLE_SHOP_FILES": str(self.home.files),
            "JAFFLE_SHOP_WAREHOUSE": str(self.home.warehouse),
            "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
        }
        return [run_process([*command, "--no-prompts"], env=env)]


def measure(work: Path, *, runs: int, sqlmesh: Path | None = None) -> Report:
    """All jobs.

    Args:
        work: where everything is written.
        runs: rounds.
        sqlmesh: SQLMesh's command, in an environment of its own; it is left out without one.
    """
    report = Report("three_jobs", "Three jobs on the jaffle shop")
    home = work / "three_jobs"
    shutil.rmtree(home, ignore_errors=True)
    dbt_project, model = ROOT / "dbt_project", "models/marts/customers.sql"
    ours = Headrace(home / "headrace", dbt_project, model)
    ways: dict[str, Contender] = {
        "Headrace": ours,
        BOTH: Plain(home / "plain", dbt_project, model),
    }
    if sqlmesh is not None:
        ways["SQLMesh"] = SqlMesh(home / "sqlmesh", sqlmesh)
    prepare: dict[str, Callable[[Contender, int], None]] = {
        FIRST: lambda way, _: way.forget(),
        NOTHING: lambda way, _: None,
        CHANGED: Contender.change,
    }
    for case, before in prepare.items():
        _job(report, case, ways, before, runs)
    found = {totals(way.home) for way in ways.values()}
    if len(found) != 1:
        raise BenchmarkError(f"the contenders' marts differ: {found}")
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
        report.add(case, name, found, ratio=None if found is ours else ratio(ours, found))
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


def main() -> None:
    """Measure, print the table."""
    options = parser(__doc__)
    options.add_argument("--sqlmesh", type=Path, help="SQLMesh's command; left out without one")
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        report = measure(work, runs=chosen.runs, sqlmesh=chosen.sqlmesh)
    report.finish(chosen.out)


if __name__ == "__main__":
    main()
