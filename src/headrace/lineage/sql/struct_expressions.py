"""How sqlglot's expressions put a value together: structs, lists, maps, and choices of these.

Only what keeps the parts of a value apart is read here; all else is read by ``expressions``.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlglot import exp

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import (
    AGGREGATED,
    COMPUTED,
    FILTERED,
    SAME,
    SORTED,
    WINDOWED,
    fold,
    row_names,
)
from headrace.lineage.sql.expression_walk import ORDERED, Bound, Walk

_Shape = Callable[[Walk, Any, Bound], tree.ValuePart | None]

_DEEPEST = 40
"""Values in values; what lies deeper is read as a whole."""


def value(walk: Walk, node: Any, bound: Bound) -> tree.Reads:
    """What an expression reads, with the parts of its value apart where they are known."""
    found = shape(walk, node, bound)
    if found is not None:
        return (found,)
    plain = _unwrapped(node)
    return walk.inner(node, SAME if isinstance(plain, _PLAIN) else COMPUTED, bound)


def shape(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    """How an expression's value is put together; None: nothing is known of it."""
    node = _unwrapped(node)
    if not _may(node) or isinstance(node, _PLAIN) or walk.depth > _DEEPEST:
        return None
    called = _called(node)
    read = _CALLED.get(called) if called else _SHAPES.get(type(node))
    if read is None or (called and not node.expressions):  # the method of a value: `a.f()`
        return None
    walk.depth += 1
    try:
        return read(walk, node, bound)
    finally:
        walk.depth -= 1


def _unwrapped(node: Any) -> Any:
    while type(node) is exp.Paren or isinstance(node, (exp.IgnoreNulls, exp.RespectNulls)):
        node = node.this
    return node


def _called(node: Any) -> str:
    return node.name.lower() if isinstance(node, exp.Anonymous) else ""


def _may(node: Any) -> bool:
    """Whether the parts of a value may be known, by its form alone."""
    node = _unwrapped(node)
    kind = type(node)
    return isinstance(node, _PLAIN) or kind in _SHAPES or _called(node) in _CALLED


def _one_of(
    walk: Walk,
    candidates: Iterable[Any],
    bound: Bound,
    *,
    others: tree.Reads = (),
    role: int = SAME,
    way: str = "any",
) -> tree.ValuePart | None:
    """A value that is one of several, or a list of them."""
    nodes = [node for node in candidates if isinstance(node, exp.Expr)]
    if not any(map(_may, nodes)):
        return None
    parts = tuple([value(walk, node, bound) for node in nodes])
    return tree.ValuePart(role, way, (), parts, others)


def _struct(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    names: list[str] = []
    values: list[Any] = []
    for one in node.expressions:
        if isinstance(one, exp.PropertyEQ):
            names.append(one.this.name)
            values.append(one.expression)
        elif isinstance(one, exp.Alias):
            names.append(one.alias)
            values.append(one.this)
        elif isinstance(one, exp.Column):
            names.append(one.name)
            values.append(one)
        else:
            return None
    parts = tuple([value(walk, one, bound) for one in values])
    return tree.ValuePart(SAME, "struct", tuple(names), parts)


def _row(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart:
    parts = tuple([value(walk, one, bound) for one in node.expressions])
    return tree.ValuePart(SAME, "struct", row_names(len(parts)), parts)


def _dot(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    """``(…).x.y``; chains of functions are no fields."""
    fields: list[str] = []
    while type(node) is exp.Dot:
        if not isinstance(node.expression, exp.Identifier):
            return None
        fields.append(node.expression.name)
        node = node.this
    if isinstance(node, exp.Identifier):
        return None
    return tree.ValuePart(SAME, "field", tuple(reversed(fields)), (value(walk, node, bound),))


def _extract(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    return _item(walk, node.this, node.expression, bound)


def _item(
    walk: Walk, base: Any, index: Any, bound: Bound, *, first: int = 1
) -> tree.ValuePart | None:
    """``value[index]``: a field of a struct, or an element of a list or map.

    Args:
        walk: reads the rest.
        base: the value.
        index: a name, a number or any expression.
        bound: names of parameters around it.
        first: the number of the first element.
    """
    of = (value(walk, base, bound),)
    if isinstance(index, exp.Literal) and index.is_string:
        return tree.ValuePart(SAME, "field", (index.name,), of)
    if isinstance(index, exp.Literal) and index.name.isdigit():
        return tree.ValuePart(SAME, "at", (str(int(index.name) + 1 - first),), of)
    return tree.ValuePart(SAME, "item", (), of, walk.inner(index, COMPUTED, bound))


def _bracket(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    if len(node.expressions) != 1:
        return None
    index = node.expressions[0]
    if isinstance(index, exp.Slice):
        others = walk.inner(index, COMPUTED, bound)
        return _one_of(walk, [node.this], bound, others=others, role=COMPUTED)
    return _item(walk, node.this, index, bound, first=0)  # sqlglot counts from 0


def _item_called(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    base, *index = node.expressions
    return _item(walk, base, index[0], bound) if index else None


def _first_item(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    base = node.expressions[0] if isinstance(node, exp.Anonymous) else node.this
    return tree.ValuePart(SAME, "item", (), (value(walk, base, bound),))


def _items_called(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    """``map_extract``, ``map_values``: a list of values of a map."""
    base, *index = node.expressions
    others = _all(walk, index, COMPUTED, bound)
    return tree.ValuePart(COMPUTED, "values", (), (value(walk, base, bound),), others)


def _case(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    branches = node.args["ifs"]
    candidates = [*(one.args.get("true") for one in branches), node.args.get("default")]
    if not any(map(_may, candidates)):
        return None
    decide = [node.args.get("this"), *(one.this for one in branches)]
    return _one_of(walk, candidates, bound, others=_all(walk, decide, COMPUTED, bound))


def _if(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    candidates = [node.args.get("true"), node.args.get("false")]
    if not any(map(_may, candidates)):
        return None
    return _one_of(walk, candidates, bound, others=walk.inner(node.this, COMPUTED, bound))


def _several(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    """``coalesce``, ``list_concat``, ``||``: one of all arguments, or the lists together."""
    return _one_of(walk, [node.this, node.args.get("expression"), *node.expressions], bound)


def _same_list(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    """``list_slice``, ``list_reverse``: the same elements, or some of them."""
    base, *rest = node.expressions
    others = _all(walk, rest, COMPUTED, bound)
    return _one_of(walk, [base], bound, others=others, role=COMPUTED)


def _all(walk: Walk, nodes: Iterable[Any], role: int, bound: Bound) -> tree.Reads:
    return tuple([read for node in nodes for read in walk.inner(node, role, bound)])


def _array(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    if len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Comprehension):
        return _comprehension(walk, node.expressions[0], bound)
    return _one_of(walk, node.expressions, bound, role=COMPUTED, way="list")


def _flatten(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    return tree.ValuePart(SAME, "item", (), (value(walk, node.this, bound),))


def _unnest(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    """``unnest(list)`` within an expression."""
    if node.expressions:
        return None
    walk.unnests = True
    return tree.ValuePart(COMPUTED, "unnest", (), (value(walk, node.this, bound),))


def _query(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    del bound
    return tree.ValuePart(
        SAME, "query", (), ((tree.Nested(COMPUTED, walk.query(node), exists=False),),)
    )


def _map(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    """``map {key: value}``, ``map([key], [value])``: the keys decide which value it is."""
    struct = node.this
    if isinstance(struct, exp.Bracket):  # sqlglot reads `map {…}[key]` as a map of `{…}[key]`
        index = struct.expressions[0] if len(struct.expressions) == 1 else None
        inner = exp.ToMap(this=struct.this.copy())
        if not isinstance(struct.this, exp.Struct) or index is None:
            return None
        item = tree.ValuePart(SAME, "item", (), (value(walk, inner, bound),))
        return _decided(item, walk.inner(index, COMPUTED, bound))
    if not isinstance(struct, exp.Struct):
        return None
    pairs = struct.expressions
    keys = [exp.column(one.this.copy()) if isinstance(one.this, exp.Identifier) else one.this
            for one in pairs]  # fmt: skip
    return _one_of(
        walk,
        [one.expression for one in pairs],
        bound,
        others=_all(walk, keys, COMPUTED, bound),
        role=COMPUTED,
        way="list",
    )


def _decided(part: tree.ValuePart, others: tree.Reads) -> tree.ValuePart:
    """The same part, decided by more."""
    return tree.ValuePart(part.role, part.way, part.names, part.parts, part.others + others)


def _map_of(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    keys, values = node.args.get("keys"), node.args.get("values")
    if keys is None or values is None:
        return None
    return _one_of(walk, [values], bound, others=walk.inner(keys, COMPUTED, bound), role=COMPUTED)


def _with_fields(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    """``struct_insert``, ``struct_update``."""
    base, *fields = node.expressions
    if not all(isinstance(one, exp.PropertyEQ) for one in fields):
        return None
    names = tuple([one.this.name for one in fields])
    parts = tuple([value(walk, one, bound) for one in (base, *(f.expression for f in fields))])
    return tree.ValuePart(SAME, "change", names, parts)


def _concat(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    parts = tuple([value(walk, one, bound) for one in node.expressions])
    return tree.ValuePart(SAME, "concat", (), parts)


def _cast(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    """A cast to a struct; one to anything else has no parts that are known."""
    to = node.args["to"]
    if not isinstance(to, exp.DataType) or to.this != exp.DType.STRUCT:
        return None
    names = tuple([one.name for one in to.expressions])
    if not all(isinstance(one, exp.ColumnDef) for one in to.expressions):
        return None
    return tree.ValuePart(COMPUTED, "cast", names, (value(walk, node.this, bound),))


def _pick(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    """An aggregate that takes the value of one row, or a list of them, by what decides which."""
    walk.aggregated = True
    return _picked(walk, node, bound)


def _picked(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    arguments = node.expressions if isinstance(node, exp.Anonymous) else [node.this]
    if not arguments:
        return None
    first, *more = arguments
    more += [node.args.get(part) for part in ("expression", "offset", "count")]
    others: tree.Reads = ()
    if isinstance(first, exp.Order):
        others += _all(walk, first.expressions, SORTED, bound)
        first = first.this
    elif (_called(node) or type(node).__name__) in ORDERED:
        walk.ordered = True
    several = isinstance(node, exp.ArrayAgg) or isinstance(node.args.get("count"), exp.Expr)
    several = several or (isinstance(node, exp.Anonymous) and len(arguments) > 2)
    others += _all(walk, more, AGGREGATED, bound)
    default = node.args.get("default")
    return _one_of(
        walk,
        [first, default],
        bound,
        others=others,
        role=COMPUTED if isinstance(node, _WINDOW_PICKS) else AGGREGATED,
        way="list" if several else "any",
    )


def _filter(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    found = shape(walk, node.this, bound)
    if found is None:
        return None
    return _decided(found, walk.inner(node.expression, FILTERED, bound))


def _window(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    function = _unwrapped(node.this)
    others: tree.Reads = ()
    if isinstance(function, exp.Filter):
        others = walk.inner(function.expression, FILTERED, bound)
        function = _unwrapped(function.this)
    picks = isinstance(function, _PICKS) or _called(function) in _PICKS_CALLED
    if not picks:
        return None
    ordered = walk.ordered
    found = _picked(walk, function, bound)
    if node.args.get("order") is not None or node.args.get("alias") is not None:
        walk.ordered = ordered
    elif node.args.get("spec") is not None:
        walk.ordered = True
    return found and _decided(found, others + walk.framed(node, WINDOWED, bound))


def _each(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    """``list_transform(list, x -> …)``."""
    return _by_lambda(walk, node, bound, "each")


def _kept(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    """``list_filter(list, x -> …)``."""
    return _by_lambda(walk, node, bound, "kept")


def _by_lambda(walk: Walk, node: Any, bound: Bound, way: str) -> tree.ValuePart | None:
    arguments = (
        node.expressions if isinstance(node, exp.Anonymous) else [node.this, node.expression]
    )
    if len(arguments) != 2 or not isinstance(arguments[1], exp.Lambda):
        return None
    of, function = arguments
    names = tuple([fold(parameter.name) for parameter in function.expressions])
    with _parameters(walk, names):
        body = value(walk, function.this, bound - set(names))
    return tree.ValuePart(COMPUTED, way, names, (value(walk, of, bound), body))


@contextmanager
def _parameters(walk: Walk, names: tree.Names) -> Iterator[None]:
    outer = walk.parameters
    walk.parameters = outer.union(names)
    try:
        yield
    finally:
        walk.parameters = outer


def _comprehension(walk: Walk, node: Any, bound: Bound) -> tree.ValuePart | None:
    """``[… for x in list if …]``."""
    bindings = (node.args.get("expression"), node.args.get("position"))
    names = tuple([fold(one.name) for one in bindings if isinstance(one, exp.Expr)])
    inside = bound - set(names)
    of = value(walk, node.args.get("iterator"), bound)
    condition = node.args.get("condition")
    with _parameters(walk, names):
        if condition is not None:
            kept = walk.inner(condition, COMPUTED, inside)
            of = (tree.ValuePart(COMPUTED, "kept", names, (of, kept)),)
        return tree.ValuePart(COMPUTED, "each", names, (of, value(walk, node.this, inside)))


_PLAIN = (exp.Column, exp.Identifier)
_WINDOW_PICKS = (exp.FirstValue, exp.LastValue, exp.NthValue, exp.Lag, exp.Lead)
_AGGREGATES = (exp.ArgMax, exp.ArgMin, exp.First, exp.Last, exp.AnyValue, exp.ArrayAgg)
_PICKS = (*_AGGREGATES, *_WINDOW_PICKS)
_PICKS_CALLED = frozenset(
    {"arbitrary", "arg_max_null", "arg_min_null", "arg_max_nulls_last", "arg_min_nulls_last",
     "first", "last", "any_value", "argmax", "argmin", "max_by", "min_by"}
)  # fmt: skip

PICKS: dict[type, _Shape] = {
    exp.Bracket: _bracket,
    exp.StructExtract: _extract,
    exp.Transform: _each,
    exp.ArrayFilter: _kept,
    exp.Comprehension: _comprehension,
}
"""Expressions that take a part of a value, which are read so wherever they stand."""

PICKS_CALLED: dict[str, _Shape] = {
    **dict.fromkeys(
        ("struct_extract", "struct_extract_at", "list_extract", "array_extract", "list_element",
         "map_extract_value"), _item_called
    ),
    **dict.fromkeys(("list_first", "list_last", "array_last"), _first_item),
    **dict.fromkeys(("map_extract", "element_at", "map_values"), _items_called),
    **dict.fromkeys(("list_apply", "array_apply", "list_transform", "array_transform"), _each),
    **dict.fromkeys(("list_filter", "array_filter"), _kept),
}  # fmt: skip

_SHAPES: dict[type, _Shape] = {
    **PICKS,
    **dict.fromkeys(_AGGREGATES, _pick),
    exp.ArrayFirst: _first_item,
    exp.Dot: _dot,
    exp.Struct: _struct,
    exp.Tuple: _row,
    exp.Array: _array,
    exp.ToMap: _map,
    exp.Map: _map_of,
    exp.Case: _case,
    exp.If: _if,
    exp.Coalesce: _several,
    exp.ArrayConcat: _several,
    exp.DPipe: _several,
    exp.Flatten: _flatten,
    exp.Explode: _unnest,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Filter: _filter,
    exp.Window: _window,
    exp.Subquery: _query,
    exp.Select: _query,
}

_CALLED: dict[str, _Shape] = {
    **PICKS_CALLED,
    **dict.fromkeys(_PICKS_CALLED, _pick),
    **dict.fromkeys(("list_slice", "array_slice", "list_reverse", "array_reverse"), _same_list),
    **dict.fromkeys(("struct_insert", "struct_update"), _with_fields),
    "struct_concat": _concat,
    "row": _row,
}
