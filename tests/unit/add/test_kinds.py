"""A name for a file that a pattern finds."""

from pathlib import Path

import pytest

from headrace.add.kinds import sample_file


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("orders*.csv", "orders1.csv"),
        ("orders.csv", "orders.csv"),
        ("orders*", "orders1.csv"),
        ("./orders_????.tsv", "orders_1111.tsv"),
        ("[ab]*.jsonl", "a1.jsonl"),
        ("**/*.parquet", "1/1.parquet"),
        ("events/**/*.parquet", "events/1/1.parquet"),
        ("Orders (new) *.csv", ""),
        ("../*.csv", ""),
        ("/data/*.csv", ""),
        ("[!a]*.csv", ""),
        ("orders*.csv.gz", ""),
        ("*.xlsx", ""),
        ("größe*.csv", ""),
    ],
)
def test_a_file_that_the_pattern_finds(pattern: str, name: str, tmp_path: Path) -> None:
    assert sample_file(pattern) == name
    if name:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        assert list(tmp_path.glob(pattern)) == [path]
