"""A day on one large table: a first run, nothing new, new rows, changed rows, a changed mart.

Headrace runs a project with one source of Parquet files, its staging view with dbt's tests, and a
mart that groups all rows by day. DuckDB alone does the same SQL: it loads the files, looks for ids
that come twice, and makes the mart.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.data import write_added, write_changes
from benchmarks.headrace_cli import headrace
from benchmarks.measure import BenchmarkError, Sample, duckdb_alone, python, ratio, run_process
from benchmarks.merge import INSERT, MERGE
from benchmarks.report import Report, parser, work_dir
from headrace.targets import DuckDbSettings

FIRST, NOTHING, ADDED, CHANGED, MODEL = (
    "first run",
    "nothing changed",
    "a file of 1 % new rows",
    "a file of 1,000 changed rows",
    "the mart changed",
)
CASES = (FIRST, NOTHING, ADDED, CHANGED, MODEL)
PEER = "DuckDB, the same SQL"
_FILES = 10
_KNOWN = 1000  # rows that are there when the project is made, and rows that change
_MART = """
select
    order_date,
    count(*) as orders,
    sum(amount) as amount,
    count(distinct customer_id) as customers
from {0}
where is_paid and quantity > {1}
group by order_date
"""
_UNIQUE = "select id from orders where id is not null group by id having count(*) > 1"


def measure(work: Path, *, rows: int, runs: int) -> Report:
    """The cases of a day, each round from an empty project.

    Args:
        work: where files and databases are written.
        rows: of the table, after the first run.
        runs: rounds.
    """
    limit = DuckDbSettings.model_fields["memory_limit"].default
    report = Report(
        "large_day",
        f"A day on a table of {rows / 1e6:g} million rows",
        inner="load step s",
        facts={"memory_limit of all": limit},
    )
    found: dict[tuple[str, str], list[Sample]] = {}
    for number in range(runs):
        for case, who, sample in _round(work / f"day_{number}", rows, limit):
            found.setdefault((case, who), []).append(sample)
    for (case, who), samples in found.items():
        compared = None if who == "Headrace" else ratio(found[case, "Headrace"], samples)
        report.add(case, who, samples, ratio=compared)
    return report


def _round(home: Path, rows: int, limit: str) -> Iterator[tuple[str, str, Sample]]:
    """Each case with who did it."""
    shutil.rmtree(home, ignore_errors=True)
    files, project = home / "files", home / "project"
    write_added(files / "known.parquet", of_rows=0, added=_KNOWN, number=0)
    mart = _new_project(project, files)
    mart.write_text(_MART.format("{{ ref('stg_bench__orders') }}", 0), "utf-8")
    for number in range(_FILES):
        path = files / f"part_{number}.parquet"
        write_added(path, of_rows=_KNOWN, added=(rows - _KNOWN) // _FILES, number=number)
    added, changed = files / "x_added.parquet", files / "y_changed.parquet"

    def change_mart() -> None:
        mart.write_text(mart.read_text("utf-8").replace("> 0", "> 1"), "utf-8")

    create = f"create table orders as select * from read_parquet('{files}/*.parquet')"
    make = f"create or replace table orders_by_day as {_MART.format('orders', '{}')}"
    cases: dict[str, tuple[Callable[[], None], list[str]]] = {
        FIRST: (lambda: None, [create, _UNIQUE, make.format(0)]),
        NOTHING: (lambda: None, []),
        ADDED: (
            lambda: write_added(added, of_rows=rows, added=rows // 100, number=0),
            [INSERT.format(added), _UNIQUE, make.format(0)],
        ),
        CHANGED: (
            lambda: write_changes(changed, of_rows=rows, changes=_KNOWN, salt=1),
            [MERGE.format(changed), _UNIQUE, make.format(0)],
        ),
        MODEL: (change_mart, [make.format(1)]),
    }
    for case, (prepare, statements) in cases.items():
        prepare()
        os.sync()
        sample, report = headrace("run", data_dir=home / "data", project=project)
        if report["status"] != "success":
            raise BenchmarkError(f"headrace run: {report['status']}")
        yield case, "Headrace", sample
        if statements:
            sql = ";".join(statements)
            database = home / "peer.duckdb"
            yield case, PEER, duckdb_alone(database, sql, f"memory_limit={limit}")
    shutil.rmtree(home)


def _new_project(project: Path, files: Path) -> Path:
    """Make it, with one source; gives the path of the mart to be."""
    cli = python("-m", "headrace")
    words = ("--defaults", "--sources", "none", "--no-git", "--no-lock")
    run_process([*cli, "new", str(project), *words])
    source = ("--kind", "files", "--path", str(files), "--pattern", "orders=*.parquet")
    run_process([*cli, "add", "source", "bench", *source, "--primary-key", "id", "-y"], cwd=project)
    mart = project / "dbt_project" / "models" / "marts" / "orders_by_day.sql"
    mart.parent.mkdir(parents=True, exist_ok=True)
    return mart


def main() -> None:
    """Measure, print the table."""
    options = parser(__doc__)
    options.add_argument("--rows", type=float, default=50, metavar="M", help="millions of rows")
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        report = measure(work, rows=int(chosen.rows * 1e6), runs=chosen.runs)
    report.finish(chosen.out)


if __name__ == "__main__":
    main()
