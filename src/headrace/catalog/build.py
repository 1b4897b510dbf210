"""From the artifacts of dbt and dlt to the graph of assets; column lineage comes on top of it.

No warehouse is needed. The seam between the two tools is the raw table: dlt's schema knows it by
the name of the source's dataset, dbt's sources by schema and identifier.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from headrace.artifacts import Artifacts
from headrace.artifacts.reading import Reading
from headrace.catalog.build_dbt import DbtPart
from headrace.catalog.build_dlt import DltPart
from headrace.catalog.model import Asset, Catalog, Column, ColumnEdge, ColumnLineageProblem
from headrace.process import gc_paused

_LAYERS = (
    *("resource", "table", "seed", "model", "snapshot"),
    *("semantic_model", "metric", "saved_query", "exposure", "test", "unit_test"),
)


def build_catalog(artifacts: Artifacts, *, raw_schema: Callable[[str], str]) -> Catalog:
    """The graph of everything that the artifacts name, without column lineage.

    Args:
        artifacts: as read.
        raw_schema: the schema that a source is loaded into, where dlt's state does not say.

    Returns:
        Assets in the order of the layers, each layer sorted by id. Parents that no artifact
        defines are left out of the edges.
    """
    with gc_paused():
        return _built(DltPart(artifacts.dlt, raw_schema), DbtPart(artifacts), artifacts.readings)


def _built(dlt: DltPart, dbt: DbtPart, readings: Iterable[Reading]) -> Catalog:
    assets = {asset.id: asset for asset in dlt.assets()}
    parents: dict[str, set[str]] = {key: set(found) for key, found in dlt.parents().items()}
    internal = dlt.internal()
    for asset in dbt.tables():
        known = assets.get(asset.id) or internal.get(asset.id)
        assets[asset.id] = asset if known is None else _merged(known, asset)
    for asset in dbt.nodes():
        assets[asset.id] = asset
    for child, found in dbt.parents().items():
        parents.setdefault(child, set()).update(found)
    ordered = sorted(assets.values(), key=lambda asset: (_LAYERS.index(asset.kind), asset.id))
    return Catalog(
        assets={asset.id: asset for asset in ordered},
        parents={
            asset.id: tuple(
                sorted(
                    key for key in parents.get(asset.id, ()) if key in assets and key != asset.id
                )
            )
            for asset in ordered
        },
        readings=tuple(reading for reading in readings if _counts(reading)),
    )


def _counts(reading: Reading) -> bool:
    """Whether the catalog is built from it; a trace or a load package belongs to a single run."""
    _, _, name = reading.artifact.partition("/")
    return not name or name.endswith((".schema.json", "state.json"))


def with_lineage(
    catalog: Catalog,
    *,
    edges: Sequence[ColumnEdge],
    columns: Mapping[str, tuple[str, ...]],
    problems: Iterable[ColumnLineageProblem],
    lookups: Mapping[str, tuple[str, ...]] | None = None,
) -> Catalog:
    """The catalog with its column lineage.

    Args:
        catalog: without it.
        edges: between columns.
        columns: the output columns of an asset's SQL, for columns that neither dbt's catalog nor
            its yml names.
        problems: what of the lineage could not be read.
        lookups: parents of an asset whose rows decide none of its rows.
    """
    assets = {
        key: _with_columns(asset, columns.get(key, ())) for key, asset in catalog.assets.items()
    }
    return replace(
        catalog,
        assets=assets,
        column_edges=tuple(edges),
        problems=tuple(problems),
        lookups=lookups or {},
    )


def _with_columns(asset: Asset, names: Sequence[str]) -> Asset:
    """The asset with the columns that only its SQL names, in the order of the SQL."""
    known = {column.name.casefold(): column for column in asset.columns}
    if not asset.is_relation or all(name.casefold() in known for name in names):
        return asset
    columns = [known.pop(name.casefold(), Column(name)) for name in names]
    return replace(asset, columns=(*columns, *known.values()))


def _merged(dlt: Asset, dbt: Asset) -> Asset:
    """A raw table as dlt created it and as dbt describes it."""
    described = {column.name.casefold(): column for column in dbt.columns}
    columns = tuple(
        _column(column, described.pop(column.name.casefold(), None)) for column in dlt.columns
    )
    return replace(
        dbt,
        columns=(*columns, *described.values()),
        description=dbt.description or dlt.description,
        parent_table=dlt.parent_table,
        primary_key=dlt.primary_key or dbt.primary_key,
        package=dlt.package,
    )


def _column(dlt: Column, dbt: Column | None) -> Column:
    if dbt is None:
        return dlt
    return replace(
        dbt,
        name=dlt.name,
        data_type=dbt.data_type or dlt.data_type,
        description=dbt.description or dlt.description,
        nullable=dlt.nullable if dbt.nullable is None else dbt.nullable,
    )
