"""Time whole processes from outside, in alternated order."""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
_SAMPLE_SECONDS = 0.1
_KIB = 1024
_RUSAGE_UNIT = 1 if sys.platform == "darwin" else _KIB


@dataclass(frozen=True)
class Sample:
    """One timed run: a process, or several one after the other.

    Attributes:
        seconds: wall clock, from start to exit.
        cpu_seconds: user and system time.
        peak_bytes: the largest resident set: of the process as the kernel counted it, or of the
            process and its children together as they were sampled, whichever is more.
        inner_seconds: what the process itself said of its main step; None where it says nothing.
        stdout: what it printed.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    inner_seconds: float | None = None
    stdout: str = ""

    def then(self, other: "Sample") -> "Sample":
        """Both, one after the other."""
        return Sample(
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            max(self.peak_bytes, other.peak_bytes),
        )


@dataclass(frozen=True)
class Summary:
    """The medians of several runs; the peak is the largest.

    Attributes:
        runs: how many.
        seconds: median of the wall clock.
        fastest: the shortest.
        slowest: the longest.
        cpu_seconds: median.
        peak_bytes: maximum.
        inner_seconds: median of what the processes said themselves.
    """

    runs: int
    seconds: float
    fastest: float
    slowest: float
    cpu_seconds: float
    peak_bytes: int
    inner_seconds: float | None


class BenchmarkError(Exception):
    """A measured process failed, or its result is not what it should be."""


def python(*arguments: str | Path) -> list[str]:
    """A command line of this interpreter."""
    return [sys.executable, *(str(argument) for argument in arguments)]


def environment() -> dict[str, str]:
    """The variables of a measured process: this repository's code, and no telemetry."""
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "DO_NOT_TRACK": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }


def run_process(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> Sample:
    """Run a command to its end.

    The caller's own process should be small: until it calls ``exec``, a child counts as being
    as large as its parent.

    Args:
        command: the program and its arguments.
        env: variables to add to the environment.
        cwd: the folder that it runs in.

    Raises:
        BenchmarkError: it ended with an exit code other than 0.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        with _watch(process.pid) as watched:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        stdout = output.read().decode(errors="replace")
        if process.returncode != 0:
            said = errors.read().decode(errors="replace") + stdout
            raise BenchmarkError(f"{' '.join(command)}: exit {process.returncode}\n{said[-4000:]}")
    return Sample(
        seconds,
        usage.ru_utime + usage.ru_stime,
        max(watched.peak_bytes, usage.ru_maxrss * _RUSAGE_UNIT),
        stdout=stdout,
    )


class _Watched(threading.Thread):
    """Samples what a process and its children hold together."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self.done = threading.Event()
        self._process = psutil.Process(pid)

    def run(self) -> None:
        while not self.done.wait(_SAMPLE_SECONDS):
            try:
                family = [self._process, *self._process.children(recursive=True)]
            except psutil.Error:
                return
            resident = 0
            for member in family:
                with suppress(psutil.Error):  # it has ended since
                    resident += member.memory_info().rss
            self.peak_bytes = max(self.peak_bytes, resident)


@contextmanager
def _watch(pid: int) -> Iterator[_Watched]:
    thread = _Watched(pid)
    thread.start()
    try:
        yield thread
    finally:
        thread.done.set()
        thread.join()


def duckdb_alone(database: str | Path, sql: str, *settings: str) -> Sample:
    """Run SQL by DuckDB in a process of its own, with settings as ``memory_limit=2GB``."""
    return run_process(python(ROOT / "benchmarks" / "plain" / "sql.py", database, sql, *settings))


def alternate(
    contenders: Mapping[str, Callable[[int], Sample]], *, runs: int
) -> dict[str, list[Sample]]:
    """Run every contender ``runs`` times, in turn, every second round in reverse order.

    Args:
        contenders: by name; each is given the number of the round, from 0.
        runs: rounds.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for number in range(runs):
        names = list(contenders)
        for name in names if number % 2 == 0 else reversed(names):
            os.sync()  # what an earlier run left to be written is no part of this one
            sample = contenders[name](number)
            samples[name].append(sample)
            print(
                f"  {name} #{number + 1}: {sample.seconds:.2f} s, "
                f"{sample.peak_bytes / 1e6:,.0f} MB",
                file=sys.stderr,
                flush=True,
            )
    return samples


def summarize(samples: Sequence[Sample]) -> Summary:
    """The medians."""
    inner = [sample.inner_seconds for sample in samples if sample.inner_seconds is not None]
    return Summary(
        runs=len(samples),
        seconds=statistics.median(sample.seconds for sample in samples),
        fastest=min(sample.seconds for sample in samples),
        slowest=max(sample.seconds for sample in samples),
        cpu_seconds=statistics.median(sample.cpu_seconds for sample in samples),
        peak_bytes=max(sample.peak_bytes for sample in samples),
        inner_seconds=statistics.median(inner) if inner else None,
    )


def ratio(ours: Sequence[Sample], peer: Sequence[Sample]) -> float:
    """The median, over the rounds, of our time by the peer's in the same round."""
    return statistics.median(
        one.seconds / other.seconds for one, other in zip(ours, peer, strict=True)
    )


def inner_ratio(ours: Sequence[Sample], peer: Sequence[Sample]) -> float:
    """The same of what both processes measured inside, without their start and imports."""
    return statistics.median(
        (one.inner_seconds or 0.0) / (other.inner_seconds or 1.0)
        for one, other in zip(ours, peer, strict=True)
    )
