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
