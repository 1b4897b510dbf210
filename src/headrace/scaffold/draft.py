"""The outcome of a scaffold while it is put together; nothing is written before it is whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headrace import yaml_editor
from headrace.scaffold.dbt_project import DbtProject
from headrace.scaffold.model_sql import ModelSql
from headrace.scaffold.raw_schema import RawSchema
from headrace.scaffold.record import Offer, Record, What
from headrace.scaffold.render import TO_DESCRIBE
from headrace.scaffold.report import ByHand, LeftOut
from headrace.yaml_editor import Edit, YamlDocument


@dataclass(frozen=True)
class Change:
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
    """What would be written, and what is to be said.

    Attributes:
        project: the files as they are.
        source: the dbt source.
        schema: dlt's.
        record: what was offered before.
        folder: where new files go.
        offers: what the new record holds.
        texts: new content of the files that differ.
        labels: what was added to a file, for the report.
    """

    project: DbtProject
    source: str
    schema: RawSchema
    record: Record
    folder: Path
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

    def change(self, path: Path, changes: Sequence[Change]) -> None:
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
