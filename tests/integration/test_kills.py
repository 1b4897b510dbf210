"""Kill -9 and Ctrl-C at any moment: what is published stays whole, and the next run converges.

``kill_harness`` makes the attempts in a process of its own. Each one kills a run at a random moment
of one step (by the clock, or at one of the step's file operations), looks at the published file,
runs again, and compares every table and mart with those of a clean run of the same input.
"""

import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

HARNESS = Path(__file__).with_name("kill_harness.py")
TIMEOUT_S = 3600
MANY = int(os.environ.get("HEADRACE_KILLS", "1"))
"""How often each step is killed: this many times ten; each night thirty."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="forks, and kills by POSIX signals"),
]

Attempts = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def seed() -> str:
    """What all moments follow from: ``HEADRACE_KILL_SEED=$RANDOM`` looks for new ones."""
    return os.environ.get("HEADRACE_KILL_SEED") or "headrace"


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory, seed: str) -> Attempts:
    """All attempts, by their group."""
    work = tmp_path_factory.mktemp("kills")
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")
    }
    # macOS would end a forked child at its first call into a framework
    environment["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"
    with (work / "stderr").open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, str(HARNESS), str(work), seed, str(10 * MANY)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stream,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=TIMEOUT_S)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
    errors = (work / "stderr").read_text(encoding="utf-8", errors="replace")
    assert process.returncode == 0, f"seed {seed}: {errors[-4000:]}"
    groups: Attempts = defaultdict(list)
    for attempt in json.loads(output):
        groups[attempt["group"]].append(attempt)
    return groups


@pytest.mark.parametrize(
    ("group", "least"),
    [
        pytest.param("load", 9, id="load of changed files"),
        pytest.param("build", 9, id="build"),
        pytest.param("publish", 9, id="publish"),
        pytest.param("first", 2, id="first load"),
        pytest.param("refresh", 2, id="full refresh"),
    ],
)
def test_after_kill_9_the_published_file_is_whole_and_the_next_run_converges(
    attempts: Attempts, seed: str, group: str, least: int
) -> None:
    made = attempts[group]
    shots, hits = (sum(attempt[key] for attempt in made) for key in ("shots", "hits"))

    assert problems(made) == "", f"HEADRACE_KILL_SEED={seed}"
    assert hits >= least * MANY, f"{hits} of {shots} kills hit the step, with seed {seed}"
    assert hits >= shots / 2, f"most kills came too late: {hits} of {shots}"


def test_after_ctrl_c_there_is_one_line_and_the_next_run_converges(
    attempts: Attempts, seed: str
) -> None:
    made = attempts["interrupt"]
    shots, hits = (sum(attempt[key] for attempt in made) for key in ("shots", "hits"))

    assert problems(made) == "", f"HEADRACE_KILL_SEED={seed}"
    assert shots >= 6
    assert hits >= shots / 2


def test_files_that_were_torn_are_made_anew(attempts: Attempts) -> None:
    assert problems(attempts["damage"]) == ""
    assert attempts["damage"]


def problems(made: list[dict[str, Any]]) -> str:
    """What went wrong, an attempt each."""
    return "\n".join(
        f"{attempt['name']}\n  " + "\n  ".join(attempt["problems"])
        for attempt in made
        if attempt["problems"]
    )
