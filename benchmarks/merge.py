"""Merge 10,000 changed rows, as a new file, into 10 million: Headrace against plain DuckDB.

Headrace's table was loaded by the same source before; DuckDB's by CREATE TABLE AS. Every round
brings a new file of other values for 10,000 keys that are spread over the whole table; with
`--added` of rows with new keys, with `--again` the whole file again, with these values.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from benchmarks.data import Format, folder_of, write_added, write_again, write_changes
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
Kind = Literal["changed", "added", "again"]
OTHERS: dict[Kind, tuple[str, str]] = {
    "changed": (
        "delete and insert",
        """
        begin;
        delete from orders where id in (select id from read_parquet('{0}'));
        insert into orders select * from read_parquet('{0}');
        commit;
        """,
    ),
    "added": ("insert", INSERT),
    "again": ("replace", "create or replace table orders as select * from read_parquet('{0}')"),
}
"""Another way than ``merge into``, and its SQL."""


def measure(
    work: Path,
    *,
    sizes: list[int],
    changes: int,
    runs: int,
    kind: Kind = "changed",
    form: Format = "parquet",
) -> Report:
    """All sizes of the table.

    Args:
        work: where files and databases are written.
        sizes: rows of the table.
        changes: rows that change in each round.
        runs: rounds.
        kind: of the rows that come.
        form: of the files that are there again.
    """
    limit = DuckDbSettings.model_fields["memory_limit"].default
    title = f"{changes:,} changed rows, the whole file again" if kind == "again" else None
    report = Report(
        "merge",
        title or f"Merging {changes:,} {kind} rows",
        inner="load step s",
        facts={"memory_limit of all": limit},
    )
    for rows in sizes:
        _one(report, work, rows, changes, runs, limit, kind, form)
    return report


def _one(
    report: Report,
    work: Path,
    rows: int,
    changes: int,
    runs: int,
    limit: str,
    kind: Kind,
    form: Format,
) -> None:
    base = folder_of(work, rows=rows, form="parquet")
    home = work / "merge"
    shutil.rmtree(home, ignore_errors=True)
    landing = home / "landing"
    landing.mkdir(parents=True)
    if kind == "again":
        write_again(landing / f"all.{form}", of_rows=rows, changes=1, salt=0)
    else:
        for path in base.glob("*.parquet"):
            (landing / path.name).hardlink_to(path)
    setting = files_source(landing, pattern="*")

    def load() -> tuple[Sample, dict[str, Any]]:
        return headrace("load", "--source", "bench", data_dir=home / "data", sets=(setting,))

    def write(path: Path, number: int) -> None:
        if kind == "added":
            write_added(path, of_rows=rows, added=changes, number=number)
        elif kind == "again":
            write_again(path, of_rows=rows, changes=changes, salt=number + 1)
        else:
            write_changes(path, of_rows=rows, changes=changes, salt=number + 1)

    def ours(number: int) -> Sample:
        name = f"all.{form}" if kind == "again" else f"zz_changes_{number:03}.parquet"
        write(landing / name, number)
        sample, found = load()
        table = found["load"]["tables"][0]
        seen = (table["rows_new"], table["rows_changed"], table["rows_total"])
        expected = {
            "changed": (0, changes, rows),
            "added": (changes, 0, rows + (number + 1) * changes),
            # those of the round before have their old values again
            "again": (0, 2 * changes if number else changes, rows),
        }[kind]
        if seen != expected:
            raise BenchmarkError(f"Headrace's merge gave (new, changed, total) = {seen}")
        return sample

    def peer(name: str, template: str) -> Callable[[int], Sample]:
        database = home / f"{name}.duckdb"
        create = f"create table orders as select * from read_parquet('{base}/*.parquet')"
        duckdb_alone(database, create, f"memory_limit={limit}")

        def run(number: int) -> Sample:
            path = home / f"{name}_{number:03}.{form}"
            write(path, number)
            sql = template.format(path).replace("read_parquet", f"read_{form}")
            sample = duckdb_alone(database, sql, f"memory_limit={limit}")
            path.unlink()
            return sample

        return run

    load()
    other, sql = OTHERS[kind]
    contenders = {
        "Headrace": ours,
        "DuckDB, merge into": peer("merge_into", MERGE),
        f"DuckDB, {other}": peer("other", sql),
    }
    samples = alternate(contenders, runs=runs)
    case = f"{changes:,} {kind}, {rows / 1e6:g} M rows"
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
    options.add_argument(
        "--again", choices=["parquet", "csv"], help="the whole file again instead, in this format"
    )


def main() -> None:
    """Measure, print the table."""
    options = parser(__doc__)
    add_options(options)
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        sizes = [int(millions * 1e6) for millions in chosen.rows]
        report = measure(
            work,
            sizes=sizes,
            changes=chosen.changes,
            runs=chosen.runs,
            kind="again" if chosen.again else "added" if chosen.added else "changed",
            form=chosen.again or "parquet",
        )
    report.finish(chosen.out)


if __name__ == "__main__":
    main()
