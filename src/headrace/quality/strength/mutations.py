"""Mutants of a select: copies of it with one small fault each, of the kinds that people make.

Every mutant is valid SQL of the same dialect. The order is that of the tree, so that the same
query with other table names, as a unit test has it, gives the same mutants in the same order.
"""

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.simplify import simplify

_DIALECT = "duckdb"
_FIXTURE = "__dbt__cte__"
_CONTEXT = 1  # lines around a changed line of a diff

_Edit = Callable[[Any], None]

_COMPARISONS: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.EQ: exp.NEQ,
    exp.NEQ: exp.EQ,
    exp.LT: exp.LTE,
    exp.LTE: exp.LT,
    exp.GT: exp.GTE,
    exp.GTE: exp.GT,
}
_ARITHMETIC: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.Add: exp.Sub,
    exp.Sub: exp.Add,
    exp.Mul: exp.Div,
    exp.Div: exp.Mul,
}
_AGGREGATES: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.Sum: exp.Max,
    exp.Avg: exp.Max,
    exp.Min: exp.Max,
    exp.Max: exp.Min,
    exp.ArgMin: exp.ArgMax,
    exp.ArgMax: exp.ArgMin,
    exp.LogicalOr: exp.LogicalAnd,
    exp.LogicalAnd: exp.LogicalOr,
    exp.Lag: exp.Lead,
    exp.Lead: exp.Lag,
    exp.FirstValue: exp.LastValue,
    exp.LastValue: exp.FirstValue,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A query with one fault.

    Attributes:
        kind: what was changed, for example ``join``.
        change: in words, for example ``left join made an inner join``.
        sql: the whole query.
        diff: lines of a unified diff of both, written alike.
        is_equivalent: the optimizer shows that it gives what the original gives.
    """

    kind: str
    change: str
    sql: str
    diff: str
    is_equivalent: bool


def rewritten(sql: str) -> str | None:
    """The query as it is written when it is parsed; None when it cannot be parsed as a select."""
    tree = _parsed(sql)
    return None if tree is None else tree.sql(dialect=_DIALECT)


def mutants(sql: str) -> list[Mutant]:
    """All mutants of a select, in the order of its tree; none when it cannot be parsed."""
    tree = _parsed(sql)
    if tree is None:
        return []
    before = tree.sql(dialect=_DIALECT, pretty=True)
    plain = simplify(tree.copy()).sql(dialect=_DIALECT)
    found = []
    for at, node in enumerate(_nodes(tree)):
        for kind, change, edit in _edits(node):
            around = exp.Paren(this=tree.copy())  # so that the whole can be replaced, too
            edit(_nodes(around.this)[at])
            copy = around.this
            after = copy.sql(dialect=_DIALECT, pretty=True)
            found.append(
                Mutant(
                    kind=kind,
                    change=change,
                    sql=copy.sql(dialect=_DIALECT),
                    diff=_diff(before, after),
                    is_equivalent=simplify(copy).sql(dialect=_DIALECT) == plain,
                )
            )
    return found


def _parsed(sql: str) -> exp.Query | None:
    try:
        tree = sqlglot.parse_one(sql.strip().rstrip(";"), dialect=_DIALECT)
    except sqlglot.errors.SqlglotError:
        return None
    return tree if isinstance(tree, exp.Query) else None


def _nodes(tree: exp.Expr) -> list[exp.Expr]:
    """The nodes that may be changed; not those of a unit test's fixtures and ephemeral models."""
    return list(
        tree.walk(
            bfs=False,
            prune=lambda node: isinstance(node, exp.CTE) and node.alias.startswith(_FIXTURE),
        )
    )


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), n=_CONTEXT, lineterm="")
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def _edits(node: exp.Expr) -> Iterator[tuple[str, str, _Edit]]:
    """What can be done to a node: the kind of fault, in words, and how."""
    if isinstance(node, exp.CTE) and node.alias.startswith(_FIXTURE):
        return
    for rule in (_of_join, _of_condition, _of_operator, _of_select, _of_value, _of_set, _of_window):
        yield from rule(node)


def _of_join(node: exp.Expr) -> Iterator[tuple[str, str, _Edit]]:
    if not isinstance(node, exp.Join) or not (node.args.get("on") or node.args.get("using")):
        return
    if node.kind in {"SEMI", "ANTI"} or node.method:
        return

    def become(side: str | None) -> _Edit:
        def edit(join: Any) -> None:
            join.set("side", side)
            join.set("kind", None if side else "INNER")

        return edit

    if node.side == "FULL":
        yield "join", "full join made a left join", become("LEFT")
    elif node.side:
        yield "join", f"{node.side.lower()} join made an inner join", become(None)
    else:
        yield "join", "inner join made a left join", become("LEFT")


def _of_condition(node: exp.Expr) -> Iterator[tuple[str, str, _Edit]]:
    if isinstance(node, exp.And | exp.Or):
        word = "and" if isinstance(node, exp.And) else "or"
        yield "condition", f"right side of `{word}` left out", lambda n: n.replace(n.this)
        if not isinstance(node.this, exp.And | exp.Or):
            yield "condition", f"left side of `{word}` left out", lambda n: n.replace(n.expression)
    elif isinstance(node, exp.Where | exp.Having | exp.Qualify):
        if not isinstance(node.parent, exp.Filter) and not isinstance(node.this, exp.And):
            yield "filter", f"`{node.key}` left out", lambda n: n.pop()
    elif isinstance(node, exp.Filter):
        yield "filter", "`filter` of an aggregate left out", lambda n: n.replace(n.this)


def _of_operator(node: exp.Expr) -> Iterator[tuple[str, str, _Edit]]:
    kind = type(node)

    def become(other: type[exp.Expr]) -> _Edit:
        return lambda n: n.replace(other(**dict(n.args)))

    if kind in _COMPARISONS and not _joins(node):
        other = _COMPARISONS[kind]
        yield "comparison", f"{_sign(kind)} made {_sign(other)}", become(other)
    if kind in _ARITHMETIC:
        other = _ARITHMETIC[kind]
        yield (
            "arithmetic",
            f"{_sign(kind)} made {_sign(other)}",
            lambda n: n.replace(other(this=n.this, expression=n.expression)),
        )
    if kind in _AGGREGATES:
        other = _AGGREGATES[kind]
        yield "aggregate", f"{_name(kind)} made {_name(other)}", become(other)
    if isinstance(node, exp.Neg) and not isinstance(node.this, exp.Literal):
        yield "arithmetic", "minus left out", lambda n: n.replace(n.this)
    if isinstance(node, exp.Not):
        yield "condition", "`not` left out", lambda n: n.replace(n.this)
    elif isinstance(node, exp.Is) and not isinstance(node.parent, exp.Not):
        yield "condition", "`is` made `is not`", lambda n: n.replace(exp.Not(this=n.copy()))


def _joins(node: exp.Expr) -> bool:
    """Whether an equality joins two tables: its opposite would give nearly all pairs of rows."""
    return isinstance(node, exp.EQ) and node.find_ancestor(exp.Join, exp.Select, exp.Where) in [
        join for join in [node.find_ancestor(exp.Join)] if join is not None
    ]


def _of_select(node: exp.Expr) -> Iterator[tuple[str, str, _Edit]]:
    if isinstance(node, exp.Distinct):
        if isinstance(node.parent, exp.Select):
            yield "distinct", "`distinct` left out", lambda n: n.pop()
        elif len(node.expressions) == 1:
            yield (
                "distinct",
                "`distinct` of an aggregate left out",
                lambda n: n.replace(n.expressions[0]),
            )
    if isinstance(node, exp.Group) and len(node.expressions) > 1:
        for at, key in enumerate(node.expressions):
            words = f"grouped without {key.sql(dialect=_DIALECT)}"
            yield "grouping", words, partial(_ungroup, at=at)
    if isinstance(node, exp.Limit) and isinstance(node.parent, exp.Select):
        yield "limit", "`limit` left out", lambda n: n.pop()


def _ungroup(group: exp.Group, at: int) -> None:
    """Leave one key out; where it is selected, any of its values takes its place."""
    key, select = group.expressions[at], group.parent
    group.set("expressions", [one for place, one in enumerate(group.expressions) if place != at])
    assert isinstance(select, exp.Select)
    if isinstance(key, exp.Literal):  # `group by 1, 2` counts the columns of the select list
        column = select.expressions[int(key.this) - 1]
        inner = column.unalias()
        inner.replace(exp.alias_(exp.AnyValue(this=inner.copy()), column.alias_or_name))
        return
    for column in select.expressions:
        if column.unalias() == key:
            found = exp.alias_(exp.AnyValue(this=key.copy()), column.alias_or_name, quoted=True)
            column.replace(found)


def _of_value(node: exp.Expr) -> Iterator[tuple[str, str, _Edit]]:
    if isinstance(node, exp.Coalesce) and node.expressions:
        yield "coalesce", "`coalesce` left out", lambda n: n.replace(n.this)
    elif isinstance(node, exp.Nullif):
        yield "coalesce", "`nullif` left out", lambda n: n.replace(n.this)
    elif isinstance(node, exp.Case):
        branches, default = node.args.get("ifs") or [], node.args.get("default")
        if len(branches) > 1 or default is not None:
            for at in range(len(branches)):
                yield "case", f"branch {at + 1} left out", partial(_drop_branch, at=at)
        if default is not None and not isinstance(default, exp.Null):
            yield "case", "`else` left out", lambda n: n.set("default", None)
    elif isinstance(node, exp.In) and len(node.expressions) > 1:
        yield "list", "last value of the list left out", lambda n: n.expressions[-1].pop()
    elif isinstance(node, exp.Between):
        yield (
            "comparison",
            "upper bound left out",
            lambda n: n.replace(exp.GTE(this=n.this, expression=n.args["low"])),
        )
        yield (
            "comparison",
            "lower bound left out",
            lambda n: n.replace(exp.LTE(this=n.this, expression=n.args["high"])),
        )
    elif isinstance(node, exp.Literal) and not node.is_string and _is_operand(node):
        yield "constant", f"{node.this} made {node.this} + 1", _add_one


def _is_operand(node: exp.Literal) -> bool:
    parent = node.parent
    return (
        type(parent) in _COMPARISONS or type(parent) in _ARITHMETIC or isinstance(parent, exp.Mod)
    )


def _add_one(node: exp.Literal) -> None:
    number = float(node.this) + 1
    node.replace(exp.Literal.number(int(number) if number.is_integer() else number))


def _drop_branch(case: exp.Case, at: int) -> None:
    branches = case.args["ifs"]
    if len(branches) == 1:
        case.replace(case.args["default"])
    else:
        branches[at].pop()


def _of_set(node: exp.Expr) -> Iterator[tuple[str, str, _Edit]]:
    if not isinstance(node, exp.SetOperation):
        return
    if isinstance(node, exp.Union):
        is_distinct = bool(node.args.get("distinct"))
        words = "`union` made `union all`" if is_distinct else "`union all` made `union`"
        yield "set operation", words, lambda n: n.set("distinct", not is_distinct)
        yield "set operation", "last part of a union left out", _keep_left
    elif isinstance(node, exp.Except):
        yield "set operation", "sides of `except` exchanged", _exchange
    else:
        yield "set operation", "right side of `intersect` left out", _keep_left


def _keep_left(node: exp.SetOperation) -> None:
    left = node.this
    if node.args.get("with_"):
        left.set("with_", node.args["with_"])
    node.replace(left)


def _exchange(node: exp.SetOperation) -> None:
    left, right = node.this, node.expression
    node.set("this", right)
    node.set("expression", left)


def _of_window(node: exp.Expr) -> Iterator[tuple[str, str, _Edit]]:
    if isinstance(node, exp.Window):
        for at, key in enumerate(node.args.get("partition_by") or ()):
            words = f"partitioned without {key.sql(dialect=_DIALECT)}"
            yield "window", words, partial(_unpartition, at=at)
    if isinstance(node, exp.Ordered) and node.find_ancestor(exp.Window, exp.Select, exp.Limit):
        owner = node.find_ancestor(exp.Window, exp.Select)
        if isinstance(owner, exp.Window) or (owner is not None and owner.args.get("limit")):
            yield (
                "window",
                f"order of {node.this.sql(dialect=_DIALECT)} reversed",
                lambda n: n.set("desc", not n.args.get("desc")),
            )


def _unpartition(window: exp.Window, at: int) -> None:
    window.args["partition_by"][at].pop()


def _sign(kind: type[exp.Expr]) -> str:
    signs: dict[type[exp.Expr], str] = {
        exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
        exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/",
    }  # fmt: skip
    return signs[kind]


def _name(kind: type[exp.Expr]) -> str:
    names: dict[type[exp.Expr], str] = {
        exp.ArgMin: "min_by", exp.ArgMax: "max_by", exp.LogicalOr: "bool_or",
        exp.LogicalAnd: "bool_and", exp.FirstValue: "first_value", exp.LastValue: "last_value",
    }  # fmt: skip
    return names.get(kind, kind.__name__.lower())
