"""Spark with one and with two workers of one core, on a standalone cluster of this machine.

Orders and their lines are generated in parts (`headrace generate --part K/N`), each a task of
Spark; then one query joins them, counts and sums by customer and month, and writes Parquet.
The rounds alternate, so that other work on the machine is in both. Inside is how long tasks ran,
all together: where it grows with the second worker, the two had less than a core each.

Generated files are of Parquet, compressed; `--gigabytes` is their size.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.clusters import cluster, spark_home
from benchmarks.measure import BenchmarkError, Sample, alternate, ratio
from benchmarks.report import Report, parser, work_dir
from headrace.libraries.spark import require_java
from headrace.synth.generate import generate

SCHEMA = Path(__file__).parents[1] / "data" / "schemas" / "shop.yml"
_AS_OF = "2026-01-01"
_JOB = """
import json, sys, time
from pyspark.sql import SparkSession

workers, job, folder, out = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
spark = (
    SparkSession.builder.config("spark.cores.max", workers)
    .config("spark.executor.cores", 1).config("spark.executor.memory", "1g")
    .config("spark.sql.shuffle.partitions", 16).config("spark.ui.showConsoleProgress", "false")
    .config("spark.driver.host", "127.0.0.1").config("spark.sql.session.timeZone", "UTC")
    .config("spark.scheduler.minRegisteredResourcesRatio", 1.0)
    .config("spark.scheduler.maxRegisteredResourcesWaitingTime", "60s").getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
tasks = spark.sparkContext.parallelize(range(workers * 4), workers * 4)
tasks.map(lambda n: __import__("headrace.synth.generate")).count()  # Java and Python are warm
began = time.monotonic()
if job == "generate":
    schema, scale, parts, as_of = sys.argv[5], float(sys.argv[6]), int(sys.argv[7]), sys.argv[8]

    def write(part):
        from datetime import datetime
        from pathlib import Path
        from headrace.synth.generate import generate
        from headrace.synth.writer import Share

        found = generate(
            Path(schema), Path(out), scale=scale, share=Share(part, parts), threads=1,
            tables=("order", "order_line"), as_of=datetime.fromisoformat(as_of),
        )
        return found.rows

    rows = spark.sparkContext.parallelize(range(1, parts + 1), parts).map(write).sum()
else:
    for name in ("order", "order_line"):
        spark.read.parquet(f"{folder}/{name}-part-*.parquet").createOrReplaceTempView(f"{name}s")
    spark.sql('''
        select o.customer_id, date_trunc('month', o.created_at) as month, count(*) as orders,
            sum(l.quantity) as quantity, sum(l.price * l.quantity) as amount
        from orders as o inner join order_lines as l on l.order_id = o.id
        group by o.customer_id, date_trunc('month', o.created_at)
    ''').write.mode("overwrite").parquet(out)
    rows = None
seconds = time.monotonic() - began
if rows is None:
    rows = spark.read.parquet(out).count()
executors = spark.sparkContext._jsc.sc().statusStore().executorList(False)
each = [executors.apply(n) for n in range(executors.size())]
busy = [one.totalDuration() / 1000 for one in each if one.id() != "driver"]
print(json.dumps({"seconds": seconds, "busy": sum(busy), "executors": len(busy), "rows": rows}))
spark.stop()
"""


def on_cluster(work: Path, workers: int, job: str, *words: str) -> Sample:
    """Run a job once, on a cluster of its own; the sample's output is the number of its rows.

    Args:
        work: where everything is written.
        workers: of one core each.
        job: ``generate`` or ``query``.
        words: what it is told: where to read, where to write, and of what.

    Raises:
        BenchmarkError: it failed, or not all workers took part.
    """
    folder = work / f"cluster-{workers}"
    folder.mkdir(exist_ok=True)
    script = work / "job.py"
    script.write_text(_JOB, "utf-8")
    submit = str(spark_home() / "bin" / "spark-submit")
    with cluster(folder, workers) as found:
        done = subprocess.run(
            [submit, "--master", found.url, str(script), str(workers), job, *words],
            capture_output=True,
            encoding="utf-8",
            check=False,
            env={**os.environ, "PYSPARK_PYTHON": sys.executable},
        )
    if done.returncode != 0:
        raise BenchmarkError(done.stderr[-4000:])
    told = json.loads(done.stdout.strip().splitlines()[-1])
    if told["executors"] != workers:
        raise BenchmarkError(f"{told['executors']} executors took part, not {workers}")
    return Sample(told["seconds"], 0.0, 0, inner_seconds=told["busy"], stdout=str(told["rows"]))


def size_of(folder: Path) -> int:
    """Bytes of the Parquet files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


def scale_for(work: Path, gigabytes: float) -> float:
    """The scale of the shop at which its orders and lines take so much, from a small part."""
    probe = work / "probe"
    small = 4.0
    generate(SCHEMA, probe, scale=small, tables=("order", "order_line"), as_of=_as_of())
    return small * gigabytes * 1e9 / size_of(probe)


def _as_of() -> datetime:
    return datetime.fromisoformat(_AS_OF).replace(tzinfo=UTC)


def measure(work: Path, *, gigabytes: float, parts: int, runs: int) -> Report:
    """Generate with one and two workers, then query with both.

    Args:
        work: where everything is written; each round's files are replaced.
        gigabytes: of Parquet.
        parts: of the generated files.
        runs: rounds.

    Raises:
        BenchmarkError: a job failed, or its result differs with the number of workers.
    """
    scale = scale_for(work, gigabytes)
    report = Report("spark_workers", "Spark on one and two workers", inner="tasks, s")

    def generated(workers: int, _: int) -> Sample:
        out = work / "orders"
        given = (str(SCHEMA), str(scale), str(parts), f"{_AS_OF}T00:00:00+00:00")
        return on_cluster(work, workers, "generate", "-", str(out), *given)

    def queried(workers: int, _: int) -> Sample:
        return on_cluster(
            work, workers, "query", str(work / "orders"), str(work / f"out-{workers}")
        )

    for what, job in (("generate", generated), ("join and sum", queried)):
        found = alternate({f"{n} worker(s)": partial(job, n) for n in (1, 2)}, runs=runs)
        rows = {sample.stdout for samples in found.values() for sample in samples}
        if len(rows) != 1:
            raise BenchmarkError(f"{what}: {rows} rows")
        one, two = found.values()
        size = size_of(work / "orders")
        case = f"{what}: {size / 1e9:.2f} GB of orders and lines"
        report.facts[f"{what}: rows of the result"] = int(rows.pop())
        report.facts[f"{what}: speed-up by the second worker"] = round(1 / ratio(two, one), 2)
        busy = [sum(sample.inner_seconds or 0 for sample in samples) for samples in (one, two)]
        report.facts[f"{what}: seconds of tasks with two by those with one"] = round(
            busy[1] / busy[0], 2
        )
        for who, samples in found.items():
            report.add(case, who, samples)
    return report


def main() -> None:
    """Generate, query, print a table."""
    options = parser(__doc__)
    options.set_defaults(runs=1)
    options.add_argument("--gigabytes", type=float, default=10.0, help="of generated Parquet")
    options.add_argument("--parts", type=int, default=16, help="of the generated files")
    given = options.parse_args()
    require_java()
    with work_dir(given.work_dir) as work:
        report = measure(work, gigabytes=given.gigabytes, parts=given.parts, runs=given.runs)
    report.finish(given.out)


if __name__ == "__main__":
    main()
