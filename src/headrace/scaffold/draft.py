"""The draft of a scaffold: what would be written and reported; it is written only once complete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace import file_changes, yaml_editor
from headrace.scaffold.dbt_project import DbtProject, Offer, Record, What
from headrace.scaffold.model_sql import ModelSql
from headrace.scaffold.raw_schema import RawSchema
from headrace.scaffold.render import TO_DESCRIBE
from headrace.yaml_editor import Edit, ListItem, MappingKey, YamlDocument, YamlPath


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True)


class FileReport(_Report):
    """One file that was written, or would be."""

    path: str = Field(description="below the dbt project, with forward slashes")
    status: Literal["added", "changed", "unchanged"]
    additions: tuple[str, ...] = Field((), description="what was added to it, as text")
    diff: str = Field("", description="unified diff; empty when unchanged")


class Vanished(_Report):
    """A table or a column that the dbt project has, and dlt's schema no longer has."""

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
    """Columns that a model does not read, found at the first scaffold of it."""

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


def new_columns(
    where: YamlPath,
    there: int,
    blocks: Sequence[tuple[Sequence[str], str]],
    together: str | None = None,
) -> list[tuple[Edit, str]]:
    """Additions of columns to an entry of a yml, at the end of those that it has.

    Args:
        where: the entry.
        there: how many columns it has.
        blocks: the lines of each new column, and what it is called in the report.
        together: what all are called where the entry had none; by default their names.
    """
    if there or not blocks:
        spot = (*where, "columns")
        return [(ListItem(spot, there - 1, tuple(lines)), label) for lines, label in blocks]
    lines = ("columns:", *(f"  {line}" for block, _ in blocks for line in block))
    return [(MappingKey(where, lines), together or ", ".join(label for _, label in blocks))]


def edited(
    project: DbtProject, edits: Mapping[Path, Sequence[tuple[Edit, str]]]
) -> tuple[dict[Path, str], list[FileReport], list[ByHand]]:
    """Make labelled additions to YAML files; nothing is written.

    Args:
        project: the files as they are.
        edits: additions by file, each with what it is called in the report.

    Returns:
        New content of the files that differ, a report of each file, and what could not be added.
    """
    texts: dict[Path, str] = {}
    files, by_hand = [], []
    for path, labelled in edits.items():
        document, name = project.document(path), project.name(path)
        changed, left = yaml_editor.add(document, [edit for edit, _ in labelled])
        by_hand += [
            ByHand(path=name, what=f"add the {label}", line="\n".join(edit.lines))
            for edit, label in labelled
            if edit in left
        ]
        is_changed = changed.text != document.text
        if is_changed:
            texts[path] = changed.text
        files.append(
            FileReport(
                path=name,
                status="changed" if is_changed else "unchanged",
                additions=tuple(label for edit, label in labelled if edit not in left),
                diff=file_changes.diff(name, document.text, changed.text) if is_changed else "",
            )
        )
    return texts, files, by_hand


@dataclass(frozen=True)
class YamlAddition:
    """One addition to a YAML file.

    Attributes:
        edit: the addition.
        label: what it is, for the report.
        offers: what the record learns when it is made.
    """

    edit: Edit
    label: str
    offers: tuple[Offer, ...] = ()


@dataclass
class Draft:
    """What would be written, and what is to be reported.

    Attributes:
        project: the files as they are.
        source: the dbt source.
        schema: dlt's.
        record: what was offered before.
        folder: where new files go.
        raw_schema: the schema that the source is loaded into.
        offers: what the new record holds.
        texts: new content of the files that differ.
        labels: what was added to a file, for the report.
    """

    project: DbtProject
    source: str
    schema: RawSchema
    record: Record
    folder: Path
    raw_schema: str
    offers: set[Offer] = field(default_factory=set)
    texts: dict[Path, str] = field(default_factory=dict)
    labels: dict[Path, list[str]] = field(default_factory=dict)
    by_hand: list[ByHand] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    without_description: list[str] = field(default_factory=list)
    _documents: dict[Path, YamlDocument] = field(default_factory=dict)

    def offered(self, what: What, *names: str) -> bool:
        """Whether something was offered, now or before."""
        return (what, *names) in self.offers

    def offer(self, what: What, *names: str) -> None:
        """Record that something was offered."""
        self.offers.add((what, *names))

    def document(self, path: Path) -> YamlDocument:
        """A YAML file with what was added to it so far."""
        return self._documents.get(path) or self.project.document(path)

    def model(self, path: Path) -> ModelSql:
        """A model with what was added to it so far."""
        return ModelSql(self.texts.get(path, self.project.texts.get(path, "")))

    def add_file(self, path: Path, text: str, label: str) -> None:
        """Write a new file."""
        self.texts[path] = text
        self.labels.setdefault(path, []).append(label)

    def set_sql(self, path: Path, model: ModelSql, label: str) -> None:
        """Write a model's new SQL."""
        self.texts[path] = model.text
        self.labels.setdefault(path, []).append(label)

    def change(self, path: Path, changes: Sequence[YamlAddition]) -> None:
        """Add to a YAML file; what cannot be added safely is left to the user."""
        document, left = yaml_editor.add(self.document(path), [change.edit for change in changes])
        for change in changes:
            if change.edit in left:
                self.by_hand.append(
                    ByHand(
                        path=self.project.name(path),
                        what=f"add the {change.label}",
                        line="\n".join(change.edit.lines),
                    )
                )
                continue
            self.offers.update(change.offers)
            self.labels.setdefault(path, []).append(change.label)
            if TO_DESCRIBE in "\n".join(change.edit.lines):
                self.without_description.append(f"{self.project.name(path)}: {change.label}")
        if document.text != self.document(path).text:
            self._documents[path] = document
            self.texts[path] = document.text
