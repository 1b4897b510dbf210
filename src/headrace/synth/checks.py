"""Checks of a schema file's tables: cycles, and what needs rows that come into being over time."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from headrace.synth.expression import Node, aggregates, refs, table_of
from headrace.synth.plan import FieldPath, TablePlan, inside_list
from headrace.synth.schema.fields import AnyField, Datetime, ForeignKey, Status
from headrace.synth.schema.schema_file import Count

MOST_DEPTH: Final = 5
"""How many tables a chain of parents has at most."""
_OVER_TIME: Final = "rows that come into being over time: a datetime with distribution: rate"


class DataFinding(NamedTuple):
    """What is wrong with a table, and where in it."""

    message: str
    path: FieldPath = ()


_CREATED: Final = "at"
"""Stands for the time at which a row comes into being, in the place of a column."""
_CHANGED: Final = "changes"
"""Stands for the times at which a row changes."""
_LABELS: Final = {_CREATED: "(when it comes into being)", _CHANGED: "(when it changes)"}
_Need = tuple[TablePlan, str, bool]
"""A table, a column or one of the above, and whether it is one of the above."""


def parent_problems(plan: TablePlan) -> Iterator[DataFinding]:
    """Tables that are their own ancestors, or have too many of them."""
    seen = [plan.name]
    above = plan.parent
    while above is not None:
        if above.name in seen:
            cycle = " > ".join([*seen, above.name])
            yield DataFinding(f"a cycle of tables, each per the next: {cycle}", ("per",))
            return
        seen.append(above.name)
        above = above.parent
    if len(seen) > MOST_DEPTH:
        yield DataFinding(f"a chain of tables with per has at most {MOST_DEPTH} of them", ("per",))


def column_problems(plan: TablePlan, known: set[str]) -> Iterator[DataFinding]:
    """Columns that cannot be corrected, correlated or deleted, and those that need each other.

    Args:
        plan: the table.
        known: columns that are in no cycle; those that are found are added.
    """
    table = plan.table
    for name in table.corrections.columns if table.corrections else ():
        if name not in table.fields:
            yield DataFinding(f"there is no column {name!r}", ("corrections", "columns"))
        elif not _is_drawn(table.fields[name]):
            yield DataFinding(
                f"{name!r} is not drawn, and so cannot be corrected; correct a categorical, "
                "numerical, boolean, text or datetime",
                ("corrections", "columns"),
            )
    for name in table.correlation.columns if table.correlation else ():
        item = table.fields.get(name)
        if item is None or item.type == "text" or not _is_drawn(item):
            yield DataFinding(
                f"{name!r} cannot be correlated; name numerical, categorical, boolean or uniform "
                "datetime columns",
                ("correlation", "columns"),
            )
    if table.deletions and (plan.child_tables or plan.referencing):
        others = ", ".join([*plan.child_tables, *(other.name for other, _ in plan.referencing)])
        message = f"rows of {plan.name} cannot be deleted: {others} refer to them"
        yield DataFinding(message, ("deletions",))
    if table.deletions and table.deletions.column in table.fields:
        message = f"the column {table.deletions.column!r} is written for tombstones"
        yield DataFinding(message, ("deletions",))
    parts = [(name, False) for name in table.fields] + [(_CREATED, True), (_CHANGED, True)]
    for name, is_time in parts:
        cycle = _find_cycle((plan, name, is_time), (), known)
        if cycle:
            place = ("per",) if table.per is not None else ()
            message = f"columns need each other: {' > '.join(cycle)}"
            yield DataFinding(message, place if is_time else ("fields", name))
            return


def time_problems(plan: TablePlan) -> Iterator[DataFinding]:
    """What needs rows over time, and keys that could point at a row that is not there yet."""
    table = plan.table
    if not plan.evolves:
        for name in ("late", "corrections", "deletions"):
            if getattr(table, name) is not None:
                yield DataFinding(f"{name} needs {_OVER_TIME}", (name,))
        for name, item in table.fields.items():
            if isinstance(item, Status) or (
                isinstance(item, Datetime) and item.distribution in {"updated", "created"}
            ):
                message = f"{name} needs {_OVER_TIME}, here or in the table that per names"
                yield DataFinding(message, ("fields", name))
    for name, target in plan.keys.items():
        item = table.fields[name]
        assert isinstance(item, ForeignKey)
        if item.row is None:
            yield from _key_problems(plan, name, item, target)


def _key_problems(
    plan: TablePlan, name: str, item: ForeignKey, target: TablePlan
) -> Iterator[DataFinding]:
    place = ("fields", name)
    if item.distribution == "cover" and target.evolves:
        message = f"cover needs a parent of fixed size, and {target.name} grows"
        yield DataFinding(message, (*place, "distribution"))
    if target is plan:
        if not item.may_be_null:
            yield DataFinding(
                "the first row has no row before it to point at: say optional: true", place
            )
    elif target.evolves and not plan.evolves and not item.may_be_null:
        yield DataFinding(
            f"{plan.name} is there from the beginning, and {target.name} comes into being over "
            "time: give it a rate, too, or say optional: true",
            place,
        )
    per = target.table.per
    if per is not None and (
        per.at is not None
        or (isinstance(per.count, Count) and per.count.min == 0)
        or isinstance(per.count, str)
    ):
        yield DataFinding(
            f"a row of {target.name} may not be there: say which one by row: child(…), or give "
            "its count a min",
            place,
        )


def key_cycle(plan: TablePlan) -> list[DataFinding]:
    """Required keys that lead from a table back to it: none of their rows could be the first."""
    stack: list[tuple[TablePlan, tuple[str, ...]]] = [(plan, (plan.name,))]
    seen: set[str] = set()
    while stack:
        here, path = stack.pop()
        for name, target in here.keys.items():
            item = here.table.fields[name]
            assert isinstance(item, ForeignKey)
            if item.may_be_null or target is here:
                continue
            if target is plan:
                cycle = " > ".join([*path, plan.name])
                message = f"a cycle of required keys: {cycle}; make one of them optional: true"
                return [DataFinding(message)]
            if target.name not in seen:
                seen.add(target.name)
                stack.append((target, (*path, target.name)))
    return []


def _is_drawn(item: AnyField) -> bool:
    if isinstance(item, Datetime):
        return item.distribution == "uniform"
    return item.type in {"categorical", "boolean", "text", "numerical"}


def _find_cycle(need: _Need, path: tuple[str, ...], done: set[str]) -> tuple[str, ...]:
    """What needs itself, by which way; empty if there is nothing."""
    plan, column, is_time = need
    name = f"{plan.name} {_LABELS[column]}" if is_time else f"{plan.name}.{column}"
    if name in path:
        return (*path[path.index(name) :], name)
    if name in done or column == "number":
        return ()
    for other in _needs(plan, column, is_time=is_time):
        cycle = _find_cycle(other, (*path, name), done)
        if cycle:
            return cycle
    done.add(name)
    return ()


def _needs(plan: TablePlan, column: str, *, is_time: bool) -> Iterator[_Need]:
    """What must be known before a column is, or a time."""
    if is_time and column == _CREATED:
        if plan.parent is not None:
            yield plan.parent, _CREATED, True
        if ("per", "at") in plan.nodes:
            yield from _read(plan.nodes["per", "at"], plan)
        return
    if is_time:
        for child in plan.aggregated:
            if child.evolves and child.has_changes:
                yield child, _CHANGED, True
        for child, _ in plan.rollups:
            yield child, _CHANGED, True
        for path in plan.changing_parents:
            yield plan.resolve((*path, "number"))[0], _CHANGED, True
        return
    item = plan.table.fields[column]
    if isinstance(item, Status) or (isinstance(item, ForeignKey) and item.row is None):
        yield plan, _CREATED, True
    if isinstance(item, Datetime) and item.distribution == "updated":
        yield plan, _CHANGED, True
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
        yield child[0], _CREATED, True
        if child[1] is not None:
            yield child[0], child[1], False
        for part in call.arguments[1:]:
            yield from _read(part, child[0])
