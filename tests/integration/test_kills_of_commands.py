"""``kill -9`` of each command that writes: the same command a second time does its work.

``HEADRACE_KILL_SEED`` chooses other moments, ``HEADRACE_KILLS`` more of them for each command.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab import ROOT, Lab, Shop, copy_project, fingerprint

from headrace.ingest.periods import Backfill
from headrace.pipeline.run import run

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
    "publish": ("publish",),
    "add source": (
        "add", "source", "bikes", "--kind", "files", "--path", "{out}/../rides",
        "--pattern", "rides=*.csv", "--primary-key", "id",
    ),
    "export openlineage": ("export", "openlineage", "--out", "{out}/events.jsonl"),
    "export datahub": ("export", "datahub", "--out", "{out}/proposals.json"),
    "generate": ("generate", "data/schemas/jaffle_shop.yml", "--out", "{out}/generated"),
    "learn": (
        "learn", "{out}/../rides/rides.csv", "--out", "{out}/learned.yml",
        "--overwrite",
    ),
}  # fmt: skip
TAKE_NO_SETTINGS = ("generate", "learn")
PUBLISHES = ("run", "publish")


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


NEED = {"export openlineage": "openlineage", "export datahub": "datahub"}


def _command(lab: Lab, words: list[str]) -> "subprocess.Popen[str]":
    plain = {key: text for key, text in os.environ.items() if not key.startswith("HEADRACE_")}
    flags = [] if words[0] in TAKE_NO_SETTINGS else ["--set", f"data_dir={lab.data_dir}"]
    return subprocess.Popen(
        [sys.executable, "-m", "headrace", *words, *flags],
        cwd=lab.root, env=plain, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def _prepare(name: str, lab: Lab, folder: Path) -> None:
    """Give the command something to do."""
    (folder / "out").mkdir()
    (folder / "rides").mkdir()
    (folder / "rides" / "rides.csv").write_text("id,km\n" + "1,2\n2,3\n")
    if name in PUBLISHES:
        with (lab.data_dir / "jaffle_shop" / "raw_orders.csv").open("a") as stream:
            stream.write("100,1,2018-04-10,placed\n")
    if name == "publish":
        assert lab.run("load", "build").status == "success"
    if name == "state":  # it takes what was published from here
        assert lab.command("run").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_does_its_work_the_second_time(
    built: Built, tmp_path: Path, name: str
) -> None:
    if name in NEED:
        pytest.importorskip(NEED[name], reason=f"uv sync --extra {NEED[name]}")
    dice = random.Random(f"{SEED} {name}")
    for number in range(KILLS):
        folder = tmp_path / str(number)
        lab, out = built.copied(folder), folder / "out"
        _prepare(name, lab, folder)
        words = [word.format(out=out) for word in COMMANDS[name]]
        before = fingerprint(lab.published)
        with _command(lab, words) as process:
            time.sleep(dice.uniform(0.3, 4))
            process.kill()
        if name not in PUBLISHES:
            assert fingerprint(lab.published) == before
        for file in out.glob("[!.]*.json*"):  # it is there whole, or not at all
            text = file.read_text()
            for document in [text] if file.suffix == ".json" else text.splitlines():
                json.loads(document)
        with _command(lab, words) as again:
            said, _ = again.communicate(timeout=600)

        assert again.returncode == 0, f"HEADRACE_KILL_SEED={SEED}: {said}"
        assert [path for path in folder.rglob("*.tmp") if path.is_file()] == []
        orders = "select count(*) from marts.orders"
        assert lab.query(orders, path=lab.published) == [(100 if name in PUBLISHES else 99,)]
        leftovers = sorted(path.name for path in out.iterdir())
        assert len(leftovers) <= 1, leftovers
        if name == "add source":
            assert lab.query("select count(*) from bikes_raw.rides") == [(2,)]
            assert list(lab.root.glob("dbt_project/models/staging/bikes/*.sql"))


WRITES = {  # by table: its settings, what is given first, what then, and what comes of it
    "snapshot": (
        "primary_key: [id], write: snapshot",
        ({"1": "old", "2": "old"}, {"2": "new", "3": "new"}),
        [(2, "new"), (3, "new")],
    ),
    "append": (
        "write: append",
        ({"1": "old", "2": "old"}, {"2": "new", "3": "new"}),
        [(1, "old"), (2, "new"), (2, "old"), (3, "new")],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WRITES, "backfill"])
def test_a_killed_load_leaves_the_old_or_the_new_rows(shop: Shop, name: str) -> None:
    settings, contents, after = WRITES[name if name in WRITES else "append"]
    lab = shop.lab_with(f"{{rows: {{pattern: '*.csv', {settings}}}}}")

    def write(day: int) -> None:
        lines = "".join(f"{key},{value}\n" for key, value in contents[day].items())
        shop.write(f"rows_2024-01-0{day + 1}.csv", f"id,v\n{lines}")

    everything = "select id, v from store_raw.rows order by all"
    write(0)
    lab.load()
    before = lab.query(everything)
    words = ["load"]
    write(1)
    if name == "backfill":
        lab.load()
        before = after
        words += ["--table", "store.rows", "--since", "2024-01-02"]
    dice = random.Random(f"{SEED} {name}")
    for _ in range(KILLS):
        with _command(
            lab, [*words, *(word for flag in lab.flags for word in ("--set", flag))]
        ) as process:
            time.sleep(dice.uniform(0.5, 4))
            process.kill()
        assert lab.query(everything) in (before, after), f"HEADRACE_KILL_SEED={SEED}"
        report = run(
            lab.resolved,
            steps=("load",),
            tables=("store.rows",),
            backfill=Backfill("2024-01-02") if name == "backfill" else None,
        )
        assert report.status == "success"
        assert lab.query(everything) == after
