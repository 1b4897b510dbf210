"""What stands in ``from``: from sqlglot's tables, joins, functions and pivots to sources."""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, Protocol

from sqlglot import exp

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import AGGREGATED, COMPUTED, FILTERED, GROUPED, JOINED, fold
from headrace.lineage.sql.expression_walk import GENERATORS, Walk
from headrace.lineage.sql.select_list import column_parts, columns

_NO_JOIN = tree.Join()
_ALIASES = (exp.Alias, exp.PivotAlias)


class QueryReader(Protocol):
    """What reads the queries and expressions within a ``from`` (``queries.Reader``)."""

    dialect: str

    def query(self, node: Any) -> tree.Query: ...

    def values(self, node: Any) -> tree.ValuesList: ...

    def reads(self, nodes: Iterable[Any], role: int) -> tree.Reads: ...

    def value(self, node: Any) -> tree.Reads: ...

    def walk(self) -> Walk: ...

    def table(self, parts: tree.Names) -> None: ...


class Sources:
    """Reads the sources of one statement."""

    def __init__(self, reader: QueryReader) -> None:
        """Start; ``reader`` reads the queries and expressions in them."""
        self._reader = reader

    def of(self, select: Any) -> tuple[tree.Source, ...]:
        """All sources of a ``select``, in order."""
        args = select.args
        found: list[tree.Source] = []
        if args.get("from_") is not None:
            first = args["from_"].this
            found.append(self.source(first))
            found.extend(self.joined(first))
        found.extend(self.joined(select))
        found.extend(self.source(lateral) for lateral in args.get("laterals") or ())
        return tuple(found)

    def joined(self, node: Any) -> list[tree.Source]:
        """What is joined to a table or query."""
        found: list[tree.Source] = []
        if isinstance(node, exp.Table):
            found.extend(self.source(lateral) for lateral in node.args.get("laterals") or ())
        for join in node.args.get("joins") or ():
            inner = join.this
            if isinstance(inner, (exp.Table, exp.Lateral)) and inner.args.get("joins"):
                group = tree.JoinGroup((self.source(inner), *self.joined(inner)))
                found.append(tree.Source(group, join=self._join(join)))
            else:
                found.append(self.source(inner, self._join(join)))
        return found

    def _join(self, join: Any) -> tree.Join:
        args = join.args
        kind = (args.get("kind") or "").upper()
        method = (args.get("method") or "").upper()
        conditions = [args.get("on"), args.get("match_condition")]
        side = (args.get("side") or "").lower()
        return tree.Join(
            side="positional" if method == "POSITIONAL" else side,
            only_left=kind in {"SEMI", "ANTI"},
            natural=method == "NATURAL",
            using=tuple([fold(name.name) for name in args.get("using") or ()]),
            on=self._reader.reads(conditions, JOINED),
            equal=tuple(_equalities(args.get("on"))) if side == "left" else (),
            nearest=method == "ASOF",
        )

    def source(self, node: Any, join: tree.Join = _NO_JOIN) -> tree.Source:
        """One source."""
        if isinstance(node, exp.Final):  # ClickHouse: the merged rows of a table
            node = node.this
        args = node.args
        alias, names = self._alias(args.get("alias"))
        pivots = tuple([self._step(pivot) for pivot in args.get("pivots") or ()])
        for pivot in args.get("pivots") or ():
            alias = fold(pivot.alias) or alias
        return tree.Source(self._of(node), alias, names, join, pivots)

    @staticmethod
    def _alias(alias: Any) -> tuple[str, tree.Names]:
        if alias is None:
            return "", ()
        names = tuple([column.name for column in alias.args.get("columns") or ()])
        this = alias.args.get("this")
        return (fold(this.name) if this is not None else ""), names

    def _of(
        self, node: Any
    ) -> tree.TableName | tree.TableFunction | tree.JoinGroup | tree.Subquery:
        if isinstance(node, exp.Table):
            return self._table(node)
        if isinstance(node, exp.Subquery):
            return self._parenthesised(node)
        if isinstance(node, exp.Values):
            return tree.Subquery(self._reader.values(node))
        if isinstance(node, (exp.Lateral, exp.TableFromRows)):
            if isinstance(node.this, (exp.Subquery, exp.Table)):
                return self._of(node.this)
            return self._function(node.this, ordinality=node.args.get("ordinality"))
        if isinstance(node, exp.Func):
            return self._function(node)
        return tree.Subquery(self._reader.query(node))

    def _table(self, node: Any) -> tree.TableName | tree.TableFunction:
        if isinstance(node.this, exp.Func):
            return self._function(node.this, ordinality=node.args.get("ordinality"))
        names = (node.args.get("catalog"), node.args.get("db"), node.this)
        parts = tuple([fold(part.name) for part in names if isinstance(part, exp.Expr)])
        self._reader.table(parts)
        return tree.TableName(parts)

    def _parenthesised(self, node: Any) -> tree.JoinGroup | tree.Subquery:
        inner = node.this
        if isinstance(inner, exp.Table):
            return tree.JoinGroup((self.source(inner), *self.joined(inner), *self.joined(node)))
        if node.args.get("joins"):
            first = tree.Source(tree.Subquery(self._reader.query(inner)))
            return tree.JoinGroup((first, *self.joined(node)))
        if not isinstance(inner, exp.Query):
            return tree.Subquery(self._reader.query(inner))
        if node.args.get("pivots"):  # they are this source's own
            node = node.copy()
            node.set("pivots", None)
        return tree.Subquery(self._reader.query(node))

    def _function(self, node: Any, ordinality: Any = None) -> tree.TableFunction:
        name = node.name if isinstance(node, exp.Anonymous) else type(node).__name__
        name = {"Explode": "unnest", "GenerateSeries": "generate_series"}.get(name, name).lower()
        if isinstance(node, exp.GenerateSeries) and node.args.get("is_end_exclusive"):
            name = "range"
        arguments = [
            value
            for part in node.args.values()
            for value in (part if isinstance(part, list) else [part])
            if isinstance(value, exp.Expr)
            and not isinstance(value, (exp.TableAlias, exp.Identifier))
        ]
        external = name not in GENERATORS
        if external:  # named settings of a reader: their names are no columns
            arguments = [
                value.expression if isinstance(value, (exp.EQ, exp.PropertyEQ)) else value
                for value in arguments
            ]
        offset = node.args.get("offset") if isinstance(node, exp.Unnest) else ordinality
        numbered = None
        if offset:
            numbered = offset.name if isinstance(offset, exp.Expr) else "ordinality"
        return tree.TableFunction(
            name,
            tuple(self._argument(name, argument) for argument in arguments),
            numbered,
            external,
        )

    def _argument(self, function: str, argument: Any) -> tree.Reads:
        if function == "unnest":
            return self._reader.value(argument)
        return self._reader.reads([argument], COMPUTED)

    def pivot_statement(self, node: Any) -> tree.Source:
        """``pivot t on …``, ``unpivot t on …``."""
        inner = self.source(node.this)
        return tree.Source(
            inner.of, inner.alias, inner.columns, pivots=(*inner.pivots, self._step(node))
        )

    def _step(self, node: Any) -> tree.PivotStep | tree.UnpivotStep:
        if node.args.get("unpivot"):
            return tree.UnpivotStep(self._unpivot(node))
        return tree.PivotStep(self._pivot(node))

    def _pivot(self, node: Any) -> tree.Pivot:
        args = node.args
        simplified = not args.get("fields")
        keys = node.expressions if simplified else args["fields"]
        aggregates = (args.get("using") or []) if simplified else node.expressions
        group = args.get("group")
        on = self._reader.reads([_key(key) for key in keys], FILTERED)
        using = tuple(
            self._reader.reads([_unaliased(aggregate)], AGGREGATED) for aggregate in aggregates
        )
        return tree.Pivot(
            on,
            using or ((tree.CountOfRows(AGGREGATED),),),
            self._pivot_columns(node, keys, aggregates),
            self._reader.reads(group.expressions, GROUPED) if group is not None else None,
        )

    def _pivot_columns(
        self, node: Any, keys: list[Any], aggregates: list[Any]
    ) -> tuple[tuple[str, int], ...] | None:
        """The new columns, where ``in (…)`` says which values there are."""
        count = max(len(aggregates), 1)
        named = node.args.get("columns")
        if named:
            return tuple((name.name, number % count) for number, name in enumerate(named))
        if not all(isinstance(key, exp.In) and key.expressions for key in keys):
            return None
        values = [[value.alias or value.name for value in key.expressions] for key in keys]
        found: list[tuple[str, int]] = []
        for combined in product(*values):
            prefix = "_".join(combined)
            for number in range(count):
                if count == 1 and not (aggregates and aggregates[0].alias):
                    found.append((prefix, number))
                else:
                    aggregate = aggregates[number]
                    said = aggregate.alias or aggregate.sql(
                        dialect=self._reader.dialect, normalize_functions="lower"
                    )
                    found.append((f"{prefix}_{said}", number))
        return tuple(found)

    def _unpivot(self, node: Any) -> tree.Unpivot:
        args = node.args
        into = args.get("into")
        fields = args.get("fields") or []
        if fields:
            name = _unaliased(fields[0].this).name
            values = tuple(_unaliased(part).name for part in _flat(node.expressions))
            keys = fields[0].expressions
        else:
            name = into.this.name if into is not None else "name"
            values = tuple(part.name for part in into.expressions) if into is not None else ()
            keys = node.expressions
        stars = [key for key in keys if isinstance(key, (exp.Columns, exp.Star))]
        star = None
        if stars:
            found = stars[0]
            wrapped = found if isinstance(found, exp.Columns) else exp.Columns(this=found)
            star = columns(wrapped, self._reader.walk())
        width = max(len(values), 1)
        targets: list[list[str]] = [[] for _ in range(width)]
        for key in keys:
            inner = _unaliased(key)
            parts = inner.expressions if isinstance(inner, exp.Tuple) else [inner]
            for number, part in enumerate(parts):
                if part not in stars:
                    targets[number % width].append(fold(part.name))
        return tree.Unpivot(
            name,
            values or ("value",),
            tuple(tuple(target) for target in targets),
            star,
            bool(args.get("include_nulls")),
        )


def _equalities(condition: Any) -> Iterator[tuple[tree.Names, tree.Names]]:
    """The pairs of columns that are equal wherever a condition holds."""
    todo = [condition] if condition is not None else []
    while todo:
        node = todo.pop().unnest()
        if isinstance(node, exp.And):
            todo += [node.expression, node.this]
        elif type(node) is exp.EQ:
            sides = (node.this.unnest(), node.expression.unnest())
            if all(type(one) is exp.Column and type(one.this) is not exp.Star for one in sides):
                yield column_parts(sides[0]), column_parts(sides[1])


def _key(node: Any) -> Any:
    return node.this if isinstance(node, exp.In) else node


def _unaliased(node: Any) -> Any:
    return node.this if isinstance(node, _ALIASES) else node


def _flat(nodes: list[Any]) -> list[Any]:
    return [
        part
        for node in nodes
        for part in (node.expressions if isinstance(node, exp.Tuple) else [node])
    ]
