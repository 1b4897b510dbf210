"""Relations and dlt resources as datasets of DataHub: columns, containers, upstream lineage."""

import re
from collections.abc import Iterable, Iterator
from functools import cache

from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.emitter.mcp_builder import DatabaseKey, SchemaKey
from datahub.metadata.schema_classes import (
    ArrayTypeClass,
    BooleanTypeClass,
    BytesTypeClass,
    ContainerClass,
    ContainerPropertiesClass,
    DatasetLineageTypeClass,
    DatasetPropertiesClass,
    DateTypeClass,
    EnumTypeClass,
    FineGrainedLineageClass,
    FineGrainedLineageDownstreamTypeClass,
    FineGrainedLineageUpstreamTypeClass,
    MapTypeClass,
    NullTypeClass,
    NumberTypeClass,
    OtherSchemaClass,
    RecordTypeClass,
    SchemaFieldClass,
    SchemaFieldDataTypeClass,
    SchemaMetadataClass,
    StatusClass,
    StringTypeClass,
    SubTypesClass,
    TimeTypeClass,
    UpstreamClass,
    UpstreamLineageClass,
    ViewPropertiesClass,
)

from headrace.catalog.model import Asset, Catalog, Column
from headrace.export.datahub.urns import (
    Urns,
    _instance,
    aspects,
    column_tags,
    global_tags,
    ownership,
    properties,
)
from headrace.export.upstream import datasets_read, edges_read

_SUB_TYPES = {"resource": "Resource", "table": "Table", "seed": "Seed", "snapshot": "Snapshot"}
_FIELD_SET = FineGrainedLineageUpstreamTypeClass.FIELD_SET
_FIELD = FineGrainedLineageDownstreamTypeClass.FIELD
_FIELDS = FineGrainedLineageDownstreamTypeClass.FIELD_SET
_UNKNOWN = "unknown"

# engine's and dlt's names, without what is in brackets
_NUMBERS = (
    r"u?(tiny|small|big|huge)?int(eger)?\d*|long|short|decimal|numeric|double( precision)?|"
    r"float\d?|real|wei"
)

_TYPES = (
    (r"array|list", ArrayTypeClass),
    (r"struct|row|complex|json|variant", RecordTypeClass),
    (r"map", MapTypeClass),
    (r"enum", EnumTypeClass),
    (r"bool(ean)?", BooleanTypeClass),
    (_NUMBERS, NumberTypeClass),
    (r"varchar|char|bpchar|text|string|uuid", StringTypeClass),
    (r"date", DateTypeClass),
    (r"time.*|datetime.*|interval", TimeTypeClass),
    (r"blob|bytea|binary|varbinary|bit", BytesTypeClass),
)


def dataset(
    asset: Asset, catalog: Catalog, urns: Urns, *, indirect: bool = False
) -> Iterator[MetadataChangeProposalWrapper]:
    """All aspects of a relation or a resource; ``indirect`` as ``proposals`` takes it."""
    urn = urns.dataset(asset)
    platform = "dlt" if asset.kind == "resource" else urns.platform
    code = asset.compiled_code or asset.raw_code
    view = ViewPropertiesClass(
        materialized=asset.materialized != "view", viewLogic=code.strip(), viewLanguage="SQL"
    ) if code else None  # fmt: skip
    sub_type = _SUB_TYPES.get(asset.kind, "View" if asset.materialized == "view" else "Model")
    container = ContainerClass(_schema_key(asset, urns).as_urn()) if asset.schema else None
    yield from aspects(
        urn,
        DatasetPropertiesClass(
            name=asset.identifier or asset.name,
            qualifiedName=urns.qualified(asset) if asset.is_relation else None,
            description=asset.description or None,
            customProperties=properties(asset),
        ),
        StatusClass(removed=False),
        _instance(platform, urns),
        SubTypesClass(typeNames=[sub_type]),
        container,
        _schema(asset, platform) if asset.columns else None,
        view,
        global_tags(asset.tags),
        ownership(asset.owners, urns),
        upstream_lineage(asset, catalog, urns, indirect=indirect),
    )


def _schema(asset: Asset, platform: str) -> SchemaMetadataClass:
    return SchemaMetadataClass(
        schemaName=asset.identifier or asset.name,
        platform=f"urn:li:dataPlatform:{platform}",
        version=0,
        hash="",
        platformSchema=OtherSchemaClass(rawSchema=""),
        fields=[schema_field(column, asset) for column in asset.columns],
        primaryKeys=list(asset.primary_key) or None,
    )


def schema_field(column: Column, asset: Asset) -> SchemaFieldClass:
    """A column with its type, description and tags."""
    return SchemaFieldClass(
        fieldPath=column.name,
        type=SchemaFieldDataTypeClass(type=_type_of(column.data_type)()),
        nativeDataType=column.data_type or _UNKNOWN,
        nullable=column.nullable is not False,
        description=column.description or None,
        globalTags=global_tags(column_tags(column)),
        isPartOfKey=column.name in asset.primary_key,
    )


@cache
def _type_of(data_type: str | None) -> type:
    text = (data_type or "").strip().lower()
    if text.endswith("]"):
        return ArrayTypeClass
    bare = re.sub(r"\(.*\)", "", text, flags=re.DOTALL).strip()
    for pattern, found in _TYPES:
        if re.fullmatch(pattern, bare):
            return found
    return NullTypeClass


def upstream_lineage(
    asset: Asset, catalog: Catalog, urns: Urns, *, indirect: bool
) -> UpstreamLineageClass | None:
    """The lineage of a dataset: the tables that it reads, and the columns of its values.

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


def _containers(datasets: Iterable[Asset], urns: Urns) -> Iterator[MetadataChangeProposalWrapper]:
    """The databases, and the schemas in them."""
    databases: dict[str, None] = {}
    schemas: dict[str, tuple[Asset, SchemaKey]] = {}
    for asset in datasets:
        if asset.schema:
            databases[asset.database or urns.database] = None
            key = _schema_key(asset, urns)
            schemas.setdefault(key.as_urn(), (asset, key))
    for database in databases:
        key_ = _database_key(database, urns)
        yield from _container(key_.as_urn(), database, "Database", None, urns)
    for urn, (asset, _) in schemas.items():
        parent = _database_key(asset.database or urns.database, urns).as_urn()
        yield from _container(urn, asset.schema or "", "Schema", parent, urns)


def _container(
    urn: str, name: str, sub_type: str, parent: str | None, urns: Urns
) -> Iterator[MetadataChangeProposalWrapper]:
    yield from aspects(
        urn,
        ContainerPropertiesClass(name=name, env=urns.fabric),
        StatusClass(removed=False),
        _instance(urns.platform, urns),
        SubTypesClass(typeNames=[sub_type]),
        ContainerClass(parent) if parent else None,
    )


def _database_key(database: str, urns: Urns) -> DatabaseKey:
    return DatabaseKey(
        platform=urns.platform, instance=urns.instance, env=urns.fabric, database=database
    )


def _schema_key(asset: Asset, urns: Urns) -> SchemaKey:
    return SchemaKey(
        platform=urns.platform,
        instance=urns.instance,
        env=urns.fabric,
        database=asset.database or urns.database,
        schema=asset.schema or "",
    )
