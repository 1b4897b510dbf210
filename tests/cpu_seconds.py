"""What each file of tests costs: the longest are started first, and the suite keeps to a budget.

``pytest --record-cpu FILES`` writes the CPU seconds of these files, children included, to
``cpu_seconds.json``; ``unit/test_suite.py`` holds them to the budget. CPU and not wall time, since
that is nearer to the same on a busy machine; and CPU seconds of a reference machine, since the same
tests take twice as many on one that others share.
"""

import json
import math
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

RECORD = Path(__file__).with_suffix(".json")
_WORTH_A_LINE_S = 0.5
_REFERENCE_S = 0.0117
"""CPU seconds of `_spin` in the unit of the record: files that stay the same keep their number."""
_SPIN_EVERY_S = 20.0
elsewhere = 0.0
"""CPU seconds of commands that another process has started for the tests."""
_BEGAN = pytest.StashKey[float]()
_BY_TARGET = re.compile(
    r"(tests/integration/test_(?:parity_of_targets|spark_and_sail|target_contract|"
    r"targets_without_a_copy)\.py)::.*(\[.+\])"
)
"""Files whose tests share what is costly by target, and nothing beyond it."""


def read(path: Path = RECORD) -> dict[str, dict[str, float]]:
    """CPU seconds of each file's ``quick`` and ``slow`` tests, where they take any time."""
    found: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def longest_first(items: list[pytest.Item]) -> None:
    """Order the files of tests, in place; within a file nothing changes.

    Whoever shares files out must begin with the longest, or waits for one of them in the end. Slow
    files that are not in the record may be the longest.
    """
    recorded = {name: sum(seconds.values()) for name, seconds in read().items()}

    def cost(item: pytest.Item) -> float:
        unknown = math.inf if item.get_closest_marker("slow") else 0.0
        return recorded.get(_file(item.nodeid), unknown)

    items.sort(key=cost, reverse=True)


class Shares(LoadFileScheduling):  # type: ignore[misc]
    """Gives each process whole files, or of some files all tests of a target."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)


def share_of(nodeid: str) -> str:
    """The name of what a test is run together with, by one process."""
    found = _BY_TARGET.fullmatch(nodeid)
    return "".join(found.groups()) if found else _file(nodeid)


class Recorder:
    """Measures each test where it is run, and adds up where it is reported."""

    def __init__(self, path: Path | None, *, adds: bool = False) -> None:
        """Measure only, or write to a file of the record's form, to what it has or in its place."""
        self._path, self._adds = path, adds
        self._seconds: dict[str, Counter[str]] = {}
        self._speed, self._spun = 1.0, -math.inf

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if time.monotonic() - self._spun > _SPIN_EVERY_S:
            self._speed, self._spun = _REFERENCE_S / _spin(), time.monotonic()
        item.stash[_BEGAN] = _now()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: "pytest.CallInfo[None]"
    ) -> Iterator[None]:
        report: pytest.TestReport = yield  # type: ignore[assignment]
        if call.when == "teardown":
            took = (_now() - item.stash[_BEGAN]) * self._speed
            report.user_properties.append(("cpu_s", took))
        return report  # type: ignore[return-value]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            kind = "slow" if "slow" in report.keywords else "quick"
            took = dict(report.user_properties)["cpu_s"]
            assert isinstance(took, float)
            self._seconds.setdefault(_file(report.nodeid), Counter())[kind] += took  # type: ignore[assignment]

    def pytest_sessionfinish(self) -> None:
        if self._path is not None:
            write(self._seconds, self._path, adds=self._adds)


def write(measured: dict[str, Counter[str]], path: Path, *, adds: bool = False) -> None:
    """Write the lines of the files that were measured, and keep the others.

    Args:
        measured: CPU seconds by kind, by file.
        path: of the record.
        adds: to what the record has of a file, instead of replacing it: for a suite in two passes.
    """
    found = {
        name: seconds
        for name, seconds in (read(path) if path.exists() else {}).items()
        if (RECORD.parents[1] / name).is_file()
    }
    for name, seconds in measured.items():
        before = found.pop(name, {})
        both = seconds + Counter(before) if adds else seconds
        if sum(both.values()) >= _WORTH_A_LINE_S:
            found[name] = {kind: round(took, 1) for kind, took in sorted(both.items())}
    lines = (f"{json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found))
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _spin() -> float:
    """CPU seconds of a piece of work that is always the same."""
    began = time.process_time()
    total = 0
    for number in range(300_000):
        total += number * number
    return time.process_time() - began


def _now() -> float:
    """CPU seconds of this process, and of what it has started and what has ended."""
    return sum(os.times()[:4]) + elsewhere
