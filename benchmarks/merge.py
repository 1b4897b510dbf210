"""Merge 10,000 changed rows, as a new file, into 10 million: Headrace against plain DuckDB.

Headrace's table was loaded by the same source before; DuckDB's by CREATE TABLE AS. Every round
brings a new file of other values for 10,000 keys that are spread over the whole table, or with
`--added` of rows with new keys.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.data import folder_of, write_added, write_changes
from benchmarks.headrace_cli import files_source, headrace
from benchmarks.measure import BenchmarkError, Sample, alternate, duckdb_alone, ratio
from benchmarks.report import Report, parser, work_dir
from headrace.targets import DuckDbSettings

MERGE = """
    merge into orders using (select * from read_parquet('{0}')) as changes
    on orders.id = changes.id
    when matched then update
    when not matched then insert
"""
INSERT = "insert into orders select * from read_parquet('{0}')"
_DELETE_INSERT = """
    begin;
    delete from orders where id in (select id from read_parquet('{0}'));
    insert into orders select * from read_parquet('{0}');
    commit;
"""


def measure(
    work: Path, *, sizes: list[int], changes: int, runs: int, is_added: bool = False
) -> Report:
    """All sizes of the table.

    Args:
        work: where files and databases are written.
        sizes: rows of the table.
        changes: rows that change in each round.
        runs: rounds.
        is_added: whether the rows have new keys instead.
    """
    limit = DuckDbSettings.model_fields["memory_limit"].default
    report = Report(
        "merge",
        f"Merging {changes:,} {'added' if is_added else 'changed'} rows",
        inner="load step s",
        facts={"memory_limit of all": limit},
    )
    for rows in sizes:
        _one(report, work, rows, changes, runs, limit, is_added=is_added)
    return report


def _one(
    report: Report,
    work: Path,
    rows: int,
    changes: int,
    runs: int,
    limit: str,
    *,
    is_added: bool,
) -> None:
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

    def write(path: Path, number: int) -> None:
        if is_added:
            write_added(path, of_rows=rows, added=changes, number=number)
        else:
            write_changes(path, of_rows=rows, changes=changes, salt=number + 1)

    def ours(number: int) -> Sample:
        write(landing / f"zz_changes_{number:03}.parquet", number)
        sample, found = headrace(
            "load", "--source", "bench", data_dir=home / "data", sets=(setting,)
        )
        table = found["load"]["tables"][0]
        seen = (table["rows_new"], table["rows_changed"], table["rows_total"])
        added = (number + 1) * changes if is_added else 0
        if seen != ((changes, 0) if is_added else (0, changes)) + (rows + added,):
            raise BenchmarkError(f"Headrace's merge gave (new, changed, total) = {seen}")
        return sample

    def peer(name: str, template: str) -> Callable[[int], Sample]:
        database = home / f"{name}.duckdb"
        create = f"create table orders as select * from read_parquet('{base}/*.parquet')"
        duckdb_alone(database, create, f"memory_limit={limit}")

        def run(number: int) -> Sample:
            path = home / f"{name}_{number:03}.parquet"
            write(path, number)
            sql = template.format(path)
            return duckdb_alone(database, sql, f"memory_limit={limit}")

        return run

    load()
    contenders = {
        "Headrace": ours,
        "DuckDB, merge into": peer("merge_into", MERGE),
    }
    if is_added:
        contenders["DuckDB, insert"] = peer("insert", INSERT)
    else:
        contenders["DuckDB, delete and insert"] = peer("delete_insert", _DELETE_INSERT)
    samples = alternate(contenders, runs=runs)
    case = f"{changes:,} {'added to' if is_added else 'into'} {rows / 1e6:g} M rows"
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
    options.add_argument("--added", action="store_true", help="rows with new keys instead")


def main() -> None:
    """Measure, print the table."""
    options = parser(__doc__)
    add_options(options)
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        sizes = [int(millions * 1e6) for millions in chosen.rows]
        report = measure(
            work, sizes=sizes, changes=chosen.changes, runs=chosen.runs, is_added=chosen.added
        )
    report.finish(chosen.out)


if __name__ == "__main__":
    main()
