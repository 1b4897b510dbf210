{% macro parameter(key, field, keys, parameters) -%}
    {{ return(adapter.dispatch('parameter', 'headrace')(key, field, keys, parameters)) }}
{%- endmacro %}

{% macro duckdb__parameter(key, field, keys, parameters) -%}
    list_extract({{ parameters }}, list_position({{ keys }}, '{{ key }}')).value.{{ field }}
{%- endmacro %}

{% macro postgres__parameter(key, field, keys, parameters) -%}
    cast(
        jsonb_path_query_first(
            {{ parameters }}, '$[*] ? (@.key == "{{ key }}").value.{{ field }}'
        ) #>> '{}' as {{ {'int_value': 'bigint', 'double_value': 'double precision'}.get(field, 'text') }}
    )
{%- endmacro %}

{% macro spark__parameter(key, field, keys, parameters) -%}
    get({{ parameters }}, cast(array_position({{ keys }}, '{{ key }}') as int) - 1).value.{{ field }}
{%- endmacro %}

{#- In the text, whose keys Snowflake sorts: `key` is before `value`. -#}
{% macro snowflake__parameter(key, field, keys, parameters) -%}
    cast(
        json_extract_path_text(
            regexp_substr(
                {{ parameters }},
                '[{]"key": ?"{{ key }}", ?"value": ?([{]("([^"\\\\]|\\\\.)*"|[^"{}])*[}])', 1, 1, 'e', 1
            ), '{{ field }}'
        ) as {{ {'int_value': 'bigint', 'double_value': 'double'}.get(field, 'varchar') }}
    )
{%- endmacro %}

{#- Redshift searches no array: the value is found in the text, texts within it with what is escaped. -#}
{% macro redshift__parameter(key, field, keys, parameters) -%}
    cast(
        nullif(
            json_extract_path_text(
                regexp_substr(
                    {{ parameters }},
                    '[{]"key":"{{ key }}","value":([{]("([^"\\\\]|\\\\.)*"|[^"{}])*[}])', 1, 1, 'e'
                ), '{{ field }}', true
            ), ''
        ) as {{ {'int_value': 'bigint', 'double_value': 'double precision'}.get(field, 'varchar(65535)') }}
    )
{%- endmacro %}
