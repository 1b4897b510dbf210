"""A model's yml: entries of new columns are added, and tests that a newer schema asks for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headrace import yaml_editor
from headrace.scaffold import render
from headrace.scaffold.draft import Change, Draft
from headrace.scaffold.model_sql import ModelSql
from headrace.scaffold.plan import ColumnPlan, GenericTest, ModelPlan
from headrace.scaffold.raw_schema import PARENT_ID
from headrace.yaml_editor import ListItem, MappingKey, value_at


class ModelYml:
    """Edits the entry of one model, whichever file it is in."""

    def __init__(
        self,
        draft: Draft,
        plan: ModelPlan,
        parent_tests: tuple[GenericTest, ...],
        model_tests: tuple[GenericTest, ...],
    ) -> None:
        self._draft = draft
        self._plan = plan
        self._parent_tests = parent_tests
        self._model_tests = model_tests
        self._table = plan.table.name

    def add(self, path: Path, added: Sequence[tuple[ColumnPlan, str]]) -> None:
        """Add columns and tests.

        Args:
            path: of the model.
            added: new columns, and what the model calls them.
        """
        entry = self._entry(path)
        if entry is None:
            for column, _ in added:
                self.offer(column)
            return
        file, where = entry
        changes = [
            *self._new_columns(path, file, where, added),
            *self._new_tests(path, file, where),
        ]
        if changes:
            self._draft.change(file, changes)

    def offer(self, column: ColumnPlan) -> None:
        """Record that a column was offered, with its tests."""
        self._draft.offer("model column", self._table, column.column.name)
        for test in self._tests(column):
            self._draft.offer("test", self._table, column.column.name, test.name)

    def has_new_tests(self) -> bool:
        """Whether the schema asks for a test that was never offered."""
        wanted = {
            ("test", self._table, column.column.name, test.name)
            for column in self._plan.columns
            for test in self._tests(column)
        }
        wanted |= {("test", self._table, "", test.name) for test in self._model_tests}
        return not wanted <= self._draft.offers

    def _tests(self, column: ColumnPlan) -> tuple[GenericTest, ...]:
        more = self._parent_tests if column.column.name == PARENT_ID else ()
        return (*column.tests, *more)

    def _entry(self, path: Path) -> tuple[Path, yaml_editor.YamlPath] | None:
        found = self._draft.project.entries("models", path.stem)
        return (found[0][0], ("models", found[0][1])) if len(found) == 1 else None

    def _columns(self, file: Path, where: yaml_editor.YamlPath) -> list[str]:
        items = value_at(self._draft.document(file).data, (*where, "columns"))
        items = items if isinstance(items, list) else []
        return [str(item.get("name")) if isinstance(item, dict) else "" for item in items]

    def _new_columns(
        self,
        path: Path,
        file: Path,
        where: yaml_editor.YamlPath,
        added: Sequence[tuple[ColumnPlan, str]],
    ) -> list[Change]:
        names = self._columns(file, where)
        missing = []
        for column, output in added:
            if output in names:
                self.offer(column)
            else:
                missing.append((column, output))
        entries = [
            tuple(render.column_entry(column, output, self._more(column)))
            for column, output in missing
        ]
        offers = [self._column_offers(column) for column, _ in missing]
        labels = [f"column {output} of {path.stem}" for _, output in missing]
        if missing and not names:
            block = ("columns:", *(f"  {line}" for entry in entries for line in entry))
            every = tuple(offer for each in offers for offer in each)
            return [Change(MappingKey(where, block), ", ".join(labels), every)]
        select = self._draft.model(path).select
        order = [item.output or "" for item in select.items] if select else []
        changes = []
        for (_, output), entry, offer, label in zip(missing, entries, offers, labels, strict=True):
            item = ListItem((*where, "columns"), _place(names, order, output), entry)
            changes.append(Change(item, label, offer))
        return changes

    def _more(self, column: ColumnPlan) -> tuple[GenericTest, ...]:
        return self._parent_tests if column.column.name == PARENT_ID else ()

    def _column_offers(self, column: ColumnPlan) -> tuple[tuple[str, ...], ...]:
        raw = column.column.name
        tests = tuple(("test", self._table, raw, test.name) for test in self._tests(column))
        return (("model column", self._table, raw), *tests)

    def _new_tests(self, path: Path, file: Path, where: yaml_editor.YamlPath) -> list[Change]:
        """Tests that the schema asks for since, of columns that are there."""
        draft = self._draft
        model = draft.model(path)
        names = self._columns(file, where)
        changes = []
        for column in self._plan.columns:
            raw = column.column.name
            output = model.output(raw)
            if draft.record.has("model column", self._table, raw) and output in names:
                place = (*where, "columns", names.index(output))
                tests = self._tests(column)
                changes += self._tests_at(file, place, tests, raw, f"{path.stem}.{output}")
        if self._keeps_names(model):
            changes += self._tests_at(file, where, self._model_tests, "", path.stem)
        return changes

    def _keeps_names(self, model: ModelSql) -> bool:
        """Whether the columns of the key are called as the test of the key calls them."""
        key = [plan for plan in self._plan.columns if plan.column.is_primary_key]
        return all(model.output(plan.column.name) == plan.name for plan in key)

    def _tests_at(
        self,
        file: Path,
        where: yaml_editor.YamlPath,
        tests: Sequence[GenericTest],
        raw: str,
        of: str,
    ) -> list[Change]:
        """The tests of one entry that were never offered and are not there."""
        draft = self._draft
        entry = value_at(draft.document(file).data, where)
        key = next((name for name in ("data_tests", "tests") if name in entry), None)
        present = entry[key] if key else None
        present = present if isinstance(present, list) else []
        there = {_test_name(each) for each in present}
        offers = {test.name: ("test", self._table, raw, test.name) for test in tests}
        draft.offers.update(offers[name] for name in there & offers.keys())
        new = [test for test in tests if offers[test.name] not in draft.offers]
        if new and key is None:
            lines = [f"  {line}" for test in new for line in render.test(test)]
            label = f"{_words(new)} of {of}"
            every = tuple(offers[test.name] for test in new)
            return [Change(MappingKey(where, ("data_tests:", *lines)), label, every)]
        last = len(present) - 1
        return [
            Change(
                ListItem((*where, str(key)), last, tuple(render.test(test))),
                f"{_words([test])} of {of}",
                (offers[test.name],),
            )
            for test in new
        ]


def _words(tests: Sequence[GenericTest]) -> str:
    noun = "test" if len(tests) == 1 else "tests"
    return f"{noun} {' and '.join(test.name for test in tests)}"


def _place(names: Sequence[str], order: Sequence[str], output: str) -> int:
    """Where a new column's entry goes: after the nearest one before it in the SQL."""
    before = order[: order.index(output)] if output in order else []
    for other in reversed(before):
        if other in names:
            return list(names).index(other)
    return len(names) - 1


def _test_name(item: Any) -> str:
    if isinstance(item, dict):
        return str(item.get("test_name") or next(iter(item), ""))
    return str(item)
