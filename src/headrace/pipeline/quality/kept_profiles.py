"""The profiles that each run keeps: of every raw table and published mart that changed.

catalog, published file ─► tables ─► those whose content is another ─► quick profile ─► run store
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import portable
from headrace.catalog import Catalog, RunStore, pii
from headrace.formatting import one_line
from headrace.libraries.duckdb import connect, make_room, with_room
from headrace.pipeline.catalog import KnownColumns, known_columns
from headrace.pipeline.publishing import published_file
from headrace.pipeline.quality.raw_stamps import RawStamps, columns_of, digest, quoted_table
from headrace.pipeline.reports import Event, Listener, ignore
from headrace.quality.profile import TableProfile, profile_quickly, without_values
from headrace.settings import Resolved
from headrace.sql_text import identifier, literal, qualified
from headrace.system_errors import error_line

if TYPE_CHECKING:
    import duckdb

    from headrace.catalog.model import Asset

_LOG = logging.getLogger("headrace.pipeline")
_HIDDEN = ("_dlt", "_headrace", "_quarantine")
_FILE = "published"  # the alias of the published file


@dataclass(frozen=True)
class _Table:
    """A table whose profile is kept.

    Attributes:
        asset: of the catalog.
        name: ``schema.table``.
        quoted: in SQL.
        stamp: of its content, if the publication says that.
    """

    asset: "Asset"
    name: str
    quoted: str
    stamp: str | None = None


def keep(
    resolved: Resolved,
    store: RunStore,
    run_id: str,
    listen: Listener = ignore,
    stamps: RawStamps | None = None,
) -> tuple[list[str], list[str]]:
    """Profile the raw tables and published marts that changed since their last profile.

    Values of columns that hold personal data by now are removed from earlier profiles as well.

    Args:
        resolved: the settings; ``quality.keep_profiles`` says how many of a table are kept.
        store: has the catalog, and gets the profiles.
        run_id: of the run.
        listen: is told of each table.
        stamps: of the raw tables, as far as this run has read them.

    Returns:
        The tables that were profiled, and what could not be, and why.

    Raises:
        WarehouseError: the target cannot be read.
        RunStoreError: the store cannot be used.
    """
    most = resolved.settings.quality.keep_profiles
    before, _, personal_before = (_state(resolved) or "").rpartition(" ")
    signature = resolved.target.signature()
    state = f"{signature} {_file_stamp(resolved)} {store.catalog_version()}"
    if not most or (signature and before == state):
        return [], []
    catalog = store.load_catalog()
    if catalog is None:
        return [], []
    known, before_by_id = known_columns(catalog), store.profile_stamps()
    sources = pii.sources_of(catalog)
    personal = sources | pii.inherited(catalog).keys()
    personal_now = digest(repr(sorted(personal)))
    if personal_now != personal_before:
        _forget_values(store, personal, before_by_id)
    stamps = stamps or RawStamps(resolved.target.database)
    done, problems = _profile(
        resolved, store, run_id, catalog, known, sources, before_by_id, stamps, listen
    )
    store.forget_profiles([asset_id for asset_id, _ in done], most)
    if not problems:
        with suppress(OSError):
            portable.write_file(_state_path(resolved), f"{state} {personal_now}")
    return [name for _, name in done], problems


def kept(store: RunStore, run_id: str | None = None) -> dict[str, TableProfile]:
    """Each table's newest profile by asset id; with a run, only those that it kept.

    Raises:
        RunStoreError: the store cannot be read.
    """
    return {
        key: TableProfile.model_validate_json(one.payload)
        for key, one in store.newest_profiles(run_id).items()
    }


def personal_columns(
    asset: "Asset",
    columns: Collection[str],
    known: KnownColumns,
    sources: Collection[tuple[str, str]],
) -> set[str]:
    """The columns of a table of which no value may be shown.

    Args:
        asset: the table.
        columns: their names.
        known: what the catalog knows to be harmless.
        sources: columns that personal ones are made from, see ``pii.sources_of``.
    """
    name = f"{asset.schema or 'main'}.{asset.identifier or asset.name}"
    shown = {column.casefold() for column in known.harmless.get(name, ())}
    shown -= {column.casefold() for asset_id, column in sources if asset_id == asset.id}
    return {column for column in columns if column.casefold() not in shown}


def is_missed(resolved: Resolved, asset: "Asset", *, was_there: bool) -> bool:
    """Whether a table that is not there should be.

    A raw table should be if its source is enabled. What was never built, as the marts of a source
    that is disabled, is not missed.
    """
    source = resolved.settings.sources.get(asset.package or "") if asset.kind == "table" else None
    return was_there if source is None else source.enabled


def _profile(
    resolved: Resolved,
    store: RunStore,
    run_id: str,
    catalog: Catalog,
    known: KnownColumns,
    sources: Collection[tuple[str, str]],
    before: Mapping[str, str],
    stamps: RawStamps,
    listen: Listener,
) -> tuple[list[tuple[str, str]], list[str]]:
    import duckdb

    done: list[tuple[str, str]] = []
    problems: list[str] = []
    with _opened_with_file(resolved) as connection:
        if connection is None:
            return done, problems
        tables = [*_raw_tables(stamps, catalog), *_marts(resolved, catalog)]
        # DuckDB's own tables; a view over files has no numbers of rows
        stored = {
            qualified(*row)
            for row in connection.execute(
                "select database_name, schema_name, table_name from duckdb_tables() join "
                "duckdb_databases() using (database_name) where type = 'duckdb'"
            ).fetchall()
        }
        for table in tables:
            try:
                stamp = table.stamp
                if stamp is None:
                    stamp = stamps.of(connection, catalog.assets, table.asset)
                if before.get(table.asset.id) == stamp:
                    continue
                columns = columns_of(connection, table.quoted)
                make_room(connection, len(columns))
                listen(Event("profiles", f"profiling {table.name}", "phase"))
                profiled = partial(
                    profile_quickly,
                    connection,
                    table.quoted,
                    table.name,
                    personal=personal_columns(table.asset, columns, known, sources),
                    is_stored=table.quoted in stored,
                )
                found = with_room(connection, profiled)
            except duckdb.CatalogException as error:  # it has gone since, or was never built
                if is_missed(resolved, table.asset, was_there=table.asset.id in before):
                    _LOG.info("no profile of %s: %s", table.name, one_line(str(error)))
            except duckdb.Error as error:
                problems.append(f"{table.name}: {error_line(error)}")
            else:
                payload = found.model_dump_json(exclude_defaults=True)
                store.add_profile(
                    run_id, table.asset.id, rows=found.rows, stamp=stamp, payload=payload
                )
                done.append((table.asset.id, table.name))
    return done, problems


@contextmanager
def opened(resolved: Resolved) -> "Iterator[duckdb.DuckDBPyConnection | None]":
    """A DuckDB that reads the target under its own name; None while there is no target."""
    with connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"set temp_directory = {literal(str(resolved.data_dir / 'spill'))}")
        connection.execute(f"set memory_limit = {literal(resolved.target.load_memory_limit)}")
        is_there = resolved.target.attach(connection, resolved.target.database)
        yield connection if is_there else None


@contextmanager
def _opened_with_file(resolved: Resolved) -> "Iterator[duckdb.DuckDBPyConnection | None]":
    """The same, with the published file."""
    with opened(resolved) as connection:
        if connection is not None and resolved.published.exists():
            path = literal(str(resolved.published))
            connection.execute(f"attach {path} as {identifier(_FILE)} (read_only)")
        yield connection


def _raw_tables(stamps: RawStamps, catalog: Catalog) -> list[_Table]:
    """The raw tables, child tables after what they are nested in."""
    found = [
        asset
        for asset in catalog.assets.values()
        if asset.kind == "table" and not asset.name.startswith(_HIDDEN)
    ]
    found.sort(key=lambda asset: (len(asset.name), asset.id))
    return [
        _Table(
            asset,
            f"{asset.schema}.{asset.identifier or asset.name}",
            quoted_table(stamps.database, asset),
        )
        for asset in found
    ]


def _marts(resolved: Resolved, catalog: Catalog) -> list[_Table]:
    """What is published, as readers have it."""
    place, publication = _FILE, published_file.publication(resolved.published)
    publisher = resolved.target.publisher()
    if publication is None and publisher is not None:
        place, publication = resolved.target.database, publisher.current()
    return [
        _Table(
            catalog.assets[one.unique_id],
            one.full_name,
            qualified(place, one.schema, one.name),
            digest(one.fingerprint),
        )
        for one in (publication.tables if publication else ())
        if one.unique_id in catalog.assets
    ]


def _forget_values(
    store: RunStore, personal: Collection[tuple[str, str]], stamps: Mapping[str, str]
) -> None:
    """Remove values of columns that are personal by now from the profiles that are kept.

    Those of a column whose origin is not known, as while a model's SQL is wrong, stay in the store:
    whoever reads a profile masks them by the catalog of today.
    """
    by_asset: dict[str, set[str]] = {}
    for asset_id, column in personal:
        by_asset.setdefault(asset_id, set()).add(column.casefold())
    for asset_id in by_asset.keys() & stamps.keys():
        rewritten: dict[str, str] = {}
        for kept in store.profiles(asset_id, 10_000):
            profile = TableProfile.model_validate_json(kept.payload)
            names = {name for name in _names(profile) if name.casefold() in by_asset[asset_id]}
            masked = without_values(profile, names)
            if masked != profile:
                rewritten[kept.run_id] = masked.model_dump_json(exclude_defaults=True)
        store.replace_profiles(asset_id, rewritten)


def _names(profile: TableProfile) -> Sequence[str]:
    return [column.name for column in profile.columns]


def _state_path(resolved: Resolved) -> Path:
    return resolved.data_dir / "dbt" / "profiles_state.txt"


def _state(resolved: Resolved) -> str | None:
    """What was there when all profiles were made last."""
    try:
        return _state_path(resolved).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _file_stamp(resolved: Resolved) -> str:
    try:
        stat = resolved.published.stat()
    except OSError:
        return "-"
    return f"{stat.st_size}:{stat.st_mtime_ns}"
