{#- Rows in the order of a column. -#}

{% test expect_column_values_to_be_increasing(
    model, column_name, sort_column=none, strictly=true, row_condition=none, group_by=none,
    step=none
) %}
    {{ failing_steps(
        model, column_name, sort_column, strictly, row_condition, group_by, step, '<', '-'
    ) }}
{% endtest %}

{% test expect_column_values_to_be_decreasing(
    model, column_name, sort_column=none, strictly=true, row_condition=none, group_by=none,
    step=none
) %}
    {{ failing_steps(
        model, column_name, sort_column, strictly, row_condition, group_by, step, '>', '+'
    ) }}
{% endtest %}

{% test sequential_values(
    model, column_name, interval=1, datepart=none, group_by_columns=none
) %}
    {%- if datepart -%}
        {%- set next_value = dbt.dateadd(datepart, interval, 'value_before') -%}
        {%- set next_value = 'cast(' ~ next_value ~ ' as timestamp)' -%}
    {%- else -%}
        {%- set next_value = 'value_before + ' ~ interval -%}
    {%- endif -%}
    select *
    from (
        {{ with_value_before(model, column_name, column_name, none, group_by_columns) }}
    ) as ordered
    where
        value_before is not null
        and {{ column_name }} <> {{ next_value }}
{% endtest %}

{% test mutually_exclusive_ranges(
    model, lower_bound_column, upper_bound_column, partition_by=none, gaps='allowed',
    zero_length_range_allowed=false
) %}
    {%- set compared = {'allowed': '>', 'not_allowed': '<>', 'required': '>='} -%}
    {%- if gaps not in compared -%}
        {{ exceptions.raise_compiler_error('gaps is one of ' ~ compared.keys() | join(', ')) }}
    {%- endif -%}
    select *
    from (
        select
            *,
            lead({{ lower_bound_column }}) over (
                {{ 'partition by ' ~ partition_by if partition_by }}
                order by {{ lower_bound_column }}, {{ upper_bound_column }}
            ) as next_lower_bound
        from {{ model }}
    ) as ordered
    where
        {{ lower_bound_column }} is null
        or {{ lower_bound_column }} {{ '>' if zero_length_range_allowed else '>=' }}
        {{ upper_bound_column }}
        or (next_lower_bound is not null and {{ upper_bound_column }} is null)
        or {{ upper_bound_column }} {{ compared[gaps] }} next_lower_bound
{% endtest %}
