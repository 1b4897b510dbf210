"""``--table``, ``--since``, ``--until``: a part of a source is loaded again.

Sources that take the context (files, REST APIs) find the rows of a period themselves; the others
have dlt's ``incremental``, which is given the period, and then neither reads nor moves its state.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headrace.artifacts import read_manifest
from headrace.errors import NoCursorError, SettingsError, SourceError, TransformError
from headrace.formatting import did_you_mean, first_few
from headrace.ingest.periods import Backfill
from headrace.lineage.trace import reachable
from headrace.pipeline.reports import LoadReport
from headrace.settings import Resolved

if TYPE_CHECKING:
    import dlt
    from dlt.extract import DltResource, DltSource


def parse_tables(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The tables by source, of ``source.table``.

    Raises:
        SettingsError: a name without a source.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        source, dot, table = name.partition(".")
        if not (source and dot and table):
            raise SettingsError(f"--table {name}: write it as SOURCE.TABLE, like sales.orders")
        source = source.removesuffix("_raw")
        found[source] = (*found.get(source, ()), table)
    return found


@dataclass(frozen=True)
class LoadPart:
    """What of the sources is loaded.

    Attributes:
        tables: the tables by source; of a source that is not named here, all.
        backfill: the period of the past that is loaded again; None for what is new.
    """

    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    backfill: Backfill | None = None


def only(source: "DltSource", name: str, tables: tuple[str, ...]) -> "DltSource":
    """A source with some of its tables.

    Raises:
        SettingsError: it has no such table.
    """
    for table in tables:
        if table not in source.resources:
            meant = did_you_mean(table, source.resources)
            raise SettingsError(
                f"--table {name}.{table}: not a table of the source"
                + (f" ({meant})" if meant else "")
                + f"; it has {first_few(sorted(source.resources), 10)}"
            )
    return source.with_resources(*tables)


def limit(
    source: "DltSource", pipeline: "dlt.Pipeline", backfill: Backfill, *, takes_context: bool
) -> Iterator[str]:
    """Give the period to each resource with dlt's ``incremental``; yields sentences for the user.

    Raises:
        NoCursorError: a resource that was named has none.
        SourceError: it was not loaded yet, or its cursor has other values.
    """
    if pipeline.first_run:
        pipeline.sync_destination()
    states = pipeline.state.get("sources", {}).get(source.name, {}).get("resources", {})
    schema = pipeline.schemas.get(source.name)
    seen = {each["name"] for each in schema.data_tables(seen_data_only=True)} if schema else set()
    for name, resource in list(source.selected_resources.items()):
        state = states.get(name, {}).get("incremental", {})
        if takes_context and not state:
            continue
        where = f"{pipeline.pipeline_name}.{name}"
        if resource.incremental is None or (name in seen and not state):
            message = f"{where} has no cursor"
            if backfill.is_named:
                raise NoCursorError(f"{message}: each load brings all of it")
            resource.selected = False
            yield f"left out: {message}"
            continue
        _limit(resource, state, backfill, where)
    if not source.selected_resources:
        raise NoCursorError(f"no table of {pipeline.pipeline_name} has a cursor")


def _limit(
    resource: "DltResource", state: Mapping[str, Any], backfill: Backfill, where: str
) -> None:
    import dlt

    loaded = {
        path: kept["last_value"]
        for path, kept in state.items()
        if kept.get("last_value") is not None
    }
    if not loaded:
        raise SourceError(f"{where} was not loaded yet: run `headrace load` without --since")
    if resource.write_disposition != "merge":
        raise NoCursorError(
            f"{where} has the write disposition {resource.write_disposition}: without merging on "
            "a key, its rows would come twice"
        )
    cursor, last = next(reversed(loaded.items()))
    since, until = backfill.like(last, f"the cursor {cursor} of {where}")
    resource.apply_hints(
        incremental=dlt.sources.incremental(
            cursor,
            initial_value=since,
            end_value=last if until is None else until,
            range_end="closed" if until is None else "open",
            on_cursor_value_missing="include",
            primary_key=(),
        )
    )


def about_incremental_models(resolved: Resolved, report: LoadReport) -> list[str]:
    """A warning where dbt's incremental models read what was loaded again: it may be too old.

    Args:
        resolved: the settings; what dbt wrote last tells which models there are.
        report: of the load.
    """
    raw = {(resolved.raw_schema(table.source), table.table) for table in report.tables}
    models = _incremental_models(resolved, raw)
    if not models:
        return []
    note = (
        f"incremental models read what was loaded again: {first_few(models, 5)}; those that do not "
        "select rows by _dlt_load_id need `headrace build --full-refresh`"
    )
    return [note]


def _incremental_models(resolved: Resolved, raw: Collection[tuple[str, str]]) -> list[str]:
    """Names of the incremental models that read raw tables, through others too."""
    try:
        manifest = read_manifest(resolved.artifacts)
    except TransformError:
        return []
    found = {
        unique_id
        for unique_id, source in manifest.sources.items()
        if (source.schema_name, source.identifier or source.name) in raw
    }
    downstream = reachable(manifest.child_map(), found)
    return sorted(
        node.name
        for unique_id, node in manifest.nodes.items()
        if unique_id in downstream and node.config.materialized == "incremental"
    )
