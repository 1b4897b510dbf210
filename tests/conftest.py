"""The tests of the machinery need its group of tools, which a user of the project does not have."""

import gc
import importlib.util
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cpu_seconds
from headrace import portable, process
from headrace.cli.options import STATE

_GROUP = ("hypothesis", "httpx", "jsonschema", "psutil")
_LOOKS = (
    "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "LINES", "NO_COLOR",
    "PY_COLORS", "TTY_COMPATIBLE", "TTY_INTERACTIVE",
)  # fmt: skip
"""By these a machine changes what rich, click and typer print."""


_OF_THE_SYSTEM = re.compile(r"\b(Windows|macOS|Linux|POSIX|root|checkout|handed over)\b")
"""Reasons to skip that no package can help: the system, the account, what is beside the clone."""


def pytest_addoption(parser: pytest.Parser) -> None:
    what = "append the ids of tests that are skipped for want of what can be installed"
    parser.addoption("--skips-to", metavar="FILE", help=what)
    what = "write the CPU seconds of the files that are run to tests/cpu_seconds.json"
    parser.addoption("--record-cpu", action="store_true", help=what)
    what = "add the CPU seconds of the files that are run to another file of the same form"
    parser.addoption("--cpu-to", metavar="FILE", help=what)


def pytest_configure(config: pytest.Config) -> None:
    missing = [name for name in _GROUP if importlib.util.find_spec(name) is None]
    if missing:
        raise pytest.UsageError(
            f"these tests need {', '.join(missing)}: uv run --all-groups pytest"
        )
    # a checkout that cannot be written to has no cache, and that is all
    config.addinivalue_line("filterwarnings", "ignore::pytest.PytestCacheWarning")
    _draw_the_same_examples_everywhere()
    for name in _LOOKS:
        os.environ.pop(name, None)
    for name in ("NO_PROXY", "no_proxy"):  # the tests' own servers are asked without a proxy
        others = [os.environ[name]] if os.environ.get(name) else []
        os.environ[name] = ",".join([*others, "localhost", "127.0.0.1"])
    # Where a shell forbids bytecode, each process that a test starts compiles dlt and dbt anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # started by a shell in the background, which children would inherit: no Ctrl-C reached them
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if config.option.skips_to:
        config.pluginmanager.register(_Skips(Path(config.option.skips_to)))
    if getattr(config, "workerinput", {}).get("measures_cpu"):
        config.pluginmanager.register(cpu_seconds.Recorder(None))
    elif config.option.cpu_to:
        path = Path(config.option.cpu_to).absolute()
        config.pluginmanager.register(cpu_seconds.Recorder(path, adds=True))
    elif config.option.record_cpu:
        config.pluginmanager.register(cpu_seconds.Recorder(cpu_seconds.RECORD))
    os.environ.pop("PYTEST_ADDOPTS", None)  # not for the pytest that a test starts


class _Skips:
    """Notes what is skipped, in each process; the names of files stand for all that is in them."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        if not _OF_THE_SYSTEM.search(reason):
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(f"{report.nodeid}\n")


def _draw_the_same_examples_everywhere() -> None:
    """Random ones, and a limit of time for each, would stop an innocent change now and then.

    To look for new cases: ``pytest --hypothesis-profile random --hypothesis-seed 0``.
    """
    from hypothesis import HealthCheck, settings

    patient = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("random", patient, derandomize=False)
    settings.register_profile("same", patient, derandomize=True)
    settings.load_profile("same")


def pytest_configure_node(node: Any) -> None:
    """A process that runs tests is told, as PYTEST_ADDOPTS does not reach it."""
    option = node.config.option
    node.workerinput["measures_cpu"] = option.record_cpu or bool(option.cpu_to)


def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: tests wait a third of their time, for servers and browsers."""
    return portable.cores() + 1


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> cpu_seconds.Shares | None:
    """Only for ``--dist loadfile``, which is this project's."""
    return cpu_seconds.Shares(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs, servers and copies are slow: ``-m "not slow"`` is an answer in two minutes."""
    for item in items:
        folder = item.path.relative_to(item.config.rootpath).parts[1]
        if folder in {"integration", "project", "template"}:
            item.add_marker(pytest.mark.slow)
    cpu_seconds.longest_first(items)


def pytest_collection_finish() -> None:
    """Nothing looks through thousands of tests for garbage, again and again."""
    gc.collect()
    gc.freeze()
    process.collect_rarely()


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    """What a whole command sets in the process that runs the tests is for none of the next ones."""
    on_ctrl_c, hook, raises = (
        signal.getsignal(signal.SIGINT),
        sys.unraisablehook,
        logging.raiseExceptions,
    )
    state = vars(STATE).copy()
    yield
    signal.signal(signal.SIGINT, on_ctrl_c)
    sys.unraisablehook, logging.raiseExceptions = hook, raises
    vars(STATE).update(state)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """No test begins just before midnight (UTC): on another day a build is made anew."""
    left_s = 86_400 - time.time() % 86_400
    if left_s < (10 if "unit" in item.path.parts else 120):
        time.sleep(left_s + 1)
