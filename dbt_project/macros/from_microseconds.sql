{% macro from_microseconds(column_name) -%}
    {{ return(adapter.dispatch('from_microseconds', 'headrace')(column_name)) }}
{%- endmacro %}

{% macro duckdb__from_microseconds(column_name) -%}
    make_timestamp({{ column_name }})
{%- endmacro %}
