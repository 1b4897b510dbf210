"""A dbt sources file of a schema file: tables, columns, descriptions, keys, and who is personal."""

import io
from typing import Any

from ruamel.yaml import YAML

from headrace.synth.plan import TablePlan
from headrace.synth.schema.model import AnyField, ForeignKey
from headrace.synth.world import World


def dbt_sources(world: World, name: str, plans: list[TablePlan]) -> str:
    """The text of ``_<name>__sources.yml``.

    Descriptions are copied; ``pii`` becomes ``config.meta.pii``; primary keys are tested to be
    unique and not null, foreign keys that are always there to have a parent.

    Args:
        world: of the schema file.
        name: of the dbt source; its schema is ``<name>_raw``.
        plans: the tables.
    """
    source: dict[str, Any] = {"name": name, "schema": f"{name}_raw"}
    if world.schema.description:
        source["description"] = world.schema.description
    written = {plan.name for plan in plans}
    source["tables"] = [_table(plan, name, written) for plan in plans]
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 96
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    yaml.dump({"sources": [source]}, text)
    return text.getvalue()


def _table(plan: TablePlan, source: str, written: set[str]) -> dict[str, Any]:
    table: dict[str, Any] = {"name": plan.name}
    if plan.table.description:
        table["description"] = plan.table.description
    key = plan.table.key
    table["columns"] = [
        _column(column, plan.table.fields[column], source, written, is_key=key == (column,))
        for column in plan.columns
    ]
    return table


def _column(
    name: str, item: AnyField, source: str, written: set[str], *, is_key: bool
) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name}
    if item.description:
        column["description"] = item.description
    if item.pii:
        column["config"] = {"meta": {"pii": item.pii}}
    tests: list[Any] = ["unique", "not_null"] if is_key else []
    if isinstance(item, ForeignKey) and item.table in written:
        if not item.may_be_null and not is_key:
            tests.append("not_null")
        arguments = {"to": f"source('{source}', '{item.table}')", "field": item.column}
        tests.append({"relationships": {"arguments": arguments}})
    if tests:
        column["data_tests"] = tests
    return column
