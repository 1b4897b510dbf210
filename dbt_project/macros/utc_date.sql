{% macro utc_date(column_name) -%}
    {{ return(adapter.dispatch('utc_date', 'headrace')(column_name)) }}
{%- endmacro %}

{#- timezone() is in DuckDB and in Postgres; a plain cast takes the session's zone. -#}
{% macro default__utc_date(column_name) -%}
    cast(timezone('UTC', {{ column_name }}) as date)
{%- endmacro %}

{#- Spark's sessions are in UTC. -#}
{% macro spark__utc_date(column_name) -%}
    cast({{ column_name }} as date)
{%- endmacro %}

{% macro snowflake__utc_date(column_name) -%}
    cast(convert_timezone('UTC', {{ column_name }}) as date)
{%- endmacro %}
