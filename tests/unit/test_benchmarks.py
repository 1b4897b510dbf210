"""Benchmarks run in small: what they measure is there."""

from pathlib import Path

import pytest
from benchmarks import profile
from benchmarks.detection import measure


@pytest.mark.slow
def test_detection_and_load_are_measured_side_by_side(tmp_path: Path) -> None:
    report = measure(tmp_path, rows=200, runs=1)
    assert [(row.case.partition(", ")[2], row.who) for row in report.rows] == [
        ("commas", "detection"),
        ("commas", "headrace load"),
        ("semicolons", "detection"),
        ("semicolons", "headrace load"),
    ]
    assert all(row.ratio is not None for row in report.rows[::2])
    assert "promise: at most 0.05" in report.markdown()


@pytest.mark.slow
def test_a_profile_is_measured_beside_summarize(tmp_path: Path) -> None:
    report = profile.measure(tmp_path, sizes=[2000], runs=1)
    assert [row.who for row in report.rows[:2]] == ["headrace profile", "SUMMARIZE"]
    assert "promise: at most 3" in report.markdown()
