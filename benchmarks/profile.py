"""`headrace profile` of a table of ten columns, against DuckDB's `SUMMARIZE`; and, of a small one,
against fg-data-profiling (the successor of pandas-profiling), if it is installed:

    uv run --with fg-data-profiling python -m benchmarks.profile
"""

import argparse
import importlib.util
from functools import partial
from pathlib import Path

from benchmarks.data import rows_sql
from benchmarks.measure import BenchmarkError, Sample, alternate, python, ratio, run_process
from benchmarks.report import Report, parser, work_dir

PROMISE = 3.0
PEER_PROMISE = 0.1
PEER_ROWS = 100_000
_PLAIN = Path(__file__).parent / "plain"


def measure(work: Path, *, sizes: list[int], runs: int) -> Report:
    """Every size, then the peer's.

    Args:
        work: where databases are written.
        sizes: rows of the tables.
        runs: rounds of each.
    """
    report = Report("profile", "Profiling a table of ten columns")
    for rows in sizes:
        database = _database(work, rows)
        contenders = {
            "headrace": partial(_headrace, database, rows),
            "summarize": partial(_plain, _PLAIN / "sql.py", database, "summarize orders"),
        }
        samples = alternate(contenders, runs=runs)
        case = f"{rows / 1e6:g} M rows"
        report.add(case, "headrace profile", samples["headrace"])
        versus = ratio(samples["headrace"], samples["summarize"])
        report.add(case, "SUMMARIZE", samples["summarize"], ratio=versus, promise=PROMISE)
    if importlib.util.find_spec("data_profiling") is None:
        report.facts["fg-data-profiling"] = "not installed"
        return report
    database = _database(work, PEER_ROWS)
    samples = alternate(
        {
            "headrace": partial(_headrace, database, PEER_ROWS),
            "peer": partial(_plain, _PLAIN / "fg_profile.py", database),
        },
        runs=runs,
    )
    case = f"{PEER_ROWS:,} rows"
    report.add(case, "headrace profile", samples["headrace"])
    versus = ratio(samples["headrace"], samples["peer"])
    report.add(case, "fg-data-profiling", samples["peer"], ratio=versus, promise=PEER_PROMISE)
    return report


def _database(work: Path, rows: int) -> Path:
    """A DuckDB file with the table, made once."""
    path = work / f"profile_{rows}.duckdb"
    if not path.exists():
        create = f"create table orders as {rows_sql(0, rows)}"
        run_process(python(_PLAIN / "sql.py", path, create))
    return path


def _headrace(database: Path, rows: int, _: int) -> Sample:
    arguments = ("profile", "orders", "--on", database, "--json")
    sample = run_process(python("-m", "headrace", *arguments))
    if f'"rows": {rows},' not in sample.stdout:
        raise BenchmarkError(f"Headrace did not see {rows} rows")
    return sample


def _plain(*arguments: str | Path | int) -> Sample:
    *command, _ = arguments  # the last is the round
    return run_process(python(*map(str, command)))


def add_options(options: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    options.add_argument(
        "--rows", type=float, nargs="+", default=[10], metavar="M", help="millions of rows"
    )


def main() -> None:
    """Measure, print the table."""
    options = parser(__doc__)
    add_options(options)
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        sizes = [int(millions * 1e6) for millions in chosen.rows]
        measure(work, sizes=sizes, runs=chosen.runs).finish(chosen.out)


if __name__ == "__main__":
    main()
