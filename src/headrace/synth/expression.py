"""The language of derived columns: a small part of Python's expressions, and no ``eval``.

    total - discount                       numbers: + - * / // %
    status == 'paid' and amount > 0        comparisons, in, and, or, not
    price if is_new else price * 0.5       a choice
    order.customer.email                   a parent's column, by table or by foreign key
    entered(status, 'paid')                when a row came into a status, null if it has not
    sum(order_line, quantity * price)      over the rows of a table that point at this row
    null, true, false, number              number is the place of a row among its siblings, from 0

``FUNCTIONS`` lists the functions.
"""

import ast
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

MOST_CHARACTERS: Final = 2_000
MOST_NODES: Final = 400
AGGREGATES: Final = ("sum", "count", "min", "max")


@dataclass(frozen=True, slots=True)
class Builtin:
    """A function of the language.

    Attributes:
        call: how it is written.
        meaning: what it gives.
        fewest: arguments.
        most: arguments.
    """

    call: str
    meaning: str
    fewest: int
    most: int


FUNCTIONS: Final = {
    each.call.partition("(")[0]: each
    for each in (
        Builtin("abs(x)", "without its sign", 1, 1),
        Builtin("ceil(x)", "the next integer above", 1, 1),
        Builtin("child(table, parent, n)", "in `row` of a foreign key: the parent's n-th row of "
                 "a child table of it, from 0", 3, 3),
        Builtin("choose(n, a, b, …)", "a where n is 0, b where it is 1, and so on", 2, 64),
        Builtin("coalesce(a, b, …)", "the first that is not null", 2, 16),
        Builtin("count(table, condition)", "how many rows of a table point at this row; the "
                 "condition may be left out", 1, 2),
        Builtin("date(t)", "the day of a timestamp", 1, 1),
        Builtin("day(t)", "day of the month", 1, 1),
        Builtin("days(x)", "a length of time, to add to a timestamp", 1, 1),
        Builtin("entered(status, 'name')", "when the row came into a status; null if it has "
                 "not yet", 2, 2),
        Builtin("floor(x)", "the next integer below", 1, 1),
        Builtin("hour(t)", "hour of the day, UTC", 1, 1),
        Builtin("hours(x)", "a length of time", 1, 1),
        Builtin("item(list, n)", "the n-th element of a categorical whose values are lists, "
                 "from 0; null beyond its end", 2, 2),
        Builtin("length(x)", "of a text, or of a list", 1, 1),
        Builtin("lower(text)", "in lower case", 1, 1),
        Builtin("max(a, b, …)", "the largest; max(table, x): of the rows that point here", 2, 16),
        Builtin("micros(t)", "microseconds since 1970", 1, 1),
        Builtin("min(a, b, …)", "the smallest; min(table, x): of the rows that point here", 2, 16),
        Builtin("minutes(x)", "a length of time", 1, 1),
        Builtin("month(t)", "month of the year", 1, 1),
        Builtin("pad(x, n)", "as text of at least n characters, with zeros in front", 2, 2),
        Builtin("round(x, n)", "to n decimals; to an integer without n", 1, 2),
        Builtin("row(parent)", "the address of a parent's row, from 0", 1, 1),
        Builtin("seconds(x)", "a length of time", 1, 1),
        Builtin("sum(table, x)", "over the rows of a table that point at this row", 2, 2),
        Builtin("text(x, n)", "as text; with n decimals", 1, 2),
        Builtin("upper(text)", "in upper case", 1, 1),
        Builtin("weekday(t)", "0 for Monday to 6 for Sunday", 1, 1),
        Builtin("year(t)", "the year", 1, 1),
        Builtin("yyyymmdd(t)", "the day as text of eight digits", 1, 1),
    )
}  # fmt: skip
"""By name."""


class ExpressionError(ValueError):
    """The text is not an expression of this language; says what is allowed."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a string, true, false or null."""

    value: Any


@dataclass(frozen=True, slots=True)
class Ref:
    """A column, or a parent's: ``("order", "customer", "email")``."""

    path: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class TableRef(Ref):
    """The name of a table, as the first argument of an aggregate."""


@dataclass(frozen=True, slots=True)
class Unary:
    """Minus or not."""

    operation: str
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, or a comparison."""

    operation: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Among:
    """Whether a value is one of some literals."""

    operand: "Node"
    options: tuple[Any, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Logic:
    """And, or."""

    operation: str
    operands: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One value where a test holds, another where it does not."""

    test: "Node"
    then: "Node"
    otherwise: "Node"


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function."""

    name: str
    arguments: tuple["Node", ...]


Node = Literal | Ref | Unary | Binary | Among | Logic | Choice | FunctionCall

_BINARY: Final[dict[type[ast.AST], str]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}
_COMPARE: Final[dict[type[ast.AST], str]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_NAMES: Final = {"null": None, "true": True, "false": False}
COMPARISONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def parse(text: str | int | float) -> Node:
    """The tree of an expression.

    Raises:
        ExpressionError: it is not an expression; says what is wrong.
    """
    if not isinstance(text, str):
        return Literal(text)
    if len(text) > MOST_CHARACTERS:
        raise ExpressionError(f"an expression has at most {MOST_CHARACTERS} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = error.msg if isinstance(error, SyntaxError) else "too deep"
        raise ExpressionError(f"not an expression: {said}") from error
    if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
        raise ExpressionError(f"an expression has at most {MOST_NODES} parts")
    return _node(tree.body)


def _node(node: ast.AST) -> Node:
    match node:
        case ast.Constant(value=value) if isinstance(value, str | int | float | None):
            if isinstance(value, int) and abs(value) >= 2**63:
                raise ExpressionError(f"the number {str(value)[:24]}… is beyond 64 bits")
            return Literal(value)
        case ast.Name(id=name):
            return Literal(_NAMES[name]) if name in _NAMES else Ref((name,))
        case ast.Attribute():
            return Ref(_path(node))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _node(operand)
            if isinstance(inner, Literal) and isinstance(inner.value, int | float):
                return Literal(-inner.value)
            return Unary("-", inner)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Unary("not", _node(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return Binary(_BINARY[type(op)], _node(left), _node(right))
        case ast.BoolOp(op=op, values=values):
            name = "and" if isinstance(op, ast.And) else "or"
            return Logic(name, tuple(map(_node, values)))
        case ast.Compare():
            return _comparison(node)
        case ast.IfExp(test=test, body=then, orelse=otherwise):
            return Choice(_node(test), _node(then), _node(otherwise))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return _call(name, arguments)
    raise ExpressionError(
        f"{ast.unparse(node)[:60]!r} is not allowed here; allowed are columns, numbers, strings, "
        "arithmetic, comparisons, and, or, not, if else, and the functions " + ", ".join(FUNCTIONS)
    )


def _path(node: ast.AST) -> tuple[str, ...]:
    match node:
        case ast.Name(id=name):
            return (name,)
        case ast.Attribute(value=value, attr=name):
            return (*_path(value), name)
    raise ExpressionError(f"{ast.unparse(node)[:60]!r} is not a column")


def _comparison(node: ast.Compare) -> Node:
    parts: list[Node] = []
    left: ast.AST = node.left
    for op, right in zip(node.ops, node.comparators, strict=True):
        if type(op) in _COMPARE:
            parts.append(Binary(_COMPARE[type(op)], _node(left), _node(right)))
        elif isinstance(op, ast.In | ast.NotIn) and isinstance(right, ast.Tuple | ast.List):
            options = [_node(option) for option in right.elts]
            if not all(isinstance(option, Literal) for option in options):
                raise ExpressionError("only literals can follow in")
            values = tuple(option.value for option in options if isinstance(option, Literal))
            parts.append(Among(_node(left), values, isinstance(op, ast.NotIn)))
        elif isinstance(op, ast.Is | ast.IsNot) and isinstance(_node(right), Literal):
            parts.append(Among(_node(left), (None,), isinstance(op, ast.IsNot)))
        else:
            raise ExpressionError(f"{ast.unparse(node)[:60]!r} is not a comparison here")
        left = right
    return parts[0] if len(parts) == 1 else Logic("and", tuple(parts))


def _call(name: str, arguments: list[ast.expr]) -> FunctionCall:
    if name not in FUNCTIONS:
        raise ExpressionError(f"unknown function {name!r}; one of: {', '.join(FUNCTIONS)}")
    function = FUNCTIONS[name]
    fewest, most = function.fewest, function.most
    if not fewest <= len(arguments) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise ExpressionError(f"{name}() takes {wanted} arguments, not {len(arguments)}")
    nodes = tuple(map(_node, arguments))
    if name == "entered" and not isinstance(nodes[1], Literal):
        raise ExpressionError("entered() takes a status column and the name of a status")
    if name in {"entered", "row"} and not isinstance(nodes[0], Ref):
        raise ExpressionError(f"the first argument of {name}() is a name")
    return FunctionCall(name, nodes)


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below a node."""
    match node:
        case Unary(operand=operand) | Among(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
        case Logic(operands=operands):
            return operands
        case Choice(test=test, then=then, otherwise=otherwise):
            return (test, then, otherwise)
        case FunctionCall(arguments=arguments):
            return arguments
    return ()


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it."""
    yield node
    for part in children(node):
        yield from walk(part)


def refs(node: Node) -> list[tuple[str, ...]]:
    """The columns that an expression reads, without those inside aggregates."""
    if isinstance(node, Ref):
        return [node.path]
    skipped = 0
    if isinstance(node, FunctionCall):
        if is_aggregate(node):
            return []
        skipped = {"row": 1, "child": 2}.get(node.name, 0)  # names of tables
    return [path for part in children(node)[skipped:] for path in refs(part)]


def is_aggregate(node: FunctionCall) -> bool:
    """Whether a call has the form of an aggregate; the planner checks that it names a table."""
    if node.name in {"sum", "count"}:
        return True
    return node.name in {"min", "max"} and isinstance(node.arguments[0], TableRef)


def aggregates(node: Node) -> Iterator[FunctionCall]:
    """The aggregates in an expression."""
    return (part for part in walk(node) if isinstance(part, FunctionCall) and is_aggregate(part))


def table_of(call: FunctionCall) -> str:
    """The table that an aggregate is over."""
    first = call.arguments[0]
    return first.path[0] if isinstance(first, Ref) else ""
