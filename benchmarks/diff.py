"""Compare two tables of some million rows and ten columns: `headrace diff` against two peers.

The peers are what people do without a tool: plain `EXCEPT` both ways in DuckDB, and datacompy,
which joins two pandas frames. All read the same two DuckDB files. In the second file one row in a
hundred has another amount, one in a thousand is gone, and as many are new.

`uv run --with datacompy python -m benchmarks.diff`
"""

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb

from benchmarks.measure import BenchmarkError, Sample, alternate, ratio, run_process
from benchmarks.report import Report, parser, work_dir

_PEERS = Path(__file__).parent / "peers"
_ROWS = """
    create schema marts;
    create table marts.t as select
        range as id,
        hash(range, 1) % 1000 as customer_id,
        'status ' || hash(range, 2) % 7 as status,
        (hash(range, 3) % 100000)::decimal(12, 2) / 100 as amount,
        hash(range, 4) % 1000 / 7.0 as score,
        timestamp '2026-01-01' + to_seconds((hash(range, 5) % 10000000)::bigint) as created_at,
        date '2026-01-01' + (hash(range, 6) % 300)::integer as day,
        hash(range, 7) % 2 = 0 as is_open,
        'city ' || hash(range, 8) % 500 as city,
        case when hash(range, 9) % 3 = 0 then null else 'note ' || range end as note
    from range({rows})
"""
_EDITS = """
    update marts.t set amount = amount + 1 where id % 100 = 50;
    delete from marts.t where id % 1000 = 7;
    insert into marts.t select id + {rows}, * exclude (id) from marts.t where id % 1000 = 8;
"""


def _write(work: Path, rows: int) -> tuple[Path, Path]:
    paths = work / f"before_{rows}.duckdb", work / f"after_{rows}.duckdb"
    for number, path in enumerate(paths):
        path.unlink(missing_ok=True)
        with duckdb.connect(str(path)) as connection:
            connection.execute(_ROWS.format(rows=rows))
            if number:
                connection.execute(_EDITS.format(rows=rows))
    return paths


def measure(work: Path, *, sizes: list[int], runs: int) -> Report:
    """All sizes of the table.

    Args:
        work: where the files are written.
        sizes: rows of the table.
        runs: rounds.
    """
    report = Report("diff", "Comparing two tables of ten columns", facts={})
    for rows in sizes:
        _one(report, work, rows, runs)
    return report


def _one(report: Report, work: Path, rows: int, runs: int) -> None:
    before, after = _write(work, rows)
    expected = {"added": rows // 1000, "removed": rows // 1000, "changed": rows // 100}

    def ours(_: int) -> Sample:
        sample = run_process(
            [
                *(sys.executable, "-m", "headrace", "diff", str(before), str(after)),
                *("--key", "t=id", "--json"),
            ]
        )
        (table,) = json.loads(sample.stdout)["tables"]
        _check("Headrace", expected, {kind: table[f"rows_{kind}"] for kind in expected})
        return sample

    def peer(name: str) -> Callable[[int], Sample]:
        def run(_: int) -> Sample:
            script = str(_PEERS / f"diff_with_{name}.py")
            sample = run_process([sys.executable, script, str(before), str(after)])
            _check(name, expected, json.loads(sample.stdout.strip().splitlines()[-1]))
            return sample

        return run

    contenders: dict[str, Callable[[int], Sample]] = {
        "Headrace": ours,
        "DuckDB, except both ways": peer("except"),
    }
    if importlib.util.find_spec("datacompy") is None:
        print("datacompy is not installed: uv run --with datacompy …", file=sys.stderr)
    else:
        contenders["datacompy, pandas"] = peer("datacompy")
    samples = alternate(contenders, runs=runs)
    for name, found in samples.items():
        compared = None if name == "Headrace" else ratio(samples["Headrace"], found)
        report.add(f"{rows / 1e6:g} M rows", name, found, ratio=compared)


def _check(name: str, expected: dict[str, int], found: dict[str, int]) -> None:
    """Whether a contender counted right; some count only rows that are on one side."""
    wrong = {kind: found[kind] for kind in found if found[kind] != expected.get(kind, found[kind])}
    if "only_before" in found:
        sides = expected["removed"] + expected["changed"], expected["added"] + expected["changed"]
        wrong = {} if (found["only_before"], found["only_after"]) == sides else found
    if wrong:
        raise BenchmarkError(f"{name} counted {found}, there are {expected}")


def add_options(options: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    options.add_argument(
        "--rows", type=float, nargs="+", default=[1], metavar="M", help="millions of rows"
    )


def main() -> None:
    """Measure, print the table."""
    options = parser(__doc__)
    add_options(options)
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        sizes = [int(millions * 1e6) for millions in chosen.rows]
        report = measure(work, sizes=sizes, runs=chosen.runs)
    report.finish(chosen.out)


if __name__ == "__main__":
    main()
