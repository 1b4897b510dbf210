"""What a scaffold reports; the same model is shown and printed as JSON."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True)


class FileReport(_Report):
    """One file that was written, or would be."""

    path: str = Field(description="below the dbt project, with forward slashes")
    status: Literal["added", "changed", "unchanged"]
    additions: tuple[str, ...] = Field((), description="what was added to it, as text")
    diff: str = Field("", description="unified diff; empty when unchanged")


class Vanished(_Report):
    """A table or a column that is written down, and that dlt's schema no longer has."""

    table: str
    column: str | None = Field(None, description="none when the whole table vanished")
    places: tuple[str, ...] = Field(description="`path:line` of each file that still names it")
    was_loaded: bool = Field(
        description="whether an earlier scaffold saw it in dlt's schema; if not, it may be that it "
        "never held a value"
    )


class ByHand(_Report):
    """Something to do that could not be done safely; the file was not changed."""

    path: str | None = Field(None, description="below the dbt project; none when there is no file")
    what: str
    line: str | None = Field(None, description="the line to add")


class LeftOut(_Report):
    """Columns that a model does not read, found when it was looked at for the first time."""

    path: str
    table: str
    columns: tuple[str, ...]


class ScaffoldReport(_Report):
    """A scaffold of one source."""

    source: str
    dry_run: bool
    tables: int = Field(description="tables of dlt's schema, child tables included")
    files: tuple[FileReport, ...]
    vanished: tuple[Vanished, ...] = ()
    by_hand: tuple[ByHand, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    without_description: tuple[str, ...] = Field(
        (), description="`path: table.column` of each new entry whose description is empty"
    )

    @property
    def changes(self) -> tuple[FileReport, ...]:
        """The files that differ from what was there."""
        return tuple(file for file in self.files if file.status != "unchanged")
