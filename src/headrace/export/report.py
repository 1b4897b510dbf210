"""What an export reports."""

from pydantic import BaseModel, ConfigDict, Field


class ExportReport(BaseModel):
    """The answer of ``headrace export``."""

    model_config = ConfigDict(frozen=True)

    standard: str = Field(description="`openlineage` or `datahub`")
    destination: str = Field(description="the file, or the server without user and password")
    records: int = Field(description="events, or metadata change proposals")
    kinds: dict[str, int] = Field(description="how many of each kind")
    catalog_version: int | None = Field(None, description="the catalog's number in the run store")
    problems: int = Field(0, description="assets whose column lineage is not wholly known")
