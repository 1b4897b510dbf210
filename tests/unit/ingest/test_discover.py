"""Files are known by their content."""

import errno
import gzip
import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from headrace.errors import SourceError
from headrace.ingest.discover import HashCache, SourceFile, changed_files, find_files


def test_a_touched_file_is_unchanged_and_an_edited_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    cache = HashCache(tmp_path / "cache.json")
    known = {file.name: file.digest for file in find_files(tmp_path, "*.csv", cache).files}
    os.utime(path, (1, 1))
    assert changed_files(find_files(tmp_path, "*.csv", cache).files, known) == []
    path.write_text("id\n2\n")
    assert [f.name for f in changed_files(find_files(tmp_path, "*.csv", cache).files, known)] == [
        "a.csv"
    ]


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
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr("headrace.ingest.discover.time.time_ns", lambda: later)
    cache = HashCache(tmp_path / "cache.json")
    digest = cache.digest(path)
    cache.save()

    def never(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr("headrace.ingest.discover.content_hash", never)
    assert HashCache(tmp_path / "cache.json").digest(path) == digest


def test_an_edit_that_keeps_size_and_time_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    stat = path.stat()
    later = time.time_ns() + 60_000_000_000
    monkeypatch.setattr("headrace.ingest.discover.time.time_ns", lambda: later)
    cache = HashCache(tmp_path / "cache.json")
    before = cache.digest(path)
    path.write_text("id\n2\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as cp -p and tar do
    assert cache.digest(path) != before

    other = tmp_path / "b.csv"
    other.write_text("id\n3\n")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    before = cache.digest(path)
    other.replace(path)
    assert cache.digest(path) != before


@pytest.mark.parametrize("entry", ["null", "3", '["a"]', "[1, 2]", "[5, 5, 5, 5, 5, 5]", "{}"])
def test_a_malformed_entry_of_the_cache_is_made_anew(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    (tmp_path / "cache.json").write_text(f"{{{json.dumps(str(path))}: {entry}}}")
    expected = HashCache(tmp_path / "none.json").digest(path)
    assert HashCache(tmp_path / "cache.json").digest(path) == expected


TEXT = b"id,v\n" + b"".join(b"%d,value %d\n" % (n, n * 7919 % 100_003) for n in range(20_000))


def packed(form: str, content: bytes) -> bytes:
    packed = pa.Codec("gzip" if form == "gz" else "zstd").compress(content)
    return bytes(packed.to_pybytes())


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_a_compressed_file_is_read_to_its_end(tmp_path: Path, form: str) -> None:
    whole = packed(form, TEXT)
    damaged = bytearray(whole)
    damaged[-6] ^= 0xFF  # in the checksum of gzip
    contents = {
        "whole": whole,
        "parts": packed(form, TEXT[:70_000]) + packed(form, TEXT[70_000:]),
        "short": whole[: len(whole) // 2],
        "garbage": whole + b"and more",
        "plain": TEXT,
        "nothing": b"",
    } | ({"damaged": bytes(damaged)} if form == "gz" else {})
    for name, content in contents.items():
        (tmp_path / f"{name}.csv.{form}").write_bytes(content)
    found = find_files(tmp_path, "*", HashCache(tmp_path / "cache.json"))

    assert [file.name for file in found.files] == [
        f"{name}.csv.{form}" for name in ("nothing", "parts", "whole")
    ]
    assert found.files[2].digest == xxhash.xxh3_128(whole).hexdigest()
    told = {line.partition(".")[0]: line for line in found.unreadable}
    assert told.keys() == contents.keys() - {"nothing", "parts", "whole"}
    assert told["short"] == (
        f"short.csv.{form} cannot be read: it ends before the compressed data do; "
        "copy or export it again"
    )


def test_a_parquet_file_that_was_cut_short_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": list(range(1000))}), tmp_path / "good.parquet")
    content = (tmp_path / "good.parquet").read_bytes()
    (tmp_path / "short.parquet").write_bytes(content[:-100])
    found = find_files(tmp_path, "*", HashCache(tmp_path / "cache.json"))
    assert [file.name for file in found.files] == ["good.parquet"]
    assert "short.parquet cannot be read: it has no footer" in found.unreadable[0]


def test_what_cannot_be_opened_is_told_by_name_and_blocks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good.csv").write_text("id\n1\n")
    (tmp_path / "secret.csv").write_text("id\n1\n")
    (tmp_path / "dangling.csv").symlink_to("nowhere.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "linked.csv").symlink_to("good.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket.csv")
    with suppress(OSError):  # some file systems take no such name
        Path(os.fsdecode(b"\xff.csv")).write_text("id\n1\n")
    is_there = Path(os.fsdecode(b"\xff.csv")).exists()
    opened = Path.open

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "secret.csv":
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    found = find_files(tmp_path, "*", HashCache(tmp_path / "cache.json"))
    listener.close()

    assert [file.name for file in found.files] == ["good.csv", "linked.csv"]
    assert found.unreadable == (
        "dangling.csv is a link to nowhere.csv, which does not exist: correct or remove it",
        "loop.csv cannot be read: Too many levels of symbolic links",
        "pipe.csv is a pipe, socket or device: remove it",
        "secret.csv cannot be read: Permission denied",
        "socket.csv is a pipe, socket or device: remove it",
        *(["\\xff.csv has a name that is not UTF-8: rename it"] if is_there else []),
    )


def test_partitions_of_a_path(tmp_path: Path) -> None:
    file = SourceFile(
        tmp_path, "year=2024/city=S%C3%A3o%20Paulo/x/day=__HIVE_DEFAULT_PARTITION__/a=b.csv", 1, ""
    )
    assert file.partitions == {"year": "2024", "city": "São Paulo", "day": None}


def test_a_broken_cache_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "cache.json").write_text("{broken")
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    assert HashCache(tmp_path / "cache.json").digest(path)[0] == path.stat().st_size


def test_formats_by_suffix(tmp_path: Path) -> None:
    for name in ("a.csv", "b.tsv", "d.jsonl", "e.ndjson", "g.txt", "h.json"):
        (tmp_path / name).write_text("x")
    (tmp_path / "c.parquet").write_bytes(b"PAR1")
    (tmp_path / "f.csv.gz").write_bytes(gzip.compress(b"x"))
    (tmp_path / "folder.csv").mkdir()
    found = find_files(tmp_path, "*", HashCache(tmp_path / "cache.json"))
    assert {file.name: file.format for file in found.files} == {
        "a.csv": "csv",
        "b.tsv": "csv",
        "c.parquet": "parquet",
        "d.jsonl": "jsonl",
        "e.ndjson": "jsonl",
        "f.csv.gz": "csv",
        "h.json": "json",
    }
    assert found.ignored == ("folder.csv/", "g.txt")


def test_a_missing_directory_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a directory"):
        find_files(tmp_path / "nowhere", "*", HashCache(tmp_path / "cache.json"))
