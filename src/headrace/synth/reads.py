"""What an expression reads: columns, and tables that it adds up over."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headrace.synth import expression
from headrace.synth.expression import Call, Choice, Node, Ref


def refs(node: Node) -> list[tuple[str, ...]]:
    """The columns that an expression reads, those inside aggregates not among them."""
    found: list[tuple[str, ...]] = []

    def visit(part: Node) -> None:
        if isinstance(part, Ref):
            found.append(part.path)
        elif isinstance(part, Call):
            if is_aggregate(part):
                return
            if part.name in {"row", "child"}:
                skipped = 1 if part.name == "row" else 2
                for argument in part.arguments[skipped:]:
                    visit(argument)
                return
            for argument in part.arguments:
                visit(argument)
        elif isinstance(part, Choice):
            for piece in (part.test, part.then, part.otherwise):
                visit(piece)
        else:
            for piece in _parts(part):
                visit(piece)

    visit(node)
    return found


def _parts(node: Node) -> Iterable[Node]:
    match node:
        case expression.Unary(operand=operand) | expression.Among(operand=operand):
            return (operand,)
        case expression.Binary(left=left, right=right):
            return (left, right)
        case expression.Logic(operands=operands):
            return operands
    return ()


def is_aggregate(node: Call) -> bool:
    """By its form; whether the name is a table's is checked when the plan is made."""
    first = node.arguments[0]
    if node.name in {"sum", "count"}:
        return True
    return node.name in {"min", "max"} and isinstance(first, TableRef)


@dataclass(frozen=True, slots=True)
class TableRef(Ref):
    """A name that is a table's, in the first place of an aggregate."""


def aggregates(node: Node) -> Iterator[Call]:
    for part in expression.walk(node):
        if isinstance(part, Call) and is_aggregate(part):
            yield part


def table_of(call: Call) -> str:
    first = call.arguments[0]
    return first.path[0] if isinstance(first, Ref) else ""
