"""The publish step: what passed its audit becomes visible to readers, in one step.

Readers of a DuckDB warehouse have the published file. Other targets publish in their own engine
(``headrace.targets.publication``), and the file is a copy of that, for the page, comparisons and
notebooks, unless `publish.local_copy` is `never`.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace import portable
from headrace.artifacts import Manifest, Node, read_manifest
from headrace.errors import PublishError
from headrace.libraries.duckdb import connect
from headrace.pipeline.publishing.published_copy import (
    Mart,
    Moved,
    PublishedCopy,
    TooLargeError,
    WrittenCopy,
    about,
)
from headrace.pipeline.reports import Event, Listener, PublishedTableReport, PublishReport
from headrace.settings import Resolved
from headrace.targets import Target
from headrace.targets import publication as engine
from headrace.targets.publication import BuiltTable, Publication, Publisher


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
        run_id: recorded with what is published.
        code_version: recorded beside it.
        listen: is told of each table that is written.
        affected: ids of nodes that stay as they are published, because a load upstream of them
            failed.

    Raises:
        PublishError: what changed cannot be written; readers have what they had.
        WarehouseError: the warehouse cannot be read.
    """
    started = time.monotonic()
    manifest = read_manifest(resolved.artifacts)
    wanted = manifest.relations(*resolved.published_relations)
    left = {
        f"{node.schema_name}.{node.relation_name}" for node in wanted if node.unique_id in affected
    }
    nodes = [node for node in wanted if node.unique_id not in affected]
    publisher = target.publisher()
    with connect() as connection:
        copy = PublishedCopy(connection, resolved, target)
        if publisher is None:
            found = [copy.fingerprinted(node) for node in nodes] if target.exists() else []
            marts = [mart for mart in found if mart is not None]
        else:
            marts = _fingerprinted(publisher, nodes)
        written, has_copy = WrittenCopy(is_new=False, changed=frozenset(), moved={}), False
        note: str | None = None
        if marts:  # else a project that has no marts yet, or none whose sources are loaded
            if publisher is not None:
                written = _publish_in(
                    publisher, resolved, marts, left, run_id, code_version, listen
                )
            if publisher is None or resolved.settings.publish.local_copy == "always":
                try:
                    copied = _copy(
                        copy, resolved, manifest, marts, left, run_id, code_version,
                        listen=listen if publisher is None else _silent, beside=publisher,
                    )  # fmt: skip
                except TooLargeError as error:
                    note = f"{error} (publish.local_copy_limit)"
                else:
                    moved = {**written.moved, **copied.moved}
                    written = copied if publisher is None else replace(written, moved=moved)
                    has_copy = True
    path = resolved.published
    if marts and not has_copy:
        path.unlink(missing_ok=True)  # it would be taken for what is published
    return PublishReport(
        path=publisher.location if publisher is not None else str(path),
        written=written.is_new,
        tables=tuple(
            PublishedTableReport(
                name=mart.name,
                rows=mart.rows,
                rows_new=written.moved[mart.name][0],
                rows_changed=written.moved[mart.name][1],
                changed=mart.name in written.changed,
                asset=mart.node.unique_id,
            )
            for mart in marts
        ),
        left=tuple(sorted(left)),
        note=note,
        bytes=path.stat().st_size if path.exists() else 0,
        seconds=time.monotonic() - started,
    )


def _silent(event: Event) -> None:
    del event  # the engine's publication has told of each table


def _fingerprinted(publisher: Publisher, nodes: list[Node]) -> list[Mart]:
    """The relations that are there, with what the engine says of their content."""
    names = {(node.schema_name or "", node.relation_name): node for node in nodes}
    prints = publisher.fingerprints(list(names))
    return [
        Mart(node, rows, repr((content, about(node))))
        for name, node in names.items()
        if name in prints
        for rows, content in (prints[name],)
    ]


def _publish_in(
    publisher: Publisher,
    resolved: Resolved,
    marts: list[Mart],
    left: Collection[str],
    run_id: str,
    code_version: str,
    listen: Listener,
) -> WrittenCopy:
    """Publish in the engine of the target."""
    current = publisher.current()
    before = {table.full_name: table for table in current.tables} if current else {}
    built = [_built(mart) for mart in marts]
    changed = [
        table
        for table in built
        if table.full_name not in before or before[table.full_name].fingerprint != table.fingerprint
    ]
    kept = tuple(table for name, table in before.items() if name in left)
    is_new = bool(changed) or set(before) != {t.full_name for t in (*built, *kept)}
    if is_new:

        def tell(table: BuiltTable, seconds: float) -> None:
            words = f"{table.rows:,} rows"
            name, rows = table.full_name, table.rows
            listen(Event("publish", name, "done", words, seconds, table=name, rows=rows))

        tables = (*map(_published, built), *kept)
        publisher.publish(
            Publication(run_id, datetime.now(UTC), code_version, tables),
            changed,
            keep=resolved.settings.publish.keep,
            tell=tell,
        )
    names = frozenset(table.full_name for table in changed)
    return WrittenCopy(is_new, names, {mart.name: _counted(mart, before, names) for mart in marts})


def _counted(
    mart: Mart, before: Mapping[str, engine.PublishedTable], changed: Collection[str]
) -> Moved:
    if mart.name not in before:
        return mart.rows, 0
    return (None, None) if mart.name in changed else (0, 0)


def _built(mart: Mart) -> BuiltTable:
    return BuiltTable(
        schema=mart.schema,
        name=mart.table,
        unique_id=mart.node.unique_id,
        rows=mart.rows,
        fingerprint=mart.fingerprint,
        description=mart.node.description,
        columns={c.name: c.description for c in mart.node.columns.values() if c.description},
    )


def _published(table: BuiltTable) -> engine.PublishedTable:
    return engine.PublishedTable(
        table.schema, table.name, table.unique_id, table.rows, table.fingerprint
    )


def _copy(
    copy: PublishedCopy,
    resolved: Resolved,
    manifest: Manifest,
    marts: list[Mart],
    left: Collection[str],
    run_id: str,
    code_version: str,
    *,
    listen: Listener,
    beside: Publisher | None,
) -> WrittenCopy:
    """Write the published file; beside an engine's publication it is a copy of that."""
    try:
        return copy.write(
            marts,
            left=left,
            keys=manifest.keys(),
            run_id=run_id,
            code_version=code_version,
            listen=listen,
            most_bytes=resolved.settings.publish.local_copy_limit if beside is not None else None,
        )
    except PublishError as error:
        if beside is None:
            raise
        raise PublishError(
            f"{beside.location} has what was built, and the copy of it for the page and "
            f"comparisons does not: {error}; or set publish.local_copy to never"
        ) from error


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


def forget_published_state(resolved: Resolved) -> None:
    """Forget it: what is published is not what is built any more."""
    _state_path(resolved).unlink(missing_ok=True)
