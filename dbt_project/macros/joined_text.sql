{#- Values one after the other, as text; SQL of each. -#}
{% macro joined_text(values) -%}
    {{ return(adapter.dispatch('joined_text', 'headrace')(values)) }}
{%- endmacro %}

{% macro default__joined_text(values) -%}
    concat({{ values | join(', ') }})
{%- endmacro %}

{#- Redshift's CONCAT takes two. -#}
{% macro redshift__joined_text(values) -%}
    {%- for value in values %}{{ ' || ' if not loop.first }}cast({{ value }} as varchar(256)){% endfor -%}
{%- endmacro %}
