{% macro parameter_keys(column_name) -%}
    {{ return(adapter.dispatch('parameter_keys', 'headrace')(column_name)) }}
{%- endmacro %}

{% macro duckdb__parameter_keys(column_name) -%}
    json_extract_string({{ column_name }}, '$[*].key')
{%- endmacro %}

{% macro postgres__parameter_keys(column_name) -%}
    jsonb_path_query_array(cast({{ column_name }} as jsonb), '$[*].key')
{%- endmacro %}

{#- Sail takes no field of an array of structs. -#}
{% macro spark__parameter_keys(column_name) -%}
    transform(from_json({{ column_name }}, 'array<struct<key:string>>'), entry -> entry.key)
{%- endmacro %}

{#- Snowflake looks a parameter up by its key. -#}
{% macro snowflake__parameter_keys(column_name) -%}
    cast(null as varchar)
{%- endmacro %}

{#- Redshift, too. -#}
{% macro redshift__parameter_keys(column_name) -%}
    cast(null as varchar(1))
{%- endmacro %}
