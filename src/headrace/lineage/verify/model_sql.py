"""The SQL that a model or snapshot is built with in a check, and the tables that it names."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.catalog.model import Asset
from headrace.sql_text import identifier

if TYPE_CHECKING:
    import duckdb
    from sqlglot import exp

Name = tuple[str, str, str]
"""Database, schema and identifier of a relation."""


def tables_in(connection: "duckdb.DuckDBPyConnection", sql: str) -> Iterator[Name]:
    """The tables that a select names, as DuckDB parses it; none when it is no plain select."""
    row = connection.execute("select json_serialize_sql(?)", [sql.strip().rstrip(";")]).fetchone()
    todo = [json.loads(row[0])] if row else []
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            if node.get("type") == "BASE_TABLE":
                yield node["catalog_name"], node["schema_name"], node["table_name"]
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)


def select_of(asset: Asset) -> str:
    sql = (asset.compiled_code or "").strip().rstrip(";")
    kept = asset.snapshot
    if kept is None:
        return sql
    key = ", ".join(f"({part})::varchar" for part in kept.unique_key) or "''"
    when = kept.updated_at if kept.strategy == "timestamp" and kept.updated_at else "now()"
    ends = f"nullif({when}, {when})"
    values = {
        "dbt_scd_id": f"md5(concat_ws('|', {key}, ({when})::varchar))",
        "dbt_updated_at": when,
        "dbt_valid_from": when,
        "dbt_valid_to": f"coalesce({ends}, {kept.valid_to_current})"
        if kept.valid_to_current
        else ends,
    }
    if kept.marks_deleted:
        values["dbt_is_deleted"] = "'False'"
    meta = ", ".join(
        f"{value} as {identifier(kept.column_names.get(name, name))}"
        for name, value in values.items()
    )
    return f"with __snapshot as (\n{sql}\n)\nselect *, {meta} from __snapshot"


def without_itself(sql: str, name: Name) -> str | None:
    """The SQL of an incremental model as at a full refresh.

    Every condition that reads the model's own table is taken as true, for dbt leaves out
    ``where loaded_at > (select max(loaded_at) from this)`` there.

    Args:
        sql: of DuckDB.
        name: database, schema and identifier of the model's table.

    Returns:
        The new SQL; None when the table is read elsewhere than in a condition.
    """
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(sql, dialect="duckdb")
    except sqlglot.errors.SqlglotError:
        return None
    while (table := _own(tree, name)) is not None:
        condition = _condition(table)
        if condition is None:
            return None
        condition.replace(exp.true())
    return tree.sql(dialect="duckdb")


def _own(tree: "exp.Expr", name: Name) -> "exp.Expr | None":
    from sqlglot import exp

    wanted = (name[1].casefold(), name[2].casefold())
    for table in tree.find_all(exp.Table):
        if (table.db.casefold(), table.name.casefold()) == wanted:
            return table
    return None


def _condition(table: "exp.Expr") -> "exp.Expr | None":
    """The smallest term of a conjunction around a table."""
    from sqlglot import exp

    node: exp.Expr | None = table
    while node is not None and node.parent is not None:
        parent = node.parent
        if isinstance(parent, exp.Where | exp.Having | exp.Qualify):
            owner = parent.parent
            inside = owner is not None and _reads(owner, table)
            if not inside:
                return node
        if isinstance(parent, exp.And) and not isinstance(node, exp.Table):
            return node
        node = parent
    return None


def _reads(select: "exp.Expr", table: "exp.Expr") -> bool:
    """Whether a select has the table in its own ``from``: then its conditions do not count."""
    from sqlglot import exp

    return any(
        found is table
        for part in (select.args.get("from_"), *(select.args.get("joins") or ()))
        if isinstance(part, exp.Expr)
        for found in part.find_all(exp.Table)
    )
