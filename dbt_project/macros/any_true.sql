{% macro any_true(condition) -%}
    {{ return(adapter.dispatch('any_true', 'headrace')(condition)) }}
{%- endmacro %}

{% macro default__any_true(condition) -%}
    bool_or({{ condition }})
{%- endmacro %}

{% macro snowflake__any_true(condition) -%}
    boolor_agg({{ condition }})
{%- endmacro %}
