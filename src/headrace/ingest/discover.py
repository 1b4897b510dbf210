"""Find a table's files, and tell by their content which ones changed."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import xxhash

from headrace import portable
from headrace.errors import SourceError

_CHUNK = 1 << 20
_RACY_NS = 2_000_000_000
SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
_COMPRESSED = (".gz", ".zst")


@dataclass(frozen=True)
class SourceFile:
    """A file of a source.

    Attributes:
        path: absolute.
        name: its path below the source's directory, with ``/`` on every system.
        size: in bytes.
        digest: xxh3-128 of its content, in hex.
    """

    path: Path
    name: str
    size: int
    digest: str

    @property
    def format(self) -> str:
        """``csv``, ``parquet`` or ``jsonl``."""
        suffix = _suffix(self.path)
        return {".tsv": "csv", ".ndjson": "jsonl"}.get(suffix, suffix.removeprefix("."))


class HashCache:
    """Content hashes by path, size and modification time, kept in a JSON file.

    It only saves work: a hash is trusted when size and time are what they were, and when the
    file was not touched within two seconds of hashing it (git's rule for racy files). A cache
    that is lost or unreadable is made anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._dirty = False
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            loaded = {}
        self._entries: dict[str, list[int | str]] = loaded if isinstance(loaded, dict) else {}

    def digest(self, path: Path) -> tuple[int, str]:
        """Size in bytes and content hash of a file.

        Raises:
            OSError: the file cannot be read.
        """
        stat = path.stat()
        key = str(path)
        entry = self._entries.get(key)
        if entry is not None and entry[:2] == [stat.st_size, stat.st_mtime_ns]:
            return stat.st_size, str(entry[2])
        value = _hash(path)
        if time.time_ns() - stat.st_mtime_ns > _RACY_NS:
            self._entries[key] = [stat.st_size, stat.st_mtime_ns, value]
            self._dirty = True
        return stat.st_size, value

    def save(self) -> None:
        """Write the cache, if anything was added."""
        if not self._dirty:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(self._entries), encoding="utf-8")
        portable.replace(temporary, self._path)


def find_files(directory: Path, pattern: str, cache: HashCache) -> list[SourceFile]:
    """The files below ``directory`` that match ``pattern``, sorted by name.

    Raises:
        SourceError: no such directory, a pattern that leads out of it, or a file that cannot be
            read.
    """
    if not directory.is_dir():
        raise SourceError(f"{directory} is not a directory: point the source's path at one")
    if not pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise SourceError(
            f"the pattern {pattern!r} has to be relative to {directory}, like orders*.csv"
        )
    found = []
    for path in sorted(directory.glob(pattern)):
        if not path.is_file() or _suffix(path) not in SUFFIXES:
            continue
        try:
            size, digest = cache.digest(path)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
        found.append(SourceFile(path, path.relative_to(directory).as_posix(), size, digest))
    return found


def changed_files(files: list[SourceFile], known: Mapping[str, str]) -> list[SourceFile]:
    """Those whose content is not what ``known`` (name to digest) says was loaded."""
    return [file for file in files if known.get(file.name) != file.digest]


def _hash(path: Path) -> str:
    state = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""
