{% macro parameter(key, field, keys, parameters) -%}
    {{ return(adapter.dispatch('parameter', 'headrace')(key, field, keys, parameters)) }}
{%- endmacro %}

{% macro duckdb__parameter(key, field, keys, parameters) -%}
    list_extract({{ parameters }}, list_position({{ keys }}, '{{ key }}')).value.{{ field }}
{%- endmacro %}
