{#- What the generic tests of columns, sets and pairs of tables are made of. -#}

{% macro quantile_of(column_name, quantile) -%}
    percentile_cont({{ quantile }}) within group (order by {{ column_name }})
{%- endmacro %}


{% macro values_of(model, column_name, row_condition=none) -%}
select *
from (
    select
        {{ column_name }} as value,
        count(*) as number_of_rows
    from {{ model }}
    where
        {{ column_name }} is not null
        {%- if row_condition %}
        and {{ row_condition }}
        {%- endif %}
    group by {{ column_name }}
) as found
{%- endmacro %}


{% macro values_missing(model, column_name, value_set, quote_values, row_condition=none) -%}
select *
from (
    {%- for value in value_set %}
    select {{ literals([value], quote_values) }} as value
    {{ 'union all' if not loop.last }}
    {%- endfor %}
) as wanted
where value not in (
    select {{ column_name }}
    from {{ model }}
    where
        {{ column_name }} is not null
        {%- if row_condition %}
        and {{ row_condition }}
        {%- endif %}
)
{%- endmacro %}


{#- The groups whose number differs from the one of another table. -#}
{% macro unequal_numbers(
    model,
    expression,
    compare_model,
    compare_expression,
    group_by=none,
    compare_group_by=none,
    row_condition=none,
    compare_row_condition=none,
    fails='<>',
    tolerance=0,
    tolerance_percent=none
) -%}
    {%- set groups = group_by or [] -%}
    {%- set other_groups = compare_group_by or groups -%}
    {%- set is_count = expression == 'count(*)' -%}
    {%- set name, other_name = ('number_of_rows', 'expected_rows') if is_count
        else ('value', 'expected_value') -%}
    {%- set sides = [
        ('ours', model, expression, groups, row_condition, name),
        ('theirs', compare_model, compare_expression, other_groups, compare_row_condition,
            other_name),
    ] -%}
with

{% for side, table, number, columns, condition, called in sides -%}
{{ side }} as (
    select
        {% for each in columns -%}
        {{ each }} as group_{{ loop.index }},
        {% endfor -%}
        {{ number }} as {{ called }}
    from {{ table }}
    {%- if condition %}
    where {{ condition }}
    {%- endif %}
    {%- if columns %}
    group by {{ columns | join(', ') }}
    {%- endif %}
),

{% endfor -%}
final as (
    select
        {% for each in groups -%}
        coalesce(ours.group_{{ loop.index }}, theirs.group_{{ loop.index }}) as {{ each }},
        {% endfor -%}
        ours.{{ name }},
        theirs.{{ other_name }}
    from ours
    {%- if groups %}
    full outer join theirs
        on
        {%- for each in groups %}
            {{ 'and' if not loop.first }} ours.group_{{ loop.index }} = theirs.group_{{ loop.index }}
        {%- endfor %}
    {%- else %}
    cross join theirs
    {%- endif %}
)

select *
from final
where
    {{ name }} is null
    or {{ other_name }} is null
    {%- if tolerance_percent is not none %}
    or abs({{ name }} - {{ other_name }}) > {{ tolerance_percent }} * abs({{ other_name }})
    {%- elif tolerance %}
    or abs({{ name }} - {{ other_name }}) > {{ tolerance }}
    {%- else %}
    or {{ name }} {{ fails }} {{ other_name }}
    {%- endif %}
{%- endmacro %}


{#- The columns of what is tested; none while dbt parses. -#}
{% macro columns_of(model) -%}
    {%- if not execute -%}
        {{ return([]) }}
    {%- endif -%}
    {%- if model is string -%}  {#- a query, where the test has a `where` -#}
        {%- set query = 'select * from ' ~ model ~ ' where 1 = 0' -%}
        {{ return(adapter.get_column_schema_from_query(query)) }}
    {%- endif -%}
    {{ return(adapter.get_columns_in_relation(model)) }}
{%- endmacro %}


{% macro names_of(columns) -%}
    {%- set names = [] -%}
    {%- for column in columns -%}
        {%- do names.append((column if column is string else column.name) | lower) -%}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro %}


{#- One row for each problem with the columns of a table; none where there is no problem. -#}
{% macro column_problems(problems) -%}
    {%- for column, problem in problems %}
select
    {{ text_literal(column) }} as column_name,
    {{ text_literal(problem) }} as problem
{%- if not loop.last %}
union all
{%- endif %}
    {%- endfor %}
    {%- if not problems %}
select
    '' as column_name,
    '' as problem
where 1 = 0
    {%- endif %}
{%- endmacro %}


{% macro column_set_problems(model, column_list, surplus, missing) -%}
    {%- set there, wanted, problems = names_of(columns_of(model)), names_of(column_list), [] -%}
    {%- if execute -%}
        {%- for name in wanted if missing and name not in there -%}
            {%- do problems.append((name, 'missing')) -%}
        {%- endfor -%}
        {%- for name in there if surplus and name not in wanted -%}
            {%- do problems.append((name, 'not in the list')) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ column_problems(problems) }}
{%- endmacro %}


{% macro column_count_problems(model, min_value=none, max_value=none) -%}
    {%- set columns = columns_of(model) | length -%}
    {%- set is_wrong = (min_value is not none and columns < min_value)
        or (max_value is not none and columns > max_value) -%}
select
    {{ columns }} as number_of_columns,
    {{ 'null' if min_value is none else min_value }} as at_least,
    {{ 'null' if max_value is none else max_value }} as at_most
where {{ '1 = 1' if execute and is_wrong else '1 = 0' }}
{%- endmacro %}


{#- A type is meant with or without its length, and by dbt's own name for it, too. -#}
{% macro column_type_problems(model, column_name, types) -%}
    {%- set wanted, problems = [], [] -%}
    {%- for each in types -%}
        {%- do wanted.extend([each | lower, engine_type(each) | lower]) -%}
    {%- endfor -%}
    {%- set name = column_name | replace('"', '') | lower -%}
    {%- set columns = columns_of(model) -%}
    {%- if execute and name not in names_of(columns) -%}
        {%- do problems.append((column_name, 'missing')) -%}
    {%- endif -%}
    {%- for column in columns if column.name | lower == name -%}
        {%- set forms = [
            column.dtype | lower, column.data_type | lower, (column.dtype | lower).split('(')[0],
        ] -%}
        {%- if forms | select('in', wanted) | list == [] -%}
            {%- do problems.append((column_name, 'of type ' ~ column.data_type)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ column_problems(problems) }}
{%- endmacro %}


{#- What the engine calls a type that dbt, or standard SQL, has under another name. -#}
{% macro engine_type(name) -%}
    {{ return(adapter.dispatch('engine_type', 'headrace')(name)) }}
{%- endmacro %}

{% macro default__engine_type(name) -%}
    {{ return(api.Column.translate_type(name)) }}
{%- endmacro %}

{% macro spark__engine_type(name) -%}
    {%- set names = {
        'integer': 'int', 'long': 'bigint', 'short': 'smallint', 'real': 'float',
        'text': 'string', 'varchar': 'string', 'numeric': 'decimal',
    } -%}
    {{ return(names.get(name | lower, name)) }}
{%- endmacro %}
