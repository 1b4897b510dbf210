"""Generic tests that were proposed for tables of the dbt project, added to its yml.

What is there is kept: a column that has a test of the name keeps that one as it is.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from headrace import file_changes
from headrace.artifacts import Manifest, read_manifest
from headrace.scaffold import render
from headrace.scaffold.dbt_project import DbtProject, declared_tables, open_project
from headrace.scaffold.draft import ByHand, FileReport, edited, new_columns
from headrace.scaffold.plan import GenericTest, yaml_name
from headrace.settings import Resolved
from headrace.yaml_editor import Edit, YamlPath, value_at

_BUILT_IN = {"unique", "not_null", "accepted_values", "relationships"}


@dataclass(frozen=True)
class NewTest:
    """A generic test to add.

    Attributes:
        table: ``schema.table`` that it is about.
        column: of the table; None for a test of the whole.
        name: of the generic test.
        arguments: as YAML has them; ``to`` is a ``schema.table``, and becomes a ref or source.
        warns: whether its failure is a warning: for what is known to be wrong today.
    """

    table: str
    column: str | None
    name: str
    arguments: dict[str, Any]
    warns: bool


class TestsReport(BaseModel):
    """What was added to the yml of a dbt project."""

    __test__ = False  # no test case, whatever pytest thinks of the name
    model_config = ConfigDict(frozen=True)

    dry_run: bool
    files: tuple[FileReport, ...]
    by_hand: tuple[ByHand, ...]


def add_tests(
    resolved: Resolved, tests: Sequence[NewTest], *, dry_run: bool = False
) -> TestsReport:
    """Add tests to the entries of models and of sources' tables.

    Args:
        resolved: the settings.
        tests: what to add; what cannot be added is in the report, with the lines.
        dry_run: write nothing, and report what would be written.

    Raises:
        ProjectError: there is no dbt project.
        ProjectFileError: a file cannot be read or written; nothing was written.
        TransformError: there is no build yet.
    """
    project = open_project(resolved.dbt_project)
    manifest = read_manifest(resolved.artifacts)
    names = _names(manifest)
    edits: dict[Path, list[tuple[Edit, str]]] = {}
    by_hand: list[ByHand] = []
    for table in dict.fromkeys(test.table for test in tests):
        entry = _entry(project, manifest, table)
        if entry is None:
            what = f"describe {table} in a yml first (headrace scaffold), then write its tests"
            by_hand.append(ByHand(path=None, what=what))
            continue
        path, where = entry
        wanted = [test for test in tests if test.table == table]
        usable = [t for t in wanted if t.name in _BUILT_IN or project.has_macro(t.name)]
        by_hand += [
            ByHand(
                path=project.name(path),
                what=f"test {table} by {test.name}: the dbt project has no such generic test; "
                f"copy tests/generic/{test.name}.sql from a new Headrace project",
            )
            for test in wanted
            if test not in usable
        ]
        found = _edits(project.document(path).data, where, usable, names)
        edits.setdefault(path, []).extend(found)
    texts, files, left = edited(project, edits)
    by_hand += left
    file_changes.check(project.root, texts)
    if not dry_run:
        file_changes.write(texts, project.texts)
    return TestsReport(dry_run=dry_run, files=tuple(files), by_hand=tuple(by_hand))


def _names(manifest: Manifest) -> dict[str, str]:
    """What SQL of dbt calls each relation: ``ref('orders')``, by ``schema.table``."""
    named = {
        f"{node.schema_name}.{node.relation_name}": f"ref('{node.name}')"
        for node in manifest.nodes.values()
        if node.is_relation
    }
    return named | {
        f"{one.schema_name}.{one.relation_name}": f"source('{one.source_name}', '{one.name}')"
        for one in manifest.sources.values()
    }


def _entry(project: DbtProject, manifest: Manifest, table: str) -> tuple[Path, YamlPath] | None:
    """Where the yml describes a table: the file, and the place of the entry in it."""
    for node in manifest.nodes.values():
        if node.is_relation and f"{node.schema_name}.{node.relation_name}" == table:
            key = f"{node.resource_type}s"
            for path, place in project.entries(key, node.name):
                return path, (key, place)
    for one in manifest.sources.values():
        if f"{one.schema_name}.{one.relation_name}" == table:
            declared = declared_tables(project, one.source_name).get(one.relation_name)
            if declared is not None:
                return declared.path, declared.where
    return None


def _edits(
    data: Any, where: YamlPath, tests: Sequence[NewTest], names: Mapping[str, str]
) -> list[tuple[Edit, str]]:
    """Additions to one table's entry: tests of it, of its columns, entries of other columns."""
    found: list[tuple[Edit, str]] = []
    items = value_at(data, (*where, "columns"))
    items = items if isinstance(items, list) else []
    places = {
        str(item.get("name")).lower(): number
        for number, item in enumerate(items)
        if isinstance(item, dict)
    }
    new: list[tuple[list[str], str]] = []
    for column in dict.fromkeys(test.column for test in tests):
        own = [test for test in tests if test.column == column]
        if column is None or column.lower() in places:
            spot = where if column is None else (*where, "columns", places[column.lower()])
            found += _at(value_at(data, spot), spot, own, names)
        else:
            tests_of_it = [_generic(test, names) for test in own]
            lines = [line for test in tests_of_it for line in render.test(test)]
            item = ["data_tests:", *_indented(lines)]
            label = f"column {column} with {render.words_of_tests(tests_of_it)}"
            new.append(([f"- name: {yaml_name(column)}", *_indented(item)], label))
    return found + new_columns(where, len(items), new)


def _at(
    entry: Any, where: YamlPath, tests: Sequence[NewTest], names: Mapping[str, str]
) -> list[tuple[Edit, str]]:
    """The tests that an entry lacks."""
    constraints = entry.get("constraints")
    there = render.names_of_tests(entry) | {
        str(item.get("type"))
        for item in (constraints if isinstance(constraints, list) else [])
        if isinstance(item, dict)
    }
    new = [_generic(test, names) for test in tests if test.name not in there]
    added = render.more_tests(entry, where, new, str(entry.get("name", "")))
    return [(edit, label) for edit, label, _ in added]


def _generic(test: NewTest, names: Mapping[str, str]) -> GenericTest:
    """A test as the yml has it."""
    arguments = tuple(
        (
            name,
            names.get(str(value), str(value))
            if name == "to"
            else json.dumps(value, ensure_ascii=False),
        )
        for name, value in test.arguments.items()
    )
    return GenericTest(test.name, arguments, warns=test.warns)


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
