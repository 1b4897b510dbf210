{#- A table beside another one. -#}

{% test expect_table_row_count_to_equal_other_table(
    model, compare_model, group_by=none, compare_group_by=none, factor=1, row_condition=none,
    compare_row_condition=none
) %}
    {{ unequal_numbers(
        model,
        'count(*)',
        compare_model,
        'count(*) * ' ~ factor,
        group_by,
        compare_group_by,
        row_condition,
        compare_row_condition
    ) }}
{% endtest %}

{% test expect_table_row_count_to_equal_other_table_times_factor(
    model, compare_model, factor, group_by=none, compare_group_by=none, row_condition=none,
    compare_row_condition=none
) %}
    {{ unequal_numbers(
        model,
        'count(*)',
        compare_model,
        'count(*) * ' ~ factor,
        group_by,
        compare_group_by,
        row_condition,
        compare_row_condition
    ) }}
{% endtest %}

{% test equal_rowcount(model, compare_model, group_by_columns=none) %}
    {{ unequal_numbers(
        model, 'count(*)', compare_model, 'count(*)', group_by_columns
    ) }}
{% endtest %}

{% test fewer_rows_than(model, compare_model, group_by_columns=none) %}
    {{ unequal_numbers(
        model, 'count(*)', compare_model, 'count(*)', group_by_columns, fails='>='
    ) }}
{% endtest %}

{% test expect_table_aggregation_to_equal_other_table(
    model, expression, compare_model=none, compare_expression=none, group_by=none,
    compare_group_by=none, row_condition=none, compare_row_condition=none, tolerance=0.0,
    tolerance_percent=none
) %}
    {{ unequal_numbers(
        model,
        expression,
        compare_model or model,
        compare_expression or expression,
        group_by,
        compare_group_by,
        row_condition,
        compare_row_condition,
        tolerance=tolerance,
        tolerance_percent=tolerance_percent
    ) }}
{% endtest %}

{% test equality(
    model, compare_model, compare_columns=none, exclude_columns=none, precision=none
) %}
    {%- set left_out, names = names_of(exclude_columns or []), [] -%}
    {%- for name in compare_columns or columns_of(model) -%}
        {%- set text = name if name is string else adapter.quote(name.name) -%}
        {%- if (text | replace('"', '') | replace('`', '') | lower) not in left_out -%}
            {%- if precision is not none and name is not string and name.is_number() -%}
                {%- do names.append('round(' ~ text ~ ', ' ~ precision ~ ') as ' ~ text) -%}
            {%- else -%}
                {%- do names.append(text) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set listed = names | join(', ') or '*' -%}
    {{ unequal_rows(
        'select ' ~ listed ~ ' from ' ~ model, 'select ' ~ listed ~ ' from ' ~ compare_model
    ) }}
{% endtest %}

{#- Two queries over the same database; `{batch}` in one of them is the model. -#}
{% test expect_query_results_to_match_comparison(model, base_query, comparison_query) %}
    {{ unequal_rows(
        base_query | replace('{batch}', model | string),
        comparison_query | replace('{batch}', model | string)
    ) }}
{% endtest %}

{% test relationships_where(
    model, column_name, to, field, from_condition='1 = 1', to_condition='1 = 1'
) %}
    select *
    from {{ model }}
    where
        {{ column_name }} is not null
        and {{ from_condition }}
        and {{ column_name }} not in (
            select {{ field }}
            from {{ to }}
            where {{ field }} is not null and {{ to_condition }}
        )
{% endtest %}
