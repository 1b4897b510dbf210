"""``headrace scaffold --model``: a model's yml, from the table that was built of it.

manifest, warehouse ─► facts of the table ─► a new entry, or what an entry lacks ─► checked, written
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from headrace import file_changes, yaml_editor
from headrace.artifacts import Manifest, read_manifest
from headrace.artifacts.dbt_nodes import Node
from headrace.errors import ScaffoldError
from headrace.formatting import did_you_mean
from headrace.libraries.duckdb import connect
from headrace.quality.profile import KeyOfTable, TableProfile, is_likely_key, profile_table
from headrace.quality.profile.measure import columns_of
from headrace.quality.profile.model import ColumnProfile
from headrace.scaffold import render
from headrace.scaffold.dbt_project import DbtProject, open_project
from headrace.scaffold.draft import ByHand, FileReport, new_columns
from headrace.scaffold.plan import COMBINATION, entity_of, is_plain, yaml_name
from headrace.settings import Resolved
from headrace.sql_text import qualified
from headrace.system_errors import error_line
from headrace.yaml_editor import Edit, ListItem, MappingKey, YamlDocument, YamlPath, value_at

if TYPE_CHECKING:
    import duckdb

_TABLES = {"table", "incremental"}
_FOUND = "# to be described: this is what the rows show"


class ModelReport(BaseModel):
    """A scaffold of one model's yml."""

    model_config = ConfigDict(frozen=True)

    model: str
    dry_run: bool
    table: str = Field(description="`schema.table` that was looked at")
    rows: int
    key: tuple[str, ...] = Field(description="the columns that identify a row; empty if none do")
    file: FileReport
    by_hand: tuple[ByHand, ...] = ()
    to_describe: int = Field(0, description="places that are marked with `to be described`")


def scaffold_model(resolved: Resolved, name: str, *, dry_run: bool = False) -> ModelReport:
    """Write the yml of a model from its table, or add what it lacks.

    What is there is never changed or removed.

    Args:
        resolved: the settings.
        name: of the model.
        dry_run: write nothing, and report what would be written.

    Raises:
        ScaffoldError: there is no such model, or it is not built; nothing was written.
        ProjectFileError: a file cannot be read or written; nothing was written.
        TransformError: there is no build yet.
        WarehouseError: the warehouse cannot be opened.
    """
    project = open_project(resolved.dbt_project)
    manifest = read_manifest(resolved.artifacts)
    node = _node(manifest, name, resolved)
    schema, table = node.schema_name or "main", node.relation_name
    database = resolved.target.database
    with _warehouse(resolved) as connection:
        quoted = qualified(database, schema, table)
        _require_table(connection, database, schema, table, name)
        keys = _keys(connection, manifest, node, database)
        facts = _facts(profile_table(connection, quoted, name, keys=keys))
    path, texts, additions, by_hand = _write(project, resolved, node, facts)
    file_changes.check(project.root, texts)
    old, new = project.texts.get(path), texts.get(path)
    shown = new if new is not None else old or ""
    if new is not None and not dry_run:
        file_changes.write(texts, project.texts)
    return ModelReport(
        model=name,
        dry_run=dry_run,
        table=f"{schema}.{table}",
        rows=facts.profile.rows,
        key=facts.key,
        file=FileReport(
            path=project.name(path),
            status="unchanged" if new is None else "added" if old is None else "changed",
            additions=tuple(additions),
            diff=file_changes.diff(project.name(path), old, new) if new is not None else "",
        ),
        by_hand=tuple(by_hand),
        to_describe=shown.count("to be described"),
    )


@dataclass(frozen=True)
class _Facts:
    """What a profile says for a model's yml: the likely key, listed values, references."""

    profile: TableProfile
    key: tuple[str, ...]
    values: dict[str, list[str]]
    refers_to: dict[str, tuple[str, str]]

    @property
    def columns(self) -> tuple[ColumnProfile, ...]:
        return self.profile.columns


def _facts(profile: TableProfile) -> _Facts:
    likely = (key for key in profile.keys if is_likely_key(profile.name, profile.columns, key))
    listed = {
        str(test.column): test.arguments["values"]
        for finding in profile.findings
        for test in finding.tests
        if test.name == "accepted_values"
    }
    whole = [one for one in profile.references if not one.orphans]
    return _Facts(
        profile,
        next(likely, ()),
        listed,
        {one.column: (one.table, one.field) for one in whole},
    )


def _node(manifest: Manifest, name: str, resolved: Resolved) -> Node:
    models = {n.name: n for n in manifest.nodes.values() if n.resource_type == "model"}
    node = models.get(name)
    if node is None:
        path = next(resolved.dbt_project.glob(f"models/**/{name}.sql"), None)
        if path is not None:
            raise ScaffoldError(f"{name} is not built yet: run `headrace build`, then this again")
        meant = did_you_mean(name, models)
        raise ScaffoldError(
            f"there is no model {name}{f' ({meant})' if meant else ''}: name one of the dbt project"
        )
    if node.package_name != _project_name(resolved):
        raise ScaffoldError(
            f"{name} is a model of the package {node.package_name}: describe it there"
        )
    if node.config.materialized == "ephemeral":
        raise ScaffoldError(
            f"{name} is ephemeral, so there is no table to look at: write its yml by hand"
        )
    if node.version is not None:
        raise ScaffoldError(f"{name} has versions: write their yml by hand")
    return node


def _project_name(resolved: Resolved) -> str:
    path = resolved.dbt_project / "dbt_project.yml"
    data = yaml_editor.parse(file_changes.read_text(path), path.name).data
    return str(data.get("name")) if isinstance(data, dict) else ""


@contextmanager
def _warehouse(resolved: Resolved) -> Iterator["duckdb.DuckDBPyConnection"]:
    import duckdb

    target = resolved.target
    target.check()
    with connect() as connection:
        if not target.attach(connection, target.database):  # views name their database
            raise ScaffoldError("there is no warehouse yet: run `headrace run` first")
        try:
            yield connection
        except duckdb.Error as error:
            raise ScaffoldError(
                f"the table cannot be read ({error_line(error)}): run `headrace build` first"
            ) from error


def _require_table(
    connection: "duckdb.DuckDBPyConnection", database: str, schema: str, table: str, name: str
) -> None:
    found = connection.execute(
        "select 1 from duckdb_columns() where database_name = ? and schema_name = ? "
        "and table_name = ? limit 1",
        [database, schema, table],
    ).fetchone()
    if found is None:
        raise ScaffoldError(
            f"{name} is not built: there is no {schema}.{table}; run `headrace build` first"
        )


def _keys(
    connection: "duckdb.DuckDBPyConnection", manifest: Manifest, node: Node, database: str
) -> list[KeyOfTable]:
    """The tested keys of other models: what the model reads first, then marts."""
    import duckdb

    found = []
    for test in manifest.nodes.values():
        metadata = test.test_metadata
        if metadata is None or metadata.name != "unique" or test.column_name is None:
            continue
        other = manifest.nodes.get(test.attached_node or "")
        if other is None or other.unique_id == node.unique_id or not other.is_relation:
            continue
        if node.unique_id in other.depends_on.nodes:
            continue
        quoted = qualified(database, other.schema_name or "main", other.relation_name)
        try:
            kinds = {column.name: column.kind for column in columns_of(connection, quoted)}
        except duckdb.Error:  # it is not built
            continue
        if test.column_name not in kinds:
            continue
        rank = (
            other.unique_id not in node.depends_on.nodes,
            other.access != "public" and other.config.access != "public",
            other.name,
        )
        is_text = kinds[test.column_name] == "text"
        found.append((rank, KeyOfTable(other.name, test.column_name, quoted, is_text)))
    return [key for _, key in sorted(found, key=lambda pair: pair[0])]


def _write(
    project: DbtProject, resolved: Resolved, node: Node, facts: _Facts
) -> tuple[Path, dict[Path, str], list[str], list[ByHand]]:
    """The yml's path, its new text if it differs, what was added, and what is left to do."""
    entries = project.entries("models", node.name)
    has_contract = node.language != "python" and (
        node.config.materialized in _TABLES or node.schema_name in resolved.settings.publish.schemas
    )
    is_combination = len(facts.key) > 1 and project.has_macro(COMBINATION)
    if len(entries) > 1:
        places = " and ".join(project.name(path) for path, _ in entries)
        raise ScaffoldError(f"{node.name} is described in {places}: keep one; nothing was written")
    if entries:
        path, place = entries[0]
        return _extend(project, path, place, node, facts, has_contract=has_contract)
    path = (project.root / (node.original_file_path or f"models/{node.name}.sql")).with_suffix(
        ".yml"
    )
    entry = _entry(node, facts, has_contract=has_contract, is_combination=is_combination)
    if path not in project.texts:
        text = "models:\n" + "".join(f"  {line}\n" if line else "\n" for line in entry)
        return path, {path: text}, [f"model {node.name}"], []
    document = project.document(path)
    items = value_at(document.data, ("models",))
    if isinstance(items, list) and items:
        edit: Edit = ListItem(("models",), len(items) - 1, tuple(entry))
    else:
        edit = MappingKey((), ("models:", *(f"  {line}" for line in entry)))
    changed, left = yaml_editor.add(document, [edit])
    if left:
        raise ScaffoldError(
            f"{project.name(path)} has no place for {node.name}: move what is in it to another "
            "file; nothing was written"
        )
    return path, {path: changed.text}, [f"model {node.name}"], []


def _entry(node: Node, facts: _Facts, *, has_contract: bool, is_combination: bool) -> list[str]:
    """The whole entry of a model, as an item of ``models``."""
    lines = [f"- name: {yaml_name(node.name)}", f"  {_grain(node.name, facts.key)}"]
    if has_contract:
        lines += ["  config:", "    contract:", "      enforced: true"]
        if node.config.materialized == "incremental":
            lines.append("    on_schema_change: append_new_columns")
    if is_combination:
        columns = ", ".join(yaml_name(column) for column in facts.key)
        lines += [
            "  data_tests:",
            f"    - {COMBINATION}:",
            "        arguments:",
            f"          columns: [{columns}]",
        ]
    lines.append("  columns:")
    for column in facts.columns:
        lines += [f"    {line}" for line in _column(column, facts, node)]
    return lines


def _grain(model: str, key: Sequence[str]) -> str:
    if not key:
        return 'description: ""  # to be described: what one row is; the rows show no key'
    words = [_words(column) for column in key]
    listed = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    if len(key) == 1 and key[0].lower() == "id":
        listed = entity_of(model).replace("_", " ")
    return f"description: One row per {listed}.  {_FOUND}"


def _words(column: str) -> str:
    plain = column.lower()
    for ending in ("_id", "_key"):
        plain = plain.removesuffix(ending)
    return " ".join(plain.replace("_", " ").split()) or "row"


def _column(column: ColumnProfile, facts: _Facts, node: Node) -> list[str]:
    """A column's entry, as an item of ``columns``."""
    lines = [f"- name: {yaml_name(column.name)}", f"  data_type: {_data_type(column.data_type)}"]
    lines.append(f"  {render.TO_DESCRIBE}")
    if not is_plain(column.name):
        lines.append("  quote: true")
    is_key = column.name in facts.key
    if is_key and node.config.materialized in _TABLES and node.language != "python":
        lines += ["  constraints:", "    - type: not_null"]
    tests = ["- unique"] if facts.key == (column.name,) else []
    tests += ["- not_null"] if facts.profile.rows and not column.nulls else []
    if column.name in facts.values and not is_key:
        listed = facts.values[column.name]
        values = ", ".join(json.dumps(value, ensure_ascii=False) for value in listed)
        tests += ["- accepted_values:", "    arguments:", f"      values: [{values}]"]
    if column.name in facts.refers_to and facts.key != (column.name,):
        model, field = facts.refers_to[column.name]
        tests += [
            "- relationships:",
            "    arguments:",
            f"      to: ref('{model}')",
            f"      field: {yaml_name(field)}",
        ]
    return [*lines, "  data_tests:", *(f"    {line}" for line in tests)] if tests else lines


def _data_type(kind: str) -> str:
    """A type as yml has it; names and values inside of nested types keep their letters."""
    is_plain = '"' not in kind and "'" not in kind and not kind.startswith(("STRUCT", "UNION"))
    text = kind.lower() if is_plain and "(" not in kind.replace("DECIMAL(", "") else kind
    return (
        json.dumps(text)
        if any(sign in text for sign in "[]{}'\":,#") and "decimal" not in text
        else text
    )


def _extend(
    project: DbtProject,
    path: Path,
    place: int,
    node: Node,
    facts: _Facts,
    *,
    has_contract: bool,
) -> tuple[Path, dict[Path, str], list[str], list[ByHand]]:
    """Add what an entry lacks: columns, types, the contract."""
    document = project.document(path)
    where: YamlPath = ("models", place)
    entry = value_at(document.data, where)
    items = entry.get("columns")
    items = items if isinstance(items, list) else []
    known = {
        str(item.get("name")).lower(): number
        for number, item in enumerate(items)
        if isinstance(item, dict)
    }
    edits: list[tuple[Edit, str]] = []
    if "description" not in entry:
        edits.append((MappingKey(where, (_grain(node.name, facts.key),)), "description"))
    edits += _contract(entry, where) if has_contract else []
    new = [column for column in facts.columns if column.name.lower() not in known]
    blocks = [(_column(column, facts, node), f"column {column.name}") for column in new]
    names = ", ".join(column.name for column in new)
    edits += new_columns(where, len(items), blocks, f"columns {names}")
    by_hand = []
    name = project.name(path)
    for column in facts.columns:
        number = known.get(column.name.lower())
        if number is None:
            continue
        written = items[number].get("data_type")
        if written is None:
            line = f"data_type: {_data_type(column.data_type)}"
            spot = (*where, "columns", number)
            edits.append((MappingKey(spot, (line,)), f"type of {column.name}"))
        elif not _is_same_type(str(written), column.data_type):
            what = (
                f"{column.name} is {_data_type(column.data_type)} in the table, and {written} here"
            )
            by_hand.append(
                ByHand(path=f"{name}:{document.line((*where, 'columns', number))}", what=what)
            )
    there = {column.name.lower() for column in facts.columns}
    for lowered, number in known.items():
        if lowered not in there:
            what = (
                f"{items[number].get('name')} is not in the table: remove it, or add it to the SQL"
            )
            by_hand.append(
                ByHand(path=f"{name}:{document.line((*where, 'columns', number))}", what=what)
            )
    return (path, *_apply(document, path, edits, by_hand, name))


def _contract(entry: dict[str, object], where: YamlPath) -> list[tuple[Edit, str]]:
    config = entry.get("config")
    if "contract" in entry or (isinstance(config, dict) and "contract" in config):
        return []
    lines = ("contract:", "  enforced: true")
    if isinstance(config, dict) and config:
        return [(MappingKey((*where, "config"), lines), "contract")]
    return [(MappingKey(where, ("config:", *(f"  {line}" for line in lines))), "contract")]


def _apply(
    document: YamlDocument,
    path: Path,
    edits: Sequence[tuple[Edit, str]],
    by_hand: list[ByHand],
    name: str,
) -> tuple[dict[Path, str], list[str], list[ByHand]]:
    changed, left = yaml_editor.add(document, [edit for edit, _ in edits])
    added = [label for edit, label in edits if edit not in left]
    by_hand += [
        ByHand(path=name, what=f"add the {label}", line="\n".join(edit.lines))
        for edit, label in edits
        if edit in left
    ]
    return ({path: changed.text} if changed.text != document.text else {}), added, by_hand


def _is_same_type(written: str, built: str) -> bool:
    """Whether DuckDB takes two names of a type for the same: ``string`` and ``VARCHAR``."""
    import duckdb

    if written.lower() == built.lower():
        return True
    try:
        with duckdb.connect() as connection:
            row = connection.execute(
                f"select typeof(cast(null as {written})) = typeof(cast(null as {built}))"
            ).fetchone()
    except duckdb.Error:
        return True  # a type of another engine, which dbt checks itself
    return bool(row and row[0])
