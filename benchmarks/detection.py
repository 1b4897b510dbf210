"""What the detection of a CSV file's dialect costs, of the load of the file: encoding, delimiter,
header and lines that are not of the table.

By default files of 9.5 million rows, which are 1 GB; separated by commas, and by semicolons, which
no setting names. The ratio is that of the detection's seconds to those of the load step.
"""

import argparse
import shutil
import statistics
from functools import partial
from pathlib import Path

from benchmarks.data import folder_of
from benchmarks.headrace_cli import files_source, headrace
from benchmarks.measure import BenchmarkError, Sample, alternate, python, run_process
from benchmarks.report import Report, parser, work_dir

PROMISE = 0.05
_PLAIN = Path(__file__).parent / "plain"


def measure(work: Path, *, rows: int, runs: int) -> Report:
    """Both delimiters.

    Args:
        work: where files and databases are written.
        rows: of the files.
        runs: rounds of each.
    """
    report = Report(
        "detection", "Detecting how a CSV file is written, and loading it", inner="inside s"
    )
    by_commas = folder_of(work, rows=rows, form="csv")
    for name, folder in (("commas", by_commas), ("semicolons", _by_semicolons(by_commas))):
        size = sum(path.stat().st_size for path in folder.iterdir())
        samples = alternate(
            {
                "detection": partial(_detect, folder),
                "load": partial(_load, work, folder, rows),
            },
            runs=runs,
        )
        case = f"{size / 1e9:.2g} GB, {name}"
        share = statistics.median(
            (detection.inner_seconds or 0) / (load.inner_seconds or 1)
            for detection, load in zip(samples["detection"], samples["load"], strict=True)
        )
        report.add(case, "detection", samples["detection"], ratio=share, promise=PROMISE)
        report.add(case, "headrace load", samples["load"])
    return report


def _by_semicolons(folder: Path) -> Path:
    """A copy of the files, separated by semicolons."""
    other = folder.with_name(f"{folder.name}_semicolons")
    if not other.is_dir():
        other.mkdir()
        for path in folder.glob("*.csv"):
            copy = (
                f"copy (from read_csv('{path}')) to '{other / path.name}' (delimiter ';', header)"
            )
            run_process(python(_PLAIN / "sql.py", ":memory:", copy))
    return other


def _detect(folder: Path, _: int) -> Sample:
    sample = run_process(python("-m", "benchmarks.plain.detect", folder))
    return Sample(sample.seconds, sample.cpu_seconds, sample.peak_bytes, float(sample.stdout))


def _load(work: Path, folder: Path, rows: int, _: int) -> Sample:
    data_dir = work / "headrace"
    shutil.rmtree(data_dir, ignore_errors=True)
    sets = (files_source(folder, pattern="*.csv"),)
    sample, report = headrace("load", "--source", "bench", data_dir=data_dir, sets=sets)
    loaded = report["load"]["tables"][0]["rows_total"]
    shutil.rmtree(data_dir)
    if loaded != rows:
        raise BenchmarkError(f"Headrace loaded {loaded} of {rows} rows")
    return sample


def add_options(options: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    options.add_argument(
        "--rows", type=float, default=9.5, metavar="M", help="millions of rows (%(default)s)"
    )


def main() -> None:
    """Measure, print the table."""
    options = parser(__doc__)
    add_options(options)
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        measure(work, rows=int(chosen.rows * 1e6), runs=chosen.runs).finish(chosen.out)


if __name__ == "__main__":
    main()
