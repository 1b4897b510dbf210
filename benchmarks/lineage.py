"""Column lineage of generated projects against dbt-colibri and plain `sqlglot.lineage`.

uv run python -m benchmarks.lineage --colibri VENV/bin/python [--sizes 100 1000 5000] [--runs 5]

dbt-colibri runs in an environment of its own, with the same compiled sqlglot:
`uv venv VENV && uv pip install --python VENV/bin/python dbt-colibri "sqlglot[c]==30.30"`.
Every contender is one process that reads dbt's `manifest.json` and `catalog.json` and writes the
edges it found; these are compared with the edges that the project was made from.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.lineage_projects import Edge, Project, generate
from benchmarks.measure import BenchmarkError, Sample, alternate, inner_ratio, python, ratio
from benchmarks.measure import run_process as process
from benchmarks.report import Report, parser, work_dir

PROMISE = 1 / 3
SECOND_RUN_SECONDS = 2.0
_PEERS = Path(__file__).parent / "peers"
_OURS, _SECOND = "Headrace", "Headrace, one model changed"
_COLIBRI, _PLAIN = "dbt-colibri", "sqlglot.lineage"


@dataclass(frozen=True)
class Contest:
    """A project on disk, and who reads it.

    Attributes:
        project: what it was made from.
        target: dbt's target folder.
        colibri: the Python of dbt-colibri's environment; None: it is left out.
        limit: seconds after which plain sqlglot stops.
    """

    project: Project
    target: Path
    colibri: Path | None
    limit: float

    @property
    def out(self) -> Path:
        """Where a contender writes its edges."""
        return self.target / "edges.json"

    def headrace(self, *, cold: bool) -> Sample:
        """Headrace, with or without its cache."""
        cache = self.target / "cache"
        if cold:
            shutil.rmtree(cache, ignore_errors=True)
        script = _PEERS / "lineage_with_headrace.py"
        return _run(python(script, self.target, cache, self.out))

    def one_changed(self, number: int) -> Sample:
        """Headrace after one model was edited since the last run; its edges stay the same."""
        path = self.target / "manifest.json"
        manifest = json.loads(path.read_text("utf-8"))
        nodes = list(manifest["nodes"].values())
        node = nodes[(number * 37 + 11) % len(nodes)]
        node["compiled_code"] = f"-- edit {number}\n{node['compiled_code']}"
        path.write_text(json.dumps(manifest), "utf-8")
        sample = self.headrace(cold=False)
        if json.loads(sample.stdout)["read"] != 1:
            raise BenchmarkError(f"not one statement was read: {sample.stdout}")
        return sample

    def sqlglot(self) -> Sample:
        """Plain sqlglot."""
        script = _PEERS / "lineage_with_sqlglot.py"
        return _run(python(script, self.target, self.out, str(self.limit)))

    def dbt_colibri(self) -> Sample:
        """dbt-colibri's extractor."""
        script = _PEERS / "lineage_with_colibri.py"
        return _run([str(self.colibri), str(script), str(self.target), str(self.out)])

    def verdict(self) -> str:
        """How many of the true edges the last contender found, and how many that are not true."""
        found: set[Edge] = {
            (one[0], one[1], one[2], one[3]) for one in json.loads(self.out.read_text("utf-8"))
        }
        true, decided = self.project.direct(), self.project.decided()
        more = len(found - true - decided)
        return f"{len(found & true):,} of {len(true):,} true edges, {more:,} false"


def _run(command: list[str]) -> Sample:
    sample = process(command, env={"DBT_COLIBRI_NO_VERSION_CHECK": "1"})
    said = json.loads(sample.stdout.strip().splitlines()[-1])
    return replace(sample, inner_seconds=said["seconds"], stdout=json.dumps(said))


def measure(
    work: Path, *, sizes: list[int], runs: int, colibri: Path | None, limit: float
) -> Report:
    """All sizes; rounds get fewer as projects grow."""
    report = Report("lineage", "Column lineage of generated projects", inner="lineage s")
    facts: dict[str, Any] = report.facts
    facts["sqlglot, compiled, everywhere"] = version("sqlglot")
    for size in sizes:
        rounds = runs if size <= 1000 else 1
        project = generate(size)
        target = work / f"lineage_{size}"
        shutil.rmtree(target, ignore_errors=True)
        project.write(target)
        contest = Contest(project, target, colibri, limit)
        verdicts: dict[str, str] = {}
        samples = alternate(_cold(contest, verdicts, size), runs=rounds)
        _add(report, f"{size:,} models, cold", samples)
        contest.headrace(cold=False)
        second = alternate({_SECOND: contest.one_changed}, runs=max(rounds, 3))
        report.add(f"{size:,} models, second run", _SECOND, second[_SECOND])
        for name, verdict in verdicts.items():
            facts[f"{size:,} models, {name}"] = verdict
        shutil.rmtree(target)
    return report


def _cold(
    contest: Contest, verdicts: dict[str, str], size: int
) -> dict[str, Callable[[int], Sample]]:
    """The contenders; each notes in ``verdicts`` what it found."""

    def noted(name: str, run: Callable[[], Sample]) -> Callable[[int], Sample]:
        def once(_: int) -> Sample:
            sample = run()
            verdicts[name] = contest.verdict()
            models = json.loads(sample.stdout)["models"]
            if models < size:
                verdicts[name] += f" (stopped after {models:,} models)"
            return sample

        return once

    ways: dict[str, Callable[[], Sample]] = {
        _OURS: partial(contest.headrace, cold=True),
        _PLAIN: contest.sqlglot,
    }
    if contest.colibri is not None:
        ways[_COLIBRI] = contest.dbt_colibri
    return {name: noted(name, way) for name, way in ways.items()}


def _add(report: Report, case: str, samples: dict[str, list[Sample]]) -> None:
    ours = samples[_OURS]
    report.add(case, _OURS, ours)
    fastest = min(
        (name for name in samples if name != _OURS),
        key=lambda name: min(sample.seconds for sample in samples[name]),
    )
    for name, found in samples.items():
        if name != _OURS:
            report.add(
                case,
                name,
                found,
                ratio=ratio(ours, found),
                promise=PROMISE if name == fastest else None,
                inner_ratio=inner_ratio(ours, found),
            )


def main() -> None:
    """Measure, print the table."""
    options = parser(__doc__)
    options.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 5000], help="models")
    options.add_argument("--colibri", type=Path, help="the Python of dbt-colibri's environment")
    options.add_argument(
        "--limit", type=float, default=120.0, help="seconds after which plain sqlglot is stopped"
    )
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        report = measure(
            work,
            sizes=chosen.sizes,
            runs=chosen.runs,
            colibri=chosen.colibri.absolute() if chosen.colibri else None,
            limit=chosen.limit,
        )
    report.finish(chosen.out)


if __name__ == "__main__":
    main()
