{#- Each row by the values of several columns. -#}

{#- dbt and GE write the names with A and B, or a and b: both are here. -#}
{% test expect_column_pair_values_A_to_be_greater_than_B(
    model, column_A, column_B, or_equal=false, row_condition=none, mostly=none
) %}
    {{ failing_pair(
        model, column_A, '<' if or_equal else '<=', column_B, row_condition, mostly
    ) }}
{% endtest %}

{% test expect_column_pair_values_a_to_be_greater_than_b(
    model, column_A, column_B, or_equal=false, row_condition=none, mostly=none
) %}
    {{ failing_pair(
        model, column_A, '<' if or_equal else '<=', column_B, row_condition, mostly
    ) }}
{% endtest %}

{% test expect_column_pair_values_to_be_equal(
    model, column_A, column_B, row_condition=none, mostly=none
) %}
    {{ failing_pair(model, column_A, '<>', column_B, row_condition, mostly) }}
{% endtest %}

{% test expect_column_pair_values_to_be_in_set(
    model, column_A, column_B, value_pairs_set, quote_values=none, row_condition=none,
    mostly=none
) %}
    {%- set pairs = [] -%}
    {%- for pair in value_pairs_set -%}
        {%- set both = column_A ~ ' = ' ~ literals([pair[0]], quote_values)
            ~ ' and ' ~ column_B ~ ' = ' ~ literals([pair[1]], quote_values) -%}
        {%- do pairs.append('(' ~ both ~ ')') -%}
    {%- endfor -%}
    {%- set counted = filled([column_A, column_B], 'any_value_is_missing') -%}
    {{ failing_rows(
        model,
        counted ~ ' and not (' ~ pairs | join(' or ') ~ ')',
        counted,
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test expect_multicolumn_sum_to_equal(
    model, column_list, sum_total, ignore_row_if='any_value_is_missing', row_condition=none,
    mostly=none
) %}
    {%- set counted = filled(column_list, ignore_row_if) -%}
    {{ failing_rows(
        model,
        counted ~ ' and coalesce(' ~ column_list | join(', 0) + coalesce(') ~ ', 0) <> '
        ~ sum_total,
        counted,
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test expect_multicolumn_values_to_be_equal(
    model, column_list, ignore_row_if='any_value_is_missing', row_condition=none, mostly=none
) %}
    {%- set first, counted, parts = column_list[0], filled(column_list, ignore_row_if), [] -%}
    {%- for name in column_list[1:] -%}
        {%- do parts.append(name ~ ' is distinct from ' ~ first) -%}
    {%- endfor -%}
    {{ failing_rows(
        model, counted ~ ' and (' ~ parts | join(' or ') ~ ')', counted, row_condition, mostly
    ) }}
{% endtest %}

{% test expect_select_column_values_to_be_unique_within_record(
    model, column_list, ignore_row_if='any_value_is_missing', row_condition=none, mostly=none
) %}
    {{ failing_repeats(model, column_list, ignore_row_if, row_condition, mostly) }}
{% endtest %}

{#- What the one above was called before; GE has both. -#}
{% test expect_multicolumn_values_to_be_unique(
    model, column_list, ignore_row_if='any_value_is_missing', row_condition=none, mostly=none
) %}
    {{ failing_repeats(model, column_list, ignore_row_if, row_condition, mostly) }}
{% endtest %}
