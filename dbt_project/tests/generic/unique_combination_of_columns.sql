{% test unique_combination_of_columns(
    model,
    columns=none,
    combination_of_columns=none,
    quote_columns=false
) %}

{%- set names = [] -%}
{%- for name in combination_of_columns or columns -%}
    {%- do names.append(adapter.quote(name) if quote_columns else name) -%}
{%- endfor -%}

select
    {{ names | join(',\n    ') }},
    count(*) as number_of_rows
from {{ model }}
group by
    {{ names | join(',\n    ') }}
having count(*) > 1

{% endtest %}
