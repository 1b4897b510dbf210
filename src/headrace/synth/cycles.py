"""Columns and moments that need each other, so that none can be known first."""

from collections.abc import Iterator
from typing import Final

from headrace.synth.expression import Node, aggregates, refs, table_of
from headrace.synth.plan import TablePlan, inside_list
from headrace.synth.schema.model import Datetime, ForeignKey, Status

AT: Final = "at"
"""Stands for the moment at which a row comes into being, in the place of a column."""
CHANGED: Final = "changes"
"""Stands for the moments at which a row changes."""
_LABELS: Final = {AT: "(when it comes into being)", CHANGED: "(when it changes)"}
_Need = tuple[TablePlan, str, bool]
"""A table, a column or one of the above, and whether it is one of the above."""


def find_circle(need: _Need, path: tuple[str, ...], done: set[str]) -> tuple[str, ...]:
    """What needs itself, by which way; empty if there is nothing."""
    plan, column, is_time = need
    name = f"{plan.name} {_LABELS[column]}" if is_time else f"{plan.name}.{column}"
    if name in path:
        return (*path[path.index(name) :], name)
    if name in done or column == "number":
        return ()
    for other in _needs(plan, column, is_time=is_time):
        circle = find_circle(other, (*path, name), done)
        if circle:
            return circle
    done.add(name)
    return ()


def _needs(plan: TablePlan, column: str, *, is_time: bool) -> Iterator[_Need]:
    """What must be known before a column is, or a moment."""
    if is_time and column == AT:
        if plan.parent is not None:
            yield plan.parent, AT, True
        if ("per", "at") in plan.nodes:
            yield from _read(plan.nodes["per", "at"], plan)
        return
    if is_time:
        for child in plan.aggregated:
            if child.evolves and child.moves_at_all:
                yield child, CHANGED, True
        for child, _ in plan.rollups:
            yield child, CHANGED, True
        for path in plan.moving_parents:
            yield plan.resolve((*path, "number"))[0], CHANGED, True
        return
    item = plan.table.fields[column]
    if isinstance(item, Status) or (isinstance(item, ForeignKey) and item.row is None):
        yield plan, AT, True
    if isinstance(item, Datetime) and item.distribution == "updated":
        yield plan, CHANGED, True
    for place, node in plan.nodes.items():
        if place[:2] == ("fields", column) and not inside_list(plan, place):
            yield from _read(node, plan)


def _read(node: Node, plan: TablePlan) -> Iterator[_Need]:
    """What an expression needs."""
    for ref in refs(node):
        for length in range(1, len(ref)):
            holder = plan.resolve((*ref[: length - 1], "number"))[0]
            linked = holder.link(ref[length - 1])
            if linked is not None and linked[1] is not None:
                yield holder, linked[1], False
        other, column = plan.resolve(ref)
        yield other, column, False
    for call in aggregates(node):
        child = plan.child(table_of(call))
        if child is None:
            continue
        yield child[0], AT, True
        if child[1] is not None:
            yield child[0], child[1], False
        for part in call.arguments[1:]:
            yield from _read(part, child[0])
