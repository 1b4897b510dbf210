"""Change one raw column after another, build, and compare what changed with the lineage."""

import contextlib
import queue
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event
from typing import Any

from headrace.catalog.model import Catalog
from headrace.errors import LineageError
from headrace.exceptions import first_line
from headrace.libraries.duckdb import connect
from headrace.lineage.find import NodeRef
from headrace.lineage.verify.compare import SampledPlan, Trial, TrialResults, summary
from headrace.lineage.verify.plan import UnbuiltRelation, VerifyPlan, main_database, plan
from headrace.lineage.verify.replica import SAMPLE, Replica, TrialEffect, take_sample
from headrace.lineage.verify.report import VerifyOptions, VerifyReport
from headrace.sql_text import literal

_WAREHOUSE = "__headrace_warehouse"

Progress = Callable[[int, int], None]


def verify(
    catalog: Catalog,
    attach: Callable[[Any], object],
    *,
    only: Sequence[NodeRef] = (),
    options: VerifyOptions | None = None,
    guard: AbstractContextManager[object] | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check the column lineage of a catalog against the data.

    Nothing is written: the raw tables are copied, and all is built in memory.

    Args:
        catalog: the claim.
        attach: attaches the warehouse to a DuckDB connection, as ``warehouse_alias()``.
        only: limit the check, see ``headrace.lineage.verify.plan``.
        options: how.
        guard: is held while the warehouse is read.
        progress: is told how many raw columns are done, and of how many.

    Returns:
        What was found.

    Raises:
        LineageError: there is nothing to check, or it cannot be read.
    """
    started = time.monotonic()
    options = options or VerifyOptions()
    # a file that something still has open cannot be deleted on Windows: that is no reason to fail
    with tempfile.TemporaryDirectory(
        prefix="headrace-verify-", ignore_cleanup_errors=True
    ) as folder:
        sample = Path(folder) / "sample.duckdb"
        with guard or contextlib.nullcontext():
            taken = _take(catalog, attach, sample, only, options.rows)
        outcome = _run(taken.plan, sample, options, progress or (lambda done, of: None))
    return summary(catalog, taken, outcome, options, time.monotonic() - started)


def warehouse_alias() -> str:
    """The alias that the warehouse is attached as."""
    return _WAREHOUSE


def _take(
    catalog: Catalog,
    attach: Callable[[Any], object],
    sample: Path,
    only: Sequence[NodeRef],
    rows: int,
) -> SampledPlan:
    """Plan, and copy the raw tables."""
    import duckdb

    with connect() as connection:
        made = plan(catalog, connection, only=only)
        main = main_database(catalog)
        try:
            attach(connection)
            connection.execute(f"attach {literal(str(sample))} as {SAMPLE}")
            there = {
                (schema.casefold(), name.casefold())
                for schema, name in connection.execute(
                    "select table_schema, table_name from information_schema.tables "
                    "where table_catalog = ?",
                    [_WAREHOUSE],
                ).fetchall()
            }
            gone = {
                key: raw
                for key, raw in made.raws.items()
                if raw.name[0] != main
                or tuple(part.casefold() for part in raw.name[1:]) not in there
            }
            made = made.without(gone)
            counts = take_sample(connection, made, _WAREHOUSE, rows=rows)
        except duckdb.Error as error:
            raise LineageError(
                f"the raw tables could not be copied ({first_line(error)}): see `headrace doctor`"
            ) from error
    if not counts or not made.models:
        schemas = ", ".join(sorted({raw.name[1] for raw in gone.values()}))
        raise LineageError(
            f"the warehouse lacks raw tables that every model of this check needs ({schemas}): "
            "enable their source in the settings and run `headrace run` first"
        )
    return SampledPlan(made, counts)


def _run(
    made: VerifyPlan, sample: Path, options: VerifyOptions, progress: Progress
) -> TrialResults:
    first = Replica(made, sample, memory_limit=options.memory_limit)
    replicas = [first]
    stop = Event()
    try:
        base = first.build_baseline()
        tasks: queue.SimpleQueue[tuple[UnbuiltRelation, str]] = queue.SimpleQueue()
        total = 0
        for raw, column in _columns(made, first):
            tasks.put((raw, column))
            total += 1
        trials: list[Trial] = []

        def work(replica: Replica) -> None:
            if replica is not first:
                replica.build_baseline()
            while not stop.is_set():
                try:
                    raw, column = tasks.get_nowait()
                except queue.Empty:
                    return
                trials.append(_try(replica, raw, column))
                progress(len(trials), total)

        replicas += [
            Replica(made, sample, memory_limit=options.memory_limit)
            for _ in range(min(options.workers, total) - 1)
        ]
        with ThreadPoolExecutor(len(replicas)) as pool:
            futures = [pool.submit(work, replica) for replica in replicas]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                stop.set()
                for replica in replicas:
                    replica.interrupt()
                raise
    finally:
        for replica in replicas:
            replica.close()
    trials.sort(key=lambda trial: (trial.raw, trial.column))
    return TrialResults(base, trials)


def _columns(made: VerifyPlan, replica: Replica) -> Iterator[tuple[UnbuiltRelation, str]]:
    for raw in made.raws.values():
        for column in replica.columns(raw):
            yield raw, column


def _try(replica: Replica, raw: UnbuiltRelation, column: str) -> Trial:
    import duckdb

    seen: dict[str, TrialEffect] = {}
    raised: dict[str, str] = {}
    for strategy, expression in replica.strategies(raw, column).items():
        try:
            found = replica.perturb(raw, column, expression)
        except duckdb.Error as error:  # the strategy itself: of the models perturb tells
            raised[strategy] = first_line(error)
            continue
        if found is not None:
            seen[strategy] = found
    return Trial(raw.id, column, seen, raised)
