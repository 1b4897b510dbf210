"""What a contract promises, added to the yml of the dbt project, which keeps what it says.

properties ─► columns with data_type, description and tests; an enforced contract
quality ─► tests: of the rule that one was made from, or of a metric
slaProperties, id, version ─► config.meta
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from headrace import file_changes
from headrace.scaffold import render
from headrace.scaffold.dbt_project import DbtProject, declared_tables, open_project
from headrace.scaffold.draft import ByHand, FileReport, edited, new_columns
from headrace.scaffold.plan import GenericTest, yaml_name
from headrace.settings import Resolved
from headrace.yaml_editor import Edit, MappingKey, YamlPath, value_at

if TYPE_CHECKING:
    from open_data_contract_standard.model import DataQuality, SchemaObject, SchemaProperty

    from headrace.quality.contract.document import Contract

_DBT_TEST = "dbtTest"
_BUILT_IN = {"unique", "not_null", "accepted_values", "relationships"}


class ImportReport(BaseModel):
    """What was added to the yml of a dbt project."""

    model_config = ConfigDict(frozen=True)

    contract: str
    dry_run: bool
    files: tuple[FileReport, ...]
    by_hand: tuple[ByHand, ...]
    notes: tuple[str, ...] = Field((), description="parts of the file that were not looked at")


def import_contract(
    resolved: Resolved,
    contract: "Contract",
    tables: "Sequence[tuple[SchemaObject, Any]]",
    built: Mapping[str, Sequence[str]],
    *,
    dry_run: bool = False,
) -> ImportReport:
    """Add what a contract promises to the entries of its tables.

    Args:
        resolved: the settings.
        contract: it.
        tables: its tables, and the node of dbt's manifest that each is about.
        built: the columns that a table has in the warehouse, by dbt's id.
        dry_run: write nothing, and report what would be written.

    Raises:
        ProjectError: there is no dbt project.
        ProjectFileError: a file cannot be read or written; nothing was written.
    """
    project = open_project(resolved.dbt_project)
    draft = _Draft(project, contract)
    for table, node in tables:
        if node is None:
            what = (
                f"write a model {table.name} first: the dbt project has no such table, and the "
                "contract then says what it must hold"
            )
            draft.by_hand.append(ByHand(path=None, what=what))
            continue
        draft.add(table, node, built.get(node.unique_id, ()))
    texts: dict[Path, str] = dict(draft.new_files)
    files = [
        FileReport(
            path=project.name(path),
            status="added",
            additions=("a yml",),
            diff=file_changes.diff(project.name(path), "", text),
        )
        for path, text in draft.new_files.items()
    ]
    changed, reports, left = edited(project, draft.edits)
    texts |= changed
    files += reports
    draft.by_hand += left
    file_changes.check(project.root, texts)
    if not dry_run:
        file_changes.write(texts, project.texts)
    return ImportReport(
        contract=contract.label,
        dry_run=dry_run,
        files=tuple(files),
        by_hand=tuple(draft.by_hand),
        notes=contract.notes,
    )


@dataclass
class _Draft:
    """What is to be written."""

    project: DbtProject
    contract: "Contract"
    edits: dict[Path, list[tuple[Edit, str]]] = field(default_factory=dict)
    new_files: dict[Path, str] = field(default_factory=dict)
    by_hand: list[ByHand] = field(default_factory=list)

    def add(self, table: "SchemaObject", node: Any, built: Sequence[str]) -> None:
        """Add one table."""
        place = self._place(node)
        if place is None:
            self._new_file(table, node, built)
            return
        path, where = place
        entry = value_at(self.project.document(path).data, where)
        edits = self.edits.setdefault(path, [])
        if table.description and not entry.get("description"):
            text = tuple(render.description(table.description))
            edits.append((MappingKey(where, text), f"description of {node.name}"))
        edits += self._config(entry, where, table, node, built)
        tests = [test for rule in table.quality or () for test in self._tests(rule, path)]
        edits += self._more(entry, where, [*self._key_tests(table), *tests], node.name)
        items = entry.get("columns")
        items = items if isinstance(items, list) else []
        places = {
            str(item.get("name")).casefold(): number
            for number, item in enumerate(items)
            if isinstance(item, dict)
        }
        new: list[tuple[list[str], str]] = []
        for column in table.properties or ():
            number = places.get(str(column.name).casefold())
            if number is None:
                new.append((self._column(column, table, path), f"column {column.name}"))
                continue
            spot = (*where, "columns", number)
            edits += self._of_column(items[number], spot, column, table, path)
        edits += new_columns(where, len(items), new)

    def _place(self, node: Any) -> tuple[Path, YamlPath] | None:
        if node.resource_type == "source":
            declared = declared_tables(self.project, node.source_name).get(node.relation_name)
            return (declared.path, declared.where) if declared is not None else None
        key = f"{node.resource_type}s"
        found = self.project.entries(key, node.name)
        return (found[0][0], (key, found[0][1])) if found else None

    def _new_file(self, table: "SchemaObject", node: Any, built: Sequence[str]) -> None:
        """A yml beside a model that has none."""
        sql = self.project.root / str(node.original_file_path)
        path = sql.with_suffix(".yml")
        if path.exists() or path in self.project.texts:
            what = f"describe {node.name} in it first, then import the contract again"
            self.by_hand.append(ByHand(path=self.project.name(path), what=what))
            return
        lines = [f"- name: {yaml_name(node.name)}"]
        lines += _shift(render.description(table.description or ""), 2)
        config = self._config_lines({}, table, node, built)
        lines += _shift(["config:", *_shift(config, 2)] if config else [], 2)
        tests = [test for rule in table.quality or () for test in self._tests(rule, path)]
        tests = [*self._key_tests(table), *tests]
        if tests:
            lines += ["  data_tests:", *_shift([x for t in tests for x in render.test(t)], 4)]
        columns = [
            line for one in table.properties or () for line in self._column(one, table, path)
        ]
        lines += ["  columns:", *_shift(columns, 4)] if columns else []
        key = f"{node.resource_type}s"
        self.new_files[path] = f"{key}:\n" + "\n".join(_shift(lines, 2)) + "\n"

    def _config(
        self, entry: Mapping[str, Any], where: YamlPath, table: "SchemaObject", node: Any,
        built: Sequence[str],
    ) -> list[tuple[Edit, str]]:  # fmt: skip
        there = entry.get("config")
        lines = self._config_lines(entry, table, node, built)
        if not lines:
            return []
        label = f"config of {node.name}"
        if not isinstance(there, dict):
            return [(MappingKey(where, ("config:", *_shift(lines, 2))), label)]
        meta = there.get("meta")
        if isinstance(meta, dict) and lines[0] == "meta:":
            inner = tuple(line.removeprefix("  ") for line in lines[1:])
            return [(MappingKey((*where, "config", "meta"), inner), label)]
        return [(MappingKey((*where, "config"), tuple(lines)), label)]

    def _config_lines(
        self, entry: Mapping[str, Any], table: "SchemaObject", node: Any, built: Sequence[str]
    ) -> list[str]:
        config = entry.get("config")
        config = config if isinstance(config, dict) else {}
        meta = {**(entry.get("meta") or {}), **(config.get("meta") or {})}
        lines, model = [], self.contract.model
        told: dict[str, Any] = {}
        default_id = f"{node.schema_name}.{node.relation_name}"
        if "contract" not in meta and not str(model.id).endswith(default_id):
            told["contract"] = {"id": model.id, "version": model.version, "status": model.status}
        mine = [
            one for one in model.slaProperties or ()
            if not one.element or one.element.rpartition(".")[0] in {"", table.name}
        ]  # fmt: skip
        levels = [one.model_dump(exclude_none=True) for one in mine]
        freshness = node.resource_type == "source" and (
            getattr(node, "freshness", None) or node.config.freshness
        )
        if freshness:  # dbt's own says it
            levels = [one for one in levels if one.get("property") != "latency" or "element" in one]
        if levels and "sla" not in meta:
            told["sla"] = levels
        if told:
            lines += ["meta:"]
            for key, value in told.items():
                lines.append(f"  {key}: {json.dumps(value, ensure_ascii=False)}")
        columns = {str(one.name).casefold() for one in table.properties or () if one.physicalType}
        is_whole = bool(built) and {one.casefold() for one in built} <= columns
        if node.resource_type == "model" and is_whole and "contract" not in config:
            lines = [*lines, "contract:", "  enforced: true"] if not lines else [
                "contract:", "  enforced: true", *lines]  # fmt: skip
        return lines

    def _column(self, column: "SchemaProperty", table: "SchemaObject", path: Path) -> list[str]:
        lines = [f"- name: {yaml_name(str(column.name))}"]
        lines += _shift(render.description(column.description or ""), 2)
        if column.physicalType:
            lines.append(f"  data_type: {column.physicalType}")
        tests = self._column_tests(column, table, path)
        if tests:
            lines += ["  data_tests:", *_shift([x for t in tests for x in render.test(t)], 4)]
        return lines

    def _of_column(
        self, entry: Mapping[str, Any], where: YamlPath, column: "SchemaProperty",
        table: "SchemaObject", path: Path,
    ) -> list[tuple[Edit, str]]:  # fmt: skip
        edits: list[tuple[Edit, str]] = []
        if column.description and not entry.get("description"):
            text = tuple(render.description(column.description))
            edits.append((MappingKey(where, text), f"description of {column.name}"))
        there, wanted = entry.get("data_type"), column.physicalType
        if wanted and not there:
            line = (f"data_type: {wanted}",)
            edits.append((MappingKey(where, line), f"data_type of {column.name}"))
        elif wanted and str(there).casefold() != wanted.casefold():
            what = f"{column.name}: the data_type is {there}, and the contract says {wanted}"
            self.by_hand.append(ByHand(path=self.project.name(path), what=what))
        tests = self._column_tests(column, table, path)
        return [*edits, *self._more(entry, where, tests, str(column.name))]

    def _more(
        self, entry: Mapping[str, Any], where: YamlPath, tests: Sequence[GenericTest], of: str
    ) -> list[tuple[Edit, str]]:
        constraints = entry.get("constraints")
        there = render.names_of_tests(entry) | {
            str(item.get("type"))
            for item in (constraints if isinstance(constraints, list) else [])
            if isinstance(item, dict)
        }
        texts = [
            json.dumps(one, default=str)
            for one in (entry.get("data_tests") or entry.get("tests") or [])
        ]
        new = [
            one for one in tests
            if one.name not in there
            or (one.arguments and not _is_there(one, texts))
        ]  # fmt: skip
        return [(edit, label) for edit, label, _ in render.more_tests(entry, where, new, of)]

    def _key_tests(self, table: "SchemaObject") -> list[GenericTest]:
        key = sorted(
            ((one.primaryKeyPosition or 0, str(one.name)) for one in table.properties or ()
             if one.primaryKey), key=lambda one: one[0],
        )  # fmt: skip
        if len(key) < 2 or not self.project.has_macro("unique_combination_of_columns"):
            return []
        columns = json.dumps([name for _, name in key], ensure_ascii=False)
        return [GenericTest("unique_combination_of_columns", (("columns", columns),))]

    def _column_tests(
        self, column: "SchemaProperty", table: "SchemaObject", path: Path
    ) -> list[GenericTest]:
        keys = [one for one in table.properties or () if one.primaryKey]
        is_key = bool(column.primaryKey) and len(keys) == 1
        tests = []
        if column.unique or is_key:
            tests.append(GenericTest("unique"))
        if column.required or column.primaryKey:
            tests.append(GenericTest("not_null"))
        values = [one.value for one in column.enum or ()]
        if values:
            listed = json.dumps(values, ensure_ascii=False, default=str)
            tests.append(GenericTest("accepted_values", (("values", listed),)))
        for one in column.relationships or ():
            name, _, target = str(one.to or "").rpartition(".")
            if name and target:
                to = f"ref('{name.rpartition('.')[2]}')"
                tests.append(GenericTest("relationships", (("to", to), ("field", target))))
        return [
            *tests,
            *(test for rule in column.quality or () for test in self._tests(rule, path)),
        ]

    def _tests(self, rule: "DataQuality", path: Path) -> list[GenericTest]:
        """The dbt test that says the same as a rule; none of one that only a contract can say."""
        warns = (rule.severity or "").casefold() in {"warn", "warning", "info"}
        dbt = next(
            (one.value for one in rule.customProperties or () if one.property == _DBT_TEST), None
        )
        if dbt is None and rule.engine == "dbt":
            dbt = rule.implementation
        if isinstance(dbt, dict) and dbt.get("name"):
            name, given = str(dbt["name"]), dbt.get("arguments") or {}
            if name not in _BUILT_IN and not self.project.has_macro(name):
                what = f"the contract's test {name} is not in the dbt project: add it there first"
                self.by_hand.append(ByHand(path=self.project.name(path), what=what))
                return []
            if (dbt.get("config") or {}).get("where"):
                return []  # the contract itself checks it in each run
            return [GenericTest(name, _arguments(given), warns=warns)]
        metric = rule.metric or rule.rule
        values = (rule.arguments or {}).get("validValues")
        if metric in {"invalidValues", "validValues"} and values and rule.mustBe in {0, None}:
            listed = json.dumps(values, ensure_ascii=False, default=str)
            return [GenericTest("accepted_values", (("values", listed),), warns=warns)]
        if metric == "nullValues" and rule.mustBe in {0, None}:
            return [GenericTest("not_null", warns=warns)]
        if metric == "rowCount" and (rule.mustBeBetween or rule.mustBeGreaterOrEqualTo is not None):
            low, high = rule.mustBeBetween or (rule.mustBeGreaterOrEqualTo, None)
            given = {"min_value": low} | ({"max_value": high} if high is not None else {})
            return [
                GenericTest("expect_table_row_count_to_be_between", _arguments(given), warns=warns)
            ]
        return []


def _arguments(given: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Arguments in YAML, one line each."""
    return tuple(
        (name, json.dumps(value, ensure_ascii=False, default=str)) for name, value in given.items()
    )


def _is_there(test: GenericTest, texts: Sequence[str]) -> bool:
    """Whether a test of the name is there with these arguments, or is one that comes only once."""
    if test.name in {"accepted_values", "relationships", "unique_combination_of_columns"}:
        return True
    values = [value for _, value in test.arguments]
    return any(
        test.name in text and all(value in text for value in map(_compact, values))
        for text in texts
    )


def _compact(value: str) -> str:
    return json.dumps(json.loads(value), default=str)


def _shift(lines: Sequence[str], spaces: int) -> list[str]:
    return [" " * spaces + line for line in lines]
