"""The select list: from sqlglot's expressions to items."""

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import COMPUTED, SAME
from headrace.lineage.sql.expressions import Walk
from headrace.lineage.sql.patterns import column_parts, matched, star
from headrace.lineage.sql.shapes import PICKS, shape, value

_Query = Callable[[Any], tree.Query]


def items(
    node: Any, query: _Query, windows: dict[str, exp.Expr], dialect: str = ""
) -> list[tree.Item]:
    """The items that one expression of a select list makes."""
    if isinstance(node, exp.Aliases):
        one = item(node.this, query, windows)
        return [
            tree.Item(name.name, one.reads, one.aggregated, one.unnests)
            for name in node.expressions
        ]
    return [item(node, query, windows, dialect)]


def item(
    node: Any, query: _Query, windows: dict[str, exp.Expr] | None = None, dialect: str = ""
) -> tree.Item:
    """One item."""
    name: str | None = None
    if isinstance(node, (exp.Alias, exp.PivotAlias)):
        name = node.args["alias"].name
        node = node.this
    inner = node.unnest() if type(node) is exp.Paren else node
    if type(inner) is exp.Column:
        last = inner.args["this"]
        parts = column_parts(inner)
        if type(last) is exp.Star:
            return tree.Item(name, (), star=star(last, parts, query), role=SAME)
        return tree.Item(name or last.name, (tree.Col(SAME, parts),))
    if type(inner) is exp.Star:
        return tree.Item(name, (), star=star(inner, (), query), role=SAME)
    return _computed(inner, name, query, windows, dialect)


def _computed(
    node: Any, name: str | None, query: _Query, windows: dict[str, exp.Expr] | None, dialect: str
) -> tree.Item:
    pattern = matched(node)
    if pattern is not None:
        return tree.Item(name, (), star=pattern, role=SAME)
    walk = Walk(query, windows)
    plain = isinstance(node, (exp.Columns, exp.PositionalColumn, *PICKS)) or (
        isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier)
    )
    walk.over(node, SAME if plain else COMPUTED)
    if walk.star is not None:
        found, role = walk.star
        return tree.Item(
            name, tuple(walk.reads), walk.aggregated, walk.unnests, found, role, walk.ordered
        )
    return tree.Item(
        name if name is not None else _spoken(node, dialect),
        tuple(walk.reads),
        walk.aggregated,
        walk.unnests,
        ordered=walk.ordered,
        spreads=_spreads(node),
        value=_value(node, query, windows, walk.reads),
    )


def _value(
    node: Any, query: _Query, windows: dict[str, exp.Expr] | None, reads: list[tree.Read]
) -> tree.Reads:
    """The value with its parts apart, where ``reads`` do not have them apart as they are."""
    if len(reads) == 1 and isinstance(reads[0], tree.Part) and reads[0].way != "whole":
        return ()
    apart = Walk(query, windows)
    if isinstance(node, exp.Explode):
        return value(apart, node.this, frozenset())
    found = shape(apart, node, frozenset())
    return () if found is None else (found,)


def _spreads(node: Any) -> str:
    """Whether it may become several columns: ``unnest`` of a struct does."""
    if not isinstance(node, exp.Explode):
        return ""
    if not node.expressions:
        return "maybe"
    option = node.expressions[0]  # `recursive := true`, `max_depth := 2`
    deep = isinstance(option, exp.PropertyEQ) and option.this.name.lower() == "recursive"
    return "deep" if deep and len(node.expressions) == 1 else "surely"


def _spoken(node: Any, dialect: str) -> str:
    """What the engine calls an expression without an alias: its text, or a struct's field."""
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
        return node.expression.name
    if isinstance(node, exp.Literal):
        return f"'{node.name}'" if node.is_string else node.name
    if isinstance(node, exp.Count) and isinstance(node.this, exp.Star):
        return "count_star()"
    if isinstance(node, exp.Func) and not node.args.get("expressions"):
        return str(node.sql(dialect=dialect or None, normalize_functions="lower"))
    return str(node.sql(dialect=dialect or None))
