"""What a stage did, kept beside the data so that it can be shown and explained later."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace import portable

StageName = Literal[
    "bronze", "silver", "gold", "snowflake-copy", "snowflake-dbt", "redshift-copy", "redshift-dbt"
]
ALL_STAGES: tuple[StageName, ...] = (
    "bronze", "silver", "gold", "snowflake-copy", "snowflake-dbt", "redshift-copy", "redshift-dbt",
)  # fmt: skip


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True)


class StageTable(_Report):
    """A table of a stage."""

    name: str = Field(description="`source.table`, or `schema.table` in a warehouse")
    place: str = Field(description="where it is: a URL, or a relation")
    files: int = Field(0, description="files that it has, or that were loaded into it")
    bytes: int = Field(0, description="of these files")
    rows: int | None = Field(None, description="rows that it has now")
    new_files: int = Field(0, description="files that this run wrote or loaded")
    new_rows: int = Field(0, description="rows that this run wrote or loaded")
    note: str | None = Field(None, description="what is to be known of it")


class CostLine(_Report):
    """A line of what a stage would cost in the cloud."""

    what: str
    formula: str = Field(description="with the numbers that went in")
    dollars: float | None = Field(None, description="none where nothing was counted")


class Explanation(_Report):
    """A stage in plain words."""

    done: str = Field(description="what was done, with its numbers")
    why: str = Field(description="why one does it")
    cloud: str = Field(description="what it would be in the cloud")
    cost: tuple[CostLine, ...] = Field(description="what it would cost there")
    goes_wrong: tuple[str, ...] = Field(description="what goes wrong there")


class StageReport(_Report):
    """A run of a stage."""

    stage: StageName
    ended_at: datetime = Field(description="UTC")
    seconds: float
    changed: bool = Field(description="whether it found anything to do")
    tables: tuple[StageTable, ...] = ()
    requests: dict[str, int] = Field(
        default_factory=dict,
        description="requests to S3 that write or list, that read, and that delete; empty where "
        "the bucket is not the stand-in's",
    )
    bytes_read: int = Field(0, description="of files that were loaded into a warehouse")
    problems: tuple[str, ...] = Field((), description="why it failed")
    notes: tuple[str, ...] = ()
    explanation: Explanation | None = None

    @property
    def is_good(self) -> bool:
        """Whether nothing failed."""
        return not self.problems


class SimulationReport(_Report):
    """The stages, in order."""

    url: str = Field(description="the bucket and prefix")
    sources: tuple[str, ...]
    stages: tuple[StageReport, ...]

    @property
    def is_good(self) -> bool:
        """Whether no stage failed."""
        return all(stage.is_good for stage in self.stages)

    def plain(self) -> "SimulationReport":
        """The same without explanations."""
        stages = tuple(one.model_copy(update={"explanation": None}) for one in self.stages)
        return self.model_copy(update={"stages": stages})


def keep(folder: Path, report: StageReport) -> None:
    """Keep what a stage did; the one before is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    portable.write_file(folder / f"{report.stage}.json", report.model_dump_json(indent=2))


def kept(folder: Path, stage: StageName) -> StageReport | None:
    """What a stage did when it ran last; None if it never did."""
    try:
        return StageReport.model_validate_json((folder / f"{stage}.json").read_bytes())
    except (OSError, ValidationError):
        return None
