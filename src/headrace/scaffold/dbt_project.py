"""The dbt project: its declared sources, models and yml, and the record of what was offered."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from headrace import yaml_editor
from headrace.errors import ProjectError, ScaffoldError
from headrace.file_changes import read_text
from headrace.scaffold.model_sql import ModelSql
from headrace.yaml_editor import YamlDocument, value_at

What = Literal["table", "model", "source column", "model column", "test"]
Offer = tuple[str, ...]

_HEAD = """\
# Written by `headrace scaffold {source}`: what it has offered so far. Commit this file: by it the
# scaffold knows that a column, a test or a file was removed on purpose. Delete a line, and it is
# offered again.
"""


@dataclass(frozen=True)
class Record:
    """All that was offered.

    Attributes:
        offers: what and of which table, column and test.
        exists: whether there is such a file yet.
    """

    offers: frozenset[Offer]
    exists: bool

    def has(self, what: What, *names: str) -> bool:
        """Whether something was offered."""
        return (what, *names) in self.offers

    def knows(self, table: str) -> bool:
        """Whether anything of a table was offered."""
        return any(offer[1] == table for offer in self.offers)

    def columns(self, table: str) -> list[str]:
        """The columns of a table that were offered."""
        kinds = {"source column", "model column"}
        return sorted({o[2] for o in self.offers if o[0] in kinds and o[1] == table})


def record_name(source: str) -> str:
    """The name of the record's file."""
    return f"_{source}__scaffold.lock"


def render_record(source: str, offers: Iterable[Offer]) -> str:
    """The text of a record."""
    lines = [json.dumps(list(offer), ensure_ascii=False) for offer in sorted(set(offers))]
    return _HEAD.format(source=source) + "\n".join(lines) + "\n"


def parse_record(text: str | None, name: str) -> Record:
    """Read a record; None is a file that is not there.

    Raises:
        ScaffoldError: a line is not a record, such as a merge conflict marker.
    """
    if text is None:
        return Record(frozenset(), exists=False)
    offers: set[Offer] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        is_offer = isinstance(value, list) and len(value) >= 2
        if not is_offer or not all(isinstance(part, str) for part in value):
            raise ScaffoldError(
                f"{name}:{number}: this is not a line of a scaffold record (a merge conflict?): "
                "keep the lines of both sides, and delete this one; nothing was written"
            )
        offers.add(tuple(value))
    return Record(frozenset(offers), exists=True)


_YAML = {".yml", ".yaml"}

_SKIPPED = {"target", "logs", "dbt_packages", "__pycache__", ".git"}


@dataclass
class DbtProject:
    """The files of a dbt project that a scaffold looks at, read once.

    Attributes:
        root: the dbt project.
        model_paths: its folders of models.
        macro_paths: its folders of macros and of generic tests.
        texts: content by path, with line ends as they are.
    """

    root: Path
    model_paths: tuple[Path, ...]
    macro_paths: tuple[Path, ...]
    texts: dict[Path, str] = field(default_factory=dict)
    _documents: dict[Path, YamlDocument] = field(default_factory=dict)

    def name(self, path: Path) -> str:
        """A path as messages and reports show it."""
        return Path(os.path.relpath(path, self.root)).as_posix()

    def document(self, path: Path) -> YamlDocument:
        """A YAML file, parsed.

        Raises:
            ProjectFileError: it is broken.
        """
        if path not in self._documents:
            self._documents[path] = yaml_editor.parse(self.texts[path], self.name(path))
        return self._documents[path]

    def entries(self, key: str, name: str) -> list[tuple[Path, int]]:
        """The files, and the place in them, of each ``name`` in the top level list ``key``."""
        found = []
        for path, text in sorted(self.texts.items()):
            if path.suffix not in _YAML or name not in text or f"{key}:" not in text:
                continue
            data = self.document(path).data
            items = data.get(key) if isinstance(data, dict) else None
            for place, item in enumerate(items if isinstance(items, list) else []):
                if isinstance(item, dict) and item.get("name") == name:
                    found.append((path, place))
        return found

    def models(self) -> Mapping[Path, ModelSql]:
        """The SQL of every model that names a source."""
        return {
            path: ModelSql(text)
            for path, text in sorted(self.texts.items())
            if path.suffix == ".sql" and "source(" in text
        }

    def has_macro(self, name: str) -> bool:
        """Whether a macro, or a generic test, is in the project."""
        word = re.compile(rf"\{{%-?\s*(macro|test)\s+{name}\s*\(")
        return any(word.search(read_text(path)) for path in _files(self.macro_paths, {".sql"}))


@dataclass(frozen=True)
class DeclaredTable:
    """A table of the source, as the sources yml has it.

    Attributes:
        path: of the file.
        where: of the table's entry.
        name: what ``source()`` calls it.
        columns: names of the columns that are described.
    """

    path: Path
    where: yaml_editor.YamlPath
    name: str
    columns: tuple[str, ...]


def open_project(root: Path) -> DbtProject:
    """Read a dbt project.

    Raises:
        ProjectError: there is none.
        ProjectFileError: a file of it cannot be read.
    """
    settings = root / "dbt_project.yml"
    if not settings.is_file():
        raise ProjectError(f"{root} holds no dbt_project.yml: set dbt.project_dir to a dbt project")
    data = yaml_editor.parse(read_text(settings), settings.name).data
    data = data if isinstance(data, dict) else {}
    root = root.resolve()
    model_paths = _folders(root, data.get("model-paths"), "models")
    others = (data.get("macro-paths"), "macros"), (data.get("test-paths"), "tests")
    macro_paths = [folder for value, default in others for folder in _folders(root, value, default)]
    kinds = {*_YAML, ".sql", ".lock"}
    texts = {path: read_text(path) for path in _files(model_paths, kinds)}
    return DbtProject(root, model_paths, tuple(macro_paths), texts)


def declared_tables(project: DbtProject, source: str) -> dict[str, DeclaredTable]:
    """The tables of a source by their names in the warehouse, wherever they are declared."""
    found: dict[str, DeclaredTable] = {}
    for path, place in project.entries("sources", source):
        tables = value_at(project.document(path).data, ("sources", place, "tables"))
        for number, table in enumerate(tables if isinstance(tables, list) else []):
            if not isinstance(table, dict) or not isinstance(table.get("name"), str):
                continue
            columns = [str(c["name"]) for c in _mappings(table.get("columns")) if "name" in c]
            where: yaml_editor.YamlPath = ("sources", place, "tables", number)
            raw = str(table.get("identifier") or table["name"])
            found.setdefault(raw, DeclaredTable(path, where, table["name"], tuple(columns)))
    return found


def models_of(
    project: DbtProject, source: str, tables: Mapping[str, str], parents: Mapping[str, str | None]
) -> dict[str, list[Path]]:
    """The models of each raw table: those that read it, and no child table of it.

    Args:
        project: the project.
        source: the dbt source.
        tables: names in dbt, by names in the warehouse.
        parents: of each raw table its parent.
    """
    raw = {name: table for table, name in tables.items()}
    found: dict[str, list[Path]] = {}
    for path, model in project.models().items():
        read = {raw[name] for of, name in model.reads if of == source and name in raw}
        above = {table for each in read for table in _ancestors(each, parents)}
        for table in read - above:
            found.setdefault(table, []).append(path)
    return found


def record_path(project: DbtProject, source: str) -> Path | None:
    """The path of a source's record; None if there is none yet.

    Raises:
        ScaffoldError: there are several.
    """
    found = [path for path in project.texts if path.name == record_name(source)]
    if len(found) > 1:
        both = " and ".join(sorted(project.name(path) for path in found))
        raise ScaffoldError(f"there are {both}: merge them into one; nothing was written")
    return found[0] if found else None


def _ancestors(table: str, parents: Mapping[str, str | None]) -> Iterator[str]:
    seen = {table}
    above = parents.get(table)
    while above is not None and above not in seen:
        yield above
        seen.add(above)
        above = parents.get(above)


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _folders(root: Path, value: Any, default: str) -> tuple[Path, ...]:
    names = [str(item) for item in value] if isinstance(value, list) and value else [default]
    return tuple(Path(os.path.normpath(root / name)) for name in names)


def _files(folders: Iterable[Path], kinds: set[str]) -> Iterator[Path]:
    for folder in folders:
        for directory, inside, names in os.walk(folder):
            inside[:] = sorted(set(inside) - _SKIPPED)
            for name in sorted(names):
                if Path(name).suffix in kinds:
                    yield Path(directory, name)
