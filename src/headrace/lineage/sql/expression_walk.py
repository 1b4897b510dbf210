"""The walk over one expression of sqlglot's, which collects what it reads.

It has a stack of its own, so that a condition of ten thousand terms is no deeper than one. What
each class of expressions reads is known to its handler (``expressions``).
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp

from headrace.lineage.sql import tree
from headrace.lineage.sql.dependencies import DECISION, WINDOWED, fold

# Those of DuckDB (`duckdb_functions()`), Snowflake, Spark and BigQuery that sqlglot reads as a
# function that it does not know.
AGGREGATES = frozenset(
    {
        "any_value", "approx_count_distinct", "approx_quantile", "approx_top_k", "arbitrary",
        "arg_max", "arg_max_null", "arg_max_nulls_last", "arg_min", "arg_min_null",
        "arg_min_nulls_last", "argmax", "argmin", "array_agg", "avg", "bit_and", "bit_or",
        "bit_xor", "bitstring_agg", "bool_and", "bool_or", "collect_list", "collect_set", "corr",
        "count", "count_if", "count_star", "countif", "covar_pop", "covar_samp", "entropy",
        "every", "favg", "first", "fsum", "geomean", "geometric_mean", "group_concat", "histogram",
        "histogram_exact", "hll_sketch_agg", "json_agg", "json_group_array", "json_group_object",
        "json_group_structure", "json_object_agg", "jsonb_agg", "jsonb_object_agg", "kahan_sum",
        "kurtosis", "kurtosis_pop", "last", "list", "listagg", "mad", "max", "max_by", "mean",
        "median", "min", "min_by", "mode", "object_agg", "percentile", "percentile_approx",
        "product", "quantile", "quantile_cont", "quantile_disc", "regr_avgx", "regr_avgy",
        "regr_count", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy",
        "regr_syy", "reservoir_quantile", "sem", "skewness", "st_extent_agg", "st_union_agg",
        "stddev", "stddev_pop", "stddev_samp", "string_agg", "sum", "sum_no_overflow", "sumkahan",
        "try_avg", "try_sum", "var_pop", "var_samp", "variance", "wavg", "weighted_avg", "xmlagg",
    }
)  # fmt: skip

# sqlglot's classes of functions over a window that hand a row's value on, or only its place.
WINDOW_ONLY = frozenset(
    {
        "CumeDist", "DenseRank", "FirstValue", "Lag", "LastValue", "Lead", "Ntile", "NthValue",
        "PercentRank", "Rank", "RowNumber",
    }
)  # fmt: skip

# Their value depends on the order of the rows, unless they say it.
ORDERED = frozenset(
    {
        "AnyValue", "ArrayAgg", "ArrayConcatAgg", "First", "GroupConcat", "JSONArrayAgg",
        "JSONObjectAgg", "Last", "ObjectAgg", "RowNumber", "Lag", "Lead", "FirstValue",
        "LastValue", "NthValue", "Ntile", "Mode", "ArgMax", "ArgMin",
        "first", "last", "arbitrary", "histogram", "json_group_array", "json_group_object",
        "product", "fsum", "favg", "kahan_sum", "collect_list", "json_agg", "jsonb_agg",
    }
)  # fmt: skip

# Table functions that make rows of their arguments and of nothing else.
GENERATORS = frozenset(
    {
        "range", "generate_series", "generateseries", "unnest", "explode", "posexplode", "flatten",
        "json_each", "json_tree", "jsonb_array_elements", "json_array_elements",
        "jsonb_array_elements_text", "json_array_elements_text", "jsonb_each", "json_each_text",
        "jsonb_each_text", "regexp_split_to_table", "string_to_table", "generate_subscripts",
        "repeat_row", "inline", "stack", "explodeouter", "posexplodeouter", "generatedatearray",
        "generatetimestamparray", "regexpsplittotable", "splittotable", "strtoksplittotable",
        "jsonextractarray", "unnest_outer",
    }
)  # fmt: skip

# In a select list these make several rows of one; sqlglot does not know them.
SET_RETURNING = GENERATORS - {"flatten", "range", "json_each", "json_tree"}


Bound = frozenset[str]
"""Names that are parameters of a function around an expression, folded."""
NO_NAMES: Bound = frozenset()
Handler = Callable[["Walk", Any, int, Bound], None]
Windows = dict[str, exp.Expr]
"""The named windows of a select, by folded name."""
_Step = tuple[Any, int, Bound]


class Walk:
    """Reads one expression.

    Attributes:
        reads: what it reads.
        aggregated: an aggregate function stands in it, outside a window.
        unnests: it makes several rows of one.
        ordered: it depends on the order of rows.
        star: the ``columns(…)`` in it, and how it is read.
        depth: how many values it is in whose parts are kept apart.
        parameters: of the functions that it is in, folded.
    """

    def __init__(
        self,
        query: Callable[[Any], tree.Query],
        handlers: Mapping[type, Handler],
        windows: Windows | None = None,
        depth: int = 0,
    ) -> None:
        """Start.

        Args:
            query: reads a nested query.
            handlers: of every class of expressions.
            windows: the named windows in scope.
            depth: how many values it is in.
        """
        self.depth = depth
        self.parameters: Bound = NO_NAMES
        self.reads: list[tree.Read] = []
        self.aggregated = False
        self.unnests = False
        self.ordered = False
        self.star: tuple[tree.Star, int] | None = None
        self.query = query
        self._handlers = handlers
        self._windows = windows or {}
        self._steps: list[_Step] = []

    def over(self, node: Any, role: int, bound: Bound = NO_NAMES) -> "Walk":
        """Read ``node`` as ``role``."""
        self._steps.append((node, role, bound))
        return self.run()

    def run(self) -> "Walk":
        """Read all that is still to be read."""
        steps, handlers = self._steps, self._handlers
        while steps:
            node, role, bound = steps.pop()
            handlers[type(node)](self, node, role, bound)
        return self

    def push(self, node: Any, role: int, bound: Bound) -> None:
        """Read ``node`` later; None and values that are no expressions are nothing."""
        if node is None or node is False or node is True:
            return
        if isinstance(node, list):
            for part in node:
                self.push(part, role, bound)
        elif isinstance(node, exp.Expr):
            self._steps.append((node, role, bound))

    def children(self, node: Any, role: int, bound: Bound) -> None:
        """Read all parts of ``node`` later."""
        steps = self._steps
        for value in node.args.values():
            if value is None or value is False or value is True:
                continue
            if isinstance(value, list):
                steps.extend([(part, role, bound) for part in value if isinstance(part, exp.Expr)])
            elif isinstance(value, exp.Expr):
                steps.append((value, role, bound))

    def fresh(self, windows: Windows | None = None) -> "Walk":
        """A new walk, over another expression; with the same windows unless others are given."""
        return Walk(self.query, self._handlers, self._windows if windows is None else windows)

    def inner(self, node: Any, role: int, bound: Bound) -> tree.Reads:
        """What a part of the expression reads, apart from all else; None is nothing."""
        if not isinstance(node, exp.Expr):
            return ()
        walk = self._apart().over(node, role, bound)
        self.aggregated |= walk.aggregated
        self.unnests |= walk.unnests
        self.ordered |= walk.ordered
        if walk.star is not None:
            walk.reads.append(tree.Every(walk.star[1], walk.star[0]))
        return tuple(walk.reads)

    def framed(self, node: exp.Expr, role: int, bound: Bound) -> tree.Reads:
        """What the window of a function is made of."""
        walk = self._apart()
        walk.window(node, role, bound)
        return tuple(walk.run().reads)

    def _apart(self) -> "Walk":
        walk = Walk(self.query, self._handlers, self._windows, self.depth)
        walk.parameters = self.parameters
        return walk

    def window(self, node: exp.Expr, role: int, bound: Bound) -> None:
        """A window function: its arguments, and what the window is made of."""
        decision = role if role & DECISION else WINDOWED
        seen: set[str] = set()
        frame: Any = node
        while frame is not None:
            for part in ("partition_by", "order", "spec"):
                self.push(frame.args.get(part), decision, bound)
            name = frame.args.get("alias")
            named = fold(name.name) if name is not None else ""
            frame = self._windows.get(named) if named and named not in seen else None
            seen.add(named)
