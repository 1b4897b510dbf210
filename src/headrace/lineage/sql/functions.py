"""Which functions aggregate, depend on the order of rows, or make rows."""

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
