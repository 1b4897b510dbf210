"""The published file: what it says of itself, and the ones before it, which ``publish.keep`` keeps.

    published.duckdb
    published.duckdb.earlier/20261127T060012.512345.duckdb    named by the time of its publication

An earlier file is a hard link that is made just before the rename that publishes: it costs no time
and no copy, and a kill between the two leaves a second name of the file that is still current,
which counts as no earlier one. Each takes the disk space of a published file.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace import portable

INFO_SCHEMA = "_headrace"
_LOG = logging.getLogger("headrace.pipeline")


@dataclass(frozen=True)
class PublishedFile:
    """A published file that is kept.

    Attributes:
        path: the file.
        run_id: of the run that published it.
        published_at: UTC.
    """

    path: Path
    run_id: str
    published_at: datetime

    @property
    def label(self) -> str:
        """For people: when it was published, and by which run."""
        return f"published {self.published_at:%Y-%m-%d %H:%M:%S} UTC (run {self.run_id})"


def folder(path: Path) -> Path:
    """Where the earlier ones of a published file are."""
    return path.with_name(f"{path.name}.earlier")


def read(path: Path) -> PublishedFile | None:
    """What a published file says of itself; None if it is missing or says nothing."""
    found = _query(path, f"select run_id, published_at from {INFO_SCHEMA}.publication")
    # DuckDB gives the time in the time zone of the machine
    return PublishedFile(path, str(found[0][0]), found[0][1].astimezone(UTC)) if found else None


def published_rows(path: Path) -> dict[str, int]:
    """Rows by ``schema.table``; empty if the file is missing or cannot be read."""
    rows = _query(path, f"select name, row_count from {INFO_SCHEMA}.tables")
    return {str(name): int(count) for name, count in rows}


@dataclass(frozen=True)
class Contents:
    """What is published.

    Attributes:
        file: the file.
        tables: dbt's ids of its tables.
    """

    file: PublishedFile
    tables: frozenset[str]


def contents(path: Path) -> Contents | None:
    """What a published file holds; None if it is missing or cannot be read."""
    rows = _query(
        path,
        f"select run_id, published_at, (select list(unique_id) from {INFO_SCHEMA}.tables) "
        f"from {INFO_SCHEMA}.publication",
    )
    if not rows:
        return None
    run_id, at, ids = rows[0]
    found = PublishedFile(path, str(run_id), at.astimezone(UTC))
    return Contents(found, frozenset(map(str, ids or ())))


def _query(path: Path, sql: str) -> list[Any]:
    if not path.exists():
        return []
    import duckdb

    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            return connection.execute(sql).fetchall()
    except duckdb.Error:
        return []  # a file that cannot be read is replaced by the next publish


def earlier(path: Path) -> Iterator[PublishedFile]:
    """The files that were published before the current one, newest first."""
    for kept in _kept(path):
        if not _is_same(kept, path) and (found := read(kept)) is not None:
            yield found


def keep(path: Path, most: int) -> None:
    """Keep the published file, which the caller is about to replace by a rename.

    What cannot be kept is logged: to publish is worth more.

    Args:
        path: the published file; it may be missing.
        most: how many are kept; with 0 nothing is done.
    """
    current = read(path) if most else None
    if current is None:
        return
    name = folder(path) / f"{current.published_at:%Y%m%dT%H%M%S.%f}.duckdb"
    try:
        folder(path).mkdir(exist_ok=True)
        if not name.exists():  # else an earlier publish was stopped before the rename
            portable.add_name(path, name)
    except OSError as error:
        _LOG.warning("the published file before this one was not kept: %s", error)


def prune(path: Path, most: int) -> None:
    """Delete the oldest kept files beyond so many; one that is open on Windows goes later."""
    others = [kept for kept in _kept(path) if not _is_same(kept, path)]
    unfinished = folder(path).glob(".*.tmp")
    for old in (*others[most:], *unfinished):
        portable.remove(old)
    if not most:
        with suppress(OSError):
            folder(path).rmdir()


def _kept(path: Path) -> list[Path]:
    """All kept files, newest first: their names are times."""
    return sorted(folder(path).glob("*.duckdb"), key=lambda kept: kept.name, reverse=True)


def _is_same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False
