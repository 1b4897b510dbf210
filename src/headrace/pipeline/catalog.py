"""The catalog step: from a run's artifacts to the newest version of the catalog.

dbt: manifest.json, catalog.json ─┐
dlt: schemas ─────────────────────┴─► graph of assets ─► column lineage ─► run store
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash
from pydantic import BaseModel, ConfigDict, ValidationError

from headrace import __version__, portable
from headrace.catalog import Asset, Catalog, RunStore, pii
from headrace.catalog.evidence import LoadedTable
from headrace.catalog.model import table_id
from headrace.errors import ArtifactError, CatalogError
from headrace.pipeline.reports import CatalogReport
from headrace.pipeline.status import has_store
from headrace.settings import Resolved
from headrace.settings.resolved import usual_raw_schema

if TYPE_CHECKING:
    from headrace.artifacts import Artifacts


class _CatalogStamp(BaseModel):
    """What the newest stored version was made from."""

    model_config = ConfigDict(frozen=True)

    stamp: str
    version: int


def refresh(resolved: Resolved, store: RunStore, run_id: str) -> CatalogReport:
    """Read the artifacts, trace their columns, and keep the catalog where it changed.

    When no artifact changed since the last time, nothing is read.

    Args:
        resolved: the settings.
        store: where it is kept.
        run_id: the run that it belongs to.

    Raises:
        TransformError: dbt's manifest cannot be read.
        UserError: neither dbt nor dlt has left anything yet.
        RunStoreError: the store cannot be written.
    """
    started = time.monotonic()
    loaded = store.loaded_tables()
    stamp = _stamp(resolved, [f"{one.source}.{one.table}" for one in loaded])
    last = _read_state(resolved)
    newest = store.catalog_version()
    if last is not None and last.stamp == stamp and last.version == newest:
        return CatalogReport(version=last.version, seconds=time.monotonic() - started)
    catalog = traced(
        _read(resolved),
        dialect=resolved.target.dialect,
        cache=resolved.data_dir / "dbt" / "lineage_cache",
    )
    catalog = _with_empty_tables(catalog, loaded, resolved)
    version = store.save_catalog(catalog, run_id)
    kept = newest if version is None else version
    if kept is not None:
        _write_state(resolved, _CatalogStamp(stamp=stamp, version=kept))
    changes = (
        store.catalog_changes(newest, version) if version is not None and newest is not None else ()
    )
    return CatalogReport(
        version=kept,
        is_new=version is not None,
        assets=len(catalog.assets),
        columns=sum(len(asset.columns) for asset in catalog.assets.values()),
        column_edges=len(catalog.column_edges),
        problems=len(catalog.problems),
        changes=len(changes),
        seconds=time.monotonic() - started,
    )


def current(resolved: Resolved) -> Catalog:
    """The newest catalog that a run kept.

    Raises:
        CatalogError: no run has kept one yet.
        RunStoreError: the run store cannot be read.
    """
    catalog = None
    if has_store(resolved):
        store = RunStore(resolved.run_store_url)
        try:
            catalog = store.load_catalog()
        finally:
            store.close()
    if catalog is None:
        raise CatalogError("there is no catalog yet: run `headrace run` first")
    return catalog


def _read(resolved: Resolved) -> "Artifacts":
    from headrace.artifacts import read_artifacts

    return read_artifacts(resolved.artifacts, resolved.data_dir / "dlt", newest_packages=0)


def traced(artifacts: "Artifacts", *, dialect: str, cache: Path) -> Catalog:
    """The catalog of some artifacts, with its column lineage.

    Args:
        artifacts: of dbt and dlt.
        dialect: sqlglot's name of the models' SQL; empty: generic.
        cache: a folder that keeps what was read of each statement.
    """
    from headrace.catalog.build import build_catalog, with_lineage
    from headrace.lineage.columns import column_lineage

    catalog = build_catalog(artifacts, raw_schema=usual_raw_schema)
    lineage = column_lineage(catalog, dialect=dialect, cache=cache)
    return with_lineage(
        catalog,
        edges=lineage.edges,
        columns=lineage.columns,
        problems=lineage.problems,
        lookups=lineage.lookups,
    )


def _with_empty_tables(
    catalog: Catalog, loaded: Iterable[LoadedTable], resolved: Resolved
) -> Catalog:
    """The catalog with the raw tables that were loaded without a row: dlt has made none of them."""
    missing = {
        key: one
        for one in loaded
        if one.rows_total == 0
        and (key := table_id(resolved.raw_schema(one.source), one.table)) not in catalog.assets
        and one.source in resolved.settings.sources
    }
    if not missing:
        return catalog
    empty = {
        key: Asset(
            id=key,
            kind="table",
            name=one.table,
            schema=resolved.raw_schema(one.source),
            identifier=one.table,
            description="No row was loaded yet, so the warehouse has no such table.",
            package=one.source,
        )
        for key, one in sorted(missing.items())
    }
    return replace(
        catalog,
        assets={**catalog.assets, **empty},
        parents={**catalog.parents, **dict.fromkeys(empty, ())},
    )


def _stamp(resolved: Resolved, loaded: Sequence[str]) -> str:
    """Digest of path, size and time of all artifacts that the catalog is made from, and tables."""
    state = xxhash.xxh3_128(f"{__version__} {loaded}".encode())
    paths = [resolved.artifacts / name for name in ("manifest.json", "catalog.json")]
    paths += sorted((resolved.data_dir / "dlt").glob("*/schemas/*.json"))
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            mark = "-"
        else:
            mark = f"{stat.st_size}:{stat.st_mtime_ns}"
        state.update(f"{path}:{mark}\0".encode())
    return state.hexdigest()


def _state_path(resolved: Resolved) -> Path:
    return resolved.data_dir / "dbt" / "catalog_state.json"


def _read_state(resolved: Resolved) -> _CatalogStamp | None:
    try:
        return _CatalogStamp.model_validate_json(_state_path(resolved).read_bytes())
    except (OSError, ValidationError):
        return None


def _write_state(resolved: Resolved, state: _CatalogStamp) -> None:
    path = _state_path(resolved)
    try:
        portable.write_file(path, state.model_dump_json())
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be written ({error.strerror}): free some space or "
            "correct its permissions"
        ) from error


@dataclass(frozen=True)
class KnownColumns:
    """Keys and columns without PII, by ``schema.table``.

    Attributes:
        keys: the columns of its primary key, where it has one.
        harmless: columns that are known to hold no personal data.
    """

    keys: Mapping[str, tuple[str, ...]]
    harmless: Mapping[str, tuple[str, ...]]


def known_columns(catalog: Catalog) -> KnownColumns:
    """The keys and columns without PII of all relations of a catalog."""
    made_from = pii.inherited(catalog)
    unread = {problem.asset for problem in catalog.problems}
    keys: dict[str, tuple[str, ...]] = {}
    harmless: dict[str, tuple[str, ...]] = {}
    for asset in catalog.assets.values():
        if not asset.is_relation:
            continue
        name = f"{asset.schema or 'main'}.{asset.identifier or asset.name}"
        if asset.primary_key:
            keys[name] = asset.primary_key
        shown = tuple(
            column.name
            for column in asset.columns
            if pii.why_masked(catalog, made_from, asset.id, column, is_read=asset.id not in unread)
            is None
        )
        if shown:
            harmless[name] = shown
    return KnownColumns(keys, harmless)
