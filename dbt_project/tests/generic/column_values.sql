{#- Each row by the value of one column; a null passes, unless the test is about nulls. -#}

{% test expect_column_values_to_be_null(model, column_name, row_condition=none, mostly=none) %}
    {{ failing_rows(model, column_name ~ ' is not null', none, row_condition, mostly) }}
{% endtest %}

{% test expect_column_values_to_not_be_null(
    model, column_name, row_condition=none, mostly=none
) %}
    {{ failing_rows(model, column_name ~ ' is null', none, row_condition, mostly) }}
{% endtest %}

{% test not_empty_string(model, column_name, trim_whitespace=true) %}
    {%- set value = 'trim(' ~ column_name ~ ')' if trim_whitespace else column_name -%}
    {{ failing_values(model, column_name, value ~ " = ''") }}
{% endtest %}

{% test expect_column_values_to_be_unique(model, column_name, row_condition=none) %}
    {{ repeated_rows(model, [column_name], column_name ~ ' is not null', row_condition) }}
{% endtest %}

{% test expect_compound_columns_to_be_unique(
    model,
    column_list,
    quote_columns=false,
    ignore_row_if='all_values_are_missing',
    row_condition=none
) %}
    {%- set names = [] -%}
    {%- for name in column_list -%}
        {%- do names.append(adapter.quote(name) if quote_columns else name) -%}
    {%- endfor -%}
    {{ repeated_rows(model, names, filled(names, ignore_row_if), row_condition) }}
{% endtest %}

{% test expect_column_values_to_be_between(
    model,
    column_name,
    min_value=none,
    max_value=none,
    row_condition=none,
    strictly=false,
    mostly=none
) %}
    {{ failing_values(
        model,
        column_name,
        outside(column_name, min_value, max_value, strictly),
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test accepted_range(model, column_name, min_value=none, max_value=none, inclusive=true) %}
    {{ failing_values(
        model, column_name, outside(column_name, min_value, max_value, not inclusive)
    ) }}
{% endtest %}

{% test expect_column_values_to_be_in_set(
    model, column_name, value_set, quote_values=none, row_condition=none, mostly=none
) %}
    {{ failing_values(
        model,
        column_name,
        column_name ~ ' not in (' ~ literals(value_set, quote_values) ~ ')',
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test expect_column_values_to_not_be_in_set(
    model, column_name, value_set, quote_values=none, row_condition=none, mostly=none
) %}
    {{ failing_values(
        model,
        column_name,
        column_name ~ ' in (' ~ literals(value_set, quote_values) ~ ')',
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test not_accepted_values(model, column_name, values, quote=none) %}
    {{ failing_values(
        model, column_name, column_name ~ ' in (' ~ literals(values, quote) ~ ')'
    ) }}
{% endtest %}

{% test expect_column_value_lengths_to_be_between(
    model,
    column_name,
    min_value=none,
    max_value=none,
    row_condition=none,
    strictly=false,
    mostly=none
) %}
    {{ failing_values(
        model,
        column_name,
        outside('length(' ~ column_name ~ ')', min_value, max_value, strictly),
        row_condition,
        mostly
    ) }}
{% endtest %}

{% test expect_column_value_lengths_to_equal(
    model, column_name, value, row_condition=none, mostly=none
) %}
    {{ failing_values(
        model, column_name, 'length(' ~ column_name ~ ') <> ' ~ value, row_condition, mostly
    ) }}
{% endtest %}

{#- Values that differ by upper and lower case alone. -#}
{% test expect_column_values_to_have_consistent_casing(
    model, column_name, display_inconsistent_columns=false
) %}
select *
from {{ model }}
where lower({{ column_name }}) in (
    select lower({{ column_name }})
    from {{ model }}
    group by lower({{ column_name }})
    having count(distinct {{ column_name }}) > 1
)
{% endtest %}
