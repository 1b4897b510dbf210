{% macro json_text(column_name, path) -%}
    {{ return(adapter.dispatch('json_text', 'headrace')(column_name, path)) }}
{%- endmacro %}

{% macro duckdb__json_text(column_name, path) -%}
    json_extract_string({{ column_name }}, '$.{{ path }}')
{%- endmacro %}

{% macro postgres__json_text(column_name, path) -%}
    cast({{ column_name }} as jsonb) #>> '{ {{- path | replace('.', ',') -}} }'
{%- endmacro %}

{% macro spark__json_text(column_name, path) -%}
    get_json_object({{ column_name }}, '$.{{ path }}')
{%- endmacro %}

{% macro snowflake__json_text(column_name, path) -%}
    json_extract_path_text({{ column_name }}, '{{ path }}')
{%- endmacro %}

{#- Redshift gives '' where there is nothing. -#}
{% macro redshift__json_text(column_name, path) -%}
    nullif(
        json_extract_path_text(
            json_serialize({{ column_name }}), '{{ path | replace('.', "', '") }}', true
        ), ''
    )
{%- endmacro %}
