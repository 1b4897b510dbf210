"""The select list: from sqlglot's expressions to items, stars and ``columns(…)`` among them."""

from typing import Any

from sqlglot import exp

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import COMPUTED, SAME, fold
from headrace.lineage.sql.expression_walk import Walk
from headrace.lineage.sql.struct_expressions import PICKS, shape, value


def items(node: Any, walk: Walk, dialect: str = "") -> list[tree.SelectExpression]:
    """The items that one expression of a select list makes.

    Args:
        node: the expression.
        walk: gives the walks over it.
        dialect: of sqlglot's.
    """
    if isinstance(node, exp.Aliases):
        one = item(node.this, walk)
        return [
            tree.SelectExpression(name.name, one.reads, one.aggregated, one.unnests)
            for name in node.expressions
        ]
    return [item(node, walk, dialect)]


def item(node: Any, walk: Walk, dialect: str = "") -> tree.SelectExpression:
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
            return tree.SelectExpression(name, (), star=star(last, parts, walk), role=SAME)
        return tree.SelectExpression(name or last.name, (tree.Col(SAME, parts),))
    if type(inner) is exp.Star:
        return tree.SelectExpression(name, (), star=star(inner, (), walk), role=SAME)
    return _computed(inner, name, walk.fresh(), dialect)


def _computed(node: Any, name: str | None, walk: Walk, dialect: str) -> tree.SelectExpression:
    pattern = matched(node)
    if pattern is not None:
        return tree.SelectExpression(name, (), star=pattern, role=SAME)
    plain = isinstance(node, (exp.Columns, exp.PositionalColumn, *PICKS)) or (
        isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier)
    )
    walk.over(node, SAME if plain else COMPUTED)
    if walk.star is not None:
        found, role = walk.star
        return tree.SelectExpression(
            name, tuple(walk.reads), walk.aggregated, walk.unnests, found, role, walk.ordered
        )
    return tree.SelectExpression(
        name if name is not None else _spoken(node, dialect),
        tuple(walk.reads),
        walk.aggregated,
        walk.unnests,
        ordered=walk.ordered,
        spreads=_spreads(node),
        value=_value(node, walk),
    )


def _value(node: Any, walk: Walk) -> tree.Reads:
    """The value with its parts apart, where what was read does not have them apart already."""
    reads = walk.reads
    if len(reads) == 1 and isinstance(reads[0], tree.ValuePart) and reads[0].way != "whole":
        return ()
    apart = walk.fresh()
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
    return "deep" if deep and len(node.expressions) == 1 else "always"


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


def column_parts(column: exp.Expr) -> tuple[str, ...]:
    """The parts of a column's name, folded, outermost first."""
    args = column.args
    found = [args.get("catalog"), args.get("db"), args.get("table"), args.get("this")]
    return tuple(
        [fold(part.name) for part in found if part is not None and type(part) is not exp.Star]
    )


def star(node: Any, table: tuple[str, ...], walk: Walk) -> tree.Star:
    """``*`` with what it leaves out, replaces and renames."""
    args = node.args
    except_ = args.get("except_") or ()
    excluded = except_ if isinstance(except_, (list, tuple)) else [except_]
    return tree.Star(
        table=table,
        exclude=tuple([_excluded(part) for part in excluded]),
        replace=tuple([item(part, walk.fresh({})) for part in args.get("replace") or ()]),
        rename=tuple([(fold(part.this.name), part.alias) for part in args.get("rename") or ()]),
        pattern=tree.Match("ilike", (args["ilike"].name,)) if args.get("ilike") else None,
    )


def _excluded(part: Any) -> tuple[str, ...]:
    return column_parts(part) if isinstance(part, exp.Column) else (fold(part.name),)


def columns(node: Any, walk: Walk) -> tree.Star:
    """``columns(…)``: by a star, a regular expression, a list of names, or a condition."""
    inner = node.this
    if isinstance(inner, exp.Star):
        return star(inner, (), walk)
    if isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star):
        return star(inner.this, column_parts(inner), walk)
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
    """A condition on the names, as far as it is known without running it."""
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
