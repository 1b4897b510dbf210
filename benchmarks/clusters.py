"""Marts built on a cluster of Spark, by Spark Connect and on a Sail server, compared with DuckDB's.

All of them run on this machine: a standalone master with two workers of one core, a server that
speaks Spark Connect, a Sail server. While the cluster builds, one of its workers is killed, unless
told otherwise. It is `headrace parity` that compares, so that each is built twice.
"""

import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, BenchmarkError, environment, python
from benchmarks.report import commit, machine, parser

_PATIENCE_S = 120
_ENGINES = ("cluster", "connect", "sail_server")
_FEW = {"spark.sql.shuffle.partitions": "4"}


@dataclass(frozen=True)
class Cluster:
    """A standalone cluster.

    Attributes:
        url: of its master, ``spark://127.0.0.1:40001``.
        workers: their processes.
    """

    url: str
    workers: Sequence["subprocess.Popen[bytes]"]


def spark_home() -> Path:
    """The folder of the Spark that the extra brings."""
    import pyspark

    return Path(pyspark.__file__).parent


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[Cluster]:
    """A master and workers of one core on loopback.

    Args:
        folder: takes logs and the files of executors.
        workers: how many.

    Raises:
        BenchmarkError: one does not start.
    """
    launch = [str(spark_home() / "bin" / "spark-class")]
    name = "org.apache.spark.deploy"
    address = ("--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
    with ExitStack() as running:
        log = folder / "master.log"
        running.enter_context(_process([*launch, f"{name}.master.Master", *address], log))
        url = _waited(log, r"Starting Spark master at (spark://\S+)")
        words = [f"{name}.worker.Worker", *address, "--cores", "1", "--memory", "2g",
                 "--work-dir", str(folder / "work"), url]  # fmt: skip
        processes = []
        for number in range(workers):
            log = folder / f"worker-{number}.log"
            processes.append(running.enter_context(_process([*launch, *words], log)))
            _waited(log, r"(Successfully registered with master)")
        yield Cluster(url, processes)


@contextmanager
def connect_server(folder: Path) -> Iterator[int]:
    """A server that speaks Spark Connect, with the cores of this machine; gives its port.

    Raises:
        BenchmarkError: it does not start.
    """
    log = folder / "connect.log"
    server = "org.apache.spark.sql.connect.service.SparkConnectServer"
    confs = {
        **_FEW,
        "spark.ui.enabled": "false",
        "spark.connect.grpc.binding.port": "0",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.warehouse.dir": str(folder / "managed"),
    }
    options = [word for key, value in confs.items() for word in ("--conf", f"{key}={value}")]
    submit = str(spark_home() / "bin" / "spark-submit")
    words = [submit, "--master", "local[*]", *options, "--class", server, "spark-internal"]
    with _process(words, log):
        yield int(_waited(log, r"Spark Connect server started at: \S+:(\d+)"))


@contextmanager
def sail_server() -> Iterator[int]:
    """A Sail server in a process of its own; gives its port.

    Raises:
        BenchmarkError: it does not start.
    """
    code = (
        "from pysail.spark import SparkConnectServer\n"
        "server = SparkConnectServer(ip='127.0.0.1', port=0)\n"
        "server.start(background=True)\n"
        "print('port', server.listening_address[1], flush=True)\n"
        "input()\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "sail.log"
        with _process(python("-c", code), log):
            yield int(_waited(log, r"port (\d+)"))


@contextmanager
def _process(words: Sequence[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as stream:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=stream, stderr=subprocess.STDOUT
        )
    with process:  # its pipe is closed, and it is waited for
        try:
            yield process
        finally:
            process.terminate()


def _waited(log: Path, words: str) -> str:
    ends = time.monotonic() + _PATIENCE_S
    while time.monotonic() < ends:
        found = re.search(words, log.read_text("utf-8"))
        if found is not None:
            return found[1]
        time.sleep(0.2)
    raise BenchmarkError(f"{log} does not say {words!r}: {log.read_text('utf-8')[-500:]}")


def _kill_one(data: Path, worker: "subprocess.Popen[bytes]", over: threading.Event) -> None:
    """Kill a worker, and with it its executor, once a mart is being written."""
    while not over.wait(0.2):
        if any(data.rglob("cluster/**/gold/marts/*")):
            worker.send_signal(signal.SIGKILL)
            print("a worker was killed", file=sys.stderr)
            return


@contextmanager
def started(folder: Path, names: Sequence[str]) -> Iterator[tuple[dict[str, Any], Cluster | None]]:
    """The engines of some names, as settings of targets.

    Args:
        folder: takes logs and the files of executors.
        names: of ``cluster``, ``connect``, ``sail_server``.
    """
    with ExitStack() as running:
        targets: dict[str, Any] = {}
        standalone = None
        here = {"host": "127.0.0.1"}
        if "cluster" in names:
            standalone = running.enter_context(cluster(folder, 2))
            targets["cluster"] = {"type": "spark", "master": standalone.url, "conf": _FEW}
        if "connect" in names:
            port = running.enter_context(connect_server(folder))
            targets["connect"] = {"type": "spark", "method": "connect", **here, "port": port}
        if "sail_server" in names:
            port = running.enter_context(sail_server())
            targets["sail_server"] = {"type": "sail", **here, "port": port}
        yield targets, standalone


def main() -> None:
    """Start all, compare, print the table; exit 1 where marts differ."""
    options = parser(__doc__)
    options.add_argument("--source", action="append", help="default jaffle_shop")
    options.add_argument("--targets", nargs="+", choices=_ENGINES, default=_ENGINES)
    options.add_argument("--keep-workers", action="store_true", help="kill none")
    given = options.parse_args()
    over = threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix="headrace-clusters-") as name,
        started(Path(name), given.targets) as (targets, standalone),
    ):
        data = Path(name) / "data"
        if standalone is not None and not given.keep_workers:
            victim = (data, standalone.workers[0], over)
            threading.Thread(target=_kill_one, args=victim, daemon=True).start()
        sources = [word for one in given.source or ["jaffle_shop"] for word in ("--source", one)]
        words = python("-m", "headrace", "parity", "duckdb", *targets, *sources, "--scale", "0.02")
        done = subprocess.run(
            [*words, "--set", f"data_dir={data}"], cwd=ROOT, check=False, encoding="utf-8",
            stdout=subprocess.PIPE, env={**environment(), "HEADRACE_TARGETS": json.dumps(targets)},
        )  # fmt: skip
        over.set()
        if standalone is not None:
            alive = [worker.poll() is None for worker in standalone.workers]
            print(f"workers at the end: {sum(alive)} of {len(alive)}", file=sys.stderr)
    print(done.stdout)
    if given.out is not None:
        text = f"```\n{done.stdout.strip()}\n```\n\n{machine()}. At commit {commit()}.\n"
        given.out.write_text(text, "utf-8")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
