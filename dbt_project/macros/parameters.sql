{% macro parameters(column_name) -%}
    {{ return(adapter.dispatch('parameters', 'headrace')(column_name)) }}
{%- endmacro %}

{#- Parsed once for a row, in which every parameter is then looked up. -#}
{% macro duckdb__parameters(column_name) -%}
    from_json(
        {{ column_name }},
        '[{"key":"varchar","value":{"string_value":"varchar","int_value":"bigint","double_value":"double"}}]'
    )
{%- endmacro %}

{% macro postgres__parameters(column_name) -%}
    cast({{ column_name }} as jsonb)
{%- endmacro %}

{% macro spark__parameters(column_name) -%}
    from_json(
        {{ column_name }},
        'array<struct<key:string,value:struct<string_value:string,int_value:bigint,double_value:double>>>'
    )
{%- endmacro %}

{% macro snowflake__parameters(column_name) -%}
    cast(parse_json(cast({{ column_name }} as varchar)) as varchar)
{%- endmacro %}

{% macro redshift__parameters(column_name) -%}
    {{ redshift_json(column_name) }}
{%- endmacro %}
