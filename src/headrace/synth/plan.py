"""The plan of a table: its links to other tables, and what in it changes over time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from headrace.formatting import did_you_mean
from headrace.synth.expression import FunctionCall, Node, aggregates, refs, table_of
from headrace.synth.schema.base import duration_us
from headrace.synth.schema.fields import AnyField, Datetime, ListOf, Status, Struct
from headrace.synth.schema.schema_file import Count, Table

FieldPath = tuple[str | int, ...]
"""The keys that lead to a value within a table of a schema file."""
UNBOUNDED: Final = 1 << 60
"""The delay, in microseconds, of what may happen at any time."""


@dataclass(eq=False)
class TablePlan:
    """A table and its links to others.

    Attributes:
        name: of the table.
        table: its model.
        file: the schema file it stands in.
        parent: the table that its per names, if it has one.
        nodes: the parsed expressions by where they stand in the table.
        keys: its foreign keys, by column, with the table they point at.
        child_tables: tables whose per names this one, by name.
        referencing: foreign keys of other tables that refer to this one.
    """

    name: str
    table: Table
    file: Path | None
    own: bool
    parent: "TablePlan | None" = None
    nodes: dict[FieldPath, Node] = field(default_factory=dict)
    keys: dict[str, "TablePlan"] = field(default_factory=dict)
    child_tables: dict[str, "TablePlan"] = field(default_factory=dict)
    referencing: list[tuple["TablePlan", str]] = field(default_factory=list)

    @property
    def stride(self) -> int:
        """The most rows per parent; a row's address is its parent's times this, plus its number."""
        per = self.table.per
        if per is None:
            return 1
        if isinstance(per.count, int):
            return per.count
        return per.count.max if isinstance(per.count, Count) else per.max or 1

    @property
    def root_stride(self) -> int:
        """The most rows per row of the root."""
        return 1 if self.parent is None else self.stride * self.parent.root_stride

    @property
    def mean(self) -> float:
        """About how many rows there are per parent."""
        per = self.table.per
        if per is None or isinstance(per.count, int):
            return float(self.stride)
        if isinstance(per.count, Count):
            return per.count.mean or (per.count.min + per.count.max) / 2
        return max(1.0, self.stride / 2)

    @property
    def root(self) -> "TablePlan":
        """The table at the top of the chain of parents."""
        return self if self.parent is None else self.parent.root

    @property
    def multiplicity(self) -> float:
        """About how many rows there are per row of the root."""
        return 1.0 if self.parent is None else self.mean * self.parent.multiplicity

    @cached_property
    def width(self) -> float:
        """About how many times wider a row is than one of 24 fields, nested ones among them."""
        cells = 0.0
        for _, item in walk_fields(self.table.fields):
            child = self.listable(item.of) if isinstance(item, ListOf) and item.of else None
            cells += 1.0 if child is None else child.mean * len(child.table.fields)
        return max(1.0, cells / 24)

    @cached_property
    def evolves(self) -> bool:
        """Whether its rows come into being over time."""
        return self.table.clock is not None or (self.parent is not None and self.parent.evolves)

    @property
    def columns(self) -> list[str]:
        """What is written."""
        return [name for name, item in self.table.fields.items() if not item.hidden]

    def link(self, name: str) -> "tuple[TablePlan, str | None] | None":
        """What a name leads to: a table, and the foreign key on the way (None: the parent)."""
        if self.parent is not None and name == self.parent.name:
            return self.parent, None
        for column, target in self.keys.items():
            if name in {column, column.removesuffix("_id")}:
                return target, column
        by_table = [column for column, target in self.keys.items() if target.name == name]
        return (self.keys[by_table[0]], by_table[0]) if len(by_table) == 1 else None

    def child(self, name: str) -> "tuple[TablePlan, str | None] | None":
        """A table whose rows refer to this one's, and its foreign key (None: a child table)."""
        if name in self.child_tables:
            return self.child_tables[name], None
        found = [(plan, column) for plan, column in self.referencing if plan.name == name]
        return found[0] if len(found) == 1 else None

    def resolve(self, path: tuple[str, ...]) -> "tuple[TablePlan, str]":
        """The table and the column that a path ends at; ``number`` is a column of every table.

        Raises:
            LookupError: it leads nowhere; says what there is.
        """
        plan: TablePlan = self
        for step in path[:-1]:
            linked = plan.link(step)
            if linked is None:
                raise LookupError(
                    f"{plan.name} has no parent {step!r}; it has {', '.join(plan.links) or 'none'}"
                )
            plan = linked[0]
        last = path[-1]
        if last != "number" and last not in plan.table.fields:
            if plan.link(last) is not None and len(path) == 1:
                raise LookupError(f"{last!r} is a table; say which column: {last}.<column>")
            meant = did_you_mean(last, plan.table.fields)
            raise LookupError(f"{plan.name} has no column {last!r}{f'; {meant}' if meant else ''}")
        return plan, last

    @property
    def links(self) -> list[str]:
        """The names of its parents."""
        own = [self.parent.name] if self.parent else []
        return own + [column.removesuffix("_id") for column in self.keys]

    # what changes over time

    @cached_property
    def rollups(self) -> "list[tuple[TablePlan, str]]":
        """Foreign keys of other tables over which this one aggregates."""
        found = []
        for node in self.nodes.values():
            for call in aggregates(node):
                child = self.child(table_of(call))
                if child is not None and child[1] is not None and child not in found:
                    found.append((child[0], child[1]))
        return found

    @cached_property
    def aggregated(self) -> "list[TablePlan]":
        """Child tables over which this one aggregates, or which it lists."""
        names = {table_of(call) for node in self.nodes.values() for call in aggregates(node)}
        names |= {item.of for item in self._all_fields() if isinstance(item, ListOf) and item.of}
        return [self.child_tables[name] for name in self.child_tables if name in names]

    def listable(self, name: str) -> "TablePlan | None":
        """A table whose rows a list may hold: a child of this table or of its parent."""
        beside = self.parent.child_tables if self.parent is not None else {}
        return self.child_tables.get(name) or (beside.get(name) if name != self.name else None)

    @cached_property
    def listed_siblings(self) -> "list[TablePlan]":
        """Other child tables of this one's parent, whose rows it lists."""
        names = {item.of for item in self._all_fields() if isinstance(item, ListOf) and item.of}
        beside = self.parent.child_tables if self.parent is not None else {}
        return [beside[name] for name in beside if name in names and name not in self.child_tables]

    @cached_property
    def changing_parents(self) -> list[tuple[str, ...]]:
        """Paths to parents of which it reads what changes over time."""
        found: list[tuple[str, ...]] = []
        for place, node in self.nodes.items():
            if place[0] == "per" or inside_list(self, place):
                continue  # over other rows than this table's, or of the row's coming alone
            for ref in refs(node):
                if len(ref) > 1 and ref[:-1] not in found:
                    plan, column = self.resolve(ref)
                    if plan.changes_later(column):
                        found.append(ref[:-1])
        return found

    @property
    def has_changes(self) -> bool:
        """Whether a row changes after it came into being."""
        table = self.table
        return bool(
            table.corrections
            or table.deletions
            or any(isinstance(item, Status) for item in table.fields.values())
            or self.rollups
            or any(child.evolves for child in (*self.aggregated, *self.listed_siblings))
            or self.changing_parents
        )

    def changes_later(self, column: str, seen: frozenset[tuple[str, str]] = frozenset()) -> bool:
        """Whether a column changes after its row came into being."""
        if column == "number" or (self.name, column) in seen:
            return False
        seen |= {(self.name, column)}
        item = self.table.fields[column]
        corrections = self.table.corrections
        if corrections is not None and column in corrections.columns:
            return True
        if isinstance(item, Status) or (
            isinstance(item, Datetime) and item.distribution == "updated"
        ):
            return True
        for place, node in self.nodes.items():
            if place[:2] != ("fields", column):
                continue
            if not all(self._is_constant(call, seen) for call in aggregates(node)):
                return True
            for ref in refs(node):
                plan, name = self.resolve(ref)
                if plan.changes_later(name, seen):
                    return True
        return isinstance(item, ListOf) and item.of is not None

    def _is_constant(self, call: FunctionCall, seen: frozenset[tuple[str, str]]) -> bool:
        """Whether an aggregate is over rows that come with this one, and never change."""
        child = self.child(table_of(call))
        if child is None or child[1] is not None:
            return False
        plan, table = child[0], child[0].table
        if table.late or table.deletions or (table.per is not None and table.per.at is not None):
            return False
        arguments = call.arguments[1:]
        if any(True for argument in arguments for _ in aggregates(argument)):
            return False
        reads = [plan.resolve(ref) for argument in arguments for ref in refs(argument)]
        return not any(other.changes_later(name, seen) for other, name in reads)

    @cached_property
    def bound(self) -> int:
        """How long after its root's row came into being a row can last change, in microseconds."""
        table = self.table
        total = self.parent.lateness if self.parent else 0
        if table.per is not None and table.per.within is not None:
            total += duration_us(table.per.within)
        own = duration_us(table.late.max) if table.late else 0
        for item in table.fields.values():
            if isinstance(item, Status):
                own = max(own, _ladder_us(item, item.start))
        for change in (table.corrections, table.deletions):
            if change is not None:
                own = max(own, duration_us(change.within))
        listed = (*self.aggregated, *self.listed_siblings)
        own = max([own, *(child.bound - total for child in listed)])
        for path in self.changing_parents:
            plan: TablePlan = self
            for step in path:
                linked = plan.link(step)
                assert linked is not None
                if linked[1] is not None:
                    return UNBOUNDED
                plan = linked[0]
            own = max(own, plan.bound - total)
        return min(UNBOUNDED, total + own)

    @cached_property
    def lateness(self) -> int:
        """How long after its root's row came into being a row can do so, in microseconds."""
        table = self.table
        total = self.parent.lateness if self.parent else 0
        if table.per is not None and table.per.within is not None:
            total += duration_us(table.per.within)
        return total + (duration_us(table.late.max) if table.late else 0)

    def _all_fields(self) -> Iterator[AnyField]:
        for _, item in walk_fields(self.table.fields):
            yield item


def walk_fields(
    fields: dict[str, Any], path: FieldPath = ("fields",)
) -> Iterator[tuple[FieldPath, AnyField]]:
    """Every field, nested ones too, with where it stands in its table."""
    for name, item in fields.items():
        here = (*path, name)
        yield here, item
        if isinstance(item, Struct) or (isinstance(item, ListOf) and item.fields):
            yield from walk_fields(item.fields or {}, (*here, "fields"))
        elif isinstance(item, ListOf) and item.items:
            for number, element in enumerate(item.items):
                yield from walk_fields(element.fields, (*here, "items", number, "fields"))


def _ladder_us(item: Status, status: str) -> int:
    step = item.ladder.get(status)
    if step is None:
        return 0
    return duration_us(step.delay.max) + max(_ladder_us(item, to) for to in step.to)


def inside_list(plan: TablePlan, place: FieldPath) -> bool:
    item = plan.table.fields.get(str(place[1]))
    return isinstance(item, ListOf) and item.of is not None
