"""From sqlglot's tree of a statement to its scopes."""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import structs
from sqlglot import exp

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import COMPUTED, FILTERED, GROUPED, SORTED, fold
from headrace.lineage.sql.expression_walk import Walk, Windows
from headrace.lineage.sql.expressions import HANDLERS
from headrace.lineage.sql.select_list import items
from headrace.lineage.sql.sources import Sources
from headrace.lineage.sql.struct_expressions import value


class Reader:
    """Reads one statement.

    Attributes:
        tables: the names of all tables that it reads, CTEs too.
        ctes: the names of all CTEs.
        problems: what is not supported, one sentence each.
    """

    def __init__(self, dialect: str) -> None:
        """Start."""
        self.dialect = dialect
        self.tables: dict[tree.Names, None] = {}
        self.problems: dict[str, None] = {}
        self.ctes: set[str] = set()
        self._sources = Sources(self)
        self._windows: Windows = {}  # those that the select at hand names
        self._named: set[str] = set()  # single names that are read in the query at hand

    def query(self, node: Any) -> tree.Query:
        """A query, in whatever it is wrapped, with those of its CTEs that are used."""
        with_ = node.args.get("with_")
        if with_ is None:
            return self._bare(node, ())
        outer = self._named
        recursive = bool(with_.args.get("recursive"))
        ctes: list[tuple[tree.Cte, set[str]]] = []
        for cte in with_.expressions:
            self._named = set()
            names = tuple([name.name for name in cte.args["alias"].args.get("columns") or ()])
            read = self.query(cte.this)
            ctes.append((tree.Cte(fold(cte.alias), names, read, recursive), self._named))
            self.ctes.add(fold(cte.alias))
        self._named = set()
        found = self._bare(node, ())
        used, needed = [], self._named
        for one, names_read in reversed(ctes):
            if one.name in needed:
                used.append(one)
                needed |= names_read
        self._named = outer | needed
        return structs.replace(found, ctes=tuple(reversed(used)))

    def _bare(self, node: Any, ctes: tuple[tree.Cte, ...]) -> tree.Query:
        if isinstance(node, exp.Subquery):
            return self._wrapped(node)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node)
        if isinstance(node, exp.Values):
            return self.values(node)
        if isinstance(node, exp.Pivot):
            return tree.AllColumns(ctes, self._sources.pivot_statement(node))
        if isinstance(node, exp.Select):
            return self._select(node)
        if isinstance(node, exp.Table):
            return tree.AllColumns(ctes, self._sources.source(node))
        self.problem(f"a {type(node).__name__.lower()} is not supported as a query")
        return tree.ValuesList(ctes, (), ())

    def table(self, parts: tree.Names) -> None:
        """Note a table, or a CTE, that is read."""
        self.tables[parts] = None
        if len(parts) == 1:
            self._named.add(parts[0])

    def problem(self, message: str) -> None:
        """Note what is not supported."""
        self.problems[message] = None

    def reads(self, nodes: Iterable[Any], role: int) -> tree.Reads:
        """What expressions read, as ``role``."""
        found: list[tree.Read] = []
        for node in nodes:
            if node is not None:
                found.extend(self._read(node, role))
        return tuple(found)

    def value(self, node: Any) -> tree.Reads:
        """What an expression reads, with the parts of its value apart where they are known."""
        return value(self.walk(), node, frozenset())

    def walk(self) -> Walk:
        """A new walk over an expression."""
        return Walk(self.query, HANDLERS, self._windows)

    def _read(self, node: Any, role: int) -> list[tree.Read]:
        walk = self.walk().over(node, role)
        if walk.star is not None:
            walk.reads.append(tree.Every(walk.star[1], walk.star[0]))
        return walk.reads

    def _wrapped(self, node: Any) -> tree.Query:
        """A query in parentheses, with an end of its own."""
        inner = node.this
        order = self.order(node)
        if isinstance(inner, exp.Query) and not (node.args.get("pivots") or node.args.get("joins")):
            plain = order is _NO_ORDER and not node.args.get("with_")
            return (
                self.query(inner) if plain else tree.SetOperation((), self.query(inner), (), order)
            )
        sources = (self._sources.source(node), *self._sources.joined(node))
        star = tree.SelectExpression(None, (), star=tree.Star(), role=1)
        return tree.Select((), sources, (star,), order=order)

    def _set_operation(self, node: Any) -> tree.Query:
        order = self.order(node)
        branches: list[tree.Branch] = []
        first: Any = node
        outermost = True
        while isinstance(first, exp.SetOperation) and (
            outermost or not (first.args.get("with_") or _has_end(first))
        ):
            outermost = False
            if first.args.get("on"):
                self.problem("a set operation on some columns only is not supported")
            branches.append(
                tree.Branch(
                    type(first).__name__.lower(),
                    bool(first.args.get("distinct")),
                    bool(first.args.get("by_name")),
                    self.query(first.expression),
                )
            )
            first = first.this
        return tree.SetOperation((), self.query(first), tuple(reversed(branches)), order)

    def values(self, node: Any) -> tree.ValuesList:
        """``values``: each column reads what its values read in any row."""
        columns: list[list[tree.Read]] = []
        for row in node.expressions:
            cells = row.expressions if isinstance(row, exp.Tuple) else [row]
            for number, cell in enumerate(cells):
                if number == len(columns):
                    columns.append([])
                if not isinstance(cell, exp.Literal):
                    columns[number].extend(self._read(cell, COMPUTED))
        start, prefix = (0, "col") if self.dialect == "duckdb" else (1, "column")
        prefix = "col" if self.dialect in {"spark", "databricks"} else prefix
        names = tuple(f"{prefix}{number + start}" for number in range(len(columns)))
        return tree.ValuesList((), names, tuple(tuple(reads) for reads in columns))

    def _select(self, node: Any) -> tree.Query:
        if _is_whole(node):
            source = self._sources.of(node)[0]
            if isinstance(source.of, (tree.TableName, tree.Subquery)):
                return tree.AllColumns((), source)
        outer = self._windows
        named = node.args.get("windows") or ()
        self._windows = {fold(window.name): window for window in named}
        try:
            return self._named_select(node)
        finally:
            self._windows = outer

    def _named_select(self, node: Any) -> tree.Select:
        """A ``select``; the windows that it names are known."""
        args = node.args
        if args.get("match") is not None:
            self.problem("match_recognize is not supported")
        distinct, distinct_on = self._distinct(args.get("distinct"))
        group, group_all = self._group(args.get("group"))
        return tree.Select(
            (),
            self._sources.of(node),
            self._items(node),
            self._filters(args),
            group,
            group_all,
            distinct,
            distinct_on,
            self.order(node),
            _is_keyed(args.get("group")),
        )

    def _items(self, node: Any) -> tuple[tree.SelectExpression, ...]:
        found = [
            one
            for expression in node.expressions
            for one in items(expression, self.walk(), self.dialect)
        ]
        without = node.args.get("exclude")  # Redshift's stands behind the list
        if without:
            names = tuple([(fold(column.name),) for column in without])
            found = [
                structs.replace(one, star=structs.replace(one.star, exclude=names))
                if one.star is not None
                else one
                for one in found
            ]
        return tuple(found)

    def _filters(self, args: dict[str, Any]) -> tree.Reads:
        parts = (args.get(part) for part in ("where", "having", "qualify", "prewhere"))
        found = [part.this for part in parts if part is not None]
        connect = args.get("connect")
        if connect is not None:
            found += [connect.args.get("start"), connect.args["connect"]]
        return self.reads(found, FILTERED)

    def _distinct(self, node: Any) -> tuple[bool, tuple[tree.Term, ...]]:
        if node is None:
            return False, ()
        on = node.args.get("on")
        if on is None:
            return True, ()
        keys = on.expressions if isinstance(on, exp.Tuple) else [on.unnest()]
        return False, tuple([self._term(key, GROUPED) for key in keys])

    def _group(self, node: Any) -> tuple[tuple[tree.Term, ...], bool]:
        if node is None:
            return (), False
        keys = [*node.expressions]
        for part in ("grouping_sets", "rollup", "cube"):
            keys += [key for key in node.args.get(part) or () if isinstance(key, exp.Expr)]
        terms = [self._term(key, GROUPED) for one in keys for key in _members(one)]
        return tuple(terms), bool(node.args.get("all"))

    def _term(self, node: Any, role: int) -> tree.Term:
        number = _ordinal(node)
        if number:
            return tree.Term((), number)
        return tree.Term(tuple(self._read(node, role)))

    def order(self, node: Any) -> tree.Order:
        """``order by``, ``limit`` and ``offset`` of a query."""
        args = node.args
        order, limit, offset = args.get("order"), args.get("limit"), args.get("offset")
        if order is None and limit is None and offset is None:
            return _NO_ORDER
        keys = [key.this for key in order.expressions] if order is not None else []
        every = any(isinstance(key, exp.Var) and key.name.upper() == "ALL" for key in keys)
        terms = [self._term(key, SORTED) for key in keys if not isinstance(key, exp.Var)]
        limited = limit is not None or offset is not None
        return tree.Order(
            tuple(terms), every, limited, self.reads([limit, offset], FILTERED) if limited else ()
        )


_NO_ORDER = tree.Order()
_GROUPING_SETS = (exp.Rollup, exp.Cube, exp.GroupingSets)


def _is_keyed(group: Any) -> bool:
    """Whether a ``group by`` makes one row for each value of its keys."""
    sets = ("grouping_sets", "rollup", "cube", "totals")
    if group is None or any(group.args.get(part) for part in sets):
        return False
    return not any(isinstance(key, _GROUPING_SETS) for key in group.expressions)


def _is_whole(node: Any) -> bool:
    """Whether it is a bare ``select * from one``, which changes nothing."""
    items = node.expressions
    if len(items) != 1 or type(items[0]) is not exp.Star or any(items[0].args.values()):
        return False
    plain = {"expressions", "from_", "with_"}
    if any(value and part not in plain for part, value in node.args.items()):
        return False
    from_ = node.args.get("from_")
    return from_ is not None and not (
        from_.this.args.get("joins") or from_.this.args.get("laterals")
    )


def _members(node: Any, *, is_set: bool = False) -> Iterator[Any]:
    """What is grouped by; each key of ``rollup``, ``cube`` and ``grouping sets`` by itself."""
    is_set = is_set or isinstance(node, _GROUPING_SETS)
    if is_set and node.expressions:
        for one in node.expressions:
            yield from _members(one, is_set=is_set)
    else:
        yield node


def _ordinal(node: Any) -> int:
    inner = node.unnest() if isinstance(node, exp.Paren) else node
    if isinstance(inner, exp.Literal) and not inner.is_string and inner.name.isdigit():
        return int(inner.name)
    if isinstance(inner, exp.PositionalColumn):
        return int(inner.name)
    return 0


def _has_end(node: Any) -> bool:
    return any(node.args.get(part) is not None for part in ("order", "limit", "offset"))
