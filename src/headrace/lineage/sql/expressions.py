"""From sqlglot's tree of an expression to what it reads.

One walk with a stack of its own, so that a condition of ten thousand terms is no deeper than one.
"""

from collections.abc import Callable, Iterable
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
    WINDOWED,
    fold,
)
from headrace.lineage.sql.functions import AGGREGATES, ORDERED, SET_RETURNING, WINDOW_ONLY
from headrace.lineage.sql.patterns import column_parts, columns, star
from headrace.lineage.sql.shapes import PICKS, PICKS_CALLED, shape

_Bound = frozenset[str]
_NONE: _Bound = frozenset()
_Step = tuple[Any, int, _Bound]
_Handler = Callable[["Walk", Any, int, _Bound], None]


class Walk:
    """Reads one expression.

    Attributes:
        reads: what it reads.
        aggregated: an aggregate function stands in it, outside a window.
        unnests: it makes several rows of one.
        ordered: it depends on the order of rows.
        star: the ``columns(…)`` in it, and how it is read.
        depth: how many values it is in, of which the parts are told apart.
        parameters: of the functions that it is in, folded.
    """

    def __init__(
        self,
        query: Callable[[Any], tree.Query],
        windows: dict[str, exp.Expr] | None = None,
        depth: int = 0,
    ) -> None:
        """Start.

        Args:
            query: reads a nested query.
            windows: the named windows in scope.
            depth: how many values it is in.
        """
        self.depth = depth
        self.parameters: _Bound = _NONE
        self.reads: list[tree.Read] = []
        self.aggregated = False
        self.unnests = False
        self.ordered = False
        self.star: tuple[tree.Star, int] | None = None
        self.query = query
        self._windows = windows or {}
        self._steps: list[_Step] = []

    def over(self, node: Any, role: int, bound: _Bound = _NONE) -> "Walk":
        """Read ``node`` as ``role``."""
        self._steps.append((node, role, bound))
        return self.run()

    def run(self) -> "Walk":
        """Read all that is still to be read."""
        steps = self._steps
        while steps:
            node, role, bound = steps.pop()
            handler = _HANDLERS.get(type(node))
            if handler is None:
                handler = _HANDLERS[type(node)] = _handler(type(node))
            handler(self, node, role, bound)
        return self

    def push(self, node: Any, role: int, bound: _Bound) -> None:
        """Read ``node`` later; None and values that are no expressions are nothing."""
        if node is None or node is False or node is True:
            return
        if isinstance(node, list):
            for part in node:
                self.push(part, role, bound)
        elif isinstance(node, exp.Expr):
            self._steps.append((node, role, bound))

    def inner(self, node: Any, role: int, bound: _Bound) -> tree.Reads:
        """What a part of the expression reads, apart from all else; None is nothing."""
        if not isinstance(node, exp.Expr):
            return ()
        walk = self._apart().over(node, role, bound)
        self.aggregated |= walk.aggregated
        self.unnests |= walk.unnests
        self.ordered |= walk.ordered
        if walk.star is not None:
            walk.reads.append(tree.Every(walk.star[1], walk.star[0]))
        return tuple(walk.reads)

    def framed(self, node: exp.Expr, role: int, bound: _Bound) -> tree.Reads:
        """What the window of a function is made of."""
        walk = self._apart()
        walk.window(node, role, bound)
        return tuple(walk.run().reads)

    def _apart(self) -> "Walk":
        walk = Walk(self.query, self._windows, self.depth)
        walk.parameters = self.parameters
        return walk

    def window(self, node: exp.Expr, role: int, bound: _Bound) -> None:
        """A window function: its arguments, and what the window is made of."""
        decision = role if role & DECISION else WINDOWED
        seen: set[str] = set()
        frame: Any = node
        while frame is not None:
            for part in ("partition_by", "order", "spec"):
                self.push(frame.args.get(part), decision, bound)
            name = frame.args.get("alias")
            named = fold(name.name) if name is not None else ""
            frame = self._windows.get(named) if named and named not in seen else None
            seen.add(named)


def _nothing(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    del walk, node, role, bound


def _identifier(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    """A bare name: a function's parameter, or the name of something that is not read."""
    name = fold(node.name)
    if name in walk.parameters and name not in bound:
        walk.reads.append(tree.Col(role, (name,)))


def _children(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    steps = walk._steps  # noqa: SLF001 the inner loop
    for value in node.args.values():
        if value is None or value is False or value is True:
            continue
        if isinstance(value, list):
            steps.extend([(part, role, bound) for part in value if isinstance(part, exp.Expr)])
        elif isinstance(value, exp.Expr):
            steps.append((value, role, bound))


def _column(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    name = node.args["this"]
    if type(name) is exp.Star:
        walk.reads.append(tree.Every(role, star(name, column_parts(node), walk.query)))
        return
    table = node.args.get("table")
    parts = (fold(name.name),) if table is None else column_parts(node)
    if parts[0] not in bound:
        walk.reads.append(tree.Col(role, parts))


def _dot(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
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


def _picked(walk: Walk, node: Any, role: int, bound: _Bound) -> bool:
    """Read an expression as a part of a value, if it is one."""
    part = shape(walk, node, bound)
    if part is None:
        return False
    # within another expression only the whole of it counts
    walk.reads.append(part if role == SAME else tree.Part(role, "whole", (), ((part,),)))
    return True


def _pick(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    if not _picked(walk, node, role, bound):
        _children(walk, node, role, bound)


def _lambda(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    names = {fold(parameter.name) for parameter in node.expressions}
    walk.push(node.this, role, bound | names)


def _value(role: int, value: int) -> int:
    """What a decision reads stays a decision."""
    return role if role & DECISION else max(role, value)


def _aggregate(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    walk.aggregated = True
    _arguments(walk, node, _value(role, AGGREGATED), bound)


def _arguments(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    name = node.name.lower() if isinstance(node, exp.Anonymous) else type(node).__name__
    ordering = node.find(exp.Order)
    if name in ORDERED and ordering is None:
        walk.ordered = True
    if isinstance(node, exp.Count) and not node.find(exp.Column, exp.Columns, exp.Dot):
        walk.reads.append(tree.RowCount(role))
        return
    _children(walk, node, role, bound)


def _window_only(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    if type(node).__name__ in ORDERED:
        walk.ordered = True
    _children(walk, node, _value(role, COMPUTED), bound)


def _ordered_argument(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    """``order by`` within an aggregate."""
    walk.push(node.args.get("this"), role, bound)
    walk.push(node.expressions, role if role & DECISION else SORTED, bound)


def _within_group(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    inner = node.this
    walk.aggregated = True
    walk.push(inner, role, bound)
    lists = isinstance(inner, (exp.GroupConcat, exp.ArrayAgg, exp.ArrayConcatAgg))
    how = _value(role, AGGREGATED) if not lists else role if role & DECISION else SORTED
    for term in node.expression.expressions:
        walk.push(term, how, bound)


def _filter(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    walk.push(node.this, role, bound)
    walk.push(node.expression, role if role & DECISION else FILTERED, bound)


def _having_max(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    walk.push(node.this, role, bound)
    walk.push(node.expression, role if role & DECISION else SORTED, bound)


def _over(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
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


def _anonymous(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    if _aggregates(node):
        _aggregate(walk, node, role, bound)
        return
    if node.name.lower() in PICKS_CALLED and _picked(walk, node, role, bound):
        return
    if node.name.lower() in SET_RETURNING:
        walk.unnests = True
    _children(walk, node, role, bound)


def _cast(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    walk.push(node.this, role, bound)


def _pair(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    """``name := value``; ``{key: value}`` of a map."""
    if not isinstance(node.this, (exp.Identifier, exp.Var)):
        walk.push(node.this, role, bound)
    walk.push(node.expression, role, bound)


def _map(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
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


def _explode(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    walk.unnests = True
    _children(walk, node, role, bound)


def _nested(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    del bound
    walk.reads.append(tree.Nested(role, walk.query(node), exists=False))


def _exists(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    if isinstance(node.this, exp.Query):
        walk.reads.append(tree.Nested(role, walk.query(node.this), exists=True))
    else:
        _children(walk, node, role, bound)


def _columns(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    del bound
    found = columns(node, walk.query)
    if node.args.get("unpack"):  # `*columns(…)`: all of them, as arguments of one call
        walk.reads.append(tree.Every(role, found))
    else:
        walk.star = (found, role)


def _positional(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    del bound
    walk.reads.append(tree.Nth(role, int(node.name)))


def _grouping(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    """``grouping(a)``: no value of the key, but by which keys a row is grouped."""
    walk.aggregated = True
    walk.push(node.expressions, role if role & DECISION else GROUPED, bound)


def _star(walk: Walk, node: Any, role: int, bound: _Bound) -> None:
    del bound
    walk.reads.append(tree.Every(role, star(node, (), walk.query)))


def _handler(kind: type) -> _Handler:
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
    return _children


_LEAVES: Iterable[type] = (
    exp.Literal, exp.Var, exp.Boolean, exp.Null, exp.DataType, exp.JSONPath,
    exp.Placeholder, exp.Parameter,
)  # fmt: skip
_HANDLERS: dict[type, _Handler] = {
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
