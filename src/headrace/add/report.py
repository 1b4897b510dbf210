"""What ``headrace add source`` reports; the same model is shown and printed as JSON."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace.pipeline.reports import LoadReport
from headrace.scaffold import ScaffoldReport


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True)


class AddedFile(_Report):
    """One file that was written, or would be."""

    path: str = Field(description="below the project, with forward slashes")
    status: Literal["added", "changed"]
    diff: str = Field(description="unified diff")


class AddReport(_Report):
    """A source that was added."""

    source: str
    kind: str
    dry_run: bool
    files: tuple[AddedFile, ...]
    choices: tuple[str, ...] = Field((), description="what was decided, one sentence each")
    load: LoadReport | None = Field(None, description="its first load; none when there was none")
    scaffold: ScaffoldReport | None = Field(None, description="its staging models")
    not_loaded: str | None = Field(None, description="why it was not loaded, and what to set")
    commands: tuple[str, ...] = Field((), description="what to run next")
