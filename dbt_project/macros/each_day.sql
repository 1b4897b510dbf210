{% macro each_day(first, last) -%}
    {{ return(adapter.dispatch('each_day', 'headrace')(first, last)) }}
{%- endmacro %}

{% macro default__each_day(first, last) -%}
    cast(generate_series({{ first }}, {{ last }}, interval '1 day') as date)
{%- endmacro %}

{% macro duckdb__each_day(first, last) -%}
    cast(unnest(generate_series({{ first }}, {{ last }}, interval '1 day')) as date)
{%- endmacro %}

{#- Spark takes no generator within an expression; a sequence of dates is one of dates. -#}
{% macro spark__each_day(first, last) -%}
    explode(sequence({{ first }}, {{ last }}, interval 1 day))
{%- endmacro %}

{#- Redshift generates no rows: `numbered_days` brings the numbers. -#}
{% macro redshift__each_day(first, last) -%}
    cast(dateadd(day, numbered_days.number, {{ first }}) as date)
{%- endmacro %}


{% macro numbered_days(first, last) -%}
    {{ return(adapter.dispatch('numbered_days', 'headrace')(first, last)) }}
{%- endmacro %}

{% macro default__numbered_days(first, last) -%}
{%- endmacro %}

{#- Up to 10,000 days, which are 27 years. -#}
{% macro redshift__numbered_days(first, last) -%}
    {%- set digits -%}
        (
            {%- for digit in range(10) %}
            select {{ digit }} as digit{{ ' union all' if not loop.last }}
            {%- endfor %}
        )
    {%- endset -%}
    inner join (
        select ones.digit + 10 * tens.digit + 100 * hundreds.digit + 1000 * thousands.digit as number
        from {{ digits }} as ones
        cross join {{ digits }} as tens
        cross join {{ digits }} as hundreds
        cross join {{ digits }} as thousands
    ) as numbered_days
        on numbered_days.number <= datediff(day, {{ first }}, {{ last }})
{%- endmacro %}

{#- Snowflake makes no rows of an array without a join; the same SQL is good there. -#}
{% macro snowflake__each_day(first, last) -%}
    {{ return(redshift__each_day(first, last)) }}
{%- endmacro %}

{% macro snowflake__numbered_days(first, last) -%}
    {{ return(redshift__numbered_days(first, last)) }}
{%- endmacro %}
