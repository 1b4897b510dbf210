"""``kill -9`` of each command that writes: the same command a second time does its work.

``HEADRACE_KILL_SEED`` chooses other moments, ``HEADRACE_KILLS`` more of them for each command.
"""

import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab import ROOT, Lab, copy_project, fingerprint

SEED = os.environ.get("HEADRACE_KILL_SEED") or "headrace"
KILLS = int(os.environ.get("HEADRACE_KILLS", "1"))
COMMANDS = {
    "load": ("load", "--full-refresh"),
    "build": ("build",),
    "run": ("run",),
    "state": ("state", "--out", "{out}/state"),
    "docs": ("docs", "--out", "{out}/site"),
    "scaffold": ("scaffold", "jaffle_shop"),
    "query": ("query", "from marts.orders", "--out", "{out}/orders.csv"),
}


@dataclass(frozen=True)
class Built:
    """A folder with a project that ran once, and its data."""

    home: Path

    def copied(self, folder: Path) -> Lab:
        """A lab of its own."""
        shutil.copytree(self.home, folder, symlinks=True, dirs_exist_ok=True)
        lab = Lab(folder / "data", folder / "project")
        lab.say_it_was_built_here()
        return lab


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    home = tmp_path_factory.mktemp("built")
    root = copy_project(home / "project")
    shutil.copytree(ROOT / "data" / "schemas", root / "data" / "schemas")
    assert Lab(home / "data", root).run().status == "success"
    return Built(home)


def _killed_after(lab: Lab, seconds: float, words: list[str]) -> None:
    plain = {key: text for key, text in os.environ.items() if not key.startswith("HEADRACE_")}
    command = [sys.executable, "-m", "headrace", *words, "--set", f"data_dir={lab.data_dir}"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=lab.root, env=plain, stdout=quiet, stderr=quiet) as process:
        time.sleep(seconds)
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_does_its_work_the_second_time(
    built: Built, tmp_path: Path, name: str
) -> None:
    dice = random.Random(f"{SEED} {name}")
    for number in range(KILLS):
        folder = tmp_path / str(number)
        lab, out = built.copied(folder), folder / "out"
        out.mkdir()
        if name == "run":  # something to load, build and publish
            rows = lab.data_dir / "jaffle_shop" / "raw_orders.csv"
            with rows.open("a") as stream:
                stream.write("100,1,2018-04-10,placed\n")
        if name == "state":  # it takes what was published from here
            assert lab.command("run").returncode == 0
        words = [word.format(out=out) for word in COMMANDS[name]]
        before = fingerprint(lab.published)
        _killed_after(lab, dice.uniform(0.3, 4), words)
        if name != "run":
            assert fingerprint(lab.published) == before
        again = lab.command(*words)

        assert again.returncode == 0, f"HEADRACE_KILL_SEED={SEED}: {again.stdout}{again.stderr}"
        assert [path for path in folder.rglob("*.tmp") if path.is_file()] == []
        assert lab.query("select count(*) > 90 from marts.orders", path=lab.published) == [(True,)]
        leftovers = sorted(path.name for path in out.iterdir())
        assert len(leftovers) <= 1, leftovers
