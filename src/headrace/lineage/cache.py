"""Summaries of statements on disk, by content.

One file: a checksum, then a msgpack map from a statement's key to its summary. It is read whole and
written whole, to a temporary name that is renamed; of two processes that write at once the last one
wins, and either file is complete. A file that cannot be read counts as empty and is rewritten.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import msgspec
import xxhash

from headrace import portable
from headrace.lineage.sql.parse import ENGINE
from headrace.lineage.sql.tree import Summary

FILE_NAME = "column_lineage.msgpack"
LARGE = 64 * 1024 * 1024
"""Bytes; beyond it, what the newest run did not use is dropped."""

_CHECKSUM = 16


def keys(statements: Iterable[tuple[str, str]]) -> list[bytes]:
    """The keys of statements: a hash of text, dialect, and the versions of what reads them.

    Args:
        statements: SQL and dialect.
    """
    digest = xxhash.xxh3_128_digest
    readers = f"\0{ENGINE}\0{sqlglot_version()}\0"
    return [digest((dialect + readers + sql).encode()) for sql, dialect in statements]


@lru_cache(maxsize=1)
def sqlglot_version() -> str:
    """Of the installed sqlglot, by the name of its record; ``importlib.metadata`` takes 25 ms."""
    found = find_spec("sqlglot")
    if found is not None and found.origin is not None:
        records = sorted(Path(found.origin).parents[1].glob("sqlglot-*.dist-info"))
        if len(records) == 1:
            return records[0].name.removeprefix("sqlglot-").removesuffix(".dist-info")
    from importlib.metadata import version

    return version("sqlglot")


class SummaryCache:
    """The summaries of statements that were read before.

    Attributes:
        reused: how many statements it knew.
    """

    def __init__(self, directory: Path | None) -> None:
        """Open it.

        Args:
            directory: where its file is; None: it starts empty and is not written.
        """
        self._path = directory / FILE_NAME if directory is not None else None
        self._stored: dict[bytes, msgspec.Raw] = _load(self._path) if self._path else {}
        self._new: dict[bytes, Summary] = {}
        self._used: set[bytes] = set()
        self._decoder = msgspec.msgpack.Decoder(Summary)
        self.reused = 0

    def get(self, key: bytes) -> Summary | None:
        """The summary of a statement, if it is known."""
        raw = self._stored.get(key)
        if raw is None:
            return None
        try:
            found = self._decoder.decode(raw)
        except (msgspec.DecodeError, msgspec.ValidationError):
            del self._stored[key]
            return None
        self._used.add(key)
        self.reused += 1
        return found

    def add(self, summaries: Mapping[bytes, Summary]) -> None:
        """Keep new summaries."""
        self._new.update(summaries)

    def save(self) -> None:
        """Write it, if something is new; a disk that is full or read-only is no error."""
        if self._path is None or not self._new:
            return
        kept = self._stored
        if sum(map(len, kept.values())) > LARGE:
            kept = {key: raw for key, raw in kept.items() if key in self._used}
        encoder = msgspec.msgpack.Encoder()
        new = {key: msgspec.Raw(encoder.encode(summary)) for key, summary in self._new.items()}
        body = encoder.encode({**kept, **new})
        with suppress(OSError):
            portable.write_file(self._path, xxhash.xxh3_128_digest(body) + body)


def _load(path: Path) -> dict[bytes, msgspec.Raw]:
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    body = content[_CHECKSUM:]
    if xxhash.xxh3_128_digest(body) != content[:_CHECKSUM]:
        return {}
    try:
        return msgspec.msgpack.decode(body, type=dict[bytes, msgspec.Raw])
    except msgspec.MsgspecError:
        return {}
