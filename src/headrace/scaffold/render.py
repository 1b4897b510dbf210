"""The text of what a scaffold writes: sources yml, a model's SQL, a model's yml."""

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headrace.scaffold.plan import (
    TO_QUOTE,
    GenericTest,
    ModelColumnPlan,
    ModelPlan,
    describe,
    grain,
    is_plain,
    jinja_text,
    yaml_name,
)
from headrace.scaffold.raw_schema import LOAD_ID, PARENT_ID, ROW_ID, RawColumnSchema, RawTableSchema
from headrace.yaml_editor import Edit, ListItem, MappingKey, YamlPath

WIDTH = 88
# Reserved in DuckDB, which the linter takes to need no quotes
_LINTER_MISSES = {
    *("anti", "asof", "at", "by", "collation", "current_user", "describe", "glob", "positional"),
    *("qualify", "semi", "show", "summarize", "table", "unpack", "user"),
}
TO_DESCRIBE = 'description: ""  # to be described'

_SOURCE = """\
- name: {source}
  description: >-
    The source {source}, as dlt loads it. Rows of a load that was stopped may be in
    it; staging reads completed loads only.
  schema: {schema}
  config:
    meta:
      owner: data_platform
    freshness:
      warn_after: {{count: 7, period: day}}
    # When dlt last completed a load into this schema; not a column of the rows.
    loaded_at_query: >-
      select max(inserted_at)
      from {{{{ this.incorporate(path={{"identifier": "_dlt_loads"}}) }}}}
      where status = 0
  tables:
"""

_LOADS = """\
- name: _dlt_loads
  description: >-
    One row per load that dlt completed, written by dlt after all the rows of
    the load. A load that was stopped has no row here.
  config:
    freshness: null
  columns:
    - name: load_id
      description: The id of the load; rows carry it as `_dlt_load_id`.
    - name: schema_name
      description: The dlt schema that was loaded.
    - name: status
      description: 0 when the load is complete.
    - name: inserted_at
      description: When the load was completed, with time zone.
    - name: schema_version_hash
      description: The version of the dlt schema that the load was made with.
"""


def loads_entry() -> list[str]:
    """The entry of dlt's own table of completed loads."""
    return _LOADS.splitlines()


def sources_file(source: str, tables: Iterable[RawTableSchema], *, schema: str) -> str:
    """A whole sources yml; ``schema`` is the raw one."""
    entries = [table_entry(table) for table in tables]
    body = "\n\n".join("\n".join(entry) for entry in (*entries, loads_entry()))
    text = _SOURCE.format(source=source, schema=schema) + _indented(body, 4)
    return "sources:\n" + _indented(text, 2) + "\n"


def table_entry(table: RawTableSchema) -> list[str]:
    """A raw table's entry in the sources yml."""
    lines = [f"- name: {yaml_name(table.name)}", *_shift(description(grain(table)), 2)]
    lines.append("  columns:")
    for column in ordered(table.columns):
        lines += _shift(raw_column_entry(column, table), 4)
    return lines


def ordered(columns: Sequence[RawColumnSchema]) -> list[RawColumnSchema]:
    """dlt's order, with the load's id at the end."""
    return sorted(columns, key=lambda column: column.name == LOAD_ID)


def raw_column_entry(column: RawColumnSchema, table: RawTableSchema) -> list[str]:
    """A raw column's entry in the sources yml."""
    lines = [f"- name: {yaml_name(column.name)}", *_shift(description(describe(column, table)), 2)]
    return [*lines, *_quote(column.name)]


def model_file(plan: ModelPlan, parent_tests: Sequence[GenericTest]) -> str:
    """A whole model yml, with one model."""
    lines = [f"- name: {plan.name}", *_shift(description(plan.grain), 2)]
    if plan.tests:
        lines += ["  data_tests:", *_shift([line for t in plan.tests for line in test(t)], 4)]
    lines.append("  columns:")
    for column in plan.columns:
        more = tuple(parent_tests) if column.column.name == PARENT_ID else ()
        lines += _shift(column_entry(column, column.name, more), 4)
    return "models:\n" + _indented("\n".join(lines), 2) + "\n"


def column_entry(plan: ModelColumnPlan, name: str, more: tuple[GenericTest, ...] = ()) -> list[str]:
    """A column's entry in a model's yml.

    Args:
        plan: the column.
        name: what the model calls it.
        more: further tests.
    """
    lines = [f"- name: {yaml_name(name)}", *_shift(description(plan.description), 2)]
    lines += _quote(name)
    tests = [line for each in (*plan.tests, *more) for line in test(each)]
    return [*lines, "  data_tests:", *_shift(tests, 4)] if tests else lines


def test(plan: GenericTest) -> list[str]:
    """A generic test, as an item of ``data_tests``."""
    if not plan.arguments and not plan.warns:
        return [f"- {plan.name}"]
    lines = [f"- {plan.name}:"]
    if plan.arguments:
        lines.append("    arguments:")
        lines += [f"      {key}: {text}" for key, text in plan.arguments]
    return [*lines, "    config:", "      severity: warn"] if plan.warns else lines


def names_of_tests(entry: Mapping[str, Any]) -> set[str]:
    """The generic tests that an entry of a yml has."""
    names = set()
    for item in _tests_of(entry):
        if isinstance(item, dict):
            names.add(str(item.get("test_name") or next(iter(item), "")))
        else:
            names.add(str(item))
    return names


def more_tests(
    entry: Mapping[str, Any], where: YamlPath, tests: Sequence[GenericTest], of: str
) -> list[tuple[Edit, str, tuple[GenericTest, ...]]]:
    """Tests to add to an entry: each edit, what it is for the report, and its tests.

    Args:
        entry: as the yml has it.
        where: its place.
        tests: that it lacks.
        of: what people call it.
    """
    key = _tests_key(entry)
    if tests and key is None:
        lines = [f"  {line}" for each in tests for line in test(each)]
        edit = MappingKey(where, ("data_tests:", *lines))
        return [(edit, f"{words_of_tests(tests)} of {of}", tuple(tests))]
    last = len(_tests_of(entry)) - 1
    return [
        (
            ListItem((*where, str(key)), last, tuple(test(each))),
            f"{words_of_tests([each])} of {of}",
            (each,),
        )
        for each in tests
    ]


def words_of_tests(tests: Sequence[GenericTest]) -> str:
    """``test unique``, ``tests unique and not_null``."""
    noun = "test" if len(tests) == 1 else "tests"
    return f"{noun} {' and '.join(each.name for each in tests)}"


def _tests_key(entry: Mapping[str, Any]) -> str | None:
    return next((name for name in ("data_tests", "tests") if name in entry), None)


def _tests_of(entry: Mapping[str, Any]) -> list[Any]:
    present = entry.get(_tests_key(entry) or "")
    return present if isinstance(present, list) else []


def description(text: str) -> list[str]:
    """A ``description:`` key; an empty one says that it is to be filled in."""
    if not text:
        return [TO_DESCRIBE]
    line = f"description: {_scalar(text)}"
    if len(line) <= WIDTH - 12 or " " not in text:
        return [line]
    wrapped = textwrap.wrap(text, WIDTH - 16, break_long_words=False, break_on_hyphens=False)
    return ["description: >-", *_shift(wrapped, 2)]


def model_sql(source: str, plan: ModelPlan, tables: Mapping[str, str]) -> str:
    """The SQL of a staging model: rows of completed loads only.

    A child table has no load's id. Its rows are those whose parent's load is complete, and that is
    read from the raw parents, so that it holds whatever becomes of the parent's own model.

    Args:
        source: the dbt source.
        plan: the model.
        tables: what dbt calls each table, by its name in the warehouse.
    """
    loads = f"{{{{ completed_loads('{source}') }}}}"

    def read(table: RawTableSchema) -> str:
        name = jinja_text(tables[table.name])
        return f"{{{{ source('{jinja_text(source)}', '{name}') }}}}"

    parts = [
        _cte("source", [_read_whole(read(plan.table))]),
        _cte("completed_loads", [loads]),
    ]
    above = ""
    for depth, ancestor in enumerate(plan.ancestors):
        is_parent = depth == len(plan.ancestors) - 1
        name = "parent_rows" if is_parent else f"level_{depth}_rows" if depth else "root_rows"
        lines = [f"select {ROW_ID}", f"from {read(ancestor)}", _where(above)]
        parts.append(_cte(name, lines))
        above = name
    items = [column.sql for column in plan.columns]
    final = ["from source", _where(above)]
    if len(items) == 1:
        final.insert(0, _noted(f"select {items[0]}"))
    else:
        listed = [_noted(f"{item},") for item in items[:-1]] + [_noted(items[-1])]
        final = ["select", *_shift(listed, 4), *final]
    parts.append(_cte("final", final))
    return "with\n\n" + ",\n\n".join(parts) + "\n\nselect * from final\n"


def note(sql: str) -> str:
    """The ``noqa`` comment that an item of a select list needs; empty for almost all."""
    rules = []
    for name in re.findall(r'"((?:[^"]|"")*)"', sql):
        if not re.fullmatch(r"\w+", name):
            rules.append("RF05")
        elif not name[0].isdigit() and (name not in TO_QUOTE or name in _LINTER_MISSES):
            rules.append("RF06")
    if len(sql) + 9 > WIDTH:
        rules.append("LT05")
    return f"  -- noqa: {','.join(dict.fromkeys(rules))}" if rules else ""


def _noted(line: str) -> str:
    return line + note(line)


def _read_whole(read: str) -> str:
    """``select *`` of a table; the linter does not know all letters that a name may have."""
    line = f"select * from {read}"
    rules = [] if re.search(r"', '[\x20-\x7e]*'\)", read) else ["LXR", "PRS"]
    rules += ["LT05"] if len(line) + 4 > WIDTH else []
    return f"{line}  -- noqa: {','.join(rules)}" if rules else line


def _where(above: str) -> str:
    if not above:
        return f"where {LOAD_ID} in (select completed_loads.load_id from completed_loads)"
    return f"where {PARENT_ID} in (select {above}.{ROW_ID} from {above})"


def _cte(name: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{name} as (", *_shift(lines, 4), ")"])


def _quote(name: str) -> list[str]:
    """dbt quotes a column in tests and comments only where it is told to."""
    return [] if is_plain(name) else ["  quote: true"]


def _scalar(text: str) -> str:
    """A text on one line; plain where YAML takes it for the same text."""
    is_plain = re.fullmatch(r"[A-Za-z(][^#:\[\]{}&*!|>%@`\"']*(`[^`#:]*`[^#:`]*)*", text)
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def _shift(lines: Sequence[str], spaces: int) -> list[str]:
    return [" " * spaces + line for line in lines]


def _indented(text: str, spaces: int) -> str:
    return "\n".join(" " * spaces + line if line else "" for line in text.split("\n")).rstrip()
