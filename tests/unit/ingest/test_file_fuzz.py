"""Broken files: each is loaded with all of its rows accounted for, or refused in one line."""

import io
import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.errors import SourceError
from headrace.ingest.discover import HashCache, find_files
from headrace.ingest.model import FileChanges, FileTable
from headrace.ingest.stage import stage
from ingest_lab import connect, first_load
from workbook import workbook

pytestmark = pytest.mark.slow

TRIES = int(os.environ.get("HEADRACE_FUZZ", "40"))
"""Files of each format and key; more by ``HEADRACE_FUZZ=1000``, others by HEADRACE_FUZZ_SEED."""
SEED = os.environ.get("HEADRACE_FUZZ_SEED", "")

ROWS: list[dict[str, object]] = [
    {"id": 1, "name": 'say "hi", é', "amount": 1.5, "day": "2024-01-05"},
    {"id": 2, "name": None, "amount": 12345.25, "day": "2024-02-29"},
    {"id": 3, "name": "two\nlines", "amount": -0.25, "day": None},
    {"id": 4, "name": "ÿ007", "amount": None, "day": "31/12/2024"},
]
PIECES = [
    b'"', b'""', b"'", b",", b";", b"\t", b"|", b"\r\n", b"\r", b"\n", b"\n\n", b"\0",
    b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"{", b"}", b"[", b"]", b"null", b"NaN", b"1e999",
    b"-", b"\\", b"\\u", b"\\ud800",
    b'"id":', b"{}", b"[[[[", b"9" * 400, b" ", b"\xe2\x80\xa8", b"PAR1", b"id,id,ID,,\n",
]  # fmt: skip


def _csv() -> bytes:
    text = "id,name,amount,day\n"
    for row in ROWS:
        cells = ["" if value is None else str(value) for value in row.values()]
        text += ",".join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\n"
    return text.encode()


def _json_lines() -> bytes:
    return "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def _json_array() -> bytes:
    return json.dumps(ROWS, indent=1).encode()


def _parquet() -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), target)
    return target.getvalue()


def _excel() -> bytes:
    cells = [tuple(str(value or "") for value in row.values()) for row in ROWS]
    return workbook([tuple(ROWS[0]), *cells])


def _report() -> bytes:
    """Lines above the header, a total below, and letters that are not UTF-8."""
    return "Liste\n\nid;name;betrag\n1;é;1,5\n2;b;2,5\nTotal;;4\n".encode("cp1252")


def _zip() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", _csv())
        archive.writestr("b.json", _json_array())
    return target.getvalue()


def _broken(whole: bytes, dice: random.Random) -> bytes:
    """Some bytes cut, doubled, swapped, overwritten or put in."""
    content = bytearray(whole)
    for _ in range(dice.choice((1, 1, 2, 4))):
        at, to = sorted(dice.randrange(len(content) + 1) for _ in range(2))
        to = min(to, at + dice.choice((1, 3, 40)))
        match dice.randrange(6):
            case 0:
                del content[at:to]
            case 1:
                content[at:at] = content[at:to]
            case 2:
                content[at:to] = bytes(dice.randrange(256) for _ in range(to - at))
            case 3:
                del content[at:]
            case _:
                content[at:at] = dice.choice(PIECES)
        if not content:
            content += b"\n"
    return bytes(content)


@pytest.mark.parametrize("key", [(), ("id",)], ids=["without a key", "with a key"])
@pytest.mark.parametrize(
    ("suffix", "make"),
    [
        ("csv", _csv),
        ("jsonl", _json_lines),
        ("json", _json_array),
        ("parquet", _parquet),
        ("xlsx", _excel),
    ],
)
def test_a_broken_file_is_accounted_for_or_refused(
    tmp_path: Path, suffix: str, make: Callable[[], bytes], key: tuple[str, ...]
) -> None:
    dice = random.Random(f"{SEED}{suffix}{key}")
    whole, loaded = make(), 0
    for number in range(TRIES):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / f"t.{suffix}").write_bytes(_broken(whole, dice))
        loaded += _is_loaded(folder, FileTable("*", primary_key=key))

    assert loaded > 0


def _is_loaded(folder: Path, table: FileTable) -> bool:
    context = first_load(folder)
    found = find_files(folder, table.pattern, HashCache(context.cache_path))
    if not found.files:
        assert all("\n" not in words for words in found.unreadable)
        return False
    with connect() as connection:
        try:
            changes = FileChanges(found.files, found.files)
            staged = stage(connection, "t", table, changes, context, str.lower)
        except SourceError as error:
            message = str(error)
            assert "\n" not in message
            assert message.startswith("t."), message
            return False
        rows = connection.execute(f"select count(*) from ({staged.select})").fetchone()
    assert rows == (staged.rows_new,)
    aside = 0 if staged.quarantine is None else staged.quarantine.num_rows
    assert staged.rows_given == staged.rows_new + staged.rows_unchanged + staged.rows_quarantined
    assert staged.rows_quarantined == aside
    return True


@pytest.mark.parametrize(
    ("suffix", "make", "options"),
    [
        ("csv", _report, {}),
        ("csv", _report, {"skip": 2, "skip_footer": 1, "decimal": ","}),
        ("csv", _report, {"skip": 2, "decimal": ",", "columns": {"betrag": "double"}}),
        ("csv", _report, {"header": False}),
        ("csv", _report, {"names": ("a", "b", "c"), "encoding": "cp1252"}),
        ("csv", lambda: _csv().decode().encode("utf-16"), {}),
        ("csv", _csv, {"encoding": "utf-16"}),
        ("zip", _zip, {}),
    ],
)  # fmt: skip
def test_a_broken_file_that_is_written_in_another_way(
    tmp_path: Path, suffix: str, make: Callable[[], bytes], options: dict[str, Any]
) -> None:
    dice = random.Random(f"{SEED}{suffix}{sorted(options)}")
    for number in range(TRIES):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / f"t.{suffix}").write_bytes(_broken(make(), dice))
        _is_loaded(folder, FileTable("*", **options))
