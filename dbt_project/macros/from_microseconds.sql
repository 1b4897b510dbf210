{% macro from_microseconds(column_name) -%}
    {{ return(adapter.dispatch('from_microseconds', 'headrace')(column_name)) }}
{%- endmacro %}

{% macro duckdb__from_microseconds(column_name) -%}
    make_timestamp({{ column_name }})
{%- endmacro %}

{% macro postgres__from_microseconds(column_name) -%}
    timestamp '1970-01-01' + {{ column_name }} * interval '1 microsecond'
{%- endmacro %}

{% macro spark__from_microseconds(column_name) -%}
    timestamp_micros({{ column_name }})
{%- endmacro %}

{% macro snowflake__from_microseconds(column_name) -%}
    to_timestamp_ntz(cast({{ column_name }} as bigint), 6)
{%- endmacro %}
