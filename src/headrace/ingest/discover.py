"""Find a table's files, and tell by their content which ones changed."""

import errno
import json
import stat as modes
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

import xxhash

from headrace import portable
from headrace.errors import SourceError

_CHUNK = 1 << 20
_RACY_NS = 2_000_000_000
SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json", ".avro")
"""Of files that may be compressed, too, by ``.gz`` or ``.zst``, or lie in a ``.zip``."""
EXCEL = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_FORMATS = {".tsv": "csv", ".txt": "csv", ".ndjson": "jsonl", **dict.fromkeys(EXCEL, "excel")}
_COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
_PARQUET_END = b"PAR1"
_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class SourceFile:
    """A file of a source.

    Attributes:
        path: absolute.
        name: its path below the source's directory, with ``/`` on every system.
        size: in bytes.
        digest: xxh3-128 of its content, in hex.
        member: its name in the zip archive that ``path`` is; None for a file of its own.
        declared: its format in the words of the setting ``format``; None is by its suffix.
        fetch: writes a file of a remote address to a path; None for a file of this machine. It
            is fetched to ``path`` when it is read, and its digest is that of what the server says
            of it: an etag, or size and modification time.
    """

    path: Path
    name: str
    size: int
    digest: str
    member: str | None = None
    declared: str | None = None
    fetch: Callable[[Path], None] | None = field(default=None, compare=False, repr=False)

    @property
    def format(self) -> str:
        """``csv``, ``parquet``, ``jsonl``, ``json``, ``excel`` or ``avro``."""
        suffix = f".{self.declared}" if self.declared else _suffix(Path(self.member or self.path))
        return _FORMATS.get(suffix, suffix.removeprefix("."))

    @property
    def is_tsv(self) -> bool:
        """Whether a tab between the values is to be expected."""
        return self.declared == "tsv" or ".tsv" in self.path.name.lower()

    @property
    def compression(self) -> str | None:
        """``gzip``, ``zstd`` or None, by the name's last suffix."""
        if self.member is not None:
            return None
        return _COMPRESSED.get(self.path.suffix.lower())

    @property
    def partitions(self) -> dict[str, str | None]:
        """What the folders below the source's directory say: ``year=2024`` gives year, 2024."""
        folders = (folder.partition("=") for folder in self.name.split("/")[:-1])
        return {
            unquote(key): None if value == _NO_PARTITION else unquote(value)
            for key, mark, value in folders
            if mark and key
        }


@dataclass(frozen=True)
class FoundFiles:
    """What a table's pattern matched.

    Attributes:
        files: those to be read, sorted by name.
        unreadable: one sentence for each file that cannot be read, with its name and the reason.
        ignored: names of what is no file of a known format: other suffixes, and directories.
    """

    files: list[SourceFile]
    unreadable: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


class HashCache:
    """Content hashes by path and what the file system says of the file, kept in a JSON file.

    It only saves work: a hash is trusted when size, modification time, change time, inode and
    device are what they were, and when the file was not touched within two seconds of hashing it
    (git's rule for racy files). ``cp -p`` and tar set the modification time; nobody sets the
    change time. A cache or an entry that is lost or malformed is made again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._dirty = False
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            loaded = {}
        self._entries: dict[str, Any] = loaded if isinstance(loaded, dict) else {}

    def digest(self, path: Path) -> tuple[int, str]:
        """Size in bytes and content hash of a file; a compressed one was read to its end.

        Raises:
            OSError: the file cannot be read, or what it is compressed to is damaged or cut short.
        """
        stat = path.stat()
        key = str(path)
        now = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]
        match self._entries.get(key):
            case [*known, str(value)] if known == now:
                return stat.st_size, value
        value = content_hash(path)
        if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _RACY_NS:
            self._entries[key] = [*now, value]
            self._dirty = True
        return stat.st_size, value

    def recall(self, key: str) -> Any:
        """What was remembered by a key; None without it."""
        return self._entries.get(key)

    def remember(self, key: str, value: Any) -> None:
        """Keep something that takes a fetch to find out, as JSON."""
        self._entries[key] = value
        self._dirty = True

    def save(self) -> None:
        """Write the cache, if anything was added."""
        if not self._dirty:
            return
        portable.write_file(self._path, json.dumps(self._entries))


def find_files(
    directory: Path,
    pattern: str | Sequence[str],
    cache: HashCache,
    declared: str | None = None,
) -> FoundFiles:
    """The files below ``directory`` that match one of the patterns.

    Args:
        directory: the root of the patterns.
        pattern: a glob, or several.
        cache: of content hashes.
        declared: the format that the settings say; without it the names decide.

    Raises:
        SourceError: no such directory, or a pattern that leads out of it.
    """
    patterns = as_patterns(pattern)
    if not directory.is_dir():
        raise SourceError(f"{directory} is not a directory: point the source's path at one")
    for one in patterns:
        if not one or Path(one).is_absolute() or ".." in Path(one).parts:
            raise SourceError(
                f"the pattern {one!r} has to be relative to {directory}, like orders*.csv"
            )
    files: list[SourceFile] = []
    unreadable: list[str] = []
    ignored: list[str] = []
    matched = sorted({path for one in patterns for path in directory.glob(one)})
    known = known_suffixes(patterns, [path.name for path in matched])
    for path in matched:
        name = path.relative_to(directory).as_posix()
        if path.is_dir() or (declared is None and _suffix(path) not in known):
            ignored.append(f"{name}/" if path.is_dir() else name)
        elif reason := _why_unreadable(path):
            unreadable.append(f"{_printable(name)} {reason}")
        else:
            try:
                size, digest = cache.digest(path)
                file = SourceFile(path, name, size, digest, declared=declared)
                files += members(file, ignored) if is_archive(name) else [file]
            except OSError as error:
                unreadable.append(f"{name} cannot be read: {_reason(error)}")
    return FoundFiles(files, tuple(unreadable), tuple(map(_printable, ignored)))


def as_patterns(pattern: str | Sequence[str]) -> tuple[str, ...]:
    """One pattern, or several, as several."""
    return (pattern,) if isinstance(pattern, str) else tuple(pattern)


def known_suffixes(patterns: Sequence[str], names: Sequence[str]) -> set[str]:
    """The suffixes of files that are read; a pattern like ``*`` also finds notes beside the data.

    Args:
        patterns: of a table.
        names: of the files that they found.
    """
    with_text = any(".txt" in one.lower() for one in patterns)
    with_text = with_text or all(_suffix(Path(name)) == ".txt" for name in names)
    return {*SUFFIXES, *EXCEL, ".zip", *([".txt"] if with_text else [])}


def is_archive(name: str) -> bool:
    """Whether a file holds others, by its name."""
    return _suffix(Path(name)) == ".zip"


def is_known(name: str, known: set[str]) -> bool:
    """Whether a file is of a format that is read, by its name."""
    return _suffix(Path(name)) in known


def members(archive: SourceFile, ignored: list[str]) -> Iterator[SourceFile]:
    """The files in a zip archive, as files of their own; the archive's digest is part of theirs.

    Raises:
        OSError: it is damaged, or has no file that is read.
    """
    try:
        with zipfile.ZipFile(archive.path) as opened:
            infos = [info for info in opened.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise OSError(
            f"it is not a sound zip archive ({error}); copy or export it again"
        ) from error
    found = 0
    for info in sorted(infos, key=lambda each: each.filename):
        name = f"{archive.name}/{info.filename}"
        is_hidden = any(part.startswith((".", "__MACOSX")) for part in info.filename.split("/"))
        is_read = archive.declared or is_known(info.filename, {*SUFFIXES, ".txt", *EXCEL})
        if is_hidden or not is_read:
            ignored.append(name)
        elif info.flag_bits & 1:
            raise OSError("it is encrypted; put a copy there that is not")
        elif Path(info.filename).suffix.lower() in _COMPRESSED:
            raise OSError(f"{info.filename} in it is compressed once more; unpack it")
        else:
            found += 1
            digest = xxhash.xxh3_128(f"{archive.digest} {info.filename}".encode()).hexdigest()
            yield replace(
                archive, name=name, size=info.file_size, digest=digest, member=info.filename
            )
    if not found:
        raise OSError("no file in it is of a format that is read")


def changed_files(files: list[SourceFile], known: Mapping[str, str]) -> list[SourceFile]:
    """Those whose content is not what ``known`` (name to digest) says was loaded."""
    return [file for file in files if known.get(file.name) != file.digest]


def _why_unreadable(path: Path) -> str | None:
    """Why a file of a known format is not even opened, if so: opening a pipe would wait."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "has a name that is not UTF-8: rename it"
    if portable.duckdb_path(path) is None:
        return "has a backslash beside *, ? or [ in its path, which DuckDB cannot take: rename it"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno == errno.ENOENT and path.is_symlink():
            return f"is a link to {path.readlink()}, which does not exist: correct or remove it"
        return f"cannot be read: {_reason(error)}"
    return None if modes.S_ISREG(mode) else "is a pipe, socket or device: remove it"


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _printable(name: str) -> str:
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def content_hash(path: Path) -> str:
    """The content's hash; what is compressed is read through, so that a short copy is noticed."""
    state = xxhash.xxh3_128()
    with path.open("rb") as stream:
        codec = _COMPRESSED.get(path.suffix.lower())
        if codec is None:
            tail = b""
            for chunk in _chunks(stream):
                state.update(chunk)
                tail = (tail + chunk)[-len(_PARQUET_END) :]
            if path.suffix.lower() == ".parquet" and tail not in {b"", _PARQUET_END}:
                raise OSError(
                    "it has no footer, so it is not a Parquet file or is truncated; copy or "
                    "export it again"
                )
        else:
            _check_compressed(_Hashed(stream, state), codec)
    return state.hexdigest()


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: stream.read(_CHUNK), b"")


def _check_compressed(stream: "_Hashed", codec: str) -> None:
    """Read a compressed stream to its end, with its checksums, and then what may follow it."""
    import pyarrow as pa

    try:
        with pa.CompressedInputStream(pa.PythonFile(stream, "r"), codec) as content:
            while content.read(_CHUNK):
                pass
    except OSError as error:
        detail = str(error)
        reason = (
            "it ends before the compressed data do"
            if "runcated" in detail
            else f"it is not sound {codec} data ({detail.partition(chr(10))[0]})"
        )
        raise OSError(f"{reason}; copy or export it again") from error


class _Hashed:
    """A binary file that hashes what is read from it."""

    def __init__(self, stream: IO[bytes], state: xxhash.xxh3_128) -> None:
        self._stream = stream
        self._state = state
        self.closed = False

    def read(self, size: int) -> bytes:
        chunk = self._stream.read(size)
        self._state.update(chunk)
        return chunk

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def suffix_of(name: str, *, compressed: bool = False) -> str:
    """A name's suffix in small letters: ``.csv`` of ``a.csv.gz``.

    Args:
        name: of a file.
        compressed: whether that of the compression counts: ``.gz``.
    """
    return Path(name).suffix.lower() if compressed else _suffix(Path(name))


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""
