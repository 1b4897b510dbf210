"""The published file: what it says of itself, and the ones before it, which ``publish.keep`` keeps.

    published.duckdb
    published.duckdb.earlier/20261127T060012.512345.duckdb    named by the time of its publication

An earlier file is a hard link that is made just before the rename that publishes: it costs no time
and no copy, and a kill between the two leaves a second name of the file that is still current,
which counts as no earlier one. Each takes the disk space of a published file. `rolled_back.jsonl`
in that folder has a line for each time that an earlier one took the current one's place again.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from headrace import portable
from headrace.errors import PublishError
from headrace.targets.publication import INFO_SCHEMA, Publication, PublishedTable

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
        return label_of(self.run_id, self.published_at)


def label_of(run_id: str, at: datetime) -> str:
    """What people call a publication, by its run and its time (UTC)."""
    return f"published {at:%Y-%m-%d %H:%M:%S} UTC (run {run_id})"


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


def publication(path: Path) -> Publication | None:
    """All that a published file says of itself; None if it is missing or cannot be read."""
    rows = _query(
        path,
        "select run_id, published_at, code_version, (select list(t order by name) "
        f"from {INFO_SCHEMA}.tables t) from {INFO_SCHEMA}.publication",
    )
    if not rows:
        return None
    run_id, at, version, tables = rows[0]
    found = []
    for table in tables or ():
        schema, _, name = str(table["name"]).partition(".")
        rows_, print_ = int(table["row_count"]), str(table["fingerprint"])
        found.append(PublishedTable(schema, name, str(table["unique_id"]), rows_, print_))
    return Publication(str(run_id), at.astimezone(UTC), str(version), tuple(found))


def history(path: Path) -> list[Publication]:
    """What readers had and can have again, newest first; the current one is the first.

    One that was gone back to is there twice, the second time from when that was.
    """
    by_run: dict[str, Publication] = {}
    for kept in (path, *_kept(path)):
        found = publication(kept)
        if found is not None:
            by_run.setdefault(found.run_id, found)
    times = [*by_run.values()]
    for run_id, at in _rolled_back(path):
        if run_id in by_run:
            times.append(replace(by_run[run_id], published_at=at))
    times.sort(key=lambda one: one.published_at, reverse=True)
    current = publication(path)
    if current is not None and times[0].run_id != current.run_id:
        # a rollback was stopped before it was noted
        times.insert(0, replace(current, published_at=times[0].published_at))
    return times


def restore(path: Path, run_id: str, most: int) -> None:
    """Put an earlier file in the place of the published one, in one step; that one is kept.

    Args:
        path: the published file; the caller holds the lock.
        run_id: of the earlier one.
        most: how many earlier files are kept.

    Raises:
        PublishError: it is not kept, or the file cannot be replaced.
    """
    wanted = next((kept.path for kept in earlier(path) if kept.run_id == run_id), None)
    if wanted is None:
        raise PublishError(f"the published file of run {run_id} is not kept")
    temporary = portable.temporary_beside(path)
    line = json.dumps({"run_id": run_id, "at": datetime.now(UTC).isoformat()})
    try:
        temporary.unlink(missing_ok=True)
        portable.add_name(wanted, temporary)
        keep(path, max(most, 1))
        path.with_name(path.name + ".wal").unlink(missing_ok=True)
        portable.replace(temporary, path)
        portable.make_names_durable(path.parent)
        with _journal(path).open("a", encoding="utf-8") as journal:
            journal.write(f"{line}\n")
        prune(path, max(most, 1))
    except OSError as error:
        raise PublishError(
            f"{path} cannot be replaced ({error.strerror or error}): close the programs that have "
            "it open, or make its directory writable"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _journal(path: Path) -> Path:
    return folder(path) / "rolled_back.jsonl"


def _rolled_back(path: Path) -> Iterator[tuple[str, datetime]]:
    """Which runs were gone back to, and when; a line that was cut short is none."""
    try:
        lines = _journal(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            found = json.loads(line)
            yield str(found["run_id"]), datetime.fromisoformat(found["at"]).astimezone(UTC)


def _query(path: Path, sql: str) -> Sequence[Any]:
    try:
        found = path.stat()
    except OSError:
        return []
    import duckdb

    try:
        return _query_as_of(path, (found.st_ino, found.st_size, found.st_mtime_ns), sql)
    except duckdb.Error:
        return []  # a file that cannot be read is replaced by the next publish


@lru_cache(maxsize=64)
def _query_as_of(path: Path, stamp: tuple[int, ...], sql: str) -> Sequence[Any]:
    """A published file never changes, and takes DuckDB 20 ms to open; a run asks several times."""
    import duckdb

    del stamp
    with duckdb.connect(str(path), read_only=True) as connection:
        return tuple(connection.execute(sql).fetchall())


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
            _journal(path).unlink(missing_ok=True)
            folder(path).rmdir()


def _kept(path: Path) -> list[Path]:
    """All kept files, newest first: their names are times."""
    return sorted(folder(path).glob("*.duckdb"), key=lambda kept: kept.name, reverse=True)


def _is_same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False
