"""A passing and a failing case of each generic test that the project ships, as a table."""

from typing import Any, NamedTuple

ITEMS = """\
select
    id, code, name, amount, rest, total, status, parity, maybe, day, written,
    cast(null as integer) as nothing,
    1 as constant,
    cast(day as timestamp) as made_at,
    case when id < 8 then cast(day as timestamp) else {{ current_time() }} end as seen_at,
    {{ dbt.dateadd('day', 1, 'day') }} as day_after,
    case when id = 4 then null else {{ dbt.dateadd('day', 2, 'day') }} end as too_late
from (
    {% set statuses = ['new', 'new', 'new', 'paid', 'paid', 'sent', 'sent', 'sent'] %}
    {% set amounts = [10, 20, 30, 40, 50, 60, 70, 800] %}
    {% for amount in amounts %}
    select
        {{ loop.index }} as id,
        'A-00{{ loop.index }}' as code,
        '{{ ['Ann', 'Bob', 'Ann', 'ann', '', 'Cy', 'Dee', "O''Hara"][loop.index0] }}' as name,
        {{ amount }} as amount,
        {{ amount - 1 }} as rest,
        {{ amount }} as total,
        '{{ statuses[loop.index0] }}' as status,
        '{{ ['even', 'odd'][loop.index % 2] }}' as parity,
        {{ 'null' if loop.index == 8 else "'x'" }} as maybe,
        cast('2024-01-0{{ loop.index }}' as date) as day,
        {{ ['2024-01-01', '2024-02-28', 'soon', '03.04.2024', '{}', '7', '2024', '2024-13-01']
            [loop.index0] | pprint }} as written
    {{ 'union all' if not loop.last }}
    {% endfor %}
) as rows_of_items
"""
"""Eight rows: the dates are those of 2024-01-01 to 08, the last `seen_at` is now."""

SAME, SOME = ITEMS, ITEMS + "where id > 2\n"
DAYS = """\
select
    day,
    case when position % 5 = 0 then 1 else 2 end
    * case when position = 38 then 90 else 1 end as sold
from (
    {% for number in range(40) %}
    select
        {{ number }} as position,
        {{ dbt.dateadd('day', number, "cast('2024-01-01' as date)") }} as day
    {{ 'union all' if not loop.last }}
    {% endfor %}
) as numbers
"""
"""Forty days, the last but one with an outlier."""

MODELS = {"items": ITEMS, "same": SAME, "some": SOME, "days": DAYS}


class Case(NamedTuple):
    """A test that passes on the items, and one that fails.

    Attributes:
        test: its name.
        column: that both are at; None for tests of the model.
        passes: the arguments of the first.
        fails: the arguments of the second; the key ``at`` is another column, ``on`` another model.
        rows: how many rows the second finds, if that is not 1.
    """

    test: str
    column: str | None
    passes: dict[str, Any]
    fails: dict[str, Any]
    rows: int = 1


REF_SAME, REF_SOME = "ref('same')", "ref('some')"
COLUMNS = [
    "id", "code", "name", "amount", "rest", "total", "status", "parity", "maybe", "day",
    "written", "nothing", "constant", "made_at", "seen_at", "day_after", "too_late",
]  # fmt: skip
FEW = ["new", "paid"]
ALL = [*FEW, "sent"]
PAIRS = [["new", "odd"], ["new", "even"], ["paid", "odd"], ["paid", "even"], ["sent", "even"]]
SHARES = {"values": ALL, "weights": [0.375, 0.25, 0.375]}
WRONG_SHARES = {"values": FEW, "weights": [0.5, 0.5]}
BINS = {"bins": [0, 50, 1000], "weights": [0.5, 0.5]}


def between(
    name: str, column: str | None, least: Any, most: Any, too_much: Any, rows: int = 1
) -> Case:
    """A test with ``min_value`` and ``max_value``, which fails with a greater minimum."""
    return Case(
        name, column, {"min_value": least, "max_value": most}, {"min_value": too_much}, rows
    )


CASES = (
    # rows
    Case("expression_is_true", None, {"expression": "amount > 0"}, {"expression": "amount > 10"}),
    Case("expression_is_true", "amount", {"expression": "> 0"}, {"expression": "> 20"}, 2),
    Case("unexpected_rows_expectation", None,
         {"unexpected_rows_query": "select * from {batch} where id = 0"},
         {"unexpected_rows_query": "select * from {batch} where id > 6"}, 2),
    # values
    Case("expect_column_values_to_be_null", "nothing", {}, {"at": "maybe"}, 7),
    Case("expect_column_values_to_not_be_null", "id", {}, {"at": "maybe"}),
    Case("expect_column_values_to_not_be_null", "maybe", {"mostly": 0.8}, {"mostly": 0.9}),
    Case("not_empty_string", "code", {}, {"at": "name"}),
    Case("expect_column_values_to_be_unique", "id", {}, {"at": "name"}, 2),
    Case("expect_compound_columns_to_be_unique", None, {"column_list": ["status", "id"]},
         {"column_list": ["status", "parity"]}, 4),
    Case("unique_combination_of_columns", None, {"combination_of_columns": ["status", "id"]},
         {"columns": ["status", "parity"]}, 2),
    between("expect_column_values_to_be_between", "amount", 10, 800, 30, 2),
    between("expect_column_values_to_be_between", "day", "2024-01-01", "2024-01-08",
            "2024-01-03", 2),
    Case("expect_column_values_to_be_between", "amount", {"min_value": 9, "strictly": True},
         {"min_value": 10, "strictly": True}),
    Case("expect_column_values_to_be_between", "amount", {"max_value": 100, "mostly": 0.875},
         {"max_value": 60, "mostly": 0.875}, 2),
    Case("accepted_range", "amount", {"min_value": 10},
         {"min_value": 10, "max_value": "total", "inclusive": False}, 8),
    Case("expect_column_values_to_be_in_set", "status", {"value_set": ALL}, {"value_set": FEW}, 3),
    Case("expect_column_values_to_be_in_set", "amount", {"value_set": [800, 10], "mostly": 0.2},
         {"value_set": [800, 10], "row_condition": "id < 3"}),
    Case("expect_column_values_to_not_be_in_set", "status", {"value_set": ["lost"]},
         {"value_set": FEW}, 5),
    Case("not_accepted_values", "name", {"values": ["O'Neil"]}, {"values": ["O'Hara"]}),
    between("expect_column_value_lengths_to_be_between", "code", 5, 5, 6, 8),
    Case("expect_column_value_lengths_to_equal", "code", {"value": 5}, {"value": 4}, 8),
    Case("expect_column_values_to_have_consistent_casing", "status", {}, {"at": "name"}, 3),
    # patterns
    Case("expect_column_values_to_match_regex", "code", {"regex": r"^A-\d{3}$"},
         {"regex": r"^A-00[1-7]"}),
    Case("expect_column_values_to_match_regex", "code", {"regex": "^a-", "flags": "i"},
         {"regex": "^a-"}, 8),
    Case("expect_column_values_to_not_match_regex", "code", {"regex": "^B"}, {"regex": "8$"}),
    Case("expect_column_values_to_match_regex_list", "code", {"regex_list": ["^B", "^A"]},
         {"regex_list": ["^A", "8$"], "match_on": "all"}, 7),
    Case("expect_column_values_to_not_match_regex_list", "code", {"regex_list": ["^B", "^C"]},
         {"regex_list": ["^B", "8$"]}),
    Case("expect_column_values_to_match_like_pattern", "code", {"like_pattern": "A-%"},
         {"like_pattern": "%8"}, 7),
    Case("expect_column_values_to_not_match_like_pattern", "code", {"like_pattern": "B%"},
         {"like_pattern": "%8"}),
    Case("expect_column_values_to_match_like_pattern_list", "code",
         {"like_pattern_list": ["B%", "A%"]}, {"like_pattern_list": ["B%", "%8"]}, 7),
    Case("expect_column_values_to_not_match_like_pattern_list", "code",
         {"like_pattern_list": ["B%", "C%"]}, {"like_pattern_list": ["B%", "%8"]}),
    Case("expect_column_values_to_be_json_parseable", "amount", {}, {"at": "code"}, 8),
    Case("expect_column_values_to_be_dateutil_parseable", "day", {}, {"at": "code"}, 8),
    Case("expect_column_values_to_match_strftime_format", "day",
         {"strftime_format": "%Y-%m-%d"}, {"at": "written", "strftime_format": "%Y-%m-%d"}, 6),
    # aggregates
    between("expect_column_max_to_be_between", "amount", 800, 800, 801),
    between("expect_column_max_to_be_between", "day", "2024-01-08", "2024-01-08", "2024-01-09"),
    between("expect_column_min_to_be_between", "amount", 10, 10, 11),
    between("expect_column_mean_to_be_between", "amount", 135, 135, 136),
    Case("expect_column_mean_to_be_between", "amount",
         {"min_value": 20, "group_by": ["status"]}, {"min_value": 45, "group_by": ["status"]}, 1),
    Case("expect_column_mean_to_be_between", "amount", {"min_value": 0},
         {"at": "nothing", "min_value": 0}),
    between("expect_column_median_to_be_between", "amount", 45, 45, 46),
    between("expect_column_sum_to_be_between", "amount", 1080, 1080, 1081),
    between("expect_column_stdev_to_be_between", "amount", 269, 270, 300),
    Case("expect_column_quantile_values_to_be_between", "amount",
         {"quantile": 0.5, "min_value": 45, "max_value": 45}, {"quantile": 0.5, "max_value": 40}),
    Case("expect_column_quantile_values_to_be_between", "amount",
         {"quantile_ranges": {"quantiles": [0, 1], "value_ranges": [[10, 10], [None, 800]]}},
         {"quantile_ranges": {"quantiles": [0, 1], "value_ranges": [[11, None], [10, 80]]}}, 2),
    between("expect_column_unique_value_count_to_be_between", "status", 3, 3, 4),
    Case("expect_column_distinct_count_to_equal", "status", {"value": 3}, {"value": 2}),
    Case("expect_column_distinct_count_to_be_greater_than", "status", {"value": 2}, {"value": 3}),
    Case("expect_column_distinct_count_to_be_less_than", "status", {"value": 4}, {"value": 3}),
    between("expect_column_proportion_of_unique_values_to_be_between", "status", 0.3, 0.4, 0.5),
    between("expect_column_proportion_of_non_null_values_to_be_between", "maybe", 0.8, 0.9, 1),
    Case("not_null_proportion", "maybe", {"at_least": 0.875}, {"at_least": 0.9}),
    Case("at_least_one", "maybe", {}, {"at": "nothing"}),
    Case("not_constant", "amount", {}, {"at": "constant"}),
    # sets
    Case("expect_column_distinct_values_to_be_in_set", "status", {"value_set": ALL},
         {"value_set": FEW}),
    Case("expect_column_distinct_values_to_contain_set", "status", {"value_set": FEW},
         {"value_set": [*FEW, "lost"]}),
    Case("expect_column_distinct_values_to_equal_set", "status", {"value_set": ALL},
         {"value_set": [*FEW, "lost"]}, 2),
    Case("expect_column_most_common_value_to_be_in_set", "status", {"value_set": ["new", "sent"]},
         {"value_set": ["new"]}),
    Case("expect_column_distinct_count_to_equal_other_table", "id", {"compare_model": REF_SAME},
         {"compare_model": REF_SOME}),
    Case("cardinality_equality", "id", {"to": REF_SAME, "field": "id"},
         {"to": REF_SOME, "field": "id"}, 2),
    # the table
    between("expect_table_row_count_to_be_between", None, 8, 8, 9),
    Case("expect_table_row_count_to_be_between", None, {"min_value": 2, "group_by": ["status"]},
         {"min_value": 3, "group_by": ["status"]}),
    Case("expect_table_row_count_to_equal", None, {"value": 8}, {"value": 7}),
    Case("expect_column_to_exist", "id", {}, {"at": "gone"}),
    Case("expect_column_to_exist", "id", {"column_index": 0}, {"column_index": 1}),
    Case("expect_table_column_count_to_equal", None, {"value": 17}, {"value": 16}),
    between("expect_table_column_count_to_be_between", None, 1, 20, 30),
    Case("expect_table_column_count_to_equal_other_table", None, {"compare_model": REF_SAME},
         {"compare_model": "ref('days')"}),
    Case("expect_table_columns_to_match_set", None, {"column_list": sorted(COLUMNS)},
         {"column_list": [*COLUMNS[1:], "gone"]}, 2),
    Case("expect_table_columns_to_contain_set", None, {"column_list": ["id"]},
         {"column_list": ["gone"]}),
    Case("expect_table_columns_to_not_contain_set", None, {"column_list": ["gone"]},
         {"column_list": ["id"]}),
    Case("expect_table_columns_to_match_ordered_list", None, {"column_list": COLUMNS},
         {"column_list": [*COLUMNS[1::-1], *COLUMNS[2:]]}, 2),
    Case("expect_column_values_to_be_of_type", "day", {"column_type": "date"},
         {"column_type": "timestamp"}),
    Case("expect_column_type_to_be", "id", {"type_": "integer"}, {"type_": "date"}),
    Case("expect_column_values_to_be_in_type_list", "id", {"column_type_list": ["text", "INTEGER"]},
         {"column_type_list": ["date", "text"]}),
    # two tables
    Case("expect_table_row_count_to_equal_other_table", None, {"compare_model": REF_SAME},
         {"compare_model": REF_SOME}),
    Case("expect_table_row_count_to_equal_other_table_times_factor", None,
         {"compare_model": REF_SAME, "factor": 1}, {"compare_model": REF_SAME, "factor": 2}),
    Case("equal_rowcount", None, {"compare_model": REF_SAME},
         {"compare_model": REF_SOME, "group_by_columns": ["status"]}),
    Case("fewer_rows_than", None, {"compare_model": "ref('days')"}, {"compare_model": REF_SAME}),
    Case("expect_table_aggregation_to_equal_other_table", None,
         {"expression": "sum(amount)", "compare_model": REF_SOME, "tolerance": 30},
         {"expression": "sum(amount)", "compare_model": REF_SOME, "tolerance_percent": 0.01}),
    Case("equality", None, {"compare_model": REF_SAME, "exclude_columns": ["seen_at"]},
         {"compare_model": REF_SOME, "compare_columns": ["id"]}, 2),
    Case("expect_query_results_to_match_comparison", None,
         {"base_query": "select id from {batch}", "comparison_query": "select total / 10 from "
          "{batch} where id < 8 union all select 8"},
         {"base_query": "select id from {batch}", "comparison_query": "select 1 as id"}, 7),
    Case("relationships_where", "id", {"to": REF_SOME, "field": "id", "from_condition": "id > 2"},
         {"to": REF_SOME, "field": "id"}, 2),
    Case("equal_totals", "amount", {"to": REF_SAME, "field": "total"},
         {"to": REF_SOME, "field": "total"}),
    Case("equal_rows", "constant", {"to": REF_SAME}, {"to": REF_SOME}),
    # several columns
    *(
        Case(f"expect_column_pair_values_{a}_to_be_greater_than_{b}", None,
             {"column_A": "amount", "column_B": "rest"},
             {"column_A": "amount", "column_B": "total"}, 8)
        for a, b in (("A", "B"), ("a", "b"))
    ),
    Case("expect_column_pair_values_to_be_equal", None,
         {"column_A": "amount", "column_B": "total"}, {"column_A": "amount", "column_B": "rest"},
         8),
    Case("expect_column_pair_values_to_be_in_set", None,
         {"column_A": "status", "column_B": "parity", "value_pairs_set": [*PAIRS, ["sent", "odd"]]},
         {"column_A": "status", "column_B": "parity", "value_pairs_set": PAIRS}),
    Case("expect_multicolumn_sum_to_equal", None,
         {"column_list": ["rest", "constant"], "sum_total": "amount"},
         {"column_list": ["rest", "constant"], "sum_total": 10}, 7),
    Case("expect_multicolumn_values_to_be_equal", None, {"column_list": ["amount", "total"]},
         {"column_list": ["amount", "total", "rest"]}, 8),
    *(
        Case(name, None, {"column_list": ["id", "amount", "rest"]},
             {"column_list": ["id", "amount", "total"]}, 8)
        for name in (
            "expect_select_column_values_to_be_unique_within_record",
            "expect_multicolumn_values_to_be_unique",
        )
    ),
    # order
    Case("expect_column_values_to_be_increasing", "amount", {"sort_column": "id"},
         {"at": "constant", "sort_column": "id"}, 7),
    Case("expect_column_values_to_be_increasing", "constant",
         {"sort_column": "id", "strictly": False},
         {"at": "amount", "sort_column": "id", "step": 10}),
    Case("expect_column_values_to_be_decreasing", "amount", {"sort_column": "-id"},
         {"sort_column": "id"}, 7),
    Case("sequential_values", "id", {}, {"at": "amount", "interval": 10}),
    Case("sequential_values", "day", {"datepart": "day"}, {"datepart": "day", "interval": 2}, 7),
    Case("mutually_exclusive_ranges", None,
         {"lower_bound_column": "day", "upper_bound_column": "day_after", "gaps": "not_allowed"},
         {"lower_bound_column": "day", "upper_bound_column": "too_late"}, 7),
    # dates
    Case("recency", None, {"field": "seen_at", "datepart": "day", "interval": 1},
         {"field": "day", "datepart": "day", "interval": 1, "ignore_time_component": True}),
    Case("expect_row_values_to_have_recent_data", "seen_at", {"datepart": "hour", "interval": 1},
         {"at": "day", "datepart": "day", "interval": 30}),
    Case("expect_grouped_row_values_to_have_recent_data", None,
         {"group_by": ["constant"], "timestamp_column": "seen_at", "datepart": "day",
          "interval": 1},
         {"group_by": ["status"], "timestamp_column": "seen_at", "datepart": "day",
          "interval": 1}, 2),
    Case("expect_row_values_to_have_data_for_every_n_datepart", None, {"date_col": "day"},
         {"date_col": "day", "row_condition": "id not in (3, 4, 6)",
          "test_end_date": "2024-01-10"}, 3),
    Case("expect_column_values_to_be_within_n_moving_stdevs", None, {"date_column_name": "made_at"},
         {"on": "days", "at": "sold", "date_column_name": "day"}),
    # distributions
    Case("expect_column_values_to_be_within_n_stdevs", "amount", {"sigma_threshold": 3},
         {"sigma_threshold": 2}),
    Case("expect_column_value_z_scores_to_be_less_than", "amount", {"threshold": 3},
         {"threshold": 2}),
    Case("expect_column_values_to_not_be_outliers", "id", {}, {"at": "amount"}),
    Case("expect_column_values_to_not_be_outliers", "amount",
         {"method": "std", "multiplier": 3}, {"method": "std", "multiplier": 2}),
    Case("expect_column_kl_divergence_to_be_less_than", "status",
         {"partition_object": SHARES, "threshold": 0.01},
         {"partition_object": WRONG_SHARES, "threshold": 0.01}),
    Case("expect_column_kl_divergence_to_be_less_than", "amount",
         {"partition_object": BINS, "threshold": 0.01},
         {"partition_object": {**BINS, "weights": [0.9, 0.1]}, "threshold": 0.01}),
    Case("expect_column_pair_cramers_phi_value_to_be_less_than", None,
         {"column_A": "constant", "column_B": "status"},
         {"column_A": "status", "column_B": "id"}),
)  # fmt: skip
