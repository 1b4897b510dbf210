"""The shop, and one large table, on each target, with DuckDB as the measure.

Each target is an empty place of its own (`TargetSettings.apart`), as `headrace parity` has it. What
a server does in its own processes is in the seconds, not in the CPU seconds and not in the peak.
A target that fails is named, and the others go on; it has no further lines in that round.
"""

import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.data import folder_of
from benchmarks.headrace_cli import files_source, headrace
from benchmarks.measure import ROOT, BenchmarkError, Sample, alternate, ratio
from benchmarks.report import Report, parser, work_dir
from headrace.settings import resolve

SHOP, AGAIN, TABLE = "first run of the shop", "the shop, a day later", "load of one table"
CASES = {"shop": SHOP, "again": AGAIN, "table": TABLE}
_STEPS = ("load", "build", "publish")


class OnTarget:
    """A target in an empty place.

    Args:
        name: the target's name; a built-in type's needs no entry in the settings.
        folder: of what it keeps on this machine.
        places: closes the place at the end.
    """

    def __init__(self, name: str, folder: Path, places: ExitStack) -> None:
        self.name, self.folder = name, folder
        self.folder.mkdir(parents=True)
        self.steps: dict[str, list[dict[str, float]]] = {}
        settings = resolve(ROOT, flags=[f"target={name}"]).settings.targets[name]
        changes = places.enter_context(settings.apart(folder))
        at_place = [f"targets.{name}.{key}={value}" for key, value in changes.items()]
        self.sets = (f"target={name}", *at_place)

    def run(self, case: str, command: str, sets: tuple[str, ...], _: int) -> Sample:
        """Run it; the seconds of its steps are kept by case."""
        sample, report = headrace(command, data_dir=self.folder, sets=(*self.sets, *sets))
        if report["status"] != "success":
            raise BenchmarkError(f"{self.name}: headrace {command}: {report['status']}")
        steps = {step: report[step]["seconds"] for step in _STEPS if report.get(step)}
        if report.get("build"):
            # of all tests, in threads that run at the same time
            nodes = report["build"]["nodes"]
            tests = [one["seconds"] for one in nodes if "test" in one["resource_type"]]
            steps["of that all tests"] = sum(second or 0.0 for second in tests)
        self.steps.setdefault(case, []).append(steps)
        return replace(sample, inner_seconds=None)

    def last_steps(self, case: str) -> str:
        """The seconds of the steps of its last run of a case."""
        return ", ".join(f"{step} {taken:.1f}" for step, taken in self.steps[case][-1].items())


def measure(
    work: Path,
    *,
    targets: list[str],
    scale: float,
    rows: int,
    runs: int,
    cases: tuple[str, ...] = (SHOP, AGAIN, TABLE),
) -> Report:
    """Run the shop twice on each target, and load one table of orders.

    Args:
        work: where everything is written.
        targets: their names; the first is what the others are measured by.
        scale: of the shop.
        rows: of the table.
        runs: rounds, each in an empty place.
        cases: of the three.

    Raises:
        BenchmarkError: a run on the first target failed.
    """
    report = Report("targets", "Targets")
    files = files_source(folder_of(work, rows=rows, form="parquet"), pattern="*.parquet")
    none = "sources.jaffle_shop.enabled=false"
    shop = (none, "sources.shop.enabled=true", f"sources.shop.scale={scale}")
    jobs = {
        SHOP: ("run", (*shop, "sources.shop.as_of=2025-12-31")),
        AGAIN: ("run", (*shop, "sources.shop.as_of=2026-01-01")),
        TABLE: ("load", (none, files)),
    }
    jobs = {case: job for case, job in jobs.items() if case in cases}
    found: dict[str, dict[str, list[Sample]]] = {case: {} for case in jobs}
    steps: dict[tuple[str, str], str] = {}
    for number in range(runs):
        with ExitStack() as places:
            all_of = {name: OnTarget(name, work / f"{number}.{name}", places) for name in targets}
            for case, (command, sets) in jobs.items():
                for name, one in list(all_of.items()):
                    run = partial(one.run, case, command, sets)
                    try:
                        samples = alternate({name: run}, runs=1)[name]
                    except BenchmarkError as error:
                        if name == targets[0]:
                            raise
                        print(error, file=sys.stderr)
                        report.facts[f"{case} on {name}"] = "failed"
                        del all_of[name]
                        continue
                    found[case].setdefault(name, []).extend(samples)
                    steps[case, name] = one.last_steps(case)
                    cpu = samples[0].cpu_seconds
                    print(f"    {case}: {steps[case, name]}; CPU {cpu:.1f}", file=sys.stderr)
    for case, by_target in found.items():
        for name, taken in by_target.items():
            first = by_target[targets[0]]
            report.add(case, name, taken, ratio=None if taken is first else ratio(first, taken))
            report.facts[f"{case} on {name}, seconds of the steps"] = steps[case, name]
    return report


def main() -> None:
    """Measure, print the table."""
    options = parser(__doc__)
    options.add_argument("--targets", nargs="+", default=["duckdb", "ducklake", "lake"])
    options.add_argument(
        "--scale", type=float, default=49.3, help="of the shop; as it is: 1 million orders"
    )
    options.add_argument("--rows", type=float, default=10, help="of the table, in millions")
    options.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        report = measure(
            work,
            targets=chosen.targets,
            scale=chosen.scale,
            rows=int(chosen.rows * 1e6),
            runs=chosen.runs,
            cases=tuple(CASES[case] for case in chosen.cases),
        )
    report.finish(chosen.out)


if __name__ == "__main__":
    main()
