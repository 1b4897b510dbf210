"""A statement's tree, from Redshift's meaning to PostgreSQL's."""

import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from headrace.targets.redshift_mock.commands import RefusedError
from headrace.targets.redshift_mock.super_paths import OWN_SCHEMA, iterated, paths, read_path

_INFORMATION = {"columns", "tables", "views", "schemata"}
_SYSTEM = {
    "pg_table_def", "pg_user_info", "pg_database_info", "stl_load_errors",
    "stl_loaderror_detail", "stv_sessions", "stv_recents", "svv_all_columns", "svv_all_schemas",
    "svv_all_tables", "svv_columns", "svv_external_columns", "svv_external_schemas",
    "svv_external_tables", "svv_redshift_columns", "svv_redshift_databases",
    "svv_redshift_schemas", "svv_relation_privileges", "svv_redshift_tables", "svv_table_info",
    "svv_tables", "sys_load_error_detail", "svl_user_info", "svv_user_info",

}  # fmt: skip
"""System tables and views that the stand-in has; each is a view of ``system_tables.sql``."""

_OF_REDSHIFT = re.compile(r"(stl|stv|svl|svv|svcs|sys)_", re.IGNORECASE)
_UNITS = {
    "y": "year", "yr": "year", "yrs": "year", "years": "year", "mon": "month", "mons": "month",
    "months": "month", "w": "week", "weeks": "week", "d": "day", "days": "day", "h": "hour",
    "hr": "hour", "hrs": "hour", "hours": "hour", "m": "minute", "min": "minute",
    "mins": "minute", "minutes": "minute", "s": "second", "sec": "second", "secs": "second",
    "seconds": "second", "ms": "millisecond", "msec": "millisecond", "msecs": "millisecond",
    "milliseconds": "millisecond", "us": "microsecond", "usec": "microsecond",
    "usecs": "microsecond", "microseconds": "microsecond", "qtr": "quarter", "qtrs": "quarter",
    "quarters": "quarter", "decades": "decade", "centuries": "century", "yyyy": "year",
}  # fmt: skip
_KNOWN_UNITS = frozenset(_UNITS.values()) | {"decade", "century", "millennium", "epoch"}
_NO_TYPES = {
    exp.DType.GEOMETRY: "GEOMETRY", exp.DType.GEOGRAPHY: "GEOGRAPHY",
    exp.DType.HLLSKETCH: "HLLSKETCH",
}  # fmt: skip
_KEYS = (
    exp.PrimaryKeyColumnConstraint, exp.UniqueColumnConstraint, exp.Reference,
)  # fmt: skip


def refused_nodes(tree: exp.Expr) -> None:
    """Look for what has no counterpart.

    Raises:
        RefusedError: names the part.
    """
    for node in tree.walk():
        name = None
        if isinstance(node, exp.Pivot):
            name = "PIVOT and UNPIVOT"
        elif isinstance(node, exp.Connect):
            name = "CONNECT BY"
        elif isinstance(node, exp.CheckColumnConstraint):
            name = "CHECK constraints, which Redshift does not have"
        elif isinstance(node, exp.Column) and node.args.get("join_mark"):
            name = "the outer join mark (+)"
        elif isinstance(node, exp.Star) and (node.args.get("except_") or node.args.get("except")):
            name = "SELECT * EXCLUDE"
        elif isinstance(node, exp.Filter):
            name = "FILTER of an aggregate, which Redshift does not have"
        elif isinstance(node, exp.Select) and node.args.get("windows"):
            name = "a WINDOW clause, which Redshift does not have"
        elif isinstance(node, exp.Group) and node.args.get("all"):
            name = "GROUP BY ALL"
        elif isinstance(node, exp.DataType) and node.this in _NO_TYPES:
            name = f"the type {_NO_TYPES[node.this]}"
        elif (
            isinstance(node, exp.Table)
            and _OF_REDSHIFT.match(node.name)
            and node.name.lower() not in _SYSTEM
            and node.db.lower() in {"", "pg_catalog"}
        ):
            name = f"the system table {node.name.lower()}"
        if name is not None:
            raise RefusedError(f"the stand-in does not translate {name}")


def translated_tree(tree: exp.Expr) -> exp.Expr:
    """The tree with PostgreSQL's meaning.

    Raises:
        RefusedError: a part has no counterpart.
    """
    for name in list(tree.find_all(exp.Identifier)):
        name.set("this", name.name.lower())
    if isinstance(tree, exp.Create | exp.Alter):
        _keys(tree)
    for one in list(tree.find_all(exp.Cast)):
        if one.to.this == exp.DType.SUPER:
            made = exp.Anonymous(this=f"{OWN_SCHEMA}.as_super", expressions=[one.this.copy()])
            one.replace(made)
    for cast in list(tree.find_all(exp.DataType)):
        _type(cast)
    for path in list(paths(tree)):
        read_path(path)
    for unnest in list(tree.find_all(exp.Unnest)):
        iterated(unnest)
    for table in list(tree.find_all(exp.Table)):
        _system_table(table)
    for node in list(tree.walk()):
        if (change := _CHANGES.get(type(node))) is not None:
            change(node)
    if isinstance(tree, exp.Select | exp.Create | exp.Insert | exp.Subquery | exp.SetOperation):
        for select in list(tree.find_all(exp.Select)):
            _version(select)
    return tree


def _approximate(node: exp.ApproxDistinct) -> None:
    node.replace(exp.Count(this=exp.Distinct(expressions=[node.this])))


def _try_cast(node: exp.TryCast) -> None:
    text = exp.cast(node.this.copy(), "text")
    kind = exp.Literal.string(node.to.sql("postgres"))
    is_one = exp.Anonymous(this="pg_input_is_valid", expressions=[text, kind])
    node.replace(exp.Case().when(is_one, exp.cast(text.copy(), node.to.copy())))


def _type(node: exp.DataType) -> None:
    """Redshift's types: their defaults are other ones."""
    parameters = [parameter.name.lower() for parameter in node.expressions]
    if node.this in {exp.DType.VARCHAR, exp.DType.TEXT, exp.DType.NVARCHAR}:
        in_column = isinstance(node.parent, exp.ColumnDef)
        if parameters == ["max"]:
            node.set("expressions", [_number(65535)])
        elif not parameters and in_column:
            node.set("this", exp.DType.VARCHAR)
            node.set("expressions", [_number(256)])
    elif node.this == exp.DType.SUPER:
        node.replace(exp.DataType.build(f"{OWN_SCHEMA}.super", dialect="postgres", udt=True))
    elif node.this in {exp.DType.VARBINARY, exp.DType.BINARY}:
        node.replace(exp.DataType.build("bytea", dialect="postgres"))
    elif node.this == exp.DType.DECIMAL and not parameters:
        node.set("expressions", [_number(18), _number(0)])


def _number(value: int) -> exp.DataTypeParam:
    return exp.DataTypeParam(this=exp.Literal.number(value))


def _keys(tree: exp.Expr) -> None:
    """Keys are not enforced in Redshift: what is left of a primary key is NOT NULL."""
    required: set[str] = set()
    for key in list(tree.find_all(exp.PrimaryKey)):
        required |= {part.name for part in key.expressions}
    for kind in (exp.PrimaryKey, exp.ForeignKey, exp.UniqueColumnConstraint):
        for node in list(tree.find_all(kind)):
            outer = node.parent
            if isinstance(outer, exp.Schema):
                node.pop()
            elif isinstance(outer, exp.Constraint):
                outer.pop()
            elif isinstance(outer, exp.AddConstraint | exp.Alter):
                (outer if isinstance(outer, exp.AddConstraint) else node).pop()
    for constraint in list(tree.find_all(exp.ColumnConstraint)):
        found = constraint.args.get("kind")
        if isinstance(found, exp.PrimaryKeyColumnConstraint):
            constraint.set("kind", exp.NotNullColumnConstraint())
        elif isinstance(found, _KEYS):
            constraint.pop()
    for column in tree.find_all(exp.ColumnDef):
        there = [one.args.get("kind") for one in column.args.get("constraints") or ()]
        if column.name in required and not any(
            isinstance(one, exp.NotNullColumnConstraint) for one in there
        ):
            column.append("constraints", exp.ColumnConstraint(kind=exp.NotNullColumnConstraint()))
    if isinstance(tree, exp.Alter):
        actions = [
            one for one in tree.args.get("actions") or ()
            if not isinstance(one, exp.AlterDistStyle | exp.AlterSortKey)
            and not (isinstance(one, exp.AddConstraint) and not one.expressions)
        ]  # fmt: skip
        tree.set("actions", actions)


# --- names of tables and functions ---


def _system_table(table: exp.Table) -> None:
    name, schema = table.name, table.db
    if name in _SYSTEM and schema in {"", "pg_catalog"}:
        new = name
    elif schema == "information_schema" and name in _INFORMATION:
        new = f"information_{name}"
    elif (
        isinstance(table.this, exp.Anonymous)
        and table.this.name.lower() == "pg_get_late_binding_view_cols"
    ):
        table.this.set("this", f"{OWN_SCHEMA}.pg_get_late_binding_view_cols")
        alias = table.args.get("alias")
        if alias is not None and alias.columns:
            alias.set("columns", [exp.to_identifier(one.name) for one in alias.columns])
        return
    else:
        return
    if not table.alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(name)))
    table.set("this", exp.to_identifier(new))
    table.set("db", exp.to_identifier(OWN_SCHEMA))
    table.set("catalog", None)


def _function(node: exp.Anonymous) -> None:
    name = str(node.this).lower()
    if name == "has_table_privilege":
        for one in node.expressions:
            if isinstance(one, exp.Literal) and one.name.lower() in _SYSTEM:
                one.set("this", f"{OWN_SCHEMA}.{one.name.lower()}")
    if not name.startswith("rs_"):
        return
    arguments = list(node.expressions)
    if name in {"rs_dateadd", "rs_datediff", "rs_date_diff"} and len(arguments) == 3:
        unit = arguments[0].name.lower()
        unit = _UNITS.get(unit, unit)
        if unit not in _KNOWN_UNITS:
            raise RefusedError(f"{arguments[0].name!r} is not a part of a date", "22023")
        name = "rs_datediff" if name == "rs_date_diff" else name
        dates = [_timestamp(one) for one in arguments[1:]]
        arguments = [
            exp.Literal.string(unit),
            *(dates if name == "rs_datediff" else [arguments[1], dates[1]]),
        ]
    elif name == "rs_convert_timezone":
        arguments[-1] = _timestamp(arguments[-1])
    elif name == "rs_median":
        node.replace(_percentile(arguments[0]))
        return
    elif name == "rs_avg":
        _average(node)
        return
    elif name == "rs_concat" and len(arguments) == 2:
        parts = [exp.Cast(this=one.copy(), to=exp.DataType.build("text")) for one in arguments]
        node.replace(exp.Paren(this=exp.DPipe(this=parts[0], expression=parts[1], safe=False)))
        return
    elif name == "rs_ratio_to_report":
        _ratio(node)
        return
    elif name == "rs_trunc" and len(arguments) == 1 and isinstance(arguments[0], exp.Literal):
        arguments = [_timestamp(arguments[0])]
    node.set("this", f"{OWN_SCHEMA}.{name}")
    node.set("expressions", arguments)


def _timestamp(node: exp.Expr) -> exp.Expr:
    """A literal as a timestamp: PostgreSQL would take it for one with a time zone."""
    if isinstance(node, exp.Literal) and node.is_string:
        return exp.Cast(this=node.copy(), to=exp.DataType.build("timestamp"))
    return node


def _percentile(value: exp.Expr) -> exp.Expr:
    order = exp.Order(expressions=[exp.Ordered(this=value.copy())])
    return exp.WithinGroup(
        this=exp.PercentileCont(this=exp.Literal.number("0.5")), expression=order
    )


def _average(node: exp.Anonymous) -> None:
    """The average of whole numbers is a whole number in Redshift: what it is of decides."""
    value = node.expressions[0]
    plain = value.expressions[0] if isinstance(value, exp.Distinct) else value
    average: exp.Expr = exp.Avg(this=value.copy())
    sample: exp.Expr = exp.Max(this=plain.copy())
    window = (
        node.parent if isinstance(node.parent, exp.Window) and node.parent.this is node else None
    )
    if window is not None:
        average, sample = (
            exp.Window(
                **{
                    **{
                        k: (v.copy() if isinstance(v, exp.Expr) else v)
                        for k, v in window.args.items()
                    },
                    "this": one,
                }
            )
            for one in (average, sample)
        )
    both = exp.Anonymous(this=f"{OWN_SCHEMA}.rs_average", expressions=[average, sample])
    top = window or node
    if isinstance(top.parent, exp.Select) and top.arg_key == "expressions":
        top.replace(exp.alias_(both, "avg"))
    else:
        top.replace(both)


def _ratio(node: exp.Anonymous) -> None:
    window = node.parent
    if not isinstance(window, exp.Window):
        raise RefusedError("RATIO_TO_REPORT needs OVER", "42601")
    value = node.expressions[0]
    total = exp.Window(
        **{
            **{k: (v.copy() if isinstance(v, exp.Expr) else v) for k, v in window.args.items()},
            "this": exp.Sum(this=value.copy()),
        }
    )
    double = exp.DataType.build("double precision", dialect="postgres")
    window.replace(
        exp.Paren(
            this=exp.Div(
                this=exp.Cast(this=value.copy(), to=double),
                expression=exp.Nullif(this=total, expression=exp.Literal.number(0)),
            )
        )
    )


def _listagg(node: exp.GroupConcat) -> None:
    """LISTAGG is string_agg, whose order stands within the brackets."""
    value, separator = node.this, node.args.get("separator")
    distinct = isinstance(value, exp.Distinct)
    if isinstance(value, exp.Distinct):
        parts = value.expressions
        value, separator = parts[0], parts[1] if len(parts) > 1 else separator
    group = node.parent if isinstance(node.parent, exp.WithinGroup) else None
    top: exp.Expr = group or node
    window = top.parent if isinstance(top.parent, exp.Window) and top.parent.this is top else None
    order = group.expression.copy() if group is not None else None
    text = exp.Cast(this=value.copy(), to=exp.DataType.build("text"))
    if distinct and order is not None:
        if [one.this.sql() for one in order.expressions] != [value.sql()]:
            raise RefusedError("LISTAGG(DISTINCT …) is ordered by its own column alone here")
        for one in order.expressions:
            one.set("this", text.copy())
    first: exp.Expr = exp.Distinct(expressions=[text]) if distinct else text
    glue = separator.copy() if separator is not None else exp.Literal.string("")
    if window is not None:
        if distinct:
            raise RefusedError("the stand-in does not translate LISTAGG(DISTINCT …) OVER")
        call = exp.Anonymous(this="string_agg", expressions=[first, glue])
        spec = None
        if order is not None:
            spec = exp.WindowSpec(
                kind="ROWS", start="UNBOUNDED", start_side="PRECEDING",
                end="UNBOUNDED", end_side="FOLLOWING",
            )  # fmt: skip
        window.set("this", call)
        window.set("order", order)
        window.set("spec", spec)
        return
    if order is not None:
        glue = exp.Order(this=glue, expressions=order.expressions)
    new: exp.Expr = exp.Anonymous(this="string_agg", expressions=[first, glue])
    if isinstance(top.parent, exp.Select) and top.arg_key == "expressions":
        new = exp.alias_(new, "listagg")
    top.replace(new)


def _version(select: exp.Select) -> None:
    """`select version()` is Redshift's."""
    for node in list(
        select.find_all(exp.CurrentVersion if hasattr(exp, "CurrentVersion") else exp.Anonymous)
    ):
        if isinstance(node, exp.Anonymous) and str(node.this).lower() != "version":
            continue
        new: exp.Expr = exp.Anonymous(this=f"{OWN_SCHEMA}.version", expressions=[])
        if isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
            new = exp.alias_(new, "version")
        node.replace(new)


_CHANGES: dict[type[exp.Expr], Callable[[Any], None]] = {
    exp.Anonymous: _function,
    exp.ApproxDistinct: _approximate,
    exp.GroupConcat: _listagg,
    exp.TryCast: _try_cast,
}
