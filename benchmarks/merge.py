"""Merge 10,000 changed rows, as a new file, into 10 million: Headrace against plain DuckDB.

Headrace's table was loaded by the same source before; DuckDB's by CREATE TABLE AS. Every round
brings a new file of other values for 10,000 keys that are spread over the whole table.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.data import folder_of, write_changes
from benchmarks.headrace_cli import files_source, headrace
from benchmarks.measure import BenchmarkError, Sample, alternate, python, ratio, run_process
from benchmarks.report import Report, parser, work_dir
from headrace.targets import DuckDbSettings

_SQL = Path(__file__).parent / "plain" / "sql.py"
_MERGE = """
    merge into orders using (select * from read_parquet('{0}')) as changes
    on orders.id = changes.id
    when matched then update
    when not matched then insert
"""
_DELETE_INSERT = """
    begin;
    delete from orders where id in (select id from read_parquet('{0}'));
    insert into orders select * from read_parquet('{0}');
    commit;
"""


def measure(work: Path, *, sizes: list[int], changes: int, runs: int) -> Report:
    """All sizes of the table.

    Args:
        work: where files and databases are written.
        sizes: rows of the table.
        changes: rows that change in each round.
        runs: rounds.
    """
    limit = DuckDbSettings.model_fields["memory_limit"].default
    report = Report(
        "merge",
        f"Merging {changes:,} changed rows",
        inner="load step s",
        facts={"memory_limit of all": limit},
    )
    for rows in sizes:
        _one(report, work, rows, changes, runs, limit)
    return report


def _one(report: Report, work: Path, rows: int, changes: int, runs: int, limit: str) -> None:
    base = folder_of(work, rows=rows, form="parquet")
    home = work / "merge"
    shutil.rmtree(home, ignore_errors=True)
    landing = home / "landing"
    landing.mkdir(parents=True)
    for path in base.glob("*.parquet"):
        (landing / path.name).hardlink_to(path)
    setting = files_source(landing, pattern="*.parquet")

    def load() -> tuple[Sample, dict[str, Any]]:
        return headrace("load", "--source", "bench", data_dir=home / "data", sets=(setting,))

    def ours(number: int) -> Sample:
        name = f"zz_changes_{number:03}.parquet"
        write_changes(landing / name, of_rows=rows, changes=changes, salt=number + 1)
        sample, found = headrace(
            "load", "--source", "bench", data_dir=home / "data", sets=(setting,)
        )
        table = found["load"]["tables"][0]
        seen = (table["rows_new"], table["rows_changed"], table["rows_total"])
        if seen != (0, changes, rows):
            raise BenchmarkError(f"Headrace's merge gave (new, changed, total) = {seen}")
        return sample

    def peer(name: str, template: str) -> Callable[[int], Sample]:
        database = home / f"{name}.duckdb"
        create = f"create table orders as select * from read_parquet('{base}/*.parquet')"
        run_process(python(_SQL, database, create, f"memory_limit={limit}"))

        def run(number: int) -> Sample:
            path = home / f"{name}_{number:03}.parquet"
            write_changes(path, of_rows=rows, changes=changes, salt=number + 1)
            sql = template.format(path)
            return run_process(python(_SQL, database, sql, f"memory_limit={limit}"))

        return run

    load()
    contenders = {
        "Headrace": ours,
        "DuckDB, merge into": peer("merge_into", _MERGE),
        "DuckDB, delete and insert": peer("delete_insert", _DELETE_INSERT),
    }
    samples = alternate(contenders, runs=runs)
    case = f"{changes:,} into {rows / 1e6:g} M rows"
    for name, found in samples.items():
        compared = None if name == "Headrace" else ratio(samples["Headrace"], found)
        report.add(case, name, found, ratio=compared)
    shutil.rmtree(home)


def add_options(options: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    options.add_argument(
        "--rows", type=float, nargs="+", default=[10], metavar="M", help="millions of rows"
    )
    options.add_argument("--changes", type=int, default=10_000, help="rows that change")


def main() -> None:
    """Measure, print the table."""
    options = parser(__doc__)
    add_options(options)
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        sizes = [int(millions * 1e6) for millions in chosen.rows]
        report = measure(work, sizes=sizes, changes=chosen.changes, runs=chosen.runs)
    report.finish(chosen.out)


if __name__ == "__main__":
    main()
