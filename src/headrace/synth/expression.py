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

FUNCTIONS: Final = {
    "abs": (1, 1),
    "choose": (2, 64),
    "child": (3, 3),
    "coalesce": (2, 16),
    "count": (1, 2),
    "date": (1, 1),
    "day": (1, 1),
    "days": (1, 1),
    "ceil": (1, 1),
    "entered": (2, 2),
    "floor": (1, 1),
    "hour": (1, 1),
    "hours": (1, 1),
    "item": (2, 2),
    "length": (1, 1),
    "lower": (1, 1),
    "max": (2, 16),
    "micros": (1, 1),
    "min": (2, 16),
    "minutes": (1, 1),
    "month": (1, 1),
    "pad": (2, 2),
    "round": (1, 2),
    "row": (1, 1),
    "seconds": (1, 1),
    "sum": (2, 2),
    "text": (1, 2),
    "upper": (1, 1),
    "weekday": (1, 1),
    "year": (1, 1),
    "yyyymmdd": (1, 1),
}
"""Name: the fewest and the most arguments."""


class ExpressionError(ValueError):
    """The text is no expression of this language; says what is allowed."""


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
class Call:
    """A function."""

    name: str
    arguments: tuple["Node", ...]


Node = Literal | Ref | Unary | Binary | Among | Logic | Choice | Call

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
        ExpressionError: it is none; says what is wrong.
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
    raise ExpressionError(f"{ast.unparse(node)[:60]!r} is no column")


def _comparison(node: ast.Compare) -> Node:
    parts: list[Node] = []
    left: ast.AST = node.left
    for op, right in zip(node.ops, node.comparators, strict=True):
        if type(op) in _COMPARE:
            parts.append(Binary(_COMPARE[type(op)], _node(left), _node(right)))
        elif isinstance(op, ast.In | ast.NotIn) and isinstance(right, ast.Tuple | ast.List):
            options = [_node(option) for option in right.elts]
            if not all(isinstance(option, Literal) for option in options):
                raise ExpressionError("what stands after in are literals")
            values = tuple(option.value for option in options if isinstance(option, Literal))
            parts.append(Among(_node(left), values, isinstance(op, ast.NotIn)))
        elif isinstance(op, ast.Is | ast.IsNot) and isinstance(_node(right), Literal):
            parts.append(Among(_node(left), (None,), isinstance(op, ast.IsNot)))
        else:
            raise ExpressionError(f"{ast.unparse(node)[:60]!r} is no comparison of this language")
        left = right
    return parts[0] if len(parts) == 1 else Logic("and", tuple(parts))


def _call(name: str, arguments: list[ast.expr]) -> Call:
    if name not in FUNCTIONS:
        raise ExpressionError(f"unknown function {name!r}; one of: {', '.join(FUNCTIONS)}")
    fewest, most = FUNCTIONS[name]
    if not fewest <= len(arguments) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise ExpressionError(f"{name}() takes {wanted} arguments, not {len(arguments)}")
    nodes = tuple(map(_node, arguments))
    if name == "entered" and not isinstance(nodes[1], Literal):
        raise ExpressionError("entered() takes a status column and the name of a status")
    if name in {"entered", "row"} and not isinstance(nodes[0], Ref):
        raise ExpressionError(f"the first argument of {name}() is a name")
    return Call(name, nodes)


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, but not what stands inside an aggregate."""
    yield node
    match node:
        case Unary(operand=operand) | Among(operand=operand):
            yield from walk(operand)
        case Binary(left=left, right=right):
            yield from walk(left)
            yield from walk(right)
        case Logic(operands=operands):
            for operand in operands:
                yield from walk(operand)
        case Choice(test=test, then=then, otherwise=otherwise):
            for part in (test, then, otherwise):
                yield from walk(part)
        case Call(arguments=arguments):
            for argument in arguments:
                yield from walk(argument)
        case _:
            return
