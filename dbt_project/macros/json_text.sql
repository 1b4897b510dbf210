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

{#- JSON of a column that is SUPER, or text with JSON in it, on Redshift: without blanks. -#}
{% macro redshift_json(column_name) -%}
    json_serialize(
        case
            when is_varchar(cast({{ column_name }} as super))
                then json_parse(cast({{ column_name }} as varchar(65535)))
            else cast({{ column_name }} as super)
        end
    )
{%- endmacro %}

{#- Redshift gives '' where there is nothing. -#}
{% macro redshift__json_text(column_name, path) -%}
    nullif(
        json_extract_path_text(
            {{ redshift_json(column_name) }}, '{{ path | replace('.', "', '") }}', true
        ), ''
    )
{%- endmacro %}
