"""An incremental model's SQL as if its table were not there yet."""

from typing import TYPE_CHECKING

from headrace.lineage.verify.parts import Name

if TYPE_CHECKING:
    from sqlglot import exp


def without_itself(sql: str, name: Name) -> str | None:
    """The SQL with every condition that reads the model's own table taken as true.

    ``where loaded_at > (select max(loaded_at) from this)`` is what dbt leaves out at a full
    refresh.

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
    """Whether a select has the table in its own ``from``: its conditions then are not the place."""
    from sqlglot import exp

    return any(
        found is table
        for part in (select.args.get("from_"), *(select.args.get("joins") or ()))
        if isinstance(part, exp.Expr)
        for found in part.find_all(exp.Table)
    )
