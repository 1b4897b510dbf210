"""What the readers of all formats share: the bytes of a file, and rows that are no rows."""

import io
import shutil
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from headrace import portable
from headrace.errors import SourceError
from headrace.ingest.discover import SourceFile
from headrace.sql_text import literal


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot be read as one; it goes to quarantine.

    Attributes:
        number: among the file's rows, from 1.
        message: the reason, with the line in the file.
        text: the row, as in the file.
    """

    number: int
    message: str
    text: str


@contextmanager
def opened(file: SourceFile) -> Iterator[io.BufferedReader]:
    """The file's bytes, decompressed.

    Raises:
        SourceError: it is not there any more, or cannot be read.
    """
    import pyarrow as pa

    try:
        if file.member is not None:
            with zipfile.ZipFile(file.path) as archive, archive.open(file.member) as member:
                yield io.BufferedReader(cast("io.RawIOBase", member), 1 << 16)
            return
        with pa.input_stream(file.path.open("rb"), compression=file.compression) as stream:
            yield io.BufferedReader(cast("io.RawIOBase", stream), 1 << 16)
    except FileNotFoundError as error:
        raise vanished(file) from error
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise SourceError(f"{file.name} cannot be read: {error}") from error


def scratch_file(file: SourceFile, scratch: Path, suffix: str) -> Path:
    """A path for a copy of a file; its folder is there.

    Each copy has its own, since two tables may read one file in different ways, and the warehouse
    may read a copy when both are staged.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch / f"{file.digest}-{uuid.uuid4().hex}{suffix}"


def unpacked(file: SourceFile, scratch: Path) -> SourceFile:
    """The file itself; one of a zip archive as a file of its own, which DuckDB can read.

    Raises:
        SourceError: it is damaged.
    """
    if file.member is None:
        return file
    target = scratch_file(file, scratch, Path(file.member).suffix.lower())
    with opened(file) as stream, target.open("wb") as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
    return replace(file, path=target, member=None)


def vanished(file: SourceFile) -> SourceError:
    """A file that was there a moment ago."""
    return SourceError(f"{file.name} vanished while it was read: put it back and run again")


def file_literal(path: Path) -> str:
    """Quote the path of one file for ``read_csv`` and the like, which take a pattern.

    Raises:
        SourceError: DuckDB cannot be told of this file alone.
    """
    text = portable.duckdb_path(path)
    if text is None:
        raise SourceError(f"{path} has a backslash beside *, ? or [ in its path: rename it")
    return literal(text)


def options(file: SourceFile) -> str:
    """Options of DuckDB's readers that hold for every file: nothing is guessed from its path."""
    return f"hive_partitioning = false, compression = '{file.compression or 'uncompressed'}'"
