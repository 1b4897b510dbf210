"""The shop, and one large table, on each target, with DuckDB as the measure.

Each target is an empty place of its own (`TargetSettings.apart`), as `headrace parity` has it. What
a server does in its own processes is in the seconds, not in the CPU seconds and not in the peak.
A target that fails is named, and the others go on; it has no further lines in that round.

All cases of one target in one round are a part, which takes minutes at full size. With `--parts
FILE` what was measured is kept there, a line for each part: a call that was stopped, or that
`--most N` ended, goes on where it was when it is repeated. The last call prints the table.
"""

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.data import folder_of
from benchmarks.headrace_cli import files_source, headrace
from benchmarks.measure import ROOT, BenchmarkError, Sample, ratio
from benchmarks.report import Report, parser, work_dir
from headrace.errors import HeadraceError
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

    Raises:
        BenchmarkError: there is no such place, as its server is not there.
    """

    def __init__(self, name: str, folder: Path, places: ExitStack) -> None:
        self.name, self.folder = name, folder
        self.folder.mkdir(parents=True)
        settings = resolve(ROOT, flags=[f"target={name}"]).settings.targets[name]
        try:
            changes = places.enter_context(settings.apart(folder))
        except HeadraceError as error:
            raise BenchmarkError(f"{name}: {error}") from error
        at_place = [f"targets.{name}.{key}={value}" for key, value in changes.items()]
        self.sets = (f"target={name}", *at_place)

    def run(self, command: str, sets: tuple[str, ...]) -> tuple[Sample, dict[str, float]]:
        """Run it; gives the seconds of its steps, too.

        Raises:
            BenchmarkError: it failed.
        """
        sample, report = headrace(command, data_dir=self.folder, sets=(*self.sets, *sets))
        if report["status"] != "success":
            raise BenchmarkError(f"{self.name}: headrace {command}: {report['status']}")
        steps = {step: report[step]["seconds"] for step in _STEPS if report.get(step)}
        if report.get("build"):
            # of all tests, in threads that run at the same time
            nodes = report["build"]["nodes"]
            tests = [one["seconds"] for one in nodes if "test" in one["resource_type"]]
            steps["of that all tests"] = sum(second or 0.0 for second in tests)
        return replace(sample, inner_seconds=None), steps


class Parts:
    """What was measured: by the number of the round, the target and the case.

    Args:
        path: the file that keeps it; None to keep it in memory alone.
        about: what it was measured of; other figures in the file are not mixed with these.

    Raises:
        BenchmarkError: the file is of something else.
    """

    def __init__(self, path: Path | None, about: dict[str, Any]) -> None:
        self.path, self.about = path, about
        self.found: dict[tuple[int, str], dict[str, Any]] = {}
        for line in path.read_text("utf-8").splitlines() if path and path.exists() else ():
            part = json.loads(line)
            if part["about"] != about:
                raise BenchmarkError(
                    f"{path} is of {part['about']}, not of {about}: name another file by --parts"
                )
            self.found[part["round"], part["target"]] = part["cases"]

    def add(self, number: int, target: str, cases: dict[str, Any]) -> None:
        """Keep the cases of a target in a round."""
        self.found[number, target] = cases
        if self.path is not None:
            part = {"round": number, "target": target, "cases": cases, "about": self.about}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(part) + "\n")

    def samples(self, case: str, target: str) -> list[Sample]:
        """Of all rounds in which it did not fail."""
        found = [cases.get(case) for (_, name), cases in self.found.items() if name == target]
        return [Sample(**one["sample"]) for one in found if one and "sample" in one]


def measure(
    work: Path,
    *,
    targets: list[str],
    scale: float,
    rows: int,
    runs: int,
    cases: tuple[str, ...] = (SHOP, AGAIN, TABLE),
    parts_file: Path | None = None,
    most: int | None = None,
) -> Report | None:
    """Run the shop twice on each target, and load one table of orders.

    Args:
        work: where everything is written.
        targets: their names; the first is what the others are measured by.
        scale: of the shop.
        rows: of the table.
        runs: rounds, each in an empty place.
        cases: of the three.
        parts_file: keeps what was measured, for a later call to go on.
        most: parts to measure in this call.

    Returns:
        The report; None if parts are left.

    Raises:
        BenchmarkError: a run on the first target failed.
    """
    parts = Parts(parts_file, {"scale": scale, "rows": rows, "cases": list(cases)})
    none = "sources.jaffle_shop.enabled=false"
    shop = (none, "sources.shop.enabled=true", f"sources.shop.scale={scale}")
    jobs: dict[str, Callable[[], tuple[str, tuple[str, ...]]]] = {
        SHOP: lambda: ("run", (*shop, "sources.shop.as_of=2025-12-31")),
        AGAIN: lambda: ("run", (*shop, "sources.shop.as_of=2026-01-01")),
        TABLE: lambda: ("load", (none, _table(work, rows))),
    }
    left = [(n, name) for n in range(runs) for name in targets if (n, name) not in parts.found]
    for number, name in left[:most]:
        folder = work / f"{number}.{name}"
        shutil.rmtree(folder, ignore_errors=True)  # of a call that was stopped
        found: dict[str, Any] = {}
        with ExitStack() as places:
            case = ""
            try:
                place = OnTarget(name, folder, places)
                for case in (case for case in jobs if case in cases):
                    sample, steps = place.run(*jobs[case]())
                    size = _size(folder)
                    found[case] = {"sample": asdict(sample), "steps": steps, "bytes": size}
                    told = _told(found[case])
                    print(f"    {name}, {case}: {told}", file=sys.stderr, flush=True)
            except BenchmarkError as error:
                if name == targets[0]:
                    raise
                print(error, file=sys.stderr)
                found[case or cases[0]] = {"failed": str(error)[-500:]}
        shutil.rmtree(folder, ignore_errors=True)
        parts.add(number, name, found)
    if len(left) > (most if most is not None else len(left)):
        return None
    return _report(parts, targets, cases)


def _table(work: Path, rows: int) -> str:
    return files_source(folder_of(work, rows=rows, form="parquet"), pattern="*.parquet")


def _size(folder: Path) -> int:
    """Of all files: what it keeps on this machine."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _told(part: dict[str, Any]) -> str:
    steps = ", ".join(f"{step} {taken:.1f}" for step, taken in part["steps"].items())
    return f"{steps}; CPU {part['sample']['cpu_seconds']:.1f}; {part['bytes'] / 1e6:,.0f} MB"


def _report(parts: Parts, targets: list[str], cases: tuple[str, ...]) -> Report:
    report = Report("targets", "Targets")
    for case in cases:
        first = parts.samples(case, targets[0])
        for name in targets:
            taken = parts.samples(case, name)
            last = [found[case] for (_, one), found in parts.found.items()
                    if one == name and case in found][-1:]  # fmt: skip
            if not taken or "failed" in last[0]:
                report.facts[f"{case} on {name}"] = "failed"
                continue
            is_first = name == targets[0]
            report.add(case, name, taken, ratio=None if is_first else ratio(first, taken))
            report.facts[f"{case} on {name}"] = _told(last[0])
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
    options.add_argument("--parts", type=Path, help="keep what was measured there, and go on")
    options.add_argument("--most", type=int, help="parts to measure in this call")
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        report = measure(
            work,
            targets=chosen.targets,
            scale=chosen.scale,
            rows=int(chosen.rows * 1e6),
            runs=chosen.runs,
            cases=tuple(CASES[case] for case in chosen.cases),
            parts_file=chosen.parts,
            most=chosen.most,
        )
    if report is None:
        print(f"parts are left: repeat the command ({chosen.parts} has what was measured)")
        return
    report.finish(chosen.out)


if __name__ == "__main__":
    main()
