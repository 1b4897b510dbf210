"""Paths into SUPER values, `t.s.items[0].price`, and iteration: `from t, t.s as item`."""

import re
from collections.abc import Iterator

from sqlglot import exp

from headrace.targets.redshift_mock.commands import RefusedError

OWN_SCHEMA = "_redshift"
"""Of each database: what ``system_tables.sql`` creates."""

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)


def _aliases(node: exp.Expr) -> tuple[set[str], set[str]]:
    """Names of tables that a place sees, and those of them that iterate over an array."""
    tables: set[str] = set()
    items: set[str] = set()
    select = node.parent_select
    while select is not None:
        sources = [select.args.get("from_") or select.args.get("from")]
        sources += list(select.args.get("joins") or ())
        for source in sources:
            one = source.this if source is not None else None
            if isinstance(one, exp.Unnest):
                alias = one.args.get("alias")
                items |= {column.name for column in (alias.columns if alias else ())}
            elif one is not None:
                tables.add(one.alias_or_name)
        select = select.parent_select
    parent = node.find_ancestor(exp.Update, exp.Delete, exp.Merge)
    if parent is not None:
        for table in parent.find_all(exp.Table):
            tables.add(table.alias_or_name)
    return tables | items, items


def paths(tree: exp.Expr) -> Iterator[exp.Expr]:
    """The outermost node of each path: `t.s.items[0].price`."""
    for node in tree.find_all(exp.Bracket, exp.Dot, exp.Column):
        if isinstance(node.parent, exp.Bracket | exp.Dot) and node.parent.this is node:
            continue
        if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
            continue
        if isinstance(node.parent, exp.Dot):
            continue
        yield node


def _steps(node: exp.Expr) -> list[str] | None:
    """The parts of a path; None where it is something else."""
    if isinstance(node, exp.Column):
        return [part.name for part in node.parts]
    if isinstance(node, exp.Identifier):
        return [node.name]
    if isinstance(node, exp.Dot):
        before = _steps(node.this)
        return None if before is None else [*before, node.expression.name]
    if isinstance(node, exp.Bracket) and len(node.expressions) == 1:
        before = _steps(node.this)
        index = node.expressions[0]
        if before is None:
            return None
        if not isinstance(index, exp.Literal):
            raise RefusedError("the stand-in does not translate an index that is no number or text")
        return [*before, index.name]
    return None


def read_path(node: exp.Expr) -> None:  # noqa: PLR0912 - one case for each place of a path
    """Read a path by the stand-in's function, where it leads into a SUPER value."""
    steps = _steps(node)
    if steps is None or any(isinstance(part, exp.Star) for part in node.walk()):
        return
    brackets = sum(isinstance(one, exp.Bracket) for one in node.walk())
    tables, items = _aliases(node)
    is_column = not brackets and not isinstance(node, exp.Dot)
    if steps[0] in items:
        size = 1
        base: exp.Expr = exp.column(steps[0], table=steps[0])
        if len(steps) == 1:
            return
    elif steps[0] in tables:
        size = 2
        if len(steps) <= size:
            return
        base = exp.column(steps[1], table=steps[0])
    elif is_column and len(steps) <= 1:
        return
    elif is_column and len(steps) >= 3 and steps[1] in tables:
        return  # schema.table.column
    elif node.find_ancestor(exp.Schema, exp.ColumnDef) or node.parent_select is None:
        return
    else:
        size, base = 1, exp.column(steps[0])
    path = exp.Array(expressions=[exp.Literal.string(step) for step in steps[size:]])
    read = exp.Anonymous(this=f"{OWN_SCHEMA}.rs_path", expressions=[base, path])
    name = steps[-1]
    parent = node.parent
    cast = parent if isinstance(parent, exp.Cast) else None
    top: exp.Expr = node
    new: exp.Expr = read
    if cast is not None:
        top, parent = cast, cast.parent
        kind = cast.to.sql("postgres").lower()
        function = "rs_as_text" if re.match(r"(var|bp|n)?char|text", kind) else "rs_as_scalar"
        inner = exp.Anonymous(this=f"{OWN_SCHEMA}.{function}", expressions=[read])
        new = exp.Cast(this=inner, to=cast.to.copy())
        if "super" in kind:
            new = read
    elif isinstance(parent, _COMPARISONS):
        other = parent.expression if parent.this is node else parent.this
        if isinstance(other, exp.Literal | exp.Boolean | exp.Neg):
            other.replace(_as_json(other))
    elif isinstance(parent, exp.In):
        for other in parent.expressions:
            if isinstance(other, exp.Literal | exp.Boolean | exp.Neg):
                other.replace(_as_json(other))
    elif isinstance(parent, exp.Like | exp.ILike | exp.DPipe):
        new = exp.Anonymous(this=f"{OWN_SCHEMA}.rs_as_text", expressions=[read])
    if isinstance(parent, exp.Select) and top.arg_key == "expressions":
        new = exp.alias_(new, name, quoted=True)
    top.replace(new)


def _as_json(value: exp.Expr) -> exp.Expr:
    inner = value.copy()
    if isinstance(value, exp.Literal) and value.is_string:
        inner = exp.Cast(this=inner, to=exp.DataType.build("text"))
    return exp.Anonymous(this="to_jsonb", expressions=[inner])


def iterated(node: exp.Unnest) -> None:
    """`FROM t, t.s AS item`: an item is a row."""
    alias = node.args.get("alias")
    if alias is None or not alias.columns:
        raise RefusedError("an iteration over an array needs AS and a name", "42601")
    if node.args.get("offset"):
        raise RefusedError("the stand-in does not translate AT in an iteration over an array")
    name = alias.columns[0].name
    inner = node.expressions[0]
    if isinstance(inner, exp.Column):
        parts = [part.name for part in inner.parts]
        inner = exp.column(parts[1], table=parts[0]) if len(parts) > 1 else exp.column(parts[0])
        if len(parts) > 2:
            rest = exp.Array(expressions=[exp.Literal.string(step) for step in parts[2:]])
            inner = exp.Anonymous(this=f"{OWN_SCHEMA}.rs_path", expressions=[inner, rest])
    rows = exp.Anonymous(this=f"{OWN_SCHEMA}.rs_items", expressions=[inner])
    node.replace(
        exp.Lateral(
            this=rows,
            alias=exp.TableAlias(this=exp.to_identifier(name), columns=[exp.to_identifier(name)]),
        )
    )
