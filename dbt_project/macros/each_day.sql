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
