"""The publish step: the marts in a file of their own, replaced by one rename.

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
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace import portable
from headrace.artifacts import Node, read_manifest
from headrace.errors import PublishError
from headrace.exceptions import first_line
from headrace.pipeline import published_file
from headrace.pipeline.published_file import INFO_SCHEMA
from headrace.pipeline.reports import Event, Listener, PublishedTable, PublishReport
from headrace.settings import Resolved
from headrace.sql_text import identifier, literal
from headrace.system_errors import system_fault
from headrace.targets import Target

if TYPE_CHECKING:
    import duckdb


_SLACK_BYTES = 16 * 1024 * 1024
_MOST_COMPARED = 1_000_000  # rows; more would make a publish wait


@dataclass(frozen=True)
class _Mart:
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
        return self.node.schema_name or "main"

    @property
    def table(self) -> str:
        return self.node.relation_name

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.table}"

    @property
    def quoted(self) -> str:
        return f"{identifier(self.schema)}.{identifier(self.table)}"


def publish(
    resolved: Resolved,
    target: Target,
    *,
    run_id: str,
    code_version: str,
    listen: Listener,
    affected: Collection[str] = frozenset(),
) -> PublishReport:
    """Publish what was built; the caller has audited it.

    Where no mart is built, what is published stays as it is.

    Args:
        resolved: the settings.
        target: where the marts are.
        run_id: recorded in the published file (``_headrace.publication``).
        code_version: recorded beside it.
        listen: is told of each table that is written.
        affected: ids of nodes that stay as they are published, because a load upstream of them
            failed.

    Raises:
        PublishError: the file cannot be written; the old one is untouched.
        WarehouseError: the warehouse cannot be read.
    """
    import duckdb

    started = time.monotonic()
    path = resolved.published
    manifest = read_manifest(resolved.artifacts)
    wanted = manifest.relations(*resolved.published_relations)
    left = {
        f"{node.schema_name}.{node.relation_name}" for node in wanted if node.unique_id in affected
    }
    nodes = [
        node
        for node in wanted
        if node.unique_id not in affected
        and target.count_rows(node.schema_name or "", node.relation_name) is not None
    ]
    if not nodes:  # a project that has no marts yet, or none whose sources are loaded
        size = path.stat().st_size if path.exists() else 0
        return PublishReport(
            path=str(path),
            written=False,
            tables=(),
            left=tuple(sorted(left)),
            bytes=size,
            seconds=time.monotonic() - started,
        )
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        with duckdb.connect() as connection:
            # views name their own database, so it must keep its name here
            warehouse = identifier(target.database)
            if not target.attach(connection, target.database):
                raise PublishError(
                    f"there is no warehouse at {target.location}: run `headrace run`"
                )
            marts = [_fingerprinted(connection, warehouse, node) for node in nodes]
            published = _published_fingerprints(connection, path)
            changed = [mart for mart in marts if published.get(mart.name) != mart.fingerprint]
            moved = _moved(connection, warehouse, path, marts, published, manifest.keys())
            dropped = sorted(set(published) - {mart.name for mart in marts} - left)
            if changed or dropped:
                keep = bool(published) and len(changed) < len(marts)
                # what is left is nowhere else
                must_keep = not left.isdisjoint(published)
                if must_keep or (keep and _is_worth_copying(connection, path)):
                    portable.copy_file(path, temporary)
                else:
                    changed, dropped = marts, []
                _write(connection, warehouse, temporary, marts, changed, dropped, listen)
                _record_publication(connection, marts, left, run_id, code_version, target)
                connection.execute("detach published")
                _replace(temporary, path, resolved.settings.publish.keep)
    except duckdb.Error as error:
        raise _explain(path, error) from error
    except OSError as error:
        raise _explain(path, error) from error
    finally:
        for leftover in (temporary, Path(f"{temporary}.wal")):
            with suppress(OSError):
                leftover.unlink(missing_ok=True)
    names = {mart.name for mart in changed}
    return PublishReport(
        path=str(path),
        written=bool(changed or dropped),
        tables=tuple(
            PublishedTable(
                name=mart.name,
                rows=mart.rows,
                rows_new=moved[mart.name][0],
                rows_changed=moved[mart.name][1],
                changed=mart.name in names,
                asset=mart.node.unique_id,
            )
            for mart in marts
        ),
        left=tuple(sorted(left)),
        bytes=path.stat().st_size,
        seconds=time.monotonic() - started,
    )


def _fingerprinted(connection: "duckdb.DuckDBPyConnection", warehouse: str, node: Node) -> _Mart:
    """Count a relation's rows and fingerprint its content, whatever the order of rows."""
    import duckdb

    relation = f"{identifier(node.schema_name or 'main')}.{identifier(node.relation_name)}"
    name = f"{warehouse}.{relation}"
    described = connection.execute(f"describe {name}").fetchall()
    columns = ", ".join(identifier(str(row[0])) for row in described)
    row = connection.execute(
        f"select count(*), bit_xor(hash({columns})), sum(hash({columns})::hugeint) from {name}"
    ).fetchone()
    rows, xor, total = row if row is not None else (0, None, None)
    shape = [(str(column[0]), str(column[1])) for column in described]
    docs = [node.description, *(f"{c.name}:{c.description}" for c in node.columns.values())]
    fingerprint = repr((duckdb.__version__, rows, xor, total, shape, docs))
    return _Mart(node, int(rows), fingerprint)


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


def _moved(
    connection: "duckdb.DuckDBPyConnection",
    warehouse: str,
    path: Path,
    marts: list[_Mart],
    published: Mapping[str, str],
    keys: Mapping[str, tuple[str, ...]],
) -> dict[str, tuple[int | None, int | None]]:
    """How many rows of each mart are new, and how many changed, since the last publication.

    Rows are told apart by the mart's key; None where it has none, or many rows.
    """
    import duckdb

    found: dict[str, tuple[int | None, int | None]] = {}
    compared: list[_Mart] = []
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
    connection.execute(f"attach {literal(str(path))} as before (read_only)")
    try:
        for mart in compared:
            key = ", ".join(identifier(name) for name in keys[mart.node.unique_id])
            new, old = f"{warehouse}.{mart.quoted}", f"before.{mart.quoted}"
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
                found[mart.name] = (int(row[0]), int(row[1]) if shapes[0] == shapes[1] else None)
    finally:
        connection.execute("detach before")
    return found


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


def _write(
    connection: "duckdb.DuckDBPyConnection",
    warehouse: str,
    path: Path,
    marts: list[_Mart],
    changed: list[_Mart],
    dropped: list[str],
    listen: Listener,
) -> None:
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
            f"create or replace table {relation} as select * from {warehouse}.{mart.quoted}"
        )
        _describe(connection, relation, mart.node)
        listen(Event("publish", mart.name, "done", f"{mart.rows:,} rows", time.monotonic() - began))
    for mart in marts:
        row = connection.execute(f"select count(*) from published.{mart.quoted}").fetchone()
        if row is None or row[0] != mart.rows:
            raise PublishError(
                f"{mart.name} has {row[0] if row else 'no'} rows in the new file, not {mart.rows}: "
                "nothing was published; run again"
            )


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


def _record_publication(
    connection: "duckdb.DuckDBPyConnection",
    marts: list[_Mart],
    left: Collection[str],
    run_id: str,
    code_version: str,
    target: Target,
) -> None:
    """Record in the file which run published it, and the fingerprint of each table."""
    import duckdb

    before: list[tuple[object, ...]] = []
    if left:
        with suppress(duckdb.CatalogException):  # a file that is written as a whole
            rows = connection.execute(f"select * from published.{INFO_SCHEMA}.tables").fetchall()
            before = [row for row in rows if row[0] in left]
    connection.execute(f"create schema if not exists published.{INFO_SCHEMA}")
    connection.execute(
        f"create or replace table published.{INFO_SCHEMA}.publication as select ? as run_id, "
        "?::timestamptz as published_at, ? as code_version, ? as target",
        [run_id, datetime.now(UTC), code_version, target.name],
    )
    connection.execute(
        f"create or replace table published.{INFO_SCHEMA}.tables "
        "(name varchar, row_count bigint, unique_id varchar, fingerprint varchar)"
    )
    connection.executemany(
        f"insert into published.{INFO_SCHEMA}.tables values (?, ?, ?, ?)",
        [
            *before,
            *((mart.name, mart.rows, mart.node.unique_id, mart.fingerprint) for mart in marts),
        ],
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


class PublishedState(BaseModel):
    """What was published last, and the signature of the warehouse then.

    Attributes:
        run_id: the run that published, or found the published file current.
        code_version: the project's commit in that run.
        published_at: UTC.
        signature: the warehouse as it was published.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    code_version: str
    published_at: datetime
    signature: str | None


def _state_path(resolved: Resolved) -> Path:
    """Where the state is kept."""
    return resolved.data_dir / "dbt" / "published_state.json"


def read_published_state(resolved: Resolved) -> PublishedState | None:
    """The state of the last publish; None if it is missing or cannot be read."""
    try:
        return PublishedState.model_validate_json(_state_path(resolved).read_bytes())
    except (OSError, ValidationError):
        return None


def write_published_state(resolved: Resolved, state: PublishedState) -> None:
    """Keep the state, in one step; the caller holds the run lock."""
    portable.write_file(_state_path(resolved), state.model_dump_json())
