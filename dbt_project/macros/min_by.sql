{% macro min_by(column_name, order_by) -%}
    {{ return(adapter.dispatch('min_by', 'headrace')(column_name, order_by)) }}
{%- endmacro %}

{% macro default__min_by(column_name, order_by) -%}
    min_by({{ column_name }}, {{ order_by }})
{%- endmacro %}

{% macro postgres__min_by(column_name, order_by) -%}
    (
        array_agg({{ column_name }} order by {{ order_by }})
        filter (where {{ column_name }} is not null)
    )[1]
{%- endmacro %}

{#- Redshift sorts texts into one, of up to 65,535 bytes: the column is a text, a group is small. -#}
{% macro redshift__min_by(column_name, order_by) -%}
    split_part(
        listagg({{ column_name }}, chr(31)) within group (order by {{ order_by }}), chr(31), 1
    )
{%- endmacro %}
