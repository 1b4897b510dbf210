"""What a run costs at 1 and at 100 TB, by simulation: nothing of it was measured at that size.

A run is a row of stages. A stage reads so many bytes, in tasks of 128 MB where the engine divides
it, in one process where it does not. How long a task takes follows from the CPU seconds per byte
that were measured on small data (`Measured`), times a spread, as machines and partitions differ. A
worker that is lost loses its task, which another one does again. The prices are assumptions.
"""

import argparse
import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

TB = 1e12
TASK_BYTES = 128e6


@dataclass(frozen=True)
class Measured:
    """What was measured on 2 cores; docs/explanation/at-size.md says how, and what was not.

    Attributes:
        load: CPU seconds of `headrace load` per GB of Parquet files.
        build: of all models and tests of the shop, per GB of its raw data as Parquet: DuckDB.
        publish: of marts that changed, per GB of raw data likewise.
        stored: bytes of a warehouse by those of the raw data as Parquet.
        node: seconds that Spark's driver takes for each model and test, however small.
        engine: Spark's CPU time by DuckDB's; not measured at size, an assumption.
    """

    load: float = 42.0
    build: float = 200.0
    publish: float = 26.0
    stored: float = 1.8
    node: float = 1.0
    engine: float = 3.0


@dataclass(frozen=True)
class Prices:
    """Assumptions, in US dollars; about what large clouds ask for without a contract.

    Attributes:
        core_hour: of a core with 8 GB of memory.
        disk: of a TB of fast disk of a machine, for an hour.
        store: of a TB in object storage, for a month.
    """

    core_hour: float = 0.055
    disk: float = 0.11
    store: float = 23.0


@dataclass(frozen=True)
class Setup:
    """An engine and its machines.

    Attributes:
        name: for the table.
        workers: cores that build, all together.
        is_spark: whether a stage is divided over machines.
        memory: of all machines, bytes.
        disk: of one machine, bytes; what a stage spills, or a DuckDB file needs, must fit.
        new: the share of all data that a run loads: 1 for a first run.
        rebuilt: the share that models and tests read, and whose marts are hashed: 1 where models
            are tables that each run builds again, as on the target `spark`.
        lost_per_hour: workers that are lost, of 1,000 in an hour.
    """

    name: str
    workers: int
    is_spark: bool
    memory: float
    disk: float
    new: float = 1.0
    rebuilt: float = 1.0
    lost_per_hour: float = 1.0


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Attributes:
        load: hours, of the one process that loads.
        build: hours, of models and tests.
        publish: hours, of the one process that hashes changed marts.
        dollars: of machines, for the run.
        breaks: what gives way first; empty where nothing does.
    """

    load: float
    build: float
    publish: float
    dollars: float
    breaks: str

    @property
    def hours(self) -> float:
        """All steps, one after the other."""
        return self.load + self.build + self.publish


def makespan(
    work: float, tasks: int, workers: int, *, seed: int, spread: float = 0.5, lost: float = 0.0
) -> float:
    """Seconds until the last of some tasks is done.

    Args:
        work: CPU seconds of all tasks together.
        tasks: how many.
        workers: cores; each takes the next task when it is free.
        seed: of the spread.
        spread: sigma of a lognormal distribution whose mean is 1.
        lost: chance per second that a worker is lost; its task is done again.
    """
    draw = random.Random(seed)
    mean = work / tasks
    free = [0.0] * min(workers, tasks)
    for _ in range(tasks):
        seconds = mean * math.exp(draw.gauss(-spread * spread / 2, spread))
        taken = 0.0
        while lost and (until := draw.expovariate(lost)) < seconds:
            taken += until
        heapq.heapreplace(free, free[0] + taken + seconds)
    return max(free)


def estimate(
    size: float,
    setup: Setup,
    *,
    measured: Measured | None = None,
    prices: Prices | None = None,
    nodes: int = 300,
    seed: int = 0,
) -> Estimate:
    """A run's hours and dollars.

    Args:
        size: of all raw data as Parquet, bytes.
        setup: the engine and its machines.
        measured: CPU seconds per GB.
        prices: of machines.
        nodes: models and tests.
        seed: of the simulation.
    """
    given, measured = prices or Prices(), measured or Measured()
    part = size * setup.rebuilt
    # one machine of at most 16 cores loads and publishes, whatever the engine
    one = min(setup.workers, 16)
    load = size * setup.new / 1e9 * measured.load / one
    publish = part / 1e9 * measured.publish / one
    work = part / 1e9 * measured.build
    if setup.is_spark:
        tasks = min(max(setup.workers, int(part / TASK_BYTES)), 200_000)
        lost = setup.lost_per_hour / 1000 / 3600
        build = makespan(work * measured.engine, tasks, setup.workers, seed=seed, lost=lost)
        build += nodes * measured.node
    else:
        build = work / setup.workers
    # workers of a cluster are paid for while it builds, the machine that loads for all the time
    machines = setup.workers * given.core_hour
    if setup.is_spark:
        dollars = (machines * build + one * given.core_hour * (load + build + publish)) / 3600
    else:
        disk = given.disk * size * measured.stored / TB
        dollars = (machines + disk) * (load + build + publish) / 3600
    breaks = _breaks(size, setup, measured, load, build, publish)
    return Estimate(load / 3600, build / 3600, publish / 3600, dollars, breaks)


def _breaks(
    size: float, setup: Setup, measured: Measured, load: float, build: float, publish: float
) -> str:
    """What gives way first; times in seconds."""
    if not setup.is_spark and size * measured.stored > setup.disk:
        return "the warehouse does not fit the disk"
    if not setup.is_spark and size * setup.rebuilt > 20 * setup.memory:
        return "joins spill many times over"
    if load > 24 * 3600:
        return "the load, one process, takes longer than a day"
    if setup.is_spark and size * setup.rebuilt > setup.disk * setup.workers / 16:
        return "a shuffle does not fit the workers' disks"
    if publish > max(build, 3600):
        return "publish: one process hashes every mart that was built again"
    return ""


GB = 1e9
SETUPS = (
    (1, Setup("DuckDB, 16 cores: first run", 16, False, 128 * GB, 4 * TB)),
    (1, Setup("the same: 1% new, all built", 16, False, 128 * GB, 4 * TB, 0.01)),
    (1, Setup("the same: 1% new, incremental", 16, False, 128 * GB, 4 * TB, 0.01, 0.01)),
    (1, Setup("Spark, 128 cores: first run", 128, True, 1024 * GB, 1 * TB)),
    (1, Setup("the same: 1% new, all built", 128, True, 1024 * GB, 1 * TB, 0.01)),
    (100, Setup("DuckDB, 64 cores: first run", 64, False, 512 * GB, 30 * TB)),
    (100, Setup("Spark, 2,000 cores: first run", 2000, True, 16_000 * GB, 1 * TB)),
    (100, Setup("the same: 0.1% new, all built", 2000, True, 16_000 * GB, 1 * TB, 0.001)),
    (100, Setup("the same: 0.1% new, incremental", 2000, True, 16_000 * GB, 1 * TB, 0.001, 0.001)),
)
"""Terabytes, and what runs."""


def table(setups: Sequence[tuple[float, Setup]] = SETUPS) -> str:
    """The runs as a Markdown table."""
    lines = [
        "| TB | engine | load, h | build, h | publish, h | dollars | what breaks first |",
        "|---:|---|---:|---:|---:|---:|---|",
    ]
    for size, setup in setups:
        found = estimate(size * TB, setup)
        hours = (f"{each:,.2f}" for each in (found.load, found.build, found.publish))
        cells = [f"{size:g}", setup.name, *hours, f"{found.dollars:,.2f}", found.breaks]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    print(table())


if __name__ == "__main__":
    main()
