"""Faults are tried one by one, on as many copies of the warehouse as there are workers."""

import hashlib
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from headrace.quality.strength.mutations import Mutant, mutants
from headrace.quality.strength.project import ModelUnderTest, ModelUnitTest, ProjectUnderTest
from headrace.quality.strength.proposals import Proposer, unit_test
from headrace.quality.strength.raw_faults import RawFault, raw_faults, references
from headrace.quality.strength.report import (
    MutantResult,
    ProposedTest,
    Status,
    StrengthReport,
    summary,
)
from headrace.quality.strength.warehouse_copy import FaultEffect, Stopped, WarehouseCopy

Progress = Callable[[int, int, int], None]
"""Is told how many mutants are done, of how many, and how many of them survived."""


@dataclass(frozen=True, slots=True)
class StrengthOptions:
    """How to measure.

    Attributes:
        selected: ids of the models and raw tables to put faults into; None for all.
        faults: whether to put them into models' SQL, into raw data, or into both.
        workers: how many mutants are tried at the same time.
        memory_limit: of DuckDB, of all workers together, in bytes.
        seconds: the most that one mutant takes.
        fail_under: the least score that is good.
    """

    selected: frozenset[str] | None = None
    faults: Literal["all", "sql", "data"] = "all"
    workers: int = 2
    memory_limit: int = 2_000_000_000
    seconds: float = 60.0
    fail_under: float | None = None


@dataclass(frozen=True, slots=True)
class _OfModel:
    """A mutant of a model, and of what its unit tests run."""

    model: ModelUnderTest
    mutant: Mutant
    units: tuple[tuple[ModelUnitTest, str | None], ...]


_Task = _OfModel | RawFault


@dataclass
class _Work:
    """What the workers share."""

    tasks: "queue.SimpleQueue[_Task]"
    total: int
    progress: Progress
    results: list[MutantResult] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, result: MutantResult) -> None:
        with self.lock:
            self.results.append(result)
            survived = sum(one.status == "survived" for one in self.results)
            self.progress(len(self.results), self.total, survived)


def measure(
    project: ProjectUnderTest, file: Path, spill: Path, options: StrengthOptions, progress: Progress
) -> StrengthReport:
    """Try all mutants of the selected models and raw tables.

    Ctrl-C ends it; what was found so far is in the report.

    Args:
        project: what to measure.
        file: the warehouse as dbt built it; it is only read.
        spill: a folder that DuckDB may spill to.
        options: how.
        progress: see ``Progress``.
    """
    began = time.monotonic()
    share = options.memory_limit // options.workers // 1_000_000

    def open_copy() -> WarehouseCopy:
        return WarehouseCopy(
            project, file, memory_limit=f"{share}MB", spill=spill, seconds=options.seconds
        )

    copies = [open_copy()]
    work = _Work(queue.SimpleQueue(), 0, progress)
    stopped = False
    notes = list(project.notes)
    try:
        copies[0].measure_baseline()
        notes += copies[0].baseline.notes
        tasks = list(_tasks(project, copies[0], options))
        random.Random(0).shuffle(tasks)
        work.total = len(tasks)
        for task in tasks:
            work.tasks.put(task)
        for _ in range(min(options.workers, len(tasks)) - 1):
            copies.append(open_copy())
            copies[-1].baseline, copies[-1].seconds = copies[0].baseline, copies[0].seconds
        with ThreadPoolExecutor(len(copies)) as pool:
            futures = [pool.submit(_try_all, project, copy, work) for copy in copies]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                work.stop.set()
                for copy in copies:
                    copy.interrupt()
                raise
    except KeyboardInterrupt:
        stopped = True
    finally:
        for copy in copies:
            copy.close()
    return summary(
        sorted(work.results, key=lambda one: (one.asset, one.of, one.kind, one.change, one.id)),
        planned=work.total,
        stopped=stopped,
        seconds=time.monotonic() - began,
        notes=notes,
        fail_under=options.fail_under,
    )


def _tasks(
    project: ProjectUnderTest, copy: WarehouseCopy, options: StrengthOptions
) -> Iterator[_Task]:
    def is_selected(id_: str) -> bool:
        return options.selected is None or id_ in options.selected

    if options.faults != "data":
        for model in project.models:
            is_built = model.sql is not None and model.name is not None
            if is_built and is_selected(model.id) and model.id not in copy.baseline.unmeasured:
                yield from _of_model(project, model, copy)
    if options.faults != "sql":
        raws = sorted(project.raws.values(), key=lambda raw: raw.id)
        for raw in raws:
            if is_selected(raw.id):
                yield from raw_faults(copy.connection, raw, references(copy.connection, raw, raws))


def _of_model(
    project: ProjectUnderTest, model: ModelUnderTest, copy: WarehouseCopy
) -> Iterator[_OfModel]:
    """The mutants of a model that DuckDB can run, each once."""
    found = mutants(model.sql or "")
    units = [(unit, mutants(unit.sql)) for unit in project.unit_tests if unit.model == model.id]
    seen: set[str] = set()
    for place, mutant in enumerate(found):
        if mutant.sql in seen or not copy.is_valid(model, mutant.sql):
            continue
        seen.add(mutant.sql)
        same = tuple(
            (unit, others[place].sql if _are_alike(found, others) else None)
            for unit, others in units
        )
        yield _OfModel(model, mutant, same)


def _are_alike(found: Sequence[Mutant], others: Sequence[Mutant]) -> bool:
    """Whether two queries have the same mutants: a unit test may override a macro or variable."""
    return [one.kind for one in found] == [one.kind for one in others]


def _try_all(project: ProjectUnderTest, copy: WarehouseCopy, work: _Work) -> None:
    proposer = Proposer(copy, project)
    while not work.stop.is_set():
        try:
            task = work.tasks.get_nowait()
        except queue.Empty:
            return
        try:
            result, effect = _try(project, copy, task)
            if result.status == "survived":
                result = result.model_copy(
                    update={"proposals": _proposals(project, copy, proposer, task, effect)}
                )
            work.add(result)
        except Stopped:
            return


def _try(
    project: ProjectUnderTest, copy: WarehouseCopy, task: _Task
) -> tuple[MutantResult, FaultEffect]:
    if isinstance(task, RawFault):
        effect = copy.try_raw(task.raw, task.sql)
        return _result_of_raw(project, task, effect), effect
    effect = FaultEffect(None, {})
    if not task.mutant.is_equivalent:
        effect = copy.try_model(task.model, task.mutant.sql, task.units)
    return _result_of_model(project, task, effect), effect


def _proposals(
    project: ProjectUnderTest,
    copy: WarehouseCopy,
    proposer: Proposer,
    task: _Task,
    effect: FaultEffect,
) -> tuple[ProposedTest, ...]:
    """Tests that would have found a fault that survived."""
    if isinstance(task, RawFault):
        fault = task
        return proposer.propose(lambda: copy.put_raw(fault.raw, fault.sql), dict(effect.changed))
    model, mutant = task.model, task.mutant
    found = proposer.propose(lambda: copy.put_model(model, mutant.sql), dict(effect.changed))
    return found or (unit_test(model, project, mutant.change),)


def _result_of_raw(project: ProjectUnderTest, task: RawFault, effect: FaultEffect) -> MutantResult:
    status: Status = (
        "killed" if effect.kill
        else "survived" if _seen_by_readers(project) & effect.changed.keys()
        else "equivalent"
    )  # fmt: skip
    return MutantResult(
        id=_id(task.raw.id, task.kind, task.sql),
        kind=task.kind,
        of="data",
        asset=task.raw.label,
        column=task.column,
        change=task.change,
        status=status,
        **_found(project, effect),
    )


def _seen_by_readers(project: ProjectUnderTest) -> set[str]:
    """The published models; where nothing is published, those that no other model reads."""
    published = {model.id for model in project.models if model.is_published}
    read = {parent for model in project.models for parent in model.parents}
    return published or {model.id for model in project.models} - read


def _result_of_model(
    project: ProjectUnderTest, task: _OfModel, effect: FaultEffect
) -> MutantResult:
    status: Status = "killed" if effect.kill else "survived" if effect.changed else "equivalent"
    return MutantResult(
        id=_id(task.model.id, task.mutant.kind, task.mutant.sql),
        kind=task.mutant.kind,
        of="sql",
        asset=task.model.label,
        path=task.model.path,
        change=task.mutant.change,
        diff=task.mutant.diff,
        status=status,
        **_found(project, effect),
    )


def _found(project: ProjectUnderTest, effect: FaultEffect) -> dict[str, Any]:
    if effect.kill is None:
        return {"changed": tuple(sorted(project.label(id_) for id_ in effect.changed))}
    kill = effect.kill
    return {"killed_by": kill.by, "test": kill.name, "message": kill.message}


def _id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
