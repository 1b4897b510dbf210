"""Which period a file's name speaks of, and which files are the newest snapshot."""

from pathlib import Path

import pytest

from headrace.errors import SourceError
from headrace.ingest.discover import SourceFile
from headrace.ingest.periods import newest_snapshot, period_of


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [
        ("orders_2024-01-02.csv", "2024-01-02", "2024-01-03"),
        ("20240102/orders.csv", "2024-01-02", "2024-01-03"),
        ("orders.2024.01.02.csv.gz", "2024-01-02", "2024-01-03"),
        ("orders_2024_01_02_part1.csv", "2024-01-02", "2024-01-03"),
        ("orders_20240102_0001.csv", "2024-01-02", "2024-01-03"),
        ("2024/orders_2024-01-02.csv", "2024-01-02", "2024-01-03"),
        ("2024/01/02/orders.csv", "2024-01-02", "2024-01-03"),
        ("year=2024/month=1/day=2/orders.csv", "2024-01-02", "2024-01-03"),
        ("dt=2024-01-02/orders.csv", "2024-01-02", "2024-01-03"),
        ("year=2024/month=12/orders.csv", "2024-12-01", "2025-01-01"),
        ("orders_202402.csv", "2024-02-01", "2024-03-01"),
        ("orders_2024.csv", "2024-01-01", "2025-01-01"),
        ("orders_2024-01-02T063000Z.csv", "2024-01-02T06:30:00", "2024-01-02T06:30:01"),
        ("orders_20240102_063000.csv", "2024-01-02T06:30:00", "2024-01-02T06:30:01"),
        ("orders_2024-01-01_2024-01-07.csv", "2024-01-01", "2024-01-08"),
    ],
)
def test_a_name_speaks_of_a_period(name: str, begin: str, end: str) -> None:
    period = period_of(name)
    assert period is not None
    found = [at.isoformat().replace("T00:00:00", "")[:-6] for at in (period.begin, period.end)]
    assert found == [begin, end]


@pytest.mark.parametrize(
    "name",
    [
        "orders.csv",
        "orders_12.csv",
        "orders_31-12-2024.csv",
        "orders_20249999.csv",
        "a1720240102.csv",
    ],
)
def test_a_name_without_a_date_speaks_of_none(name: str) -> None:
    assert period_of(name) is None


def newest(*names: str) -> list[str]:
    files, older = newest_snapshot([SourceFile(Path(name), name, 1, name) for name in names])
    assert len(files) + len(older) == len(names)
    return [file.name for file in files]


def test_the_newest_snapshot_is_that_of_the_last_date() -> None:
    assert newest("o_2023-12-31.csv", "o_2024-01-01.csv") == ["o_2024-01-01.csv"]
    assert newest("o_20240102_1.csv", "o_20240101_1.csv", "o_20240102_2.csv") == [
        "o_20240102_1.csv", "o_20240102_2.csv",
    ]  # fmt: skip
    assert newest("o_20240102_060000.csv", "o_20240102_180000.csv") == ["o_20240102_180000.csv"]
    assert newest("eu.csv", "us.csv") == ["eu.csv", "us.csv"]
    assert newest("o_31-12-2023.csv") == ["o_31-12-2023.csv"]
    assert newest() == []


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("o_01-02-2024.csv", "o_31-12-2023.csv"), "begins with the day or the month"),
        (("o.csv", "o_2023-12-31.csv"), "o.csv has no date in its name"),
    ],
)
def test_which_is_the_newest_is_not_guessed(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        newest(*names)
