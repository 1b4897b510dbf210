"""Files are known by their content."""

import os
import time
from pathlib import Path

import pytest

from headrace.errors import SourceError
from headrace.ingest.discover import HashCache, changed_files, find_files


def test_a_touched_file_is_unchanged_and_an_edited_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    cache = HashCache(tmp_path / "cache.json")
    known = {file.name: file.digest for file in find_files(tmp_path, "*.csv", cache)}
    os.utime(path, (1, 1))
    assert changed_files(find_files(tmp_path, "*.csv", cache), known) == []
    path.write_text("id\n2\n")
    assert [f.name for f in changed_files(find_files(tmp_path, "*.csv", cache), known)] == ["a.csv"]


def test_an_edit_of_equal_size_right_after_hashing_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    stat = path.stat()
    cache = HashCache(tmp_path / "cache.json")
    before = cache.digest(path)
    path.write_text("id\n2\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert cache.digest(path) != before


def test_the_cache_saves_reading_an_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    old = time.time() - 60
    os.utime(path, (old, old))
    cache = HashCache(tmp_path / "cache.json")
    digest = cache.digest(path)
    cache.save()

    def never(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr("headrace.ingest.discover._hash", never)
    assert HashCache(tmp_path / "cache.json").digest(path) == digest


def test_a_broken_cache_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "cache.json").write_text("{broken")
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    assert HashCache(tmp_path / "cache.json").digest(path)[0] == path.stat().st_size


def test_formats_by_suffix(tmp_path: Path) -> None:
    for name in ("a.csv", "b.tsv", "c.parquet", "d.jsonl", "e.ndjson", "f.csv.gz", "g.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder.csv").mkdir()
    found = find_files(tmp_path, "*", HashCache(tmp_path / "cache.json"))
    assert {file.name: file.format for file in found} == {
        "a.csv": "csv",
        "b.tsv": "csv",
        "c.parquet": "parquet",
        "d.jsonl": "jsonl",
        "e.ndjson": "jsonl",
        "f.csv.gz": "csv",
    }


def test_a_missing_directory_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a directory"):
        find_files(tmp_path / "nowhere", "*", HashCache(tmp_path / "cache.json"))
