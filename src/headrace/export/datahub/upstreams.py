"""A dataset's upstream lineage: tables, and columns."""

from collections.abc import Iterator

from datahub.metadata.schema_classes import (
    DatasetLineageTypeClass,
    FineGrainedLineageClass,
    FineGrainedLineageDownstreamTypeClass,
    FineGrainedLineageUpstreamTypeClass,
    UpstreamClass,
    UpstreamLineageClass,
)

from headrace.catalog.model import Asset, Catalog
from headrace.export.datahub.urns import Urns
from headrace.export.reads import datasets_read, edges_read

_FIELD_SET = FineGrainedLineageUpstreamTypeClass.FIELD_SET
_FIELD = FineGrainedLineageDownstreamTypeClass.FIELD
_FIELDS = FineGrainedLineageDownstreamTypeClass.FIELD_SET


def upstream_lineage(
    asset: Asset, catalog: Catalog, urns: Urns, *, indirect: bool
) -> UpstreamLineageClass | None:
    """Tables by what is read; columns by the values that flow.

    DataHub has one kind of column edge. A column that only decides (a filter, a join) can be sent
    as one too, told apart by its transform operation alone: that is what ``indirect`` asks for.
    """
    kind = DatasetLineageTypeClass.TRANSFORMED
    if asset.kind == "table":
        kind = DatasetLineageTypeClass.COPY
    elif asset.materialized == "view":
        kind = DatasetLineageTypeClass.VIEW
    upstreams = [
        UpstreamClass(dataset=urns.dataset(parent), type=kind, auditStamp=urns.stamp)
        for parent in datasets_read(catalog, asset.id)
    ]
    if not upstreams:
        return None
    edges = list(_edges(asset, catalog, urns, direct=True))
    edges += _edges(asset, catalog, urns, direct=False) if indirect else ()
    return UpstreamLineageClass(upstreams=upstreams, fineGrainedLineages=edges or None)


def _edges(
    asset: Asset, catalog: Catalog, urns: Urns, *, direct: bool
) -> Iterator[FineGrainedLineageClass]:
    """One for each column; what decides the rows of a whole table goes to all of its columns."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for edge in edges_read(catalog, asset.id):
        if edge.is_direct is direct and edge.parent_column:
            fields, kinds = found.setdefault(edge.child_column, ({}, {}))
            fields[urns.field(catalog.assets[edge.parent], edge.parent_column)] = None
            kinds[edge.kind] = None
    for column, (fields, kinds) in found.items():
        children = [column] if column else [each.name for each in asset.columns]
        if children:
            yield FineGrainedLineageClass(
                upstreamType=_FIELD_SET,
                downstreamType=_FIELD if column else _FIELDS,
                upstreams=list(fields),
                downstreams=[urns.field(asset, child) for child in children],
                transformOperation=", ".join(kinds),
                confidenceScore=1.0,
            )
