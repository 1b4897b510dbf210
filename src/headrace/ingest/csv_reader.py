"""CSV files: their header, the SQL that reads them, and a copy without what DuckDB cannot read."""

import csv
import io
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import SourceError
from headrace.ingest.csv_dialect import find_dialect, needs_copy, write_copy
from headrace.ingest.discover import SourceFile
from headrace.ingest.model import FileTable
from headrace.ingest.reader import RejectedRow, file_literal, opened, options, scratch_file
from headrace.sql_text import literal

if TYPE_CHECKING:
    import duckdb

_LONGEST_VALUE = 1 << 21
_COUNTED_BYTES = 64 * 1024 * 1024  # of a file whose rows are read one by one to find their lines
_EMPTY_LINE = (b"\n\n", b"\n\r\n")
_CARRIAGE_RETURN = "\ue000"  # for private use, so in no text


@dataclass(frozen=True)
class CsvReader:
    """Reads one CSV file.

    Attributes:
        file: the file.
        header: the names as the file has them; may repeat, and be empty.
        delimiter: between values.
        encoding: of the file.
        line_end: of the header, and so of all rows.
        copy: a copy that has only the rows that can be read, and their numbers.
        rejected: the other rows.
        null_values: texts that stand for null, besides nothing at all.
        above: how many lines further down a line of ``file`` stands in the source's own file.
        notes: what a person should know of how it is read.
        dialect: the delimiter and the encoding of the source's own file.
    """

    file: SourceFile
    header: tuple[str, ...]
    delimiter: str
    encoding: str
    line_end: str
    copy: Path | None = None
    rejected: tuple[RejectedRow, ...] = ()
    null_values: tuple[str, ...] = ()
    above: int = 0
    notes: tuple[str, ...] = ()
    dialect: tuple[str, str] = ("", "")

    @property
    def kinds(self) -> tuple[str, ...]:
        """All is text."""
        return ("VARCHAR",) * len(self.header)

    @property
    def numbered(self) -> bool:
        """Whether the rows have their number in ``__row``."""
        return self.copy is not None

    def lines(self, rows: Collection[int]) -> dict[int, int]:
        """The line in the source's own file at which each of some rows begins.

        None of a large file in which a row may take several lines.
        """
        if self._has_one_line_a_row():
            return {row: self.above + 1 + row for row in rows}
        if self.file.size > _COUNTED_BYTES:
            return {}
        found: dict[int, int] = {}
        last = max(rows)
        with opened(self.file) as stream:
            for number, record in enumerate(_records(stream, self), start=1):
                if number in rows:
                    found[number] = record.line
                if number >= last:
                    break
        return found

    def _has_one_line_a_row(self) -> bool:
        """Whether no value is quoted and no line is empty; a look at all bytes, but a quick one."""
        if self.encoding != "utf-8" or self.line_end not in {"\n", "\r\n"}:
            return False
        last = b""
        with opened(self.file) as stream:
            while chunk := stream.read(1 << 20):
                seam = last + chunk[:2]
                if b'"' in chunk or any(b in part for part in (seam, chunk) for b in _EMPTY_LINE):
                    return False
                last = chunk[-2:]
        return True

    def sql(self, names: Sequence[str], kinds: Sequence[str]) -> str:
        """The rows, with the given names, read as the given types."""
        columns = dict(zip(names, kinds, strict=True))
        path, encoding, line_end, how = self.file.path, self.encoding, self.line_end, ""
        if self.copy is not None:
            columns["__row"] = "BIGINT"
            path, encoding, line_end = self.copy, "utf-8", "\n"
            how = "hive_partitioning = false"
        typed = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns.items())
        # told the wrong line end, or left to guess it, DuckDB may find no rows and say nothing
        shown = line_end.replace("\r", "\\r").replace("\n", "\\n")
        new_line = f"new_line = {literal(shown)}, " if line_end else ""
        if self.null_values:
            nulls = ", ".join(map(literal, ("", *self.null_values)))
            new_line += f"nullstr = [{nulls}], "
        return (
            f"read_csv({file_literal(path)}, auto_detect = false, header = true, "
            f"delim = {literal(self.delimiter)}, quote = '\"', escape = '\"', {new_line}"
            f"encoding = {literal(encoding)}, {how or options(self.file)}, columns = {{{typed}}})"
        )


def csv_reader(file: SourceFile, table: FileTable, scratch: Path) -> CsvReader:
    """Look at a CSV file: how it is written, and its header.

    Args:
        file: the file.
        table: how it is to be read.
        scratch: where a copy is written, for a file that DuckDB does not take as it is.

    Raises:
        SourceError: no header, not in its encoding, or it has to be said how it is to be read.
    """
    dialect = find_dialect(file, table)
    encoding, above = dialect.encoding, 0
    if needs_copy(table, dialect):
        copy = scratch_file(file, scratch, ".plain.csv")
        above = write_copy(file, table, dialect, copy)
        file, encoding = replace(file, path=copy, member=None), "utf-8"
    with opened(file) as stream:
        lines = _Lines(_decoded(stream, encoding))
        try:
            header = next(csv.reader(lines, delimiter=dialect.delimiter, strict=True), [])
        except UnicodeError as error:
            raise _wrong_encoding(file, encoding) from error
        except csv.Error as error:
            raise SourceError(
                f"{file.name} line {above + 1}: the header cannot be read: {error}"
            ) from error
    names = tuple(name.strip() for name in header)
    if not any(names):
        raise SourceError(
            f"{file.name} has no header line: its first line must name the columns (or set "
            "`header: false` and `names`)"
        )
    return CsvReader(
        file,
        names,
        dialect.delimiter,
        encoding,
        lines.line_end,
        null_values=table.null_values,
        above=above,
        notes=dialect.notes,
        dialect=(dialect.delimiter, dialect.encoding),
    )


class _Lines:
    """The lines of a text, and the line end of the one that was read last."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.line_end = ""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._text)
        self.line_end = line[len(line.rstrip("\r\n")) :]
        return line


def _decoded(stream: io.BufferedReader, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, "utf-8-sig" if encoding == "utf-8" else encoding, newline="")


def _wrong_encoding(file: SourceFile, encoding: str, line: int | None = None) -> SourceError:
    where = file.name if line is None else f"{file.name} line {line}"
    return SourceError(
        f"{where}: it is not {encoding.upper()}; set the table's `encoding` (latin-1, cp1252, "
        "utf-16, ...) or convert the file"
    )


def without_bad_rows(
    connection: "duckdb.DuckDBPyConnection", reader: CsvReader, scratch: Path
) -> CsvReader:
    """The same reader if DuckDB can read the file, else one of a copy that it can read.

    The copy has one kind of line end, and no row that has more or fewer values than the header,
    or quotes that do not match. Those are told with their line.

    Args:
        connection: a local DuckDB.
        reader: of the file.
        scratch: where the copy is written.

    Raises:
        SourceError: not in the declared encoding, or more than half of the rows cannot be read.
    """
    import duckdb

    names = [f"c{number}" for number in range(len(reader.header))]
    counts = ", ".join(f"count({name})" for name in names)  # all values, to see each
    try:
        connection.execute(f"select {counts} from {reader.sql(names, reader.kinds)}").fetchone()
    except duckdb.InvalidInputException:
        pass
    else:
        return reader
    copy = scratch_file(reader.file, scratch, ".readable.csv")
    rejected: list[RejectedRow] = []
    number = 0
    with opened(reader.file) as stream, copy.open("w", encoding="utf-8", newline="") as target:
        # csv does not see that a lone carriage return has to be quoted
        writer = csv.writer(
            target, delimiter=reader.delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL
        )
        writer.writerow([*names, "__row"])
        for number, record in enumerate(_records(stream, reader), start=1):
            if record.reason is None:
                writer.writerow([*record.values, number])
            else:
                reason = f"line {record.line}: {record.reason}"
                rejected.append(RejectedRow(number, reason, record.text, record.line))
    if len(rejected) * 2 > number:
        raise SourceError(
            f"{reader.file.name} {rejected[0].message}; {len(rejected):,} of {number:,} rows do "
            "not fit the header: correct the file, or set `delimiter` of its source or table"
        )
    return replace(reader, copy=copy, rejected=tuple(rejected))


@dataclass(frozen=True)
class _Record:
    """A row below the header.

    Attributes:
        line: where it begins in the source's own file.
        values: as many as the header has; none if there is a reason against the row.
        reason: why it cannot be read.
        text: as in the file, if there is a reason.
    """

    line: int
    values: list[str] = field(default_factory=list)
    reason: str | None = None
    text: str = ""


def _records(stream: io.BufferedReader, reader: CsvReader) -> Iterator[_Record]:
    """The rows below the header."""
    lines = _NumberedLines(stream, reader)
    limit = csv.field_size_limit(_LONGEST_VALUE)
    try:
        parser = csv.reader(lines, delimiter=reader.delimiter, strict=True)
        next(parser)
        width = len(reader.header)
        while True:
            lines.begin()
            try:
                values = next(parser)
            except StopIteration:
                return
            except csv.Error as error:
                text = lines.keep_first()
                yield _Record(reader.above + lines.first, [], _reason(str(error)), text)
                continue
            if not values and width == 1:
                values = [""]
            if not values:
                continue  # an empty line
            line = reader.above + lines.first
            if len(values) == width:
                yield _Record(line, [value.replace(_CARRIAGE_RETURN, "\r") for value in values])
            else:
                columns = "value" if len(values) == 1 else "values"
                reason = f"{len(values)} {columns}, but the header has {width}"
                yield _Record(line, [], reason, "".join(lines.taken).rstrip("\r\n"))
    finally:
        csv.field_size_limit(limit)


def _reason(error: str) -> str:
    if "unexpected end" in error:
        return "a quoted value does not end"
    if "field limit" in error:
        return "a value is longer than 2 MiB, or a quoted one does not end"
    return "text after the closing quote of a value" if "expected after" in error else error


class _NumberedLines:
    """The lines of a CSV file for a parser, which can be given back.

    A line ends as the header's does; another carriage return is part of a value, and hidden from
    the parser.
    """

    def __init__(self, stream: io.BufferedReader, reader: CsvReader) -> None:
        self._source = self._read(stream, reader)
        self._again: deque[str] = deque()
        self._number = 0
        self.first = 1
        self.taken: list[str] = []

    def begin(self) -> None:
        """A row begins at the next line."""
        self.first = self._number + 1
        self.taken = []

    def keep_first(self) -> str:
        """Give back all lines of the row but the first, which is returned."""
        first, *rest = self.taken
        self._again.extendleft(reversed(rest))
        self._number -= len(rest)
        return first.rstrip("\r\n")

    def __iter__(self) -> "_NumberedLines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._source)
        self._number += 1
        self.taken.append(line)
        return line

    @staticmethod
    def _read(stream: io.BufferedReader, reader: CsvReader) -> Iterator[str]:
        is_utf8 = reader.encoding == "utf-8"
        text = io.TextIOWrapper(
            stream,
            "utf-8-sig" if is_utf8 else reader.encoding,
            errors="surrogateescape" if is_utf8 else "strict",
            newline="" if reader.line_end == "\r" else "\n",
        )
        for number, line in enumerate(text, start=1):
            if is_utf8 and not _is_utf8(line):
                raise _wrong_encoding(reader.file, reader.encoding, number)
            if reader.line_end == "\r":
                yield line
                continue
            body = line.removesuffix("\n").removesuffix("\r")
            yield body.replace("\r", _CARRIAGE_RETURN) + line[len(body) :]


def _is_utf8(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True
