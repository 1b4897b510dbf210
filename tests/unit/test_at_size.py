"""The simulation of large runs holds to its own laws, and its page shows what it prints."""

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.at_size import SETUPS, TB, Measured, Setup, estimate, makespan, table

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "at-size.md"
ALONE = Setup("one", 16, False, 128e9, 4e12)
CLUSTER = Setup("many", 128, True, 1e12, 1e12)


def test_no_schedule_is_shorter_than_its_work_or_its_longest_task() -> None:
    alone = makespan(1000.0, 100, 1, seed=1)
    assert alone == pytest.approx(1000.0, rel=0.2)  # the mean of the spread is 1
    for workers in (2, 10, 100):
        seconds = makespan(1000.0, 100, workers, seed=1)
        assert alone / workers <= seconds < alone
    assert makespan(1000.0, 100, 10, seed=1, spread=0.0) == pytest.approx(100.0)
    assert makespan(1000.0, 100, 500, seed=1, spread=0.0) == pytest.approx(10.0)


def test_lost_workers_take_longer() -> None:
    assert makespan(1000.0, 100, 10, seed=1, lost=0.05) > makespan(1000.0, 100, 10, seed=1)


def test_time_and_money_follow_from_size_and_figures() -> None:
    one, two = (estimate(size * TB, ALONE) for size in (0.1, 0.2))
    assert two.load == pytest.approx(2 * one.load)
    assert two.build == pytest.approx(2 * one.build)
    assert two.dollars > one.dollars
    # 1 TB, 200 CPU seconds for each GB, 16 cores
    assert estimate(TB, ALONE).build == pytest.approx(1000 * 200 / 16 / 3600)
    slower = estimate(TB, ALONE, measured=Measured(build=400.0))
    assert slower.build == pytest.approx(2 * estimate(TB, ALONE).build)
    more = estimate(TB, replace(CLUSTER, workers=256))
    assert more.build < estimate(TB, CLUSTER).build
    assert more.load == estimate(TB, CLUSTER).load  # one process, whatever the cluster


@pytest.mark.parametrize(
    ("size", "setup", "words"),
    [
        (1, ALONE, ""),
        (3, ALONE, "does not fit the disk"),
        (3, replace(ALONE, disk=100e12), "joins spill"),
        (100, CLUSTER, "the load"),
        (100, replace(CLUSTER, workers=2000, new=0.001), "publish"),
        (100, replace(CLUSTER, new=0.001), "a shuffle"),
    ],
)
def test_what_breaks_first_is_said(size: float, setup: Setup, words: str) -> None:
    found = estimate(size * TB, setup).breaks
    assert words in found
    assert bool(found) == bool(words)


def test_the_page_shows_the_table() -> None:
    shown = PAGE.read_text("utf-8").partition("<!-- output of benchmarks.at_size -->\n")[2]
    assert shown.partition("\n<!-- end of output -->")[0] == table()
    assert len(SETUPS) + 2 == len(table().splitlines())
