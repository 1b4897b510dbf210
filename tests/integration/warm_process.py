"""``python -m MODULE`` in a process of its own, forked from one that has imported dlt and dbt.

An interpreter takes four CPU seconds to import them, and most commands take less than that for
their work. A command that starts here has its own arguments, folder, environment, output and exit
code. What it is told by variables that Python itself reads makes it a new interpreter after all.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

_TESTS = Path(__file__).parents[1]
if str(_TESTS) not in sys.path:  # a program of its own, or imported by one
    sys.path.append(str(_TESTS))

import cpu_seconds  # noqa: E402

_READ_AT_START = ("PYTHON", "LANG", "LC_", "HOME", "TZ", "LD_")
PYTEST_HERE = {"PYTEST_ADDOPTS": "-n 0 -W ignore::pytest.PytestAssertRewriteWarning"}
"""For pytest in a process that has imported some of its plugins."""
_server: "subprocess.Popen[str] | None" = None
_one_at_a_time = threading.Lock()


def run_module(
    module: str, words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float = 600
) -> "subprocess.CompletedProcess[str]":
    """What ``python -m MODULE WORDS`` gives in a folder, with no other variables than these."""
    command = [sys.executable, "-m", module, *words]
    if sys.platform != "linux" or _early(env) != _early(os.environ):
        return subprocess.run(
            command, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, encoding="utf-8", check=False, timeout=timeout,
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, _one_at_a_time:
        said = [Path(folder, name) for name in ("out", "err")]
        request = {
            "module": module, "words": list(words), "cwd": str(cwd), "env": dict(env),
            "said": [str(path) for path in said], "timeout": timeout,
        }  # fmt: skip
        code = _ask(request)
        out, err = (path.read_text(encoding="utf-8") for path in said)
    return subprocess.CompletedProcess(command, code, out, err)


def as_started(env: Mapping[str, str]) -> dict[str, str]:
    """Variables for a command that need not be a new interpreter; Python's own are as they are."""
    others = {name: text for name, text in env.items() if not name.startswith(_READ_AT_START)}
    return others | _early(os.environ)


def _early(env: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in env.items() if name.startswith(_READ_AT_START)}


def _ask(request: Mapping[str, object]) -> int:
    global _server  # noqa: PLW0603 - one for each process of the tests
    if _server is None or _server.poll() is not None:
        _server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        atexit.register(_server.communicate)
    assert _server.stdin is not None
    assert _server.stdout is not None
    _server.stdin.write(json.dumps(request) + "\n")
    _server.stdin.flush()
    answer = _server.stdout.readline()
    assert answer, "the process that forks commands has ended"
    code, cpu_s = answer.split()
    cpu_seconds.elsewhere += float(cpu_s)
    return int(code)


def import_all() -> None:
    """Import what a run needs, and let Jinja keep what it parses; starts no thread."""
    import dbt.adapters.duckdb
    import dbt.task.build
    import dbt.task.docs.generate
    import dbt.task.freshness
    import dlt.destinations.impl.duckdb.duck
    import dlt.destinations.impl.duckdb.factory
    import dlt.sources.helpers.requests
    import pyarrow
    import sqlalchemy.dialects.sqlite
    from dbt_common.tests import enable_test_caching

    import headrace.catalog.build
    import headrace.cli.main
    import headrace.cli.render_run
    import headrace.lineage.columns
    import headrace.pipeline.run

    del dbt, dlt, pyarrow, sqlalchemy, headrace
    with suppress(ImportError):
        import pandas  # DuckDB imports it where an extra has brought it

        del pandas
    enable_test_caching()


def freeze() -> None:
    """Make ready to fork."""
    if threading.active_count() > 1:
        raise RuntimeError(f"a parent with threads must not fork: {threading.enumerate()}")
    gc.collect()
    gc.freeze()


def _serve() -> None:
    """Fork a child for each line of stdin, wait for it, and answer with its exit code."""
    answers = os.dup(1)
    import_all()
    freeze()
    for line in sys.stdin:
        request = json.loads(line)
        if request["module"] == "dbt.cli.main":
            _make_schemas()
        pid = os.fork()
        if pid == 0:
            os.close(answers)
            _become(request)
        code, cpu_s = _wait(pid, request["timeout"])
        os.write(answers, f"{code} {cpu_s}\n".encode())


@cache
def _make_schemas() -> None:
    """For each command dbt makes JSON schemas of its settings: a second of CPU time."""
    from dbt.adapters.duckdb.credentials import DuckDBCredentials
    from dbt.artifacts.resources.v1.config import NodeConfig
    from dbt.contracts.graph.nodes import SqlNode
    from dbt.contracts.project import Configuration, PackageConfig, Project, ProjectFlags

    for kind in (
        Configuration, DuckDBCredentials, NodeConfig, PackageConfig, Project, ProjectFlags, SqlNode,
    ):  # fmt: skip
        kind.json_schema()


def _wait(pid: int, timeout: float) -> tuple[int, float]:
    """Exit code and CPU seconds."""
    ends = time.monotonic() + timeout
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        if time.monotonic() > ends:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _become(request: dict[str, object]) -> None:
    """Be the command; does not return."""
    code = 1
    try:
        _take_over(request)
        code = _run(str(request["module"]))
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(code)


def _take_over(request: dict[str, object]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    module, words, said, env = (request[name] for name in ("module", "words", "said", "env"))
    assert isinstance(words, list)
    assert isinstance(said, list)
    assert isinstance(env, dict)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(env)
    created = os.O_WRONLY | os.O_CREAT
    opened = [os.open(os.devnull, os.O_RDONLY), *(os.open(path, created, 0o600) for path in said)]
    for number, descriptor in enumerate(opened):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = [str(module), *words]
    ours = (str(_TESTS), str(Path(__file__).parent))
    sys.path[:] = [os.getcwd(), *(path for path in sys.path if path not in ours)]  # noqa: PTH109


def _run(module: str) -> int:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        sys.stderr.write(f"{end.code}\n")
        return 1
    return 0


if __name__ == "__main__":
    _serve()
