"""Staging models and their yml: new ones are written, the others get new columns and tests."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from headrace import yaml_editor
from headrace.scaffold import render
from headrace.scaffold.dbt_project import models_of
from headrace.scaffold.draft import ByHand, Draft, LeftOut, YamlAddition
from headrace.scaffold.model_sql import ModelSql
from headrace.scaffold.plan import GenericTest, ModelColumnPlan, ModelPlan, plan_model, relationship
from headrace.scaffold.raw_schema import LOAD_ID, PARENT_ID, ROW_ID, RawTableSchema
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

    def add(self, path: Path, added: Sequence[tuple[ModelColumnPlan, str]]) -> None:
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

    def offer(self, column: ModelColumnPlan) -> None:
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

    def _tests(self, column: ModelColumnPlan) -> tuple[GenericTest, ...]:
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
        added: Sequence[tuple[ModelColumnPlan, str]],
    ) -> list[YamlAddition]:
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
            return [YamlAddition(MappingKey(where, block), ", ".join(labels), every)]
        select = self._draft.model(path).select
        order = [item.output or "" for item in select.items] if select else []
        changes = []
        for (_, output), entry, offer, label in zip(missing, entries, offers, labels, strict=True):
            item = ListItem((*where, "columns"), _place(names, order, output), entry)
            changes.append(YamlAddition(item, label, offer))
        return changes

    def _more(self, column: ModelColumnPlan) -> tuple[GenericTest, ...]:
        return self._parent_tests if column.column.name == PARENT_ID else ()

    def _column_offers(self, column: ModelColumnPlan) -> tuple[tuple[str, ...], ...]:
        raw = column.column.name
        tests = tuple(("test", self._table, raw, test.name) for test in self._tests(column))
        return (("model column", self._table, raw), *tests)

    def _new_tests(self, path: Path, file: Path, where: yaml_editor.YamlPath) -> list[YamlAddition]:
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
    ) -> list[YamlAddition]:
        """The tests of one entry that were never offered and are not there."""
        draft = self._draft
        entry = value_at(draft.document(file).data, where)
        there = render.names_of_tests(entry)
        offers = {test.name: ("test", self._table, raw, test.name) for test in tests}
        draft.offers.update(offers[name] for name in there & offers.keys())
        new = [test for test in tests if offers[test.name] not in draft.offers]
        return [
            YamlAddition(edit, label, tuple(offers[test.name] for test in added))
            for edit, label, added in render.more_tests(entry, where, new, of)
        ]


def _place(names: Sequence[str], order: Sequence[str], output: str) -> int:
    """Where a new column's entry goes: after the nearest one before it in the SQL."""
    before = order[: order.index(output)] if output in order else []
    for other in reversed(before):
        if other in names:
            return list(names).index(other)
    return len(names) - 1


def merge_models(draft: Draft, tables: Mapping[str, str], *, has_combination: bool) -> None:
    """Bring the models of all tables up to date, parents before their children.

    Args:
        draft: collects what is to be written.
        tables: what dbt calls each declared table, by its name in the warehouse.
        has_combination: whether the project has the generic test for a key of several columns.
    """
    parents = {table.name: table.parent for table in draft.schema.tables}
    found = models_of(draft.project, draft.source, tables, parents)
    paths: dict[str, Path] = {}
    for table in draft.schema.tables:
        plan = plan_model(draft.source, draft.schema, table)
        path = _path(found.get(table.name, []), plan)
        _note_several(draft, table, found.get(table.name, []), path)
        if path is not None:
            paths[table.name] = path
        tests = _parent_tests(draft, table, tables, paths)
        merger = _Merger(draft, plan, tests, tables, has_combination=has_combination)
        if path is None and table.name not in found and table.name in tables:
            new = merger.create(tables)
            if new is not None:
                paths[table.name] = new
        elif path is not None:
            merger.update(path)


def _path(found: Sequence[Path], plan: ModelPlan) -> Path | None:
    """The only model of a table; of several, the one with the scaffold's name."""
    named = [path for path in found if path.stem == plan.name]
    return found[0] if len(found) == 1 else next(iter(named), None)


def _note_several(
    draft: Draft, table: RawTableSchema, found: Sequence[Path], path: Path | None
) -> None:
    if len(found) > 1 and path is None:
        models = ", ".join(draft.project.name(each) for each in found)
        what = f"several models read {table.name} ({models}): new columns are for you to add"
        draft.by_hand.append(ByHand(what=what))


def _parent_tests(
    draft: Draft, table: RawTableSchema, tables: Mapping[str, str], paths: Mapping[str, Path]
) -> tuple[GenericTest, ...]:
    """The test that a child's rows have their parent, where the parent can be named."""
    if table.parent is None or table.parent not in tables:
        return ()
    path = paths.get(table.parent)
    shows = path is not None and draft.model(path).output(ROW_ID) == ROW_ID
    name = path.stem if path is not None and shows else None
    return (relationship(name, draft.source, tables[table.parent]),)


class _Merger:
    """Works on the model of one table."""

    def __init__(
        self,
        draft: Draft,
        plan: ModelPlan,
        parent_tests: tuple[GenericTest, ...],
        tables: Mapping[str, str],
        *,
        has_combination: bool,
    ) -> None:
        self._draft = draft
        self._plan = plan
        self._parent_tests = parent_tests
        self._table = plan.table.name
        self._model_tests = plan.tests if has_combination else ()
        self._yml = ModelYml(draft, plan, parent_tests, self._model_tests)
        self._dbt_name = tables.get(self._table, self._table)

    # ── a new model ──────────────────────────────────────────────────────────

    def create(self, tables: Mapping[str, str]) -> Path | None:
        """Write SQL and yml, unless the user deleted them or what is loaded is unknown."""
        draft, plan = self._draft, self._plan
        if draft.record.has("model", self._table):
            return None
        root = (*plan.ancestors, plan.table)[0]
        problem = self._problem(root, tables)
        path = draft.folder / f"{plan.name}.sql"
        described = path.with_suffix(".yml")
        taken = next((p for p in draft.project.texts if p.stem == plan.name), None)
        if problem is None and taken is not None:
            problem = (
                f"{draft.project.name(taken)} exists and does not read {self._table}: write the "
                "model yourself, under another name"
            )
        if problem is not None:
            draft.by_hand.append(ByHand(what=problem))
            return None
        draft.add_file(path, render.model_sql(draft.source, plan, tables), f"model {plan.name}")
        text = render.model_file(self._with_model_tests(), self._parent_tests)
        draft.add_file(described, text, f"tests and descriptions of {plan.name}")
        draft.without_description += [
            f"{draft.project.name(described)}: column {column.name}"
            for column in plan.columns
            if not column.description
        ]
        self._offer_all()
        return path

    def _problem(self, root: RawTableSchema, tables: Mapping[str, str]) -> str | None:
        plan = self._plan
        if root.column(LOAD_ID) is None:
            return (
                f"no model for {self._table}: its rows have no {LOAD_ID}, so that rows of a "
                f"stopped load cannot be told; run `headrace load --source {self._draft.source}`"
            )
        missing = [t.name for t in plan.ancestors if t.name not in tables]
        if missing or (plan.table.parent and not plan.ancestors):
            above = ", ".join(missing) or str(plan.table.parent)
            return f"no model for {self._table}: its parent {above} is not declared as a source"
        return None if plan.columns else f"no model for {self._table}: it has no columns"

    def _with_model_tests(self) -> ModelPlan:
        return replace(self._plan, tests=self._model_tests)

    def _offer_all(self) -> None:
        draft = self._draft
        draft.offer("model", self._table)
        for column in self._plan.columns:
            self._yml.offer(column)
        for test in self._model_tests:
            draft.offer("test", self._table, "", test.name)

    # ── a model that is there ────────────────────────────────────────────────

    def update(self, path: Path) -> None:
        """Add new columns and tests; one that was never scaffolded is taken as it is."""
        draft = self._draft
        if not draft.record.has("model", self._table):
            self._adopt(path)
            return
        draft.offer("model", self._table)
        added = [
            (column, output)
            for column in self._plan.columns
            if not draft.offered("model column", self._table, column.column.name)
            and (output := self._add_sql(path, column)) is not None
        ]
        if not added and not self._yml.has_new_tests():
            return
        self._yml.add(path, added)

    def _adopt(self, path: Path) -> None:
        model = self._draft.model(path)
        skipped = (
            ()
            if model.shows_all
            else tuple(
                column.column.name
                for column in self._plan.columns
                if not model.mentions(column.column.name)
                and not column.column.name.startswith("_dlt")
            )
        )
        if skipped:
            name = self._draft.project.name(path)
            self._draft.left_out.append(LeftOut(path=name, table=self._table, columns=skipped))
        self._offer_all()

    def _add_sql(self, path: Path, plan: ModelColumnPlan) -> str | None:
        """Add a column to the SQL.

        Returns:
            What it is called there; None when the user has to add it, or left it out knowingly.
        """
        draft, raw = self._draft, plan.column.name
        model = draft.model(path)
        if (model.shows_all and self._reads_own(model)) or model.mentions(raw):
            output = model.output(raw)
            if output is None:
                self._yml.offer(plan)
            return output
        name = self._free_name(model, plan)
        if name is not None and self._reads_own(model):
            named = replace(plan, name=name)
            note = render.note(named.sql)
            new = model.with_column(named.sql, after=self._before(model, plan), note=note)
            if new is not None:
                draft.set_sql(path, new, f"column {name}")
                return name
        self._by_hand(path, plan)
        return None

    def _reads_own(self, model: ModelSql) -> bool:
        return model.own_table == (self._draft.source, self._dbt_name)

    def _free_name(self, model: ModelSql, plan: ModelColumnPlan) -> str | None:
        taken = (
            {item.output.lower() for item in model.select.items if item.output}
            if model.select
            else set()
        )
        for name in (plan.name, plan.column.name):
            if name.lower() not in taken:
                return name
        return None

    def _before(self, model: ModelSql, plan: ModelColumnPlan) -> str | None:
        """The raw column whose item a new one follows, by the order of kinds."""
        found = None
        for item in model.select.items if model.select else ():
            known = self._plan.column(item.raw) if item.raw else None
            if known is not None and known.rank <= plan.rank:
                found = item.raw
        return found

    def _by_hand(self, path: Path, plan: ModelColumnPlan) -> None:
        self._draft.by_hand.append(
            ByHand(
                path=self._draft.project.name(path),
                what=f"read the new column {plan.column.name} of {self._table}, or name it in a "
                "comment to leave it out",
                line=f"{plan.sql},",
            )
        )
