{#- One number of a column, of all rows or of each group; a row for each that is out of bounds. -#}

{% test expect_column_max_to_be_between(
    model, column_name, min_value=none, max_value=none, group_by=none, row_condition=none,
    strictly=false
) %}
    {{ failing_aggregate(
        model, 'max(' ~ column_name ~ ')', min_value, max_value, row_condition, group_by, strictly
    ) }}
{% endtest %}

{% test expect_column_min_to_be_between(
    model, column_name, min_value=none, max_value=none, group_by=none, row_condition=none,
    strictly=false
) %}
    {{ failing_aggregate(
        model, 'min(' ~ column_name ~ ')', min_value, max_value, row_condition, group_by, strictly
    ) }}
{% endtest %}

{% test expect_column_mean_to_be_between(
    model, column_name, min_value=none, max_value=none, group_by=none, row_condition=none,
    strictly=false
) %}
    {{ failing_aggregate(
        model, 'avg(' ~ column_name ~ ')', min_value, max_value, row_condition, group_by, strictly
    ) }}
{% endtest %}

{% test expect_column_median_to_be_between(
    model, column_name, min_value=none, max_value=none, group_by=none, row_condition=none,
    strictly=false
) %}
    {{ failing_aggregate(
        model,
        quantile_of(column_name, 0.5),
        min_value,
        max_value,
        row_condition,
        group_by,
        strictly
    ) }}
{% endtest %}

{% test expect_column_sum_to_be_between(
    model, column_name, min_value=none, max_value=none, group_by=none, row_condition=none,
    strictly=false
) %}
    {{ failing_aggregate(
        model,
        'coalesce(sum(' ~ column_name ~ '), 0)',
        min_value,
        max_value,
        row_condition,
        group_by,
        strictly
    ) }}
{% endtest %}

{% test expect_column_stdev_to_be_between(
    model, column_name, min_value=none, max_value=none, group_by=none, row_condition=none,
    strictly=false
) %}
    {{ failing_aggregate(
        model,
        'stddev_samp(' ~ column_name ~ ')',
        min_value,
        max_value,
        row_condition,
        group_by,
        strictly
    ) }}
{% endtest %}

{#- `quantile` for one of them, as in dbt_expectations; `quantile_ranges` as in GE. -#}
{% test expect_column_quantile_values_to_be_between(
    model, column_name, quantile=none, min_value=none, max_value=none, group_by=none,
    row_condition=none, strictly=false, quantile_ranges=none
) %}
    {%- if quantile_ranges is none %}
    {{ failing_aggregate(
        model,
        quantile_of(column_name, quantile),
        min_value,
        max_value,
        row_condition,
        group_by,
        strictly
    ) }}
    {%- else %}
    {%- for each in quantile_ranges['quantiles'] %}
    {%- set range = quantile_ranges['value_ranges'][loop.index0] %}
    select
        {{ each }} as quantile,
        found.*
    from (
        {{ failing_aggregate(
            model,
            quantile_of(column_name, each),
            range[0],
            range[1],
            row_condition,
            group_by,
            strictly
        ) }}
    ) as found
    {{ 'union all' if not loop.last }}
    {%- endfor %}
    {%- endif %}
{% endtest %}

{% test expect_column_unique_value_count_to_be_between(
    model, column_name, min_value=none, max_value=none, group_by=none, row_condition=none,
    strictly=false
) %}
    {{ failing_aggregate(
        model,
        'count(distinct ' ~ column_name ~ ')',
        min_value,
        max_value,
        row_condition,
        group_by,
        strictly,
        'distinct_values'
    ) }}
{% endtest %}

{% test expect_column_distinct_count_to_equal(
    model, column_name, value, group_by=none, row_condition=none
) %}
    {{ failing_aggregate(
        model,
        'count(distinct ' ~ column_name ~ ')',
        value,
        value,
        row_condition,
        group_by,
        name='distinct_values'
    ) }}
{% endtest %}

{% test expect_column_distinct_count_to_be_greater_than(
    model, column_name, value, group_by=none, row_condition=none
) %}
    {{ failing_aggregate(
        model,
        'count(distinct ' ~ column_name ~ ')',
        value,
        none,
        row_condition,
        group_by,
        true,
        'distinct_values'
    ) }}
{% endtest %}

{% test expect_column_distinct_count_to_be_less_than(
    model, column_name, value, group_by=none, row_condition=none
) %}
    {{ failing_aggregate(
        model,
        'count(distinct ' ~ column_name ~ ')',
        none,
        value,
        row_condition,
        group_by,
        true,
        'distinct_values'
    ) }}
{% endtest %}

{% test expect_column_proportion_of_unique_values_to_be_between(
    model, column_name, min_value=none, max_value=none, group_by=none, row_condition=none,
    strictly=false
) %}
    {{ failing_aggregate(
        model,
        'count(distinct ' ~ column_name ~ ') * 1.0 / nullif(count(' ~ column_name ~ '), 0)',
        min_value,
        max_value,
        row_condition,
        group_by,
        strictly,
        'proportion'
    ) }}
{% endtest %}

{% test expect_column_proportion_of_non_null_values_to_be_between(
    model, column_name, min_value=none, max_value=none, group_by=none, row_condition=none,
    strictly=false
) %}
    {{ failing_aggregate(
        model,
        'count(' ~ column_name ~ ') * 1.0 / nullif(count(*), 0)',
        min_value,
        max_value,
        row_condition,
        group_by,
        strictly,
        'proportion'
    ) }}
{% endtest %}

{% test not_null_proportion(
    model, column_name, at_least, at_most=1.0, group_by_columns=none
) %}
    {{ failing_aggregate(
        model,
        'count(' ~ column_name ~ ') * 1.0 / nullif(count(*), 0)',
        at_least,
        at_most,
        none,
        group_by_columns,
        name='proportion'
    ) }}
{% endtest %}

{% test at_least_one(model, column_name, group_by_columns=none) %}
    {{ failing_aggregate(
        model,
        'count(' ~ column_name ~ ')',
        1,
        none,
        none,
        group_by_columns,
        name='filled_values'
    ) }}
{% endtest %}

{% test not_constant(model, column_name, group_by_columns=none) %}
    {{ failing_aggregate(
        model,
        'count(distinct ' ~ column_name ~ ')',
        2,
        none,
        none,
        group_by_columns,
        name='distinct_values'
    ) }}
{% endtest %}
