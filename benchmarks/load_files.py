"""Load files of ten columns into DuckDB: Headrace's `files` source against CREATE TABLE AS.

Parquet and CSV, 1, 10 and 50 million rows by default. Both sides are whole processes that write
a new database file; DuckDB is shown with the warehouse's memory limit and with its own defaults.
The column `inside` compares what the processes measured themselves: Headrace's run where all
imports are done already (a scheduler's process), and DuckDB's connect, statement and close.
"""

import argparse
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.data import Format, folder_of
from benchmarks.headrace_cli import files_source, headrace, warm_load
from benchmarks.measure import (
    BenchmarkError,
    Sample,
    alternate,
    duckdb_alone,
    inner_ratio,
    ratio,
)
from benchmarks.report import Report, parser, work_dir
from headrace.targets import DuckDbSettings

CSV_ROW_BYTES = 109
"""Of a row in the CSV files of `data`, on average."""
PROMISE_ROWS = 10_000_000
PROMISE = 1.4
WARM = "Headrace, imports done before"


def measure(
    work: Path,
    *,
    sizes: list[int],
    forms: list[Format],
    runs: int,
    memory_limit: str,
    defaults_too: bool = True,
) -> Report:
    """All sizes and formats.

    Args:
        work: where files and databases are written.
        sizes: rows.
        forms: of the files.
        runs: rounds of each.
        memory_limit: of the warehouse, and of DuckDB when it is given the same.
        defaults_too: whether DuckDB runs with its own defaults as well.
    """
    report = Report(
        "load_files",
        "Loading files of ten columns into a new DuckDB file",
        inner="inside s",
        facts={"warehouse memory_limit": memory_limit},
    )
    for form in forms:
        for rows in sizes:
            _one(report, work, rows, form, runs, memory_limit, defaults_too=defaults_too)
    return report


def _one(
    report: Report,
    work: Path,
    rows: int,
    form: Format,
    runs: int,
    memory_limit: str,
    *,
    defaults_too: bool,
) -> None:
    folder = folder_of(work, rows=rows, form=form)
    same = f"DuckDB, memory_limit {memory_limit}"
    contenders: dict[str, Callable[[int], Sample]] = {
        "Headrace": lambda _: _headrace(work, folder, rows, form, memory_limit, is_warm=False),
        WARM: lambda _: _headrace(work, folder, rows, form, memory_limit, is_warm=True),
        same: lambda _: _ctas(work, folder, rows, form, (f"memory_limit={memory_limit}",)),
    }
    if defaults_too:
        contenders["DuckDB, its defaults"] = lambda _: _ctas(work, folder, rows, form, ())
    samples = alternate(contenders, runs=runs)
    case = f"{'Parquet' if form == 'parquet' else 'CSV'}, {rows / 1e6:g} M rows"
    ours = samples["Headrace"]
    report.add(case, "Headrace", ours)
    report.add(case, WARM, samples[WARM])
    for name, peer in samples.items():
        if name in {"Headrace", WARM}:
            continue
        report.add(
            case,
            name,
            peer,
            ratio=ratio(ours, peer),
            promise=PROMISE if rows == PROMISE_ROWS and name == same else None,
            inner_ratio=inner_ratio(samples[WARM], peer),
        )


def _headrace(
    work: Path, folder: Path, rows: int, form: Format, memory_limit: str, *, is_warm: bool
) -> Sample:
    data_dir = work / "headrace"
    shutil.rmtree(data_dir, ignore_errors=True)
    sets = (
        files_source(folder, pattern=f"*.{form}"),
        f"targets.duckdb.memory_limit={memory_limit}",
    )
    if is_warm:
        sample, report = warm_load("bench", data_dir=data_dir, sets=sets)
    else:
        sample, report = headrace("load", "--source", "bench", data_dir=data_dir, sets=sets)
    loaded = report["load"]["tables"][0]["rows_total"]
    shutil.rmtree(data_dir)
    if loaded != rows:
        raise BenchmarkError(f"Headrace loaded {loaded} of {rows} rows")
    return sample


def _ctas(work: Path, folder: Path, rows: int, form: Format, settings: tuple[str, ...]) -> Sample:
    directory = work / "duckdb"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    reader = f"read_{form}('{folder}/*.{form}')"
    sql = f"create table orders as select * from {reader}"
    sample = duckdb_alone(directory / "bench.duckdb", sql, *settings)
    check = (
        f"select error('not {rows} rows') from (select count(*) as n from orders) where n <> {rows}"
    )
    duckdb_alone(directory / "bench.duckdb", check)
    shutil.rmtree(directory)
    return replace(sample, inner_seconds=float(sample.stdout), stdout="")


def add_options(options: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    options.add_argument(
        "--rows", type=float, nargs="+", default=[1, 10, 50], metavar="M", help="millions of rows"
    )
    options.add_argument(
        "--gigabytes",
        type=float,
        nargs="+",
        metavar="GB",
        help="sizes of the CSV files, in place of --rows; 10 needs 30 GB of disk",
    )
    options.add_argument(
        "--formats", nargs="+", choices=("parquet", "csv"), default=["parquet", "csv"]
    )
    options.add_argument(
        "--memory-limit",
        default=DuckDbSettings.model_fields["memory_limit"].default,
        help="the warehouse's memory_limit, and the peer's (default: Headrace's: %(default)s)",
    )
    options.add_argument(
        "--no-defaults", action="store_true", help="leave out DuckDB with its own defaults"
    )


def sizes_of(chosen: argparse.Namespace) -> list[int]:
    """The rows that the options ask for."""
    if chosen.gigabytes:
        return [int(size * 1e9 / CSV_ROW_BYTES) for size in chosen.gigabytes]
    return [int(millions * 1e6) for millions in chosen.rows]


def main() -> None:
    """Measure, print the table."""
    options = parser(__doc__)
    add_options(options)
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        report = measure(
            work,
            sizes=sizes_of(chosen),
            forms=chosen.formats,
            runs=chosen.runs,
            memory_limit=chosen.memory_limit,
            defaults_too=not chosen.no_defaults,
        )
    report.finish(chosen.out)


if __name__ == "__main__":
    main()
