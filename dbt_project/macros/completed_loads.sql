{% macro completed_loads(source_name) -%}
    {{ return(adapter.dispatch('completed_loads', 'headrace')(source_name)) }}
{%- endmacro %}

{% macro default__completed_loads(source_name) -%}
    select load_id
    from {{ source(source_name, '_dlt_loads') }}
    where status = 0
{%- endmacro %}
