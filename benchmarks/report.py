"""A benchmark's result: one Markdown table, and the same as JSON."""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import ROOT, Sample, Summary, summarize

_PACKAGES = ("duckdb", "dlt", "dbt-core", "dbt-duckdb", "pyarrow")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        case: what was done, for example ``Parquet, 10 M rows``.
        who: who did it.
        summary: the medians.
        ratio: Headrace's time by this one's, median over the pairs; None for Headrace itself.
        promise: the most that the ratio may be; None where nothing is promised.
        inner_ratio: the same as ``ratio`` of what was measured inside the processes.
    """

    case: str
    who: str
    summary: Summary
    ratio: float | None = None
    promise: float | None = None
    inner_ratio: float | None = None


@dataclass
class Report:
    """All lines of one benchmark.

    Attributes:
        name: the module's.
        title: the table's heading.
        rows: in the order in which they are shown.
        inner: the heading of the column of ``inner_seconds``; no such column without one.
        facts: what else was measured or set.
    """

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    inner: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def add(
        self,
        case: str,
        who: str,
        samples: Sequence[Sample],
        *,
        ratio: float | None = None,
        promise: float | None = None,
        inner_ratio: float | None = None,
    ) -> None:
        """Add a line."""
        self.rows.append(Row(case, who, summarize(samples), ratio, promise, inner_ratio))

    def markdown(self) -> str:
        """The heading, the table, and under it how and where it was made."""
        inner = [self.inner] if self.inner else []
        head = ["case", "who", "seconds", *inner, "range", "CPU s", "peak MB", "Headrace / it"]
        has_inner_ratio = any(row.inner_ratio is not None for row in self.rows)
        if has_inner_ratio:
            head.append("inside")
        lines = [
            f"### {self.title}",
            "",
            f"| {' | '.join(head)} |",
            f"|---|---|{'---:|' * (len(head) - 2)}",
        ]
        last = ""
        for row in self.rows:
            summary = row.summary
            cells = [row.case if row.case != last else "", row.who, f"{summary.seconds:.2f}"]
            last = row.case
            if self.inner:
                cells.append(
                    "" if summary.inner_seconds is None else f"{summary.inner_seconds:.2f}"
                )
            cells += [
                f"{summary.fastest:.2f} to {summary.slowest:.2f}",
                f"{summary.cpu_seconds:.2f}",
                f"{summary.peak_bytes / 1e6:,.0f}",
                _verdict(row),
            ]
            if has_inner_ratio:
                cells.append("" if row.inner_ratio is None else f"{row.inner_ratio:.2f}")
            lines.append(f"| {' | '.join(cells)} |")
        runs = sorted({row.summary.runs for row in self.rows})
        facts = "; ".join(f"{key}: {value}" for key, value in self.facts.items())
        note = (
            f"{'/'.join(map(str, runs))} rounds, whole processes, contenders in turn; seconds and "
            f"ratios are medians, peaks maxima. {machine()}.{f' {facts}.' if facts else ''} "
            f"Measured on {datetime.now(UTC):%Y-%m-%d} at commit {commit()} by `{command()}`."
        )
        return "\n".join([*lines, "", note])

    def finish(self, out: Path | None) -> None:
        """Print the table; write it as JSON, and the table beside it, to ``out``."""
        print(self.markdown(), flush=True)
        if out is None:
            return
        out.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "name": self.name,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "commit": commit(),
            "command": command(),
            "facts": self.facts,
            "rows": [asdict(row) for row in self.rows],
        }
        out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        out.with_suffix(".md").write_text(self.markdown() + "\n", encoding="utf-8")


def _verdict(row: Row) -> str:
    if row.ratio is None:
        return ""
    if row.promise is None:
        return f"{row.ratio:.2f}"
    kept = "kept" if row.ratio <= row.promise else "**missed**"
    return f"{row.ratio:.2f} (promise: at most {row.promise:g}; {kept})"


def commit() -> str:
    """The commit that is measured, with ``, changed`` where files differ from it."""

    def git(*words: str) -> str:
        found = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return found.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (", changed" if changed else "")


def command() -> str:
    """The command that measures, to be run again; without where it writes."""
    words = [word for word in sys.orig_argv[1:] if not word.startswith(("--out=", "--work-dir="))]
    for option in ("--out", "--work-dir"):
        if option in words:
            at = words.index(option)
            del words[at : at + 2]
    return shlex.join(["python", *words])


def machine() -> str:
    """Cores, memory, system, and the versions of what was measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().total / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{cores} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {packages}"
    )


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    found = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--runs", type=int, default=5, help="rounds of each case")
    found.add_argument("--out", type=Path, help="write the result as JSON to this file")
    found.add_argument(
        "--work-dir",
        type=Path,
        help="keep generated data here for the next time; by default a folder that is removed",
    )
    return found


@contextmanager
def work_dir(given: Path | None) -> Iterator[Path]:
    """The folder to work in; a temporary one where none is given."""
    if given is not None:
        given = given.resolve()
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        yield Path(folder)
