"""What a schema file means: tables with their links, and everything that can be wrong with them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from headrace.synth import expression
from headrace.synth.errors import Problem, SchemaError, SynthError
from headrace.synth.expression import Call, Choice, ExpressionError, Literal, Node, Ref
from headrace.synth.schema.model import (
    AnyField,
    Categorical,
    Count,
    Datetime,
    Derived,
    ForeignKey,
    ListOf,
    Schema,
    Status,
    Struct,
    Table,
    duration_us,
)
from headrace.synth.schema.read import Document, read

UNBOUNDED: Final = 1 << 60
"""The delay, in microseconds, of what may happen at any time."""
_MOST_DEPTH: Final = 5


@dataclass(eq=False)
class TablePlan:
    """A table and its links to others.

    Attributes:
        name: of the table.
        table: its model.
        file: the schema file it stands in.
        parent: the table it hangs per, if it does.
        nodes: the parsed expressions by where they stand in the table.
        keys: its foreign keys, by column, with the table they point at.
        hung: tables that hang per this one, by name.
        pointing: foreign keys of other tables that point here.
    """

    name: str
    table: Table
    file: Path | None
    own: bool
    parent: "TablePlan | None" = None
    nodes: dict[tuple[str | int, ...], Node] = field(default_factory=dict)
    keys: dict[str, "TablePlan"] = field(default_factory=dict)
    hung: dict[str, "TablePlan"] = field(default_factory=dict)
    pointing: list[tuple["TablePlan", str]] = field(default_factory=list)

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
        """A table whose rows point here, and the foreign key by which (None: it hangs per)."""
        if name in self.hung:
            return self.hung[name], None
        found = [(plan, column) for plan, column in self.pointing if plan.name == name]
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
                    f"{plan.name} has no parent {step!r}; it has {_names(plan.links) or 'none'}"
                )
            plan = linked[0]
        last = path[-1]
        if last != "number" and last not in plan.table.fields:
            if plan.link(last) is not None and len(path) == 1:
                raise LookupError(f"{last!r} is a table; say which column: {last}.<column>")
            close = get_close_matches(last, plan.table.fields, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise LookupError(f"{plan.name} has no column {last!r}{meant}")
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
            for call in _aggregates(node):
                child = self.child(_table_of(call))
                if child is not None and child[1] is not None and child not in found:
                    found.append((child[0], child[1]))
        return found

    @cached_property
    def aggregated(self) -> "list[TablePlan]":
        """Tables hung per this one, over which it aggregates or which it lists."""
        names = {_table_of(call) for node in self.nodes.values() for call in _aggregates(node)}
        names |= {item.of for item in self._all_fields() if isinstance(item, ListOf) and item.of}
        return [self.hung[name] for name in self.hung if name in names]

    def listable(self, name: str) -> "TablePlan | None":
        """A table whose rows a list may hold: it hangs per this one, or per this one's parent."""
        beside = self.parent.hung if self.parent is not None else {}
        return self.hung.get(name) or (beside.get(name) if name != self.name else None)

    @cached_property
    def listed_beside(self) -> "list[TablePlan]":
        """Tables hung per this one's parent whose rows it lists."""
        names = {item.of for item in self._all_fields() if isinstance(item, ListOf) and item.of}
        beside = self.parent.hung if self.parent is not None else {}
        return [beside[name] for name in beside if name in names and name not in self.hung]

    @cached_property
    def moving_parents(self) -> list[tuple[str, ...]]:
        """Paths to parents of which it reads what changes over time."""
        found: list[tuple[str, ...]] = []
        for place, node in self.nodes.items():
            if place[0] == "per" or _inside_list(self, place):
                continue  # over other rows than this table's, or of the row's coming alone
            for ref in refs(node):
                if len(ref) > 1 and ref[:-1] not in found:
                    plan, column = self.resolve(ref)
                    if plan.moves(column):
                        found.append(ref[:-1])
        return found

    @property
    def moves_at_all(self) -> bool:
        """Whether a row changes after it came into being."""
        table = self.table
        return bool(
            table.corrections
            or table.deletions
            or any(isinstance(item, Status) for item in table.fields.values())
            or self.rollups
            or any(child.evolves for child in (*self.aggregated, *self.listed_beside))
            or self.moving_parents
        )

    def moves(self, column: str, seen: frozenset[tuple[str, str]] = frozenset()) -> bool:
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
            if not all(self._is_settled(call, seen) for call in _aggregates(node)):
                return True
            for ref in refs(node):
                plan, name = self.resolve(ref)
                if plan.moves(name, seen):
                    return True
        return isinstance(item, ListOf) and item.of is not None

    def _is_settled(self, call: Call, seen: frozenset[tuple[str, str]]) -> bool:
        """Whether an aggregate is over rows that come with this one, and never change."""
        child = self.child(_table_of(call))
        if child is None or child[1] is not None:
            return False
        plan, table = child[0], child[0].table
        if table.late or table.deletions or (table.per is not None and table.per.at is not None):
            return False
        arguments = call.arguments[1:]
        if any(True for argument in arguments for _ in _aggregates(argument)):
            return False
        reads = [plan.resolve(ref) for argument in arguments for ref in refs(argument)]
        return not any(other.moves(name, seen) for other, name in reads)

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
        listed = (*self.aggregated, *self.listed_beside)
        own = max([own, *(child.bound - total for child in listed)])
        for path in self.moving_parents:
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
    fields: dict[str, Any], path: tuple[str | int, ...] = ("fields",)
) -> Iterator[tuple[tuple[str | int, ...], AnyField]]:
    """Every field, nested ones too, with where it stands in its table."""
    for name, item in fields.items():
        here = (*path, name)
        yield here, item
        if isinstance(item, Struct) or (isinstance(item, ListOf) and item.fields):
            yield from walk_fields(item.fields or {}, (*here, "fields"))
        elif isinstance(item, ListOf) and item.items:
            for number, element in enumerate(item.items):
                yield from walk_fields(element.fields, (*here, "items", number, "fields"))


def refs(node: Node) -> list[tuple[str, ...]]:
    """The columns that an expression reads, those inside aggregates not among them."""
    found: list[tuple[str, ...]] = []

    def visit(part: Node) -> None:
        if isinstance(part, Ref):
            found.append(part.path)
        elif isinstance(part, Call):
            if _is_aggregate(part):
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


def _is_aggregate(node: Call) -> bool:
    """By its form; whether the name is a table's is checked when the plan is made."""
    first = node.arguments[0]
    if node.name in {"sum", "count"}:
        return True
    return node.name in {"min", "max"} and isinstance(first, _TableRef)


@dataclass(frozen=True, slots=True)
class _TableRef(Ref):
    """A name that is a table's, in the first place of an aggregate."""


def _aggregates(node: Node) -> Iterator[Call]:
    for part in expression.walk(node):
        if isinstance(part, Call) and _is_aggregate(part):
            yield part


def _table_of(call: Call) -> str:
    first = call.arguments[0]
    return first.path[0] if isinstance(first, Ref) else ""


def _ladder_us(item: Status, status: str) -> int:
    step = item.ladder.get(status)
    if step is None:
        return 0
    return duration_us(step.delay.max) + max(_ladder_us(item, to) for to in step.to)


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


class Planner:
    """Makes the plans of a document; ``problems`` gathers all that is wrong with it."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.plans: dict[str, TablePlan] = {}
        self.done: set[str] = set()

    def plan(self) -> dict[str, TablePlan]:
        """Every table by name, those of used files too.

        Raises:
            SchemaError: what is wrong, all of it.
        """
        self._gather(self.document, own=True, above=())
        for plan in self._own():
            self._population(plan)
            self._keys(plan)
        self._stop()
        for plan in self._own():
            self._chain(plan)
        self._stop()
        for plan in self._own():
            self._expressions(plan)
        self._stop()
        for plan in self._own():
            self._columns(plan)
            self._time(plan)
        self._circles()
        self._stop()
        return self.plans

    def _own(self) -> list[TablePlan]:
        return [plan for plan in self.plans.values() if plan.own]

    def _stop(self) -> None:
        if self.problems:
            raise SchemaError(self.problems)

    def _say(self, plan: TablePlan, message: str, *path: str | int) -> None:
        self.problems.append(self.document.problem(message, "schema", plan.name, *path))

    def _gather(self, document: Document, *, own: bool, above: tuple[Path, ...]) -> None:
        for number, name in enumerate(document.schema.uses):
            base = document.file.parent if document.file else Path()
            path = (base / name).resolve()
            place = document.place("uses", number)
            if path in above or len(above) > _MOST_DEPTH:
                raise SchemaError([Problem(place, f"{name} uses this file, a circle")])
            if not path.is_file():
                raise SchemaError([Problem(place, f"there is no file {path}")])
            used = read(path)
            inner = Planner(used)
            inner._gather(used, own=True, above=(*above, path))
            for plan in inner.plan_used().values():
                if plan.name in self.plans and self.plans[plan.name].file != plan.file:
                    raise SchemaError([Problem(place, f"two files hold a table {plan.name!r}")])
                plan.own = False
                self.plans[plan.name] = plan
        for name, table in document.schema.tables.items():
            if name in self.plans:
                raise SchemaError(
                    [document.problem(f"a used file holds a table {name!r} too", "schema", name)]
                )
            self.plans[name] = TablePlan(name, table, document.file, own)

    def plan_used(self) -> dict[str, TablePlan]:
        """The plans of a used document."""
        self.plans = {}
        return self.plan()

    def _table(self, plan: TablePlan, name: str, *path: str | int) -> TablePlan | None:
        if name in self.plans:
            return self.plans[name]
        close = get_close_matches(name, self.plans, n=1)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        self._say(plan, f"there is no table {name!r}{meant} Tables: {_names(self.plans)}", *path)
        return None

    def _population(self, plan: TablePlan) -> None:
        table = plan.table
        clock = table.clock
        clocks = [
            name
            for name, item in table.fields.items()
            if isinstance(item, Datetime) and item.distribution == "rate"
        ]
        if len(clocks) > 1:
            self._say(plan, "a table has one datetime with distribution: rate", "fields", clocks[1])
        if table.per is not None:
            if table.count is not None or clock is not None:
                self._say(plan, "per goes with neither count nor distribution: rate", "per")
            parent = self._table(plan, table.per.table, "per", "table")
            if parent is not None:
                plan.parent = parent
                parent.hung[plan.name] = plan
        elif table.count is None and clock is None:
            self._say(
                plan,
                f"how many rows has {plan.name}? Give count, per, or a datetime with "
                "distribution: rate",
            )
        elif clock is not None and (table.count is None) == (clock[1].range is not None):
            self._say(
                plan,
                "a rate takes start and per_day, or a range with the table's count",
                "fields",
                clock[0],
            )

    def _keys(self, plan: TablePlan) -> None:
        for place, item in walk_fields(plan.table.fields):
            if not isinstance(item, ForeignKey):
                continue
            target = self._table(plan, item.table, *place, "references")
            if target is None:
                continue
            if item.column not in target.table.fields:
                close = get_close_matches(item.column, target.table.fields, n=1)
                meant = f"; did you mean {close[0]!r}?" if close else ""
                self._say(
                    plan,
                    f"table {target.name} has no column {item.column!r}{meant} "
                    f"Columns: {_names(target.table.fields)}",
                    *place, "references",
                )  # fmt: skip
            elif len(place) != 2:
                self._say(plan, "a foreign_key stands at the top of a table, hidden if need be",
                          *place)  # fmt: skip
            else:
                plan.keys[str(place[1])] = target
                target.pointing.append((plan, str(place[1])))
        for name in plan.table.primary_key or ():
            if name not in plan.table.fields:
                self._say(plan, f"primary_key: there is no column {name!r}", "primary_key")

    def _chain(self, plan: TablePlan) -> None:
        seen = [plan.name]
        above = plan.parent
        while above is not None:
            if above.name in seen:
                self._say(plan, f"tables hang per each other: {' > '.join([*seen, above.name])}",
                          "per")  # fmt: skip
                return
            seen.append(above.name)
            above = above.parent
        if len(seen) > _MOST_DEPTH:
            self._say(plan, f"tables hang per each other at most {_MOST_DEPTH} deep", "per")

    def _expressions(self, plan: TablePlan) -> None:  # noqa: PLR0912, one branch a type
        per = plan.table.per
        if per is not None and isinstance(per.count, str):
            assert plan.parent is not None
            self._expression(plan, per.count, plan.parent, "per", "count")
        if per is not None and per.at is not None:
            self._expression(plan, per.at, plan, "per", "at")
        for place, item in walk_fields(plan.table.fields):
            scope = self._scope(plan, place)
            if scope is None:
                continue
            if isinstance(item, Derived):
                self._expression(plan, item.expression, scope, *place, "expression")
            elif isinstance(item, ForeignKey) and item.row is not None:
                self._expression(plan, item.row, scope, *place, "row")
            elif isinstance(item, Struct) and item.if_ is not None:
                self._expression(plan, item.if_, scope, *place, "if")
            elif isinstance(item, Categorical):
                for number, case in enumerate(item.cases or ()):
                    if case.if_ is not None:
                        self._expression(plan, case.if_, scope, *place, "cases", number, "if")
            elif isinstance(item, ListOf):
                if item.of is not None and scope.listable(item.of) is None:
                    self._say(plan, f"no table {item.of!r} hangs per {scope.name}", *place, "of")
                for number, element in enumerate(item.items or ()):
                    if element.if_ is not None:
                        self._expression(plan, element.if_, scope, *place, "items", number, "if")

    def _scope(self, plan: TablePlan, place: tuple[str | int, ...]) -> TablePlan | None:
        """The table over whose rows a nested field is computed."""
        scope: TablePlan = plan
        fields: Any = plan.table.fields
        item: Any = None
        expects_name = True
        for step in place[1:]:
            if expects_name:  # which may be any word, "items" and "fields" too
                item, expects_name = fields[step], False
            elif step == "fields":
                if isinstance(item, ListOf) and item.of:
                    listed = scope.listable(item.of)
                    if listed is None:
                        return None
                    scope = listed
                fields, expects_name = item.fields, True
            elif step == "items":
                fields = item.items
            elif isinstance(step, int):
                item = fields[step]
        return scope

    def _expression(
        self, plan: TablePlan, text: str | int | float, scope: TablePlan, *place: str | int
    ) -> None:
        try:
            node = _with_tables(expression.parse(text), scope)
            _check_names(node, scope)
        except (ExpressionError, LookupError) as error:
            self._say(plan, str(error.args[0]), *place)
            return
        plan.nodes[place] = node

    def _columns(self, plan: TablePlan) -> None:
        """Columns that need each other, and names that stand for columns."""
        table = plan.table
        changes = table.corrections.columns if table.corrections else []
        for name in changes:
            if name not in table.fields:
                self._say(plan, f"there is no column {name!r}", "corrections", "columns")
            elif not _is_drawn(table.fields[name]):
                self._say(plan, f"{name!r} is not drawn, and so cannot be corrected; correct a "
                          "categorical, numerical, boolean, text or datetime",
                          "corrections", "columns")  # fmt: skip
        if table.correlation is not None:
            self._correlation(plan)
        if table.deletions and (plan.hung or plan.pointing):
            others = [*plan.hung, *(other.name for other, _ in plan.pointing)]
            self._say(plan, f"rows of {plan.name} cannot be deleted: {_names(others)} refer to "
                      "them", "deletions")  # fmt: skip
        if table.deletions and table.deletions.column in table.fields:
            self._say(plan, f"the column {table.deletions.column!r} is written for tombstones",
                      "deletions")  # fmt: skip
        parts = [(name, False) for name in table.fields] + [(_AT, True), (_CHANGED, True)]
        for name, is_time in parts:
            circle = _circle((plan, name, is_time), (), self.done)
            if circle:
                words = f"columns need each other: {' > '.join(circle)}"
                place = ("per",) if table.per is not None else ()
                self._say(plan, words, *(place if is_time else ("fields", name)))
                return

    def _correlation(self, plan: TablePlan) -> None:
        correlation = plan.table.correlation
        assert correlation is not None
        for name in correlation.columns:
            item = plan.table.fields.get(name)
            if item is None or item.type == "text" or not _is_drawn(item):
                self._say(plan, f"{name!r} cannot be correlated; name numerical, categorical, "
                          "boolean or uniform datetime columns",
                          "correlation", "columns")  # fmt: skip

    def _time(self, plan: TablePlan) -> None:
        table = plan.table
        if not plan.evolves:
            for name in ("late", "corrections", "deletions"):
                if getattr(table, name) is not None:
                    self._say(plan, f"{name} needs rows that come into being over time: a "
                              "datetime with distribution: rate", name)  # fmt: skip
            for name, item in table.fields.items():
                if isinstance(item, Status) or (
                    isinstance(item, Datetime) and item.distribution in {"updated", "created"}
                ):
                    self._say(plan, f"{name} needs rows that come into being over time: a "
                              "datetime with distribution: rate, here or in the table it hangs "
                              "per", "fields", name)  # fmt: skip
        for name, target in plan.keys.items():
            item = table.fields[name]
            assert isinstance(item, ForeignKey)
            if item.row is not None:
                continue
            if item.distribution == "cover" and target.evolves:
                self._say(plan, f"cover needs a parent of fixed size, and {target.name} grows",
                          "fields", name, "distribution")  # fmt: skip
            if target is plan:
                if not item.may_be_null:
                    self._say(plan, "the first row has no row before it to point at: say "
                              "optional: true", "fields", name)  # fmt: skip
            elif target.evolves and not plan.evolves and not item.may_be_null:
                self._say(plan, f"{plan.name} is there from the beginning, and {target.name} "
                          "comes into being over time: give it a rate, too, or say "
                          "optional: true", "fields", name)  # fmt: skip
            per = target.table.per
            if per is not None and (
                per.at is not None
                or (isinstance(per.count, Count) and per.count.min == 0)
                or isinstance(per.count, str)
            ):
                self._say(plan, f"a row of {target.name} may not be there: say which one by row: "
                          "child(…), or give its count a min", "fields", name)  # fmt: skip

    def _circles(self) -> None:
        """Required keys that go in a circle: no row could be the first."""
        for plan in self._own():
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
                        circle = " > ".join([*path, plan.name])
                        self._say(plan, f"a circle of required keys: {circle}; make one of them "
                                  "optional: true")  # fmt: skip
                        return
                    if target.name not in seen:
                        seen.add(target.name)
                        stack.append((target, (*path, target.name)))


def _is_drawn(item: AnyField) -> bool:
    if isinstance(item, Datetime):
        return item.distribution == "uniform"
    return item.type in {"categorical", "boolean", "text", "numerical"}


def _with_tables(node: Node, scope: TablePlan) -> Node:
    """The node with the tables of aggregates marked as such."""
    match node:
        case Call(name=name, arguments=arguments):
            first = arguments[0]
            if name in expression.AGGREGATES and isinstance(first, Ref) and len(first.path) == 1:
                child = scope.child(first.path[0])
                if child is not None:
                    inner = tuple(_with_tables(part, child[0]) for part in arguments[1:])
                    return Call(name, (_TableRef(first.path), *inner))
                if name in {"sum", "count"}:
                    options = [*scope.hung, *(plan.name for plan, _ in scope.pointing)]
                    raise LookupError(
                        f"{name}() is over the rows of a table that points at {scope.name}: "
                        f"{_names(options) or 'there is none'}; not {first.path[0]!r}"
                    )
            return Call(name, tuple(_with_tables(part, scope) for part in arguments))
        case expression.Unary(operation=operation, operand=operand):
            return expression.Unary(operation, _with_tables(operand, scope))
        case expression.Binary(operation=operation, left=left, right=right):
            return expression.Binary(
                operation, _with_tables(left, scope), _with_tables(right, scope)
            )
        case expression.Logic(operation=operation, operands=operands):
            return expression.Logic(operation, tuple(_with_tables(x, scope) for x in operands))
        case expression.Among(operand=operand, options=options, negated=negated):
            return expression.Among(_with_tables(operand, scope), options, negated)
        case Choice(test=test, then=then, otherwise=otherwise):
            return Choice(*(_with_tables(part, scope) for part in (test, then, otherwise)))
    return node


def _check_names(node: Node, scope: TablePlan) -> None:  # noqa: PLR0912, one a function
    for path in refs(node):
        scope.resolve(path)
    for call in (part for part in expression.walk(node) if isinstance(part, Call)):
        if _is_aggregate(call):
            child = scope.child(_table_of(call))
            if child is None:
                raise LookupError(f"{call.name}() takes a table that points at {scope.name}")
            for argument in call.arguments[1:]:
                _check_names(argument, child[0])
        elif call.name == "entered":
            first, second = call.arguments
            assert isinstance(first, Ref)
            assert isinstance(second, Literal)
            plan, column = scope.resolve(first.path)
            item = plan.table.fields.get(column)
            if not isinstance(item, Status):
                raise LookupError(f"{first} is no status column")
            if second.value not in item.statuses:
                raise LookupError(
                    f"{second.value!r} is no status of {first}; one of: {_names(item.statuses)}"
                )
        elif call.name in {"row", "child"}:
            name = call.arguments[0 if call.name == "row" else 1]
            if not isinstance(name, Ref):
                raise LookupError(f"{call.name}() takes names of tables")
            plan = scope
            for step in name.path:
                linked = plan.link(step)
                if linked is None and step != plan.name:
                    raise LookupError(f"{plan.name} has no parent {step!r}")
                plan = linked[0] if linked else plan
            if call.name == "child":
                first = call.arguments[0]
                if not isinstance(first, Ref) or first.path[0] not in plan.hung:
                    raise LookupError(f"child() takes a table that hangs per {plan.name}")


_AT: Final = "at"
"""Stands for the moment at which a row comes into being, in the place of a column."""
_CHANGED: Final = "changes"
"""Stands for the moments at which a row changes."""
_LABELS: Final = {_AT: "(when it comes into being)", _CHANGED: "(when it changes)"}
_Need = tuple[TablePlan, str, bool]
"""A table, a column or one of the above, and whether it is one of the above."""


def _circle(need: _Need, path: tuple[str, ...], done: set[str]) -> tuple[str, ...]:
    """What needs itself, by which way; empty if there is nothing."""
    plan, column, is_time = need
    name = f"{plan.name} {_LABELS[column]}" if is_time else f"{plan.name}.{column}"
    if name in path:
        return (*path[path.index(name) :], name)
    if name in done or column == "number":
        return ()
    for other in _needs(plan, column, is_time=is_time):
        circle = _circle(other, (*path, name), done)
        if circle:
            return circle
    done.add(name)
    return ()


def _needs(plan: TablePlan, column: str, *, is_time: bool) -> Iterator[_Need]:
    """What must be known before a column is, or a moment."""
    if is_time and column == _AT:
        if plan.parent is not None:
            yield plan.parent, _AT, True
        if ("per", "at") in plan.nodes:
            yield from _read(plan.nodes["per", "at"], plan)
        return
    if is_time:
        for child in plan.aggregated:
            if child.evolves and child.moves_at_all:
                yield child, _CHANGED, True
        for child, _ in plan.rollups:
            yield child, _CHANGED, True
        for path in plan.moving_parents:
            yield plan.resolve((*path, "number"))[0], _CHANGED, True
        return
    item = plan.table.fields[column]
    if isinstance(item, Status) or (isinstance(item, ForeignKey) and item.row is None):
        yield plan, _AT, True
    if isinstance(item, Datetime) and item.distribution == "updated":
        yield plan, _CHANGED, True
    for place, node in plan.nodes.items():
        if place[:2] == ("fields", column) and not _inside_list(plan, place):
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
    for call in _aggregates(node):
        child = plan.child(_table_of(call))
        if child is None:
            continue
        yield child[0], _AT, True
        if child[1] is not None:
            yield child[0], child[1], False
        for part in call.arguments[1:]:
            yield from _read(part, child[0])


def _inside_list(plan: TablePlan, place: tuple[str | int, ...]) -> bool:
    item = plan.table.fields.get(str(place[1]))
    return isinstance(item, ListOf) and item.of is not None


def make_plans(document: Document) -> dict[str, TablePlan]:
    """The tables of a schema file, checked.

    Raises:
        SchemaError: all that is wrong, with file, line and column.
        SynthError: a used file cannot be read.
    """
    return Planner(document).plan()


__all__ = ["Planner", "Schema", "SynthError", "TablePlan", "make_plans", "walk_fields"]
