"""How a CSV file is written: its encoding, its delimiter, and where its table begins and ends.

What the settings leave open is found in the first 8 MiB. What can be known for certain is used, and
said; what is a guess that could change data is refused, with the setting that decides it.

    bytes ──> encoding ──> delimiter ──> header and rows ──> a plain copy, where DuckDB needs one
"""

import codecs
import csv
import io
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from headrace.errors import SourceError, UnclearFileError
from headrace.ingest.discover import SourceFile
from headrace.ingest.model import FileTable
from headrace.ingest.reader import opened

HEAD_BYTES = 8 * 1024 * 1024
_SAMPLE = 1 << 20  # characters, of which the first rows decide on the delimiter and the header
_ROWS = 200  # that decide on the delimiter and the header
_PREAMBLE = 20  # rows above a header at most
_DELIMITERS = ",;\t|"
DELIMITER_NAMES = {";": "';'", "\t": "a tab", "|": "'|'", ",": "','"}
_OF_DUCKDB = frozenset({"utf-8", "latin-1"})  # and UTF-16, but not what is cut within a letter
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
_YEAR = re.compile(r"(19|20)\d\d")
_WESTERN = "€£§°²³«»\u2013\u2014\u2018\u2019“”…·©®±½¼¿¡ºª\xa0"  # signs of cp1252 in texts
_TOTAL = re.compile(r"(grand |sub)?total\b|sum(me)?\b|gesamt\b|suma\b|somme\b", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Attributes:
        encoding: Python's name of it.
        delimiter: one character.
        notes: what was found rather than set, one sentence each.
    """

    encoding: str
    delimiter: str
    notes: tuple[str, ...] = ()


def find_dialect(file: SourceFile, table: FileTable) -> Dialect:
    """How a file is written; the table's settings overrule what it looks like.

    Raises:
        SourceError: a file that begins with lines which are not of the table, or whose first line
            is data: the message names the setting.
    """
    with opened(file) as stream:
        head = stream.read(HEAD_BYTES)
    is_whole = len(head) < HEAD_BYTES
    encoding, notes = _encoding(head, file, table)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head, is_whole)
    text = text.removeprefix("\ufeff")
    lines = text[:_SAMPLE].splitlines(keepends=True)
    if (len(text) > _SAMPLE or not is_whole) and len(lines) > 1:
        lines = lines[:-1]  # it may be cut
    lines = lines[table.skip :]
    delimiter = _delimiter(lines, file, table)
    if table.delimiter is None and delimiter != _default(file):
        notes.append(f"{file.name} is separated by {DELIMITER_NAMES[delimiter]}")
    rows = list(_rows(lines, delimiter))
    last = next((line for line in reversed(text[-4096:].splitlines()) if line.strip()), "")
    total = ""
    if is_whole and len(rows) > 1 and not table.skip_footer and _TOTAL.match(last.lstrip('"')):
        total = f"`skip_footer: 1` if its last line, {last[:40]!r}, is not of the table"
    if table.header is None and not table.names:
        if not table.skip:
            _check_preamble(rows, file, total)
        _check_header([row for _, row in rows], file, table)
    if total:
        notes.append(f"{file.name} may end with a total: set {total}")
    return Dialect(encoding, delimiter, tuple(notes))


def dialect_changes(
    before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """A sentence for each file that is read in another way than before.

    A file that was not there before is compared with those that were.

    Args:
        before: file name to delimiter and encoding, as they were in earlier loads.
        now: those of the files that this load read.
    """
    known = {tuple(each) for each in before.values()}
    said = []
    for name, dialect in now.items():
        if name not in before and (not known or tuple(dialect) in known):
            continue
        earlier = before.get(name) or Counter(map(tuple, before.values())).most_common(1)[0][0]
        whose = "" if name in before else " in earlier files"
        parts = [
            f"{what} is {_shown(new)}, was {_shown(old)}{whose}"
            for what, old, new in zip(("delimiter", "encoding"), earlier, dialect, strict=True)
            if old != new
        ]
        if parts:
            said.append(f"{name} is read in another way than before: its {', its '.join(parts)}")
    return tuple(said)


def _shown(part: str) -> str:
    return DELIMITER_NAMES.get(part, part if len(part) > 1 else repr(part))


def needs_copy(table: FileTable, dialect: Dialect) -> bool:
    """Whether DuckDB takes the file only as a copy in UTF-8 that begins with its header."""
    return (
        dialect.encoding not in _OF_DUCKDB
        or table.skip > 0
        or table.skip_footer > 0
        or table.header is False
        or bool(table.names)
    )


def write_copy(file: SourceFile, table: FileTable, dialect: Dialect, target: Path) -> int:
    """Write a copy in UTF-8 that begins with the header and ends with the last row.

    Args:
        file: the file.
        table: which lines are left out, and whether there is a header.
        dialect: of the file.
        target: of the copy.

    Returns:
        How many lines further down a line of the copy stands in the file.

    Raises:
        SourceError: not in its encoding, or the names are not as many as the columns.
    """
    has_header = table.header is True or (table.header is None and not table.names)
    encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
    with opened(file) as stream, target.open("w", encoding="utf-8", newline="") as copy:
        lines = islice(io.TextIOWrapper(stream, encoding, newline=""), table.skip, None)
        try:
            first = next(lines, "")
            if table.names or not has_header:
                copy.write(_header(first, table, dialect, file))
            if not (table.names and has_header):
                copy.write(first)
            copy.writelines(_without_footer(lines, table.skip_footer))
        except UnicodeError as error:
            raise SourceError(
                f"{file.name} is not {dialect.encoding.upper()}: set the table's `encoding` to "
                "another one, or convert the file"
            ) from error
    return table.skip if has_header else table.skip - 1


def _encoding(head: bytes, file: SourceFile, table: FileTable) -> tuple[str, list[str]]:
    if table.encoding is not None:
        name = codecs.lookup(table.encoding).name
        if name == "utf-16" and not head.startswith(tuple(_UTF16)):
            return _utf16_without_mark(head) or "utf-16-le", []
        return {"iso8859-1": "latin-1"}.get(name, name), []
    for mark, name in _UTF16.items():
        if head.startswith(mark):
            return name, [f"{file.name} is read as UTF-16, as its first bytes say"]
    with_zeros = _utf16_without_mark(head)
    if with_zeros is not None:
        return with_zeros, [f"{file.name} is read as {with_zeros}, as every second byte is zero"]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        found = _single_byte(head)
        if found is None:
            raise SourceError(
                f"{file.name}: it is not UTF-8, and no other encoding is certain: set the table's "
                "`encoding` (latin-1, cp1252, utf-16, ...) or convert the file"
            ) from None
        return found, [
            f"{file.name} is not UTF-8 and is read as {found}: set `encoding` if it is another one"
        ]
    return "utf-8", []


def _utf16_without_mark(head: bytes) -> str | None:
    """UTF-16 of mostly ASCII: one of each two bytes is zero, and always the same one."""
    sample = head[: 1 << 16]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) * 4 < len(sample) or min(even, odd) * 20 > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _single_byte(head: bytes) -> str | None:
    """The encoding that charset-normalizer finds; cp1252 where the letters are Western ones.

    The files of ISO 8859-1 and 15 are nearly all cp1252, which has the same letters and more.
    """
    from charset_normalizer import from_bytes

    best = from_bytes(head[: 1 << 20]).best()
    found = None if best is None else str(best.encoding)
    western = {"cp1252", "latin_1", "iso8859_15", "iso8859_9", "cp1254", "cp1250", "mac_roman"}
    if found is None or found in western or len(head) < 1 << 10:
        try:
            text = head.decode("cp1252")
        except UnicodeDecodeError:
            return found
        others = [letter for letter in text if letter > "\x7f"]
        if all(letter.isalpha() or letter in _WESTERN for letter in others):
            return "cp1252"
    return found


def _default(file: SourceFile) -> str:
    return "\t" if file.is_tsv else ","


def _delimiter(lines: list[str], file: SourceFile, table: FileTable) -> str:
    """The delimiter that makes all rows as wide as the first one."""
    if table.delimiter is not None:
        if len(table.delimiter) != 1:
            raise SourceError(
                f"{file.name}: the delimiter {table.delimiter!r} is not one character"
            )
        return table.delimiter
    default = _default(file)
    fits = {mark: _fit(lines, mark) for mark in dict.fromkeys(default + _DELIMITERS)}
    whole = {mark: fit[0] for mark, fit in fits.items() if fit[0] > 1 and fit[1] == 1}
    if whole:  # the header has it, too, so that it is not a mark within the values
        return str(max(whole, key=lambda mark: whole[mark]))
    if fits[default][0] > 1:
        return default
    wide = {mark: fit[1] for mark, fit in fits.items() if fit[0] > 1 and fit[1] >= 0.9}
    return max(wide, key=lambda mark: wide[mark], default=default)


def _fit(lines: list[str], delimiter: str) -> tuple[int, float]:
    """The width of the most common row, and the share of rows that have it."""
    widths = Counter(len(row) for _, row in _rows(lines, delimiter))
    if not widths:
        return 0, 0.0
    (width, count), *_ = widths.most_common(1)
    return width, count / widths.total()


def _rows(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows as far as they can be read, without empty lines; each with the lines before it."""
    parser = csv.reader(iter(lines), delimiter=delimiter)
    found = 0
    while found < _ROWS:
        before = parser.line_num
        try:
            row = next(parser)
        except (StopIteration, csv.Error):
            return
        if row:
            found += 1
            yield before, row


def _is_data(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell.strip()) or _DATE.fullmatch(cell.strip()))


def _check_preamble(rows: list[tuple[int, list[str]]], file: SourceFile, total: str) -> None:
    """Refuse a file whose table begins below other lines."""
    widths = Counter(len(row) for _, row in rows)
    (width, count), *_ = widths.most_common(1) or [(0, 0)]
    start = next((n for n, (_, row) in enumerate(rows) if len(row) == width), 0)
    if width < 2 or not 0 < start <= _PREAMBLE or count * 2 <= len(rows) - start:
        return
    above, header = rows[start]
    names = [cell.strip() for cell in header]
    if len(set(names)) < len(names) or not all(names) or any(map(_is_data, names)):
        return
    raise UnclearFileError(
        f"{file.name}: the table seems to begin below other lines, with the header "
        f"{','.join(names)[:80]!r} in line {above + 1}: set `skip: {above}` of its table, and "
        + (total or "`skip_footer` where lines below its last row are not of the table"),
        {"skip": above, **({"skip_footer": 1} if total else {})},
    )


def _check_header(rows: list[list[str]], file: SourceFile, table: FileTable) -> None:
    """Refuse a file whose first line has the types of the data below it."""
    if len(rows) < 2:
        return
    first, below = [cell.strip() for cell in rows[0]], rows[1:]
    named = {*table.primary_key, *table.required, *table.columns, *table.rename, table.cursor}
    if named & set(first):
        return
    years = [cell for cell in first if _YEAR.fullmatch(cell)]
    if len(set(years)) == len(years) > 1:
        return  # a column for each year
    alike = [
        cell
        for number, cell in enumerate(first)
        if _is_data(cell)
        and all(
            _is_alike(cell, row[number].strip())
            for row in below
            if number < len(row) and row[number].strip()
        )
        and any(number < len(row) and row[number].strip() for row in below)
    ]
    if alike:
        raise UnclearFileError(
            f"{file.name}: its first line seems to be data, not the names of the columns "
            f"({alike[0]!r} is like the values below it): set `header: false` of its table, and "
            "`names` to the columns' names; or `header: true` if these are the names",
            {"header": False},
        )


def _is_alike(cell: str, value: str) -> bool:
    kind = _DATE if _DATE.fullmatch(cell) else _NUMBER
    return bool(kind.fullmatch(value))


def _header(first: str, table: FileTable, dialect: Dialect, file: SourceFile) -> str:
    """A header line for a file: the names of the settings, or ``column_1`` and so on."""
    width = len(next(csv.reader([first], delimiter=dialect.delimiter), []))
    names = list(table.names) or [f"column_{number}" for number in range(1, width + 1)]
    if len(names) != width:
        raise SourceError(
            f"{file.name} has {width} columns, and `names` of its table has {len(names)}: give "
            "each column one name"
        )
    line = io.StringIO()
    end = first[len(first.rstrip("\r\n")) :] or "\n"
    csv.writer(line, delimiter=dialect.delimiter, lineterminator=end).writerow(names)
    return line.getvalue()


def _without_footer(lines: Iterator[str], count: int) -> Iterator[str]:
    """The lines but for the last ones; empty lines at the end are not counted."""
    if not count:
        yield from lines
        return
    held: deque[str] = deque()
    blank = 0  # at the end of what is held
    for line in lines:
        held.append(line)
        blank = 0 if line.strip() else blank + 1
        while len(held) - blank > count:
            yield held.popleft()
