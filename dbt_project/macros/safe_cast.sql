{#- dbt casts the numbers of a unit test's rows to `numeric`, which has no digits behind the point on Redshift. -#}
{% macro redshift__safe_cast(field, type) -%}
    {%- set is_bare = type | lower in ['numeric', 'decimal'] -%}
    cast({{ field }} as {{ 'numeric(38, 10)' if is_bare else type }})
{%- endmacro %}
