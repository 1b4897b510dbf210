"""A run asks nothing of the machine: no home, no account, no time zone of a certain kind."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
from lab import ROOT, Lab, Rows, copy_project

_ZONE = """\
{{ config(materialized='table') }}
select
    current_setting('TimeZone') as zone,
    cast(timestamptz '2024-01-01 03:00:00+00' as date) as day,
    cast(cast('2024-07-01 03:00:00' as timestamptz) as varchar) as written
"""
_READS_ALL = "+dac_read_search"
"""The interpreter may be in the home of root."""


@contextmanager
def open_folder() -> Iterator[Path]:
    """One that every account may write to; pytest's own are for one alone."""
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A project with a model that would show the machine's time zone."""
    with open_folder() as folder:
        root = copy_project(folder / "project")
        (root / "dbt_project" / "models" / "intermediate" / "int_zone.sql").write_text(_ZONE)
        shutil.copytree(ROOT / "data" / "schemas", root / "data" / "schemas")
        yield root


@pytest.fixture
def data() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def marts(lab: Lab) -> Rows:
    return [
        row
        for mart in ("customers", "orders")
        for row in lab.query(f"from marts.{mart} order by all", path=lab.published)
    ]


@pytest.mark.parametrize("home", ["empty", "impossible", "unset, and no account"])
def test_a_run_is_the_same_without_a_home_and_in_another_time_zone(
    home: str, root: Path, done: Lab, data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "home"
    environment = {
        "PATH": os.environ["PATH"],
        "TZ": "America/New_York",
        "LANG": "C.UTF-8",
        "HEADRACE_DATA_DIR": str(data),
    }
    command = [sys.executable, "-m", "headrace", "run"]
    if home == "empty":
        folder.mkdir()
        environment["HOME"] = str(folder)
    elif home == "impossible":  # not even root can write below a file
        folder.touch()
        environment["HOME"] = str(folder / "below" / "a" / "file")
    elif sys.platform == "linux" and os.geteuid() == 0 and shutil.which("setpriv"):
        who = ["--reuid=54321", "--regid=54321", "--clear-groups"]
        who += [f"--inh-caps={_READS_ALL}", f"--ambient-caps={_READS_ALL}"]
        command = ["setpriv", *who, *command]
    if os.name == "nt":
        environment |= {name: os.environ[name] for name in ("SYSTEMROOT", "TEMP")}

    ran = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, encoding="utf-8",
        check=False, timeout=300,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    if home == "empty":
        assert list(folder.iterdir()) == []
    found = Lab(data, root)
    assert marts(found) == marts(done)
    zone = found.query("from intermediate.int_zone")
    assert zone == [("UTC", date(2024, 1, 1), "2024-07-01 03:00:00+00")]
