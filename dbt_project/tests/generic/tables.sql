{#- A table as a whole: its rows and its columns. -#}

{% test expect_table_row_count_to_be_between(
    model, min_value=none, max_value=none, group_by=none, row_condition=none, strictly=false
) %}
    {{ failing_aggregate(
        model, 'count(*)', min_value, max_value, row_condition, group_by, strictly,
        'number_of_rows'
    ) }}
{% endtest %}

{% test expect_table_row_count_to_equal(model, value, group_by=none, row_condition=none) %}
    {{ failing_aggregate(
        model, 'count(*)', value, value, row_condition, group_by, name='number_of_rows'
    ) }}
{% endtest %}

{% test unexpected_rows_expectation(model, unexpected_rows_query) %}
    {{ unexpected_rows_query | replace('{batch}', model | string) }}
{% endtest %}

{% test expect_column_to_exist(model, column_name, column_index=none, transform='upper') %}
    {%- set names, problems = names_of(columns_of(model)), [] -%}
    {%- set name = column_name | replace('"', '') | lower -%}
    {%- if execute and name not in names -%}
        {%- do problems.append((column_name, 'missing')) -%}
    {%- elif execute and column_index is not none and names.index(name) != column_index -%}
        {%- do problems.append((column_name, 'at place ' ~ names.index(name))) -%}
    {%- endif -%}
    {{ column_problems(problems) }}
{% endtest %}

{% test expect_table_column_count_to_equal(model, value) %}
    {{ column_count_problems(model, value, value) }}
{% endtest %}

{% test expect_table_column_count_to_be_between(model, min_value=none, max_value=none) %}
    {{ column_count_problems(model, min_value, max_value) }}
{% endtest %}

{% test expect_table_column_count_to_equal_other_table(model, compare_model) %}
    {%- set expected = columns_of(compare_model) | length -%}
    {{ column_count_problems(model, expected, expected) }}
{% endtest %}

{% test expect_table_columns_to_match_set(model, column_list, transform='upper') %}
    {{ column_set_problems(model, column_list, surplus=true, missing=true) }}
{% endtest %}

{% test expect_table_columns_to_contain_set(model, column_list, transform='upper') %}
    {{ column_set_problems(model, column_list, surplus=false, missing=true) }}
{% endtest %}

{% test expect_table_columns_to_not_contain_set(model, column_list, transform='upper') %}
    {%- set problems = [] -%}
    {%- for name in names_of(columns_of(model)) -%}
        {%- if name in names_of(column_list) -%}
            {%- do problems.append((name, 'not wanted')) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ column_problems(problems) }}
{% endtest %}

{% test expect_table_columns_to_match_ordered_list(model, column_list, transform='upper') %}
    {%- set there, wanted, problems = names_of(columns_of(model)), names_of(column_list), [] -%}
    {%- if execute -%}
        {%- for place in range([there | length, wanted | length] | max) -%}
            {%- set name = there[place] if place < there | length else 'none' -%}
            {%- set expected = wanted[place] if place < wanted | length else 'none' -%}
            {%- if name != expected -%}
                {%- set words = name ~ ' at place ' ~ (place + 1) -%}
                {%- do problems.append((expected, 'there is ' ~ words)) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ column_problems(problems) }}
{% endtest %}

{% test expect_column_values_to_be_of_type(model, column_name, column_type) %}
    {{ column_type_problems(model, column_name, [column_type]) }}
{% endtest %}

{% test expect_column_type_to_be(model, column_name, type_) %}
    {{ column_type_problems(model, column_name, [type_]) }}
{% endtest %}

{% test expect_column_values_to_be_in_type_list(model, column_name, column_type_list) %}
    {{ column_type_problems(model, column_name, column_type_list) }}
{% endtest %}
