{#- dbt casts the numbers of a unit test's rows to `numeric`, which has no digits behind the point on
    Redshift: here it has those of the number. -#}
{% macro redshift__safe_cast(field, type) -%}
    {%- set number = modules.re.match('-?[0-9]+[.]?([0-9]*)$', field | string | trim) -%}
    {%- set digits = number.group(1) | length if number else 10 -%}
    {%- set is_bare = type | lower in ['numeric', 'decimal'] -%}
    cast({{ field }} as {{ 'numeric(38, ' ~ digits ~ ')' if is_bare else type }})
{%- endmacro %}
