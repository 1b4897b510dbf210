"""The catalog as metadata change proposals."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.emitter.mcp_builder import DatabaseKey, SchemaKey
from datahub.metadata.schema_classes import (
    ContainerClass,
    ContainerPropertiesClass,
    DataPlatformInstanceClass,
    DatasetPropertiesClass,
    OtherSchemaClass,
    SchemaMetadataClass,
    StatusClass,
    SubTypesClass,
    TagPropertiesClass,
    ViewPropertiesClass,
)

from headrace.catalog.model import Asset, Catalog
from headrace.export.datahub.fields import schema_field
from headrace.export.datahub.upstreams import upstream_lineage
from headrace.export.datahub.urns import Urns, column_tags, global_tags, ownership, tag
from headrace.export.reads import holds_data

if TYPE_CHECKING:
    from headrace.export.datahub.assertions import Result

_SUB_TYPES = {"resource": "Resource", "table": "Table", "seed": "Seed", "snapshot": "Snapshot"}


def proposals(
    catalog: Catalog,
    urns: Urns,
    results: "Mapping[str, Result] | None" = None,
    *,
    indirect: bool = False,
    vanished: Iterable[Asset] = (),
) -> Iterator[MetadataChangeProposalWrapper]:
    """Everything that DataHub has a place for, parents before children.

    Args:
        catalog: the graph.
        urns: the names.
        results: the newest result of each test by ``unique_id``.
        indirect: whether columns that only decide are sent as if their values flowed.
        vanished: what is to be marked as removed.
    """
    from headrace.export.datahub.assertions import assertion
    from headrace.export.datahub.flows import dashboard, load

    yield from _tags(catalog)
    datasets = [asset for asset in catalog.assets.values() if holds_data(asset)]
    yield from _containers(datasets, urns)
    for asset in datasets:
        yield from dataset(asset, catalog, urns, indirect=indirect)
    sources = {asset.id.split(".")[1]: None for asset in datasets if asset.kind == "resource"}
    for source in sources:
        yield from load(source, catalog, urns)
    for asset in catalog.assets.values():
        if asset.kind == "test":
            yield from assertion(asset, catalog, urns, (results or {}).get(asset.id))
        elif asset.kind == "exposure":
            yield from dashboard(asset, catalog, urns)
    yield from _removed(vanished, catalog, urns)


def _removed(
    vanished: Iterable[Asset], catalog: Catalog, urns: Urns
) -> Iterator[MetadataChangeProposalWrapper]:
    """What is gone is marked, not deleted; unless another asset has its name now."""

    def urn(asset: Asset) -> str:
        return urns.dashboard(asset) if asset.kind == "exposure" else urns.dataset(asset)

    named = {
        urn(asset)
        for asset in catalog.assets.values()
        if asset.kind == "exposure" or holds_data(asset)
    }
    for gone in dict.fromkeys(urn(asset) for asset in vanished):
        if gone not in named:
            yield from aspects(gone, StatusClass(removed=True))


def aspects(urn: str, *found: Any) -> Iterator[MetadataChangeProposalWrapper]:
    """A proposal for each aspect that is not None."""
    for aspect in found:
        if aspect is not None:
            yield MetadataChangeProposalWrapper(entityUrn=urn, aspect=aspect)


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


def properties(asset: Asset) -> dict[str, str]:
    """What DataHub has no word for, as text; dbt's ``meta`` with its keys."""
    found: dict[str, object] = {
        "asset": asset.id,
        "dbt_id": asset.dbt_id,
        "materialized": asset.materialized,
        "path": asset.path,
        "package": asset.package,
        "group": asset.group,
        "access": asset.access,
        "contract": "enforced" if asset.contract else None,
        **{f"meta.{key}": value for key, value in asset.meta.items()},
    }
    return {key: str(value) for key, value in found.items() if value is not None}


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


def _tags(catalog: Catalog) -> Iterator[MetadataChangeProposalWrapper]:
    names: dict[str, None] = {}
    for asset in catalog.assets.values():
        names |= dict.fromkeys(asset.tags)
        for column in asset.columns:
            names |= dict.fromkeys(column_tags(column))
    for name in names:
        kind = name.removeprefix("pii.")
        text = "Personal data." if name == "pii" else f"Personal data: {kind}."
        is_pii = name == "pii" or kind != name
        yield from aspects(
            tag(name), TagPropertiesClass(name=name, description=text if is_pii else None)
        )


def _instance(platform: str, urns: Urns) -> DataPlatformInstanceClass:
    platform_urn = f"urn:li:dataPlatform:{platform}"
    instance = None
    if urns.instance:
        instance = f"urn:li:dataPlatformInstance:({platform_urn},{urns.instance})"
    return DataPlatformInstanceClass(platform=platform_urn, instance=instance)


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
