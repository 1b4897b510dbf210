"""The second `headrace run` on the jaffle shop against the plain way: dlt, then `dbt build`.

The plain way is two processes: a Python script that loads the three CSV files by dlt, and the
`dbt build` command on the same dbt project. It is shown twice: with an ordinary dlt resource that
reads the files and merges them, and with Headrace's own source. Neither records, audits nor
publishes anything; Headrace does. Two cases: nothing changed since the first run, and one row
changed and one new in each file.
"""

import csv
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dlt_pipelines.jaffle_shop import TABLES
from dlt_pipelines.jaffle_shop.sample import complete_sample

from benchmarks.headrace_cli import headrace
from benchmarks.measure import (
    ROOT,
    BenchmarkError,
    Sample,
    alternate,
    python,
    ratio,
    run_process,
)
from benchmarks.report import Report, parser, work_dir

PROMISE = 0.6
_PLAIN = Path(__file__).parent / "plain"
_TOTALS = "select count(*), sum(customer_lifetime_value) from marts.customers"


@dataclass(frozen=True)
class Home:
    """One contender's input files and output folder."""

    root: Path

    @property
    def files(self) -> Path:
        """Its own copy of the three CSV files."""
        return self.root / "files"

    @property
    def data(self) -> Path:
        """Where it writes."""
        return self.root / "data"

    @property
    def warehouse(self) -> Path:
        """Its DuckDB file."""
        return self.data / "warehouse.duckdb"


def measure(work: Path, *, runs: int) -> Report:
    """Both cases."""
    report = Report("second_run", "The second run on the jaffle shop", inner="load step s")
    home = work / "second_run"
    shutil.rmtree(home, ignore_errors=True)
    ways: dict[str, Callable[[Home], Sample]] = {
        "Headrace": _headrace,
        "plain dlt, then dbt build": lambda it: _plain(it, "load.py"),
        "Headrace's source in plain dlt, then dbt build": lambda it: _plain(
            it, "load_same_source.py"
        ),
    }
    homes = {name: Home(home / str(number)) for number, name in enumerate(ways)}
    files = [pattern for table in TABLES.values() for pattern in table.patterns]
    for name, way in ways.items():
        complete_sample(homes[name].files, files)
        homes[name].data.mkdir()
        way(homes[name])  # the first run
        way(homes[name])  # and one that is not counted, with all caches in place
    for case, prepare in (("nothing changed", _nothing), ("1 row changed, 1 new per file", _edit)):

        def contender(name: str, prepare: Callable[[Path], None]) -> Callable[[int], Sample]:
            def run(_: int) -> Sample:
                prepare(homes[name].files)
                return ways[name](homes[name])

            return run

        samples = alternate({name: contender(name, prepare) for name in ways}, runs=runs)
        ours = samples["Headrace"]
        for number, (name, found) in enumerate(samples.items()):
            compared = None if number == 0 else ratio(ours, found)
            promised = PROMISE if number == 1 and case == "nothing changed" else None
            report.add(case, name, found, ratio=compared, promise=promised)
    marts = {totals(it) for it in homes.values()}
    if len(marts) != 1:
        raise BenchmarkError(f"the contenders' marts differ: {marts}")
    shutil.rmtree(home)
    return report


def _headrace(home: Home) -> Sample:
    sample, report = headrace(
        "run", data_dir=home.data, sets=(f"sources.jaffle_shop.path={home.files}",)
    )
    if report["status"] != "success":
        raise BenchmarkError(f"headrace run: {report['status']}")
    return sample


def _plain(home: Home, script: str) -> Sample:
    load, build = plain(home, script, ROOT / "dbt_project")
    return replace(load.then(build), inner_seconds=load.seconds)


def plain(home: Home, script: str, dbt_project: Path) -> tuple[Sample, Sample]:
    """The script, then `dbt build` of what it loaded: a sample of each."""
    load = run_process(
        python(_PLAIN / script, home.files, home.warehouse, home.data / "dlt"),
        env={"HEADRACE_WAREHOUSE": str(home.warehouse)},
    )
    project = str(dbt_project)
    build = run_process(
        [
            str(Path(sys.executable).with_name("dbt")),
            "build",
            "--project-dir", project,
            "--profiles-dir", project,
            "--target-path", str(home.data / "target"),
            "--log-path", str(home.data / "logs"),
            "--select", "source:jaffle_shop+",  # no other source is loaded
        ],
        env={"HEADRACE_WAREHOUSE": str(home.warehouse)},
    )  # fmt: skip
    return load, build


def _nothing(directory: Path) -> None:
    del directory


def _edit(directory: Path) -> None:
    """Change the last row's first plain value of each file, and add one row with a new key."""
    customers = _read(directory / "raw_customers.csv")
    orders = _read(directory / "raw_orders.csv")
    payments = _read(directory / "raw_payments.csv")
    for rows in (customers, orders, payments):
        rows.append({**rows[-1], "id": str(max(int(row["id"]) for row in rows) + 1)})
    customers[0]["first_name"] += "a"
    orders[0]["status"] = "returned" if orders[0]["status"] == "completed" else "completed"
    payments[-1]["order_id"] = orders[-1]["id"]
    payments[0]["amount"] = str(int(payments[0]["amount"]) + 100)
    _write(directory / "raw_customers.csv", customers)
    _write(directory / "raw_orders.csv", orders)
    _write(directory / "raw_payments.csv", payments)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def totals(home: Home) -> tuple[object, ...]:
    """Of the customers, to compare contenders by: how many, and what they paid."""
    import duckdb

    with duckdb.connect(str(home.warehouse), read_only=True) as connection:
        row: tuple[object, ...] | None = connection.execute(_TOTALS).fetchone()
    if row is None:
        raise BenchmarkError("no totals")
    return row


def main() -> None:
    """Measure, print the table."""
    chosen = parser(__doc__).parse_args()
    with work_dir(chosen.work_dir) as work:
        report = measure(work, runs=chosen.runs)
    report.finish(chosen.out)


if __name__ == "__main__":
    main()
