"""What the readers of all formats share: the bytes of a file, and rows that are no rows."""

import io
import shutil
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from headrace import portable
from headrace.errors import SourceError
from headrace.ingest.discover import SourceFile, content_hash
from headrace.sql_text import literal
from headrace.system_errors import system_fault


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot be read as one; it goes to quarantine.

    Attributes:
        number: among the file's rows, from 1.
        message: the reason, with the line in the file.
        text: the row, as in the file.
        line: where it begins in the file, from 1; None where the format has no lines.
    """

    number: int
    message: str
    text: str
    line: int | None = None


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


def fetched(file: SourceFile) -> SourceFile:
    """The file with its bytes on this machine: one of a remote address is fetched once.

    Raises:
        SourceError: it is not there any more, is refused, damaged or cut short.
        OSError: it cannot be written here.
    """
    if file.fetch is None:
        return file
    if not file.path.exists():
        part = file.path.with_name(f"part-{file.path.name}")
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            file.fetch(part)
            content_hash(part)  # which reads what is compressed to its end
        except OSError as error:
            part.unlink(missing_ok=True)
            if system_fault(error) is not None:
                raise
            raise SourceError(f"{file.name} cannot be read: {error.strerror or error}") from error
        portable.replace(part, file.path)
    # the archive's size is not that of a file in it
    return file if file.member else replace(file, size=file.path.stat().st_size)


def fetch_all(files: Iterable[SourceFile]) -> tuple[list[SourceFile], dict[str, str]]:
    """The files with their bytes on this machine; by name, a sentence on each that stays away."""
    there: list[SourceFile] = []
    problems: dict[str, str] = {}
    for file in files:
        try:
            there.append(fetched(file))
        except SourceError as error:
            if system_fault(error) is not None:
                raise
            problems[file.name] = str(error)
    return there, problems


def unpacked(file: SourceFile, scratch: Path) -> SourceFile:
    """The file itself; one of a zip archive as a file of its own, which DuckDB can read.

    Raises:
        SourceError: it is damaged.
    """
    file = fetched(file)
    if file.member is None:
        return file
    target = scratch_file(file, scratch, Path(file.member).suffix.lower())
    with opened(file) as stream, target.open("wb") as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
    return replace(file, path=target, member=None)


def vanished(file: SourceFile) -> SourceError:
    """A file that was there just now."""
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
