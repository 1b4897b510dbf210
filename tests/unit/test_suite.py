"""The suite keeps to its budget: what takes long is marked, and the sum is bounded.

Nothing is timed here: the tests read what ``pytest --record-cpu`` has measured.
"""

from collections import Counter
from pathlib import Path

import pytest

import cpu_seconds

SLOW_FOLDERS = ("tests/integration/", "tests/project/", "tests/template/")
"""Where the marker ``slow`` is set by conftest.py."""

QUICK_FILE_S = 8.0
"""For all tests of a file that are not marked ``slow``."""
QUICK_S = 180.0
"""For ``-m "not slow"``: a minute and a half on two cores."""
SLOW_FILE_S = 80.0
OWN_BUDGETS = {
    "tests/integration/test_kills.py": 130.0,
    "tests/integration/test_parity_of_targets.py": 190.0,
    "tests/integration/test_targets_without_a_copy.py": 100.0,
}
"""Files that may take more, as there is no cheaper way to show the same."""
SLOW_S = 2_300.0
"""1,900 before there were seven more engines, each of which is built, killed and compared."""

RECORD = cpu_seconds.read()


def seconds(kind: str) -> dict[str, float]:
    return {name: each[kind] for name, each in RECORD.items() if kind in each}


def test_what_takes_long_is_marked_slow() -> None:
    long = {name: took for name, took in seconds("quick").items() if took > QUICK_FILE_S}
    assert long == {}, "mark its longest tests with pytest.mark.slow, or the file by pytestmark"


def test_the_quick_tests_are_an_answer_in_two_minutes() -> None:
    assert sum(seconds("quick").values()) <= QUICK_S


def test_the_slow_tests_keep_to_their_budget() -> None:
    over = {
        name: took
        for name, took in seconds("slow").items()
        if took > OWN_BUDGETS.get(name, SLOW_FILE_S)
    }
    assert over == {}, "share a run or a project between its tests, or take it into this process"
    assert sum(seconds("slow").values()) <= SLOW_S


def test_every_slow_folder_is_marked() -> None:
    """The record agrees: nothing of these folders counts as quick."""
    assert [name for name in seconds("quick") if name.startswith(SLOW_FOLDERS)] == []


def test_the_longest_files_are_started_first() -> None:
    class Item:
        """As much of a test as is asked for."""

        def __init__(self, nodeid: str, *, slow: bool = False) -> None:
            self.nodeid, self._slow = nodeid, slow

        def get_closest_marker(self, name: str) -> object:
            return name if self._slow else None

    longest = max(RECORD, key=lambda name: sum(RECORD[name].values()))
    given = [
        Item("tests/unit/test_new.py::test_a"),
        Item("tests/integration/test_new.py::test_a", slow=True),
        Item(f"{longest}::test_b", slow=True),
        Item(f"{longest}::test_a", slow=True),
    ]
    cpu_seconds.longest_first(given)  # type: ignore[arg-type]
    names = [item.nodeid for item in given]
    assert names == [
        "tests/integration/test_new.py::test_a",
        f"{longest}::test_b",
        f"{longest}::test_a",
        "tests/unit/test_new.py::test_a",
    ], "within a file nothing changes; a slow file that nobody has measured may be the longest"


def test_what_is_measured_replaces_the_line_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "tests" / "cpu_seconds.json"
    record.parent.mkdir()
    (record.parent / "test_kept.py").touch()
    record.write_text('{"tests/test_kept.py": {"quick": 2.0}, "tests/test_gone.py": {"slow": 1.0}}')
    monkeypatch.setattr(cpu_seconds, "RECORD", record)
    measured = {
        "tests/test_new.py": Counter({"slow": 3.14, "quick": 0.2}),
        "tests/test_tiny.py": Counter({"quick": 0.1}),
    }
    cpu_seconds.write(measured, record)
    kept = {"tests/test_kept.py": {"quick": 2.0}}
    assert cpu_seconds.read(record) == kept | {"tests/test_new.py": {"quick": 0.2, "slow": 3.1}}
    (record.parent / "test_new.py").touch()
    cpu_seconds.write({"tests/test_new.py": Counter({"slow": 1.0})}, record, adds=True)
    assert cpu_seconds.read(record) == kept | {"tests/test_new.py": {"quick": 0.2, "slow": 4.1}}
    cpu_seconds.write(measured, other := tmp_path / "other.json", adds=True)
    assert cpu_seconds.read(other) == {"tests/test_new.py": {"quick": 0.2, "slow": 3.1}}


@pytest.mark.parametrize(
    ("nodeid", "share"),
    [
        ("tests/unit/a/test_b.py::test_c[x]", "tests/unit/a/test_b.py"),
        ("tests/integration/test_kills.py::test_a[load]", "tests/integration/test_kills.py"),
        *(
            (f"{name}::test_a[lake in S3]", f"{name}[lake in S3]")
            for name in (
                "tests/integration/test_parity_of_targets.py",
                "tests/integration/test_spark_and_sail.py",
                "tests/integration/test_target_contract.py",
                "tests/integration/test_targets_without_a_copy.py",
            )
        ),
        (
            "tests/integration/test_target_contract.py::test_a",
            "tests/integration/test_target_contract.py",
        ),
    ],
)
def test_a_share_is_a_file_or_what_it_has_of_one_target(nodeid: str, share: str) -> None:
    assert cpu_seconds.share_of(nodeid) == share
