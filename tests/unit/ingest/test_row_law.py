"""Rows in = rows loaded + rows in quarantine, for each format and each way a row can be bad.

The files are made of rows whose number is known, each with a token of its own: so it is also seen
that none is lost, none is loaded twice, and each is where it should be. Files that are broken byte
by byte are tried by ``test_file_fuzz``.
"""

import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.ingest.discover import HashCache, find_files
from headrace.ingest.model import FileChanges, FileTable
from headrace.ingest.stage import stage
from ingest_lab import connect, first_load
from workbook import workbook

EXAMPLES = int(os.environ.get("HEADRACE_FUZZ", "5"))
"""Files of each format and key; more by ``HEADRACE_FUZZ=1000``."""
_SOUND = 12  # rows at the beginning: a file of which most rows are bad is refused
_BLANK = "blank"
_GOOD = "good"


@dataclass(frozen=True)
class Row:
    """A row to write.

    Attributes:
        kind: what is wrong with it.
        number: its key.
        note: a text with its token.
    """

    kind: str
    number: int
    note: str


def _whole(row: Row) -> dict[str, Any]:
    """A row that every format can hold."""
    key: int | None = {"null_key": None, "duplicate": 1}.get(row.kind, row.number)
    amount = "x" if row.kind == "misfit" else str(row.number)
    return {"id": key, "amount": amount, "note": row.note}


def _csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "amount", "note"])
    for row in rows:
        match row.kind:
            case "blank":
                text.write("\n")
            case "short":
                writer.writerow([row.note])
            case "long":
                writer.writerow([row.number, row.number, row.note, "more"])
            case "open_quote":
                text.write(f'{row.number},{row.number},"{row.note}\n')
            case "quote_within":
                text.write(f'{row.number},"1"2,{row.note}\n')
            case "nul":
                text.write(f"{row.number},{row.number},{row.note}\0\n")
            case _:
                writer.writerow(_whole(row).values())
    return text.getvalue().encode()


def _json_value(row: Row) -> str:
    match row.kind:
        case "list":
            return json.dumps([row.note])
        case "text":
            return json.dumps(row.note)
        case "twice":
            return f'{{"id": {row.number}, "id": 0, "note": {json.dumps(row.note)}}}'
        case _:
            return json.dumps(_whole(row))


def _json_lines(rows: Sequence[Row]) -> bytes:
    lines = []
    for row in rows:
        match row.kind:
            case "blank":
                lines.append("")
            case "not_json":
                lines.append(f'{{"id": {row.number}, "note": {json.dumps(row.note)}')
            case _:
                lines.append(_json_value(row))
    return "".join(f"{line}\n" for line in lines).encode()


def _json_array(rows: Sequence[Row]) -> bytes:
    return f"[{','.join(_json_value(row) for row in rows)}]".encode()


def _excel(rows: Sequence[Row]) -> bytes:
    cells = [() if row.kind == _BLANK else tuple(_whole(row).values()) for row in rows]
    return workbook([("id", "amount", "note"), *cells])


def _parquet(rows: Sequence[Row]) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([_whole(row) for row in rows]), target)
    return target.getvalue()


_EVERYWHERE = ("good", "misfit", "null_key", "duplicate")
_OF_CSV = (_BLANK, "short", "long", "open_quote", "quote_within", "nul")
_OF_JSON = ("list", "text", "twice")
FORMATS: dict[str, tuple[Callable[[Sequence[Row]], bytes], tuple[str, ...]]] = {
    "csv": (_csv, (*_EVERYWHERE, *_OF_CSV)),
    "jsonl": (_json_lines, (*_EVERYWHERE, *_OF_JSON, _BLANK, "not_json")),
    "json": (_json_array, (*_EVERYWHERE, *_OF_JSON)),
    "xlsx": (_excel, (*_EVERYWHERE, _BLANK)),
    "parquet": (_parquet, _EVERYWHERE),
}
_LOADED = {"good", "nul"}
_LOADED_WITHOUT_KEY = _LOADED | {"null_key", "duplicate"}


@pytest.mark.parametrize("key", [(), ("id",)], ids=["without a key", "with a key"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_row_is_loaded_or_in_quarantine(suffix: str, key: tuple[str, ...]) -> None:
    make, kinds = FORMATS[suffix]
    notes = st.sampled_from(["", "a,b", "é", ' "quoted" ', "two\nlines", "N/A", "[1]", "; x"])

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(kinds), notes), max_size=_SOUND - 2))
    def holds(given_rows: list[tuple[str, str]]) -> None:
        rows = [Row(_GOOD, number, f"t{number}t") for number in range(1, _SOUND + 1)]
        rows += [
            # a note that spans lines or has quotes would be another row's once a quote is open
            Row(kind, number, f"t{number}t{'' if kind in _OF_CSV else note}")
            for number, (kind, note) in enumerate(given_rows, start=_SOUND + 1)
        ]
        if any(row.kind == "open_quote" for row in rows):
            rows = [Row(row.kind, row.number, row.note.partition("\n")[0]) for row in rows]
        _check(suffix, make(rows), [row for row in rows if row.kind != _BLANK], key)

    holds()


def _check(suffix: str, content: bytes, rows: list[Row], key: tuple[str, ...]) -> None:
    loaded_kinds = _LOADED if key else _LOADED_WITHOUT_KEY
    with tempfile.TemporaryDirectory() as name, connect() as connection:
        folder = Path(name)
        (folder / f"t.{suffix}").write_bytes(content)
        context = first_load(folder)
        found = find_files(folder, "t.*", HashCache(context.cache_path))
        assert not found.unreadable
        table = FileTable("t.*", primary_key=key, columns={"amount": "bigint"})
        changes = FileChanges(found.files, found.files)
        staged = stage(connection, "t", table, changes, context, str.lower)
        loaded = connection.execute(f"select note from ({staged.select})").fetchall()

    assert staged.rows_given == len(rows)
    assert staged.rows_given == staged.rows_new + staged.rows_unchanged + staged.rows_quarantined
    assert len(loaded) == staged.rows_new
    quarantine = staged.quarantine.to_pylist() if staged.quarantine is not None else []
    assert len(quarantine) == staged.rows_quarantined
    assert len({row["quarantine_id"] for row in quarantine}) == len(quarantine)

    tokens = _tokens(note for (note,) in loaded)
    put_aside = _tokens(row["row_json"] for row in quarantine)
    assert sorted(tokens + put_aside) == sorted(_tokens(row.note for row in rows))
    # of two rows with one key the last one stays
    last = max((row.number for row in rows if row.kind == "duplicate"), default=None)
    expected = {row.number for row in rows if row.kind in loaded_kinds}
    if key and last is not None:
        expected = (expected - {1}) | {last}
    assert set(tokens) == expected
    lines = content.decode(errors="replace").split("\n") if suffix in {"csv", "jsonl"} else []
    for row in quarantine:
        (token,) = _tokens([row["row_json"]])
        if lines:
            assert token in _tokens([lines[row["line_number"] - 1]]), row
        assert row["reason"]
        assert row["message"]


def _tokens(texts: Any) -> list[int]:
    return [int(token) for text in texts for token in re.findall(r"t(\d+)t", text)]
