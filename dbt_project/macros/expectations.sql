{#- What the generic tests of tests/generic are made of. -#}

{% macro failing_rows(model, fails, counted=none, row_condition=none, mostly=none) -%}
with

tested as (
    select *
    from {{ model }}
    {%- if row_condition %}
    where {{ row_condition }}
    {%- endif %}
),

failing as (
    select *
    from tested
    where {{ fails }}
)

select *
from failing
{%- if mostly is not none %}
where
    (select count(*) from failing)
    > (1 - {{ mostly }}) * (
        select count(*)
        from tested
        {%- if counted %}
        where {{ counted }}
        {%- endif %}
    )
{%- endif %}
{%- endmacro %}


{% macro failing_values(model, column_name, fails, row_condition=none, mostly=none) -%}
    {%- set filled = column_name ~ ' is not null' -%}
    {{ failing_rows(model, filled ~ ' and (' ~ fails ~ ')', filled, row_condition, mostly) }}
{%- endmacro %}


{% macro failing_aggregate(
    model,
    expression,
    min_value=none,
    max_value=none,
    row_condition=none,
    group_by=none,
    strictly=false,
    name='value'
) -%}
    {%- set groups = group_by or [] -%}
    {%- set least, most = bound(min_value), bound(max_value) -%}
    {%- set no_bound = 'nullif(' ~ name ~ ', ' ~ name ~ ')' -%}  {#- a null of its type -#}
    {%- set equal = '=' if strictly else '' -%}
with

measured as (
    select
        {% for each in groups -%}
        {{ each }},
        {% endfor -%}
        {{ expression }} as {{ name }}
    from {{ model }}
    {%- if row_condition %}
    where {{ row_condition }}
    {%- endif %}
    {%- if groups %}
    group by {{ groups | join(', ') }}
    {%- endif %}
)

select
    *,
    {{ least or no_bound }} as at_least,
    {{ most or no_bound }} as at_most
from measured
where
    {{ name }} is null
    {%- if least %}
    or {{ name }} <{{ equal }} {{ least }}
    {%- endif %}
    {%- if most %}
    or {{ name }} >{{ equal }} {{ most }}
    {%- endif %}
{%- endmacro %}


{% macro outside(expression, min_value=none, max_value=none, strictly=false) -%}
    {%- set equal = '=' if strictly else '' -%}
    {%- set parts = [] -%}
    {%- if min_value is not none -%}
        {%- do parts.append(expression ~ ' <' ~ equal ~ ' ' ~ bound(min_value)) -%}
    {%- endif -%}
    {%- if max_value is not none -%}
        {%- do parts.append(expression ~ ' >' ~ equal ~ ' ' ~ bound(max_value)) -%}
    {%- endif -%}
    {%- if not parts -%}
        {{ exceptions.raise_compiler_error('give min_value, max_value, or both') }}
    {%- endif -%}
    {{ parts | join(' or ') }}
{%- endmacro %}


{% macro current_time() -%}
    cast({{ dbt.current_timestamp() }} as timestamp)
{%- endmacro %}


{#- Rows that are in one query and not in the other, as often as they are. -#}
{% macro unequal_rows(one, other) -%}
with

missing_rows as (
    ({{ one }})
    except all
    ({{ other }})
),

surplus_rows as (
    ({{ other }})
    except all
    ({{ one }})
)

select
    'only here' as found_in,
    missing_rows.*
from missing_rows
union all
select
    'only there' as found_in,
    surplus_rows.*
from surplus_rows
{%- endmacro %}


{% macro repeated_rows(model, columns, counted, row_condition=none) -%}
select *
from (
    select
        *,
        count(*) over (partition by {{ columns | join(', ') }}) as number_of_rows
    from {{ model }}
    where
        {{ counted }}
        {%- if row_condition %}
        and {{ row_condition }}
        {%- endif %}
) as counted_rows
where number_of_rows > 1
{%- endmacro %}


{#- The rows that a test of several columns looks at, as Great Expectations names them. -#}
{% macro filled(columns, ignore_row_if) -%}
    {%- set words = {
        'all_values_are_missing': ' or ', 'any_value_is_missing': ' and ', 'never': '',
    } -%}
    {%- if ignore_row_if not in words -%}
        {{ exceptions.raise_compiler_error(
            'ignore_row_if is one of ' ~ words.keys() | join(', ')
        ) }}
    {%- endif -%}
    {%- if ignore_row_if == 'never' -%}
        {{ return('1 = 1') }}
    {%- endif -%}
    {%- set word = ' is not null' ~ words[ignore_row_if] -%}
    {{ return('(' ~ columns | join(word) ~ ' is not null)') }}
{%- endmacro %}


{% macro unlike_all(column_name, patterns, match_on='any', kind='regex', flags='') -%}
    {%- set parts = [] -%}
    {%- for pattern in patterns -%}
        {%- if kind == 'regex' -%}
            {%- do parts.append(matches_regex(column_name, pattern, flags) | trim) -%}
        {%- else -%}
            {%- do parts.append(column_name ~ ' like ' ~ text_literal(pattern)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return('not (' ~ parts | join(' and ' if match_on == 'all' else ' or ') ~ ')') }}
{%- endmacro %}


{% macro failing_pair(model, column_a, fails, column_b, row_condition=none, mostly=none) -%}
    {%- set counted = filled([column_a, column_b], 'any_value_is_missing') -%}
    {{ failing_rows(
        model,
        counted ~ ' and ' ~ column_a ~ ' ' ~ fails ~ ' ' ~ column_b,
        counted,
        row_condition,
        mostly
    ) }}
{%- endmacro %}


{% macro failing_repeats(model, columns, ignore_row_if, row_condition=none, mostly=none) -%}
    {%- set counted, parts = filled(columns, ignore_row_if), [] -%}
    {%- for one in columns -%}
        {%- for other in columns[loop.index:] -%}
            {%- do parts.append(one ~ ' = ' ~ other) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ failing_rows(
        model, counted ~ ' and (' ~ parts | join(' or ') ~ ')', counted, row_condition, mostly
    ) }}
{%- endmacro %}


{% macro with_value_before(model, column_name, sort_column, row_condition, group_by) -%}
    {%- set groups = ([group_by] if group_by is string else group_by) or [] -%}
select
    *,
    lag({{ column_name }}) over (
        {{ 'partition by ' ~ groups | join(', ') if groups }}
        order by {{ sort_column or column_name }}
    ) as value_before
from {{ model }}
where
    {{ column_name }} is not null
    {%- if row_condition %}
    and {{ row_condition }}
    {%- endif %}
{%- endmacro %}


{% macro failing_steps(
    model, column_name, sort_column, strictly, row_condition, group_by, step, wrong, sign
) -%}
select *
from (
    {{ with_value_before(model, column_name, sort_column, row_condition, group_by) }}
) as ordered
where
    {{ column_name }} {{ wrong }}{{ '=' if strictly }} value_before
    {%- if step is not none %}
    or {{ column_name }} {{ sign }} {{ step }} <> value_before
    {%- endif %}
{%- endmacro %}


{% macro failing_recency(
    model, column_name, datepart, interval, row_condition=none, group_by=none, by_day=false
) -%}
    {%- set groups = ([group_by] if group_by is string else group_by) or [] -%}
    {%- set kind = 'date' if by_day else 'timestamp' -%}
with

newest as (
    select
        {% for each in groups -%}
        {{ each }},
        {% endfor -%}
        cast(max({{ column_name }}) as {{ kind }}) as value
    from {{ model }}
    {%- if row_condition %}
    where {{ row_condition }}
    {%- endif %}
    {%- if groups %}
    group by {{ groups | join(', ') }}
    {%- endif %}
),

final as (
    select
        *,
        cast(
            {{ dbt.dateadd(datepart, -interval, 'cast(' ~ current_time() ~ ' as ' ~ kind ~ ')') }}
            as {{ kind }}
        ) as at_least
    from newest
)

select *
from final
where value is null or value < at_least
{%- endmacro %}


{% macro failing_deviations(
    model,
    column_name,
    threshold,
    group_by=none,
    double_sided=true,
    row_condition=none,
    mostly=none,
    fails='>'
) -%}
    {%- set groups = ([group_by] if group_by is string else group_by) or [] -%}
    {%- set partition = 'partition by ' ~ groups | join(', ') if groups else '' -%}
    {%- set score -%}
        ({{ column_name }} - avg({{ column_name }}) over ({{ partition }}))
        / nullif(stddev_samp({{ column_name }}) over ({{ partition }}), 0)
    {%- endset -%}
    {%- set measured -%}
(
    select
        *,
        {{ 'abs(' ~ score ~ ')' if double_sided else score }} as deviations
    from {{ model }}
    {%- if row_condition %}
    where {{ row_condition }}
    {%- endif %}
) as measured
    {%- endset -%}
    {{ failing_rows(
        measured,
        'deviations ' ~ fails ~ ' ' ~ threshold,
        column_name ~ ' is not null',
        none,
        mostly
    ) }}
{%- endmacro %}
