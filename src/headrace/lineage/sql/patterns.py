"""Stars and `columns(…)`: from sqlglot's trees to which columns they mean."""

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import fold

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
        pattern=tree.Match("ilike", (args["ilike"].name,)) if args.get("ilike") else None,
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
        return tree.Star(pattern=tree.Match("regex", (inner.name,)))
    if isinstance(inner, exp.Array):
        names = tuple([fold(part.name) for part in inner.expressions])
        return tree.Star(pattern=tree.Match("names", names))
    if isinstance(inner, exp.Lambda):
        return tree.Star(pattern=_condition(inner.this))
    return tree.Star(pattern=tree.Match("unknown", (inner.sql(),)))


_COMPARED: dict[type, str] = {
    exp.Like: "like", exp.ILike: "ilike", exp.SimilarTo: "regex_full", exp.EQ: "equal",
    exp.Contains: "contains", exp.StartsWith: "starts", exp.EndsWith: "ends",
    exp.RegexpLike: "regex", exp.RegexpFullMatch: "regex_full",
}  # fmt: skip
_CALLED = {"prefix": "starts", "suffix": "ends"}  # functions that sqlglot has no class for
_CASES: dict[type, str] = {exp.Lower: "lower", exp.Upper: "upper"}


def _condition(node: Any) -> tree.Match:
    """A condition on the names, as far as it can be told without running it."""
    node = node.unnest()
    if isinstance(node, (exp.And, exp.Or)):
        parts = (_condition(node.this), _condition(node.expression))
        return tree.Match(type(node).__name__.lower(), (), parts)
    if isinstance(node, exp.Not):
        return _negated(_condition(node.this))
    if isinstance(node, exp.NEQ):
        return _negated(_compared("equal", node.this, [node.expression], node))
    if isinstance(node, exp.In):
        return _compared("among", node.this, node.expressions, node)
    if isinstance(node, exp.Anonymous) and node.name.lower() in _CALLED and node.expressions:
        first, *others = node.expressions
        return _compared(_CALLED[node.name.lower()], first, others, node)
    way = _COMPARED.get(type(node))
    if way is None:
        return tree.Match("unknown", (node.sql(),))
    found = _compared(way, node.this, [node.args.get("expression")], node)
    return _negated(found) if node.args.get("negate") else found


def _compared(way: str, subject: Any, arguments: list[Any], node: Any) -> tree.Match:
    """A comparison of the name itself, or of it in lower or upper case, with texts."""
    case = _CASES.get(type(subject))
    subject = subject.this if case else subject
    plain = arguments and all(isinstance(one, exp.Literal) and one.is_string for one in arguments)
    if not plain or not isinstance(subject, (exp.Identifier, exp.Column)):
        return tree.Match("unknown", (node.sql(),))
    found = tree.Match(way, tuple([one.name for one in arguments]))
    return tree.Match(case, (), (found,)) if case else found


def _negated(match: tree.Match) -> tree.Match:
    return tree.Match("not", (), (match,))


_STARRED = frozenset({exp.Like, exp.ILike, exp.SimilarTo})


def matched(node: Any) -> tree.Star | None:
    """``* like 'a%'``, or None."""
    if type(node) not in _STARRED:
        return None
    inner = node.this
    table: tuple[str, ...] = ()
    if isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star):
        table = column_parts(inner)
    elif not isinstance(inner, exp.Star):
        return None
    match = tree.Match(_COMPARED[type(node)], (node.expression.name,))
    return tree.Star(table=table, pattern=_negated(match) if node.args.get("negate") else match)
