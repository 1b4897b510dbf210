{% macro as_text(expression) -%}
    {{ return(adapter.dispatch('as_text', 'headrace')(expression)) }}
{%- endmacro %}

{% macro default__as_text(expression) -%}
    cast({{ expression }} as text)
{%- endmacro %}

{#- Spark has no type `text`. -#}
{% macro spark__as_text(expression) -%}
    cast({{ expression }} as string)
{%- endmacro %}
