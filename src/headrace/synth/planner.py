"""From a schema file to the plan of its tables: parents, foreign keys and parsed expressions."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from headrace.synth import checks, expression
from headrace.synth.errors import SchemaError, SchemaProblem, proposal
from headrace.synth.expression import (
    Choice,
    ExpressionError,
    FunctionCall,
    Literal,
    Node,
    Ref,
    TableRef,
    is_aggregate,
    refs,
    table_of,
)
from headrace.synth.plan import TablePlan, walk_fields
from headrace.synth.schema.fields import (
    Categorical,
    Datetime,
    Derived,
    ForeignKey,
    ListOf,
    Status,
    Struct,
)
from headrace.synth.schema.schema_file import SchemaDocument, read


def listed(names: Iterable[str]) -> str:
    return ", ".join(names)


class Planner:
    """Makes the plans of a document; ``problems`` gathers all that is wrong with it."""

    def __init__(self, document: SchemaDocument) -> None:
        self.document = document
        self.problems: list[SchemaProblem] = []
        self.plans: dict[str, TablePlan] = {}

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
            self._report(plan, checks.parent_problems(plan))
        self._stop()
        for plan in self._own():
            self._expressions(plan)
        self._stop()
        known: set[str] = set()
        for plan in self._own():
            self._report(plan, checks.column_problems(plan, known))
            self._report(plan, checks.time_problems(plan))
        for plan in self._own():
            cycle = checks.key_cycle(plan)
            if cycle:
                self._report(plan, cycle)
                break
        self._stop()
        return self.plans

    def _own(self) -> list[TablePlan]:
        return [plan for plan in self.plans.values() if plan.own]

    def _stop(self) -> None:
        if self.problems:
            raise SchemaError(self.problems)

    def _report(self, plan: TablePlan, found: Iterable[checks.DataFinding]) -> None:
        for message, path in found:
            self._add(plan, message, *path)

    def _add(self, plan: TablePlan, message: str, *path: str | int) -> None:
        self.problems.append(self.document.problem(message, "schema", plan.name, *path))

    def _gather(self, document: SchemaDocument, *, own: bool, above: tuple[Path, ...]) -> None:
        for number, name in enumerate(document.schema.uses):
            base = document.file.parent if document.file else Path()
            path = (base / name).resolve()
            if path in above or len(above) > checks.MOST_DEPTH:
                place = document.location("uses", number)
                raise SchemaError.at(place, f"{name} uses this file: a cycle")
            if not path.is_file():
                raise SchemaError.at(document.location("uses", number), f"there is no file {path}")
            used = read(path)
            inner = Planner(used)
            inner._gather(used, own=True, above=(*above, path))
            for plan in inner.plan_used().values():
                if plan.name in self.plans and self.plans[plan.name].file != plan.file:
                    message = f"two files hold a table {plan.name!r}"
                    raise SchemaError([document.problem(message, "uses", number)])
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
        known = proposal(name, self.plans, "tables:")
        self._add(plan, f"there is no table {name!r}; {known}", *path)
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
            self._add(plan, "a table has one datetime with distribution: rate", "fields", clocks[1])
        if table.per is not None:
            if table.count is not None or clock is not None:
                self._add(plan, "per goes with neither count nor distribution: rate", "per")
            parent = self._table(plan, table.per.table, "per", "table")
            if parent is not None:
                plan.parent = parent
                parent.child_tables[plan.name] = plan
        elif table.count is None and clock is None:
            self._add(
                plan,
                f"how many rows has {plan.name}? Give count, per, or a datetime with "
                "distribution: rate",
            )
        elif clock is not None and (table.count is None) == (clock[1].range is not None):
            self._add(
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
                known = proposal(item.column, target.table.fields, "columns:")
                message = f"table {target.name} has no column {item.column!r}; {known}"
                self._add(plan, message, *place, "references")
            elif len(place) != 2:
                self._add(plan, "a foreign_key stands at the top of a table, hidden if need be",
                          *place)  # fmt: skip
            else:
                plan.keys[str(place[1])] = target
                target.referencing.append((plan, str(place[1])))
        for name in plan.table.primary_key or ():
            if name not in plan.table.fields:
                self._add(plan, f"primary_key: there is no column {name!r}", "primary_key")

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
                    self._add(plan, f"{scope.name} has no child table {item.of!r}", *place, "of")
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
            self._add(plan, str(error.args[0]), *place)
            return
        plan.nodes[place] = node


def _with_tables(node: Node, scope: TablePlan) -> Node:
    """The node with the tables of aggregates marked as such."""
    match node:
        case FunctionCall(name=name, arguments=arguments):
            first = arguments[0]
            if name in expression.AGGREGATES and isinstance(first, Ref) and len(first.path) == 1:
                child = scope.child(first.path[0])
                if child is not None:
                    inner = tuple(_with_tables(part, child[0]) for part in arguments[1:])
                    return FunctionCall(name, (TableRef(first.path), *inner))
                if name in {"sum", "count"}:
                    options = [*scope.child_tables, *(plan.name for plan, _ in scope.referencing)]
                    raise LookupError(
                        f"{name}() is over the rows of a table that points at {scope.name}: "
                        f"{listed(options) or 'there is none'}; not {first.path[0]!r}"
                    )
            return FunctionCall(name, tuple(_with_tables(part, scope) for part in arguments))
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
    for call in (part for part in expression.walk(node) if isinstance(part, FunctionCall)):
        if is_aggregate(call):
            child = scope.child(table_of(call))
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
                raise LookupError(f"{first} is not a status column")
            if second.value not in item.statuses:
                raise LookupError(
                    f"{second.value!r} is not a status of {first}; one of: {listed(item.statuses)}"
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
                if not isinstance(first, Ref) or first.path[0] not in plan.child_tables:
                    raise LookupError(f"child() takes a child table of {plan.name}")


def make_plans(document: SchemaDocument) -> dict[str, TablePlan]:
    """The tables of a schema file, checked.

    Raises:
        SchemaError: all that is wrong, with file, line and column.
        SynthError: a used file cannot be read.
    """
    return Planner(document).plan()
