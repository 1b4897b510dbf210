"""The staging model that a table would get if there were none: columns, tests, descriptions."""

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.scaffold import names
from headrace.scaffold.raw_schema import (
    LIST_INDEX,
    LOAD_ID,
    PARENT_ID,
    ROOT_ID,
    ROW_ID,
    ColumnKind,
    RawColumn,
    RawSchema,
    RawTable,
)

_ORDER: tuple[ColumnKind, ...] = ("id", "text", "number", "boolean", "date", "timestamp")
COMBINATION = "unique_combination_of_columns"

_OF_DLT: Mapping[str, str] = {
    LOAD_ID: "The dlt load that wrote the row last; refers to `_dlt_loads.load_id`.",
    ROW_ID: "dlt's key of the row; changes when the row is loaded again.",
    ROOT_ID: "The row of the root table that this one was nested in; refers to its `_dlt_id`.",
    LIST_INDEX: "Its place in the list, from 0.",
    "_dlt_valid_from": "Since when this version of the row holds.",
    "_dlt_valid_to": "Until when this version of the row held; null while it holds.",
}


@dataclass(frozen=True)
class GenericTest:
    """A generic test of a column, or of the whole model.

    Attributes:
        name: of the generic test.
        arguments: in YAML, one line each, in order.
    """

    __test__ = False  # no test case, whatever pytest thinks of the name

    name: str
    arguments: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ColumnPlan:
    """A column of a model.

    Attributes:
        column: of the raw table.
        name: of the model's column.
        kind: which group of the column order it belongs to.
        description: empty where nothing is known.
        tests: generic tests.
    """

    column: RawColumn
    name: str
    kind: ColumnKind
    description: str
    tests: tuple[GenericTest, ...] = ()

    @property
    def sql(self) -> str:
        """Its item in the select list."""
        raw = names.quoted(self.column.name)
        return raw if self.name == self.column.name else f"{raw} as {names.quoted(self.name)}"

    @property
    def rank(self) -> int:
        """The position of its kind in the order of columns."""
        return _ORDER.index(self.kind)


@dataclass(frozen=True)
class ModelPlan:
    """The staging model of a table.

    Attributes:
        table: the raw table.
        name: of the model.
        ancestors: raw tables from the root down to the parent, by their names in dbt.
        grain: the sentence that says what a row is.
        columns: in the order of STYLE: ids, text, numbers, booleans, dates, timestamps.
        tests: of the model as a whole.
    """

    table: RawTable
    name: str
    ancestors: tuple[RawTable, ...]
    grain: str
    columns: tuple[ColumnPlan, ...]
    tests: tuple[GenericTest, ...] = ()

    def column(self, raw: str) -> ColumnPlan | None:
        """The column that is made of a raw one."""
        return next((plan for plan in self.columns if plan.column.name == raw), None)


def describe(column: RawColumn, table: RawTable) -> str:
    """What is known of a raw column: what the source says, or what dlt's own columns mean."""
    if column.name == PARENT_ID and table.parent is not None:
        return f"The row of `{table.parent}` whose list it is in; refers to its `_dlt_id`."
    if column.name in _OF_DLT:
        return _OF_DLT[column.name]
    if column.description:
        return column.description
    is_key = table.keeps_key_unique and table.primary_key == (column,)
    return f"The key of the {_words(names.entity(table.name))}." if is_key else ""


def grain(table: RawTable) -> str:
    """The sentence that says what a row of a raw table is, as far as dlt guarantees it."""
    if table.description:
        return table.description
    if table.parent is not None:
        field = names.list_name(table.name, table.parent)
        return f"One row per item of the list `{field}` of a row of `{table.parent}`."
    key = table.primary_key
    if not key or not table.keeps_key_unique:
        return f"One row per row that dlt loaded into `{table.name}`."
    if len(key) == 1:
        return f"One row per {_words(names.entity(table.name))}."
    columns = [f"`{column.name}`" for column in key]
    return f"One row per {', '.join(columns[:-1])} and {columns[-1]}."


def plan_model(source: str, schema: RawSchema, table: RawTable) -> ModelPlan:
    """The staging model of a table.

    Args:
        source: the dbt source.
        schema: all its tables.
        table: the raw table.
    """
    shown = tuple(column for column in table.columns if _is_shown(column, table, schema))
    outputs = names.output_names(table.name, shown)
    key = _key(table)
    columns = [
        ColumnPlan(
            column=column,
            name=outputs[column.name],
            kind=_kind(column, outputs[column.name], key),
            description=describe(column, table),
            tests=_tests(column, key, table),
        )
        for column in shown
    ]
    columns.sort(key=lambda plan: (plan.rank, plan.column.name not in key))
    return ModelPlan(
        table=table,
        name=names.model_name(source, table.name),
        ancestors=schema.ancestors(table),
        grain=grain(table),
        columns=tuple(columns),
        tests=_model_tests(key, outputs),
    )


def relationship(parent_model: str | None, source: str, parent_table: str) -> GenericTest:
    """The test that each row of a child table has its parent.

    Args:
        parent_model: the model that shows the parent's ``_dlt_id``; None when none does.
        source: the dbt source.
        parent_table: the parent's name in it.
    """
    raw = f"source('{jinja_text(source)}', '{jinja_text(parent_table)}')"
    to = f"ref('{parent_model}')" if parent_model else raw
    return GenericTest("relationships", (("to", to), ("field", ROW_ID)))


def jinja_text(name: str) -> str:
    """A name escaped for single quotes in Jinja."""
    return name.replace("\\", "\\\\").replace("'", "\\'")


def _is_shown(column: RawColumn, table: RawTable, schema: RawSchema) -> bool:
    """Whether a model shows a column: of dlt's own only those that tie rows together."""
    if not names.is_writable(column.name) or column.name in {LOAD_ID, ROOT_ID}:
        return False
    if column.name == ROW_ID:
        return table.parent is not None or schema.has_children(table) or not _natural_key(table)
    return True


def _natural_key(table: RawTable) -> tuple[RawColumn, ...]:
    return table.primary_key if table.keeps_key_unique and table.parent is None else ()


def _key(table: RawTable) -> tuple[str, ...]:
    """The raw columns by which a row is found: the primary key, else dlt's row id."""
    natural = _natural_key(table)
    if natural:
        return tuple(column.name for column in natural)
    return (ROW_ID,) if table.column(ROW_ID) is not None else ()


def _kind(column: RawColumn, output: str, key: tuple[str, ...]) -> ColumnKind:
    is_id = column.name in key or output.endswith("_id") or output in {"id", ROW_ID, PARENT_ID}
    return "id" if is_id else column.kind


def _tests(column: RawColumn, key: tuple[str, ...], table: RawTable) -> tuple[GenericTest, ...]:
    is_key = column.name in key
    found = []
    repeats = column.is_unique and not table.keeps_key_unique and column.name != ROW_ID
    if key == (column.name,) or (column.is_unique and not repeats):
        found.append(GenericTest("unique"))
    if is_key or not column.is_nullable:
        found.append(GenericTest("not_null"))
    return tuple(found)


def _model_tests(key: tuple[str, ...], outputs: Mapping[str, str]) -> tuple[GenericTest, ...]:
    if len(key) < 2:
        return ()
    columns = ", ".join(yaml_name(names.quoted(outputs[name])) for name in key)
    return (GenericTest(COMBINATION, (("columns", f"[{columns}]"),)),)


def yaml_name(name: str) -> str:
    """A name as YAML 1.1 and 1.2 both read it as text."""
    import json

    plain = names.is_plain(name) or name.lower() in names.RESERVED
    reads_otherwise = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
    if plain and name.isidentifier() and name.lower() not in reads_otherwise:
        return name
    return json.dumps(name, ensure_ascii=False)


def _words(entity: str) -> str:
    return entity.replace("_", " ").strip()
