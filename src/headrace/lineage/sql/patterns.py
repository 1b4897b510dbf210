"""Stars and `columns(…)`: from sqlglot's trees to which columns they mean."""

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from headrace.lineage.sql import tree
from headrace.lineage.sql.names import fold

_Query = Callable[[Any], tree.Query]


def column_parts(column: exp.Expr) -> tuple[str, ...]:
    """The parts of a column's name, folded, outermost first."""
    args = column.args
    found = [args.get("catalog"), args.get("db"), args.get("table"), args.get("this")]
    return tuple(
        [fold(part.name) for part in found if part is not None and type(part) is not exp.Star]
    )


def star(node: Any, table: tuple[str, ...], query: _Query) -> tree.Star:
    """``*`` with what it leaves out, replaces and renames."""
    from headrace.lineage.sql.items import item

    args = node.args
    except_ = args.get("except_") or ()
    excluded = except_ if isinstance(except_, (list, tuple)) else [except_]
    return tree.Star(
        table=table,
        exclude=tuple([_excluded(part) for part in excluded]),
        replace=tuple([item(part, query) for part in args.get("replace") or ()]),
        rename=tuple([(fold(part.this.name), part.alias) for part in args.get("rename") or ()]),
        pattern=("ilike", (args["ilike"].name,)) if args.get("ilike") else None,
    )


def _excluded(part: Any) -> tuple[str, ...]:
    return column_parts(part) if isinstance(part, exp.Column) else (fold(part.name),)


def columns(node: Any, query: _Query) -> tree.Star:
    """``columns(…)``: by a star, a regular expression, a list of names, or a condition."""
    inner = node.this
    if isinstance(inner, exp.Star):
        return star(inner, (), query)
    if isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star):
        return star(inner.this, column_parts(inner), query)
    if isinstance(inner, exp.Literal):
        return tree.Star(pattern=("regex", (inner.name,)))
    if isinstance(inner, exp.Array):
        return tree.Star(pattern=("names", tuple(fold(part.name) for part in inner.expressions)))
    if isinstance(inner, exp.Lambda):
        return _condition(inner)
    return tree.Star(pattern=("unknown", (inner.sql(),)))


_MATCHERS: dict[type, str] = {exp.Like: "like", exp.ILike: "ilike", exp.SimilarTo: "regex_full"}
_CALLS = {"contains": "contains", "starts_with": "starts", "prefix": "starts", "suffix": "ends",
          "ends_with": "ends", "regexp_matches": "regex"}  # fmt: skip


def _condition(node: Any) -> tree.Star:
    """A lambda over the names: what can be told without running it."""
    body, negate = node.this, False
    while isinstance(body, (exp.Not, exp.Paren)):
        negate ^= isinstance(body, exp.Not)
        body = body.this
    way = _MATCHERS.get(type(body)) or ("equal" if isinstance(body, exp.EQ) else "")
    argument = body.args.get("expression")
    if isinstance(body, exp.Contains):
        way = "contains"
    elif isinstance(body, exp.StartsWith):
        way = "starts"
    elif isinstance(body, exp.EndsWith):
        way = "ends"
    elif isinstance(body, exp.RegexpLike):
        way = "regex"
    if way and isinstance(body.this, exp.Identifier) and isinstance(argument, exp.Literal):
        negate ^= bool(body.args.get("negate"))
        return tree.Star(pattern=(way, (argument.name,)), negate=negate)
    return tree.Star(pattern=("unknown", (node.sql(),)))


def matched(node: Any) -> tree.Star | None:
    """``* like 'a%'``, or None."""
    way = _MATCHERS.get(type(node))
    inner = node.this if way else None
    table: tuple[str, ...] = ()
    if isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star):
        table = column_parts(inner)
    elif not isinstance(inner, exp.Star):
        return None
    assert way is not None
    return tree.Star(
        table=table,
        pattern=(way, (node.expression.name,)),
        negate=bool(node.args.get("negate")),
    )
