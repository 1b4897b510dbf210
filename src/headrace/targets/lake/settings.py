"""The settings of a lake (``targets.<name>`` with ``type: lake``)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from headrace.targets.lake.files import HOME
from headrace.targets.s3_access import S3Settings, folder_or_bucket

_FOLDER = r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$"


class LayoutSettings(BaseModel):
    """The folders of a lake."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bronze: str = Field("bronze", pattern=_FOLDER, description="of raw tables")
    silver: str = Field(
        "silver", pattern=_FOLDER, description="of tables that dbt built and that are no marts"
    )
    gold: str = Field("gold", pattern=_FOLDER, description="of marts")
    gold_schemas: tuple[str, ...] = Field(
        ("marts",), description="the dbt schemas whose tables are marts"
    )

    @model_validator(mode="after")
    def _are_apart(self) -> "LayoutSettings":
        folders = [self.bronze, self.silver, self.gold, HOME]
        for one in folders:
            for other in folders:
                if one is not other and f"{other}/".startswith(f"{one}/"):
                    raise ValueError(f"the folders {one} and {other} must not be in one another")
        return self


class LakeFields(S3Settings):
    """Its keys; ``headrace.targets.lake.target`` makes the target of them."""

    url: str | None = Field(
        None, description="where it is: a local folder, or `s3://bucket/prefix`; by default the "
        "folder `files` in its own data folder",
    )  # fmt: skip
    table_format: Literal["delta", "iceberg", "parquet"] = Field(
        "delta", description="of raw tables; plain `parquet` takes no table that is merged on a key"
    )
    marts_format: Literal["parquet", "delta"] = Field(
        "parquet", description="of marts: files that the manifest names, or these as a Delta "
        "table, too",
    )  # fmt: skip
    layout: LayoutSettings = Field(LayoutSettings(), description="its folders")
    partitions: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="columns by which a table's files are divided: `marts.orders: [ordered_on]`",
    )
    compact_after: int = Field(
        64, ge=0, description="files of a raw table beyond which small ones are put together after "
        "a load; 0 for never",
    )  # fmt: skip
    retention_hours: int = Field(
        168, ge=0, description="how long files are kept that no table and no kept publication has "
        "any more: for queries that still read them, and for the time travel of raw tables",
    )  # fmt: skip
    lock_seconds: float = Field(
        120, ge=1, description="in S3: when the lock of a machine that died ends"
    )
    memory_limit: str = Field(
        "2GB", description="DuckDB's, while dbt builds", pattern=r"^\d+ ?[KMG]i?B$"
    )
    load_memory_limit: str = Field(
        "512MB", description="DuckDB's, while dlt loads", pattern=r"^\d+ ?[KMG]i?B$"
    )
    threads: int | None = Field(None, ge=1, le=256, description="DuckDB's; all cores by default")

    _names_a_place = field_validator("url")(folder_or_bucket)

    @field_validator("partitions")
    @classmethod
    def _names_tables(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name in value:
            if name.count(".") != 1 or name.startswith(".") or name.endswith("."):
                raise ValueError(f"{name} is not schema.table, such as marts.orders")
        return value
