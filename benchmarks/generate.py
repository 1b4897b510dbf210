"""Generation: rows a second, memory, the share of Parquet encoding, and peers at their own job.

uv run python -m benchmarks.generate [--runs 5] [--only example peers …] [--out generate.json]
"""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.headrace_cli import headrace
from benchmarks.measure import ROOT, Sample, alternate, python, run_process
from benchmarks.report import machine, parser, work_dir

CASES = ("example", "start", "delta", "peers", "domains")
_PEERS = Path(__file__).parent / "peers"
_EXAMPLE = """\
schema:
  Customer:
    count: 10000
    fields:
      customer_id: {type: serial, primary_key: true}
      first_name: {type: categorical, generator: faker.first_name}
      last_name: {type: categorical, generator: faker.last_name}
      email: {type: unique, generator: faker.email}
      registration_date: {type: datetime, range: ["2023-01-01", "2024-12-31"]}
  Order:
    count: 50000
    fields:
      order_id: {type: serial, primary_key: true}
      customer_id: {type: foreign_key, references: Customer.customer_id}
      order_total: {type: numerical, distribution: gaussian, mean: 150.00, stddev: 50.00}
"""
_DELTA = """\
schema:
  customer:
    fields:
      id: {type: serial, primary_key: true}
      created_at:
        {type: datetime, distribution: rate, start: 2023-01-01, per_day: 700, initial: 9000}
  order:
    fields:
      id: {type: serial, primary_key: true}
      customer_id: {type: foreign_key, references: customer.id, distribution: zipf}
      created_at: {type: datetime, distribution: rate, start: 2023-01-01, per_day: 6850}
      email: {type: unique, generator: faker.email}
      status:
        type: status
        start: pending
        ladder:
          pending: {to: {paid: 0.95}, delay: {max: 2d}}
          paid: {to: {shipped: 1}, delay: {max: 5d}}
      paid_at: {type: derived, expression: "entered(status, 'paid')"}
      currency: {type: categorical, values: {USD: 7, EUR: 3}}
      subtotal: {type: numerical, distribution: lognormal, mean: 50, stddev: 30, as: decimal}
      discount: {type: numerical, min: 0, max: 5, as: decimal}
      total: {type: derived, expression: subtotal - discount, round: 2, as: decimal}
      city: {type: categorical, generator: faker.city}
      updated_at: {type: datetime, distribution: updated}
"""


@dataclass(frozen=True)
class Line:
    """One line of the result."""

    case: str
    who: str
    figures: dict[str, str]


def main() -> None:
    """Measure, print one table a case."""
    options = parser(__doc__)
    options.add_argument("--only", nargs="+", choices=CASES, default=CASES)
    options.add_argument("--orders", type=float, default=1.0, help="millions of orders of the shop")
    options.add_argument("--events", type=float, default=10.0, help="millions of web events")
    chosen = options.parse_args()
    lines: list[Line] = []
    with work_dir(chosen.work_dir) as work:
        measures: dict[str, Callable[[], list[Line]]] = {
            "example": lambda: example(work, chosen.runs),
            "start": lambda: start(work),
            "delta": lambda: delta(work, chosen.runs),
            "peers": lambda: peers(work),
            "domains": lambda: domains(work, chosen.orders, chosen.events),
        }
        for name in chosen.only:
            found = measures[name]()
            lines += found
            print(_markdown(found), end="\n\n", flush=True)
    print(machine())
    if chosen.out:
        content = {"machine": machine(), "lines": [vars(line) for line in lines]}
        chosen.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _markdown(lines: list[Line]) -> str:
    names = list(dict.fromkeys(name for line in lines for name in line.figures))
    rows = [f"| case | who | {' | '.join(names)} |", f"|---|---|{'---:|' * len(names)}"]
    rows += [
        f"| {line.case} | {line.who} | {' | '.join(line.figures.get(n, '') for n in names)} |"
        for line in lines
    ]
    return "\n".join(rows)


def _generate(schema: Path, out: Path, *arguments: str) -> tuple[Sample, dict[str, Any]]:
    sample = run_process(
        python("-m", "headrace", "generate", schema, "--out", out, "--json", *arguments)
    )
    return sample, json.loads(sample.stdout)


def example(work: Path, runs: int, size: float = 1.0) -> list[Line]:
    """10 million customers and 10 million orders, and how long their encoding alone takes.

    Args:
        work: where the files are written.
        runs: rounds.
        size: part of these rows.
    """
    (work / "example.yml").write_text(_EXAMPLE, encoding="utf-8")
    lines = []
    for table, times, promise in (("Customer", 1000, 5e6), ("Order", 200, 15e6)):
        scale = f"{times * size:g}"
        told: dict[str, Any] = {}

        def ours(
            _: int, table: str = table, scale: str = scale, told: dict[str, Any] = told
        ) -> Sample:
            sample, report = _generate(
                work / "example.yml", work / "out", "--table", table, "--scale", scale
            )
            told.update(report)
            return Sample(
                sample.seconds, sample.cpu_seconds, sample.peak_bytes, float(report["seconds"])
            )

        def encoding(_: int, table: str = table, scale: str = scale) -> Sample:
            sample = run_process(
                python("-m", "benchmarks.encode", work / "example.yml", table, scale, work / "enc")
            )
            return Sample(
                sample.seconds, sample.cpu_seconds, sample.peak_bytes, float(sample.stdout)
            )

        samples = alternate({"headrace": ours, "encoding": encoding}, runs=runs)
        inside = [sample.inner_seconds or 0 for sample in samples["headrace"]]
        share = statistics.median(
            (alone.inner_seconds or 0) / (whole.inner_seconds or 1)
            for whole, alone in zip(samples["headrace"], samples["encoding"], strict=True)
        )
        rate = told["rows"] / statistics.median(inside)
        lines.append(
            Line(
                f"{told['rows']:,} rows of {table}",
                "Headrace",
                {
                    "rows/s": f"{rate:,.0f} (promise {promise:,.0f}, {_kept(rate >= promise)})",
                    "seconds": f"{statistics.median(inside):.2f}",
                    "encoding's share": f"{share:.0%} (promise 60%, {_kept(share >= 0.6)})",
                    "peak MB": _peak(samples["headrace"], 600),
                },
            )
        )
    return lines


def start(work: Path, times: int = 20) -> list[Line]:
    """The example as it stands, some times, the start of the process included."""
    (work / "example.yml").write_text(_EXAMPLE, encoding="utf-8")
    seconds = sorted(
        _generate(work / "example.yml", work / f"start{number}")[0].seconds
        for number in range(times)
    )
    p95 = seconds[int(0.9 * times)]
    figures = {
        "median s": f"{seconds[times // 2]:.2f}",
        "p95 s": f"{p95:.2f} (promise 1.5, {_kept(p95 < 1.5)})",
    }
    return [Line("the example, 60,000 rows, whole process", "Headrace", figures)]


def delta(work: Path, runs: int, per_day: int = 6850) -> list[Line]:
    """What changed in a day, of a table with two years of rows; in one process.

    Args:
        work: where the files are written.
        runs: rounds.
        per_day: rows; 5 million in all, unless it is changed.
    """
    schema = _DELTA.replace("per_day: 6850", f"per_day: {per_day}")
    (work / "delta.yml").write_text(schema, encoding="utf-8")
    sample = run_process(
        python("-m", "benchmarks.deltas", work / "delta.yml", work / "delta", str(runs))
    )
    rounds = json.loads(sample.stdout)
    ratio = statistics.median(each["delta"] / each["snapshot"] for each in rounds)
    figures = {
        "delta / snapshot": f"{ratio:.1%} (promise 2%, {_kept(ratio <= 0.02)})",
        "snapshot s": f"{statistics.median(each['snapshot'] for each in rounds):.3f}",
        "delta s": f"{statistics.median(each['delta'] for each in rounds):.3f}",
    }
    what = f"one day ({rounds[0]['changed']:,} rows) of {rounds[0]['rows']:,} orders, 12 columns"
    return [Line(what, "Headrace", figures)]


def peers(work: Path) -> list[Line]:
    """10,000 customers with unique e-mails, by each in an environment of its own; twice."""
    (work / "example.yml").write_text(_EXAMPLE, encoding="utf-8")
    lines = []
    made = [
        _generate(
            work / "example.yml", work / f"p{n % 2}", "--table", "Customer", "--scale", "1000"
        )
        for n in range(3)
    ]
    report = made[-1][1]
    same = all(
        (work / "p0" / name).read_bytes() == (work / "p1" / name).read_bytes()
        for name in report["tables"][0]["files"]
    )
    ours = report["rows"] / statistics.median(told["seconds"] for _, told in made)
    peak = max(sample.peak_bytes for sample, _ in made)
    lines.append(_peer_line("Headrace (10,000,000 customers to Parquet)", ours, peak, same, None))
    for name, packages in {
        "mimesis": ["mimesis"],
        "faker": ["faker"],
        "snowfakery": ["snowfakery", "setuptools<81"],
        "jafgen": ["jafgen"],
        "sdv_hma": [],
    }.items():
        given = [flag for package in packages for flag in ("--with", package)]
        extra = ["--extra", "learn"] if not packages else ["--isolated", "--no-project"]
        command = [
            "uv",
            "run",
            "--quiet",
            *extra,
            *given,
            "python",
            str(_PEERS / f"with_{name}.py"),
        ]
        try:
            sample = run_process([*command, str(work / name)])
        except Exception as error:
            lines.append(Line("customers", name, {"rows/s": f"does not run here: {error}"[:80]}))
            continue
        told = json.loads(sample.stdout.splitlines()[-1])
        rate = told["rows"] / told["seconds"]
        lines.append(
            _peer_line(f"{name} ({told['what']})", rate, sample.peak_bytes, told["same"], ours)
        )
    return lines


def _peer_line(who: str, rate: float, peak: int, same: bool | None, ours: float | None) -> Line:
    figures = {"rows/s": f"{rate:,.0f}", "peak MB": f"{peak / 1e6:,.0f}"}
    figures["the same twice"] = {True: "yes", False: "no", None: "not asked"}[same]
    if ours is not None:
        figures["Headrace is faster by"] = f"{ours / rate:,.0f}"
    return Line("customers", who, figures)


def domains(work: Path, orders: float, events: float) -> list[Line]:
    """The shop with all its tables, web analytics, and `headrace run` over each."""
    lines = []
    for name, table, millions in (("shop", "order", orders), ("web_analytics", "events", events)):
        schema = ROOT / "data" / "schemas" / f"{name}.yml"
        _, small = _generate(schema, work / name, "--as-of", "2026-01-01", "--scale", "0.1")
        rows = next(each["rows"] for each in small["tables"] if each["table"] == table)
        scale = f"{0.1 * millions * 1e6 / rows:.4f}"
        sample, report = _generate(schema, work / name, "--as-of", "2026-01-01", "--scale", scale)
        count = next(each["rows"] for each in report["tables"] if each["table"] == table)
        figures = {
            "rows": f"{report['rows']:,}",
            "seconds": f"{report['seconds']:.1f}",
            "rows/s": f"{report['rows'] / report['seconds']:,.0f}",
            "peak MB": f"{sample.peak_bytes / 1e6:,.0f}",
        }
        lines.append(Line(f"{name}, {count:,} rows of {table}", "headrace generate", figures))
        sample, run = headrace(
            "run", "--source", name, data_dir=work / f"{name}_data",
            sets=(f"sources.{name}.scale={scale}", f"sources.{name}.as_of=2026-01-01"),
        )  # fmt: skip
        loaded = sum(each["rows_total"] for each in run["load"]["tables"])
        figures = {
            "rows": f"{loaded:,}",
            "seconds": f"{sample.seconds:.1f}",
            "rows/s": f"{loaded / sample.seconds:,.0f}",
            "peak MB": f"{sample.peak_bytes / 1e6:,.0f}",
        }
        lines.append(Line(f"{name}, {count:,} rows of {table}", "headrace run", figures))
    return lines


def _kept(kept: bool) -> str:
    return "kept" if kept else "**missed**"


def _peak(samples: list[Sample], promise: int) -> str:
    peak = max(sample.peak_bytes for sample in samples) / 1e6
    return f"{peak:,.0f} (promise {promise}, {_kept(peak < promise)})"


if __name__ == "__main__":
    main()
