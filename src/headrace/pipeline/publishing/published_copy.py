"""Writing the published file: a new one beside it, which takes its place by one rename.

The new file starts as a copy of the published one; only tables whose content changed are written
again. Readers that have the old file open keep it until they open it again.
"""

import glob
import os
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace import portable
from headrace.artifacts import Node
from headrace.errors import PublishError
from headrace.exceptions import first_line
from headrace.pipeline.publishing import published_file
from headrace.pipeline.reports import Event, Listener
from headrace.settings import Resolved
from headrace.sql_text import identifier, literal
from headrace.system_errors import system_fault
from headrace.targets import Target
from headrace.targets.publication import INFO_SCHEMA, content_of

if TYPE_CHECKING:
    import duckdb


_SLACK_BYTES = 16 * 1024 * 1024
_MOST_COMPARED = 1_000_000  # rows; more would make a publish wait
Moved = tuple[int | None, int | None]
"""How many rows are new, and how many changed; None where that was not counted."""


@dataclass(frozen=True)
class Mart:
    """A relation to publish, and what its content is.

    Attributes:
        node: its dbt node.
        rows: its number of rows.
        fingerprint: changes with any value, column, type or description.
    """

    node: Node
    rows: int
    fingerprint: str

    @property
    def schema(self) -> str:
        """dbt's schema of it."""
        return self.node.schema_name or "main"

    @property
    def table(self) -> str:
        """Its name in the schema."""
        return self.node.relation_name

    @property
    def name(self) -> str:
        """``schema.table``."""
        return f"{self.schema}.{self.table}"

    @property
    def quoted(self) -> str:
        """The name in SQL."""
        return f"{identifier(self.schema)}.{identifier(self.table)}"


@dataclass(frozen=True)
class WrittenCopy:
    """What was written.

    Attributes:
        is_new: whether there is a new file.
        changed: the names of the marts that were written.
        moved: rows that are new and changed, by the name of the mart.
    """

    is_new: bool
    changed: frozenset[str]
    moved: Mapping[str, Moved]


class TooLargeError(Exception):
    """The published file would take more than it may."""


def about(node: Node) -> list[str]:
    """The descriptions of a node, which are published with it."""
    return [node.description, *(f"{c.name}:{c.description}" for c in node.columns.values())]


class PublishedCopy:
    """The published file of one publish; one use.

    Args:
        connection: a DuckDB in memory.
        resolved: the settings, which say where the file is.
        target: where the marts are.
    """

    def __init__(
        self, connection: "duckdb.DuckDBPyConnection", resolved: Resolved, target: Target
    ) -> None:
        self._connection = connection
        self._target = target
        self._path = resolved.published
        self._keep = resolved.settings.publish.keep
        # views of a DuckDB file name their own database, so it must keep its name here
        name = target.database if target.database_file is not None else "warehouse"
        self._warehouse = identifier(name)
        self._alias = name
        self._is_attached = False

    def fingerprinted(self, node: Node) -> Mart | None:
        """Count a relation's rows and fingerprint its content, whatever the order of rows.

        Returns:
            None where there is no such relation, or it is a view of what is gone.

        Raises:
            PublishError: there is no warehouse.
            WarehouseError: it cannot be read.
        """
        import duckdb

        self._attach()
        relation = f"{identifier(node.schema_name or 'main')}.{identifier(node.relation_name)}"
        name = f"{self._warehouse}.{relation}"
        try:
            rows, content = content_of(self._connection, name)
        except duckdb.CatalogException:
            return None
        return Mart(node, rows, repr((content, about(node))))

    def write(
        self,
        marts: list[Mart],
        *,
        left: Collection[str],
        keys: Mapping[str, tuple[str, ...]],
        run_id: str,
        code_version: str,
        listen: Listener,
        most_bytes: int | None = None,
    ) -> WrittenCopy:
        """Write what changed, and put the new file in the place of the old one.

        Args:
            marts: all that are to be in it.
            left: names of those that stay as they are published.
            keys: the key of each mart that has one, by dbt's id.
            run_id: is recorded in it.
            code_version: likewise.
            listen: is told of each table that is written.
            most_bytes: that the file may take; None for any.

        Raises:
            PublishError: it cannot be written; the old one is untouched.
            TooLargeError: it would take more than it may; likewise.
        """
        import duckdb

        path = self._path
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(path)
            published = _published_fingerprints(self._connection, path)
            changed = [mart for mart in marts if published.get(mart.name) != mart.fingerprint]
            dropped = sorted(set(published) - {mart.name for mart in marts} - set(left))
            if changed:
                self._attach()
            moved = self._moved(marts, published, keys)
            if changed or dropped:
                keep = bool(published) and len(changed) < len(marts)
                # what is left is nowhere else
                must_keep = not set(left).isdisjoint(published)
                if must_keep or (keep and _is_worth_copying(self._connection, path)):
                    portable.copy_file(path, temporary)
                else:
                    self._attach()
                    changed, dropped = marts, []
                self._write(temporary, marts, changed, dropped, listen, most_bytes)
                self._record(marts, left, run_id, code_version)
                self._connection.execute("detach published")
                _replace(temporary, path, self._keep)
        except duckdb.Error as error:
            raise _explain(path, error) from error
        except OSError as error:
            raise _explain(path, error) from error
        finally:
            for leftover in (temporary, Path(f"{temporary}.wal")):
                with suppress(OSError):
                    leftover.unlink(missing_ok=True)
        return WrittenCopy(
            bool(changed or dropped), frozenset(mart.name for mart in changed), moved
        )

    def _attach(self) -> None:
        if self._is_attached:
            return
        if not self._target.attach(self._connection, self._alias):
            raise PublishError(
                f"there is no warehouse at {self._target.location}: run `headrace run`"
            )
        self._is_attached = True

    def _moved(
        self,
        marts: list[Mart],
        published: Mapping[str, str],
        keys: Mapping[str, tuple[str, ...]],
    ) -> dict[str, Moved]:
        """How many rows of each mart are new, and how many changed, since the last publication.

        Rows are told apart by the mart's key; None where it has none, or many rows.
        """
        import duckdb

        connection = self._connection
        found: dict[str, Moved] = {}
        compared: list[Mart] = []
        for mart in marts:
            if mart.name not in published:
                found[mart.name] = (mart.rows, 0)
            elif published[mart.name] == mart.fingerprint:
                found[mart.name] = (0, 0)
            else:
                found[mart.name] = (None, None)
                if keys.get(mart.node.unique_id) and mart.rows <= _MOST_COMPARED:
                    compared.append(mart)
        if not compared:
            return found
        connection.execute(f"attach {literal(str(self._path))} as before (read_only)")
        try:
            for mart in compared:
                key = ", ".join(identifier(name) for name in keys[mart.node.unique_id])
                new, old = f"{self._warehouse}.{mart.quoted}", f"before.{mart.quoted}"
                shapes = [
                    [
                        (str(row[0]), str(row[1]))
                        for row in connection.execute(f"describe {one}").fetchall()
                    ]
                    for one in (new, old)
                ]
                columns = ", ".join(identifier(str(name)) for name, _ in shapes[0])
                try:
                    row = connection.execute(
                        f"with fresh as (select {key}, hash({columns}) as __hash from {new}), "
                        f"known as (select {key}, true as __known, "
                        f"{f'hash({columns})' if shapes[0] == shapes[1] else 'null'} as __old "
                        f"from {old}) select count_if(__known is null), count_if(__hash <> __old) "
                        f"from fresh left join known using ({key})"
                    ).fetchone()
                except duckdb.Error:  # the key has another name or type now
                    continue
                if row is not None:
                    found[mart.name] = (
                        int(row[0]),
                        int(row[1]) if shapes[0] == shapes[1] else None,
                    )
        finally:
            connection.execute("detach before")
        return found

    def _write(
        self,
        path: Path,
        marts: list[Mart],
        changed: list[Mart],
        dropped: list[str],
        listen: Listener,
        most_bytes: int | None,
    ) -> None:
        connection = self._connection
        connection.execute(f"attach {literal(str(path))} as published")
        for name in dropped:
            schema, _, table = name.partition(".")
            connection.execute(
                f"drop table if exists published.{identifier(schema)}.{identifier(table)}"
            )
        for mart in changed:
            began = time.monotonic()
            relation = f"published.{mart.quoted}"
            connection.execute(f"create schema if not exists published.{identifier(mart.schema)}")
            connection.execute(
                f"create or replace table {relation} as "
                f"select * from {self._warehouse}.{mart.quoted}"
            )
            if most_bytes is not None:
                connection.execute("checkpoint published")
                if path.stat().st_size > most_bytes:
                    raise TooLargeError(
                        f"there is no copy of what is published here: it would take more than "
                        f"{most_bytes:,} bytes"
                    )
            _describe(connection, relation, mart.node)
            words, seconds = f"{mart.rows:,} rows", time.monotonic() - began
            name, rows = mart.name, mart.rows
            listen(Event("publish", name, "done", words, seconds, table=name, rows=rows))
        for mart in marts:
            row = connection.execute(f"select count(*) from published.{mart.quoted}").fetchone()
            if row is None or row[0] != mart.rows:
                raise PublishError(
                    f"{mart.name} has {row[0] if row else 'no'} rows in the new file, not "
                    f"{mart.rows}: nothing was published; run again"
                )

    def _record(
        self, marts: list[Mart], left: Collection[str], run_id: str, code_version: str
    ) -> None:
        """Record in the file which run published it, and the fingerprint of each table."""
        import duckdb

        connection = self._connection
        listed: list[tuple[Any, ...]] = [
            (mart.name, mart.rows, mart.node.unique_id, mart.fingerprint) for mart in marts
        ]
        if left:
            with suppress(duckdb.CatalogException):  # a file that is written as a whole
                rows = connection.execute(
                    f"select * from published.{INFO_SCHEMA}.tables"
                ).fetchall()
                listed = [*(row for row in rows if row[0] in left), *listed]
        connection.execute(f"create schema if not exists published.{INFO_SCHEMA}")
        connection.execute(
            f"create or replace table published.{INFO_SCHEMA}.publication as select "
            f"{literal(run_id)} as run_id, "
            f"{literal(datetime.now(UTC).isoformat())}::timestamptz as published_at, "
            f"{literal(code_version)} as code_version, {literal(self._target.name)} as target"
        )
        connection.execute(
            f"create or replace table published.{INFO_SCHEMA}.tables "
            "(name varchar, row_count bigint, unique_id varchar, fingerprint varchar)"
        )
        for name, count, *texts in listed:
            values = ", ".join([literal(name), str(count), *map(literal, texts)])
            connection.execute(f"insert into published.{INFO_SCHEMA}.tables values ({values})")


def _published_fingerprints(connection: "duckdb.DuckDBPyConnection", path: Path) -> dict[str, str]:
    """Fingerprints of what is published; empty if the file is missing or cannot be read."""
    import duckdb

    if not path.exists():
        return {}
    try:
        connection.execute(f"attach {literal(str(path))} as before (read_only)")
    except duckdb.Error:
        return {}  # a file that cannot be read is replaced as a whole
    try:
        rows = connection.execute(
            f"select name, fingerprint from before.{INFO_SCHEMA}.tables"
        ).fetchall()
    except duckdb.Error:
        rows = []  # cut short, or not written by Headrace
    finally:
        connection.execute("detach before")
    return {str(name): str(fingerprint) for name, fingerprint in rows}


def _is_worth_copying(connection: "duckdb.DuckDBPyConnection", path: Path) -> bool:
    """Whether most of the published file is in use; free blocks are not worth copying."""
    connection.execute(f"attach {literal(str(path))} as before (read_only)")
    row = connection.execute(
        "select used_blocks, free_blocks, block_size from pragma_database_size() "
        "where database_name = 'before'"
    ).fetchone()
    connection.execute("detach before")
    used, free, size = row if row is not None else (0, 0, 0)
    return bool(free <= used or free * size < _SLACK_BYTES)


def _describe(connection: "duckdb.DuckDBPyConnection", relation: str, node: Node) -> None:
    """Carry dbt's descriptions over as comments, so that a reader finds them in the file."""
    if node.description:
        connection.execute(f"comment on table {relation} is {literal(node.description)}")
    there = {str(row[0]).lower() for row in connection.execute(f"describe {relation}").fetchall()}
    for column in node.columns.values():
        if column.description and column.name.lower() in there:
            connection.execute(
                f"comment on column {relation}.{identifier(column.name)} "
                f"is {literal(column.description)}"
            )


def _replace(temporary: Path, path: Path, keep: int) -> None:
    """Make the new file durable, then take the old one's place in one step; the old one is kept."""
    portable.make_durable(temporary)
    published_file.keep(path, keep)
    # a log that somebody who wrote to the published file left behind does not fit the new one
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    portable.replace(temporary, path)
    portable.make_names_durable(path.parent)
    published_file.prune(path, keep)


def _remove_leftovers(path: Path) -> None:
    """Delete what a killed publish left; the caller holds the lock, so nobody is writing them."""
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.*.tmp*"):
        leftover.unlink(missing_ok=True)


def _explain(path: Path, error: Exception) -> PublishError:
    if isinstance(error, PermissionError):
        return PublishError(
            f"{path} cannot be replaced ({error.strerror}): close the programs that have it open, "
            "or make its directory writable, then run `headrace publish`"
        )
    fault = system_fault(error, place=path.parent)
    why = fault.message if fault else first_line(error)
    return PublishError(f"{path} was not published: {why}")
