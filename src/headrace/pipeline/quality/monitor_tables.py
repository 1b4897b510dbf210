"""The tables that are monitored, and what settings, dbt and the catalog say of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from headrace.artifacts import read_manifest
from headrace.catalog import Catalog, pii
from headrace.errors import HeadraceError
from headrace.pipeline.catalog import KnownColumns, known_columns
from headrace.pipeline.checking.promises import Promises, TableLevel
from headrace.pipeline.quality.kept_profiles import personal_columns
from headrace.pipeline.quality.raw_stamps import quoted_table
from headrace.quality.monitors.forecast import Promise
from headrace.quality.monitors.plan import Hints
from headrace.settings import Resolved
from headrace.settings.models import TableMonitorSettings

if TYPE_CHECKING:
    from headrace.artifacts import Manifest
    from headrace.artifacts.dbt_manifest import SourceNode
    from headrace.artifacts.dbt_nodes import Node
    from headrace.catalog.model import Asset

_HIDDEN = ("_dlt", "_headrace", "_quarantine")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class MonitoredTable:
    """A table that is monitored.

    Attributes:
        asset: of the catalog.
        name: ``schema.table``.
        quoted: in SQL, where the target is attached under its own name.
        is_raw: whether it is loaded, and not built.
        settings: its own.
        hints: what is known of it besides its data.
        promises: how fresh it has to be, as somebody promised.
    """

    asset: "Asset"
    name: str
    quoted: str
    is_raw: bool
    settings: TableMonitorSettings
    hints: Hints
    promises: tuple[Promise, ...] = ()


@dataclass(frozen=True)
class Tables:
    """The monitored tables by asset id, raw ones first, and what is wrong with their settings."""

    by_id: Mapping[str, MonitoredTable]
    notes: tuple[str, ...]


def monitored(resolved: Resolved, catalog: Catalog) -> Tables:
    """The raw tables and published marts of a catalog that are monitored.

    Raises:
        TransformError: dbt's manifest cannot be read.
    """
    try:
        manifest = read_manifest(resolved.artifacts)
    except HeadraceError:  # only loads so far
        manifest = None
    known, sources = known_columns(catalog), pii.sources_of(catalog)
    levels = Promises(resolved).levels(manifest) if manifest else {}
    notes: list[str] = []
    found: dict[str, MonitoredTable] = {}
    for asset, is_raw in _assets(resolved, catalog, manifest):
        name = f"{asset.schema or 'main'}.{asset.identifier or asset.name}"
        if any(fnmatchcase(name, one) for one in resolved.settings.monitors.exclude):
            continue
        node = manifest.nodes.get(asset.dbt_id or "") if manifest else None
        source = manifest.sources.get(asset.dbt_id or "") if manifest else None
        settings, wrong = _settings(resolved, name, asset, source)
        notes += wrong
        promised = levels.get(asset.dbt_id or "", ())
        if settings.enabled:
            found[asset.id] = MonitoredTable(
                asset=asset,
                name=name,
                quoted=quoted_table(resolved.target.database, asset),
                is_raw=is_raw,
                settings=settings,
                hints=_hints(asset, node, source, settings, known, sources, promised),
                promises=tuple(_promises(settings, source, promised)),
            )
    unknown = resolved.settings.monitors.tables.keys() - {one.name for one in found.values()}
    unknown -= {name for name, one in resolved.settings.monitors.tables.items() if not one.enabled}
    notes += [f"monitors.tables.{name}: there is no such raw table or mart" for name in unknown]
    return Tables(found, tuple(notes))


def _assets(
    resolved: Resolved, catalog: Catalog, manifest: "Manifest | None"
) -> "Iterator[tuple[Asset, bool]]":
    for asset in catalog.assets.values():
        if asset.kind == "table" and not asset.name.startswith(_HIDDEN):
            yield asset, True
    for node in manifest.relations(*resolved.published_relations) if manifest else ():
        if node.unique_id in catalog.assets:
            yield catalog.assets[node.unique_id], False


def _settings(
    resolved: Resolved, name: str, asset: "Asset", source: "SourceNode | None"
) -> tuple[TableMonitorSettings, list[str]]:
    """What dbt's meta says, and over it what the settings say."""
    given: dict[str, Any] = {}
    notes = []
    for meta in (source.source_meta if source else {}, asset.meta):
        said = meta.get("monitor")
        if isinstance(said, bool):
            said = {"enabled": said}
        if said is None:
            continue
        try:
            if not isinstance(said, Mapping):
                raise TypeError("write true, false, or keys as of monitors.tables")
            TableMonitorSettings.model_validate(said)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            notes.append(f"meta.monitor of {name} in dbt: {where}: {first['msg']}")
        except TypeError as error:
            notes.append(f"meta.monitor of {name} in dbt: {error}")
        else:
            given |= said
    own = resolved.settings.monitors.tables.get(name)
    if own is not None:
        given |= own.model_dump(exclude_unset=True)
    return TableMonitorSettings.model_validate(given), notes


def _hints(
    asset: "Asset",
    node: "Node | None",
    source: "SourceNode | None",
    settings: TableMonitorSettings,
    known: KnownColumns,
    sources: Any,
    promised: Sequence[TableLevel],
) -> Hints:
    names = [column.name for column in asset.columns]
    configured = (node.config.event_time if node else None) or (
        source.config.event_time if source else None
    )
    likely = [one.level.column for one in promised if one.level.kind == "freshness"]
    if source is not None:
        likely.append(source.config.loaded_at_field or source.loaded_at_field)
    but: set[str] = set()
    if settings.columns is not None:
        but = set(names) - {*settings.columns, "_dlt_load_id"}
    return Hints(
        event_time=settings.event_time or configured,
        grain=settings.grain,
        likely=tuple(one for one in likely if one and one in names),
        key=known.keys.get(f"{asset.schema or 'main'}.{asset.identifier or asset.name}", ()),
        personal=personal_columns(asset, names, known, sources),
        but=but,
    )


def _promises(
    settings: TableMonitorSettings, source: "SourceNode | None", promised: Sequence[TableLevel]
) -> Iterator[Promise]:
    """How fresh a table has to be: by the settings, by contracts, by the yml of a dbt source."""
    if settings.fresh_within is not None:
        said = f"fresh_within {settings.fresh_within}"
        yield Promise(as_timedelta(settings.fresh_within), said=said)
    for one in promised:
        level = one.level
        if level.kind in {"freshness", "frequency", "availability"}:
            yield Promise(
                level.within,
                level.by,
                of_events=level.kind == "freshness" and level.column is not None,
                said=f"{level.name} of contract {level.contract}",
                to=one.to,
            )
    freshness = (source.config.freshness or source.freshness) if source else None
    for period in (freshness.error_after, freshness.warn_after) if freshness else ():
        if period is not None and period.count and period.period and source is not None:
            within = timedelta(**{f"{period.period}s": period.count})
            said = f"freshness of source {source.source_name}"
            yield Promise(within, of_events=False, said=said)
            return


def as_timedelta(text: str) -> timedelta:
    """``26 hours``, ``2d`` as a length of time; the settings let nothing else pass."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = text[len(number) :].strip()
    return timedelta(**{_UNITS[unit[0]]: int(number)})
