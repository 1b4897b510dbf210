"""Spark with one and with two workers of one core, on a standalone cluster of this machine.

Orders are generated in parts (`headrace generate --part K/N`). One query joins them to their
lines, counts and sums them by customer and month, and writes Parquet. The rounds alternate, so that
other work on the machine is in both. Inside is how long tasks ran, all together.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.measure import BenchmarkError, Sample, alternate, ratio
from benchmarks.report import Report, parser, work_dir
from headrace.libraries.spark import require_java
from headrace.synth.generate import generate
from headrace.synth.writer import Share

SCHEMA = Path(__file__).parents[1] / "data" / "schemas" / "shop.yml"
_QUERY = """
import json, sys, time
from pyspark.sql import SparkSession
folder, workers = sys.argv[1], int(sys.argv[2])
spark = (
    SparkSession.builder.config("spark.cores.max", workers)
    .config("spark.executor.cores", 1).config("spark.executor.memory", "1g")
    .config("spark.sql.shuffle.partitions", 8).config("spark.ui.showConsoleProgress", "false")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.scheduler.minRegisteredResourcesRatio", 1.0)
    .config("spark.scheduler.maxRegisteredResourcesWaitingTime", "60s").getOrCreate()
)
spark.sparkContext.parallelize(range(workers * 4), workers * 4).count()  # Java is warm
began = time.monotonic()
orders = spark.read.parquet(f"{folder}/order-part-*.parquet")
lines = spark.read.parquet(f"{folder}/order_line-part-*.parquet")
orders.createOrReplaceTempView("orders")
lines.createOrReplaceTempView("lines")
spark.sql('''
    select o.customer_id, date_trunc('month', o.created_at) as month, count(*) as orders,
        sum(l.quantity) as quantity, sum(l.price * l.quantity) as amount
    from orders as o inner join lines as l on l.order_id = o.id
    group by o.customer_id, date_trunc('month', o.created_at)
''').write.mode("overwrite").parquet(f"{folder}/out-{workers}")
seconds = time.monotonic() - began
rows = spark.read.parquet(f"{folder}/out-{workers}").count()
executors = spark.sparkContext._jsc.sc().statusStore().executorList(False)
busy = sum(executors.apply(n).totalDuration() for n in range(executors.size())) / 1000
print(json.dumps({"seconds": seconds, "busy": busy, "rows": rows}))
spark.stop()
"""


@contextmanager
def cluster(spark: Path, folder: Path, workers: int) -> Iterator[str]:
    """A master and workers on loopback; gives the URL of the master."""
    launch = str(spark / "bin" / "spark-class")
    name = "org.apache.spark.deploy"
    log = folder / "master.log"
    processes = []
    address = ("--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
    try:
        with log.open("w", encoding="utf-8") as stream:
            processes.append(
                subprocess.Popen([launch, f"{name}.master.Master", *address], stderr=stream)
            )
        url = _waited(log, r"Starting Spark master at (spark://\S+)")
        for number in range(workers):
            own = folder / f"worker-{number}.log"
            with own.open("w", encoding="utf-8") as stream:
                words = [
                    *address,
                    "--cores",
                    "1",
                    "--memory",
                    "2g",
                    "--work-dir",
                    str(folder / "w"),
                ]
                processes.append(
                    subprocess.Popen([launch, f"{name}.worker.Worker", *words, url], stderr=stream)
                )
            _waited(own, r"(Successfully registered with master)")
        yield url
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def _waited(log: Path, words: str) -> str:
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        found = re.search(words, log.read_text("utf-8"))
        if found is not None:
            return found[1]
        time.sleep(0.2)
    raise BenchmarkError(f"{log} does not say {words!r}: {log.read_text('utf-8')[-500:]}")


def query(spark: Path, work: Path, workers: int, _: int) -> Sample:
    """Run the query once on a cluster of its own."""
    folder = work / f"cluster-{workers}"
    folder.mkdir(exist_ok=True)
    submit = str(spark / "bin" / "spark-submit")
    words = [str(work / "query.py"), str(work / "orders"), str(workers)]
    with cluster(spark, folder, workers) as url:
        done = subprocess.run(
            [submit, "--master", url, *words],
            capture_output=True,
            encoding="utf-8",
            check=False,
            env={"PYSPARK_PYTHON": sys.executable, "PATH": os.environ["PATH"]},
        )
    shutil.rmtree(folder / "w", ignore_errors=True)
    if done.returncode != 0:
        raise BenchmarkError(done.stderr[-2000:])
    told = json.loads(done.stdout.strip().splitlines()[-1])
    return Sample(told["seconds"], 0.0, 0, inner_seconds=told["busy"])


def main() -> None:
    """Generate, run alternately, print a table."""
    options = parser(__doc__)
    options.add_argument("--scale", type=float, default=100.0, help="of the shop")
    options.add_argument("--parts", type=int, default=8, help="of the generated files")
    given = options.parse_args()
    require_java()
    import pyspark

    spark = Path(pyspark.__file__).parent
    with work_dir(given.work_dir) as work:
        data = work / "orders"
        for part in range(1, given.parts + 1):
            generate(
                SCHEMA,
                data,
                scale=given.scale,
                share=Share(part, given.parts),
                tables=("order", "order_line"),
            )
        (work / "query.py").write_text(_QUERY, "utf-8")
        found = alternate(
            {f"{n} worker(s)": partial(query, spark, work, n) for n in (1, 2)}, runs=given.runs
        )
        report = Report("spark_workers", "Spark on one and two workers", inner="tasks, s")
        size = sum(path.stat().st_size for path in data.glob("*.parquet"))
        report.facts["bytes of Parquet"] = size
        one, two = found.values()
        report.facts["speed-up"] = round(1 / ratio(two, one), 2)
        for who, samples in found.items():
            report.add(f"{size / 1e9:.2f} GB of orders and lines", who, samples)
    report.finish(given.out)


if __name__ == "__main__":
    main()
