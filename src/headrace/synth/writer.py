"""Files of a view: Parquet or CSV, by several threads, the same bytes for any number of them."""

import ctypes
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace import portable
from headrace.synth.errors import OutputError, SynthError
from headrace.synth.files import Format, open_sink, parquet_options
from headrace.synth.plan import TablePlan
from headrace.synth.population import from_us
from headrace.synth.record_batch import plain_schema, to_batch
from headrace.synth.view import Range, View

if TYPE_CHECKING:
    from headrace.synth.frame import Frame

FILE_ROWS: Final = 1 << 20
"""About how many rows a file has; a table of more is written to several."""
GROUP_ROWS: Final = 1 << 18
"""About how many rows a row group has."""
_SAMPLE_ROWS: Final = 4_096
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 1 << 26

Progress = Callable[[str, int], None]
"""Takes the name of a table, and how many more of its rows are written."""
BegunListener = Callable[[dict[str, int]], None]
"""Takes, by table, about how many rows there will be."""


class Overlaid(Protocol):
    """What changes the rows of a table after they were generated."""

    def schema(self, plan: TablePlan, schema: pa.Schema) -> pa.Schema:
        """What is written."""

    def apply(self, plan: TablePlan, frame: "Frame", batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        """The rows of a block that are written."""


@dataclass(frozen=True, slots=True)
class Share:
    """Part ``number`` of ``of`` parts, counted from 1: an equal share of each table's rows."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Share":
        """A part as it is written on the command line, such as ``2/4``.

        Raises:
            SynthError: it is not valid.
        """
        number, slash, of = text.partition("/")
        if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise SynthError(f"--part {text}: write the number of the part and of all, like 2/4")
        return cls(int(number), int(of))

    def rows(self, total: int) -> Range:
        """The rows of this part."""
        return total * (self.number - 1) // self.of, total * self.number // self.of

    @property
    def is_whole(self) -> bool:
        """Whether there is no other part."""
        return self.of == 1


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of a table.

    Attributes:
        table: its name.
        rows: how many rows.
        files: their names within the directory, in order.
        bytes: the size of all of them.
        started_at: when the first of them was begun, UTC.
        seconds: until the last of them was complete; tables are written at the same time.
    """

    table: str
    rows: int
    files: tuple[str, ...]
    bytes: int
    started_at: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class _Task:
    plan: TablePlan
    name: str
    rows: Range


class Writer:
    """Writes the tables of a view into a directory.

    Files are written under a hidden name and given their own when all of them are complete, so
    that a run that is stopped or fails leaves none behind.
    """

    def __init__(
        self,
        view: View,
        directory: Path,
        *,
        kind: Format = "parquet",
        share: Share | None = None,
        threads: int | None = None,
        overlay: Overlaid | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.view = view
        self.directory = directory
        self.kind = kind
        self.share = share or Share()
        self.threads = threads or os.cpu_count() or 1
        self.overlay = overlay
        self.progress = progress
        self._stop = threading.Event()
        self._times: dict[str, tuple[datetime, datetime]] = {}  # of each file
        self._hidden = portable.temporary_beside(directory / "generated")

    def write(self, plans: list[TablePlan]) -> list[Written]:
        """Write tables; what was there of them before is replaced.

        Raises:
            OutputError: the directory cannot be written, or the disk is too small.
        """
        keep_freed_memory()
        tasks = [task for plan in plans for task in self._tasks(plan)]
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._check_disk(plans)
            self._hidden.mkdir(exist_ok=True)
            rows = self._run(tasks)
            return self._finish(plans, tasks, rows)
        except OSError as error:
            raise OutputError(
                f"cannot write {error.filename or self.directory}: {error.strerror or error}; "
                "nothing was written under its final name"
            ) from error
        finally:
            shutil.rmtree(self._hidden, ignore_errors=True)

    def expected(self, plan: TablePlan) -> int:
        """About how many rows a table will have."""
        low, high = self._span(plan)
        return int((high - low) * plan.multiplicity)

    def _span(self, plan: TablePlan) -> Range:
        """Root rows, or positions among the candidates of a delta."""
        candidates = self.view.candidates(plan)
        low, high = self.share.rows(self.view.root_total(plan))
        if isinstance(candidates, tuple):
            low = max(low, candidates[0])
            return low, max(low, min(high, candidates[1]))
        first, last = np.searchsorted(candidates, (low, high))
        return int(first), int(last)

    def _tasks(self, plan: TablePlan) -> Iterator[_Task]:
        low, high = self._span(plan)
        size = self.view.block_size(plan)
        per_file = max(1, round(FILE_ROWS / plan.multiplicity / size)) * size
        count = max(1, -(-(high - low) // per_file))
        candidates = self.view.candidates(plan)
        for number in range(count):
            first, last = low + number * per_file, min(high, low + (number + 1) * per_file)
            if not isinstance(candidates, tuple):
                rows = candidates[first:last]
                first, last = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
            yield _Task(plan, self._name(plan, number, count), (first, last))

    def named(self, name: str, ending: str) -> str:
        """The name of a file, with the timestamps of a delta and the number of a part."""
        if self.view.since is not None:
            name += f"-{_compact(self.view.since)}-{_compact(self.view.as_of)}"
        if not self.share.is_whole:
            name += f"-part-{self.share.number}-of-{self.share.of}"
        return name + ending

    def _name(self, plan: TablePlan, number: int, count: int) -> str:
        many = f"-{number + 1:05d}-of-{count:05d}" if count > 1 else ""
        return self.named(plan.name, f"{many}.{self.kind}")

    def _check_disk(self, plans: list[TablePlan]) -> None:
        total = sum(self.expected(plan) for plan in plans)
        if total < 200_000:
            return
        needed = sum(self.expected(plan) * self._row_bytes(plan) for plan in plans)
        free = shutil.disk_usage(self.directory).free
        if needed > free:
            raise OutputError(
                f"{total:,} rows need about {needed / 1e9:,.1f} GB, and {self.directory} has "
                f"{free / 1e9:,.1f} GB left: take a smaller --scale, or write parts of it to "
                "several disks with --part"
            )

    def _row_bytes(self, plan: TablePlan) -> float:
        """About how large a row is, by writing a few."""
        low, high = self._span(plan)
        roots = np.arange(low, min(high, low + max(16, int(_SAMPLE_ROWS / plan.multiplicity))))
        if not isinstance(self.view.candidates(plan), tuple):
            return 200.0
        frame = self.view.frame(plan, roots.astype(np.int64))
        if not len(frame):
            return 0.0
        batch = to_batch(frame)
        if self.kind == "csv":
            return float(batch.nbytes) / len(batch)
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, batch.schema, **parquet_options(plan, batch.schema)) as writer:
            writer.write_batch(batch)
        return float(sink.getvalue().size) / len(batch)

    def _run(self, tasks: list[_Task]) -> list[int]:
        if self.threads == 1 or len(tasks) == 1:
            return [self._write(task) for task in tasks]
        with ThreadPoolExecutor(min(self.threads, len(tasks))) as pool:
            futures = [pool.submit(self._write, task) for task in tasks]
            try:
                _first_failure(futures)
            except BaseException:
                self._stop.set()
                for future in futures:
                    future.cancel()
                raise
        return [future.result() for future in futures]

    def _write(self, task: _Task) -> int:
        began = datetime.now(UTC)
        rows = self._write_rows(task)
        self._times[task.name] = began, datetime.now(UTC)
        return rows

    def _write_rows(self, task: _Task) -> int:
        schema = self.file_schema(task.plan)
        rows = 0
        waiting: list[pa.RecordBatch] = []
        with open_sink(self._hidden / task.name, self.kind, task.plan, schema) as sink:
            count = 0
            for frame in self.view.released(task.plan, task.rows):
                if self._stop.is_set():
                    break
                for batch in self._overlaid(task.plan, frame):
                    waiting.append(_fitted(batch, schema))
                    count += len(batch)
                if count >= GROUP_ROWS / task.plan.width:
                    sink.write(pa.Table.from_batches(waiting, schema))
                    rows, count, waiting = rows + count, 0, []
                if self.progress is not None:
                    self.progress(task.plan.name, len(frame))
            if waiting:
                sink.write(pa.Table.from_batches(waiting, schema))
                rows += count
        return rows

    def _overlaid(self, plan: TablePlan, frame: "Frame") -> list[pa.RecordBatch]:
        batch = to_batch(frame)
        return [batch] if self.overlay is None else self.overlay.apply(plan, frame, batch)

    def file_schema(self, plan: TablePlan) -> pa.Schema:
        """As it comes, but with types for columns of nulls, and nested strings plain."""
        schema = self.view.arrow_types(plan)
        plain = plain_schema(schema)
        if self.kind == "parquet":
            plain = pa.schema(
                [
                    each if pa.types.is_dictionary(each.type) else plain.field(each.name)
                    for each in schema
                ]
            )
        return plain if self.overlay is None else self.overlay.schema(plan, plain)

    def _finish(self, plans: list[TablePlan], tasks: list[_Task], rows: list[int]) -> list[Written]:
        if self._stop.is_set():
            raise SynthError("stopped")
        known = _Record(self.directory)
        whole = self.view.since is None and self.share.is_whole
        written = []
        for plan in plans:
            counted = zip(tasks, rows, strict=True)
            own = [(task, count) for task, count in counted if task.plan is plan]
            names = tuple(task.name for task, _ in own)
            sizes = [(self._hidden / name).stat().st_size for name in names]
            for name in names:
                portable.replace(self._hidden / name, self.directory / name)
            if whole:
                known.forget(plan.name, names)
            known.add(plan.name, names)
            began = min(self._times[name][0] for name in names)
            seconds = (max(self._times[name][1] for name in names) - began).total_seconds()
            total = sum(count for _, count in own)
            written.append(Written(plan.name, total, names, sum(sizes), began, seconds))
        known.save()
        return written


class _Record:
    """Which files of a directory were generated, so that a later run can replace them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / ".generated.json"
        try:
            self.files: dict[str, list[str]] = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.files = {}

    def forget(self, table: str, kept: tuple[str, ...]) -> None:
        """Remove what an earlier run wrote of a table, and this one did not."""
        for name in self.files.pop(table, []):
            if name not in kept and Path(name).name == name:
                (self.directory / name).unlink(missing_ok=True)

    def add(self, table: str, names: tuple[str, ...]) -> None:
        self.files[table] = sorted({*self.files.get(table, []), *names})

    def save(self) -> None:
        content = json.dumps(self.files, indent=1, sort_keys=True)
        portable.write_file(self.path, content)


def _first_failure(futures: "list[Future[int]]") -> None:
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()


def _compact(timestamp: int) -> str:
    return from_us(timestamp).strftime("%Y%m%dT%H%M%S")


def _fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    return batch if batch.schema.equals(schema) else batch.cast(schema)


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MB that were freed; does nothing where there is no glibc.

    glibc returns every array of 128 kB or more to the kernel as soon as it is freed, and the next
    one of the same size is filled with zeros again, page by page: a quarter of the time of
    generation.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return  # another C library, which has its own ways
    mallopt(_MMAP_THRESHOLD, _KEPT_BYTES // 2)
    mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
