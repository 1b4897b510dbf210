"""URNs of DataHub, and the aspects that entities of all kinds have."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from datahub.emitter import mce_builder as build
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.metadata.schema_classes import (
    AuditStampClass,
    DataPlatformInstanceClass,
    GlobalTagsClass,
    OwnerClass,
    OwnershipClass,
    OwnershipTypeClass,
    TagAssociationClass,
)
from datahub.utilities.urn_encoder import UrnEncoder

from headrace.catalog.model import Asset, Column

ACTOR = "urn:li:corpuser:headrace"


@dataclass(frozen=True)
class Urns:
    """The URNs of a project's entities.

    Attributes:
        platform: of the warehouse: ``duckdb``.
        database: of tables that dbt does not know.
        fabric: DataHub's environment: ``PROD``.
        instance: the platform instance, which tells two projects apart; None without.
        now: milliseconds since 1970, for audit stamps.
    """

    platform: str
    database: str
    fabric: str
    instance: str | None
    now: int

    def dataset(self, asset: Asset) -> str:
        """A relation, or a resource of a dlt source."""
        if asset.kind == "resource":
            _, source, name = asset.id.split(".", 2)
            return self._dataset("dlt", f"{source}.{name}")
        return self._dataset(self.platform, self.qualified(asset))

    def qualified(self, asset: Asset) -> str:
        """``database.schema.table``."""
        parts = (asset.database or self.database, asset.schema, asset.identifier or asset.name)
        return ".".join(part for part in parts if part)

    def _dataset(self, platform: str, name: str) -> str:
        return build.make_dataset_urn_with_platform_instance(
            platform, name, self.instance, self.fabric
        )

    def field(self, asset: Asset, column: str) -> str:
        """A column."""
        return build.make_schema_field_urn(self.dataset(asset), column)

    def assertion(self, asset: Asset) -> str:
        """A test; the same in each export."""
        key = {"platform": "dbt", "instance": self.instance, "id": asset.id}
        return build.make_assertion_urn(build.datahub_guid(key))

    def monitor(self, asset: Asset, metric: str) -> str:
        """A monitor of a table; the same in each export."""
        key = {"platform": "headrace", "instance": self.instance, "id": f"{asset.id}.{metric}"}
        return build.make_assertion_urn(build.datahub_guid(key))

    def dashboard(self, asset: Asset) -> str:
        """An exposure."""
        name = UrnEncoder.encode_string(asset.id.removeprefix("exposure."))
        return build.make_dashboard_urn("dbt", name, self.instance)

    def flow(self, source: str) -> str:
        """A dlt pipeline."""
        return build.make_data_flow_urn("dlt", source, self.fabric, self.instance)

    @property
    def stamp(self) -> AuditStampClass:
        """Who said so, and when."""
        return AuditStampClass(time=self.now, actor=ACTOR)


def tag(name: str) -> str:
    """The URN of a tag."""
    return build.make_tag_urn(UrnEncoder.encode_string(name))


def column_tags(column: Column) -> tuple[str, ...]:
    """dbt's tags, and of personal data ``pii`` and ``pii.<kind>``."""
    return (*column.tags, *(("pii", f"pii.{column.pii}") if column.pii else ()))


def global_tags(names: Iterable[str]) -> GlobalTagsClass | None:
    """Tags as an aspect; None without any."""
    found = [TagAssociationClass(tag=tag(name)) for name in dict.fromkeys(names)]
    return GlobalTagsClass(tags=found) if found else None


def ownership(owners: Iterable[str], urns: Urns) -> OwnershipClass | None:
    """An address is a person, any other name a group; None where nobody owns it."""
    found = [
        OwnerClass(owner=_owner(owner), type=OwnershipTypeClass.DATAOWNER)
        for owner in dict.fromkeys(owners)
    ]
    return OwnershipClass(owners=found, lastModified=urns.stamp) if found else None


def _owner(name: str) -> str:
    kind = "corpuser" if "@" in name else "corpGroup"
    return f"urn:li:{kind}:{UrnEncoder.encode_string(name)}"


def aspects(urn: str, *found: Any) -> Iterator[MetadataChangeProposalWrapper]:
    """A proposal for each aspect that is not None."""
    for aspect in found:
        if aspect is not None:
            yield MetadataChangeProposalWrapper(entityUrn=urn, aspect=aspect)


def properties(asset: Asset) -> dict[str, str]:
    """What has no aspect of its own in DataHub, as text; dbt's ``meta`` with its keys."""
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


def _instance(platform: str, urns: Urns) -> DataPlatformInstanceClass:
    platform_urn = f"urn:li:dataPlatform:{platform}"
    instance = None
    if urns.instance:
        instance = f"urn:li:dataPlatformInstance:({platform_urn},{urns.instance})"
    return DataPlatformInstanceClass(platform=platform_urn, instance=instance)
