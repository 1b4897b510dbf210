{% macro cents_to_dollars(column_name) -%}
    {{ return(adapter.dispatch('cents_to_dollars', 'headrace')(column_name)) }}
{%- endmacro %}

{#- Times 0.01, not divided by 100: a product of an integer and a decimal is exact on
    every target, a quotient is a float on DuckDB and an integer on Postgres. -#}
{% macro default__cents_to_dollars(column_name) -%}
    cast({{ column_name }} * 0.01 as decimal(16, 2))
{%- endmacro %}
