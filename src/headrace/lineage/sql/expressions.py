"""What each class of sqlglot's expressions reads: the handlers of the walk."""

from collections.abc import Iterable
from typing import Any

from sqlglot import exp

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import (
    AGGREGATED,
    COMPUTED,
    DECISION,
    FILTERED,
    GROUPED,
    SAME,
    SORTED,
    fold,
)
from headrace.lineage.sql.expression_walk import (
    AGGREGATES,
    ORDERED,
    SET_RETURNING,
    WINDOW_ONLY,
    Bound,
    Handler,
    Walk,
)
from headrace.lineage.sql.select_list import column_parts, columns, star
from headrace.lineage.sql.struct_expressions import PICKS, PICKS_CALLED, shape


def _nothing(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    del walk, node, role, bound


def _identifier(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    """A bare name: a function's parameter, or the name of something that is not read."""
    name = fold(node.name)
    if name in walk.parameters and name not in bound:
        walk.reads.append(tree.Col(role, (name,)))


def _column(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    name = node.args["this"]
    if type(name) is exp.Star:
        walk.reads.append(tree.Every(role, star(name, column_parts(node), walk)))
        return
    table = node.args.get("table")
    parts = (fold(name.name),) if table is None else column_parts(node)
    if parts[0] not in bound:
        walk.reads.append(tree.Col(role, parts))


def _dot(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    """``a.b``: of a struct, or a chain of functions."""
    if _picked(walk, node, role, bound):
        return
    fields: list[str] = []
    while type(node) is exp.Dot:
        field = node.expression
        if isinstance(field, exp.Identifier):
            fields.append(fold(field.name))
        else:
            fields.clear()  # the field of what the function gives
            if isinstance(field, exp.Star):
                walk.push(node.this, role, bound)
                return
            walk.push(field, role, bound)
        node = node.this
    if isinstance(node, exp.Identifier):
        if fold(node.name) not in bound:
            walk.reads.append(tree.Col(role, (fold(node.name), *reversed(fields))))
    else:
        walk.push(node, role, bound)


def _picked(walk: Walk, node: Any, role: int, bound: Bound) -> bool:
    """Read an expression as a part of a value, if it is one."""
    part = shape(walk, node, bound)
    if part is None:
        return False
    # within another expression only the whole of it counts
    walk.reads.append(part if role == SAME else tree.ValuePart(role, "whole", (), ((part,),)))
    return True


def _pick(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    if not _picked(walk, node, role, bound):
        walk.children(node, role, bound)


def _lambda(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    names = {fold(parameter.name) for parameter in node.expressions}
    walk.push(node.this, role, bound | names)


def _value(role: int, value: int) -> int:
    """What a decision reads stays a decision."""
    return role if role & DECISION else max(role, value)


def _aggregate(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    walk.aggregated = True
    _arguments(walk, node, _value(role, AGGREGATED), bound)


def _arguments(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    name = node.name.lower() if isinstance(node, exp.Anonymous) else type(node).__name__
    ordering = node.find(exp.Order)
    if name in ORDERED and ordering is None:
        walk.ordered = True
    if isinstance(node, exp.Count) and not node.find(exp.Column, exp.Columns, exp.Dot):
        walk.reads.append(tree.CountOfRows(role))
        return
    walk.children(node, role, bound)


def _window_only(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    if type(node).__name__ in ORDERED:
        walk.ordered = True
    walk.children(node, _value(role, COMPUTED), bound)


def _ordered_argument(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    """``order by`` within an aggregate."""
    walk.push(node.args.get("this"), role, bound)
    walk.push(node.expressions, role if role & DECISION else SORTED, bound)


def _within_group(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    inner = node.this
    walk.aggregated = True
    walk.push(inner, role, bound)
    lists = isinstance(inner, (exp.GroupConcat, exp.ArrayAgg, exp.ArrayConcatAgg))
    how = _value(role, AGGREGATED) if not lists else role if role & DECISION else SORTED
    for term in node.expression.expressions:
        walk.push(term, how, bound)


def _filter(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    walk.push(node.this, role, bound)
    walk.push(node.expression, role if role & DECISION else FILTERED, bound)


def _having_max(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    walk.push(node.this, role, bound)
    walk.push(node.expression, role if role & DECISION else SORTED, bound)


def _over(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    """A function over a window: one that aggregates does not make its item an aggregate."""
    ordered = walk.ordered
    inner = node.this
    while isinstance(inner, (exp.IgnoreNulls, exp.RespectNulls, exp.Filter)):
        if isinstance(inner, exp.Filter):
            walk.push(inner.expression, role if role & DECISION else FILTERED, bound)
        inner = inner.this
    if _aggregates(inner):
        _arguments(walk, inner, _value(role, AGGREGATED), bound)
    else:
        _window_only(walk, inner, role, bound)
    walk.window(node, role, bound)
    if node.args.get("order") is not None or node.args.get("alias") is not None:
        walk.ordered = ordered
    elif node.args.get("spec") is not None:
        walk.ordered = True


def _aggregates(node: Any) -> bool:
    if isinstance(node, exp.Anonymous):
        return node.name.lower() in AGGREGATES
    return isinstance(node, exp.AggFunc) and type(node).__name__ not in WINDOW_ONLY


def _anonymous(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    if _aggregates(node):
        _aggregate(walk, node, role, bound)
        return
    if node.name.lower() in PICKS_CALLED and _picked(walk, node, role, bound):
        return
    if node.name.lower() in SET_RETURNING:
        walk.unnests = True
    walk.children(node, role, bound)


def _cast(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    walk.push(node.this, role, bound)


def _pair(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    """``name := value``; ``{key: value}`` of a map."""
    if not isinstance(node.this, (exp.Identifier, exp.Var)):
        walk.push(node.this, role, bound)
    walk.push(node.expression, role, bound)


def _map(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    """``map {key: value}``: a bare key is a column, which sqlglot may read as a field's name."""
    struct = node.this
    if not isinstance(struct, exp.Struct):
        walk.push(struct, role, bound)
        return
    for pair in struct.expressions:
        key = pair.this
        if isinstance(key, exp.Identifier):
            walk.push(exp.column(key.copy()), role, bound)
        walk.push(pair, role, bound)


def _explode(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    walk.unnests = True
    walk.children(node, role, bound)


def _nested(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    del bound
    walk.reads.append(tree.Nested(role, walk.query(node), exists=False))


def _exists(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    if isinstance(node.this, exp.Query):
        walk.reads.append(tree.Nested(role, walk.query(node.this), exists=True))
    else:
        walk.children(node, role, bound)


def _columns(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    del bound
    found = columns(node, walk)
    if node.args.get("unpack"):  # `*columns(…)`: all of them, as arguments of one call
        walk.reads.append(tree.Every(role, found))
    else:
        walk.star = (found, role)


def _positional(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    del bound
    walk.reads.append(tree.Nth(role, int(node.name)))


def _grouping(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    """``grouping(a)``: no value of the key, but by which keys a row is grouped."""
    walk.aggregated = True
    walk.push(node.expressions, role if role & DECISION else GROUPED, bound)


def _star(walk: Walk, node: Any, role: int, bound: Bound) -> None:
    del bound
    walk.reads.append(tree.Every(role, star(node, (), walk)))


def _handler(kind: type) -> Handler:
    """The handler of a class that has none of its own."""
    if issubclass(kind, exp.Column):
        return _column
    if issubclass(kind, exp.Query):
        return _nested
    if kind.__name__ in WINDOW_ONLY:
        return _window_only
    if issubclass(kind, exp.AggFunc):
        return _aggregate
    if issubclass(kind, exp.UDTF):
        return _explode
    return Walk.children


_LEAVES: Iterable[type] = (
    exp.Literal, exp.Var, exp.Boolean, exp.Null, exp.DataType, exp.JSONPath,
    exp.Placeholder, exp.Parameter,
)  # fmt: skip


class _Handlers(dict[type, Handler]):
    """Handlers by class; those of a class that has none of its own are found by its bases."""

    def __missing__(self, kind: type) -> Handler:
        found = self[kind] = _handler(kind)
        return found


HANDLERS = _Handlers(
    {
        **dict.fromkeys(_LEAVES, _nothing),
        exp.Identifier: _identifier,
        exp.Column: _column,
        exp.Dot: _dot,
        exp.Star: _star,
        exp.Columns: _columns,
        exp.Lambda: _lambda,
        **dict.fromkeys(PICKS, _pick),
        exp.Window: _over,
        exp.Filter: _filter,
        exp.WithinGroup: _within_group,
        exp.Order: _ordered_argument,
        exp.HavingMax: _having_max,
        exp.Cast: _cast,
        exp.TryCast: _cast,
        exp.Collate: _cast,
        exp.PropertyEQ: _pair,
        exp.Kwarg: _pair,
        exp.ToMap: _map,
        exp.Anonymous: _anonymous,
        exp.Exists: _exists,
        exp.PositionalColumn: _positional,
        exp.Grouping: _grouping,
        exp.GroupingId: _grouping,
        exp.GenerateSeries: _explode,
    }
)
